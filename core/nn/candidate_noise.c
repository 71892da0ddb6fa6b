/* Standard normal noise whatever comes in: what a sound search never chooses (Zela et al., 2020).
 */
#include "core/nn/candidate.h"

static NodeId build(const CandidateSite *site, NodeId x)
{
    return graph_node(site->graph, "noise", "", x, NODE_NONE,
                      GRAPH_PARAMS({ "stride", site->stride }));
}

const Candidate candidate_noise = {
    .described = { "noise", "standard normal noise", NULL, 0 },
    .build = build,
};
