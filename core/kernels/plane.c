/*
 * Kernels of small maps, of one family (see family.h): windows over planes in a cache, products of
 * rows by small matrices, and passes over rows of channels.
 *
 * A window keeps the sums of some target pixels in registers while the taps pass by, a vector of
 * each pixel's numbers at a time: a plane's vectors are a cache line each, and few enough to stay
 * in the first cache over all taps. A product keeps a few rows of the result in registers while the
 * small matrix passes by; OpenBLAS packs its operands, which costs more than the product where
 * K and N are 16 to 64. Passes over rows of few channels see several rows as one, with the
 * channels' factors repeated, so that inner loops are long.
 *
 * Vectors are the compiler's own (of any width, on any machine), not a CPU's intrinsics.
 */
#include <stdint.h>
#include <string.h>

#include "core/kernels/family.h"
#include "core/kernels/vector.h"

/* In loops whose bodies are vectors already: the compiler shall not make vectors of their scalars.
 */
#define KEEP_SCALAR __asm__ volatile("")

#define INLINE static inline __attribute__((always_inline))

enum {
    PIXELS = 8, /* of a row, at a time */
    TAPS = 5,   /* whose products with the same pixels are summed at a time */
    DOT_PIXELS = 64,
    ROWS = 8,         /* of a product, at a time */
    SUM_ROWS = 256,   /* added in float; more in double */
    PERIOD_MIN = 128, /* fewer channels than this are repeated, to at most PERIOD_MAX numbers */
    PERIOD_MAX = 256,
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

void planes_dots(const PlaneWindow *p, const real *src, const real *d, double *sum)
{
    size_t k = 0;

    for (; k + LANES <= p->t; k += LANES) {
        size_t t = 0;

        for (; t + TAPS <= p->taps; t += TAPS)
            dots_run(TAPS, p, p->tap + t, src + k, d + k, sum + k);
        for (; t + 2 <= p->taps; t += 2)
            dots_run(2, p, p->tap + t, src + k, d + k, sum + k);
        if (t < p->taps)
            dots_run(1, p, p->tap + t, src + k, d + k, sum + k);
    }
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

/* ---- Rows times a small matrix ---- */

/* Walks over the rows of a matrix. */
typedef struct RowWalk {
    size_t group, outer, inner;
    size_t begin, at, left; /* of the group; of the next row; rows left in the group */
    size_t ahead;           /* how far on to ask for numbers; 0: they are there */
} RowWalk;

static RowWalk row_walk(const RowSteps *steps)
{
    RowWalk w = { .group = steps->group,
                  .outer = steps->outer,
                  .inner = steps->inner,
                  .left = steps->group,
                  .ahead = AHEAD * steps->outer };

    if (w.group == 1) { /* one long group */
        w.inner = w.outer;
        w.group = w.left = SIZE_MAX;
    }
    return w;
}

/* Where the next `rows` begin, which are of one group. */
INLINE size_t rows_next(RowWalk *w, size_t rows)
{
    size_t at = w->at;

    w->left -= rows;
    w->at += rows * w->inner;
    if (w->left == 0) {
        w->at = w->begin += w->outer;
        w->left = w->group;
    }
    return at;
}

/* Whether groups are cut into whole pairs. */
static bool in_pairs(const RowWalk *w)
{
    return w->group == SIZE_MAX || w->group % 2 == 0;
}

/* `vectors` of some rows of c = a b: runs of `length` rows, `a_step` and `c_step` apart. */
INLINE void product_run(size_t runs, size_t length, size_t vectors, size_t k, size_t n,
                        const real *const *a, size_t a_step, const real *b, real *const *c,
                        size_t c_step)
{
    Lanes sum[ROWS][2];

    for (size_t r = 0; r < runs * length; r++)
        for (size_t v = 0; v < vectors; v++)
            sum[r][v] = (Lanes){ 0 };
    for (size_t i = 0; i < k; i++, b += n) {
        Lanes factor[2];

        KEEP_SCALAR;
        for (size_t v = 0; v < vectors; v++)
            factor[v] = ((const Lanes *)b)[v];
        for (size_t r = 0; r < runs * length; r++)
            for (size_t v = 0; v < vectors; v++)
                sum[r][v] += a[r / length][r % length * a_step + i] * factor[v];
    }
    for (size_t r = 0; r < runs * length; r++)
        for (size_t v = 0; v < vectors; v++)
            ((Lanes *)(c[r / length] + r % length * c_step))[v] = sum[r][v];
}

/* Columns [0,width) that are no whole vector, of one row. */
static void product_rest(size_t width, size_t k, size_t n, const real *a, const real *b, real *c)
{
    real sum[LANES] = { 0 };

    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < width; j++)
            sum[j] += a[i] * b[i * n + j];
    memcpy(c, sum, width * sizeof *sum);
}

/* All columns of some rows. */
INLINE void product_rows(size_t runs, size_t length, size_t k, size_t n, RowWalk *a_walk,
                         const real *a, const real *b, RowWalk *c_walk, real *c)
{
    const real *from[ROWS];
    real *to[ROWS];
    size_t at = 0;

    for (size_t r = 0; r < runs; r++) {
        from[r] = a + rows_next(a_walk, length);
        to[r] = c + rows_next(c_walk, length);
        for (size_t i = 0; i < length; i++) {
            ask_for(from[r] + a_walk->ahead + i * a_walk->inner, k);
            ask_for(to[r] + c_walk->ahead + i * c_walk->inner, n);
        }
    }
    for (; at + 2 * LANES <= n; at += 2 * LANES) {
        product_run(runs, length, 2, k, n, from, a_walk->inner, b + at, to, c_walk->inner);
        for (size_t r = 0; r < runs; r++)
            to[r] += 2 * LANES;
    }
    for (; at + LANES <= n; at += LANES) {
        product_run(runs, length, 1, k, n, from, a_walk->inner, b + at, to, c_walk->inner);
        for (size_t r = 0; r < runs; r++)
            to[r] += LANES;
    }
    for (size_t r = 0; at < n && r < runs * length; r++)
        product_rest(n - at, k, n, from[r / length] + r % length * a_walk->inner, b + at,
                     to[r / length] + r % length * c_walk->inner);
}

void planes_product(size_t rows, size_t k, size_t n, const real *a, const RowSteps *a_steps,
                    const real *b, real *c, const RowSteps *c_steps)
{
    RowWalk a_walk = row_walk(a_steps), c_walk = row_walk(c_steps);
    size_t r = 0;

    if (in_pairs(&a_walk) && in_pairs(&c_walk))
        for (; r + ROWS <= rows; r += ROWS)
            product_rows(ROWS / 2, 2, k, n, &a_walk, a, b, &c_walk, c);
    for (; r < rows; r++)
        product_rows(1, 1, k, n, &a_walk, a, b, &c_walk, c);
}

/* dw [ROWS or 1, LANES] += a^T d over `rows` rows, whose beginnings are given. */
INLINE void outer_run(size_t height, size_t rows, size_t n, const real *const *a,
                      const real *const *d, size_t at_a, size_t at_d, real *dw)
{
    Lanes sum[ROWS];

    for (size_t i = 0; i < height; i++)
        sum[i] = *(const Lanes *)(dw + i * n);
    for (size_t r = 0; r < rows; r++) {
        const real *x = a[r] + at_a;
        Lanes factor = *(const Lanes *)(d[r] + at_d);

        KEEP_SCALAR;
        for (size_t i = 0; i < height; i++)
            sum[i] += x[i] * factor;
    }
    for (size_t i = 0; i < height; i++)
        *(Lanes *)(dw + i * n) = sum[i];
}

static void outer_rows(size_t rows, size_t k, size_t n, const real *const *a, const real *const *d,
                       real *dw)
{
    for (size_t j = 0; j < n; j += LANES) {
        size_t i = 0;

        if (n - j < LANES) {
            for (size_t r = 0; r < rows; r++)
                for (i = 0; i < k; i++)
                    for (size_t v = j; v < n; v++)
                        dw[i * n + v] += a[r][i] * d[r][v];
            return;
        }
        for (; i + ROWS <= k; i += ROWS)
            outer_run(ROWS, rows, n, a, d, i, j, dw + i * n + j);
        for (; i < k; i++)
            outer_run(1, rows, n, a, d, i, j, dw + i * n + j);
    }
}

void planes_outer(size_t rows, size_t k, size_t n, const real *a, const RowSteps *a_steps,
                  const real *d, const RowSteps *d_steps, double *dw, real *work)
{
    RowWalk next_a = row_walk(a_steps), next_d = row_walk(d_steps);
    const real *from[SUM_ROWS], *with[SUM_ROWS];

    for (size_t r = 0; r < rows; r += SUM_ROWS) {
        size_t part = rows - r < SUM_ROWS ? rows - r : SUM_ROWS;

        for (size_t i = 0; i < part; i++) {
            from[i] = a + rows_next(&next_a, 1);
            with[i] = d + rows_next(&next_d, 1);
        }
        memset(work, 0, k * n * sizeof *work);
        outer_rows(part, k, n, from, with, work);
        for (size_t i = 0; i < k * n; i++)
            dw[i] += (double)work[i];
    }
}

/* ---- Passes over rows of channels ---- */

/* How many rows of c channels are seen as one. */
static size_t period_of(size_t c)
{
    return c >= PERIOD_MIN ? 1 : PERIOD_MAX / c;
}

/* Repeats the channels' numbers; the pointer to use. */
static const real *repeated(size_t times, size_t c, const real *x, real *room)
{
    if (times == 1 || x == NULL)
        return x;
    for (size_t i = 0; i < times; i++)
        memcpy(room + i * c, x, c * sizeof *x);
    return room;
}

INLINE void affine_rows(size_t rows, size_t c, const real *x, const real *a, const real *b, real *y,
                        bool accumulate, bool shift)
{
    for (size_t r = 0; r < rows; r++, x += c, y += c)
        for (size_t j = 0; j < c; j++) {
            real v = x[j] * a[j];

            v = shift ? v + b[j] : v;
            y[j] = accumulate ? y[j] + v : v;
        }
}

static void affine_any(size_t rows, size_t c, const real *x, const real *a, const real *b, real *y,
                       bool accumulate)
{
    if (accumulate && b != NULL)
        affine_rows(rows, c, x, a, b, y, true, true);
    else if (accumulate)
        affine_rows(rows, c, x, a, a, y, true, false);
    else if (b != NULL)
        affine_rows(rows, c, x, a, b, y, false, true);
    else
        affine_rows(rows, c, x, a, a, y, false, false);
}

void channels_affine(size_t rows, size_t c, const real *x, const real *a, const real *b, real *y,
                     bool accumulate)
{
    size_t times = period_of(c), whole = rows / times;
    real room_a[PERIOD_MAX], room_b[PERIOD_MAX];

    affine_any(whole, times * c, x, repeated(times, c, a, room_a), repeated(times, c, b, room_b), y,
               accumulate);
    whole *= times;
    affine_any(rows - whole, c, x + whole * c, a, b, y + whole * c, accumulate);
}

/* Of `c` <= PERIOD_MAX columns. */
INLINE void dots_rows(size_t rows, size_t c, size_t stride, const real *x, const real *dy,
                      const real *mean, real *sum, real *product)
{
    for (size_t r = 0; r < rows; r++, x += stride, dy += stride)
        for (size_t j = 0; j < c; j++) {
            sum[j] += dy[j];
            product[j] += dy[j] * (x[j] - mean[j]);
        }
}

/* Rows of `width` = times*c numbers. */
static void dots_any(size_t rows, size_t width, size_t c, const real *x, const real *dy,
                     const real *mean, double *sum, double *product)
{
    for (size_t r = 0; r < rows; r += SUM_ROWS) {
        size_t some = rows - r < SUM_ROWS ? rows - r : SUM_ROWS;

        for (size_t j = 0; j < width; j += PERIOD_MAX) {
            size_t t = width - j < PERIOD_MAX ? width - j : PERIOD_MAX;
            real s[PERIOD_MAX] = { 0 }, q[PERIOD_MAX] = { 0 };

            dots_rows(some, t, width, x + r * width + j, dy + r * width + j, mean + j, s, q);
            for (size_t i = 0, k = j % c; i < t; i++, k = k + 1 < c ? k + 1 : 0) {
                sum[k] += (double)s[i];
                product[k] += (double)q[i];
            }
        }
    }
}

void channels_dots(size_t rows, size_t c, const real *x, const real *dy, const real *mean,
                   double *sum, double *product)
{
    size_t times = period_of(c), whole = rows / times;
    real room[PERIOD_MAX];

    memset(sum, 0, c * sizeof *sum);
    memset(product, 0, c * sizeof *product);
    dots_any(whole, times * c, c, x, dy, repeated(times, c, mean, room), sum, product);
    whole *= times;
    dots_any(rows - whole, c, c, x + whole * c, dy + whole * c, mean, sum, product);
}

INLINE void normal_rows(size_t rows, size_t c, const real *x, const real *dy, const real *mean,
                        const real *a, const real *b, const real *d, real *dx, bool accumulate)
{
    for (size_t r = 0; r < rows; r++, x += c, dy += c, dx += c)
        for (size_t j = 0; j < c; j++) {
            real v = a[j] * dy[j] + b[j] * (x[j] - mean[j]) + d[j];

            dx[j] = accumulate ? dx[j] + v : v;
        }
}

static void normal_any(size_t rows, size_t c, const real *x, const real *dy, const real *mean,
                       const real *a, const real *b, const real *d, real *dx, bool accumulate)
{
    if (accumulate)
        normal_rows(rows, c, x, dy, mean, a, b, d, dx, true);
    else
        normal_rows(rows, c, x, dy, mean, a, b, d, dx, false);
}

void channels_backward(size_t rows, size_t c, const real *x, const real *dy, const real *mean,
                       const real *a, const real *b, const real *d, real *dx, bool accumulate)
{
    size_t times = period_of(c), whole = rows / times;
    real room[4][PERIOD_MAX];

    normal_any(whole, times * c, x, dy, repeated(times, c, mean, room[0]),
               repeated(times, c, a, room[1]), repeated(times, c, b, room[2]),
               repeated(times, c, d, room[3]), dx, accumulate);
    whole *= times;
    normal_any(rows - whole, c, x + whole * c, dy + whole * c, mean, a, b, d, dx + whole * c,
               accumulate);
}

/* Adds the sums of x - about and of its square. */
static void moments_any(size_t rows, size_t width, size_t c, const real *x, const real *about,
                        double *sum, double *square)
{
    for (size_t r = 0; r < rows; r += SUM_ROWS) {
        size_t some = rows - r < SUM_ROWS ? rows - r : SUM_ROWS;

        for (size_t j = 0; j < width; j += PERIOD_MAX) {
            size_t t = width - j < PERIOD_MAX ? width - j : PERIOD_MAX;
            real s[PERIOD_MAX] = { 0 }, q[PERIOD_MAX] = { 0 };

            for (size_t i = 0; i < some; i++)
                for (size_t k = 0; k < t; k++) {
                    real d = x[(r + i) * width + j + k] - about[j + k];

                    s[k] += d;
                    q[k] += d * d;
                }
            for (size_t i = 0, k = j % c; i < t; i++, k = k + 1 < c ? k + 1 : 0) {
                sum[k] += (double)s[i];
                square[k] += (double)q[i];
            }
        }
    }
}

/* Sums about a number near the mean: the first row. */
void channels_moments(size_t rows, size_t c, const real *x, double *mean, double *m2)
{
    size_t times = period_of(c), whole = rows / times;
    real room[PERIOD_MAX];

    memset(mean, 0, c * sizeof *mean);
    memset(m2, 0, c * sizeof *m2);
    moments_any(whole, times * c, c, x, repeated(times, c, x, room), mean, m2);
    whole *= times;
    moments_any(rows - whole, c, c, x + whole * c, x, mean, m2);
    for (size_t j = 0; j < c; j++) {
        double shift = mean[j] / (double)rows;

        m2[j] -= mean[j] * shift;
        m2[j] = m2[j] > 0 ? m2[j] : 0;
        mean[j] = (double)x[j] + shift;
    }
}
