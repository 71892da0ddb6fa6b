/*
 * search_internal -- the Search's insides, shared by search.c (the run), search_plan.c (what it
 * will take), search_step.c and the searchers.
 */
#pragma once

#include "core/search/search.h"
#include "core/train/optimizer.h"
#include "core/train/pass.h"
#include "core/train/schedule.h"

/* Who moves, in the order of a step. */
typedef enum SearchSide { SIDE_ARCHITECTURE, SIDE_WEIGHTS, SIDES } SearchSide;

/* One side: what it learns from, and how it moves. */
typedef struct SideState {
    Split split;
    WeightRole role;
    Choice choice; /* of its optimiser */
    const Optimizer *optimizer;
    Plan plan; /* gradients of `role` only */
    WeightChunk *chunk;
    size_t chunks;
    real *buffer[OPTIMIZER_BUFFERS_MAX]; /* as the optimiser wants; in the arena */
} SideState;

typedef struct Searcher Searcher;

struct Search {
    SearchSpec spec;
    const Dataset *dataset;
    Pool *pool;
    const Kernels *kernels;
    const Searcher *searcher;
    Loader loader;
    Network network;
    SideState side[SIDES];
    uint64_t steps, steps_per_epoch;

    Arena arena; /* everything below, and the sides' buffers */
    real *gradients;
    double *chunk_sum;
    void *work; /* one plan at a time */

    uint64_t step; /* steps done */
};

/* --- search_plan.c --- */

/* Network, plans and sizes, of a search that has its spec, data set, pool or NULL, and kernels.
 * What it leaves on failure search_free() clears. */
CHECKED Status search_plan(Search *search, Error *err);
/* Takes the planned memory. */
CHECKED Status search_take(Search *search, Error *err);
/* All that search_take() and a run take. */
uint64_t search_bytes(const Search *search);
/* The batches of a side, from `search`'s step on. */
PrefetchSpec search_batches(const Search *search, SearchSide side);
