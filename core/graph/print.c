/* One line a step, in the order in which they run; what a step stands for is written out. */
#include <inttypes.h>

#include "core/graph/roofline.h"

static const double mega = 1e6, milli = 1e-3;

const char *plan_node_name(const Plan *plan, NodeId i)
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
            fprintf(out, "%s%s", between, plan_node_name(plan, j));
            between = " + ";
        }
}

static bool computes(const NodePlan *np, StepDirection direction)
{
    return np->runs && np->op != NULL && (direction == STEP_FORWARD || np->backward);
}

static double expected_seconds(const Plan *plan, NodeId i, StepDirection direction,
                               const Roofline *limits)
{
    StepCost cost = step_cost(plan, i, direction);

    return roofline_seconds(limits, &cost) / PLAN_SHARE;
}

/* What one direction costs; dashes where the step does not run in it. */
static void print_cost(const Plan *plan, NodeId i, StepDirection direction, const Roofline *limits,
                       FILE *out)
{
    if (computes(&plan->node[i], direction)) {
        StepCost cost = step_cost(plan, i, direction);

        fprintf(out, " %9.3f %9.3f", cost.bytes / mega, cost.done_flops / mega);
        if (limits != NULL)
            fprintf(out, " %8.3f", expected_seconds(plan, i, direction, limits) / milli);
    } else {
        fprintf(out, " %9s %9s", "-", "-");
        if (limits != NULL)
            fprintf(out, " %8s", "-");
    }
}

static void print_step(const Plan *plan, NodeId i, const Roofline *limits, FILE *out)
{
    const NodePlan *np = &plan->node[i];
    char shape[64] = "";
    size_t used = 0;

    for (uint32_t d = 0; d < np->shapes.out.rank; d++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRIu32, d > 0 ? "x" : "",
                                 np->shapes.out.dim[d]);
    fprintf(out, "%5" PRIu32 "  %-15s %-18s", i, np->op != NULL ? np->op->described.name : "input",
            shape);
    for (StepDirection d = STEP_FORWARD; d < STEP_DIRECTIONS; d++)
        print_cost(plan, i, d, limits, out);
    fputs("  ", out);
    print_nodes(plan, i, out);
    fputc('\n', out);
}

/* The table's head: two columns, or three, for each direction. */
static void print_head(const Roofline *limits, FILE *out)
{
    fprintf(out, "%5s  %-15s %-18s", "step", "operation", "output");
    for (StepDirection d = STEP_FORWARD; d < STEP_DIRECTIONS; d++) {
        fprintf(out, " %6s MB %9s", d == STEP_FORWARD ? "fwd" : "bwd", "MFLOP");
        if (limits != NULL)
            fprintf(out, " %8s", "ms");
    }
    fputs("  nodes\n", out);
}

typedef struct Totals {
    uint32_t steps, nodes;
    double flops[STEP_DIRECTIONS], seconds[STEP_DIRECTIONS];
} Totals;

static Totals add_up(const Plan *plan, const Roofline *limits)
{
    Totals t = { 0 };

    for (NodeId i = 0; i < plan->graph->nodes; i++) {
        t.steps += computes(&plan->node[i], STEP_FORWARD);
        t.nodes += plan->node[plan->node[i].step].runs && plan->graph->node[i].op != NULL;
        for (StepDirection d = STEP_FORWARD; d < STEP_DIRECTIONS; d++) {
            if (!computes(&plan->node[i], d))
                continue;
            t.flops[d] += step_cost(plan, i, d).done_flops;
            if (limits != NULL)
                t.seconds[d] += expected_seconds(plan, i, d, limits);
        }
    }
    return t;
}

void plan_print(const Plan *plan, const Roofline *limits, FILE *out)
{
    const PlanSpec *spec = &plan->spec;
    Totals t = add_up(plan, limits);

    fprintf(out,
            "%" PRIu32 " images, %s: %" PRIu32 " nodes in %" PRIu32
            " steps, %.3f MB of memory, %.3f MFLOP forward, %.3f backward\n",
            spec->images, spec->training ? "training" : "evaluation", t.nodes, t.steps,
            (double)plan->bytes / mega, t.flops[STEP_FORWARD] / mega,
            t.flops[STEP_BACKWARD] / mega);
    if (limits != NULL)
        fprintf(
            out,
            "expected: %.3f ms forward, %.3f backward, at %.0f%% of this machine's %.0f GFLOP/s "
            "and %.1f GB/s\n",
            t.seconds[STEP_FORWARD] / milli, t.seconds[STEP_BACKWARD] / milli, PLAN_SHARE * 100,
            limits->flops / 1e9, limits->bytes / 1e9);
    print_head(limits, out);
    for (NodeId i = 0; i < plan->graph->nodes; i++)
        if (plan->node[i].runs)
            print_step(plan, i, limits, out);
}
