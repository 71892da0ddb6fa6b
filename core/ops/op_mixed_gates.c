/* mixed_gates -- see mixed_gates.h. Inputs: x, weights, gates. */
#include "core/ops/mixed_gates.h"

static Status gates_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                          Error *err)
{
    return mixed_gates_shape("mixed_gates", value, in, inputs, 0, ret, err);
}

static void gates_forward(const OpCall *call)
{
    mixed_gates_forward(call, 0, NULL);
}

static void gates_backward(const OpCall *call)
{
    mixed_gates_backward(call, 0);
}

const Op op_mixed_gates = {
    .described = { "mixed_gates", "a tensor times weighted factors of its channels",
                   mixed_gates_params, MIXED_GATES_PARAMS },
    .inputs = 2,
    .variadic = true,
    .flags = OP_NEEDS_INPUT,
    .shape = gates_shape,
    .forward = gates_forward,
    .backward = gates_backward,
};
