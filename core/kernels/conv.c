/*
 * In the blocked layout the n images of a block lie beside each other at every pixel, so for one
 * tap (ky,kx) and one output row, the input pixels that meet the output pixels ow0..ow1 are, at
 * stride 1, one contiguous matrix of (ow1-ow0)*n rows and I columns: no im2col, no edge cases
 * inside a vector; a border only shortens the run. At other strides the run is one pixel (n rows).
 * Where a tap's runs span whole rows, rows are joined into one product. A group's channels are
 * a slice of the columns of all three matrices.
 */
#include "core/kernels/conv.h"

#include <string.h>

#include "core/kernels/gemm.h"

/* Output positions [lo,hi) whose input position o*stride + shift - padding lies inside [0,size);
 * a tap's shift is its number times the dilation. */
typedef struct Range {
    uint32_t lo, hi;
} Range;

static Range valid_outputs(uint32_t size, uint32_t out, uint32_t stride, uint32_t padding,
                           uint32_t shift)
{
    uint32_t lo = shift >= padding ? 0 : (padding - shift + stride - 1) / stride;
    uint32_t last = size - 1 + padding; /* the largest o*stride + shift that is inside */
    uint32_t hi = last < shift ? 0 : (last - shift) / stride + 1;

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

/* Calls body for the runs of `tap` that fall into output rows [row0,row1). */
static void each_run(const ConvShape *s, uint32_t tap, uint32_t row0, uint32_t row1, RunBody *body,
                     const void *context)
{
    uint32_t down = tap / s->kernel_w * s->dilation, right = tap % s->kernel_w * s->dilation;
    Range rows = valid_outputs(s->h, s->oh, s->stride, s->padding_h, down);
    Range cols = valid_outputs(s->w, s->ow, s->stride, s->padding_w, right);
    bool whole = s->stride == 1 && cols.lo == 0 && cols.hi == s->w && s->ow == s->w;
    uint32_t lo = rows.lo > row0 ? rows.lo : row0, hi = rows.hi < row1 ? rows.hi : row1;

    if (lo >= hi || cols.lo >= cols.hi)
        return;
    if (whole) {
        Run run = { lo, 0, lo + down - s->padding_h, 0, (size_t)(hi - lo) * s->w };

        body(s, &run, context);
        return;
    }
    for (uint32_t oh = lo; oh < hi; oh++) {
        uint32_t ih = oh * s->stride + down - s->padding_h;

        if (s->stride == 1) {
            Run run = { oh, cols.lo, ih, cols.lo + right - s->padding_w, cols.hi - cols.lo };

            body(s, &run, context);
            continue;
        }
        for (uint32_t ow = cols.lo; ow < cols.hi; ow++) {
            Run run = { oh, ow, ih, ow * s->stride + right - s->padding_w, 1 };

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

static size_t tap_numbers(const ConvShape *s)
{
    return (size_t)(s->in / s->groups) * s->out;
}

bool conv_is_depthwise(const ConvShape *s)
{
    return s->groups == s->in && s->groups == s->out && s->groups > 1;
}

typedef struct ForwardContext {
    const real *x, *w_tap;
    real *y;
} ForwardContext;

static void forward_run(const ConvShape *s, const Run *r, const void *context)
{
    const ForwardContext *f = context;
    uint32_t in = s->in / s->groups, out = s->out / s->groups;

    for (uint32_t g = 0; g < s->groups; g++)
        gemm_blas(false, false, r->count * s->n, out, in, f->x + in_at(s, r) + g * in, s->in,
                  f->w_tap + g * out, s->out, 1, f->y + out_at(s, r) + g * out, s->out);
}

void conv_start_rows(const ConvShape *s, uint32_t row0, uint32_t row1, const real *bias, real *y)
{
    size_t row = (size_t)s->ow * s->n * s->out;

    if (bias == NULL) {
        memset(y + row0 * row, 0, (row1 - row0) * row * sizeof *y);
        return;
    }
    for (size_t at = row0 * row; at < row1 * row; at += s->out)
        memcpy(y + at, bias, s->out * sizeof *y);
}

void conv_forward_taps(const ConvShape *s, uint32_t row0, uint32_t row1, const real *x,
                       const real *w, const real *bias, real *y)
{
    conv_start_rows(s, row0, row1, bias, y);
    for (uint32_t tap = 0; tap < s->kernel_h * s->kernel_w; tap++) {
        ForwardContext f = { x, w + tap * tap_numbers(s), y };

        each_run(s, tap, row0, row1, forward_run, &f);
    }
}

typedef struct DataContext {
    const real *dy, *w_tap;
    real *dx;
} DataContext;

static void data_run(const ConvShape *s, const Run *r, const void *context)
{
    const DataContext *d = context;
    uint32_t in = s->in / s->groups, out = s->out / s->groups;

    for (uint32_t g = 0; g < s->groups; g++)
        gemm_blas(false, true, r->count * s->n, in, out, d->dy + out_at(s, r) + g * out, s->out,
                  d->w_tap + g * out, s->out, 1, d->dx + in_at(s, r) + g * in, s->in);
}

void conv_backward_data_taps(const ConvShape *s, uint32_t row0, uint32_t row1, const real *dy,
                             const real *w, real *dx, bool accumulate)
{
    size_t row = (size_t)s->w * s->n * s->in;

    if (!accumulate)
        memset(dx + row0 * row, 0, (row1 - row0) * row * sizeof *dx);
    for (uint32_t tap = 0; tap < s->kernel_h * s->kernel_w; tap++) {
        uint32_t down = tap / s->kernel_w * s->dilation, first = row0 + s->padding_h,
                 end = row1 + s->padding_h;
        /* The output rows that this tap connects with input rows [row0,row1): oh*stride + down -
         * padding in there. */
        uint32_t lo = first <= down ? 0 : (first - down + s->stride - 1) / s->stride;
        uint32_t hi = end <= down ? 0 : (end - down - 1) / s->stride + 1;
        DataContext d = { dy, w + tap * tap_numbers(s), dx };

        each_run(s, tap, lo, hi < s->oh ? hi : s->oh, data_run, &d);
    }
}

typedef struct WeightsContext {
    const real *x, *dy;
    real *dw_tap;
    uint32_t out0, out1;
} WeightsContext;

static void weights_run(const ConvShape *s, const Run *r, const void *context)
{
    const WeightsContext *c = context;
    uint32_t in = s->in / s->groups, out = s->out / s->groups;

    for (uint32_t g = c->out0 / out; g * out < c->out1; g++) {
        uint32_t lo = g * out > c->out0 ? g * out : c->out0,
                 hi = (g + 1) * out < c->out1 ? (g + 1) * out : c->out1;

        gemm_blas(true, false, in, hi - lo, r->count * s->n, c->x + in_at(s, r) + g * in, s->in,
                  c->dy + out_at(s, r) + lo, s->out, 1, c->dw_tap + lo, s->out);
    }
}

void conv_backward_weights_taps(const ConvShape *s, uint32_t tap0, uint32_t tap1, uint32_t out0,
                                uint32_t out1, const real *x, const real *dy, real *dw)
{
    for (uint32_t tap = tap0; tap < tap1; tap++) {
        WeightsContext c = { x, dy, dw + tap * tap_numbers(s), out0, out1 };

        each_run(s, tap, 0, s->oh, weights_run, &c);
    }
}
