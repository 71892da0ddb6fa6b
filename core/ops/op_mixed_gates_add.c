/* mixed_gates_add -- y = base + mixed_gates, see mixed_gates.h. Inputs: base, x, weights, gates. In
 * place over base; the gradient of base is that of y. */
#include "core/ops/elementwise.h"
#include "core/ops/mixed_gates.h"

static Status add_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                        Error *err)
{
    if (!shape_equal(&in[0], &in[1]))
        return error_set(err, STATUS_BAD_SHAPE, "mixed_gates_add wants a base of x's shape");
    return mixed_gates_shape("mixed_gates_add", value, in, inputs, 1, ret, err);
}

static void add_forward(const OpCall *call)
{
    mixed_gates_forward(call, 1, call->in[0].data);
}

static void add_backward(const OpCall *call)
{
    mixed_gates_backward(call, 1);
    elementwise_pass_gradient(call);
}

const Op op_mixed_gates_add = {
    .described = { "mixed_gates_add", "a tensor plus mixed_gates", mixed_gates_params,
                   MIXED_GATES_PARAMS },
    .inputs = 3,
    .variadic = true,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE | OP_NEEDS_REST,
    .shape = add_shape,
    .forward = add_forward,
    .backward = add_backward,
};
