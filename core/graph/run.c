/* Steps in their order, then back. An OpCall is put together anew for each: pointers only, no
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
    const NodePlan *np = &plan->node[i];

    for (uint32_t k = 0; k < np->inputs; k++)
        ret->in[k] = plan_tensor(plan, np->input[k]);
    for (uint32_t k = 0; k < np->shapes.weights; k++)
        ret->weight[k] = context->weights + plan->graph->weight[np->first_weight + k].offset;
    ret->call = (OpCall){
        .pool = context->pool,
        .kernels = context->kernels,
        .value = np->value,
        .training = plan->spec.training,
        .keep_statistics = context->keep_statistics,
        .seed = context->seed,
        .step = context->step,
        .node = i,
        .progress = context->progress,
        .guided = plan->spec.guided,
        .inputs = np->inputs,
        .in = ret->in,
        .out = plan_tensor(plan, i),
        .weight = ret->weight,
        .saved = (real *)(plan->memory + np->saved),
        .scratch = plan->memory + plan->scratch,
    };
}

/* One pass of a bound step. */
static void execute(const Plan *plan, const RunContext *context, NodeId i, StepDirection direction,
                    const OpCall *call)
{
    void (*pass)(const OpCall *call) =
        direction == STEP_FORWARD ? plan->node[i].op->forward : plan->node[i].op->backward;
    double began;

    if (context->profile == NULL) {
        pass(call);
        return;
    }
    began = profile_now();
    pass(call);
    profile_add(context->profile, plan, i, direction, profile_now() - began);
}

/* Whether node i was one to run. */
static bool node_forward(const Plan *plan, const RunContext *context, NodeId i)
{
    Bound bound;

    if (!plan->node[i].runs || plan->node[i].op == NULL)
        return false;
    bind(plan, context, i, &bound);
    execute(plan, context, i, STEP_FORWARD, &bound.call);
    return true;
}

void run_forward(const Plan *plan, const RunContext *context)
{
    assert(plan->memory != NULL);
    for (NodeId i = 0; i < plan->graph->nodes; i++)
        (void)node_forward(plan, context, i);
}

static bool has_finite_weights(const Plan *plan, const RunContext *context, NodeId node)
{
    const Node *n = &plan->graph->node[node];

    for (uint32_t w = n->first_weight; w < n->first_weight + n->one.weights; w++) {
        const GraphWeight *weight = &plan->graph->weight[w];

        for (size_t k = 0; k < weight->count; k++)
            if (!isfinite(context->weights[weight->offset + k]))
                return false;
    }
    return true;
}

/* Of the nodes that the step at i computes from finite numbers, the one to blame for others: the
 * first that has such weights, or the first of all. */
static NodeId culprit_of(const Plan *plan, const RunContext *context, NodeId i)
{
    NodeId first = i;

    for (NodeId j = i; j-- > 0;)
        if (plan->node[j].step == i)
            first = j;
    for (NodeId j = first; j <= i; j++)
        if (plan->node[j].step == i && !has_finite_weights(plan, context, j))
            return j;
    return first;
}

NodeId run_first_nonfinite(const Plan *plan, const RunContext *context)
{
    RunContext again = *context;

    again.keep_statistics = true;
    again.profile = NULL;
    for (NodeId i = 0; i < plan->graph->nodes; i++) {
        Tensor out;
        size_t count;

        if (!node_forward(plan, &again, i))
            continue;
        out = plan_tensor(plan, i);
        count = shape_count(&out.shape);
        for (size_t k = 0; k < count; k++)
            if (!isfinite(out.data[k]))
                return culprit_of(plan, context, i);
    }
    return NODE_NONE;
}

enum { GUIDED_UNIT = 65536 };

static void drop_negative_unit(void *context, size_t unit)
{
    const Tensor *g = context;
    size_t count = shape_count(&g->shape), at = unit * GUIDED_UNIT,
           end = count - at < GUIDED_UNIT ? count : at + GUIDED_UNIT;

    for (; at < end; at++)
        if (g->data[at] < 0)
            g->data[at] = 0;
}

/* What a guided ReLU does beside its own backward(): nobody else reads the gradient it is given. */
static void drop_negative(Pool *pool, Tensor gradient)
{
    pool_run(pool, (shape_count(&gradient.shape) + GUIDED_UNIT - 1) / GUIDED_UNIT,
             drop_negative_unit, &gradient);
}

void run_backward(const Plan *plan, const RunContext *context)
{
    for (NodeId i = plan->spec.output + 1; i-- > 0;) {
        const NodePlan *np = &plan->node[i];
        Bound bound;

        if (!np->backward)
            continue;
        bind(plan, context, i, &bound);
        if (plan->spec.guided && (np->op->flags & OP_RECTIFIES) != 0)
            drop_negative(context->pool, plan_gradient(plan, i));
        bound.call.out_gradient = plan_gradient(plan, i).data;
        for (uint32_t k = 0; k < np->inputs; k++) {
            if (!plan->node[np->input[k]].wants)
                continue;
            bound.call.in_gradient[k] = plan_gradient(plan, np->input[k]).data;
            bound.call.accumulate[k] = np->accumulate[k];
        }
        for (uint32_t k = 0; k < np->shapes.weights; k++)
            if ((plan->spec.gradients >> np->shapes.weight[k].role & 1) != 0)
                bound.call.weight_gradient[k] =
                    context->gradients + plan->graph->weight[np->first_weight + k].offset;
        execute(plan, context, i, STEP_BACKWARD, &bound.call);
    }
}
