/*
 * conv_norm -- y = norm(conv(x)): conv2d and batch_norm in one; see conv_norm.h.
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

const Op op_conv_norm = {
    .described = { "conv_norm", "a convolution, normalised", conv_norm_params, CONV_NORM_PARAMS },
    .inputs = 1,
    .shape = conv_norm_shape,
    .forward = forward,
    .backward = backward,
};
