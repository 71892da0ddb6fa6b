/*
 * The loops of one CPU family: this file (and those beside it that the build lists) is compiled
 * once for each, with LEASED_FAMILY its name and the compiler's flags its instructions. Channels
 * are the inner loop, so that each channel has its own accumulator and vectorising changes no order
 * of additions. Long sums run in float over at most SUM_ROWS rows and in double beyond.
 */
#include <string.h>

#include "core/kernels/conv.h"
#include "core/kernels/family.h"
#include "core/kernels/gemm.h"

#define TEXT2(a) #a
#define TEXT(a) TEXT2(a)

enum { SUM_ROWS = 256, CHANNEL_TILE = 64 };

static void conv_forward(const ConvShape *s, uint32_t row0, uint32_t row1, const real *x,
                         const real *w, const real *bias, real *y)
{
    (conv_is_depthwise(s) ? depthwise_forward : conv_forward_taps)(s, row0, row1, x, w, bias, y);
}

static void conv_backward_data(const ConvShape *s, uint32_t row0, uint32_t row1, const real *dy,
                               const real *w, real *dx, bool accumulate)
{
    (conv_is_depthwise(s) ? depthwise_backward_data : conv_backward_data_taps)(s, row0, row1, dy, w,
                                                                               dx, accumulate);
}

static void conv_backward_weights(const ConvShape *s, uint32_t tap0, uint32_t tap1, uint32_t out0,
                                  uint32_t out1, const real *x, const real *dy, real *dw)
{
    (conv_is_depthwise(s) ? depthwise_backward_weights
                          : conv_backward_weights_taps)(s, tap0, tap1, out0, out1, x, dy, dw);
}

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

static void sigmoid_forward(size_t count, const real *x, real *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = 1 / (1 + real_exp(-x[i]));
}

static void sigmoid_backward(size_t count, const real *y, const real *dy, real *dx, bool accumulate)
{
    if (accumulate)
        for (size_t i = 0; i < count; i++)
            dx[i] += dy[i] * (y[i] - y[i] * y[i]);
    else
        for (size_t i = 0; i < count; i++)
            dx[i] = dy[i] * (y[i] - y[i] * y[i]);
}

static void add(size_t count, const real *a, const real *b, real *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = a[i] + b[i];
}

static void axpy(size_t count, real a, const real *x, real *y, bool accumulate)
{
    if (accumulate)
        for (size_t i = 0; i < count; i++)
            y[i] += a * x[i];
    else
        for (size_t i = 0; i < count; i++)
            y[i] = a * x[i];
}

/* Sums of DOT_LANES channels, as it were: each in float over SUM_ROWS numbers. */
static double dot(size_t count, const real *a, const real *b)
{
    enum { DOT_LANES = 32 };
    size_t whole = count - count % DOT_LANES;
    double sum = 0;

    for (size_t i = whole; i < count; i++)
        sum += (double)a[i] * (double)b[i];
    for (size_t i0 = 0; i0 < whole; i0 += SUM_ROWS * DOT_LANES) {
        size_t i1 = whole - i0 < SUM_ROWS * DOT_LANES ? whole : i0 + SUM_ROWS * DOT_LANES;
        real part[DOT_LANES] = { 0 };

        for (size_t i = i0; i < i1; i += DOT_LANES)
            for (size_t j = 0; j < DOT_LANES; j++)
                part[j] += a[i + j] * b[i + j];
        for (size_t j = 0; j < DOT_LANES; j++)
            sum += (double)part[j];
    }
    return sum;
}

static void channel_sums(size_t rows, size_t c, const real *x, double *sum)
{
    memset(sum, 0, c * sizeof *sum);
    for (size_t r0 = 0; r0 < rows; r0 += SUM_ROWS) {
        size_t r1 = rows - r0 < SUM_ROWS ? rows : r0 + SUM_ROWS;

        for (size_t c0 = 0; c0 < c; c0 += CHANNEL_TILE) {
            size_t t = c - c0 < CHANNEL_TILE ? c - c0 : CHANNEL_TILE;
            real part[CHANNEL_TILE] = { 0 };

            for (size_t r = r0; r < r1; r++)
                for (size_t j = 0; j < t; j++)
                    part[j] += x[r * c + c0 + j];
            for (size_t j = 0; j < t; j++)
                sum[c0 + j] += (double)part[j];
        }
    }
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

static void gate_forward(size_t pixels, size_t nc, const real *x, const real *g, real *y)
{
    for (size_t p = 0; p < pixels; p++, x += nc, y += nc)
        for (size_t j = 0; j < nc; j++)
            y[j] = x[j] * g[j];
}

/* dg of at most CHANNEL_TILE factors, `t` of them. */
static void gate_sums(size_t pixels, size_t nc, size_t t, const real *x, const real *dy, real *dg,
                      bool accumulate)
{
    double sum[CHANNEL_TILE] = { 0 };

    for (size_t p0 = 0; p0 < pixels; p0 += SUM_ROWS) {
        size_t p1 = pixels - p0 < SUM_ROWS ? pixels : p0 + SUM_ROWS;
        real part[CHANNEL_TILE] = { 0 };

        for (size_t p = p0; p < p1; p++)
            for (size_t j = 0; j < t; j++)
                part[j] += dy[p * nc + j] * x[p * nc + j];
        for (size_t j = 0; j < t; j++)
            sum[j] += (double)part[j];
    }
    for (size_t j = 0; j < t; j++)
        dg[j] = (real)(accumulate ? (double)dg[j] + sum[j] : sum[j]);
}

static void gate_backward(size_t pixels, size_t nc, const real *x, const real *g, const real *dy,
                          real *dx, bool accumulate_x, real *dg, bool accumulate_g)
{
    for (size_t j = 0; j < nc && dg != NULL; j += CHANNEL_TILE)
        gate_sums(pixels, nc, nc - j < CHANNEL_TILE ? nc - j : CHANNEL_TILE, x + j, dy + j, dg + j,
                  accumulate_g);
    if (dx == NULL)
        return;
    for (size_t p = 0; p < pixels; p++, dy += nc, dx += nc)
        if (accumulate_x)
            for (size_t j = 0; j < nc; j++)
                dx[j] += dy[j] * g[j];
        else
            for (size_t j = 0; j < nc; j++)
                dx[j] = dy[j] * g[j];
}

static void norm_slice(size_t rows, size_t c, size_t step, const real *scale, const real *shift,
                       const real *z, bool relu, real *y)
{
    for (size_t r = 0; r < rows; r++, y += step)
        for (size_t j = 0; j < c; j++) {
            real v = y[j] * scale[j] + shift[j];

            v = z != NULL ? z[r * step + j] + v : v;
            y[j] = relu && v < 0 ? 0 : v; /* NaN stays NaN */
        }
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

static void adam(size_t count, const AdamSpec *s, const real *g, real *m, real *v, real *p)
{
    real beta1 = (real)s->beta1, beta2 = (real)s->beta2, rest1 = (real)(1 - s->beta1),
         rest2 = (real)(1 - s->beta2), eps = (real)s->eps;
    real coupled = s->decoupled ? 0 : (real)s->decay,
         keep = s->decoupled ? (real)(1 - s->lr * s->decay) : 1;
    real step_size = (real)(s->lr / (1 - pow(s->beta1, (double)s->step))),
         root = (real)sqrt(1 - pow(s->beta2, (double)s->step));

    for (size_t i = 0; i < count; i++) {
        real grad = g[i] + coupled * p[i];

        m[i] = beta1 * m[i] + rest1 * grad;
        v[i] = beta2 * v[i] + rest2 * grad * grad;
        p[i] = keep * p[i] - step_size * m[i] / (real_sqrt(v[i]) / root + eps);
    }
}

extern const Kernels OF_FAMILY(kernels);

const Kernels OF_FAMILY(kernels) = {
    .name = TEXT(LEASED_FAMILY),
    .conv_forward = conv_forward,
    .conv_backward_data = conv_backward_data,
    .conv_backward_weights = conv_backward_weights,
    .direct_forward = direct_convolve,
    .direct_data = direct_differentiate,
    .winograd_weights = winograd_transform,
    .winograd_tiles = winograd_convolve,
    .winograd_inputs = winograd_spread,
    .winograd_channels = winograd_outputs,
    .winograd_gradient = winograd_differentiate,
    .gemm = gemm_blas,
    .relu_forward = relu_forward,
    .relu_backward = relu_backward,
    .gelu_forward = gelu_forward,
    .gelu_backward = gelu_backward,
    .sigmoid_forward = sigmoid_forward,
    .sigmoid_backward = sigmoid_backward,
    .add = add,
    .axpy = axpy,
    .dot = dot,
    .channel_sums = channel_sums,
    .moments = norm_family_moments,
    .norm_forward = norm_family_forward,
    .norm_slice = norm_slice,
    .norm_sums = norm_family_sums,
    .norm_backward = norm_family_backward,
    .plane_gather = planes_gather,
    .plane_dots = planes_dots,
    .plane_load = planes_load,
    .plane_store = planes_store,
    .plane_blend = planes_blend,
    .plane_product = planes_product,
    .plane_outer = planes_outer,
    .mean_pool = mean_pool,
    .mean_pool_backward = mean_pool_backward,
    .max_pool_forward = pooling_max_forward,
    .max_pool_backward = pooling_max_backward,
    .avg_pool_forward = pooling_avg_forward,
    .avg_pool_backward = pooling_avg_backward,
    .gate_forward = gate_forward,
    .gate_backward = gate_backward,
    .sgd = sgd,
    .adam = adam,
    .peak = peak_multiply_add,
};
