/*
 * The loops of one CPU family: this file is compiled once for each, with LEASED_FAMILY its name and
 * the compiler's flags its instructions. Channels are the inner loop, so that each channel has its
 * own accumulator and vectorising changes no order of additions. Long sums run in float over at
 * most SUM_ROWS rows and in double beyond.
 */
#include <string.h>

#include "core/kernels/conv.h"
#include "core/kernels/gemm.h"
#include "core/kernels/kernels.h"

#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)
#define TEXT2(a) #a
#define TEXT(a) TEXT2(a)

enum { SUM_ROWS = 256, CHANNEL_TILE = 64 };

static void relu_forward(size_t count, const real *x, real *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] < 0 ? 0 : x[i]; /* NaN stays NaN */
}

static void relu_backward(size_t count, const real *y, const real *dy, real *dx, bool accumulate)
{
    if (accumulate)
        for (size_t i = 0; i < count; i++)
            dx[i] += y[i] > 0 ? dy[i] : 0;
    else
        for (size_t i = 0; i < count; i++)
            dx[i] = y[i] > 0 ? dy[i] : 0;
}

/* gelu(x) = x Phi(x), the exact form: Phi(x) = (1 + erf(x/sqrt 2))/2. Hendrycks and Gimpel, 2016.
 */
static void gelu_forward(size_t count, const real *x, real *y)
{
    const real half = (real)0.5, root_half = (real)0.70710678118654752440;

    for (size_t i = 0; i < count; i++)
        y[i] = half * x[i] * (1 + real_erf(x[i] * root_half));
}

static void gelu_backward(size_t count, const real *x, const real *dy, real *dx, bool accumulate)
{
    const real half = (real)0.5, root_half = (real)0.70710678118654752440,
               inv_root_2pi = (real)0.39894228040143267794;

    for (size_t i = 0; i < count; i++) {
        real phi = half * (1 + real_erf(x[i] * root_half));
        real g = dy[i] * (phi + x[i] * inv_root_2pi * real_exp(-half * x[i] * x[i]));

        dx[i] = accumulate ? dx[i] + g : g;
    }
}

static void add(size_t count, const real *a, const real *b, real *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = a[i] + b[i];
}

/* At most SUM_ROWS rows and CHANNEL_TILE channels of width `t`, two passes: mean, then squares
 * about it. */
static void moments_tile(size_t rows, size_t stride, size_t t, const real *x, real *mean, real *m2)
{
    real inv = 1 / (real)rows;

    memset(mean, 0, t * sizeof *mean);
    memset(m2, 0, t * sizeof *m2);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < t; j++)
            mean[j] += x[r * stride + j];
    for (size_t j = 0; j < t; j++)
        mean[j] *= inv;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < t; j++) {
            real d = x[r * stride + j] - mean[j];

            m2[j] += d * d;
        }
}

static void moments(size_t rows, size_t c, const real *x, double *mean, double *m2)
{
    memset(mean, 0, c * sizeof *mean);
    memset(m2, 0, c * sizeof *m2);
    for (size_t r = 0; r < rows; r += SUM_ROWS) {
        size_t part = rows - r < SUM_ROWS ? rows - r : SUM_ROWS;
        double share = (double)part / (double)(r + part);

        for (size_t c0 = 0; c0 < c; c0 += CHANNEL_TILE) {
            size_t t = c - c0 < CHANNEL_TILE ? c - c0 : CHANNEL_TILE;
            real tile_mean[CHANNEL_TILE], tile_m2[CHANNEL_TILE];

            moments_tile(part, c, t, x + r * c + c0, tile_mean, tile_m2);
            for (size_t j = 0; j < t; j++) { /* Chan, Golub and LeVeque, 1979 */
                double delta = (double)tile_mean[j] - mean[c0 + j];

                mean[c0 + j] += delta * share;
                m2[c0 + j] += (double)tile_m2[j] + delta * delta * (double)r * share;
            }
        }
    }
}

static void scale_shift(size_t rows, size_t c, const real *x, const real *scale, const real *shift,
                        real *y)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < c; j++)
            y[r * c + j] = x[r * c + j] * scale[j] + shift[j];
}

static void norm_sums(size_t rows, size_t c, const real *x, const real *dy, const real *mean,
                      double *sum_dy, double *sum_dyx)
{
    memset(sum_dy, 0, c * sizeof *sum_dy);
    memset(sum_dyx, 0, c * sizeof *sum_dyx);
    for (size_t r0 = 0; r0 < rows; r0 += SUM_ROWS) {
        size_t part = rows - r0 < SUM_ROWS ? rows - r0 : SUM_ROWS;

        for (size_t c0 = 0; c0 < c; c0 += CHANNEL_TILE) {
            size_t t = c - c0 < CHANNEL_TILE ? c - c0 : CHANNEL_TILE;
            real s[CHANNEL_TILE] = { 0 }, p[CHANNEL_TILE] = { 0 };

            for (size_t r = r0; r < r0 + part; r++)
                for (size_t j = 0; j < t; j++) {
                    real g = dy[r * c + c0 + j];

                    s[j] += g;
                    p[j] += g * (x[r * c + c0 + j] - mean[c0 + j]);
                }
            for (size_t j = 0; j < t; j++) {
                sum_dy[c0 + j] += (double)s[j];
                sum_dyx[c0 + j] += (double)p[j];
            }
        }
    }
}

static void norm_backward(size_t rows, size_t c, const real *x, const real *dy, const real *mean,
                          const real *a, const real *b, const real *d, real *dx, bool accumulate)
{
    for (size_t r = 0; r < rows; r++, x += c, dy += c, dx += c)
        if (accumulate)
            for (size_t j = 0; j < c; j++)
                dx[j] += a[j] * dy[j] + b[j] * (x[j] - mean[j]) + d[j];
        else
            for (size_t j = 0; j < c; j++)
                dx[j] = a[j] * dy[j] + b[j] * (x[j] - mean[j]) + d[j];
}

static void mean_pool(size_t pixels, size_t n, size_t c, const real *x, real *y)
{
    real inv = 1 / (real)pixels;
    size_t count = n * c;

    memset(y, 0, count * sizeof *y);
    for (size_t p = 0; p < pixels; p++)
        for (size_t j = 0; j < count; j++)
            y[j] += x[p * count + j];
    for (size_t j = 0; j < count; j++)
        y[j] *= inv;
}

static void mean_pool_backward(size_t pixels, size_t n, size_t c, const real *dy, real *dx,
                               bool accumulate)
{
    real inv = 1 / (real)pixels;
    size_t count = n * c;

    for (size_t p = 0; p < pixels; p++, dx += count)
        if (accumulate)
            for (size_t j = 0; j < count; j++)
                dx[j] += dy[j] * inv;
        else
            for (size_t j = 0; j < count; j++)
                dx[j] = dy[j] * inv;
}

static void sgd(size_t count, const SgdSpec *s, const real *g, real *buf, real *p)
{
    real lr = s->lr, momentum = s->momentum, decay = s->decay;
    real direct = s->nesterov ? 1 : 0, indirect = s->nesterov ? momentum : 1;

    for (size_t i = 0; i < count; i++) {
        real step = g[i] + decay * p[i];

        buf[i] = momentum * buf[i] + step;
        p[i] -= lr * (direct * step + indirect * buf[i]);
    }
}

extern const Kernels PASTE(kernels_, LEASED_FAMILY);

const Kernels PASTE(kernels_, LEASED_FAMILY) = {
    .name = TEXT(LEASED_FAMILY),
    .conv_forward = conv_forward_taps,
    .conv_backward_data = conv_backward_data_taps,
    .conv_backward_weights = conv_backward_weights_taps,
    .gemm = gemm_blas,
    .relu_forward = relu_forward,
    .relu_backward = relu_backward,
    .gelu_forward = gelu_forward,
    .gelu_backward = gelu_backward,
    .add = add,
    .moments = moments,
    .scale_shift = scale_shift,
    .norm_sums = norm_sums,
    .norm_backward = norm_backward,
    .mean_pool = mean_pool,
    .mean_pool_backward = mean_pool_backward,
    .sgd = sgd,
};
