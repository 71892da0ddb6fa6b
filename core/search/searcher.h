/*
 * searcher -- the table of searchers: one file `searcher_x.c` and one row in meson.build each.
 *
 * A searcher says which networks are trained, one after the other, how the architecture moves in
 * front of each of their steps, and what has been found. One whose row has a parameter `order` has
 * an architecture to move (core/search/architect.h); one without trains whole networks.
 */
#pragma once

#include "core/search/search_internal.h"

typedef struct Searcher {
    Described described;
    /* How many networks are trained, each in an equal share of the epochs; NULL: one. */
    uint32_t (*rounds)(const Choice *searcher);
    /* The network of a round, from 0. `space`: of spec->train.model. STATUS_INVALID names a
     * parameter below "/searcher". */
    Status (*model)(const SearchSpec *spec, const Space *space, uint32_t round, Choice *ret,
                    Error *err);
    /* The gradient of the architecture from a batch of either side, in the trainer's gradients;
     * NULL: there is none. `ret`: of the batch of `val`. Allocates nothing. STATUS_DIVERGED: a loss
     * is not finite. */
    Status (*step)(Search *search, const Batch batch[SIDES], PassSums *ret, Error *err);
    /* At an epoch's end, and before the first (val NULL): what is found; false where that is what
     * was found before. */
    bool (*derive)(Search *search, const Score *val, Genotype *ret);
} Searcher;

extern const Searcher *const searcher_table[]; /* NULL-terminated */

/* What searchers are made of. */

/* The value of a parameter that the choice's row has. */
double choice_value(const void *table, const Choice *choice, const char *param);

/* The supernet of which each candidate sees 1/partial of the channels. STATUS_INVALID at
 * "/searcher/k". */
CHECKED Status supernet_partial(const SearchSpec *spec, uint32_t partial, Choice *ret, Error *err);
/* darts' step, of the architect's order. */
CHECKED Status supernet_step(Search *search, const Batch batch[SIDES], PassSums *ret, Error *err);
/* genotype_derive() of the alphas as they are. */
bool supernet_derive(Search *search, const Score *val, Genotype *ret);

#define SEARCHER_ORDER_ROW                                                              \
    {                                                                                   \
        "order", PARAM_INT, 1, 1, 2, NULL,                                              \
            "1: alphas descend L_val(w); 2: L_val of the weights one step of sgd ahead" \
    }
