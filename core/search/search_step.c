/* One step of the architecture, in front of that of the weights. */
#include "core/search/searcher.h"

/* Operations that draw do so anew in every pass of a step: each side has draws of its own. */
RunContext search_context(const Search *s, SearchSide side)
{
    RunContext context = trainer_context(s->trainer);

    if (side == SIDE_ARCHITECTURE)
        context.seed ^= UINT64_MAX;
    return context;
}

Status search_move(Search *s, const Batch batch[SIDES], PassSums *ret, Error *err)
{
    const RunContext context = search_context(s, SIDE_ARCHITECTURE);
    Status status = s->searcher->step(s, batch, ret, err);

    if (status == STATUS_OK)
        architect_update(&s->architect, &context, s->trainer->step - search_first_move(s) + 1);
    return status;
}
