/* One line a step, in the order in which they run; what a step stands for is written out. */
#include <inttypes.h>

#include "core/graph/plan.h"

static const double mega = 1e6;

/* A node's name, or else its operation's. */
static const char *name_of(const Plan *plan, NodeId i)
{
    const Node *node = &plan->graph->node[i];

    return node->name[0] != '\0' || node->op == NULL ? node->name : node->op->described.name;
}

/* "layer1.0.bn2 + add + relu": the nodes of the step at i. */
static void print_nodes(const Plan *plan, NodeId i, FILE *out)
{
    const char *between = "";

    for (NodeId j = 0; j <= i; j++)
        if (plan->node[j].step == i) {
            fprintf(out, "%s%s", between, name_of(plan, j));
            between = " + ";
        }
}

static double bytes_of(const Plan *plan, NodeId i)
{
    return (double)(shape_count(&plan->node[i].shapes.out) * sizeof(real));
}

/* What one forward pass of a step reads and writes, weights included. */
static double moved_bytes(const Plan *plan, NodeId i)
{
    const NodePlan *np = &plan->node[i];
    double bytes = bytes_of(plan, i);

    for (uint32_t k = 0; k < np->inputs; k++)
        bytes += bytes_of(plan, np->input[k]);
    for (uint32_t k = 0; k < np->shapes.weights; k++)
        bytes += (double)(shape_count(&np->shapes.weight[k].shape) * sizeof(real));
    return bytes;
}

static void print_step(const Plan *plan, NodeId i, FILE *out)
{
    const NodePlan *np = &plan->node[i];
    char shape[64] = "";
    size_t used = 0;

    for (uint32_t d = 0; d < np->shapes.out.rank; d++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRIu32, d > 0 ? "x" : "",
                                 np->shapes.out.dim[d]);
    fprintf(out, "%5" PRIu32 "  %-15s %-18s %9.3f %9.3f %9.3f  %-8s ", i,
            np->op != NULL ? np->op->described.name : "input", shape, bytes_of(plan, i) / mega,
            np->op != NULL ? moved_bytes(plan, i) / mega : 0, np->shapes.flops / mega,
            np->backward ? "both" : "forward");
    print_nodes(plan, i, out);
    fputc('\n', out);
}

void plan_print(const Plan *plan, FILE *out)
{
    const PlanSpec *spec = &plan->spec;
    uint32_t steps = 0, nodes = 0;

    for (NodeId i = 0; i < plan->graph->nodes; i++) {
        steps += plan->node[i].runs && plan->node[i].op != NULL;
        nodes += plan->node[plan->node[i].step].runs && plan->graph->node[i].op != NULL;
    }
    fprintf(out,
            "%" PRIu32 " images, %s: %" PRIu32 " nodes in %" PRIu32
            " steps, %.3f MB of memory, %.3f MFLOP forward\n",
            spec->images, spec->training ? "training" : "evaluation", nodes, steps,
            (double)plan->bytes / mega, plan->forward_flops / mega);
    fprintf(out, "%5s  %-15s %-18s %9s %9s %9s  %-8s %s\n", "step", "operation", "output", "MB",
            "MB moved", "MFLOP", "runs", "nodes");
    for (NodeId i = 0; i < plan->graph->nodes; i++)
        if (plan->node[i].runs)
            print_step(plan, i, out);
}
