/* The table of candidates, generated from the list in meson.build, and the blocks that rows share.
 */
#include "core/nn/candidate.h"

#include <stdio.h>
#include <string.h>

#include "core/nn/candidate_table.h"
#include "core/nn/modules.h"

#define X(name) extern const Candidate candidate_##name;
CANDIDATE_TABLE(X)
#undef X

const Candidate *const candidate_table[] = {
#define X(name) &candidate_##name,
    CANDIDATE_TABLE(X)
#undef X
        NULL,
};

void candidate_names(char ret[CANDIDATE_NAMES_MAX])
{
    size_t used = 0;

    ret[0] = '\0';
    for (int i = 0; candidate_table[i] != NULL && used < CANDIDATE_NAMES_MAX; i++)
        used += (size_t)snprintf(ret + used, CANDIDATE_NAMES_MAX - used, "%s%s", i > 0 ? ", " : "",
                                 candidate_table[i]->described.name);
}

NodeId candidate_norm(const CandidateSite *site, const char *child, NodeId x)
{
    if (!site->search)
        return module_norm(site->graph, site->name, child, x, true);
    site->mix->statistics = module_statistics(site->graph, site->name, child, x);
    return x;
}

NodeId candidate_pool(const CandidateSite *site, const char *op, NodeId x)
{
    x = module_once(site->graph, op, x,
                    GRAPH_PARAMS({ "kernel", 3 }, { "stride", site->stride }, { "padding", 1 }));
    return site->search ? candidate_norm(site, "1", x) : x;
}

/* ReLU, depthwise and 1x1 of a genotype: "<name>.op.<first + 1>" and "<name>.op.<first + 2>". */
static NodeId trained(const CandidateSite *site, NodeId x, uint32_t first, uint32_t kernel,
                      uint32_t stride, uint32_t dilation)
{
    Graph *graph = site->graph;
    char child[16];

    x = module_once(graph, "relu", x, NULL);
    snprintf(child, sizeof child, "op.%u", first + 1);
    x = module_node(graph, "conv2d", site->name, child, x,
                    GRAPH_PARAMS({ "channels", site->channels }, { "groups", site->channels },
                                 { "kernel", kernel }, { "stride", stride },
                                 { "padding", kernel / 2 * dilation }, { "dilation", dilation }));
    snprintf(child, sizeof child, "op.%u", first + 2);
    return module_node(graph, "conv2d", site->name, child, x,
                       GRAPH_PARAMS({ "channels", site->channels }, { "kernel", 1 }));
}

/* The same while searching, with its norms and its weight: one operation. */
static NodeId searched(const CandidateSite *site, NodeId x, uint32_t kernel, uint32_t dilation,
                       bool twice)
{
    CandidateMix *mix = site->mix;
    const bool add = mix->sum != NODE_NONE;
    const NodeId input[] = { mix->sum, x, mix->weights };

    mix->sum = graph_node_of(site->graph, add ? "mixed_separable_add" : "mixed_separable",
                             site->name, add ? input : input + 1, add ? 3 : 2,
                             GRAPH_PARAMS({ "row", mix->row }, { "column", mix->column },
                                          { "kernel", kernel }, { "stride", site->stride },
                                          { "dilation", dilation }, { "twice", twice }));
    return NODE_NONE;
}

NodeId candidate_sep_conv(const CandidateSite *site, NodeId x, uint32_t kernel)
{
    if (site->search)
        return searched(site, x, kernel, 1, true);
    x = trained(site, x, 0, kernel, site->stride, 1);
    x = module_norm(site->graph, site->name, "op.3", x, true);
    x = trained(site, x, 4, kernel, 1, 1);
    return module_norm(site->graph, site->name, "op.7", x, true);
}

NodeId candidate_dil_conv(const CandidateSite *site, NodeId x, uint32_t kernel)
{
    if (site->search)
        return searched(site, x, kernel, 2, false);
    x = trained(site, x, 0, kernel, site->stride, 2);
    return module_norm(site->graph, site->name, "op.3", x, true);
}

NodeId candidate_gate(const CandidateSite *site, const char *name, NodeId x, NodeId gate)
{
    if (!site->search)
        return graph_node(site->graph, "gate", name, x, gate, NULL);
    site->mix->gate = gate;
    return x;
}

NodeId candidate_reduce(const CandidateSite *site, NodeId x)
{
    char name[GRAPH_NAME_MAX];

    if (site->stride == 1)
        return x;
    snprintf(name, sizeof name, "%.50s.reduce", site->name);
    return module_factorized_reduce(site->graph, name, x, site->channels, !site->search);
}
