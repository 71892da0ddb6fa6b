/*
 * With g = the gradient of y, a strip of a job's rows at a time: g from what passes by of dy and y;
 * its share of the 1x1's gradient; g times the transposed 1x1 into a padded map. Then, of the whole
 * map, the depthwise convolution's two gradients, and that of x through the ReLU.
 */
#include <string.h>

#include "core/ops/separable_job.h"

enum { SUM_ROWS = 256 }; /* whose products are summed in `real`; more in double */

static bool wants_weights(const Separable *s)
{
    return s->d_depthwise != NULL || s->d_pointwise != NULL;
}

/* What `work` has of the 1x1's gradient, into the lane's. */
static void flush_pointwise(const Job *j)
{
    size_t count = (size_t)j->l->c * j->l->c;

    for (size_t i = 0; i<count && * j->summed> 0; i++)
        j->pointwise[i] += (double)j->work[i];
    *j->summed = 0;
}

static void add_pointwise(const Job *j, size_t rows, const real *maps)
{
    if (*j->summed == 0)
        memset(j->work, 0, (size_t)j->l->c * j->l->c * sizeof *j->work);
    j->kernels->plane_outer(rows, j->l->c, j->l->c, maps, j->rows, j->work);
    *j->summed += rows;
    if (*j->summed >= SUM_ROWS)
        flush_pointwise(j);
}

/* The strip from output row y on: the gradient of y, and, times the 1x1, in the padded map. */
static void lay_strip(const Job *j, uint32_t y, real *inner)
{
    const SeparableLayout *l = j->l;
    const uint32_t rows = job_strip(j, y);
    size_t at = j->out + (size_t)y * l->ow * j->nc, row = l->ow * j->t;
    const RowSteps dense = { SIZE_MAX, 0, l->c };
    PlaneWindow strip = { .t = j->t,
                          .rows = rows,
                          .cols = l->ow,
                          .dst_row = row,
                          .dst_col = j->t,
                          .src_row = l->ow * j->nc,
                          .src_col = j->nc };

    j->kernels->plane_blend(&strip, j->factors + 2 * j->t, j->s->y + at, j->s->dy + at, j->rows);
    if (wants_weights(j->s)) {
        job_gather(j, y, rows);
        add_pointwise(j, rows * row / l->c, j->maps);
    }
    for (uint32_t i = 0; i < rows; i++)
        j->kernels->plane_product(row / l->c, l->c, l->c, j->rows + i * row, jobs_turned(j->s),
                                  inner + (size_t)(y + i) * l->grad_w * j->t, &dense, NULL);
}

/* Adds this job's part of the depthwise weights' gradient. */
static void add_depthwise(const Job *j, const real *gradient)
{
    PlaneTap tap[SEPARABLE_TAPS_MAX];
    PlaneWindow window = job_window(j, tap);

    window.dst_row = j->l->grad_w * j->t;
    j->kernels->plane_dots(&window, j->act, gradient, j->depthwise);
}

/* The taps that input pixels of this phase meet: their source in the padded gradient. */
static size_t taps_of_phase(const Job *j, uint32_t phase_y, uint32_t phase_x, PlaneTap *ret)
{
    const SeparableLayout *l = j->l;
    size_t count = 0;

    for (uint32_t i = 0; i < l->taps; i++) {
        int32_t y = (int32_t)(phase_y + l->padding) - (int32_t)(i / l->kernel * l->dilation),
                x = (int32_t)(phase_x + l->padding) - (int32_t)(i % l->kernel * l->dilation),
                stride = (int32_t)l->stride, low = (int32_t)l->low;

        if (y % stride == 0 && x % stride == 0)
            ret[count++] =
                (PlaneTap){ ((size_t)(low + y / stride) * l->grad_w + (size_t)(low + x / stride)) *
                                j->t,
                            i * l->t };
    }
    return count;
}

/*
 * The gradient of the activation's rows [y0,y1), in j->maps; y0 is a multiple of the stride. Input
 * pixel stride*q + phase meets the taps with (phase + padding - tap*dilation) divisible by the
 * stride, and through them the outputs q + that/stride: each phase of rows and columns is a window
 * of its own over the gradient.
 */
static void gather_gradient(const Job *j, uint32_t y0, uint32_t y1)
{
    const SeparableLayout *l = j->l;
    PlaneTap tap[SEPARABLE_TAPS_MAX];

    for (uint32_t y = 0; y < l->stride && y0 + y < y1; y++)
        for (uint32_t x = 0; x < l->stride && x < l->w; x++) {
            PlaneWindow p = { .t = j->t,
                              .rows = (y1 - y0 - 1 - y) / l->stride + 1,
                              .cols = (l->w - 1 - x) / l->stride + 1,
                              .dst_row = (size_t)l->stride * l->w * j->t,
                              .dst_col = l->stride * j->t,
                              .src_row = l->grad_w * j->t,
                              .src_col = j->t,
                              .taps = taps_of_phase(j, y, x, tap),
                              .tap = tap };

            j->kernels->plane_gather(&p, j->weights, j->grad + y0 / l->stride * p.src_row,
                                     j->maps + ((size_t)y * l->w + x) * j->t);
        }
}

/* Those rows through the ReLU into memory, and the sums that a normalisation in front of it
 * needs. */
static void store_gradient(const Job *j, uint32_t y0, uint32_t y1, const real *activation)
{
    const SeparableLayout *l = j->l;
    bool normed = j->s->scale != NULL;
    PlaneWindow p = { .t = j->t,
                      .rows = y1 - y0,
                      .cols = l->w,
                      .dst_row = l->w * j->nc,
                      .dst_col = j->nc,
                      .src_row = l->w * j->t,
                      .src_col = j->t },
                act = { .src_row = l->act_w * j->t, .src_col = j->t };

    if (j->s->call->guided)
        for (size_t i = 0; i < p.rows * p.src_row; i++)
            j->maps[i] = j->maps[i] < 0 ? 0 : j->maps[i];
    j->kernels->plane_store(&p, j->maps, activation + y0 * act.src_row, &act,
                            j->s->dx + j->in + y0 * p.dst_row, !normed && j->s->accumulate,
                            normed ? j->sums : NULL, normed ? j->sums + l->t : NULL);
}

static void backward_job(const Job *j)
{
    const SeparableLayout *l = j->l;
    const real *activation = job_activation(j);
    real *inner = j->grad + ((size_t)l->low * l->grad_w + l->low) * j->t;

    job_border(j, j->grad, l->grad_h, l->grad_w, l->low, l->oh, l->ow);
    for (uint32_t y = 0; y < l->oh; y += l->strip)
        lay_strip(j, y, inner);
    if (wants_weights(j->s))
        add_depthwise(j, inner);
    for (uint32_t y = 0, end; y < l->h && j->s->dx != NULL; y = end) {
        end = l->h - y < l->in_strip ? l->h : y + l->in_strip;
        gather_gradient(j, y, end);
        store_gradient(j, y, end, activation);
    }
}

/* Unit = a tap, of which each image of a job has a part, or, behind the taps, a row of the 1x1. */
static void weight_unit(void *context, size_t u)
{
    const Separable *s = context;
    const SeparableLayout *l = &s->l;
    bool tap = u < l->taps;
    size_t row = tap ? u : u - l->taps, times = tap ? l->images : 1;
    real *dw = tap ? s->d_depthwise : s->d_pointwise;
    const double *sum;

    if (dw == NULL)
        return;
    sum = tap ? jobs_add_lanes(s, l->depthwise + row * l->t, l->t)
              : jobs_add_lanes(s, l->pointwise + row * l->c, l->c);
    for (size_t c = 0; c < l->c; c++) {
        double all = 0;

        for (size_t i = 0; i < times; i++)
            all += sum[i * l->c + c];
        dw[row * l->c + c] += (real)all;
    }
}

void separable_backward(const Separable *s, double *sums)
{
    const SeparableLayout *l = &s->l;
    real *turned = jobs_turned(s);
    const double *of_lanes;

    for (size_t i = 0; i < l->c; i++)
        for (size_t o = 0; o < l->c; o++)
            turned[o * l->c + i] = s->pointwise[i * l->c + o];
    jobs_run(s, backward_job, wants_weights(s) ? flush_pointwise : NULL);
    if (wants_weights(s))
        pool_run(s->call->pool, l->taps + l->c, weight_unit, (void *)s);
    if (sums == NULL)
        return;
    of_lanes = jobs_add_lanes(s, l->sums, 2 * l->t);
    for (size_t i = 0; i < 2 * (size_t)l->c; i++)
        sums[i] = 0;
    for (size_t which = 0; which < 2; which++)
        for (size_t i = 0; i < l->t; i++)
            sums[which * l->c + i % l->c] += of_lanes[which * l->t + i];
}
