/*
 * conv2d -- convolution; see conv.h.
 */
#include "core/ops/conv.h"

static Status shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                    Error *err)
{
    (void)inputs;
    return conv_shape(value, in, CONV_TRAINED, ret, err);
}

static void forward(const OpCall *call)
{
    conv_forward(call, NULL);
}

const Op op_conv2d = {
    .described = { "conv2d", "convolution", conv_params, CONV_PARAMS },
    .inputs = 1,
    .flags = OP_WEIGHTS_NEED_INPUT,
    .shape = shape,
    .forward = forward,
    .backward = conv_backward,
};
