/*
 * In the blocked layout the n images of a block lie beside each other at every pixel, so for one
 * tap (ky,kx) and one output row, the input pixels that meet the output pixels ow0..ow1 are, at
 * stride 1, one contiguous matrix of (ow1-ow0)*n rows and I columns: no im2col, no edge cases
 * inside a vector; a border only shortens the run. At other strides the run is one pixel (n rows).
 * Where a tap's runs span whole rows, rows are joined into one product.
 */
#include "core/kernels/conv.h"

#include <string.h>

#include "core/kernels/gemm.h"

/* Output positions [lo,hi) whose input position o*stride + tap - padding lies inside [0,size). */
typedef struct Range {
    uint32_t lo, hi;
} Range;

static Range valid_outputs(uint32_t size, uint32_t out, uint32_t stride, uint32_t padding,
                           uint32_t tap)
{
    uint32_t lo = tap >= padding ? 0 : (padding - tap + stride - 1) / stride;
    uint32_t last = size - 1 + padding; /* the largest o*stride + tap that is inside */
    uint32_t hi = last < tap ? 0 : (last - tap) / stride + 1;

    if (hi > out)
        hi = out;
    return (Range){ lo < hi ? lo : hi, hi };
}

/* One tap's run of pixels: `count` of them from output (oh,ow), at input (ih,iw). */
typedef struct Run {
    uint32_t oh, ow, ih, iw;
    size_t count;
} Run;

typedef void RunBody(const ConvShape *s, const Run *run, const void *context);

/* Calls body for the runs of tap (ky,kx) that fall into output rows [row0,row1). */
static void each_run(const ConvShape *s, uint32_t ky, uint32_t kx, uint32_t row0, uint32_t row1,
                     RunBody *body, const void *context)
{
    Range rows = valid_outputs(s->h, s->oh, s->stride, s->padding, ky);
    Range cols = valid_outputs(s->w, s->ow, s->stride, s->padding, kx);
    bool whole = s->stride == 1 && cols.lo == 0 && cols.hi == s->w && s->ow == s->w;
    uint32_t lo = rows.lo > row0 ? rows.lo : row0, hi = rows.hi < row1 ? rows.hi : row1;

    if (lo >= hi || cols.lo >= cols.hi)
        return;
    if (whole) {
        Run run = { lo, 0, lo + ky - s->padding, 0, (size_t)(hi - lo) * s->w };

        body(s, &run, context);
        return;
    }
    for (uint32_t oh = lo; oh < hi; oh++) {
        uint32_t ih = oh * s->stride + ky - s->padding;

        if (s->stride == 1) {
            Run run = { oh, cols.lo, ih, cols.lo + kx - s->padding, cols.hi - cols.lo };

            body(s, &run, context);
            continue;
        }
        for (uint32_t ow = cols.lo; ow < cols.hi; ow++) {
            Run run = { oh, ow, ih, ow * s->stride + kx - s->padding, 1 };

            body(s, &run, context);
        }
    }
}

static size_t in_at(const ConvShape *s, const Run *r)
{
    return ((size_t)r->ih * s->w + r->iw) * s->n * s->in;
}

static size_t out_at(const ConvShape *s, const Run *r)
{
    return ((size_t)r->oh * s->ow + r->ow) * s->n * s->out;
}

typedef struct ForwardContext {
    const real *x, *w_tap;
    real *y;
} ForwardContext;

static void forward_run(const ConvShape *s, const Run *r, const void *context)
{
    const ForwardContext *f = context;

    gemm_blas(false, false, r->count * s->n, s->out, s->in, f->x + in_at(s, r), s->in, f->w_tap,
              s->out, 1, f->y + out_at(s, r), s->out);
}

void conv_forward_taps(const ConvShape *s, uint32_t row0, uint32_t row1, const real *x,
                       const real *w, real *y)
{
    size_t row = (size_t)s->ow * s->n * s->out;

    memset(y + row0 * row, 0, (row1 - row0) * row * sizeof *y);
    for (uint32_t tap = 0; tap < s->kernel * s->kernel; tap++) {
        ForwardContext f = { x, w + (size_t)tap * s->in * s->out, y };

        each_run(s, tap / s->kernel, tap % s->kernel, row0, row1, forward_run, &f);
    }
}

typedef struct DataContext {
    const real *dy, *w_tap;
    real *dx;
} DataContext;

static void data_run(const ConvShape *s, const Run *r, const void *context)
{
    const DataContext *d = context;

    gemm_blas(false, true, r->count * s->n, s->in, s->out, d->dy + out_at(s, r), s->out, d->w_tap,
              s->out, 1, d->dx + in_at(s, r), s->in);
}

void conv_backward_data_taps(const ConvShape *s, uint32_t row0, uint32_t row1, const real *dy,
                             const real *w, real *dx, bool accumulate)
{
    size_t row = (size_t)s->w * s->n * s->in;

    if (!accumulate)
        memset(dx + row0 * row, 0, (row1 - row0) * row * sizeof *dx);
    for (uint32_t tap = 0; tap < s->kernel * s->kernel; tap++) {
        uint32_t ky = tap / s->kernel;
        /* The output rows that this tap connects with input rows [row0,row1): oh*stride + ky -
         * padding in there. */
        uint32_t lo =
            row0 + s->padding <= ky ? 0 : (row0 + s->padding - ky + s->stride - 1) / s->stride;
        uint32_t hi = row1 + s->padding <= ky ? 0 : (row1 + s->padding - ky - 1) / s->stride + 1;
        DataContext d = { dy, w + (size_t)tap * s->in * s->out, dx };

        each_run(s, ky, tap % s->kernel, lo, hi < s->oh ? hi : s->oh, data_run, &d);
    }
}

typedef struct WeightsContext {
    const real *x, *dy;
    real *dw;
    uint32_t out0, out1;
} WeightsContext;

static void weights_run(const ConvShape *s, const Run *r, const void *context)
{
    const WeightsContext *c = context;

    gemm_blas(true, false, s->in, c->out1 - c->out0, r->count * s->n, c->x + in_at(s, r), s->in,
              c->dy + out_at(s, r) + c->out0, s->out, 1, c->dw + c->out0, s->out);
}

void conv_backward_weights_taps(const ConvShape *s, uint32_t tap, uint32_t out0, uint32_t out1,
                                const real *x, const real *dy, real *dw_tap)
{
    WeightsContext c = { x, dy, dw_tap, out0, out1 };

    each_run(s, tap / s->kernel, tap % s->kernel, 0, s->oh, weights_run, &c);
}
