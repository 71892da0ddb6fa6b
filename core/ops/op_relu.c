/*
 * relu -- y = max(x, 0).   x, y: any shape.   NaN stays NaN.
 */
#include "core/ops/elementwise.h"
#include "core/ops/op.h"

static void forward_unit(const OpCall *c, size_t at, size_t count)
{
    c->kernels->relu_forward(count, c->in[0].data + at, c->out.data + at);
}

static void backward_unit(const OpCall *c, size_t at, size_t count)
{
    c->kernels->relu_backward(count, c->out.data + at, c->out_gradient + at, c->in_gradient[0] + at,
                              c->accumulate[0]);
}

static void relu_forward(const OpCall *call)
{
    elementwise_run(call, forward_unit);
}

static void relu_backward(const OpCall *call)
{
    if (call->in_gradient[0] != NULL)
        elementwise_run(call, backward_unit);
}

const Op op_relu = {
    .described = { .name = "relu", .summary = "rectified linear unit" },
    .inputs = 1,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE | OP_NEEDS_OUTPUT | OP_RECTIFIES,
    .shape = elementwise_shape,
    .forward = relu_forward,
    .backward = relu_backward,
};
