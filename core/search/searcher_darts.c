/*
 * darts -- Liu et al., "DARTS: Differentiable Architecture Search", ICLR 2019. First order: the
 * architecture descends L_val(w, alpha) as if the weights w did not depend on it; second order: as
 * if they were one step of training behind. Then the weights descend L_train(w, alpha) of the new
 * alpha.
 */
#include "core/search/searcher.h"

static const Param darts_params[] = { SEARCHER_ORDER_ROW };

static Status darts_model(const SearchSpec *spec, const Space *space, uint32_t round, Choice *ret,
                          Error *err)
{
    (void)space, (void)round;
    return supernet_partial(spec, 1, ret, err);
}

extern const Searcher searcher_darts;
const Searcher searcher_darts = {
    .described = { "darts", "alphas on validation images, then weights, in turn", darts_params, 1 },
    .model = darts_model,
    .step = supernet_step,
    .derive = supernet_derive,
};
