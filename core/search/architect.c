/*
 * Alphas and betas are the first weights of a supernet, so arrays of the optimiser end with the
 * last of them and take next to nothing.
 */
#include "core/search/architect.h"

#include <stdlib.h>
#include <string.h>

static Status plan_one(const Network *n, unsigned gradients, uint32_t batch, Plan *ret, Error *err)
{
    PlanSpec spec = { .images = batch,
                      .training = true,
                      .gradients = gradients,
                      .output = n->training_loss,
                      .gradient_to = NODE_NONE,
                      .keep = { n->logits, NODE_NONE } };

    return plan_init(ret, &n->graph, &spec, err);
}

Status architect_plan(Architect *a, const Network *network, const Choice *optimizer, unsigned order,
                      uint32_t batch, Error *err)
{
    Status s;

    *a = (Architect){ .network = network,
                      .choice = *optimizer,
                      .optimizer = optimizer_table[optimizer->row],
                      .order = order };
    s = chunks_cut(&network->graph, WEIGHT_ARCHITECTURE, NULL, NULL, &a->chunk, &a->chunks, err);
    if (s == STATUS_OK && a->chunks == 0)
        s = error_at(err, STATUS_INVALID, "/model",
                     "this model has no architecture to search: take a supernet");
    for (size_t i = 0; i < a->chunks; i++) {
        a->count += a->chunk[i].count;
        a->extent = a->chunk[i].offset + a->chunk[i].count;
    }
    if (s == STATUS_OK)
        s = plan_one(network, GRADIENT_ARCHITECTURE, batch, &a->plan, err);
    if (s == STATUS_OK && order == 2)
        s = plan_one(network, GRADIENT_ARCHITECTURE | GRADIENT_TRAINED, batch, &a->both, err);
    return s == STATUS_OK ? pass_check_norms(&a->plan, err) : s;
}

void architect_clear(Architect *a)
{
    free(a->chunk);
    plan_clear(&a->plan);
    plan_clear(&a->both);
    *a = (Architect){ 0 };
}

size_t architect_work_bytes(const Architect *a)
{
    return a->plan.bytes > a->both.bytes ? a->plan.bytes : a->both.bytes;
}

size_t architect_bytes(const Architect *a)
{
    size_t bytes = a->optimizer->buffers * arena_round(a->extent * sizeof(real)) +
                   arena_round(a->chunks * sizeof(double));

    if (a->order == 2)
        bytes += 2 * arena_round(a->network->graph.weight_numbers * sizeof(real)) +
                 arena_round(a->count * sizeof(double));
    return bytes;
}

void architect_take(Architect *a, Arena *arena, void *work)
{
    size_t numbers = a->network->graph.weight_numbers * sizeof(real);

    for (uint32_t k = 0; k < a->optimizer->buffers; k++)
        a->buffer[k] = arena_take(arena, a->extent * sizeof(real));
    a->chunk_sum = arena_take(arena, a->chunks * sizeof(double));
    plan_bind(&a->plan, work);
    if (a->order != 2)
        return;
    a->origin = arena_take(arena, numbers);
    a->direction = arena_take(arena, numbers);
    a->sum = arena_take(arena, a->count * sizeof(double));
    plan_bind(&a->both, work);
}

Status architect_first(const Architect *a, const RunContext *context, const Batch *batch,
                       uint64_t step, PassSums *ret, Error *err)
{
    RunContext frozen = *context;
    Status s;

    frozen.keep_statistics = true;
    s = pass_forward(a->network, &a->plan, &frozen, batch, step, ret, err);
    if (s == STATUS_OK)
        pass_backward(a->network, &a->plan, &frozen);
    return s;
}

void architect_update(const Architect *a, const RunContext *context, uint64_t number)
{
    const GroupStep group = { .moves = true,
                              .learning_rate = a->choice.value[a->optimizer->learning_rate],
                              .decay_scale = 1 };
    OptimizerStep step = { .pool = context->pool,
                           .kernels = context->kernels,
                           .chunk = a->chunk,
                           .chunks = a->chunks,
                           .group = &group,
                           .number = number,
                           .chunk_sum = a->chunk_sum,
                           .weights = context->weights,
                           .gradients = context->gradients };

    memcpy(step.buffer, a->buffer, sizeof step.buffer);
    a->optimizer->step(a->choice.value, &step);
}

void architect_gather(const Architect *a, const real *numbers, double *ret)
{
    for (size_t i = 0; i < a->chunks; i++)
        for (size_t k = 0; k < a->chunk[i].count; k++)
            *ret++ = (double)numbers[a->chunk[i].offset + k];
}

void architect_scatter(const Architect *a, const double *from, real *ret)
{
    for (size_t i = 0; i < a->chunks; i++)
        for (size_t k = 0; k < a->chunk[i].count; k++)
            ret[a->chunk[i].offset + k] = (real)*from++;
}
