/* One loop over a chunk for each of them, and one place that hands the chunks out. */
#include "core/lease/vector.h"

#include <math.h>
#include <stdlib.h>

Status weight_set_init(WeightSet *set, const Graph *graph, WeightRole role, Error *err)
{
    *set = (WeightSet){ 0 };
    return chunks_cut(graph, role, NULL, NULL, &set->chunk, &set->chunks, err);
}

void weight_set_clear(WeightSet *set)
{
    free(set->chunk);
    *set = (WeightSet){ 0 };
}

typedef struct Work {
    const WeightSet *set;
    double factor;
    const real *a, *b;
    real *to;
} Work;

static void move_chunk(void *context, size_t unit)
{
    const Work *w = context;
    size_t at = w->set->chunk[unit].offset, end = at + w->set->chunk[unit].count;
    real factor = (real)w->factor;

    for (; at < end; at++)
        w->to[at] = w->a[at] + factor * w->b[at];
}

static void add_chunk(void *context, size_t unit)
{
    const Work *w = context;
    size_t at = w->set->chunk[unit].offset, end = at + w->set->chunk[unit].count;
    real factor = (real)w->factor;

    for (; at < end; at++)
        w->to[at] += factor * (w->a[at] - w->b[at]);
}

static void sum_chunk(void *context, size_t unit)
{
    const Work *w = context;
    size_t at = w->set->chunk[unit].offset, end = at + w->set->chunk[unit].count;
    double sum = 0;

    for (; at < end; at++)
        sum += (double)w->a[at] * (double)w->a[at];
    w->set->sum[unit] = sum;
}

void vector_move(const WeightSet *set, Pool *pool, const real *from, double factor,
                 const real *step, real *to)
{
    Work work = { set, factor, from, step, to };

    pool_run(pool, set->chunks, move_chunk, &work);
}

void vector_add_difference(const WeightSet *set, Pool *pool, double factor, const real *plus,
                           const real *minus, real *to)
{
    Work work = { set, factor, plus, minus, to };

    pool_run(pool, set->chunks, add_chunk, &work);
}

double vector_norm(const WeightSet *set, Pool *pool, const real *x)
{
    Work work = { .set = set, .a = x };
    double sum = 0;

    pool_run(pool, set->chunks, sum_chunk, &work);
    for (size_t i = 0; i < set->chunks; i++)
        sum += set->sum[i];
    return sqrt(sum);
}
