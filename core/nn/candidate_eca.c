/* Efficient channel attention. */
#include "core/nn/candidate.h"

#include <stdio.h>

#include "core/nn/attention.h"

static NodeId build(const CandidateSite *site, NodeId x)
{
    char name[GRAPH_NAME_MAX];

    x = candidate_reduce(site, x);
    snprintf(name, sizeof name, "%.50s.eca", site->name);
    return candidate_gate(site, name, x, attention_eca_gate(site->graph, name, x));
}

const Candidate candidate_eca = {
    .described = { "eca", "efficient channel attention", NULL, 0 },
    .attention = true,
    .build = build,
};
