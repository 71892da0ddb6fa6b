/* The memory is one block: first the plan's, then the batch's item numbers and labels. */
#include "core/train/evaluator.h"

#include <string.h>

void batch_targets(const uint16_t *labels, uint32_t count, Tensor target)
{
    size_t classes = target.shape.dim[1];

    memset(target.data, 0, count * classes * sizeof *target.data);
    for (uint32_t i = 0; i < count; i++)
        target.data[i * classes + labels[i]] = 1;
}

void batch_score(const Tensor *losses, const Tensor *logits, const uint16_t *labels,
                 double *loss_sum, uint64_t *correct)
{
    size_t classes = logits->shape.dim[1];

    for (size_t i = 0; i < losses->shape.dim[0]; i++) {
        const real *row = logits->data + i * classes;
        size_t top = 0;

        for (size_t k = 1; k < classes; k++)
            if (row[k] > row[top])
                top = k;
        *correct += top == labels[i];
        *loss_sum += (double)losses->data[i];
    }
}

Status evaluator_init(Evaluator *evaluator, const Network *network, const Loader *loader,
                      Split split, uint32_t batch, Error *err)
{
    Evaluator e = {
        .network = network, .loader = loader, .split = split, .images = loader->images[split]
    };
    uint32_t sizes[EVALUATOR_PLANS];

    e.batch = e.images < batch ? e.images : batch;
    sizes[0] = e.batch;
    sizes[1] = e.batch == 0 ? 0 : e.images % e.batch;
    for (; e.plans < EVALUATOR_PLANS && sizes[e.plans] > 0; e.plans++) {
        PlanSpec spec = { .images = sizes[e.plans],
                          .output = network->loss,
                          .gradient_to = NODE_NONE,
                          .keep = { network->logits, NODE_NONE } };
        Status s = plan_init(&e.plan[e.plans], &network->graph, &spec, err);

        if (s != STATUS_OK) {
            evaluator_clear(&e);
            return s;
        }
        if (e.plan[e.plans].bytes > e.bytes)
            e.bytes = e.plan[e.plans].bytes;
    }
    e.bytes += arena_round(e.batch * sizeof(uint32_t)) + arena_round(e.batch * sizeof(uint16_t));
    *evaluator = e;
    return STATUS_OK;
}

void evaluator_clear(Evaluator *evaluator)
{
    for (uint32_t i = 0; i < evaluator->plans; i++)
        plan_clear(&evaluator->plan[i]);
    *evaluator = (Evaluator){ 0 };
}

Status evaluator_run(Evaluator *evaluator, const RunContext *context, void *memory,
                     const atomic_int *stop, Score *ret, Error *err)
{
    char *tail =
        (char *)memory + evaluator->bytes - arena_round(evaluator->batch * sizeof(uint16_t));
    uint16_t *labels = (uint16_t *)tail;
    uint32_t *items = (uint32_t *)(tail - arena_round(evaluator->batch * sizeof(uint32_t)));
    const Network *n = evaluator->network;
    double loss = 0;
    uint64_t correct = 0;

    for (uint32_t at = 0; at < evaluator->images; at += evaluator->batch) {
        uint32_t rest = evaluator->images - at,
                 count = rest < evaluator->batch ? rest : evaluator->batch;
        Plan *plan = &evaluator->plan[count < evaluator->batch];
        BatchSpec batch = { .split = evaluator->split, .items = items, .count = count };
        Tensor losses, logits;

        if (stop != NULL && atomic_load(stop) != STOP_NO)
            return error_set(err, STATUS_STOPPED, "stopped while evaluating");
        for (uint32_t i = 0; i < count; i++)
            items[i] = at + i;
        plan_bind(plan, memory);
        loader_batch(evaluator->loader, context->pool, &batch, plan_tensor(plan, n->image).data,
                     labels);
        batch_targets(labels, count, plan_tensor(plan, n->target));
        run_forward(plan, context);
        losses = plan_tensor(plan, n->loss);
        logits = plan_tensor(plan, n->logits);
        batch_score(&losses, &logits, labels, &loss, &correct);
    }
    *ret = (Score){ .images = evaluator->images };
    if (evaluator->images > 0) {
        ret->loss = loss / evaluator->images;
        ret->accuracy = (double)correct / evaluator->images;
    }
    return STATUS_OK;
}
