/*
 * global_avg_pool -- the mean over all pixels.   x: [N,H,W,C], y: [N,C].
 */
#include "core/ops/op.h"

static Status pool_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                         Error *err)
{
    (void)value;
    if (in[0].rank != 4)
        return error_set(err, STATUS_BAD_SHAPE, "global_avg_pool wants [N,H,W,C], got rank %u",
                         in[0].rank);
    *ret = (OpShapes){ .out = shape2(in[0].dim[0], in[0].dim[3]) };
    return STATUS_OK;
}

typedef struct Block {
    size_t n, pixels, c;
    size_t in, out; /* offsets of the block */
} Block;

static Block block_at(const Shape *x, size_t b)
{
    Block k = { .n = block_images(x->dim[0], (uint32_t)b),
                .pixels = (size_t)x->dim[1] * x->dim[2],
                .c = x->dim[3] };

    k.in = b * BLOCK_IMAGES * k.pixels * k.c;
    k.out = b * BLOCK_IMAGES * k.c;
    return k;
}

static void forward_block(void *context, size_t b)
{
    const OpCall *c = context;
    Block k = block_at(&c->in[0].shape, b);

    c->kernels->mean_pool(k.pixels, k.n, k.c, c->in[0].data + k.in, c->out.data + k.out);
}

static void backward_block(void *context, size_t b)
{
    const OpCall *c = context;
    Block k = block_at(&c->in[0].shape, b);

    c->kernels->mean_pool_backward(k.pixels, k.n, k.c, c->out_gradient + k.out,
                                   c->in_gradient[0] + k.in, c->accumulate[0]);
}

static void pool_forward(const OpCall *call)
{
    pool_run(call->pool, block_count(call->in[0].shape.dim[0]), forward_block, (void *)call);
}

static void pool_backward(const OpCall *call)
{
    if (call->in_gradient[0] != NULL)
        pool_run(call->pool, block_count(call->in[0].shape.dim[0]), backward_block, (void *)call);
}

const Op op_global_avg_pool = {
    .described = { .name = "global_avg_pool", .summary = "mean over all pixels" },
    .inputs = 1,
    .shape = pool_shape,
    .forward = pool_forward,
    .backward = pool_backward,
};
