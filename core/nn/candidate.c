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

NodeId candidate_pool(const CandidateSite *site, const char *op, NodeId x)
{
    x = module_once(site->graph, op, x,
                    GRAPH_PARAMS({ "kernel", 3 }, { "stride", site->stride }, { "padding", 1 }));
    return site->search ? module_norm(site->graph, site->name, "1", x, false) : x;
}

/* ReLU, depthwise, 1x1, batch norm: "<name>.op.<first + 1>" to "<name>.op.<first + 3>". */
static NodeId separable(const CandidateSite *site, NodeId x, uint32_t first, uint32_t kernel,
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
    x = module_node(graph, "conv2d", site->name, child, x,
                    GRAPH_PARAMS({ "channels", site->channels }, { "kernel", 1 }));
    snprintf(child, sizeof child, "op.%u", first + 3);
    return module_norm(graph, site->name, child, x, !site->search);
}

NodeId candidate_sep_conv(const CandidateSite *site, NodeId x, uint32_t kernel)
{
    x = separable(site, x, 0, kernel, site->stride, 1);
    return separable(site, x, 4, kernel, 1, 1);
}

NodeId candidate_dil_conv(const CandidateSite *site, NodeId x, uint32_t kernel)
{
    return separable(site, x, 0, kernel, site->stride, 2);
}

NodeId candidate_reduce(const CandidateSite *site, NodeId x)
{
    char name[GRAPH_NAME_MAX];

    if (site->stride == 1)
        return x;
    snprintf(name, sizeof name, "%.50s.reduce", site->name);
    return module_factorized_reduce(site->graph, name, x, site->channels, !site->search);
}
