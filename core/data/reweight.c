/*
 * Every mode is a line in the strength h, but for `signed`, which takes the map as it is: so
 * forward is one multiplication, and backward differs by h's derivative alone. Images of a batch
 * are lanes of their blocks and stand alone; sums are in double.
 */
#include "core/data/reweight.h"

#include <stddef.h>

const Reweight *const reweight_table[] = {
    &(const Reweight){
        .described = { "absolute", "x (.) |m|/max|m|: as strong as the map", NULL, 0 }, .gain = 1 },
    &(const Reweight){
        .described = { "signed", "x (.) m: the map's own numbers, signs included", NULL, 0 },
        .is_signed = true },
    &(const Reweight){ .described = { "H", "x (.) H", NULL, 0 }, .gain = 1 },
    &(const Reweight){ .described = { "1+H", "x (.) (1 + H)", NULL, 0 }, .base = 1, .gain = 1 },
    &(const Reweight){ .described = { "mix", "x (.) (f + (1 - f) H)", NULL, 0 }, .mixes = true },
    NULL,
};

const char *const reweight_names[] = { "absolute", "signed", "H", "1+H", "mix", NULL };

uint32_t reweight_default(bool heat_map)
{
    return (uint32_t)table_find(reweight_table, heat_map ? "mix" : "absolute");
}

ReweightLine reweight_line(const ReweightSpec *spec)
{
    const Reweight *row = reweight_table[spec->mode];

    return (ReweightLine){ .is_signed = row->is_signed,
                           .base = (real)(row->mixes ? spec->f : row->base),
                           .gain = (real)(row->mixes ? 1 - spec->f : row->gain) };
}

typedef struct Work {
    ReweightLine line;
    Shape shape;
    const real *images, *delta, *out_gradient;
    real *ret;
} Work;

/* The numbers of image i: `runs` of `channels` numbers, `stride` apart, from `first` on. */
typedef struct Lane {
    size_t first, runs, stride, channels;
} Lane;

static Lane lane_of(const Work *w, size_t i)
{
    const uint32_t *dim = w->shape.dim;
    uint32_t block = (uint32_t)i / BLOCK_IMAGES;
    size_t runs = (size_t)dim[1] * dim[2];

    return (Lane){ .first =
                       (size_t)block * BLOCK_IMAGES * runs * dim[3] + i % BLOCK_IMAGES * dim[3],
                   .runs = runs,
                   .stride = (size_t)block_images(dim[0], block) * dim[3],
                   .channels = dim[3] };
}

static const double max_slack = 1e-12; /* of max|m|, as the method has it */

/* The largest |delta| of a lane, and where the first such number is. */
static real largest(const Lane *l, const real *delta, size_t *ret_at)
{
    real max = 0;

    *ret_at = l->first;
    for (size_t r = 0; r < l->runs; r++)
        for (size_t c = 0; c < l->channels; c++) {
            size_t at = l->first + r * l->stride + c;

            if (real_abs(delta[at]) > max) {
                max = real_abs(delta[at]);
                *ret_at = at;
            }
        }
    return max;
}

static void forward_image(void *context, size_t i)
{
    const Work *w = context;
    const Lane l = lane_of(w, i);
    size_t peak;
    real scale = (real)(1 / ((double)largest(&l, w->delta, &peak) + max_slack));

    for (size_t r = 0; r < l.runs; r++)
        for (size_t c = 0; c < l.channels; c++) {
            size_t at = l.first + r * l.stride + c;
            real m = w->delta[at];
            real weight =
                w->line.is_signed ? m : w->line.base + w->line.gain * (real_abs(m) * scale);

            w->ret[at] = w->images[at] * weight;
        }
}

/*
 * d h_j / d delta_k = sign_k [j = k]/M - |delta_j| sign_k [k = peak]/M^2 with M = max + 1e-12.
 */
static void backward_image(void *context, size_t i)
{
    const Work *w = context;
    const Lane l = lane_of(w, i);
    size_t peak;
    double max = (double)largest(&l, w->delta, &peak) + max_slack, through_max = 0;
    real sign_of_peak = w->delta[peak] < 0 ? -1 : 1;

    for (size_t r = 0; r < l.runs; r++)
        for (size_t c = 0; c < l.channels; c++) {
            size_t at = l.first + r * l.stride + c;
            real m = w->delta[at], to_weight = w->out_gradient[at] * w->images[at];
            int sign = (m > 0) - (m < 0);

            if (w->line.is_signed) {
                w->ret[at] = to_weight;
                continue;
            }
            to_weight *= w->line.gain;
            through_max += (double)to_weight * (double)real_abs(m);
            w->ret[at] = (real)((double)to_weight * sign / max);
        }
    if (!w->line.is_signed && max > max_slack)
        w->ret[peak] -= (real)(through_max / (max * max)) * sign_of_peak;
}

static void run(Pool *pool, PoolBody body, const ReweightSpec *spec, Work *work)
{
    work->line = reweight_line(spec);
    if (pool != NULL) {
        pool_run(pool, work->shape.dim[0], body, work);
        return;
    }
    for (size_t i = 0; i < work->shape.dim[0]; i++)
        body(work, i);
}

void reweight_batch(const ReweightSpec *spec, Pool *pool, const Shape *shape, const real *images,
                    const real *delta, real *ret)
{
    run(pool, forward_image, spec,
        &(Work){ .shape = *shape, .images = images, .delta = delta, .ret = ret });
}

void reweight_backward(const ReweightSpec *spec, Pool *pool, const Shape *shape, const real *images,
                       const real *delta, const real *out_gradient, real *ret_delta_gradient)
{
    run(pool, backward_image, spec,
        &(Work){ .shape = *shape,
                 .images = images,
                 .delta = delta,
                 .out_gradient = out_gradient,
                 .ret = ret_delta_gradient });
}
