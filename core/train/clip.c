/* The norm is summed in double, per chunk in parallel and over chunks in order: the same for any
 * thread count. */
#include "core/train/optimizer.h"

static bool counts(const OptimizerStep *s, size_t i)
{
    return s->group[s->chunk[i].group].moves;
}

static void sum_chunk(void *context, size_t i)
{
    const OptimizerStep *s = context;
    const real *g = s->gradients + s->chunk[i].offset;
    double sum = 0;

    for (size_t k = 0; k < s->chunk[i].count && counts(s, i); k++)
        sum += (double)g[k] * (double)g[k];
    s->chunk_sum[i] = sum;
}

typedef struct Scale {
    const OptimizerStep *step;
    real factor;
} Scale;

static void scale_chunk(void *context, size_t i)
{
    const Scale *s = context;
    real *g = s->step->gradients + s->step->chunk[i].offset;

    for (size_t k = 0; k < s->step->chunk[i].count && counts(s->step, i); k++)
        g[k] *= s->factor;
}

void optimizer_clip(const OptimizerStep *step, double limit)
{
    double sum = 0, norm;

    if (limit == 0)
        return;
    pool_run(step->pool, step->chunks, sum_chunk, (void *)step);
    for (size_t i = 0; i < step->chunks; i++)
        sum += step->chunk_sum[i];
    norm = sqrt(sum);
    if (norm > limit) {
        Scale scale = { step, (real)(limit / (norm + 1e-6)) };

        pool_run(step->pool, step->chunks, scale_chunk, &scale);
    }
}
