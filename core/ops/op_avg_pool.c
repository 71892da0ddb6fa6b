/*
 * avg_pool -- the mean of each window; padding is not counted (PyTorch's count_include_pad=False).
 * x: [N,H,W,C], y: [N,OH,OW,C].
 */
#include "core/ops/pooling.h"

static Status avg_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                        Error *err)
{
    (void)inputs;
    return pooling_shape("avg_pool", value, &in[0], ret, err);
}

static void forward_unit(const OpCall *c, const PoolingUnit *u)
{
    c->kernels->avg_pool_forward(&u->s, u->row0, u->row1, c->in[0].data + u->in,
                                 c->out.data + u->out);
}

static void backward_unit(const OpCall *c, const PoolingUnit *u)
{
    c->kernels->avg_pool_backward(&u->s, u->row0, u->row1, c->out_gradient + u->out,
                                  c->in_gradient[0] + u->in, c->accumulate[0]);
}

static void avg_forward(const OpCall *call)
{
    pooling_run(call, false, forward_unit);
}

static void avg_backward(const OpCall *call)
{
    if (call->in_gradient[0] != NULL)
        pooling_run(call, true, backward_unit);
}

const Op op_avg_pool = {
    .described = { "avg_pool", "mean of each window, without the padding", pooling_params,
                   POOLING_VALUES },
    .inputs = 1,
    .shape = avg_shape,
    .forward = avg_forward,
    .backward = avg_backward,
};
