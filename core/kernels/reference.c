/*
 * Every kernel once more, straight from its formula, with sums in double: slow and obviously right.
 * Tests hold the families to it.
 */
#include "core/kernels/reference.h"

static void gemm(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, const real *a,
                 size_t lda, const real *b, size_t ldb, real beta, real *c, size_t ldc)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = beta == 0 ? 0 : (double)(beta * c[i * ldc + j]);

            for (size_t q = 0; q < k; q++)
                sum += (double)(trans_a ? a[q * lda + i] : a[i * lda + q]) *
                       (double)(trans_b ? b[j * ldb + q] : b[q * ldb + j]);
            c[i * ldc + j] = (real)sum;
        }
}

static void relu_forward(size_t count, const real *x, real *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] < 0 ? 0 : x[i];
}

static void relu_backward(size_t count, const real *y, const real *dy, real *dx, bool accumulate)
{
    for (size_t i = 0; i < count; i++)
        dx[i] = reference_put(dx[i], y[i] > 0 ? (double)dy[i] : 0, accumulate);
}

static double normal_cdf(double x)
{
    return 0.5 * erfc(-x * 0.70710678118654752440);
}

static void gelu_forward(size_t count, const real *x, real *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = (real)((double)x[i] * normal_cdf((double)x[i]));
}

static void gelu_backward(size_t count, const real *x, const real *dy, real *dx, bool accumulate)
{
    for (size_t i = 0; i < count; i++) {
        double v = (double)x[i],
               slope = normal_cdf(v) + v * 0.39894228040143267794 * exp(-0.5 * v * v);

        dx[i] = reference_put(dx[i], (double)dy[i] * slope, accumulate);
    }
}

static void sigmoid_forward(size_t count, const real *x, real *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = (real)(1 / (1 + exp(-(double)x[i])));
}

static void sigmoid_backward(size_t count, const real *y, const real *dy, real *dx, bool accumulate)
{
    for (size_t i = 0; i < count; i++)
        dx[i] = reference_put(dx[i], (double)dy[i] * (double)y[i] * (1 - (double)y[i]), accumulate);
}

static void add(size_t count, const real *a, const real *b, real *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = a[i] + b[i];
}

static void axpy(size_t count, real a, const real *x, real *y, bool accumulate)
{
    for (size_t i = 0; i < count; i++)
        y[i] = reference_put(y[i], (double)a * (double)x[i], accumulate);
}

static double dot(size_t count, const real *a, const real *b)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static void channel_sums(size_t rows, size_t c, const real *x, double *sum)
{
    for (size_t j = 0; j < c; j++) {
        sum[j] = 0;
        for (size_t r = 0; r < rows; r++)
            sum[j] += (double)x[r * c + j];
    }
}

static void moments(size_t rows, size_t c, const real *x, double *mean, double *m2)
{
    for (size_t j = 0; j < c; j++) {
        double sum = 0, squares = 0;

        for (size_t r = 0; r < rows; r++)
            sum += (double)x[r * c + j];
        mean[j] = sum / (double)rows;
        for (size_t r = 0; r < rows; r++)
            squares += ((double)x[r * c + j] - mean[j]) * ((double)x[r * c + j] - mean[j]);
        m2[j] = squares;
    }
}

static void norm_forward(size_t rows, size_t c, const real *x, const real *scale, const real *shift,
                         const real *z, bool relu, real *y)
{
    for (size_t i = 0; i < rows * c; i++) {
        double v = (double)x[i] * (double)scale[i % c] + (double)shift[i % c];

        v += z != NULL ? (double)z[i] : 0;
        y[i] = relu && v < 0 ? 0 : (real)v;
    }
}

static void norm_slice(size_t rows, size_t c, size_t step, const real *scale, const real *shift,
                       const real *z, bool relu, real *y)
{
    for (size_t r = 0; r < rows; r++)
        norm_forward(1, c, y + r * step, scale, shift, z != NULL ? z + r * step : NULL, relu,
                     y + r * step);
}

/* dy[i], if the mask lets it through. */
static double masked(const NormMask *mask, size_t i, size_t c, const real *x, const real *dy)
{
    double y = 1;

    if (mask->y != NULL)
        y = (double)mask->y[i];
    else if (mask->scale != NULL)
        y = (double)x[i] * (double)mask->scale[i % c] + (double)mask->shift[i % c];
    return y > 0 ? (double)dy[i] : 0;
}

static void norm_sums(size_t rows, size_t c, const real *x, const real *dy, const NormMask *mask,
                      const real *mean, double *sum_g, double *sum_gx)
{
    for (size_t j = 0; j < c; j++) {
        sum_g[j] = sum_gx[j] = 0;
        for (size_t i = j; i < rows * c; i += c) {
            double g = masked(mask, i, c, x, dy);

            sum_g[j] += g;
            sum_gx[j] += g * ((double)x[i] - (double)mean[j]);
        }
    }
}

static void norm_backward(size_t rows, size_t c, const real *x, const real *dy,
                          const NormMask *mask, const real *mean, const real *a, const real *b,
                          const real *d, real *dx, bool accumulate)
{
    for (size_t i = 0; i < rows * c; i++) {
        size_t j = i % c;
        double g = (double)a[j] * masked(mask, i, c, x, dy) +
                   (double)b[j] * ((double)x[i] - (double)mean[j]) + (double)d[j];

        dx[i] = reference_put(dx[i], g, accumulate);
    }
}

static void mean_pool(size_t pixels, size_t n, size_t c, const real *x, real *y)
{
    for (size_t j = 0; j < n * c; j++) {
        double sum = 0;

        for (size_t p = 0; p < pixels; p++)
            sum += (double)x[p * n * c + j];
        y[j] = (real)(sum / (double)pixels);
    }
}

static void mean_pool_backward(size_t pixels, size_t n, size_t c, const real *dy, real *dx,
                               bool accumulate)
{
    for (size_t i = 0; i < pixels * n * c; i++)
        dx[i] = reference_put(dx[i], (double)dy[i % (n * c)] / (double)pixels, accumulate);
}

static void gate_forward(size_t pixels, size_t nc, const real *x, const real *g, real *y)
{
    for (size_t i = 0; i < pixels * nc; i++)
        y[i] = x[i] * g[i % nc];
}

static void gate_backward(size_t pixels, size_t nc, const real *x, const real *g, const real *dy,
                          real *dx, bool accumulate_x, real *dg, bool accumulate_g)
{
    for (size_t j = 0; j < nc && dg != NULL; j++) {
        double sum = 0;

        for (size_t p = 0; p < pixels; p++)
            sum += (double)dy[p * nc + j] * (double)x[p * nc + j];
        dg[j] = reference_put(dg[j], sum, accumulate_g);
    }
    for (size_t i = 0; i < pixels * nc && dx != NULL; i++)
        dx[i] = reference_put(dx[i], (double)dy[i] * (double)g[i % nc], accumulate_x);
}

static void sgd(size_t count, const SgdSpec *s, const real *g, real *buf, real *p)
{
    for (size_t i = 0; i < count; i++) {
        double step = (double)g[i] + (double)s->decay * (double)p[i];
        double next = (double)s->momentum * (double)buf[i] + step;

        buf[i] = (real)next;
        p[i] = (real)((double)p[i] -
                      (double)s->lr * (s->nesterov ? step + (double)s->momentum * next : next));
    }
}

static void adam(size_t count, const AdamSpec *s, const real *g, real *m, real *v, real *p)
{
    double correction1 = 1 - pow(s->beta1, (double)s->step),
           correction2 = 1 - pow(s->beta2, (double)s->step);

    for (size_t i = 0; i < count; i++) {
        double at = (double)p[i], grad = (double)g[i];

        if (s->decoupled)
            at -= s->lr * s->decay * at;
        else
            grad += s->decay * at;
        m[i] = (real)(s->beta1 * (double)m[i] + (1 - s->beta1) * grad);
        v[i] = (real)(s->beta2 * (double)v[i] + (1 - s->beta2) * grad * grad);
        p[i] = (real)(at - s->lr * ((double)m[i] / correction1) /
                               (sqrt((double)v[i] / correction2) + s->eps));
    }
}

static double peak(size_t rounds, real *ret)
{
    real sum = 0;

    for (size_t i = 0; i < rounds; i++)
        sum = sum / 2 + 1;
    *ret = sum;
    return 2 * (double)rounds;
}

const Kernels kernels_reference = {
    .name = "reference",
    .conv_forward = reference_conv_forward,
    .conv_backward_data = reference_conv_backward_data,
    .conv_backward_weights = reference_conv_backward_weights,
    .direct_forward = reference_direct_forward,
    .direct_data = reference_direct_data,
    .winograd_weights = reference_winograd_weights,
    .winograd_tiles = reference_winograd_tiles,
    .winograd_inputs = reference_winograd_inputs,
    .winograd_channels = reference_winograd_channels,
    .winograd_gradient = reference_winograd_gradient,
    .gemm = gemm,
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
    .moments = moments,
    .norm_forward = norm_forward,
    .norm_slice = norm_slice,
    .norm_sums = norm_sums,
    .norm_backward = norm_backward,
    .plane_gather = reference_plane_gather,
    .plane_dots = reference_plane_dots,
    .plane_load = reference_plane_load,
    .plane_store = reference_plane_store,
    .plane_blend = reference_plane_blend,
    .plane_product = reference_plane_product,
    .plane_outer = reference_plane_outer,
    .mean_pool = mean_pool,
    .mean_pool_backward = mean_pool_backward,
    .max_pool_forward = reference_max_pool_forward,
    .max_pool_backward = reference_max_pool_backward,
    .avg_pool_forward = reference_avg_pool_forward,
    .avg_pool_backward = reference_avg_pool_backward,
    .gate_forward = gate_forward,
    .gate_backward = gate_backward,
    .sgd = sgd,
    .adam = adam,
    .peak = peak,
};
