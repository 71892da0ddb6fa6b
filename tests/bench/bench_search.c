/*
 * leased-bench-search -- the real search on the generated data set, some first-order DARTS steps,
 * as one line of JSON.
 *
 * run_bench.py runs this beside PyTorch and refuses a run whose loss does not fall. One image is a
 * training and a validation image. usage: leased-bench-search [--space=s5] [--channels=16]
 * [--cells=8] [--batch=64] [--threads=2] [--steps=3] [--warm=1]
 */
#include "tests/bench/bench.h"

#include "core/data/augment.h"
#include "core/nn/model.h"
#include "core/search/search.h"
#include "core/search/searcher.h"

typedef struct Options {
    char space[OPTION_TEXT_MAX];
    unsigned channels, cells, batch, threads, steps, warm;
} Options;

typedef struct Watch {
    Record *record;
    double batch, steps_seconds;
} Watch;

/* The recipe of the public code. */
static SearchSpec search_spec(const Options *o)
{
    SearchSpec spec = {
        .train = { .model = bench_row(model_table, "supernet"),
                   .optimizer = bench_row(optimizer_table, "sgd"),
                   .schedule = bench_row(schedule_table, "cosine"),
                   .augment = { bench_row(augmentation_table, "crop"),
                                bench_row(augmentation_table, "flip") },
                   .augments = 2,
                   /* one batch of images for each side, an epoch a step: so the loss must fall */
                   .data = { .train_images = 2 * o->batch,
                             .val_images = o->batch,
                             .test_images = 1 },
                   .epochs = o->steps + o->warm,
                   .batch_size = o->batch },
        .searcher = bench_row(searcher_table, "darts"),
        .architecture_optimizer = bench_row(optimizer_table, "adam"),
    };
    TrainSpec *train = &spec.train;

    snprintf(train->model.text, sizeof train->model.text, "%s", o->space);
    bench_set(&train->model, model_table, "channels", o->channels);
    bench_set(&train->model, model_table, "cells", o->cells);
    bench_set(&train->optimizer, optimizer_table, "lr", 0.025);
    bench_set(&train->optimizer, optimizer_table, "nesterov", 0);
    bench_set(&train->optimizer, optimizer_table, "weight_decay", 3e-4);
    bench_set(&train->optimizer, optimizer_table, "clip", 5);
    bench_set(&spec.architecture_optimizer, optimizer_table, "lr", 3e-4);
    bench_set(&spec.architecture_optimizer, optimizer_table, "beta1", 0.5);
    bench_set(&spec.architecture_optimizer, optimizer_table, "weight_decay", 1e-3);
    return spec;
}

/* An epoch is a step here, and its evaluation is not what is measured: only steps count. */
static void on_step(void *context, const SearchReport *report)
{
    Watch *watch = context;
    double *finished = watch->record->finished + watch->record->steps;

    bench_record(watch->record, report->train_loss);
    finished[0] = watch->steps_seconds += watch->batch / report->images_per_second;
}

static Status run(const Options *options, Record *record, Error *err)
{
    Watch watch = { record, options->batch, 0 };
    SearchObserver observer = { .context = &watch, .step = on_step };
    SearchSpec spec = search_spec(options);
    Dataset *dataset = NULL;
    Search *search = NULL;
    Pool *pool = NULL;
    Status s = dataset_open_shapes(&dataset, err);

    if (s == STATUS_OK)
        s = pool_new(options->threads, &pool, err);
    if (s == STATUS_OK)
        s = search_new(&spec, dataset, pool, &search, err);
    if (s == STATUS_OK)
        s = search_run(search, &observer, err);
    search_free(search);
    pool_free(pool);
    dataset_free(dataset);
    return s;
}

int main(int argc, char **argv)
{
    Options o = { "s5", 16, 8, 64, 2, 3, 1 };
    const Option list[] = {
        { "--space=", NULL, o.space },      { "--channels=", &o.channels, NULL },
        { "--cells=", &o.cells, NULL },     { "--batch=", &o.batch, NULL },
        { "--threads=", &o.threads, NULL }, { "--steps=", &o.steps, NULL },
        { "--warm=", &o.warm, NULL },       { NULL, NULL, NULL }
    };
    static Record record;
    char what[160];
    Error err = { 0 };

    if (bench_options(argc, argv, list) != 0 || o.steps < 1 || o.warm < 1 ||
        o.steps + o.warm > STEPS_MAX) {
        fprintf(stderr, "usage: leased-bench-search [--space=s5] [--channels=16] [--cells=8] "
                        "[--batch=64] [--threads=2] [--steps=3] [--warm=1]\n");
        return 2;
    }
    if (run(&o, &record, &err) != STATUS_OK || record.steps <= o.warm) {
        fprintf(stderr, "leased-bench-search: %s\n", error_message(&err));
        return 1;
    }
    snprintf(what, sizeof what, "\"space\": \"%s\", \"channels\": %u, \"cells\": %u, ", o.space,
             o.channels, o.cells);
    bench_print(&record, what, o.batch, o.threads, o.warm);
    return 0;
}
