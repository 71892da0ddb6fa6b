/*
 * conv_norm_relu -- y = max(norm(conv(x)), 0): conv2d, batch_norm and relu in one; see conv_norm.h.
 */
#include "core/ops/conv_norm.h"

static void forward(const OpCall *call)
{
    conv_norm_forward(call, true);
}

static void backward(const OpCall *call)
{
    conv_norm_backward(call, true);
}

const Op op_conv_norm_relu = {
    .described = { "conv_norm_relu", "a convolution, normalised and rectified", conv_norm_params,
                   CONV_NORM_PARAMS },
    .inputs = 1,
    .flags = OP_NEEDS_OUTPUT | OP_RECTIFIES,
    .shape = conv_norm_shape,
    .forward = forward,
    .backward = backward,
};
