/*
 * The second order. The learning rate goes into the direction, u = lr v, so that groups of weights
 * may have rates of their own; eps = 0.01 / |u| then perturbs w by the same vector of length 0.01.
 */
#include <math.h>
#include <string.h>

#include "core/search/architect.h"

enum { PERTURBATIONS = 2 };

static const double perturbation = 0.01; /* the length of eps v */

typedef struct Second {
    const Architect *architect;
    const VirtualStep *move;
    real *weights, *gradients;
    real scale; /* of the direction */
} Second;

static double rate_of(const Second *s, const WeightChunk *chunk)
{
    const GroupStep *group = &s->move->group[chunk->group];

    return group->moves ? group->learning_rate : 0;
}

/* w = origin - lr (momentum buf + g + decay origin) */
static void unroll(void *context, size_t i)
{
    const Second *s = context;
    const WeightChunk *chunk = &s->move->chunk[i];
    const real rate = (real)rate_of(s, chunk), momentum = (real)s->move->momentum,
               decay = (real)(s->move->decay * s->move->group[chunk->group].decay_scale);

    for (size_t k = chunk->offset; k < chunk->offset + chunk->count; k++) {
        const real origin = s->architect->origin[k];

        s->weights[k] =
            origin - rate * (momentum * s->move->buffer[k] + s->gradients[k] + decay * origin);
    }
}

/* direction = lr g, and the sum of its squares */
static void direct(void *context, size_t i)
{
    const Second *s = context;
    const WeightChunk *chunk = &s->move->chunk[i];
    const real rate = (real)rate_of(s, chunk);
    double sum = 0;

    for (size_t k = chunk->offset; k < chunk->offset + chunk->count; k++) {
        const real u = rate * s->gradients[k];

        s->architect->direction[k] = u;
        sum += (double)u * (double)u;
    }
    s->move->chunk_sum[i] = sum;
}

/* w = origin + scale direction */
static void perturb(void *context, size_t i)
{
    const Second *s = context;
    const WeightChunk *chunk = &s->move->chunk[i];

    for (size_t k = chunk->offset; k < chunk->offset + chunk->count; k++)
        s->weights[k] = s->architect->origin[k] + s->scale * s->architect->direction[k];
}

static Status gradients(const Architect *a, const Plan *plan, const ArchitectSide *side,
                        uint64_t step, PassSums *ret, Error *err)
{
    RunContext frozen = side->context;
    Status s;

    frozen.keep_statistics = true;
    s = pass_forward(a->network, plan, &frozen, side->batch, step, ret, err);
    if (s == STATUS_OK)
        pass_backward(a->network, plan, &frozen);
    return s;
}

/* w' in the weights, then the gradients of L_val there: those of the architecture in a->sum, those
 * of the weights as the direction. */
static Status look_ahead(Second *s, const ArchitectSide *train, const ArchitectSide *val,
                         uint64_t step, PassSums *ret, Error *err)
{
    const Architect *a = s->architect;
    PassSums sums;
    Status status = gradients(a, s->move->plan, train, step, &sums, err);

    if (status != STATUS_OK)
        return status;
    pool_run(train->context.pool, s->move->chunks, unroll, s);
    status = gradients(a, &a->both, val, step, ret, err);
    if (status != STATUS_OK)
        return status;
    architect_gather(a, s->gradients, a->sum);
    pool_run(val->context.pool, s->move->chunks, direct, s);
    return STATUS_OK;
}

/* a->sum -= the mixed derivative along the direction, by a central difference. */
static Status add_mixed_derivative(Second *s, const ArchitectSide *train, uint64_t step, Error *err)
{
    const Architect *a = s->architect;
    double norm = 0, eps;
    PassSums sums;

    for (size_t i = 0; i < s->move->chunks; i++)
        norm += s->move->chunk_sum[i];
    if (norm == 0)
        return STATUS_OK;
    eps = perturbation / sqrt(norm);
    for (int i = 0; i < PERTURBATIONS; i++) {
        const double sign = i == 0 ? 1 : -1;
        double *sum = a->sum;
        Status status;

        s->scale = (real)(sign * eps);
        pool_run(train->context.pool, s->move->chunks, perturb, s);
        status = architect_first(a, &train->context, train->batch, step, &sums, err);
        if (status != STATUS_OK)
            return status;
        for (size_t c = 0; c < a->chunks; c++)
            for (size_t k = 0; k < a->chunk[c].count; k++)
                *sum++ -= sign * (double)s->gradients[a->chunk[c].offset + k] / (2 * eps);
    }
    return STATUS_OK;
}

Status architect_second(const Architect *a, const ArchitectSide *train, const ArchitectSide *val,
                        const VirtualStep *move, uint64_t step, PassSums *ret, Error *err)
{
    const size_t numbers = a->network->graph.weight_numbers;
    Second s = { .architect = a,
                 .move = move,
                 .weights = train->context.weights,
                 .gradients = train->context.gradients };
    Status status;

    memcpy(a->origin, s.weights, numbers * sizeof *a->origin);
    status = look_ahead(&s, train, val, step, ret, err);
    if (status == STATUS_OK)
        status = add_mixed_derivative(&s, train, step, err);
    memcpy(s.weights, a->origin, numbers * sizeof *a->origin);
    memset(s.gradients, 0, numbers * sizeof *s.gradients);
    architect_scatter(a, a->sum, s.gradients);
    return status;
}
