/* Where a loss is not finite, the inputs are written once more and the run repeated: it may have
 * used their memory for something else. */
#include "core/train/pass.h"

#include <math.h>
#include <string.h>

#include "core/train/diverged.h"
#include "core/train/evaluator.h"

/* Whether a node normalises by what its batch is like: it then has running means. */
static bool normalises(const Graph *graph, const Node *node)
{
    char counter[GRAPH_WEIGHT_NAME_MAX];

    for (uint32_t i = 0; i < node->one.weights; i++)
        if (weight_counter_name(&graph->weight[node->first_weight + i], counter))
            return true;
    return false;
}

Status pass_check_norms(const Plan *plan, Error *err)
{
    for (NodeId i = 0; i < plan->graph->nodes; i++) {
        const Node *node = &plan->graph->node[i];

        if (normalises(plan->graph, node) && op_rows(&plan->node[node->input[0]].shapes.out) < 2)
            return error_at(
                err, STATUS_INVALID, "/batch_size",
                "a batch of %u image(s) gives the batch norm \"%s\" a single value to normalise",
                plan->spec.images, node->name);
    }
    return STATUS_OK;
}

static void set_inputs(const Network *n, const Plan *plan, const Batch *batch)
{
    Tensor image = plan_tensor(plan, n->image), target = plan_tensor(plan, n->target);

    memcpy(image.data, batch->images, shape_count(&image.shape) * sizeof *image.data);
    memcpy(target.data, batch->targets, shape_count(&target.shape) * sizeof *target.data);
}

static Status diverged(const Network *n, const Plan *plan, const RunContext *context,
                       const Batch *batch, uint64_t step, Error *err)
{
    char where[DIVERGED_TEXT_MAX];

    set_inputs(n, plan, batch);
    diverged_where(plan, context, where);
    return error_set(err, STATUS_DIVERGED, "the loss is not finite at step %llu: %s",
                     (unsigned long long)step, where);
}

Status pass_forward(const Network *n, const Plan *plan, const RunContext *context,
                    const Batch *batch, uint64_t step, PassSums *ret, Error *err)
{
    Tensor losses = plan_tensor(plan, n->training_loss), logits = plan_tensor(plan, n->logits);
    size_t classes = logits.shape.dim[1];
    PassSums sums = { .images = batch->count };

    set_inputs(n, plan, batch);
    run_forward(plan, context);
    for (uint32_t i = 0; i < batch->count; i++) {
        sums.loss += (double)losses.data[i];
        sums.correct += top_class(logits.data + i * classes, classes) == batch->labels[i];
    }
    if (!isfinite(sums.loss))
        return diverged(n, plan, context, batch, step, err);
    *ret = sums;
    return STATUS_OK;
}

void pass_backward(const Network *n, const Plan *plan, const RunContext *context)
{
    Tensor seed = plan_gradient(plan, n->training_loss);
    size_t count = seed.shape.dim[0];

    for (size_t i = 0; i < count; i++)
        seed.data[i] = 1 / (real)count;
    memset(context->gradients, 0, n->graph.weight_numbers * sizeof *context->gradients);
    run_backward(plan, context);
}
