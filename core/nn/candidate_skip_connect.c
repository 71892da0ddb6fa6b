/* The identity: at stride 1 its input's own node, at stride 2 a FactorizedReduce. */
#include "core/nn/candidate.h"
#include "core/nn/modules.h"

static NodeId build(const CandidateSite *site, NodeId x)
{
    if (site->stride == 1)
        return x;
    return candidate_norm(site, "bn",
                          module_factorized_convs(site->graph, site->name, x, site->channels));
}

const Candidate candidate_skip_connect = {
    .described = { "skip_connect", "identity; at stride 2 a factorized reduction", NULL, 0 },
    .build = build,
};
