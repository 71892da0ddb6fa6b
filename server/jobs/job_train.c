/*
 * train -- trains a classifier on a data set.
 *
 * Metrics, key at step: train/loss and train/accuracy of each batch, throughput/images_per_second;
 * at each epoch's end train/epoch_loss and train/epoch_accuracy (means over the epoch's batches),
 * val/ and test/ loss and accuracy. An epoch's numbers are written in the transaction that records
 * its checkpoint: whoever sees them can have it. "best" goes by val/accuracy.
 */
#include <math.h>
#include <stdlib.h>

#include "core/data/augment.h"
#include "core/nn/model.h"
#include "core/train/optimizer.h"
#include "core/train/schedule.h"
#include "core/train/trainer.h"
#include "server/jobs/data_params.h"
#include "server/jobs/run.h"

typedef struct TrainParams {
    DataParams data;
    Choice model, optimizer, schedule;
    Choice augment[AUGMENTS_MAX];
    uint32_t augments;
    ParamGroup group[PARAM_GROUPS_MAX];
    uint32_t groups;
    LookaheadSpec lookahead;
    double epochs, label_smoothing;
    uint32_t batch_size, precision, test_views, checkpoint_every;
    bool drop_last;
} TrainParams;

static const char *const precisions[] = { "fp32", NULL };

static const Field group_fields[] = {
    FIELD_STRING_ROW(ParamGroup, match, "match", FIELD_REQUIRED, NULL,
                     "glob that a weight's name has to fit: \"fc.*\", \"*.bias\""),
    FIELD_REAL_ROW(ParamGroup, lr_scale, "lr_scale", 1, 0, 1e6, "factor of the learning rate"),
    FIELD_REAL_ROW(ParamGroup, decay_scale, "decay_scale", 1, 0, 1e6, "factor of the weight decay"),
    FIELD_REAL_ROW(ParamGroup, epochs, "epochs", 0, 0, 100000,
                   "they move only in the first so many epochs; 0: always"),
};

static const Field lookahead_fields[] = {
    FIELD_U32_ROW(LookaheadSpec, every, "every", 0, 0, 100000,
                  "steps between two averagings; 0: off"),
    FIELD_REAL_ROW(LookaheadSpec, decay, "decay", 0.5, 0, 1, "share of the slow weights in them"),
    FIELD_REAL_ROW(LookaheadSpec, ramp, "ramp", 0, 0, 100,
                   "the share grows as (step / steps) to this power; 0: it does not"),
    FIELD_U32_ROW(LookaheadSpec, start_epoch, "start_epoch", 0, 0, 100000,
                  "epochs before it begins"),
};

static const Field fields[] = {
    DATA_FIELD_ROWS(TrainParams),
    FIELD_CHOICE_ROW(TrainParams, model, "model", model_table, "resnet18", "the network"),
    FIELD_REAL_ROW(TrainParams, epochs, "epochs", 10, 0.001, 100000,
                   "passes over the training images; may be fractional"),
    FIELD_U32_ROW(TrainParams, batch_size, "batch_size", 128, 1, 8192, "images a step"),
    FIELD_ENUM_ROW(TrainParams, precision, "precision", 0, precisions,
                   "number format of the computation"),
    FIELD_CHOICE_ROW(TrainParams, optimizer, "optimizer", optimizer_table, "sgd",
                     "how weights follow gradients"),
    FIELD_CHOICE_ROW(TrainParams, schedule, "schedule", schedule_table, "cosine",
                     "the learning rate over time"),
    FIELD_LIST_ROW(TrainParams, group, groups, "groups", group_fields,
                   "weights that are moved otherwise; the last that fits holds"),
    FIELD_OBJECT_ROW(TrainParams, lookahead, "lookahead", lookahead_fields,
                     "an average of the weights that they are pulled to"),
    FIELD_REAL_ROW(TrainParams, label_smoothing, "label_smoothing", 0, 0, 1,
                   "share of the training targets that is spread over all classes"),
    FIELD_CHOICES_ROW(TrainParams, augment, augments, "augment", augmentation_table,
                      "what is done to training images, in order"),
    FIELD_BOOL_ROW(TrainParams, drop_last, "drop_last", 0,
                   "leave out an epoch's last, partial batch"),
    FIELD_ENUM_ROW(TrainParams, test_views, "test_views", TEST_VIEWS_NONE, test_views_names,
                   "views of each validation and test image that are averaged"),
    FIELD_U32_ROW(TrainParams, checkpoint_every, "checkpoint_every", 0, 0, 100000,
                  "keep every n-th epoch's checkpoint; 0: none"),
};

static TrainSpec train_spec(const JobSpec *spec)
{
    const TrainParams *p = spec->params;
    TrainSpec t = { .model = p->model,
                    .optimizer = p->optimizer,
                    .schedule = p->schedule,
                    .augments = p->augments,
                    .groups = p->groups,
                    .lookahead = p->lookahead,
                    .label_smoothing = p->label_smoothing,
                    .test_views = (TestViews)p->test_views,
                    .data = data_params_spec(&p->data),
                    .epochs = p->epochs,
                    .batch_size = p->batch_size,
                    .drop_last = p->drop_last,
                    .seed = spec->seed };

    for (uint32_t i = 0; i < p->augments; i++)
        t.augment[i] = p->augment[i];
    for (uint32_t i = 0; i < p->groups; i++)
        t.group[i] = p->group[i];
    return t;
}

static Status train_check(Store *store, Datasets *datasets, JobSpec *spec, JobEstimate *ret,
                          Error *err)
{
    TrainParams *params = spec->params;
    const Dataset *dataset;
    TrainEstimate estimate;
    TrainSpec train;
    Status s = data_params_resolve(&params->data, datasets, spec->seed, &dataset, err);

    (void)store;
    if (s != STATUS_OK)
        return s;
    train = train_spec(spec);
    s = trainer_estimate(&train, dataset, &estimate, err);
    if (s != STATUS_OK)
        return s;
    *ret = (JobEstimate){ .memory_bytes = estimate.memory_bytes,
                          .flops = estimate.step_flops * (double)estimate.steps,
                          .steps = estimate.steps,
                          .epochs = (uint32_t)ceil(params->epochs) };
    return STATUS_OK;
}

/* --- the observer --- */

typedef struct Watch {
    JobRun *run;
    Trainer *trainer;
    const TrainParams *params;
} Watch;

static Status restore(void *context, const char *path, Error *err)
{
    return trainer_restore(context, path, err);
}

static Status save(void *context, const char *path, Error *err)
{
    return trainer_save(context, path, err);
}

static void on_step(void *context, const StepReport *r)
{
    const Watch *watch = context;
    const MetricValue values[] = {
        run_value("train", "loss", r->step, r->loss),
        run_value("train", "accuracy", r->step, r->accuracy),
        run_value("throughput", "images_per_second", r->step, r->images_per_second),
    };

    run_report(watch->run, r->step, values, sizeof values / sizeof *values);
}

static Status on_epoch(void *context, Trainer *trainer, const EpochReport *r, Error *err)
{
    const Watch *watch = context;
    uint32_t every = watch->params->checkpoint_every;
    MetricValue values[6];
    size_t count = 0;
    RunCheckpoint checkpoint = { .step = r->step,
                                 .epoch = r->epoch,
                                 .score = r->val.images > 0 ? r->val.accuracy : (double)NAN,
                                 .pinned = every > 0 && r->epoch % every == 0,
                                 .values = values };

    values[count++] = run_value("train", "epoch_loss", r->step, r->train.loss);
    values[count++] = run_value("train", "epoch_accuracy", r->step, r->train.accuracy);
    if (r->val.images > 0) {
        values[count++] = run_value("val", "loss", r->step, r->val.loss);
        values[count++] = run_value("val", "accuracy", r->step, r->val.accuracy);
    }
    if (r->test.images > 0) {
        values[count++] = run_value("test", "loss", r->step, r->test.loss);
        values[count++] = run_value("test", "accuracy", r->step, r->test.accuracy);
    }
    checkpoint.count = count;
    return run_checkpoint(watch->run, &checkpoint, save, trainer, err);
}

static Status on_drain(void *context, Trainer *trainer, uint64_t step, Error *err)
{
    const Watch *watch = context;
    RunCheckpoint checkpoint = { .step = step, .partial = true, .score = NAN };

    return run_checkpoint(watch->run, &checkpoint, save, trainer, err);
}

static Status train_run(JobRun *run, Error *err)
{
    Watch watch = { .run = run, .params = run->spec->params };
    const Observer observer = {
        .context = &watch, .stop = run->stop, .step = on_step, .epoch = on_epoch, .drain = on_drain
    };
    TrainSpec spec = train_spec(run->spec);
    const Dataset *dataset;
    TrainEstimate estimate;
    JobProgress at = { .epochs = (uint32_t)ceil(watch.params->epochs) };
    uint64_t step;
    Status s = data_params_open(&watch.params->data, run->datasets, &dataset, err);

    if (s == STATUS_OK)
        s = trainer_estimate(&spec, dataset, &estimate, err);
    if (s == STATUS_OK)
        s = trainer_new(&spec, dataset, run->pool, &watch.trainer, err);
    if (s != STATUS_OK)
        return s;
    at.steps = estimate.steps;
    s = run_begin(run, &at, restore, watch.trainer, &step, err);
    if (s == STATUS_OK)
        s = trainer_run(watch.trainer, &observer, err);
    trainer_free(watch.trainer);
    return s;
}

extern const JobKind job_kind_train;
const JobKind job_kind_train = {
    .name = "train",
    .summary = "trains a classifier on a data set",
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .params_size = sizeof(TrainParams),
    .check = train_check,
    .run = train_run,
};
