/*
 * conv_norm_add_relu -- y = max(z + norm(conv(x)), 0): conv2d, batch_norm, add and relu in one, the
 * end of a residual block; see conv_norm.h.
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

const Op op_conv_norm_add_relu = {
    .described = { "conv_norm_add_relu", "a tensor and a normalised convolution, rectified",
                   conv_norm_params, CONV_NORM_PARAMS },
    .inputs = 2,
    .flags = OP_GRADIENT_INPLACE | OP_NEEDS_OUTPUT | OP_RECTIFIES,
    .shape = conv_norm_shape,
    .forward = forward,
    .backward = backward,
};
