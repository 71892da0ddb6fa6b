/* Squeeze and excitation. */
#include "core/nn/candidate.h"

#include <stdio.h>

#include "core/nn/attention.h"

static NodeId build(const CandidateSite *site, NodeId x)
{
    char name[GRAPH_NAME_MAX];

    x = candidate_reduce(site, x);
    snprintf(name, sizeof name, "%.50s.se", site->name);
    return candidate_gate(site, name, x,
                          attention_se_gate(site->graph, name, x, site->se_reduction, false));
}

const Candidate candidate_se = {
    .described = { "se", "squeeze and excitation", NULL, 0 },
    .attention = true,
    .build = build,
};
