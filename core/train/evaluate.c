/* Evaluation of a stored network: read what it is, see that it fits the data, plan; then read its
 * weights and run the evaluator. */
#include "core/train/evaluator.h"

/* Everything but tensor memory. Zeroed, then closed by stored_close(), whatever has failed. */
typedef struct Stored {
    StFile *file;
    Network network;
    Loader loader;
    Evaluator evaluator;
} Stored;

static Status check_fit(const Network *n, const Dataset *d, Error *err)
{
    Error why = { 0 };
    Status s =
        dataset_fits(d, n->input.height, n->input.width, n->input.channels, n->input.classes, &why);

    return s == STATUS_OK ? s : error_at(err, s, "/checkpoint", "%s", error_message(&why));
}

static Status stored_open(Stored *stored, const EvaluateSpec *spec, const Dataset *dataset,
                          Error *err)
{
    Status s = safetensors_open(spec->path, &stored->file, err);

    if (s == STATUS_OK)
        s = network_describe(&stored->network, stored->file, err);
    if (s == STATUS_OK)
        s = check_fit(&stored->network, dataset, err);
    if (s == STATUS_OK)
        s = loader_init(&stored->loader, dataset, &spec->data, err);
    if (s != STATUS_OK)
        return s;
    loader_set_normal(&stored->loader, stored->network.mean, stored->network.std);
    return evaluator_init(&stored->evaluator, &stored->network, &stored->loader, spec->split,
                          spec->batch_size, spec->views, err);
}

static void stored_close(Stored *stored)
{
    evaluator_clear(&stored->evaluator);
    loader_clear(&stored->loader);
    network_clear(&stored->network);
    safetensors_close(stored->file);
}

Status evaluate_estimate(const EvaluateSpec *spec, const Dataset *dataset, uint64_t *ret_bytes,
                         Error *err)
{
    Stored stored = { 0 };
    Status s = stored_open(&stored, spec, dataset, err);

    if (s == STATUS_OK)
        *ret_bytes = stored.evaluator.bytes +
                     arena_round(stored.network.graph.weight_numbers * sizeof(real));
    stored_close(&stored);
    return s;
}

Status evaluate_checkpoint(const EvaluateSpec *spec, const Dataset *dataset, Pool *pool,
                           const atomic_int *stop, Score *ret, Error *err)
{
    Stored stored = { 0 };
    Arena arena = { 0 };
    RunContext context = { .pool = pool };
    Status s = stored_open(&stored, spec, dataset, err);

    if (s == STATUS_OK)
        s = network_take_weights(&stored.network, err);
    if (s == STATUS_OK)
        s = network_read_weights(&stored.network, stored.file, err);
    if (s == STATUS_OK)
        s = kernels_select(NULL, &context.kernels, err);
    if (s == STATUS_OK)
        s = arena_init(&arena, stored.evaluator.bytes, err);
    context.weights = stored.network.weights;
    if (s == STATUS_OK)
        s = evaluator_run(&stored.evaluator, &context, arena.base, stop, ret, err);
    arena_clear(&arena);
    stored_close(&stored);
    return s;
}
