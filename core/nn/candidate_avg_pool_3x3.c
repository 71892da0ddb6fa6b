/* The mean of 3x3 pixels, padding not counted. */
#include "core/nn/candidate.h"

static NodeId build(const CandidateSite *site, NodeId x)
{
    return candidate_pool(site, "avg_pool", x);
}

const Candidate candidate_avg_pool_3x3 = {
    .described = { "avg_pool_3x3", "3x3 average pool", NULL, 0 },
    .build = build,
};
