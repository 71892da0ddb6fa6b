/*
 * resize -- bilinear interpolation with half-pixel centres, as F.interpolate(mode="bilinear",
 * align_corners=False).   x: [N,H,W,C], y: [N,height,width,C].
 *
 * Output pixel o stands at (o + 1/2) size/out - 1/2 of the input, but not before its first pixel.
 * Each row and column is then a sum of two; a pixel of a block is a run of n*C numbers, so all is
 * axpy. Units: (block, row), of the output in forward(), of the input in backward(), which gathers
 * so that no two units share a sum.
 */
#include <string.h>

#include "core/ops/op.h"

enum { VALUE_HEIGHT, VALUE_WIDTH };

static const Param resize_params[] = {
    { "height", PARAM_INT, 32, 1, 4096, NULL, "rows of the output" },
    { "width", PARAM_INT, 32, 1, 4096, NULL, "columns of the output" },
};

static Status resize_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                           Error *err)
{
    (void)inputs;
    if (in[0].rank != 4)
        return error_set(err, STATUS_BAD_SHAPE, "resize wants [N,H,W,C], got rank %u", in[0].rank);
    *ret = (OpShapes){ .out = shape4(in[0].dim[0], (uint32_t)value[VALUE_HEIGHT],
                                     (uint32_t)value[VALUE_WIDTH], in[0].dim[3]) };
    return STATUS_OK;
}

/* The two input positions of output position o, and how much each counts. */
typedef struct Taps {
    uint32_t at[2];
    real share[2];
} Taps;

static Taps taps_of(uint32_t o, uint32_t size, uint32_t out)
{
    double x = (o + 0.5) * size / out - 0.5;
    uint32_t first = x < 0 ? 0 : (uint32_t)x;
    real second = x < 0 ? 0 : (real)(x - first);

    return (Taps){ { first, first + 1 < size ? first + 1 : first }, { 1 - second, second } };
}

/* One block of one call. */
typedef struct Block {
    uint32_t h, w, oh, ow;
    size_t run;     /* numbers of a pixel */
    size_t in, out; /* where the block begins */
} Block;

static Block block_at(const OpCall *c, uint32_t b)
{
    const Shape *x = &c->in[0].shape, *y = &c->out.shape;
    Block k = { x->dim[1], x->dim[2], y->dim[1], y->dim[2], 0, 0, 0 };
    size_t before = (size_t)b * BLOCK_IMAGES * x->dim[3];

    k.run = (size_t)block_images(x->dim[0], b) * x->dim[3];
    k.in = before * k.h * k.w;
    k.out = before * k.oh * k.ow;
    return k;
}

static void forward_unit(void *context, size_t u)
{
    const OpCall *c = context;
    uint32_t rows = c->out.shape.dim[1], oh = (uint32_t)(u % rows);
    Block k = block_at(c, (uint32_t)(u / rows));
    Taps row = taps_of(oh, k.h, k.oh);
    real *y = c->out.data + k.out + oh * k.ow * k.run;

    for (uint32_t ow = 0; ow < k.ow; ow++, y += k.run) {
        Taps column = taps_of(ow, k.w, k.ow);

        for (int t = 0; t < 4; t++) {
            size_t pixel = (size_t)row.at[t / 2] * k.w + column.at[t % 2];

            c->kernels->axpy(k.run, row.share[t / 2] * column.share[t % 2],
                             c->in[0].data + k.in + pixel * k.run, y, t > 0);
        }
    }
}

static void resize_forward(const OpCall *call)
{
    pool_run(call->pool, (size_t)block_count(call->out.shape.dim[0]) * call->out.shape.dim[1],
             forward_unit, (void *)call);
}

/* Adds output row oh's share of input row dx. */
static void gather_row(const OpCall *c, const Block *k, uint32_t oh, real share, real *dx)
{
    const real *dy = c->out_gradient + k->out + oh * k->ow * k->run;

    for (uint32_t ow = 0; ow < k->ow; ow++, dy += k->run) {
        Taps column = taps_of(ow, k->w, k->ow);

        for (int t = 0; t < 2; t++)
            c->kernels->axpy(k->run, share * column.share[t], dy, dx + column.at[t] * k->run, true);
    }
}

static void backward_unit(void *context, size_t u)
{
    const OpCall *c = context;
    uint32_t rows = c->in[0].shape.dim[1], ih = (uint32_t)(u % rows);
    Block k = block_at(c, (uint32_t)(u / rows));
    real *dx = c->in_gradient[0] + k.in + ih * k.w * k.run;

    if (!c->accumulate[0])
        memset(dx, 0, k.w * k.run * sizeof *dx);
    for (uint32_t oh = 0; oh < k.oh; oh++) {
        Taps row = taps_of(oh, k.h, k.oh);

        for (int t = 0; t < 2; t++)
            if (row.at[t] == ih && row.share[t] != 0)
                gather_row(c, &k, oh, row.share[t], dx);
    }
}

static void resize_backward(const OpCall *call)
{
    if (call->in_gradient[0] != NULL)
        pool_run(call->pool,
                 (size_t)block_count(call->in[0].shape.dim[0]) * call->in[0].shape.dim[1],
                 backward_unit, (void *)call);
}

const Op op_resize = {
    .described = { "resize", "bilinear interpolation to another size", resize_params, 2 },
    .inputs = 1,
    .shape = resize_shape,
    .forward = resize_forward,
    .backward = resize_backward,
};
