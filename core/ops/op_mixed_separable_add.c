/* mixed_separable_add -- y = base + mixed_separable, see mixed_separable.h. Inputs: base, x,
 * weights. In place over base; the gradient of base is that of y. */
#include "core/ops/elementwise.h"
#include "core/ops/mixed_separable.h"

static Status add_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                        Error *err)
{
    Status s = mixed_separable_shape("mixed_separable_add", value, in, 1, ret, err);

    (void)inputs;
    if (s == STATUS_OK && !shape_equal(&in[0], &ret->out))
        return error_set(err, STATUS_BAD_SHAPE,
                         "mixed_separable_add wants a base of the convolution's shape");
    return s;
}

static void add_forward(const OpCall *call)
{
    mixed_separable_forward(call, 1, call->in[0].data);
}

static void add_backward(const OpCall *call)
{
    mixed_separable_backward(call, 1);
    elementwise_pass_gradient(call);
}

const Op op_mixed_separable_add = {
    .described = { "mixed_separable_add", "a tensor plus a mixed_separable", mixed_separable_params,
                   MIXED_SEPARABLE_PARAMS },
    .inputs = 3,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE | OP_NEEDS_REST | OP_RECTIFIES_INSIDE,
    .shape = add_shape,
    .forward = add_forward,
    .backward = add_backward,
};
