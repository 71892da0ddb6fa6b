/*
 * leased-bench-train -- the real trainer on the generated data set, some steps, as one line of
 * JSON.
 *
 * run_bench.py runs this beside PyTorch and refuses a run whose loss does not fall.
 */
#include "tests/bench/bench.h"

#include "core/data/augment.h"
#include "core/nn/model.h"
#include "core/train/optimizer.h"
#include "core/train/schedule.h"
#include "core/train/trainer.h"

typedef struct Options {
    char model[OPTION_TEXT_MAX], attention[OPTION_TEXT_MAX];
    unsigned images, width, batch, threads, steps, warm;
} Options;

static TrainSpec train_spec(const Options *options)
{
    TrainSpec spec = {
        .model = bench_row(model_table, options->model),
        .optimizer = bench_row(optimizer_table, "sgd"),
        .schedule = bench_row(schedule_table, "cosine"),
        .augment = { bench_row(augmentation_table, "crop"), bench_row(augmentation_table, "flip") },
        .augments = 2,
        /* unless said otherwise one batch of images, an epoch a step, as the peer: so the loss
         * must fall */
        .data = { .train_images = options->images > 0 ? options->images : options->batch,
                  .test_images = 1 },
        .epochs = 1,
        .batch_size = options->batch,
    };

    bench_set(&spec.model, model_table, "width", options->width);
    if (strcmp(options->attention, "none") != 0)
        bench_set_name(&spec.model, model_table, "attention", options->attention);
    bench_set(&spec.optimizer, optimizer_table, "lr", 0.01); /* as peer_torch.py */
    return spec;
}

static void on_step(void *context, const StepReport *report)
{
    bench_record(context, report->loss);
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

int main(int argc, char **argv)
{
    Options o = {
        "resnet18", "none", .width = 64, .batch = 128, .threads = 2, .steps = 7, .warm = 2
    };
    const Option list[] = { { "--model=", NULL, o.model },
                            { "--attention=", NULL, o.attention },
                            { "--images=", &o.images, NULL },
                            { "--width=", &o.width, NULL },
                            { "--batch=", &o.batch, NULL },
                            { "--threads=", &o.threads, NULL },
                            { "--steps=", &o.steps, NULL },
                            { "--warm=", &o.warm, NULL },
                            { NULL, NULL, NULL } };
    static Record record;
    char what[256];
    Error err = { 0 };

    if (bench_options(argc, argv, list) != 0 || o.steps < 1 || o.warm < 1 ||
        o.steps + o.warm > STEPS_MAX) {
        fprintf(
            stderr,
            "usage: leased-bench-train [--model=resnet18] [--attention=none] "
            "[--images=BATCH] [--width=64] [--batch=128] [--threads=2] [--steps=7] [--warm=2]\n");
        return 2;
    }
    if (run(&o, &record, &err) != STATUS_OK || record.steps <= o.warm) {
        fprintf(stderr, "leased-bench-train: %s\n", error_message(&err));
        return 1;
    }
    snprintf(what, sizeof what, "\"model\": \"%s\", \"attention\": \"%s\", \"width\": %u, ",
             o.model, o.attention, o.width);
    bench_print(&record, what, o.batch, o.threads, o.warm);
    return 0;
}
