/* The formulas of kernels.h' planes and channels, word for word. */
#include <string.h>

#include "core/kernels/kernels.h"
#include "core/kernels/reference.h"

static size_t row_at(const RowSteps *s, size_t r)
{
    return r / s->group * s->outer + r % s->group * s->inner;
}

void reference_plane_gather(const PlaneWindow *p, const real *w, const real *src, real *dst)
{
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++)
            for (size_t k = 0; k < p->t; k++) {
                double sum = 0;

                for (size_t t = 0; t < p->taps; t++)
                    sum += (double)src[i * p->src_row + j * p->src_col + p->tap[t].at + k] *
                           (double)w[p->tap[t].w + k];
                dst[i * p->dst_row + j * p->dst_col + k] = (real)sum;
            }
}

void reference_plane_dots(const PlaneWindow *p, const real *src, const real *d, double *sum)
{
    for (size_t t = 0; t < p->taps; t++)
        for (size_t i = 0; i < p->rows; i++)
            for (size_t j = 0; j < p->cols; j++)
                for (size_t k = 0; k < p->t; k++)
                    sum[p->tap[t].w + k] +=
                        (double)src[i * p->src_row + j * p->src_col + p->tap[t].at + k] *
                        (double)d[i * p->dst_row + j * p->dst_col + k];
}

void reference_plane_load(const PlaneWindow *p, const real *scale, const real *shift,
                          const real *src, real *dst)
{
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++)
            for (size_t k = 0; k < p->t; k++) {
                real x = src[i * p->src_row + j * p->src_col + k];
                real v = scale == NULL ? x : x * scale[k] + shift[k];

                dst[i * p->dst_row + j * p->dst_col + k] = v < 0 ? 0 : v;
            }
}

void reference_plane_store(const PlaneWindow *p, const real *g, const real *act,
                           const PlaneWindow *at, real *dx, bool accumulate, double *sum,
                           double *product)
{
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++)
            for (size_t k = 0; k < p->t; k++) {
                real y = act[i * at->src_row + j * at->src_col + k],
                     v = y > 0 ? g[i * p->src_row + j * p->src_col + k] : 0,
                     *to = &dx[i * p->dst_row + j * p->dst_col + k];

                *to = accumulate ? *to + v : v;
                if (sum != NULL) {
                    sum[k] += (double)v;
                    product[k] += (double)v * (double)y;
                }
            }
}

void reference_plane_product(size_t rows, size_t k, size_t n, const real *a,
                             const RowSteps *a_steps, const real *b, real *c,
                             const RowSteps *c_steps)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;

            for (size_t i = 0; i < k; i++)
                sum += (double)a[row_at(a_steps, r) + i] * (double)b[i * n + j];
            c[row_at(c_steps, r) + j] = (real)sum;
        }
}

void reference_plane_outer(size_t rows, size_t k, size_t n, const real *a, const RowSteps *a_steps,
                           const real *d, const RowSteps *d_steps, double *dw, real *work)
{
    (void)work;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < k; i++)
            for (size_t j = 0; j < n; j++)
                dw[i * n + j] +=
                    (double)a[row_at(a_steps, r) + i] * (double)d[row_at(d_steps, r) + j];
}

void reference_channel_affine(size_t rows, size_t c, const real *x, const real *a, const real *b,
                              real *y, bool accumulate)
{
    for (size_t i = 0; i < rows * c; i++)
        y[i] = (accumulate ? y[i] : 0) + x[i] * a[i % c] + (b == NULL ? 0 : b[i % c]);
}

void reference_channel_dots(size_t rows, size_t c, const real *x, const real *dy, const real *mean,
                            double *sum, double *product)
{
    memset(sum, 0, c * sizeof *sum);
    memset(product, 0, c * sizeof *product);
    for (size_t i = 0; i < rows * c; i++) {
        sum[i % c] += (double)dy[i];
        product[i % c] += (double)dy[i] * ((double)x[i] - (double)mean[i % c]);
    }
}

void reference_channel_backward(size_t rows, size_t c, const real *x, const real *dy,
                                const real *mean, const real *a, const real *b, const real *d,
                                real *dx, bool accumulate)
{
    for (size_t i = 0; i < rows * c; i++) {
        size_t j = i % c;

        dx[i] = (accumulate ? dx[i] : 0) + a[j] * dy[i] + b[j] * (x[i] - mean[j]) + d[j];
    }
}
