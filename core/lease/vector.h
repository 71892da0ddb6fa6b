/*
 * vector -- arithmetic on whole networks' weights and gradients: arrays laid out as a graph's
 * offsets say, of which some chunks (core/train/optimizer.h) take part.
 *
 * Chunks are worked off in parallel, sums over them are added up in their order and in double: the
 * same bits for any number of threads. Nothing is allocated.
 */
#pragma once

#include "core/train/optimizer.h"

/* The weights of one role. */
typedef struct WeightSet {
    WeightChunk *chunk; /* owned */
    size_t chunks;
    double *sum; /* [chunks] working memory, borrowed */
} WeightSet;

CHECKED Status weight_set_init(WeightSet *set, const Graph *graph, WeightRole role, Error *err);
void weight_set_clear(WeightSet *set);

/* to = from + factor * step, on the set; `to` may be `from`. */
void vector_move(const WeightSet *set, Pool *pool, const real *from, double factor,
                 const real *step, real *to);
/* to += factor * (plus - minus), on the set. */
void vector_add_difference(const WeightSet *set, Pool *pool, double factor, const real *plus,
                           const real *minus, real *to);
/* The L2 norm over the set. */
double vector_norm(const WeightSet *set, Pool *pool, const real *x);
