/*
 * leased-bench-explain -- heat maps of ResNet-18 as one line of JSON: the engine behind every
 * explanation on a batch of images, for the predicted class of each or for all ten.
 *
 * Network and images are those of same.h; the line holds numbers of the maps, so that run_bench.py
 * can hold them against those of PyTorch before it believes a time.
 * usage: leased-bench-explain [--method=gradcam] [--layer=layer3] [--all=0] [--width=64]
 *        [--batch=1] [--threads=2] [--steps=50] [--warm=5]
 */
#include "tests/bench/same.h"

#include "core/base/arena.h"
#include "core/explain/explanation.h"

enum { SHOWN_MAX = 1000, SHOWN_TEXT = 16 }; /* numbers of the maps, characters of each */

typedef struct Options {
    unsigned all, width, batch, threads, steps, warm;
    char method[OPTION_TEXT_MAX], layer[OPTION_TEXT_MAX];
} Options;

typedef struct Bench {
    const Options *options;
    Network network;
    Explanation explanation;
    Arena memory;
    float *images;   /* [N,H,W,C], blocked */
    uint32_t *items; /* [N] */
    RunContext context;
} Bench;

static Status prepare(Bench *b, Pool *pool, Error *err)
{
    const Options *o = b->options;
    int source = explanation_find(o->method);
    ExplanationSpec spec;
    Explanation *e = &b->explanation;
    Status s;

    if (source < 0)
        return error_set(err, STATUS_INVALID, "there is no method %s", o->method);
    spec = explanation_default((uint32_t)source);
    spec.classes = o->all != 0 ? CLASSES_ALL : CLASSES_TARGET;
    snprintf(spec.layer, sizeof spec.layer, "%s", o->layer);
    b->context.pool = pool;
    s = kernels_select(NULL, &b->context.kernels, err);
    if (s == STATUS_OK)
        s = same_network(o->width, &b->network, err);
    b->context.weights = b->network.weights;
    if (s == STATUS_OK)
        s = explanation_init(e, &b->network, &spec, o->batch, err);
    if (s == STATUS_OK)
        s = arena_init(&b->memory, arena_round(e->work_bytes) + arena_round(e->state_bytes), err);
    if (s != STATUS_OK)
        return s;
    explanation_bind(e, b->memory.base, b->memory.base + arena_round(e->work_bytes));
    b->images = same_images(o->batch);
    b->items = calloc(o->batch, sizeof *b->items);
    return b->images != NULL && b->items != NULL
               ? STATUS_OK
               : error_set(err, STATUS_NO_MEMORY, "cannot allocate images");
}

static void measure(Bench *b, Record *record)
{
    ExplanationBatch batch = { .images = b->images, .items = b->items, .split = SPLIT_TEST };

    for (unsigned i = 0; i < b->options->warm + b->options->steps; i++) {
        explanation_run(&b->explanation, &b->context, &batch);
        bench_record(record, (double)b->explanation.maps[0]);
    }
}

/* Members of the line: the options, and every k-th number of the maps, at most SHOWN_MAX of them;
 * k is odd, so that it meets all pixels. */
static void describe(const Bench *b, char *ret, size_t size)
{
    const Options *o = b->options;
    const MapShape *shape = &b->explanation.shape;
    size_t count = shape->images * mapset_image_numbers(shape), step = count / SHOWN_MAX;
    int used = snprintf(ret, size,
                        "\"width\": %u, \"method\": \"%s\", \"layer\": \"%s\", \"all\": %u, "
                        "\"values\": [%.9g",
                        o->width, o->method, o->layer, o->all, (double)b->explanation.maps[0]);

    step = step | 1;
    if (count / step > SHOWN_MAX)
        step += 2;
    for (size_t i = step; i < count; i += step)
        used += snprintf(ret + used, size - (size_t)used, ", %.6g", (double)b->explanation.maps[i]);
    snprintf(ret + used, size - (size_t)used, "], ");
}

static Status run(const Options *options, Record *record, char *what, size_t size, Error *err)
{
    Bench b = { .options = options };
    Pool *pool = NULL;
    Status s = pool_new(options->threads, &pool, err);

    if (s == STATUS_OK)
        s = prepare(&b, pool, err);
    if (s == STATUS_OK) {
        measure(&b, record);
        describe(&b, what, size);
    }
    free(b.images);
    free(b.items);
    explanation_clear(&b.explanation);
    arena_clear(&b.memory);
    network_clear(&b.network);
    pool_free(pool);
    return s;
}

int main(int argc, char **argv)
{
    Options o = { .width = 64,
                  .batch = 1,
                  .threads = 2,
                  .steps = 50,
                  .warm = 5,
                  .method = "gradcam",
                  .layer = "layer3" };
    const Option list[] = { { "--method=", NULL, o.method },
                            { "--layer=", NULL, o.layer },
                            { "--all=", &o.all, NULL },
                            { "--width=", &o.width, NULL },
                            { "--batch=", &o.batch, NULL },
                            { "--threads=", &o.threads, NULL },
                            { "--steps=", &o.steps, NULL },
                            { "--warm=", &o.warm, NULL },
                            { NULL, NULL, NULL } };
    static Record record;
    static char what[SHOWN_MAX * SHOWN_TEXT + 256];
    Error err = { 0 };

    if (bench_options(argc, argv, list) != 0 || o.batch < 1 || o.steps < 1 || o.warm < 1 ||
        o.steps + o.warm > STEPS_MAX) {
        fprintf(stderr, "usage: leased-bench-explain [--method=gradcam] [--layer=layer3] [--all=0] "
                        "[--width=64] [--batch=1] [--threads=2] [--steps=50] [--warm=5]\n");
        return 2;
    }
    if (run(&o, &record, what, sizeof what, &err) != STATUS_OK) {
        fprintf(stderr, "leased-bench-explain: %s\n", error_message(&err));
        return 1;
    }
    bench_print(&record, what, o.batch, o.threads, o.warm);
    return 0;
}
