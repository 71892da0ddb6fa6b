/* What searchers are made of, and their table, generated from the list in meson.build. */
#include <string.h>

#include "core/search/search_tables.h"
#include "core/search/searcher.h"

#define X(name) extern const Searcher searcher_##name;
SEARCHER_TABLE(X)
#undef X

const Searcher *const searcher_table[] = {
#define X(name) &searcher_##name,
    SEARCHER_TABLE(X)
#undef X
        NULL,
};

/* Operations that draw do so anew in every pass of a step. */
static RunContext context_of(const Search *s, SearchSide side)
{
    return (RunContext){ .pool = s->pool,
                         .kernels = s->kernels,
                         .weights = s->network.weights,
                         .gradients = s->gradients,
                         .seed = s->spec.seed,
                         .step = (uint32_t)(s->step * SIDES + side),
                         .progress = (double)(s->step / s->steps_per_epoch) / s->spec.epochs };
}

Status search_gradients(Search *s, SearchSide side, const Batch *batch, PassSums *ret, Error *err)
{
    const Plan *plan = &s->side[side].plan;
    RunContext context = context_of(s, side);
    Status status = pass_forward(&s->network, plan, &context, batch, s->step + 1, ret, err);

    if (status != STATUS_OK)
        return status;
    pass_backward(&s->network, plan, &context);
    s->network.batches++;
    return STATUS_OK;
}

double search_update(Search *s, SearchSide side)
{
    const SideState *state = &s->side[side];
    GroupStep group = { .moves = true,
                        .learning_rate = state->choice.value[state->optimizer->learning_rate],
                        .decay_scale = 1 };
    OptimizerStep step = { .pool = s->pool,
                           .kernels = s->kernels,
                           .chunk = state->chunk,
                           .chunks = state->chunks,
                           .group = &group,
                           .number = s->step + 1,
                           .chunk_sum = s->chunk_sum,
                           .weights = s->network.weights,
                           .gradients = s->gradients };

    if (side == SIDE_WEIGHTS)
        group.learning_rate *=
            schedule_factor(&s->spec.schedule, s->step, s->steps, s->steps_per_epoch);
    memcpy(step.buffer, state->buffer, sizeof step.buffer);
    state->optimizer->step(state->choice.value, &step);
    return group.learning_rate;
}
