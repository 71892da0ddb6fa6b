/* Evaluation of a stored network: read it, see that it fits the data, run the evaluator. */
#include "core/train/evaluator.h"

static Status check_fit(const Network *n, const Dataset *d, Error *err)
{
    const struct {
        const char *what;
        uint32_t have, want;
    } rows[] = { { "classes", n->input.classes, d->classes },
                 { "channels", n->input.channels, d->channels },
                 { "height", n->input.height, d->height },
                 { "width", n->input.width, d->width } };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].have != rows[i].want)
            return error_at(err, STATUS_INVALID, "/checkpoint",
                            "the model has %u %s, the data set %s has %u", rows[i].have,
                            rows[i].what, d->name, rows[i].want);
    return STATUS_OK;
}

Status evaluate_checkpoint(const char *path, const Dataset *dataset, const DataSpec *data,
                           Split split, uint32_t batch_size, Pool *pool, const atomic_int *stop,
                           Score *ret, Error *err)
{
    StFile *file = NULL;
    Network network = { 0 };
    Loader loader = { 0 };
    Evaluator evaluator = { 0 };
    Arena arena = { 0 };
    RunContext context = { .pool = pool };
    Status s = safetensors_open(path, &file, err);

    if (s == STATUS_OK)
        s = network_read(&network, file, err);
    if (s == STATUS_OK)
        s = check_fit(&network, dataset, err);
    if (s == STATUS_OK)
        s = loader_init(&loader, dataset, data, err);
    if (s == STATUS_OK)
        s = evaluator_init(&evaluator, &network, &loader, split, batch_size, err);
    if (s == STATUS_OK)
        s = kernels_select(NULL, &context.kernels, err);
    if (s == STATUS_OK)
        s = arena_init(&arena, evaluator.bytes, err);
    context.weights = network.weights;
    if (s == STATUS_OK)
        s = evaluator_run(&evaluator, &context, arena.base, stop, ret, err);
    arena_clear(&arena);
    evaluator_clear(&evaluator);
    loader_clear(&loader);
    network_clear(&network);
    safetensors_close(file);
    return s;
}
