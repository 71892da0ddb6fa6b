/*
 * gelu -- y = x Phi(x), the exact form with erf.   x, y: any shape.   Hendrycks and Gimpel, 2016.
 */
#include "core/ops/elementwise.h"
#include "core/ops/op.h"

static void forward_unit(const OpCall *c, size_t at, size_t count)
{
    c->kernels->gelu_forward(count, c->in[0].data + at, c->out.data + at);
}

static void backward_unit(const OpCall *c, size_t at, size_t count)
{
    c->kernels->gelu_backward(count, c->in[0].data + at, c->out_gradient + at,
                              c->in_gradient[0] + at, c->accumulate[0]);
}

static void gelu_forward(const OpCall *call)
{
    elementwise_run(call, forward_unit);
}

static void gelu_backward(const OpCall *call)
{
    if (call->in_gradient[0] != NULL)
        elementwise_run(call, backward_unit);
}

const Op op_gelu = {
    .described = { .name = "gelu", .summary = "Gaussian error linear unit, exact" },
    .inputs = 1,
    .flags = OP_GRADIENT_INPLACE | OP_NEEDS_INPUT,
    .shape = elementwise_shape,
    .forward = gelu_forward,
    .backward = gelu_backward,
};
