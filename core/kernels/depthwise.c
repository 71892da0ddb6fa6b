/*
 * Depthwise convolution of one family: every channel by itself. A pixel of the blocked layout is
 * n*C numbers; a tile of them at a time keeps its sum in registers over all taps, with the taps'
 * weights, repeated for each image, laid out beside each other before. Forward and the gradient of
 * the input are the same gathering of rows, with input and output exchanged; the gradient of the
 * weights sums a row of pixels in registers, and rows and images in double.
 *
 * Vectors are the compiler's own (of any width, on any machine), not a CPU's intrinsics.
 */
#include <string.h>

#include "core/kernels/conv.h"
#include "core/kernels/family.h"
#include "core/kernels/vector.h"
#include "core/kernels/window.h"

enum {
    VECTORS = 4, /* in a tile */
    TILE = VECTORS * LANES,
    TAPS_MAX = 32, /* laid out at a time */
};

/* What one pass over a tile reads: `taps` rows of weights, each tap's place in the kernel. */
typedef struct Taps {
    uint32_t count, ky[TAPS_MAX], kx[TAPS_MAX];
    real w[TAPS_MAX][TILE];
} Taps;

/* Where the taps of one row of the target read: rows of the source, which are there at all. */
typedef struct RowTaps {
    uint32_t count, kx[TAPS_MAX];
    const real *row[TAPS_MAX], *w[TAPS_MAX];
} RowTaps;

/* One gathering: dst [rows,dst_width,nc] += the taps of src [.,src_width,nc]. */
typedef struct Gather {
    Axis rows, cols;
    bool to_input; /* the target is the convolution's input */
    size_t nc, dst_width, src_width;
    size_t lo, hi; /* columns of dst where every tap is inside and moves on by `step` numbers */
    size_t step;
    const real *src;
    real *dst;
} Gather;

static int64_t source_of(const Axis *a, bool to_input, uint32_t target, uint32_t tap)
{
    return to_input ? axis_output(a, target, tap) : axis_input(a, target, tap);
}

/* dst += sum over the taps, for TILE numbers of each of `pixels` pixels; the next pixel is
 * step_dst numbers on, the taps' sources `step`. */
static inline void add_tiles(size_t pixels, size_t step, size_t step_dst, size_t count,
                             const real *const *x, const real *const *w, real *dst)
{
    for (size_t p = 0; p < pixels; p++, dst += step_dst) {
        Lanes sum[VECTORS];

        for (int v = 0; v < VECTORS; v++)
            sum[v] = ((const Lanes *)dst)[v];
        for (size_t t = 0; t < count; t++)
            for (int v = 0; v < VECTORS; v++)
                sum[v] += ((const Lanes *)(x[t] + p * step))[v] * ((const Lanes *)w[t])[v];
        for (int v = 0; v < VECTORS; v++)
            ((Lanes *)dst)[v] = sum[v];
    }
}

/* The same for the `size` < TILE last numbers of a pixel. */
static void add_rests(size_t size, size_t pixels, size_t step, size_t step_dst, size_t count,
                      const real *const *x, const real *const *w, real *dst)
{
    for (size_t p = 0; p < pixels; p++, dst += step_dst)
        for (size_t t = 0; t < count; t++)
            for (size_t j = 0; j < size; j++)
                dst[j] += x[t][p * step + j] * w[t][j];
}

static void gather_row(const Gather *g, const RowTaps *taps, size_t size, real *dst)
{
    for (size_t col = 0, run; col < g->dst_width; col += run, dst += run * g->nc) {
        const real *x[TAPS_MAX], *w[TAPS_MAX];
        size_t count = 0;

        for (uint32_t t = 0; t < taps->count; t++) {
            int64_t at = source_of(&g->cols, g->to_input, (uint32_t)col, taps->kx[t]);

            if (at == AXIS_OUTSIDE)
                continue;
            x[count] = taps->row[t] + (size_t)at * g->nc;
            w[count++] = taps->w[t];
        }
        run = col >= g->lo && col < g->hi ? g->hi - col : 1;
        if (size == TILE)
            add_tiles(run, g->step, g->nc, count, x, w, dst);
        else
            add_rests(size, run, g->step, g->nc, count, x, w, dst);
    }
}

/* Numbers [j,j+size) of every pixel in rows [row0,row1). */
static void gather_tile(const Gather *g, const Taps *taps, size_t j, size_t size, uint32_t row0,
                        uint32_t row1)
{
    for (uint32_t row = row0; row < row1; row++) {
        RowTaps valid = { .count = 0 };

        for (uint32_t t = 0; t < taps->count; t++) {
            int64_t at = source_of(&g->rows, g->to_input, row, taps->ky[t]);

            if (at == AXIS_OUTSIDE)
                continue;
            valid.row[valid.count] = g->src + (size_t)at * g->src_width * g->nc + j;
            valid.kx[valid.count] = taps->kx[t];
            valid.w[valid.count++] = taps->w[t];
        }
        gather_row(g, &valid, size, g->dst + row * g->dst_width * g->nc + j);
    }
}

static void gather(const ConvShape *s, const Gather *g, uint32_t row0, uint32_t row1, const real *w)
{
    uint32_t all = s->kernel_h * s->kernel_w;
    Taps taps;

    for (uint32_t tap0 = 0; tap0 < all; tap0 += TAPS_MAX) {
        taps.count = all - tap0 < TAPS_MAX ? all - tap0 : TAPS_MAX;
        for (uint32_t t = 0; t < taps.count; t++) {
            taps.ky[t] = (tap0 + t) / s->kernel_w;
            taps.kx[t] = (tap0 + t) % s->kernel_w;
        }
        for (size_t j = 0; j < g->nc; j += TILE) {
            size_t size = g->nc - j < TILE ? g->nc - j : TILE, c = j % s->out;

            for (size_t i = 0; i < size; i++) {
                for (uint32_t t = 0; t < taps.count; t++)
                    taps.w[t][i] = w[(tap0 + t) * s->out + c];
                c = c + 1 < s->out ? c + 1 : 0;
            }
            gather_tile(g, &taps, j, size, row0, row1);
        }
    }
}

/* The columns of dst where every tap is inside; none where their sources do not move alike. */
static void find_inner_columns(const ConvShape *s, Gather *g)
{
    uint32_t last = s->kernel_w - 1, lo = 0, hi = (uint32_t)g->dst_width;

    if (g->to_input && s->stride > 1)
        return;
    while (lo < hi && (source_of(&g->cols, g->to_input, lo, 0) == AXIS_OUTSIDE ||
                       source_of(&g->cols, g->to_input, lo, last) == AXIS_OUTSIDE))
        lo++;
    while (hi > lo && (source_of(&g->cols, g->to_input, hi - 1, 0) == AXIS_OUTSIDE ||
                       source_of(&g->cols, g->to_input, hi - 1, last) == AXIS_OUTSIDE))
        hi--;
    g->lo = lo;
    g->hi = hi;
}

static Gather gather_of(const ConvShape *s, bool to_input, const real *src, real *dst)
{
    Gather g = { .rows = { s->h, s->oh, s->stride, s->padding_h, s->dilation },
                 .cols = { s->w, s->ow, s->stride, s->padding_w, s->dilation },
                 .to_input = to_input,
                 .nc = (size_t)s->n * s->out,
                 .dst_width = to_input ? s->w : s->ow,
                 .src_width = to_input ? s->ow : s->w,
                 .src = src,
                 .dst = dst };

    g.step = to_input ? g.nc : s->stride * g.nc;
    find_inner_columns(s, &g);
    return g;
}

void depthwise_forward(const ConvShape *s, uint32_t row0, uint32_t row1, const real *x,
                       const real *w, const real *bias, real *y)
{
    Gather g = gather_of(s, false, x, y);

    conv_start_rows(s, row0, row1, bias, y);
    gather(s, &g, row0, row1, w);
}

void depthwise_backward_data(const ConvShape *s, uint32_t row0, uint32_t row1, const real *dy,
                             const real *w, real *dx, bool accumulate)
{
    Gather g = gather_of(s, true, dy, dx);
    size_t row = s->w * g.nc;

    if (!accumulate)
        memset(dx + row0 * row, 0, (row1 - row0) * row * sizeof *dx);
    gather(s, &g, row0, row1, w);
}

/* ret [TILE] = sum of x*dy over `count` pixels that lie `step_x` and `step_dy` numbers apart. */
static inline void dot_tile(size_t count, size_t step_x, size_t step_dy, const real *x,
                            const real *dy, real *ret)
{
    Lanes sum[VECTORS] = { { 0 } };

    for (size_t p = 0; p < count; p++, x += step_x, dy += step_dy)
        for (int v = 0; v < VECTORS; v++)
            sum[v] += ((const Lanes *)x)[v] * ((const Lanes *)dy)[v];
    memcpy(ret, sum, sizeof sum);
}

/* The same for the `size` < TILE last numbers of a pixel. */
static void dot_rest(size_t size, size_t count, size_t step_x, size_t step_dy, const real *x,
                     const real *dy, real *ret)
{
    memset(ret, 0, size * sizeof *ret);
    for (size_t p = 0; p < count; p++, x += step_x, dy += step_dy)
        for (size_t j = 0; j < size; j++)
            ret[j] += x[j] * dy[j];
}

/* sum [size] = numbers [j,j+size) of every pixel: one tap's products x*dy over all of them. */
static void sum_tile(const ConvShape *s, uint32_t tap, size_t j, size_t size, const real *x,
                     const real *dy, double *sum)
{
    Axis rows = { s->h, s->oh, s->stride, s->padding_h, s->dilation },
         cols = { s->w, s->ow, s->stride, s->padding_w, s->dilation };
    size_t nc = (size_t)s->n * s->out;
    uint32_t ky = tap / s->kernel_w, kx = tap % s->kernel_w, lo = 0, hi = s->ow;

    while (lo < hi && axis_input(&cols, lo, kx) == AXIS_OUTSIDE)
        lo++;
    while (hi > lo && axis_input(&cols, hi - 1, kx) == AXIS_OUTSIDE)
        hi--;
    memset(sum, 0, size * sizeof *sum);
    for (uint32_t oh = 0; oh < s->oh && lo < hi; oh++) {
        int64_t ih = axis_input(&rows, oh, ky), iw = axis_input(&cols, lo, kx);
        const real *a, *b = dy + ((size_t)oh * s->ow + lo) * nc + j;
        real part[TILE];

        if (ih == AXIS_OUTSIDE)
            continue;
        a = x + ((size_t)ih * s->w + (size_t)iw) * nc + j;
        if (size == TILE)
            dot_tile(hi - lo, s->stride * nc, nc, a, b, part);
        else
            dot_rest(size, hi - lo, s->stride * nc, nc, a, b, part);
        for (size_t i = 0; i < size; i++)
            sum[i] += (double)part[i];
    }
}

void depthwise_backward_weights(const ConvShape *s, uint32_t tap0, uint32_t tap1, uint32_t out0,
                                uint32_t out1, const real *x, const real *dy, real *dw)
{
    size_t nc = (size_t)s->n * s->out;

    for (size_t j = 0; j < nc; j += TILE) /* outermost: a tile's pixels stay in cache over taps */
        for (uint32_t tap = tap0; tap < tap1; tap++) {
            size_t size = nc - j < TILE ? nc - j : TILE, c = j % s->out;
            double sum[TILE];

            sum_tile(s, tap, j, size, x, dy, sum);
            for (size_t i = 0; i < size; i++) {
                if (c >= out0 && c < out1)
                    dw[tap * s->out + c] += (real)sum[i];
                c = c + 1 < s->out ? c + 1 : 0;
            }
        }
}
