/*
 * darts -- Liu et al., "DARTS: Differentiable Architecture Search", ICLR 2019, first order: the
 * architecture descends L_val(w, alpha) as if the weights w did not depend on it; then the weights
 * descend L_train(w, alpha) of the new alpha.
 */
#include "core/search/searcher.h"

static Status darts_step(Search *search, const Batch batch[SIDES], SearchStep *ret, Error *err)
{
    for (SearchSide side = 0; side < SIDES; side++) {
        Status s = search_gradients(search, side, &batch[side], &ret->side[side], err);

        if (s != STATUS_OK)
            return s;
        ret->learning_rate = search_update(search, side); /* the weights' is the last one */
    }
    return STATUS_OK;
}

extern const Searcher searcher_darts;
const Searcher searcher_darts = {
    .described = { "darts", "alphas on validation images, then weights, in turn", NULL, 0 },
    .step = darts_step,
};
