/*
 * linear -- y = x W^T + b.   x: [N,I] or [N,1,1,I], weight: [O,I] (in memory [I,O]), bias: [O],
 * y: [N,O].
 */
#include <string.h>

#include "core/ops/op.h"

enum { VALUE_FEATURES, VALUE_BIAS };
enum { WEIGHT, BIAS };

static const Param linear_params[] = {
    { "features", PARAM_INT, 10, 1, 65536, NULL, "output features" },
    { "bias", PARAM_BOOL, 1, 0, 1, NULL, "add a bias" },
};

static Status linear_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                           Error *err)
{
    uint32_t n = in[0].dim[0], i = in[0].rank == 4 ? in[0].dim[3] : in[0].dim[1],
             o = (uint32_t)value[VALUE_FEATURES];

    if (in[0].rank != 2 && in[0].rank != 4)
        return error_set(err, STATUS_BAD_SHAPE, "linear wants [N,I] or [N,1,1,I], got rank %u",
                         in[0].rank);
    if (in[0].rank == 4 && (in[0].dim[1] != 1 || in[0].dim[2] != 1))
        return error_set(err, STATUS_BAD_SHAPE, "linear wants images of one pixel, got %ux%u",
                         in[0].dim[1], in[0].dim[2]);
    *ret = (OpShapes){
        .out = shape2(n, o),
        .weights = value[VALUE_BIAS] != 0 ? 2 : 1,
        .weight = { [WEIGHT] = { "weight", shape2(o, i), WEIGHT_TRAINED, WEIGHT_LINEAR,
                                 INIT_UNIFORM, i },
                    [BIAS] = { "bias", shape1(o), WEIGHT_TRAINED, WEIGHT_PLAIN, INIT_UNIFORM, i } },
        .flops = 2.0 * n * i * o,
    };
    return STATUS_OK;
}

static size_t in_features(const OpCall *c)
{
    return c->in[0].shape.dim[c->in[0].shape.rank - 1];
}

/* A unit is a block of images; images of one pixel lie in it as the rows of a matrix do. */
static void forward_block(void *context, size_t b)
{
    const OpCall *c = context;
    size_t n = block_images(c->out.shape.dim[0], (uint32_t)b), i = in_features(c),
           o = c->out.shape.dim[1];
    const real *x = c->in[0].data + b * BLOCK_IMAGES * i;
    real *y = c->out.data + b * BLOCK_IMAGES * o;
    bool bias = c->value[VALUE_BIAS] != 0;

    for (size_t r = 0; r < n && bias; r++)
        memcpy(y + r * o, c->weight[BIAS], o * sizeof *y);
    c->kernels->gemm(false, false, n, o, i, x, i, c->weight[WEIGHT], o, bias ? 1 : 0, y, o);
}

static void linear_forward(const OpCall *call)
{
    pool_run(call->pool, block_count(call->out.shape.dim[0]), forward_block, (void *)call);
}

static void backward_block(void *context, size_t b)
{
    const OpCall *c = context;
    size_t n = block_images(c->out.shape.dim[0], (uint32_t)b), i = in_features(c),
           o = c->out.shape.dim[1];

    c->kernels->gemm(false, true, n, i, o, c->out_gradient + b * BLOCK_IMAGES * o, o,
                     c->weight[WEIGHT], o, c->accumulate[0] ? 1 : 0,
                     c->in_gradient[0] + b * BLOCK_IMAGES * i, i);
}

static void linear_backward(const OpCall *call)
{
    size_t n = call->out.shape.dim[0], i = in_features(call), o = call->out.shape.dim[1];
    real *db = call->weight_gradient[BIAS];

    if (call->in_gradient[0] != NULL)
        pool_run(call->pool, block_count((uint32_t)n), backward_block, (void *)call);
    if (call->weight_gradient[WEIGHT] != NULL)
        call->kernels->gemm(true, false, i, o, n, call->in[0].data, i, call->out_gradient, o, 1,
                            call->weight_gradient[WEIGHT], o);
    for (size_t r = 0; r < n && db != NULL; r++)
        for (size_t j = 0; j < o; j++)
            db[j] += call->out_gradient[r * o + j];
}

const Op op_linear = {
    .described = { "linear", "fully connected layer", linear_params, 2 },
    .inputs = 1,
    .flags = OP_WEIGHTS_NEED_INPUT,
    .shape = linear_shape,
    .forward = linear_forward,
    .backward = linear_backward,
};
