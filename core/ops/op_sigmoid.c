/*
 * sigmoid -- y = 1/(1 + exp(-x)).   x, y: any shape.   dx = dy (y - y^2).
 */
#include "core/ops/elementwise.h"
#include "core/ops/op.h"

static void forward_unit(const OpCall *c, size_t at, size_t count)
{
    c->kernels->sigmoid_forward(count, c->in[0].data + at, c->out.data + at);
}

static void backward_unit(const OpCall *c, size_t at, size_t count)
{
    c->kernels->sigmoid_backward(count, c->out.data + at, c->out_gradient + at,
                                 c->in_gradient[0] + at, c->accumulate[0]);
}

static void sigmoid_forward(const OpCall *call)
{
    elementwise_run(call, forward_unit);
}

static void sigmoid_backward(const OpCall *call)
{
    if (call->in_gradient[0] != NULL)
        elementwise_run(call, backward_unit);
}

const Op op_sigmoid = {
    .described = { .name = "sigmoid", .summary = "logistic sigmoid" },
    .inputs = 1,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE | OP_NEEDS_OUTPUT,
    .shape = elementwise_shape,
    .forward = sigmoid_forward,
    .backward = sigmoid_backward,
};
