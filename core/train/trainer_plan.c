/*
 * trainer_plan() builds network, plans and evaluators without taking tensor memory, so that an
 * estimate and a real trainer come from the same code; trainer_take() then takes one arena of
 * exactly the planned size. Training plans, evaluation, whitening and checkpoint writing never run
 * at the same time and share one region of it, `work`. The prefetched batches are memory of their
 * own, taken while a run lasts.
 */
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/train/trainer_internal.h"

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static Status count_steps(Trainer *t, Error *err)
{
    uint32_t images = t->loader.images[SPLIT_TRAIN];

    t->steps_per_epoch = epoch_batches(images, t->spec.batch_size, t->spec.drop_last);
    if (t->steps_per_epoch == 0)
        return error_at(err, STATUS_INVALID, "/batch_size",
                        "with drop_last, %u training images fill no batch of %u", images,
                        t->spec.batch_size);
    t->steps = (uint64_t)ceil(t->spec.epochs * (double)t->steps_per_epoch);
    return STATUS_OK;
}

static Status plan_training(Trainer *t, Error *err)
{
    uint32_t images = t->loader.images[SPLIT_TRAIN], batch = t->spec.batch_size;
    uint32_t sizes[2] = { images < batch ? images : batch,
                          images > batch && !t->spec.drop_last ? images % batch : 0 };

    for (; t->plans < 2 && sizes[t->plans] > 0; t->plans++) {
        PlanSpec spec = { .images = sizes[t->plans],
                          .training = true,
                          .gradients = GRADIENT_TRAINED,
                          .output = t->network.training_loss,
                          .gradient_to = NODE_NONE,
                          .keep = { t->network.logits, NODE_NONE } };
        Status s = plan_init(&t->plan[t->plans], &t->network.graph, &spec, err);

        if (s != STATUS_OK)
            return s;
        t->work_bytes = larger(t->work_bytes, t->plan[t->plans].bytes);
        s = pass_check_norms(&t->plan[t->plans], err);
        if (s != STATUS_OK) {
            t->plans++;
            return s;
        }
    }
    return STATUS_OK;
}

/* The last group that fits, + 1; 0: none. */
static uint32_t group_of(const void *context, const GraphWeight *weight)
{
    const TrainSpec *spec = context;

    for (uint32_t i = spec->groups; i > 0; i--)
        if (fnmatch(spec->group[i - 1].match, weight->name, 0) == 0)
            return i;
    return 0;
}

/* A group that fits nothing is a typing error. */
static Status check_groups(const Trainer *t, Error *err)
{
    const Graph *g = &t->network.graph;
    Status s = STATUS_OK;

    for (uint32_t i = 0; i < t->spec.groups; i++) {
        const char *match = t->spec.group[i].match;
        char pointer[32];
        bool fits = false;

        for (uint32_t k = 0; k < g->weights && !fits; k++)
            fits = g->weight[k].spec.role == WEIGHT_TRAINED &&
                   fnmatch(match, g->weight[k].name, 0) == 0;
        snprintf(pointer, sizeof pointer, "/groups/%u/match", i);
        if (!fits)
            s = error_add(err, STATUS_INVALID, pointer,
                          "\"%s\" fits no trained weight of the model", match);
    }
    return s;
}

/* Arrays of the weights' size in the arena: gradients, the optimiser's, lookahead's. */
static size_t weight_arrays(const Trainer *t)
{
    return 1 + t->optimizer->buffers + (t->spec.lookahead.every > 0);
}

/* The weights and what belongs to them; they take the place of the gradients, which do not. */
size_t trainer_file_bytes(const Trainer *t)
{
    return (weight_arrays(t) + t->companion.states) * t->network.graph.weight_numbers *
           sizeof(float);
}

/* What the model's builder found, below "/model". */
static Status bad_model(const Error *why, Error *err)
{
    char pointer[ERROR_POINTER_MAX + 8];

    snprintf(pointer, sizeof pointer, "/model%s", why->detail[0].pointer);
    return error_at(err, why->status, pointer, "%s", error_message(why));
}

static Status plan_network(Trainer *t, Error *err)
{
    const Dataset *d = t->dataset;
    ModelInput input = { d->height, d->width, loader_channels(&t->loader), d->classes };
    Error model_error = { 0 };
    size_t whiten_bytes = 0;
    Status s;

    if (network_init(&t->network, &t->spec.model, &input, &model_error) != STATUS_OK)
        return bad_model(&model_error, err);
    s = whiten_plan(&t->network, &t->loader, &whiten_bytes, err);
    t->work_bytes = larger(whiten_bytes, trainer_file_bytes(t));
    return s == STATUS_OK ? check_groups(t, err) : s;
}

Status trainer_plan(Trainer *t, Error *err)
{
    Status s = loader_init(&t->loader, t->dataset, &t->spec.data, err);

    if (s == STATUS_OK && t->spec.compose != NULL)
        s = composer_init(&t->composer, &t->loader, t->spec.compose, err);
    if (s == STATUS_OK && t->spec.compose != NULL)
        loader_set_composer(&t->loader, &t->composer);
    if (s == STATUS_OK)
        s = count_steps(t, err);
    if (s == STATUS_OK)
        s = plan_network(t, err);
    if (s == STATUS_OK)
        s = plan_training(t, err);
    for (Split split = SPLIT_VAL; split <= SPLIT_TEST && s == STATUS_OK; split++) {
        s = evaluator_init(&t->evaluator[split], &t->network, &t->loader, split, EVALUATOR_BATCH,
                           t->spec.test_views, err);
        t->work_bytes = larger(t->work_bytes, t->evaluator[split].bytes);
    }
    return s != STATUS_OK ? s
                          : chunks_cut(&t->network.graph, WEIGHT_TRAINED, group_of, &t->spec,
                                       &t->chunk, &t->chunks, err);
}

PrefetchSpec trainer_batches(const Trainer *t)
{
    return (PrefetchSpec){ .loader = &t->loader,
                           .split = SPLIT_TRAIN,
                           .augment = t->spec.augment,
                           .augments = t->spec.augments,
                           .batch_size = t->spec.batch_size,
                           .drop_last = t->spec.drop_last,
                           .label_smoothing = t->spec.label_smoothing,
                           .seed = t->spec.seed,
                           .step = t->step,
                           .steps = t->steps };
}

/* The arena's size, without the weights that the network has of its own. */
static size_t arena_bytes(const Trainer *t)
{
    size_t numbers = arena_round(t->network.graph.weight_numbers * sizeof(real));

    return numbers * weight_arrays(t) + arena_round(t->chunks * sizeof(double)) +
           arena_round(t->work_bytes);
}

uint64_t trainer_bytes(const Trainer *t)
{
    PrefetchSpec batches = trainer_batches(t);

    return arena_bytes(t) + arena_round(t->network.graph.weight_numbers * sizeof(real)) +
           prefetch_bytes(&batches);
}

Status trainer_take(Trainer *t, Error *err)
{
    size_t numbers = t->network.graph.weight_numbers * sizeof(real);
    Status s = network_take_weights(&t->network, err);

    if (s == STATUS_OK)
        s = arena_init(&t->arena, arena_bytes(t), err);
    if (s != STATUS_OK)
        return s;
    t->gradients = arena_take(&t->arena, numbers);
    for (uint32_t i = 0; i < t->optimizer->buffers; i++)
        t->buffer[i] = arena_take(&t->arena, numbers);
    if (t->spec.lookahead.every > 0)
        t->slow = arena_take(&t->arena, numbers);
    t->chunk_sum = arena_take(&t->arena, t->chunks * sizeof(double));
    t->work = arena_take(&t->arena, t->work_bytes);
    for (uint32_t i = 0; i < t->plans; i++)
        plan_bind(&t->plan[i], t->work);
    return STATUS_OK;
}
