/* The run is repeated, node by node: what a plan leaves behind does not show where it began. */
#include "core/train/diverged.h"

#include <assert.h>
#include <stdio.h>

void diverged_where(const Plan *plan, const RunContext *context, char ret[DIVERGED_TEXT_MAX])
{
    const Graph *g = plan->graph;
    NodeId at = run_first_nonfinite(plan, context), named = at;

    if (at == NODE_NONE) {
        snprintf(ret, DIVERGED_TEXT_MAX, "each layer's output is");
        return;
    }
    assert(g->node[at].op != NULL); /* what runs is an operation */
    while (named > 0 && (g->node[named].op == NULL || g->node[named].name[0] == '\0'))
        named--;
    if (named == at)
        snprintf(ret, DIVERGED_TEXT_MAX, "layer \"%s\" is the first whose output is not",
                 g->node[at].name);
    else
        snprintf(ret, DIVERGED_TEXT_MAX,
                 "the operation %s behind layer \"%s\" is the first whose output is not",
                 g->node[at].op->described.name, g->node[named].name);
}
