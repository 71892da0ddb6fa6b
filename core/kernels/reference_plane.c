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

void reference_plane_blend(const PlaneWindow *p, const real *k, const real *x, const real *dy,
                           real *g)
{
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++)
            for (size_t v = 0; v < p->t; v++) {
                size_t at = i * p->src_row + j * p->src_col + v;

                g[i * p->dst_row + j * p->dst_col + v] =
                    k[v] * dy[at] + k[p->t + v] * (x[at] - k[2 * p->t + v]) + k[3 * p->t + v];
            }
}

void reference_plane_product(size_t rows, size_t k, size_t n, const real *a, const real *b, real *c,
                             const RowSteps *c_steps, PlaneMoments *moments)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t j = 0; j < n; j++) {
            double sum = 0, d;

            for (size_t i = 0; i < k; i++)
                sum += (double)a[r * k + i] * (double)b[i * n + j];
            c[row_at(c_steps, r) + j] = (real)sum;
            if (moments == NULL)
                continue;
            if (moments->rows == 0) {
                moments->about[j] = (real)sum;
                moments->sum[j] = moments->square[j] = 0;
            }
            d = sum - (double)moments->about[j];
            moments->sum[j] += d;
            moments->square[j] += d * d;
        }
        if (moments != NULL)
            moments->rows++;
    }
}

void reference_plane_outer(size_t rows, size_t k, size_t n, const real *a, const real *d, real *dw)
{
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = (double)dw[i * n + j];

            for (size_t r = 0; r < rows; r++)
                sum += (double)a[r * k + i] * (double)d[r * n + j];
            dw[i * n + j] = (real)sum;
        }
}
