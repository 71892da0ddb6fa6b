/* mixed_sum -- see mixed.h. Inputs: weights, tensors, statistics. */
#include "core/ops/mixed.h"

static Status sum_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                        Error *err)
{
    return mixed_shape("mixed_sum", value, in, inputs, 0, ret, err);
}

static void sum_forward(const OpCall *call)
{
    mixed_forward(call, 0, NULL);
}

static void sum_backward(const OpCall *call)
{
    mixed_backward(call, 0);
}

const Op op_mixed_sum = {
    .described = { "mixed_sum", "weighted sum of tensors, some of them normalised", mixed_params,
                   MIXED_PARAMS },
    .inputs = 2,
    .variadic = true,
    .flags = OP_NEEDS_INPUT,
    .shape = sum_shape,
    .forward = sum_forward,
    .backward = sum_backward,
};
