/*
 * max_pool -- the largest number of each window; padding never wins.   x: [N,H,W,C],
 * y: [N,OH,OW,C].   saved: y's shape, which tap of the window won: the first in row-major order
 * where several are equal. A NaN wins, as in PyTorch.
 */
#include "core/ops/pooling.h"

static Status max_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                        Error *err)
{
    Status status = pooling_shape("max_pool", value, &in[0], ret, err);

    (void)inputs;
    if (status == STATUS_OK)
        ret->saved = shape_count(&ret->out);
    return status;
}

static void forward_unit(const OpCall *c, const PoolingUnit *u)
{
    c->kernels->max_pool_forward(&u->s, u->row0, u->row1, c->in[0].data + u->in,
                                 c->out.data + u->out, c->saved + u->out);
}

static void backward_unit(const OpCall *c, const PoolingUnit *u)
{
    c->kernels->max_pool_backward(&u->s, u->row0, u->row1, c->out_gradient + u->out,
                                  c->saved + u->out, c->in_gradient[0] + u->in, c->accumulate[0]);
}

static void max_forward(const OpCall *call)
{
    pooling_run(call, false, forward_unit);
}

static void max_backward(const OpCall *call)
{
    if (call->in_gradient[0] != NULL)
        pooling_run(call, true, backward_unit);
}

const Op op_max_pool = {
    .described = { "max_pool", "largest number of each window", pooling_params, POOLING_VALUES },
    .inputs = 1,
    .shape = max_shape,
    .forward = max_forward,
    .backward = max_backward,
};
