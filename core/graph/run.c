/* Nodes in their order, then back. An OpCall is put together anew for each: pointers only, no
 * state. */
#include "core/graph/run.h"

#include <assert.h>

typedef struct Bound {
    OpCall call;
    Tensor in[OP_INPUTS_MAX];
    real *weight[OP_WEIGHTS_MAX];
} Bound;

static void bind(const Plan *plan, const RunContext *context, NodeId i, Bound *ret)
{
    const Node *node = &plan->graph->node[i];
    const NodePlan *np = &plan->node[i];

    for (uint32_t k = 0; k < node->op->inputs; k++)
        ret->in[k] = plan_tensor(plan, node->input[k]);
    for (uint32_t k = 0; k < np->shapes.weights; k++)
        ret->weight[k] = context->weights + plan->graph->weight[node->first_weight + k].offset;
    ret->call = (OpCall){
        .pool = context->pool,
        .kernels = context->kernels,
        .value = node->value,
        .training = plan->spec.training,
        .in = ret->in,
        .out = plan_tensor(plan, i),
        .weight = ret->weight,
        .saved = (real *)(plan->memory + np->saved),
        .scratch = plan->memory + plan->scratch,
    };
}

void run_forward(const Plan *plan, const RunContext *context)
{
    assert(plan->memory != NULL);
    for (NodeId i = 0; i < plan->graph->nodes; i++) {
        Bound bound;

        if (!plan->node[i].runs || plan->graph->node[i].op == NULL)
            continue;
        bind(plan, context, i, &bound);
        plan->graph->node[i].op->forward(&bound.call);
    }
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
        for (uint32_t k = 0; k < node->op->inputs; k++) {
            if (!plan->node[node->input[k]].wants)
                continue;
            bound.call.in_gradient[k] = plan_gradient(plan, node->input[k]).data;
            bound.call.accumulate[k] = np->accumulate[k];
        }
        for (uint32_t k = 0; k < np->shapes.weights && plan->spec.weight_gradients; k++)
            if (np->shapes.weight[k].role == WEIGHT_TRAINED)
                bound.call.weight_gradient[k] =
                    context->gradients + plan->graph->weight[node->first_weight + k].offset;
        node->op->backward(&bound.call);
    }
}
