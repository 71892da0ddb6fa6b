/*
 * A split from its first image to its last, in batches of one size and a rest. What an image gets
 * does not depend on the batches before it, so a run can begin at any multiple of the batch.
 */
#include <stdio.h>

#include "core/explain/explanation.h"

/* What the memory is cut into. */
typedef struct Room {
    void *work, *state;
    real *images;
    uint16_t *labels;
    uint32_t *items;
    void *scratch;
} Room;

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Answers the bytes; `memory` and `ret` may be NULL. */
static size_t layout(const SplitExplainer *x, char *memory, Room *ret)
{
    const Dataset *d = x->loader->dataset;
    size_t work = 0, state = 0;

    for (uint32_t i = 0; i < x->engines; i++) {
        work = larger(work, x->engine[i].work_bytes);
        state = larger(state, x->engine[i].state_bytes);
    }
    {
        const size_t sizes[] = { work,
                                 state,
                                 (size_t)x->batch * d->height * d->width * d->channels *
                                     sizeof(real),
                                 x->batch * sizeof(uint16_t),
                                 x->batch * sizeof(uint32_t),
                                 loader_scratch_bytes(x->loader, x->batch) };
        size_t at[sizeof sizes / sizeof *sizes], bytes = 0;

        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            at[i] = bytes;
            bytes += arena_round(sizes[i]);
        }
        if (ret != NULL)
            *ret = (Room){ memory + at[0],
                           memory + at[1],
                           (real *)(memory + at[2]),
                           (uint16_t *)(memory + at[3]),
                           (uint32_t *)(memory + at[4]),
                           memory + at[5] };
        return bytes;
    }
}

Status split_explainer_init(SplitExplainer *explainer, const Network *network, const Loader *loader,
                            Split split, const ExplanationSpec *spec, uint32_t batch, Error *err)
{
    SplitExplainer x = { .loader = loader, .split = split, .images = loader->images[split] };
    uint32_t sizes[2];

    x.batch = x.images < batch ? x.images : batch;
    sizes[0] = x.batch;
    sizes[1] = x.batch == 0 ? 0 : x.images % x.batch;
    for (; x.engines < 2 && sizes[x.engines] > 0; x.engines++) {
        Status s = explanation_init(&x.engine[x.engines], network, spec, sizes[x.engines], err);

        if (s != STATUS_OK) {
            split_explainer_clear(&x);
            return s;
        }
    }
    x.bytes = layout(&x, NULL, NULL);
    *explainer = x;
    return STATUS_OK;
}

void split_explainer_clear(SplitExplainer *explainer)
{
    for (uint32_t i = 0; i < explainer->engines; i++)
        explanation_clear(&explainer->engine[i]);
    *explainer = (SplitExplainer){ 0 };
}

/* Images `at`..`at + count` of the split. */
static void explain_batch(SplitExplainer *x, const RunContext *context, uint64_t seed,
                          uint32_t round, uint32_t at, uint32_t count, const Room *room,
                          MapSet *set)
{
    Explanation *e = &x->engine[count < x->batch];
    BatchSpec batch = {
        .split = x->split, .items = room->items, .count = count, .scratch = room->scratch
    };

    for (uint32_t i = 0; i < count; i++)
        room->items[i] = at + i;
    loader_batch(x->loader, context->pool, &batch, room->images, room->labels, NULL);
    explanation_bind(e, room->work, room->state);
    explanation_run(e, context,
                    &(ExplanationBatch){ .images = room->images,
                                         .labels = room->labels,
                                         .items = room->items,
                                         .split = x->split,
                                         .seed = seed,
                                         .round = round });
    for (uint32_t i = 0; i < count; i++)
        explanation_put(e, i, set, at + i, x->loader->index[x->split][at + i]);
}

Status split_explainer_run(SplitExplainer *explainer, const RunContext *context, uint64_t seed,
                           uint32_t round, uint32_t first, void *memory, const atomic_int *stop,
                           void (*progress)(void *context, uint32_t images), void *progress_context,
                           MapSet *set, Error *err)
{
    Room room;

    (void)layout(explainer, memory, &room);
    for (uint32_t at = first; at < explainer->images; at += explainer->batch) {
        uint32_t rest = explainer->images - at;
        uint32_t count = rest < explainer->batch ? rest : explainer->batch;

        if (stop != NULL && atomic_load(stop) != 0)
            return error_set(err, STATUS_STOPPED, "stopped after explaining %u of %u %s images", at,
                             explainer->images, split_names[explainer->split]);
        explain_batch(explainer, context, seed, round, at, count, &room, set);
        if (progress != NULL)
            progress(progress_context, at + count);
    }
    return STATUS_OK;
}

/* --- a checkpoint --- */

/* Everything but tensor memory. Zeroed, then closed by stored_close(), whatever has failed. */
typedef struct Stored {
    StFile *file;
    Network network;
    Loader loader;
} Stored;

static Status stored_open(Stored *stored, const ExplainSpec *spec, const Dataset *dataset,
                          Error *err)
{
    const ModelInput *in = &stored->network.input;
    Error why = { 0 };
    Status s = safetensors_open(spec->path, &stored->file, err);

    if (s == STATUS_OK)
        s = network_describe(&stored->network, stored->file, err);
    if (s == STATUS_OK &&
        dataset_fits(dataset, in->height, in->width, in->channels, in->classes, &why) != STATUS_OK)
        s = error_at(err, STATUS_INVALID, "/checkpoint", "%s", error_message(&why));
    if (s == STATUS_OK)
        s = loader_init(&stored->loader, dataset, &spec->data, err);
    if (s == STATUS_OK)
        loader_set_normal(&stored->loader, stored->network.mean, stored->network.std);
    return s;
}

static void stored_close(Stored *stored)
{
    loader_clear(&stored->loader);
    network_clear(&stored->network);
    safetensors_close(stored->file);
}

static Status engine_of(const Stored *stored, const ExplainSpec *spec, Split split,
                        SplitExplainer *ret, Error *err)
{
    uint32_t batch = spec->batch_size == 0 ? EXPLANATION_BATCH : spec->batch_size;
    Error why = { 0 };
    char pointer[ERROR_POINTER_MAX + 16];
    Status s = split_explainer_init(ret, &stored->network, &stored->loader, split,
                                    &spec->explanation, batch, &why);

    if (s == STATUS_OK || why.detail[0].pointer[0] == '\0')
        return s == STATUS_OK ? s : error_set(err, s, "%s", error_message(&why));
    snprintf(pointer, sizeof pointer, "/explanation%s", why.detail[0].pointer);
    return error_at(err, s, pointer, "%s", error_message(&why));
}

Status explain_estimate(const ExplainSpec *spec, const Dataset *dataset, uint64_t *ret_bytes,
                        Error *err)
{
    Stored stored = { 0 };
    uint64_t most = 0;
    Status s = stored_open(&stored, spec, dataset, err);

    for (Split split = 0; split < SPLIT_COUNT && s == STATUS_OK; split++) {
        SplitExplainer x = { 0 };
        uint64_t bytes = 0;

        s = engine_of(&stored, spec, split, &x, err);
        if (s == STATUS_OK && x.engines > 0) {
            MapShape shape = x.engine[0].shape;

            shape.images = x.images;
            bytes = x.bytes + mapset_bytes(&shape);
        }
        most = bytes > most ? bytes : most;
        split_explainer_clear(&x);
    }
    if (s == STATUS_OK)
        *ret_bytes = most + arena_round(stored.network.graph.weight_numbers * sizeof(real));
    stored_close(&stored);
    return s;
}

Status explain_checkpoint(const ExplainSpec *spec, const Dataset *dataset, Split split, Pool *pool,
                          const atomic_int *stop, void (*progress)(void *context, uint32_t images),
                          void *progress_context, MapSet *ret, Error *err)
{
    Stored stored = { 0 };
    SplitExplainer x = { 0 };
    Arena arena = { 0 };
    RunContext context = { .pool = pool };
    MapSet set = { 0 };
    MapShape shape;
    Status s = stored_open(&stored, spec, dataset, err);

    if (s == STATUS_OK && stored.loader.images[split] == 0)
        s = error_at(err, STATUS_INVALID, "/splits", "there are no images in split \"%s\"",
                     split_names[split]);
    if (s == STATUS_OK)
        s = engine_of(&stored, spec, split, &x, err);
    if (s == STATUS_OK)
        s = network_take_weights(&stored.network, err);
    if (s == STATUS_OK)
        s = network_read_weights(&stored.network, stored.file, err);
    if (s == STATUS_OK)
        s = kernels_select(NULL, &context.kernels, err);
    if (s == STATUS_OK)
        s = arena_init(&arena, x.bytes, err);
    if (s == STATUS_OK) {
        shape = x.engine[0].shape;
        shape.images = x.images;
        s = mapset_new(&shape, &set, err);
    }
    context.weights = stored.network.weights;
    if (s == STATUS_OK)
        s = split_explainer_run(&x, &context, spec->seed, 0, 0, arena.base, stop, progress,
                                progress_context, &set, err);
    if (s == STATUS_OK)
        *ret = set;
    else
        mapset_clear(&set);
    arena_clear(&arena);
    split_explainer_clear(&x);
    stored_close(&stored);
    return s;
}
