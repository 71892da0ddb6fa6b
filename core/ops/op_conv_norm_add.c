/*
 * conv_norm_add -- y = z + norm(conv(x)): conv2d, batch_norm and add in one; see conv_norm.h.
 */
#include "core/ops/conv_norm.h"

static void forward(const OpCall *call)
{
    conv_norm_forward(call, false);
}

static void backward(const OpCall *call)
{
    conv_norm_backward(call, false);
}

const Op op_conv_norm_add = {
    .described = { "conv_norm_add", "a tensor and a normalised convolution", conv_norm_params,
                   CONV_NORM_PARAMS },
    .inputs = 2,
    .flags = OP_GRADIENT_INPLACE,
    .shape = conv_norm_shape,
    .forward = forward,
    .backward = backward,
};
