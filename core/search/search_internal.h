/*
 * search_internal -- the Search's insides, shared by search.c (the run), search_plan.c (what it
 * will take), search_step.c (one step of the architecture), curvature.c (the eigenvalue),
 * search_file.c (checkpoints) and the searchers.
 */
#pragma once

#include "core/search/eigenvalue.h"
#include "core/search/search.h"
#include "core/train/trainer_internal.h"

/* Whose images a step takes. */
typedef enum SearchSide { SIDE_ARCHITECTURE, SIDE_WEIGHTS, SIDES } SearchSide;

/* The rule of early stopping. */
enum { EARLY_WINDOW = 5, EARLY_LAG = 4, READINGS_MAX = EARLY_WINDOW + EARLY_LAG };

/* Where the eigenvalue is measured. */
typedef struct Curvature {
    Batch batch; /* fixed images of `val`, as they are; made anew at each reading */
    float *images, *targets;
    uint16_t *labels;
    uint32_t *items;
    void *scratch;
    EigenvalueRoom room;
} Curvature;

typedef struct Searcher Searcher;

struct Search {
    SearchSpec spec;
    const Dataset *dataset;
    Pool *pool;
    const Searcher *searcher;
    Space space;

    uint32_t rounds, round; /* networks trained one after the other; the running one, from 0 */
    uint64_t round_steps;   /* of each */
    uint32_t round_epochs;  /* that each reports */
    uint64_t memory_bytes;  /* of the round that takes most */
    uint64_t parameters;
    double step_flops;
    Trainer *trainer; /* of the running round */

    Architect architect; /* zeroed where the searcher has no step */
    Arena arena;         /* the architect's memory, and what follows */
    Curvature curvature; /* where the eigenvalue is wanted */
    /* The architecture [architect.extent] at the end of the last epoch, and of those before it;
     * where the search may stop early. */
    real *ended[EARLY_LAG + 1];

    SearchResult result; /* as of the last epoch's end */
    double best;         /* random: the validation accuracy of `result` */
    double reading[READINGS_MAX];
    uint32_t readings; /* the last ones, in order */

    /* While it runs. */
    const SearchObserver *observer;
    Prefetch *val;
    PassSums val_sums; /* of this step; of no images where the architecture stands still */
    double eigenvalue; /* of this epoch */
};

/* --- search_plan.c --- */

/* Everything but memory, of a search that has its spec, data set and searcher. What it leaves on
 * failure search_free() clears. */
CHECKED Status search_plan(Search *search, Error *err);
/* Plans the trainer of a round. */
CHECKED Status search_make_round(Search *search, uint32_t round, Trainer **ret, Error *err);
/* Takes the planned memory; the trainer begins. */
CHECKED Status search_take(Search *search, Error *err);
/* The batches of the architecture from here on; false where it does not move any more. */
bool search_batches(const Search *search, PrefetchSpec *ret);
/* The first step of a round in which the architecture moves. */
uint64_t search_first_move(const Search *search);
/* Whether it is measured. */
bool search_measures(const Search *search);

/* --- search_step.c --- */

/* What a pass over a batch of `side` runs with. */
RunContext search_context(const Search *search, SearchSide side);
/* Moves the architecture, and nothing else, by a batch of either side. */
CHECKED Status search_move(Search *search, const Batch batch[SIDES], PassSums *ret, Error *err);

/* --- curvature.c --- */

/* Bytes of its arrays; lays them out where `arena` is not NULL. */
size_t curvature_layout(Search *search, Arena *arena);
/* eigenvalue_of_architecture() of L_val on that batch. */
CHECKED Status curvature_measure(Search *search, const atomic_int *stop, double *ret, Error *err);

/* --- search_file.c --- */

/* Metadata rows of a checkpoint. */
void search_describe(const void *search, NetworkMeta *meta);

/* --- alphas.c --- */

/* The space of a supernet, attention taken out where its model says so. STATUS_INVALID at
 * "/model" or "/model/space". */
CHECKED Status supernet_space(const Choice *model, Space *ret, Error *err);
/* Of a network in memory whose model is a supernet; `numbers` laid out as its weights. */
void supernet_alphas(const Network *network, const Space *space, const real *numbers,
                     SearchAlphas *ret);
