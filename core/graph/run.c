/* Nodes in their order, then back. An OpCall is put together anew for each: pointers only, no
 * state. */
#include "core/graph/run.h"

#include <assert.h>
#include <math.h>

typedef struct Bound {
    OpCall call;
    Tensor in[OP_INPUTS_MAX];
    real *weight[OP_WEIGHTS_MAX];
} Bound;

static void bind(const Plan *plan, const RunContext *context, NodeId i, Bound *ret)
{
    const Node *node = &plan->graph->node[i];
    const NodePlan *np = &plan->node[i];

    for (uint32_t k = 0; k < node->inputs; k++)
        ret->in[k] = plan_tensor(plan, node->input[k]);
    for (uint32_t k = 0; k < np->shapes.weights; k++)
        ret->weight[k] = context->weights + plan->graph->weight[node->first_weight + k].offset;
    ret->call = (OpCall){
        .pool = context->pool,
        .kernels = context->kernels,
        .value = node->value,
        .training = plan->spec.training,
        .keep_statistics = context->keep_statistics,
        .seed = context->seed,
        .step = context->step,
        .node = i,
        .progress = context->progress,
        .inputs = node->inputs,
        .in = ret->in,
        .out = plan_tensor(plan, i),
        .weight = ret->weight,
        .saved = (real *)(plan->memory + np->saved),
        .scratch = plan->memory + plan->scratch,
    };
}

/* Whether node i was one to run. */
static bool node_forward(const Plan *plan, const RunContext *context, NodeId i)
{
    Bound bound;

    if (!plan->node[i].runs || plan->graph->node[i].op == NULL)
        return false;
    bind(plan, context, i, &bound);
    plan->graph->node[i].op->forward(&bound.call);
    return true;
}

void run_forward(const Plan *plan, const RunContext *context)
{
    assert(plan->memory != NULL);
    for (NodeId i = 0; i < plan->graph->nodes; i++)
        (void)node_forward(plan, context, i);
}

NodeId run_first_nonfinite(const Plan *plan, const RunContext *context)
{
    RunContext again = *context;

    again.keep_statistics = true;
    for (NodeId i = 0; i < plan->graph->nodes; i++) {
        Tensor out;
        size_t count;

        if (!node_forward(plan, &again, i))
            continue;
        out = plan_tensor(plan, i);
        count = shape_count(&out.shape);
        for (size_t k = 0; k < count; k++)
            if (!isfinite(out.data[k]))
                return i;
    }
    return NODE_NONE;
}

void run_backward(const Plan *plan, const RunContext *context)
{
    for (NodeId i = plan->spec.output + 1; i-- > 0;) {
        const Node *node = &plan->graph->node[i];
        const NodePlan *np = &plan->node[i];
        Bound bound;

        if (!np->backward)
            continue;
        bind(plan, context, i, &bound);
        bound.call.out_gradient = plan_gradient(plan, i).data;
        for (uint32_t k = 0; k < node->inputs; k++) {
            if (!plan->node[node->input[k]].wants)
                continue;
            bound.call.in_gradient[k] = plan_gradient(plan, node->input[k]).data;
            bound.call.accumulate[k] = np->accumulate[k];
        }
        for (uint32_t k = 0; k < np->shapes.weights; k++)
            if ((plan->spec.gradients >> np->shapes.weight[k].role & 1) != 0)
                bound.call.weight_gradient[k] =
                    context->gradients + plan->graph->weight[node->first_weight + k].offset;
        node->op->backward(&bound.call);
    }
}
