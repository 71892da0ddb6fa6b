/*
 * The same network is planned twice: the architecture's plan has no gradients of weights, the
 * weights' plan none of the architecture. They never run at the same time and share one region of
 * the arena, as the trainer's plans do; an estimate and a real search come from the same code.
 */
#include <math.h>
#include <string.h>

#include "core/search/search_internal.h"

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static Status count_steps(Search *s, Error *err)
{
    for (int i = 0; i < SIDES; i++) {
        Split split = s->side[i].split;
        uint32_t images = s->loader.images[split];

        if (epoch_batches(images, s->spec.batch_size, true) == 0)
            return error_at(err, STATUS_INVALID, "/batch_size",
                            "%u images of the split %s fill no batch of %u", images,
                            split_names[split], s->spec.batch_size);
    }
    s->steps_per_epoch = epoch_batches(s->loader.images[SPLIT_TRAIN], s->spec.batch_size, true);
    s->steps = (uint64_t)ceil(s->spec.epochs * (double)s->steps_per_epoch);
    return STATUS_OK;
}

static Status plan_network(Search *s, Error *err)
{
    const Dataset *d = s->dataset;
    ModelInput input = { d->height, d->width, d->channels, d->classes };
    Error model_error = { 0 };

    if (network_init(&s->network, &s->spec.model, &input, &model_error) != STATUS_OK)
        return error_at(err, model_error.status, "/model", "%s", error_message(&model_error));
    memcpy(s->network.mean, d->mean, sizeof s->network.mean);
    memcpy(s->network.std, d->std, sizeof s->network.std);
    return STATUS_OK;
}

static Status plan_side(Search *s, SideState *side, Error *err)
{
    PlanSpec spec = { .images = s->spec.batch_size,
                      .training = true,
                      .gradients = 1U << side->role,
                      .output = s->network.training_loss,
                      .gradient_to = NODE_NONE,
                      .keep = { s->network.logits, NODE_NONE } };
    Status status;

    side->optimizer = optimizer_table[side->choice.row];
    status =
        chunks_cut(&s->network.graph, side->role, NULL, NULL, &side->chunk, &side->chunks, err);
    if (status == STATUS_OK && side->chunks == 0)
        status = error_at(err, STATUS_INVALID, "/model",
                          "this model has no architecture to search: take a supernet");
    if (status == STATUS_OK)
        status = plan_init(&side->plan, &s->network.graph, &spec, err);
    return status == STATUS_OK ? pass_check_norms(&side->plan, err) : status;
}

Status search_plan(Search *s, Error *err)
{
    Status status = loader_init(&s->loader, s->dataset, &s->spec.data, err);

    s->side[SIDE_ARCHITECTURE] = (SideState){ .split = SPLIT_VAL,
                                              .role = WEIGHT_ARCHITECTURE,
                                              .choice = s->spec.architecture_optimizer };
    s->side[SIDE_WEIGHTS] =
        (SideState){ .split = SPLIT_TRAIN, .role = WEIGHT_TRAINED, .choice = s->spec.optimizer };
    if (status == STATUS_OK)
        status = count_steps(s, err);
    if (status == STATUS_OK)
        status = plan_network(s, err);
    for (int i = 0; i < SIDES && status == STATUS_OK; i++)
        status = plan_side(s, &s->side[i], err);
    return status;
}

PrefetchSpec search_batches(const Search *s, SearchSide side)
{
    /* Other draws for each side: else the same places of both orders would meet in every epoch. */
    return (PrefetchSpec){ .loader = &s->loader,
                           .split = s->side[side].split,
                           .augment = s->spec.augment,
                           .augments = s->spec.augments,
                           .batch_size = s->spec.batch_size,
                           .drop_last = true,
                           .seed = s->spec.seed ^ (side == SIDE_ARCHITECTURE ? UINT64_MAX : 0),
                           .step = s->step,
                           .steps = s->steps };
}

static size_t work_bytes(const Search *s)
{
    return larger(s->side[SIDE_ARCHITECTURE].plan.bytes, s->side[SIDE_WEIGHTS].plan.bytes);
}

static size_t chunk_sum_bytes(const Search *s)
{
    return larger(s->side[SIDE_ARCHITECTURE].chunks, s->side[SIDE_WEIGHTS].chunks) * sizeof(double);
}

/* The arena's size, without the weights that the network has of its own. */
static size_t arena_bytes(const Search *s)
{
    size_t numbers = arena_round(s->network.graph.weight_numbers * sizeof(real)), arrays = 1;

    for (int i = 0; i < SIDES; i++)
        arrays += s->side[i].optimizer->buffers;
    return arrays * numbers + arena_round(chunk_sum_bytes(s)) + arena_round(work_bytes(s));
}

uint64_t search_bytes(const Search *s)
{
    uint64_t bytes = arena_bytes(s) + arena_round(s->network.graph.weight_numbers * sizeof(real));

    for (SearchSide side = 0; side < SIDES; side++) {
        PrefetchSpec batches = search_batches(s, side);

        bytes += prefetch_bytes(&batches);
    }
    return bytes;
}

Status search_take(Search *s, Error *err)
{
    size_t numbers = s->network.graph.weight_numbers * sizeof(real);
    Status status = network_take_weights(&s->network, err);

    if (status == STATUS_OK)
        status = arena_init(&s->arena, arena_bytes(s), err);
    if (status != STATUS_OK)
        return status;
    s->gradients = arena_take(&s->arena, numbers);
    for (int i = 0; i < SIDES; i++)
        for (uint32_t k = 0; k < s->side[i].optimizer->buffers; k++)
            s->side[i].buffer[k] = arena_take(&s->arena, numbers);
    s->chunk_sum = arena_take(&s->arena, chunk_sum_bytes(s));
    s->work = arena_take(&s->arena, work_bytes(s));
    for (int i = 0; i < SIDES; i++)
        plan_bind(&s->side[i].plan, s->work);
    return STATUS_OK;
}
