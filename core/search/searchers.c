/* The table, generated from the list in meson.build, and what several rows share. */
#include <assert.h>

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

double choice_value(const void *table, const Choice *choice, const char *param)
{
    int i = param_find(((const Described *const *)table)[choice->row], param);

    assert(i >= 0);
    return choice->value[i];
}

Status supernet_partial(const SearchSpec *spec, uint32_t partial, Choice *ret, Error *err)
{
    const Choice *model = &spec->train.model;
    const uint32_t channels = (uint32_t)choice_value(model_table, model, "channels");

    if (channels % partial != 0)
        return error_at(err, STATUS_INVALID, "/searcher/k",
                        "%u channels are no multiple of %u: each candidate sees one part of them",
                        channels, partial);
    *ret = *model;
    choice_set(model_table, ret, "partial", partial);
    return STATUS_OK;
}

/* What sgd would do to the weights in this step. */
static VirtualStep virtual_step(const Search *s, const GroupStep *group)
{
    const Trainer *t = s->trainer;
    const Choice *sgd = &t->spec.optimizer;

    return (VirtualStep){ .plan = &t->plan[0],
                          .chunk = t->chunk,
                          .chunks = t->chunks,
                          .chunk_sum = t->chunk_sum,
                          .group = group,
                          .momentum = choice_value(optimizer_table, sgd, "momentum"),
                          .decay = choice_value(optimizer_table, sgd, "weight_decay"),
                          .buffer = t->buffer[0] };
}

Status supernet_step(Search *s, const Batch batch[SIDES], PassSums *ret, Error *err)
{
    const ArchitectSide train = { search_context(s, SIDE_WEIGHTS), &batch[SIDE_WEIGHTS] },
                        val = { search_context(s, SIDE_ARCHITECTURE), &batch[SIDE_ARCHITECTURE] };
    GroupStep group[PARAM_GROUPS_MAX + 1];
    VirtualStep move;

    if (s->architect.order == 1)
        return architect_first(&s->architect, &val.context, val.batch, s->trainer->step + 1, ret,
                               err);
    (void)trainer_groups(s->trainer, group);
    move = virtual_step(s, group);
    return architect_second(&s->architect, &train, &val, &move, s->trainer->step + 1, ret, err);
}

bool supernet_derive(Search *s, const Score *val, Genotype *ret)
{
    const Network *n = &s->trainer->network;
    SearchAlphas alphas;

    (void)val;
    supernet_alphas(n, &s->space, n->weights, &alphas);
    search_derive(&alphas, ret);
    return true;
}
