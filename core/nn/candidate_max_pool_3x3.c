/* The largest of 3x3 pixels. */
#include "core/nn/candidate.h"

static NodeId build(const CandidateSite *site, NodeId x)
{
    return candidate_pool(site, "max_pool", x);
}

const Candidate candidate_max_pool_3x3 = {
    .described = { "max_pool_3x3", "3x3 max-pool", NULL, 0 },
    .build = build,
};
