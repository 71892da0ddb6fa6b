/*
 * In the blocked layout the n images of a block lie beside each other at every pixel, so for one
 * tap (ky,kx) and one output row, the input pixels that meet the output pixels ow0..ow1 are, at
 * stride 1, one contiguous matrix of (ow1-ow0)*n rows and I columns: no im2col, no edge cases
 * inside a vector; a border only shortens the run. Where a tap's runs span whole rows, rows are
 * joined into one product. A group's channels are a slice of the columns of all three matrices.
 *
 * At other strides a run would be one pixel (n rows): too small a product. There, the input pixels
 * that meet a strip of consecutive output pixels through a tap are copied beside each other, zeros
 * for those outside, so that the strip is one product.
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

enum { STRIP_NUMBERS = 1 << 15 }; /* of the copied input */

/* Output pixels [first,first+count) in row-major order, and the input row and column that the
 * output at 0,0 would meet, counted from the padding's corner. */
typedef struct Strip {
    size_t first, count;
    uint32_t down, right;
} Strip;

typedef void StripBody(const ConvShape *s, const Strip *strip, const void *context);

/* Whether strips are worth their copies: at stride 1 runs are long, a huge pixel is product enough,
 * and the sums of a narrow one are added faster in place. */
static bool has_strips(const ConvShape *s)
{
    return s->stride > 1 && (size_t)s->n * (s->in / s->groups) <= STRIP_NUMBERS / 2;
}

static bool has_data_strips(const ConvShape *s)
{
    return has_strips(s) && s->in / s->groups >= 128;
}

/* Calls body for the strips of `tap` that fall into output rows [row0,row1). */
static void each_strip(const ConvShape *s, uint32_t tap, uint32_t row0, uint32_t row1,
                       StripBody *body, const void *context)
{
    Strip strip = { .down = tap / s->kernel_w * s->dilation,
                    .right = tap % s->kernel_w * s->dilation };
    Range rows = valid_outputs(s->h, s->oh, s->stride, s->padding_h, strip.down);
    Range cols = valid_outputs(s->w, s->ow, s->stride, s->padding_w, strip.right);
    uint32_t lo = rows.lo > row0 ? rows.lo : row0, hi = rows.hi < row1 ? rows.hi : row1;
    size_t most = STRIP_NUMBERS / ((size_t)s->n * (s->in / s->groups)), end = (size_t)hi * s->ow;

    if (lo >= hi || cols.lo >= cols.hi)
        return;
    for (strip.first = (size_t)lo * s->ow; strip.first < end; strip.first += strip.count) {
        strip.count = end - strip.first < most ? end - strip.first : most;
        body(s, &strip, context);
    }
}

/* Where the input pixel that meets output pixel `pixel` begins, or SIZE_MAX. */
static size_t strip_input(const ConvShape *s, const Strip *strip, size_t pixel)
{
    size_t row = pixel / s->ow * s->stride + strip->down - s->padding_h,
           col = pixel % s->ow * s->stride + strip->right;

    if (col < s->padding_w || col - s->padding_w >= s->w)
        return SIZE_MAX;
    return (row * s->w + col - s->padding_w) * s->n * s->in;
}

/* ret [count*n, in/groups] = the strip's input pixels, channels from `channel` on. */
static void strip_gather(const ConvShape *s, const Strip *strip, uint32_t channel, const real *x,
                         real *ret)
{
    uint32_t in = s->in / s->groups, rows = s->groups == 1 ? 1 : s->n;
    size_t row = (size_t)s->n * in / rows;

    for (size_t p = strip->first; p < strip->first + strip->count; p++) {
        size_t at = strip_input(s, strip, p);

        for (uint32_t i = 0; i < rows; i++, ret += row)
            if (at == SIZE_MAX)
                memset(ret, 0, row * sizeof *ret);
            else
                memcpy(ret, x + at + (size_t)i * s->in + channel, row * sizeof *ret);
    }
}

/* The other way round: adds `from` to the input pixels. */
static void strip_scatter(const ConvShape *s, const Strip *strip, uint32_t channel,
                          const real *from, real *x)
{
    uint32_t in = s->in / s->groups, rows = s->groups == 1 ? 1 : s->n;
    size_t row = (size_t)s->n * in / rows;

    for (size_t p = strip->first; p < strip->first + strip->count; p++) {
        size_t at = strip_input(s, strip, p);

        for (uint32_t i = 0; i < rows; i++, from += row)
            for (size_t j = 0; j < row && at != SIZE_MAX; j++)
                x[at + (size_t)i * s->in + channel + j] += from[j];
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

static void forward_strip(const ConvShape *s, const Strip *strip, const void *context)
{
    const ForwardContext *f = context;
    uint32_t in = s->in / s->groups, out = s->out / s->groups;
    real x[STRIP_NUMBERS];

    for (uint32_t g = 0; g < s->groups; g++) {
        strip_gather(s, strip, g * in, f->x, x);
        gemm_blas(false, false, strip->count * s->n, out, in, x, in, f->w_tap + g * out, s->out, 1,
                  f->y + strip->first * s->n * s->out + g * out, s->out);
    }
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

        if (has_strips(s))
            each_strip(s, tap, row0, row1, forward_strip, &f);
        else
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

static void data_strip(const ConvShape *s, const Strip *strip, const void *context)
{
    const DataContext *d = context;
    uint32_t in = s->in / s->groups, out = s->out / s->groups;
    real dx[STRIP_NUMBERS];

    for (uint32_t g = 0; g < s->groups; g++) {
        gemm_blas(false, true, strip->count * s->n, in, out,
                  d->dy + strip->first * s->n * s->out + g * out, s->out, d->w_tap + g * out,
                  s->out, 0, dx, in);
        strip_scatter(s, strip, g * in, dx, d->dx);
    }
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

        hi = hi < s->oh ? hi : s->oh;
        if (has_data_strips(s))
            each_strip(s, tap, lo, hi, data_strip, &d);
        else
            each_run(s, tap, lo, hi, data_run, &d);
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

static void weights_strip(const ConvShape *s, const Strip *strip, const void *context)
{
    const WeightsContext *c = context;
    uint32_t in = s->in / s->groups, out = s->out / s->groups;
    real x[STRIP_NUMBERS];

    for (uint32_t g = c->out0 / out; g * out < c->out1; g++) {
        uint32_t lo = g * out > c->out0 ? g * out : c->out0,
                 hi = (g + 1) * out < c->out1 ? (g + 1) * out : c->out1;

        strip_gather(s, strip, g * in, c->x, x);
        gemm_blas(true, false, in, hi - lo, strip->count * s->n, x, in,
                  c->dy + strip->first * s->n * s->out + lo, s->out, 1, c->dw_tap + lo, s->out);
    }
}

void conv_backward_weights_taps(const ConvShape *s, uint32_t tap0, uint32_t tap1, uint32_t out0,
                                uint32_t out1, const real *x, const real *dy, real *dw)
{
    for (uint32_t tap = tap0; tap < tap1; tap++) {
        WeightsContext c = { x, dy, dw + tap * tap_numbers(s), out0, out1 };

        if (has_strips(s))
            each_strip(s, tap, 0, s->oh, weights_strip, &c);
        else
            each_run(s, tap, 0, s->oh, weights_run, &c);
    }
}
