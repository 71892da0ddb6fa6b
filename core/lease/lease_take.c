/*
 * What lease_plan.c has planned is taken here: the explainer with the working memory of all, the
 * audience without, the maps (lease_plan.c), and one arena for what has to last from call to call.
 * Counting and taking are the same lists.
 */
#include <string.h>

#include "core/lease/lease_internal.h"

static Group group_of(const Lease *l)
{
    const Network *e = &l->trainer[LEASE_EXPLAINER]->network;
    const MapShape *maps = &l->maps[SPLIT_VAL].shape;

    return (Group){ graph_shape(&e->graph, e->image, l->spec.explainer.batch_size),
                    maps->kind == MAP_HEAT ? maps->maps : 0, l->spec.input };
}

/* Takes the arrays from `arena`; answers their bytes. NULL: only counts. */
static size_t lay_out(Lease *l, Arena *arena)
{
    const Group group = group_of(l);
    const bool live = l->live.images > 0, joint = l->spec.mode == LEASE_JOINT;
    const size_t images = shape_count(&group.shape), c = group.shape.dim[3];
    const size_t maps = live ? l->live.images * mapset_image_numbers(&l->live.shape) : 0;
    const struct {
        void *array;
        size_t bytes;
    } rows[] = {
        { &l->live_state, l->live.state_bytes },
        { &l->hyper_state, l->hyper.state_bytes },
        { &l->reweighted_images, live && group.maps == 0 ? images * sizeof(real) : 0 },
        { &l->factors, live ? images / c * group.maps * sizeof(real) : 0 },
        { &l->room, group.maps > 0 ? maps * sizeof(real) : 0 },
        { &l->input, joint ? images / c * group_channels(&group) * sizeof(real) : 0 },
        { &l->items, group.shape.dim[0] * sizeof(uint32_t) },
    };
    size_t bytes = 0;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (arena != NULL)
            *(void **)rows[i].array = arena_take(arena, rows[i].bytes);
        bytes += arena_round(rows[i].bytes);
    }
    return bytes;
}

static size_t arena_bytes(Lease *l)
{
    return lay_out(l, NULL) + (l->moves ? architect_bytes(&l->architect) : 0);
}

uint64_t lease_bytes(const Lease *lease)
{
    uint64_t bytes = arena_bytes((Lease *)lease) + lease_feed_bytes(lease);

    for (int n = 0; n < LEASE_NETWORKS; n++) {
        PrefetchSpec batches = trainer_batches(lease->trainer[n]);

        bytes += trainer_bytes(lease->trainer[n]) - prefetch_bytes(&batches);
    }
    for (Split split = 0; split < SPLIT_COUNT; split++)
        if (lease->maps[split].values != NULL)
            bytes += mapset_bytes(&lease->maps[split].shape);
    return bytes;
}

/* The audience, in the explainer's working memory and by its normalisation. */
static Status begin_audience(Lease *l, Error *err)
{
    const Trainer *e = l->trainer[LEASE_EXPLAINER];
    Trainer *t = l->trainer[LEASE_AUDIENCE];
    Status s = trainer_take(t, err);

    if (s != STATUS_OK)
        return s;
    t->pool = l->pool;
    t->work = e->work;
    for (uint32_t i = 0; i < t->plans; i++)
        plan_bind(&t->plan[i], t->work);
    loader_set_normal(&t->loader, e->loader.mean, e->loader.std);
    memcpy(t->network.mean, t->loader.mean, sizeof t->network.mean);
    memcpy(t->network.std, t->loader.std, sizeof t->network.std);
    network_randomise(&t->network, t->spec.seed);
    whiten(&t->network, &t->loader, l->pool, t->work);
    return STATUS_OK;
}

/* What comes from a file: weights, and of the explainer how images are normalised. */
static Status read_file(Lease *l, LeaseNetwork n, Error *err)
{
    Trainer *t = l->trainer[n];
    Network stored = { 0 };
    Status s;

    if (l->file[n] == NULL)
        return STATUS_OK;
    s = network_describe(&stored, l->file[n], err);
    if (s == STATUS_OK)
        s = network_read_weights(&t->network, l->file[n], err);
    if (s == STATUS_OK && n == LEASE_EXPLAINER) {
        loader_set_normal(&t->loader, stored.mean, stored.std);
        memcpy(t->network.mean, stored.mean, sizeof stored.mean);
        memcpy(t->network.std, stored.std, sizeof stored.std);
    }
    network_clear(&stored);
    safetensors_close(l->file[n]);
    l->file[n] = NULL;
    return s;
}

Status lease_take(Lease *l, Error *err)
{
    Status s = trainer_begin(l->trainer[LEASE_EXPLAINER], l->pool, err);

    if (s == STATUS_OK)
        s = read_file(l, LEASE_EXPLAINER, err);
    if (s == STATUS_OK)
        s = begin_audience(l, err);
    if (s == STATUS_OK)
        s = read_file(l, LEASE_AUDIENCE, err);
    if (s == STATUS_OK)
        s = arena_init(&l->arena, arena_bytes(l), err);
    if (s != STATUS_OK)
        return s;
    l->work = l->trainer[LEASE_EXPLAINER]->work;
    l->loader = l->trainer[LEASE_EXPLAINER]->loader;
    loader_set_composer(&l->loader, &l->composer);
    if (l->moves)
        architect_take(&l->architect, &l->arena, l->work);
    (void)lay_out(l, &l->arena);
    if (l->full)
        hyper_bind(&l->hyper, l->pool, l->work, l->hyper_state);
    if (l->live.images > 0)
        explanation_bind(&l->live, l->work, l->live_state);
    for (uint32_t i = 0; i < l->spec.explainer.batch_size; i++)
        l->items[i] = i;
    return STATUS_OK;
}
