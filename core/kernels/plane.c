/*
 * Windows over small maps that lie in a cache, of one family (see family.h).
 *
 * A window keeps the sums of some target pixels in registers while the taps pass by, a vector of
 * each pixel's numbers at a time: a plane's vectors are a cache line each, and few enough to stay
 * in the first cache over all taps. Vectors are the compiler's own (of any width, on any machine),
 * not a CPU's intrinsics; sums are enough of them at a time to hide how long one takes.
 */
#include <stdint.h>
#include <string.h>

#include "core/kernels/family.h"
#include "core/kernels/vector.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    PIXELS = 8, /* of a row, at a time */
    TAPS = 9,   /* whose products with the same pixels are summed at a time */
    DOT_PIXELS = 64,
    AHEAD = 16,      /* pixels that are asked for before they are needed */
    STORE_TILE = 64, /* numbers of a pixel whose sums are kept */
};

/* ---- Windows ---- */

/* `pixels` target pixels, one vector of each. */
INLINE void gather_run(size_t pixels, const PlaneWindow *p, const real *w, const real *src,
                       real *dst)
{
    Lanes sum[PIXELS];

    for (size_t i = 0; i < pixels; i++)
        sum[i] = (Lanes){ 0 };
    for (size_t t = 0; t < p->taps; t++) {
        const real *x = src + p->tap[t].at;
        Lanes factor = *(const Lanes *)(w + p->tap[t].w);

        for (size_t i = 0; i < pixels; i++)
            sum[i] += *(const Lanes *)(x + i * p->src_col) * factor;
    }
    for (size_t i = 0; i < pixels; i++)
        *(Lanes *)(dst + i * p->dst_col) = sum[i];
}

static void gather_lanes(const PlaneWindow *p, const real *w, const real *src, real *dst)
{
    for (size_t i = 0; i < p->rows; i++) {
        const real *x = src + i * p->src_row;
        real *y = dst + i * p->dst_row;
        size_t j = 0;

        for (; j + PIXELS <= p->cols; j += PIXELS)
            gather_run(PIXELS, p, w, x + j * p->src_col, y + j * p->dst_col);
        for (; j < p->cols; j++)
            gather_run(1, p, w, x + j * p->src_col, y + j * p->dst_col);
    }
}

/* The `size` < LANES last numbers of every pixel. */
static void gather_rest(const PlaneWindow *p, size_t size, const real *w, const real *src,
                        real *dst)
{
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++) {
            const real *x = src + i * p->src_row + j * p->src_col;
            real *y = dst + i * p->dst_row + j * p->dst_col;

            memset(y, 0, size * sizeof *y);
            for (size_t t = 0; t < p->taps; t++)
                for (size_t k = 0; k < size; k++)
                    y[k] += x[p->tap[t].at + k] * w[p->tap[t].w + k];
        }
}

void planes_gather(const PlaneWindow *p, const real *w, const real *src, real *dst)
{
    size_t k = 0;

    for (; k + LANES <= p->t; k += LANES)
        gather_lanes(p, w + k, src + k, dst + k);
    if (k < p->t)
        gather_rest(p, p->t - k, w + k, src + k, dst + k);
}

/* `taps` of them, one vector of every pixel; rows of about DOT_PIXELS are summed in float. */
INLINE void dots_run(size_t taps, const PlaneWindow *p, const PlaneTap *tap, const real *src,
                     const real *d, double *sum)
{
    const size_t together = 1 + DOT_PIXELS / p->cols;

    for (size_t i = 0; i < p->rows; i += together) {
        Lanes part[TAPS] = { { 0 } };

        for (size_t r = i; r < i + together && r < p->rows; r++) {
            const real *x = src + r * p->src_row, *y = d + r * p->dst_row;

            for (size_t j = 0; j < p->cols; j++, x += p->src_col, y += p->dst_col) {
                Lanes factor = *(const Lanes *)y;

                for (size_t t = 0; t < taps; t++)
                    part[t] += *(const Lanes *)(x + tap[t].at) * factor;
            }
        }
        for (size_t t = 0; t < taps; t++)
            for (size_t k = 0; k < LANES; k++)
                sum[tap[t].w + k] += (double)part[t][k];
    }
}

static void dots_rest(const PlaneWindow *p, size_t size, const real *src, const real *d,
                      double *sum)
{
    for (size_t t = 0; t < p->taps; t++)
        for (size_t i = 0; i < p->rows; i++)
            for (size_t j = 0; j < p->cols; j++) {
                const real *x = src + i * p->src_row + j * p->src_col + p->tap[t].at;

                for (size_t k = 0; k < size; k++)
                    sum[p->tap[t].w + k] +=
                        (double)x[k] * (double)d[i * p->dst_row + j * p->dst_col + k];
            }
}

/* The next taps of a vector of all pixels, at most TAPS; how many. 25 are 9, 8 and 8. */
static size_t dots_some(const PlaneWindow *p, size_t left, const PlaneTap *tap, const real *src,
                        const real *d, double *sum)
{
    if (left >= 2 * TAPS || left == TAPS) {
        dots_run(TAPS, p, tap, src, d, sum);
        return TAPS;
    }
    if (left >= TAPS - 1) {
        dots_run(TAPS - 1, p, tap, src, d, sum);
        return TAPS - 1;
    }
    if (left >= 4) {
        dots_run(4, p, tap, src, d, sum);
        return 4;
    }
    dots_run(1, p, tap, src, d, sum);
    return 1;
}

void planes_dots(const PlaneWindow *p, const real *src, const real *d, double *sum)
{
    size_t k = 0;

    for (; k + LANES <= p->t; k += LANES)
        for (size_t t = 0; t < p->taps;)
            t += dots_some(p, p->taps - t, p->tap + t, src + k, d + k, sum + k);
    if (k < p->t)
        dots_rest(p, p->t - k, src + k, d + k, sum + k);
}

/* ---- In and out of a plane ---- */

/* Asks for the `count` numbers from x on: what lies a piece here and a piece there in memory, no
 * CPU fetches ahead by itself. */
INLINE void ask_for(const real *x, size_t count)
{
    for (size_t k = 0; k < count; k += 64 / sizeof(real))
        __builtin_prefetch(x + k);
}

INLINE void load_pixel(bool normed, size_t t, const real *restrict scale,
                       const real *restrict shift, const real *restrict x, real *restrict y)
{
    for (size_t k = 0; k < t; k++) {
        real v = normed ? x[k] * scale[k] + shift[k] : x[k];

        y[k] = v < 0 ? 0 : v; /* NaN stays NaN */
    }
}

INLINE void load_rows(bool normed, const PlaneWindow *p, const real *scale, const real *shift,
                      const real *src, real *dst)
{
    const PlaneWindow w = *p;

    for (size_t i = 0; i < w.rows; i++)
        for (size_t j = 0; j < w.cols; j++) {
            const real *x = src + i * w.src_row + j * w.src_col;
            real *y = dst + i * w.dst_row + j * w.dst_col;

            ask_for(x + AHEAD * w.src_col, w.t);
            if (w.t == STORE_TILE)
                load_pixel(normed, STORE_TILE, scale, shift, x, y);
            else
                load_pixel(normed, w.t, scale, shift, x, y);
        }
}

void planes_load(const PlaneWindow *p, const real *scale, const real *shift, const real *src,
                 real *dst)
{
    if (scale != NULL)
        load_rows(true, p, scale, shift, src, dst);
    else
        load_rows(false, p, src, src, src, dst);
}

/* One pixel of planes_blend(). */
INLINE void blend_pixel(size_t t, const real *restrict k, const real *restrict x,
                        const real *restrict dy, real *restrict g)
{
    for (size_t v = 0; v < t; v++)
        g[v] = k[v] * dy[v] + (k[t + v] * (x[v] - k[2 * t + v]) + k[3 * t + v]);
}

void planes_blend(const PlaneWindow *p, const real *k, const real *x, const real *dy, real *g)
{
    const PlaneWindow w = *p;

    for (size_t i = 0; i < w.rows; i++)
        for (size_t j = 0; j < w.cols; j++) {
            size_t at = i * w.src_row + j * w.src_col;
            real *to = g + i * w.dst_row + j * w.dst_col;

            ask_for(x + at + AHEAD * w.src_col, w.t);
            ask_for(dy + at + AHEAD * w.src_col, w.t);
            if (w.t == STORE_TILE)
                blend_pixel(STORE_TILE, k, x + at, dy + at, to);
            else
                blend_pixel(w.t, k, x + at, dy + at, to);
        }
}

INLINE void store_pixel(bool accumulate, bool sums, size_t t, const real *restrict from,
                        const real *restrict y, real *restrict to, real *restrict s,
                        real *restrict q)
{
    for (size_t v = 0; v < t; v++) {
        real d = y[v] > 0 ? from[v] : 0;

        to[v] = accumulate ? to[v] + d : d;
        if (sums) {
            s[v] += d;
            q[v] += d * y[v];
        }
    }
}

/* Numbers [k,k+t) of every pixel; t <= STORE_TILE. The sums of a row of pixels are in float. */
INLINE void store_tile(bool accumulate, bool sums, size_t k, size_t t, const PlaneWindow *p,
                       const real *g, const real *act, const PlaneWindow *at, real *dx, double *sum,
                       double *product)
{
    for (size_t i = 0; i < p->rows; i++) {
        const real *from = g + i * p->src_row + k, *y = act + i * at->src_row + k;
        real *to = dx + i * p->dst_row + k, s[STORE_TILE] = { 0 }, q[STORE_TILE] = { 0 };

        for (size_t j = 0; j < p->cols; j++) {
            ask_for(to + AHEAD * p->dst_col, t);
            store_pixel(accumulate, sums, t, from + j * p->src_col, y + j * at->src_col, to, s, q);
            to += p->dst_col;
        }
        for (size_t v = 0; sums && v < t; v++) {
            sum[k + v] += (double)s[v];
            product[k + v] += (double)q[v];
        }
    }
}

INLINE void store_tiles(bool accumulate, bool sums, const PlaneWindow *p, const real *g,
                        const real *act, const PlaneWindow *at, real *dx, double *sum,
                        double *product)
{
    size_t k = 0;

    for (; k + STORE_TILE <= p->t; k += STORE_TILE)
        store_tile(accumulate, sums, k, STORE_TILE, p, g, act, at, dx, sum, product);
    if (k < p->t)
        store_tile(accumulate, sums, k, p->t - k, p, g, act, at, dx, sum, product);
}

void planes_store(const PlaneWindow *p, const real *g, const real *act, const PlaneWindow *at,
                  real *dx, bool accumulate, double *sum, double *product)
{
    if (sum != NULL)
        store_tiles(false, true, p, g, act, at, dx, sum, product);
    else if (accumulate)
        store_tiles(true, false, p, g, act, at, dx, sum, product);
    else
        store_tiles(false, false, p, g, act, at, dx, sum, product);
}
