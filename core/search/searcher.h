/*
 * searcher -- the table of searchers: one file `searcher_x.c` and one row in meson.build each.
 *
 * A searcher says what one step does with a batch of either split: which gradients it takes, where,
 * and in which order the sides move.
 */
#pragma once

#include "core/search/search_internal.h"

/* What a step saw. */
typedef struct SearchStep {
    PassSums side[SIDES];
    double learning_rate; /* of the weights */
} SearchStep;

typedef struct Searcher {
    Described described;
    /* `batch`: one for each side. Allocates nothing. STATUS_DIVERGED: a loss is not finite. */
    Status (*step)(Search *search, const Batch batch[SIDES], SearchStep *ret, Error *err);
} Searcher;

extern const Searcher *const searcher_table[]; /* NULL-terminated */

/* What searchers are made of. */

/* Forward and backward of `side`'s plan: the gradients of its weights are in search->gradients, and
 * nothing else is. */
CHECKED Status search_gradients(Search *search, SearchSide side, const Batch *batch, PassSums *ret,
                                Error *err);
/* Moves the weights of `side`, and those only, by search->gradients; answers the learning rate. */
double search_update(Search *search, SearchSide side);
