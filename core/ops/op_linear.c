/*
 * linear -- y = x W^T + b.   x: [N,I], weight: [O,I] (in memory [I,O]), bias: [O], y: [N,O].
 */
#include <string.h>

#include "core/ops/op.h"

enum { VALUE_FEATURES };

static const Param linear_params[] = {
    { "features", PARAM_INT, 10, 1, 65536, NULL, "output features" },
};

static Status linear_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret, Error *err)
{
    uint32_t n = in[0].dim[0], i = in[0].dim[1], o = (uint32_t)value[VALUE_FEATURES];

    if (in[0].rank != 2)
        return error_set(err, STATUS_BAD_SHAPE, "linear wants [N,I], got rank %u", in[0].rank);
    *ret = (OpShapes){
        .out = shape2(n, o),
        .weights = 2,
        .weight = { { "weight", shape2(o, i), WEIGHT_TRAINED, WEIGHT_LINEAR, INIT_UNIFORM, i },
                    { "bias", shape1(o), WEIGHT_TRAINED, WEIGHT_PLAIN, INIT_UNIFORM, i } },
        .flops = 2.0 * n * i * o,
    };
    return STATUS_OK;
}

/* A unit is a block of images. */
static void forward_block(void *context, size_t b)
{
    const OpCall *c = context;
    size_t n = block_images(c->out.shape.dim[0], (uint32_t)b), i = c->in[0].shape.dim[1],
           o = c->out.shape.dim[1];
    const real *x = c->in[0].data + b * BLOCK_IMAGES * i;
    real *y = c->out.data + b * BLOCK_IMAGES * o;

    for (size_t r = 0; r < n; r++)
        memcpy(y + r * o, c->weight[1], o * sizeof *y);
    c->kernels->gemm(false, false, n, o, i, x, i, c->weight[0], o, 1, y, o);
}

static void linear_forward(const OpCall *call)
{
    pool_run(call->pool, block_count(call->out.shape.dim[0]), forward_block, (void *)call);
}

static void backward_block(void *context, size_t b)
{
    const OpCall *c = context;
    size_t n = block_images(c->out.shape.dim[0], (uint32_t)b), i = c->in[0].shape.dim[1],
           o = c->out.shape.dim[1];

    c->kernels->gemm(false, true, n, i, o, c->out_gradient + b * BLOCK_IMAGES * o, o, c->weight[0],
                     o, c->accumulate[0] ? 1 : 0, c->in_gradient[0] + b * BLOCK_IMAGES * i, i);
}

static void linear_backward(const OpCall *call)
{
    size_t n = call->out.shape.dim[0], i = call->in[0].shape.dim[1], o = call->out.shape.dim[1];
    real *db = call->weight_gradient[1];

    if (call->in_gradient[0] != NULL)
        pool_run(call->pool, block_count((uint32_t)n), backward_block, (void *)call);
    if (call->weight_gradient[0] != NULL)
        call->kernels->gemm(true, false, i, o, n, call->in[0].data, i, call->out_gradient, o, 1,
                            call->weight_gradient[0], o);
    for (size_t r = 0; r < n && db != NULL; r++)
        for (size_t j = 0; j < o; j++)
            db[j] += call->out_gradient[r * o + j];
}

const Op op_linear = {
    .described = { "linear", "fully connected layer with bias", linear_params, 1 },
    .inputs = 1,
    .flags = OP_WEIGHTS_NEED_INPUT,
    .shape = linear_shape,
    .forward = linear_forward,
    .backward = linear_backward,
};
