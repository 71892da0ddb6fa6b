/*
 * scale -- y = factor x.   x, y: any shape.   Logits times a constant, as ResNet-9 wants them.
 */
#include "core/ops/elementwise.h"
#include "core/ops/op.h"

enum { VALUE_FACTOR };

static const Param scale_params[] = {
    { "factor", PARAM_REAL, 1, -1e6, 1e6, NULL, "what every number is multiplied with" },
};

static void forward_unit(const OpCall *c, size_t at, size_t count)
{
    c->kernels->axpy(count, (real)c->value[VALUE_FACTOR], c->in[0].data + at, c->out.data + at,
                     false);
}

static void backward_unit(const OpCall *c, size_t at, size_t count)
{
    c->kernels->axpy(count, (real)c->value[VALUE_FACTOR], c->out_gradient + at,
                     c->in_gradient[0] + at, c->accumulate[0]);
}

static void scale_forward(const OpCall *call)
{
    elementwise_run(call, forward_unit);
}

static void scale_backward(const OpCall *call)
{
    if (call->in_gradient[0] != NULL)
        elementwise_run(call, backward_unit);
}

const Op op_scale = {
    .described = { "scale", "every number times a constant", scale_params, 1 },
    .inputs = 1,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE,
    .shape = elementwise_shape,
    .forward = scale_forward,
    .backward = scale_backward,
};
