/*
 * leased-bench-train -- the real trainer on the generated data set, some steps of ResNet-18, as one
 * line of JSON.
 *
 * What counts is the time from one step's end to the next's, batches and augmentation included,
 * after a few steps to warm up. run_bench.py runs this beside PyTorch and refuses a run whose loss
 * does not fall. usage: leased-bench-train [--width=64] [--batch=128] [--threads=2] [--steps=7]
 * [--warm=2]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "core/data/augment.h"
#include "core/nn/model.h"
#include "core/train/optimizer.h"
#include "core/train/schedule.h"
#include "core/train/trainer.h"

enum { STEPS_MAX = 1000 };

typedef struct Options {
    unsigned width, batch, threads, steps, warm;
} Options;

typedef struct Record {
    double finished[STEPS_MAX]; /* seconds */
    double first_loss, last_loss;
    unsigned steps;
} Record;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int parse_options(int argc, char **argv, Options *ret)
{
    const struct {
        const char *name;
        unsigned *value;
    } known[] = { { "--width=", &ret->width },
                  { "--batch=", &ret->batch },
                  { "--threads=", &ret->threads },
                  { "--steps=", &ret->steps },
                  { "--warm=", &ret->warm } };

    for (int i = 1; i < argc; i++) {
        size_t k = 0, count = sizeof(known) / sizeof(known[0]);

        while (k < count && strncmp(argv[i], known[k].name, strlen(known[k].name)) != 0)
            k++;
        if (k == count)
            return -1;
        *known[k].value = (unsigned)strtoul(argv[i] + strlen(known[k].name), NULL, 10);
    }
    return ret->steps >= 1 && ret->warm >= 1 && ret->steps + ret->warm <= STEPS_MAX ? 0 : -1;
}

/* The row `name` of a table (every row begins with its Described), with defaults and `parameter`
 * (NULL: none) set. */
static Choice choose(const void *table, const char *name, const char *parameter, double value)
{
    const Described *const *rows = table;
    int row = table_find(table, name);
    Choice ret = { 0 };

    if (row < 0) {
        fprintf(stderr, "leased-bench-train: there is no %s\n", name);
        exit(1);
    }
    ret.row = (uint32_t)row;
    param_defaults(rows[ret.row], ret.value);
    if (parameter)
        ret.value[param_find(rows[ret.row], parameter)] = value;
    return ret;
}

static TrainSpec train_spec(const Options *options)
{
    return (TrainSpec){
        .model = choose(model_table, "resnet18", "width", options->width),
        .optimizer = choose(optimizer_table, "sgd", "lr", 0.01), /* as peer_torch.py */
        .schedule = choose(schedule_table, "cosine", NULL, 0),
        .augment = { choose(augmentation_table, "crop", NULL, 0),
                     choose(augmentation_table, "flip", NULL, 0) },
        .augments = 2,
        /* one batch of images, an epoch a step, as the peer: so the loss must fall */
        .data = { .train_images = options->batch, .test_images = 1 },
        .epochs = 1,
        .batch_size = options->batch,
    };
}

static void on_step(void *context, const StepReport *report)
{
    Record *record = context;

    if (record->steps == STEPS_MAX)
        return;
    if (record->steps == 0)
        record->first_loss = report->loss;
    record->last_loss = report->loss;
    record->finished[record->steps++] = now();
}

static Status on_epoch(void *context, Trainer *trainer, const EpochReport *report, Error *err)
{
    (void)context, (void)trainer, (void)report, (void)err;
    return STATUS_OK;
}

static Status run(const Options *options, Record *record, Error *err)
{
    Observer observer = { .context = record, .step = on_step, .epoch = on_epoch };
    TrainSpec spec = train_spec(options);
    TrainEstimate estimate = { 0 };
    Dataset *dataset = NULL;
    Trainer *trainer = NULL;
    Pool *pool = NULL;
    Status s = dataset_open_shapes(&dataset, err);

    if (s == STATUS_OK)
        s = trainer_estimate(&spec, dataset, &estimate, err);
    if (s == STATUS_OK) { /* a little under the wanted step, which the trainer rounds up */
        spec.epochs = (options->steps + options->warm - 0.5) / (double)estimate.steps_per_epoch;
        s = pool_new(options->threads, &pool, err);
    }
    if (s == STATUS_OK)
        s = trainer_new(&spec, dataset, pool, &trainer, err);
    if (s == STATUS_OK)
        s = trainer_run(trainer, &observer, err);
    trainer_free(trainer);
    pool_free(pool);
    dataset_free(dataset);
    return s;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_step(const Record *record, unsigned warm)
{
    static double seconds[STEPS_MAX];
    unsigned count = record->steps - warm;

    for (unsigned i = 0; i < count; i++)
        seconds[i] = record->finished[warm + i] - record->finished[warm + i - 1];
    qsort(seconds, count, sizeof(*seconds), compare_doubles);
    return (seconds[(count - 1) / 2] + seconds[count / 2]) / 2;
}

int main(int argc, char **argv)
{
    Options options = { .width = 64, .batch = 128, .threads = 2, .steps = 7, .warm = 2 };
    static Record record;
    struct rusage usage;
    Error err = { 0 };

    if (parse_options(argc, argv, &options) != 0) {
        fprintf(stderr, "usage: leased-bench-train [--width=64] [--batch=128] [--threads=2] "
                        "[--steps=7] [--warm=2]\n");
        return 2;
    }
    if (run(&options, &record, &err) != STATUS_OK || record.steps <= options.warm) {
        fprintf(stderr, "leased-bench-train: %s\n", error_message(&err));
        return 1;
    }
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"name\": \"leased\", \"kernels\": \"%s\", \"width\": %u, \"batch\": %u, \"threads\": "
           "%u, \"steps\": %u, "
           "\"images_per_second\": %.3f, \"peak_rss_bytes\": %ld, \"first_loss\": %.9g, "
           "\"last_loss\": %.9g}\n",
           kernels_family(), options.width, options.batch, options.threads,
           record.steps - options.warm, options.batch / median_step(&record, options.warm),
           usage.ru_maxrss * 1024, record.first_loss, record.last_loss);
    return 0;
}
