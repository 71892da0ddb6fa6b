/*
 * pcdarts -- Xu et al., "PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture
 * Search", ICLR 2020: candidates see 1/K of the channels, and betas weigh a node's edges. The
 * genotype goes by softmax(alpha) softmax(beta).
 */
#include "core/search/searcher.h"

enum { VALUE_K };

static const Param pcdarts_params[] = {
    { "k", PARAM_INT, 4, 2, 8, NULL, "candidates see 1/K of the channels" },
    SEARCHER_ORDER_ROW,
};

static Status pcdarts_model(const SearchSpec *spec, const Space *space, uint32_t round, Choice *ret,
                            Error *err)
{
    (void)space, (void)round;
    return supernet_partial(spec, (uint32_t)spec->searcher.value[VALUE_K], ret, err);
}

extern const Searcher searcher_pcdarts;
const Searcher searcher_pcdarts = {
    .described = { "pcdarts", "darts on a part of the channels, with weights on the edges",
                   pcdarts_params, 2 },
    .model = pcdarts_model,
    .step = supernet_step,
    .derive = supernet_derive,
};
