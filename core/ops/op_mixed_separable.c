/* mixed_separable -- see mixed_separable.h. Inputs: x, weights. */
#include "core/ops/mixed_separable.h"

static Status separable_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                              Error *err)
{
    (void)inputs;
    return mixed_separable_shape("mixed_separable", value, in, 0, ret, err);
}

static void separable_forward_only(const OpCall *call)
{
    mixed_separable_forward(call, 0, NULL);
}

static void separable_backward_only(const OpCall *call)
{
    mixed_separable_backward(call, 0);
}

const Op op_mixed_separable = {
    .described = { "mixed_separable", "weighted ReLU, depthwise and 1x1 convolution, normalised",
                   mixed_separable_params, MIXED_SEPARABLE_PARAMS },
    .inputs = 2,
    .flags = OP_NEEDS_INPUT | OP_RECTIFIES_INSIDE,
    .shape = separable_shape,
    .forward = separable_forward_only,
    .backward = separable_backward_only,
};
