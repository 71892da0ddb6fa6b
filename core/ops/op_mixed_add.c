/* mixed_add -- y = base + mixture, see mixed.h: one edge more of a node. Inputs: base, weights,
 * tensors, statistics. In place over base; the gradient of base is that of y. */
#include "core/ops/elementwise.h"
#include "core/ops/mixed.h"

static Status add_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                        Error *err)
{
    if (inputs < 3 || !shape_equal(&in[0], &in[2]))
        return error_set(err, STATUS_BAD_SHAPE, "mixed_add wants a base of the tensors' shape");
    return mixed_shape("mixed_add", value, in, inputs, 1, ret, err);
}

static void add_forward(const OpCall *call)
{
    mixed_forward(call, 1, call->in[0].data);
}

static void add_backward(const OpCall *call)
{
    mixed_backward(call, 1);
    elementwise_pass_gradient(call);
}

const Op op_mixed_add = {
    .described = { "mixed_add", "a tensor plus a mixed_sum", mixed_params, MIXED_PARAMS },
    .inputs = 3,
    .variadic = true,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE | OP_NEEDS_REST,
    .shape = add_shape,
    .forward = add_forward,
    .backward = add_backward,
};
