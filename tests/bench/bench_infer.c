/*
 * leased-bench-infer -- ResNet-18 in eval mode, as one line of JSON: predictions of a batch or,
 * with
 * --attack=1, the fast gradient sign method on it (forward, backward to the image, one step up).
 *
 * Weights, images and labels are those of same.h, so that run_bench.py can hold our loss against
 * that of PyTorch, which has the same numbers, before it believes a time.
 * usage: leased-bench-infer [--width=64] [--batch=1] [--threads=2] [--steps=50] [--warm=5]
 *        [--attack=0]
 */
#include "tests/bench/same.h"

#include "core/base/arena.h"
#include "core/graph/run.h"

static const float epsilon = 0.03F; /* of the attack; pixels are within +-2 */

typedef struct Options {
    unsigned width, batch, threads, steps, warm, attack;
} Options;

typedef struct Bench {
    const Options *options;
    Network network;
    Plan plan;
    Arena memory;
    float *image; /* [N,H,W,C], blocked; `step` starts from it */
    RunContext context;
} Bench;

/* The images, and one-hot labels. */
static Status fill_batch(Bench *b, Error *err)
{
    uint32_t images = b->options->batch;
    Tensor target = plan_tensor(&b->plan, b->network.target);
    int32_t *labels = calloc(images, sizeof *labels);

    b->image = same_images(images);
    if (labels == NULL || b->image == NULL) {
        free(labels);
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate images");
    }
    closed_form_labels(SAME_SEED, "labels/0", images, SAME_CLASSES, labels);
    memset(target.data, 0, shape_count(&target.shape) * sizeof(real));
    for (uint32_t i = 0; i < images; i++)
        target.data[i * SAME_CLASSES + (uint32_t)labels[i]] = 1;
    free(labels);
    return STATUS_OK;
}

static Status prepare(Bench *b, Pool *pool, Error *err)
{
    PlanSpec spec = { .images = b->options->batch, .gradient_to = NODE_NONE };
    Status s;

    b->context.pool = pool;
    s = kernels_select(NULL, &b->context.kernels, err);
    if (s == STATUS_OK)
        s = same_network(b->options->width, &b->network, err);
    if (s != STATUS_OK)
        return s;
    b->context.weights = b->network.weights;
    spec.output = b->network.loss;
    spec.keep[0] = b->network.target; /* is written once */
    spec.keep[1] = NODE_NONE;
    if (b->options->attack != 0)
        spec.gradient_to = b->network.image;
    s = plan_init(&b->plan, &b->network.graph, &spec, err);
    if (s == STATUS_OK)
        s = arena_init(&b->memory, arena_round(b->plan.bytes), err);
    if (s != STATUS_OK)
        return s;
    plan_bind(&b->plan, arena_take(&b->memory, b->plan.bytes));
    return fill_batch(b, err);
}

/* The mean loss of the images in the plan. */
static double forward(const Bench *b)
{
    const real *loss;
    double sum = 0;

    run_forward(&b->plan, &b->context);
    loss = plan_tensor(&b->plan, b->network.loss).data;
    for (unsigned i = 0; i < b->options->batch; i++)
        sum += (double)loss[i];
    return sum / b->options->batch;
}

/* After forward(): the images one step up the loss. The plan's own were overwritten on the way. */
static void attack(const Bench *b)
{
    Tensor x = plan_tensor(&b->plan, b->network.image),
           dx = plan_gradient(&b->plan, b->network.image),
           seed = plan_gradient(&b->plan, b->network.loss);

    for (unsigned i = 0; i < b->options->batch; i++)
        seed.data[i] = 1;
    run_backward(&b->plan, &b->context);
    for (size_t i = 0, count = shape_count(&x.shape); i < count; i++)
        x.data[i] =
            b->image[i] + (float)(dx.data[i] > 0) * epsilon - (float)(dx.data[i] < 0) * epsilon;
}

/* Step after step from the same images; the last loss is that of the attacked ones, if any. */
static void measure(const Bench *b, Record *record)
{
    Tensor x = plan_tensor(&b->plan, b->network.image);

    for (unsigned i = 0; i < b->options->warm + b->options->steps; i++) {
        double loss;

        memcpy(x.data, b->image, shape_count(&x.shape) * sizeof *x.data);
        loss = forward(b);
        if (b->options->attack != 0)
            attack(b);
        bench_record(record, loss);
    }
    if (b->options->attack != 0)
        record->last_loss = forward(b);
}

static Status run(const Options *options, Record *record, Error *err)
{
    Bench b = { .options = options };
    Pool *pool = NULL;
    Status s = pool_new(options->threads, &pool, err);

    if (s == STATUS_OK)
        s = prepare(&b, pool, err);
    if (s == STATUS_OK)
        measure(&b, record);
    free(b.image);
    plan_clear(&b.plan);
    arena_clear(&b.memory);
    network_clear(&b.network);
    pool_free(pool);
    return s;
}

int main(int argc, char **argv)
{
    Options o = { .width = 64, .batch = 1, .threads = 2, .steps = 50, .warm = 5 };
    const Option list[] = { { "--width=", &o.width, NULL },
                            { "--batch=", &o.batch, NULL },
                            { "--threads=", &o.threads, NULL },
                            { "--steps=", &o.steps, NULL },
                            { "--warm=", &o.warm, NULL },
                            { "--attack=", &o.attack, NULL },
                            { NULL, NULL, NULL } };
    static Record record;
    char what[64];
    Error err = { 0 };

    if (bench_options(argc, argv, list) != 0 || o.batch < 1 || o.steps < 1 || o.warm < 1 ||
        o.steps + o.warm > STEPS_MAX) {
        fprintf(stderr, "usage: leased-bench-infer [--width=64] [--batch=1] [--threads=2] "
                        "[--steps=50] [--warm=5] [--attack=0]\n");
        return 2;
    }
    if (run(&o, &record, &err) != STATUS_OK) {
        fprintf(stderr, "leased-bench-infer: %s\n", error_message(&err));
        return 1;
    }
    snprintf(what, sizeof what, "\"width\": %u, \"attack\": %u, ", o.width, o.attack);
    bench_print(&record, what, o.batch, o.threads, o.warm);
    return 0;
}
