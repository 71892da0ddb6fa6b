/*
 * Every kernel once more, straight from its formula, with sums in double: slow and obviously right.
 * Tests hold the families to it.
 */
#include "core/kernels/kernels.h"

static size_t tap_input(uint32_t o, uint32_t stride, uint32_t tap, uint32_t padding, uint32_t size)
{
    uint32_t shifted = o * stride + tap;

    return shifted >= padding && shifted - padding < size ? shifted - padding : SIZE_MAX;
}

/* x at (ih,iw,image,channel) of a block. */
static size_t at(size_t width, size_t n, size_t c, size_t row, size_t col, size_t image,
                 size_t channel)
{
    return ((row * width + col) * n + image) * c + channel;
}

typedef void TapBody(const ConvShape *s, size_t in, size_t out, size_t weight, const void *context);

/* Every multiply of a convolution with output row in [row0,row1) and tap in [tap0,tap1). */
static void each_multiply(const ConvShape *s, uint32_t row0, uint32_t row1, uint32_t tap0,
                          uint32_t tap1, TapBody *body, const void *context)
{
    for (uint32_t oh = row0; oh < row1; oh++)
        for (uint32_t ow = 0; ow < s->ow; ow++)
            for (uint32_t tap = tap0; tap < tap1; tap++) {
                size_t ih = tap_input(oh, s->stride, tap / s->kernel, s->padding, s->h);
                size_t iw = tap_input(ow, s->stride, tap % s->kernel, s->padding, s->w);

                if (ih == SIZE_MAX || iw == SIZE_MAX)
                    continue;
                for (uint32_t image = 0; image < s->n; image++)
                    for (uint32_t i = 0; i < s->in; i++)
                        for (uint32_t o = 0; o < s->out; o++)
                            body(s, at(s->w, s->n, s->in, ih, iw, image, i),
                                 at(s->ow, s->n, s->out, oh, ow, image, o),
                                 ((size_t)tap * s->in + i) * s->out + o, context);
            }
}

typedef struct Pointers {
    const real *a, *b;
    real *ret;
    size_t lo, hi; /* of ret */
    size_t base;   /* of weights */
} Pointers;

static void forward_multiply(const ConvShape *s, size_t in, size_t out, size_t weight,
                             const void *context)
{
    const Pointers *p = context;

    (void)s;
    p->ret[out] += p->a[in] * p->b[weight];
}

static void conv_forward(const ConvShape *s, uint32_t row0, uint32_t row1, const real *x,
                         const real *w, real *y)
{
    Pointers p = { .a = x, .b = w, .ret = y };
    size_t row = (size_t)s->ow * s->n * s->out;

    for (size_t i = row0 * row; i < row1 * row; i++)
        y[i] = 0;
    each_multiply(s, row0, row1, 0, s->kernel * s->kernel, forward_multiply, &p);
}

static void data_multiply(const ConvShape *s, size_t in, size_t out, size_t weight,
                          const void *context)
{
    const Pointers *p = context;

    (void)s;
    if (in >= p->lo && in < p->hi)
        p->ret[in] += p->a[out] * p->b[weight];
}

static void conv_backward_data(const ConvShape *s, uint32_t row0, uint32_t row1, const real *dy,
                               const real *w, real *dx, bool accumulate)
{
    size_t row = (size_t)s->w * s->n * s->in;
    Pointers p = { .a = dy, .b = w, .ret = dx, .lo = row0 * row, .hi = row1 * row };

    for (size_t i = p.lo; i < p.hi && !accumulate; i++)
        dx[i] = 0;
    each_multiply(s, 0, s->oh, 0, s->kernel * s->kernel, data_multiply, &p);
}

static void weights_multiply(const ConvShape *s, size_t in, size_t out, size_t weight,
                             const void *context)
{
    const Pointers *p = context;
    size_t o = weight % s->out;

    if (o >= p->lo && o < p->hi)
        p->ret[weight - p->base] += p->a[in] * p->b[out];
}

static void conv_backward_weights(const ConvShape *s, uint32_t tap, uint32_t out0, uint32_t out1,
                                  const real *x, const real *dy, real *dw_tap)
{
    Pointers p = {
        .a = x, .b = dy, .ret = dw_tap, .lo = out0, .hi = out1, .base = (size_t)tap * s->in * s->out
    };

    each_multiply(s, 0, s->oh, tap, tap + 1, weights_multiply, &p);
}

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

static real put(real old, double value, bool accumulate)
{
    return accumulate ? (real)((double)old + value) : (real)value;
}

static void relu_forward(size_t count, const real *x, real *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] < 0 ? 0 : x[i];
}

static void relu_backward(size_t count, const real *y, const real *dy, real *dx, bool accumulate)
{
    for (size_t i = 0; i < count; i++)
        dx[i] = put(dx[i], y[i] > 0 ? (double)dy[i] : 0, accumulate);
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

        dx[i] = put(dx[i], (double)dy[i] * slope, accumulate);
    }
}

static void add(size_t count, const real *a, const real *b, real *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = a[i] + b[i];
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

static void scale_shift(size_t rows, size_t c, const real *x, const real *scale, const real *shift,
                        real *y)
{
    for (size_t i = 0; i < rows * c; i++)
        y[i] = (real)((double)x[i] * (double)scale[i % c] + (double)shift[i % c]);
}

static void norm_sums(size_t rows, size_t c, const real *x, const real *dy, const real *mean,
                      double *sum_dy, double *sum_dyx)
{
    for (size_t j = 0; j < c; j++) {
        sum_dy[j] = sum_dyx[j] = 0;
        for (size_t r = 0; r < rows; r++) {
            sum_dy[j] += (double)dy[r * c + j];
            sum_dyx[j] += (double)dy[r * c + j] * ((double)x[r * c + j] - (double)mean[j]);
        }
    }
}

static void norm_backward(size_t rows, size_t c, const real *x, const real *dy, const real *mean,
                          const real *a, const real *b, const real *d, real *dx, bool accumulate)
{
    for (size_t i = 0; i < rows * c; i++) {
        size_t j = i % c;
        double g = (double)a[j] * (double)dy[i] + (double)b[j] * ((double)x[i] - (double)mean[j]) +
                   (double)d[j];

        dx[i] = put(dx[i], g, accumulate);
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
        dx[i] = put(dx[i], (double)dy[i % (n * c)] / (double)pixels, accumulate);
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

const Kernels kernels_reference = {
    .name = "reference",
    .conv_forward = conv_forward,
    .conv_backward_data = conv_backward_data,
    .conv_backward_weights = conv_backward_weights,
    .gemm = gemm,
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
