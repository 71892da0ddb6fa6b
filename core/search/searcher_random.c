/*
 * random -- the honest baseline: genotypes drawn uniformly from the space, each trained on the
 * training half in its share of the epochs; the one with the highest validation accuracy at an
 * epoch's end wins, the earliest on ties. Each trains from the same seed: the same order of images.
 */
#include <stdio.h>

#include "core/base/rng.h"
#include "core/search/searcher.h"

enum { VALUE_SAMPLES, SAMPLES_MAX = 64 };

static const Param random_params[] = {
    { "samples", PARAM_INT, 8, 1, SAMPLES_MAX, NULL, "genotypes that share the epochs" },
};

static uint32_t random_rounds(const Choice *searcher)
{
    return (uint32_t)searcher->value[VALUE_SAMPLES];
}

/* One of the edge's candidates that connect. */
static uint32_t draw_candidate(Rng *rng, const SpaceEdge *edge)
{
    uint32_t connect[SPACE_COLUMNS_MAX], count = 0;

    for (uint32_t i = 0; i < edge->count; i++)
        if (candidate_table[edge->candidate[i]]->build != NULL)
            connect[count++] = edge->candidate[i];
    return connect[rng_below(rng, count)];
}

/* Two different states for each node, every pair as likely as any other, in order. */
static void draw_cell(Rng *rng, const SpaceEdge *edge, GenotypeCell *ret)
{
    for (uint32_t node = 0; node < CELL_NODES; node++) {
        const uint32_t states = node + CELL_INPUTS, a = rng_below(rng, states);
        uint32_t b = rng_below(rng, states - 1);

        b += b >= a;
        for (uint32_t i = 0; i < 2; i++) {
            const uint32_t input = (i == 0) == (a < b) ? a : b;

            ret->edge[2 * node + i] =
                (GenotypeEdge){ draw_candidate(rng, &edge[cell_first_edge(node) + input]), input };
        }
        ret->concat[node] = states;
    }
    ret->concats = CELL_NODES;
}

static Genotype draw(uint64_t seed, const Space *space, uint32_t round)
{
    Rng rng = rng_at(seed, RNG_SEARCH, round, 0);
    Genotype g = { 0 };

    for (int k = 0; k < CELL_KINDS; k++)
        draw_cell(&rng, space->edge[k], &g.cell[k]);
    return g;
}

/* No auxiliary head and no drop-path: there are few epochs. */
static Status random_model(const SearchSpec *spec, const Space *space, uint32_t round, Choice *ret,
                           Error *err)
{
    static const char *const same[] = { "channels", "cells", "reduction" };
    const Genotype genotype = draw(spec->train.seed, space, round);
    char text[GENOTYPE_TEXT_MAX];

    (void)err;
    choice_init(model_table, (uint32_t)table_find(model_table, "genotype"), ret);
    genotype_print(&genotype, text);
    snprintf(ret->text, sizeof ret->text, "%s", text);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        choice_set(model_table, ret, same[i],
                   choice_value(model_table, &spec->train.model, same[i]));
    choice_set(model_table, ret, "auxiliary", 0);
    choice_set(model_table, ret, "drop_path", 0);
    return STATUS_OK;
}

static bool random_derive(Search *s, const Score *val, Genotype *ret)
{
    const double accuracy = val == NULL ? -1 : val->accuracy; /* any epoch is better than none */

    if (val != NULL && !(accuracy > s->best))
        return false;
    s->best = accuracy;
    *ret = draw(s->spec.train.seed, &s->space, s->round);
    return true;
}

extern const Searcher searcher_random;
const Searcher searcher_random = {
    .described = { "random", "genotypes at random, each trained; the best one on validation images",
                   random_params, 1 },
    .rounds = random_rounds,
    .model = random_model,
    .derive = random_derive,
};
