/*
 * A batch goes through the network once a view, and what is scored is the weighted mean of the
 * logits; without views there is one view of weight 1. The loss is computed from the mean here, in
 * double, and not by the graph.
 */
#include "core/train/evaluator.h"

#include <math.h>
#include <string.h>

#include "core/train/diverged.h"

const char *const test_views_names[] = { "none", "flip", "flip_shift", NULL };

typedef struct WeightedView {
    View view;
    real weight;
} WeightedView;

enum { VIEWS_MAX = 6 };

static const struct {
    uint32_t count;
    WeightedView view[VIEWS_MAX];
} view_sets[] = {
    [TEST_VIEWS_NONE] = { 1, { { { false, 0, 0 }, 1 } } },
    [TEST_VIEWS_FLIP] = { 2, { { { false, 0, 0 }, (real)0.5 }, { { true, 0, 0 }, (real)0.5 } } },
    [TEST_VIEWS_FLIP_SHIFT] = { 6,
                                { { { false, 0, 0 }, (real)0.25 },
                                  { { true, 0, 0 }, (real)0.25 },
                                  { { false, -1, -1 }, (real)0.125 },
                                  { { true, -1, -1 }, (real)0.125 },
                                  { { false, 1, 1 }, (real)0.125 },
                                  { { true, 1, 1 }, (real)0.125 } } },
};

/* What the memory is cut into. */
typedef struct Room {
    void *plan;
    real *logits; /* [batch,classes] their mean */
    uint32_t *items;
    uint16_t *labels;
    void *scratch;
} Room;

/* Answers the bytes; `memory` and `ret` may be NULL. */
static size_t layout(const Evaluator *e, char *memory, Room *ret)
{
    const size_t sizes[] = { e->plan_bytes,
                             (size_t)e->batch * e->network->input.classes * sizeof(real),
                             e->batch * sizeof(uint32_t), e->batch * sizeof(uint16_t),
                             loader_scratch_bytes(e->loader, e->batch) };
    size_t at[sizeof sizes / sizeof *sizes], bytes = 0;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        at[i] = bytes;
        bytes += arena_round(sizes[i]);
    }
    if (ret != NULL)
        *ret = (Room){ memory + at[0], (real *)(memory + at[1]), (uint32_t *)(memory + at[2]),
                       (uint16_t *)(memory + at[3]), memory + at[4] };
    return bytes;
}

size_t top_class(const real *logits, size_t classes)
{
    size_t top = 0;

    for (size_t k = 1; k < classes; k++)
        if (logits[k] > logits[top])
            top = k;
    return top;
}

Status evaluator_init(Evaluator *evaluator, const Network *network, const Loader *loader,
                      Split split, uint32_t batch, TestViews views, Error *err)
{
    Evaluator e = { .network = network,
                    .loader = loader,
                    .split = split,
                    .views = views,
                    .images = loader->images[split] };
    uint32_t sizes[EVALUATOR_PLANS];

    e.batch = e.images < batch ? e.images : batch;
    sizes[0] = e.batch;
    sizes[1] = e.batch == 0 ? 0 : e.images % e.batch;
    for (; e.plans < EVALUATOR_PLANS && sizes[e.plans] > 0; e.plans++) {
        PlanSpec spec = { .images = sizes[e.plans],
                          .output = network->logits,
                          .gradient_to = NODE_NONE,
                          .keep = { NODE_NONE } };
        Status s = plan_init(&e.plan[e.plans], &network->graph, &spec, err);

        if (s != STATUS_OK) {
            evaluator_clear(&e);
            return s;
        }
        if (e.plan[e.plans].bytes > e.plan_bytes)
            e.plan_bytes = e.plan[e.plans].bytes;
    }
    e.bytes = layout(&e, NULL, NULL);
    *evaluator = e;
    return STATUS_OK;
}

void evaluator_clear(Evaluator *evaluator)
{
    for (uint32_t i = 0; i < evaluator->plans; i++)
        plan_clear(&evaluator->plan[i]);
    *evaluator = (Evaluator){ 0 };
}

static void load(const Evaluator *e, const RunContext *context, const BatchSpec *batch,
                 const Plan *plan, const Room *room)
{
    loader_batch(e->loader, context->pool, batch, plan_tensor(plan, e->network->image).data,
                 room->labels, NULL);
}

/* The logits of one view are added to their mean. */
static Status run_view(const Evaluator *e, const RunContext *context, const BatchSpec *batch,
                       real weight, const Plan *plan, const Room *room, Error *err)
{
    Tensor logits;
    size_t count;
    bool finite = true;

    load(e, context, batch, plan, room);
    run_forward(plan, context);
    logits = plan_tensor(plan, e->network->logits);
    count = shape_count(&logits.shape);
    for (size_t i = 0; i < count; i++) {
        room->logits[i] += weight * logits.data[i];
        finite = finite && isfinite(logits.data[i]);
    }
    if (!finite) {
        char where[DIVERGED_TEXT_MAX];

        load(e, context, batch, plan, room); /* its memory may hold something else by now */
        diverged_where(plan, context, where);
        return error_set(err, STATUS_DIVERGED, "the loss on %s images is not finite: %s",
                         split_names[e->split], where);
    }
    return STATUS_OK;
}

/* -log softmax(logits)[label] */
static double loss_of(const real *logits, size_t classes, size_t label)
{
    double top = (double)logits[top_class(logits, classes)], sum = 0;

    for (size_t k = 0; k < classes; k++)
        sum += exp((double)logits[k] - top);
    return log(sum) - ((double)logits[label] - top);
}

static void score(const Evaluator *e, const Room *room, uint32_t count, double *loss,
                  uint64_t *correct)
{
    size_t classes = e->network->input.classes;

    for (uint32_t i = 0; i < count; i++) {
        const real *logits = room->logits + i * classes;

        *loss += loss_of(logits, classes, room->labels[i]);
        *correct += top_class(logits, classes) == room->labels[i];
    }
}

/* A view of a large network may take seconds, so each is one that can be the last. */
static Status run_batch(Evaluator *e, const RunContext *context, uint32_t at, uint32_t count,
                        const Room *room, const atomic_int *stop, Error *err)
{
    Plan *plan = &e->plan[count < e->batch];
    BatchSpec batch = { .split = e->split,
                        .items = room->items,
                        .count = count,
                        .look = e->look,
                        .scratch = room->scratch };
    Status s = STATUS_OK;

    for (uint32_t i = 0; i < count; i++)
        room->items[i] = at + i;
    memset(room->logits, 0, (size_t)count * e->network->input.classes * sizeof *room->logits);
    plan_bind(plan, room->plan);
    for (uint32_t v = 0; v < view_sets[e->views].count && s == STATUS_OK; v++) {
        if (stop != NULL && atomic_load(stop) != STOP_NO)
            return error_set(err, STATUS_STOPPED, "stopped while evaluating");
        batch.view = view_sets[e->views].view[v].view;
        s = run_view(e, context, &batch, view_sets[e->views].view[v].weight, plan, room, err);
    }
    return s;
}

Status evaluator_run(Evaluator *evaluator, const RunContext *context, void *memory,
                     const atomic_int *stop, Score *ret, Error *err)
{
    RunContext fixed = *context;
    Room room;
    double loss = 0;
    uint64_t correct = 0;

    fixed.seed = 0;
    (void)layout(evaluator, memory, &room);
    for (uint32_t at = 0; at < evaluator->images; at += evaluator->batch) {
        uint32_t rest = evaluator->images - at,
                 count = rest < evaluator->batch ? rest : evaluator->batch;
        Status s;

        fixed.step = at / evaluator->batch;
        s = run_batch(evaluator, &fixed, at, count, &room, stop, err);
        if (s != STATUS_OK)
            return s;
        score(evaluator, &room, count, &loss, &correct);
    }
    *ret = (Score){ .images = evaluator->images };
    if (evaluator->images > 0) {
        ret->loss = loss / evaluator->images;
        ret->accuracy = (double)correct / evaluator->images;
    }
    return STATUS_OK;
}
