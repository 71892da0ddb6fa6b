/* One set of rows and one way to run a Trainer, whatever kind of job it is. */
#include "server/jobs/train_params.h"

#include <math.h>

const char *const train_precisions[] = { "fp32", NULL };

const Field train_group_fields[] = {
    FIELD_STRING_ROW(ParamGroup, match, "match", FIELD_REQUIRED, NULL,
                     "glob that a weight's name has to fit: \"fc.*\", \"*.bias\""),
    FIELD_REAL_ROW(ParamGroup, lr_scale, "lr_scale", 1, 0, 1e6, "factor of the learning rate"),
    FIELD_REAL_ROW(ParamGroup, decay_scale, "decay_scale", 1, 0, 1e6, "factor of the weight decay"),
    FIELD_REAL_ROW(ParamGroup, epochs, "epochs", 0, 0, 100000,
                   "they move only in the first so many epochs; 0: always"),
};

const Field train_lookahead_fields[] = {
    FIELD_U32_ROW(LookaheadSpec, every, "every", 0, 0, 100000,
                  "steps between two averagings; 0: off"),
    FIELD_REAL_ROW(LookaheadSpec, decay, "decay", 0.5, 0, 1, "share of the slow weights in them"),
    FIELD_REAL_ROW(LookaheadSpec, ramp, "ramp", 0, 0, 100,
                   "the share grows as (step / steps) to this power; 0: it does not"),
    FIELD_U32_ROW(LookaheadSpec, start_epoch, "start_epoch", 0, 0, 100000,
                  "epochs before it begins"),
};

TrainSpec train_params_spec(const TrainParams *p)
{
    TrainSpec t = { .optimizer = p->optimizer,
                    .schedule = p->schedule,
                    .augments = p->augments,
                    .groups = p->groups,
                    .lookahead = p->lookahead,
                    .label_smoothing = p->label_smoothing,
                    .test_views = (TestViews)p->test_views,
                    .epochs = p->epochs,
                    .batch_size = p->batch_size,
                    .drop_last = p->drop_last,
                    .profile = p->profile };

    for (uint32_t i = 0; i < p->augments; i++)
        t.augment[i] = p->augment[i];
    for (uint32_t i = 0; i < p->groups; i++)
        t.group[i] = p->group[i];
    return t;
}

/* The channels of what the network sees, and how many test images there are. */
static Status look_at(const TrainSpec *spec, const Dataset *dataset, uint32_t *ret_channels,
                      uint64_t *ret_test_images, Error *err)
{
    Loader loader = { 0 };
    Composer composer = { 0 };
    Status s = loader_init(&loader, dataset, &spec->data, err);

    if (s == STATUS_OK && spec->compose != NULL)
        s = composer_init(&composer, &loader, spec->compose, err);
    if (s == STATUS_OK) {
        *ret_channels = spec->compose != NULL ? composer.channels : dataset->channels;
        *ret_test_images = loader.images[SPLIT_TEST];
    }
    composer_clear(&composer);
    loader_clear(&loader);
    return s;
}

Status train_job_watch(const TrainSpec *spec, const Dataset *dataset,
                       const TimelapseParams *timelapse, JobEstimate *ret, Error *err)
{
    TimelapseNetwork network = { .model = &spec->model,
                                 .input = { dataset->height, dataset->width, dataset->channels,
                                            dataset->classes } };
    uint64_t images = 0;
    Status s = timelapse->images == 0
                   ? STATUS_OK
                   : look_at(spec, dataset, &network.input.channels, &images, err);

    return s == STATUS_OK ? timelapse_check(timelapse, images, &network, 1, ret, err) : s;
}

Status train_job_estimate(const TrainSpec *spec, const Dataset *dataset,
                          const TimelapseParams *timelapse, JobEstimate *ret, Error *err)
{
    TrainEstimate estimate;
    Status s = trainer_estimate(spec, dataset, &estimate, err);

    if (s != STATUS_OK)
        return s;
    *ret = (JobEstimate){ .memory_bytes = estimate.memory_bytes + run_profile_bytes(spec->profile),
                          .flops = estimate.step_flops * (double)estimate.steps,
                          .steps = estimate.steps,
                          .epochs = (uint32_t)ceil(spec->epochs) };
    return train_job_watch(spec, dataset, timelapse, ret, err);
}

void score_values(const char *prefix, uint64_t step, const Score *score, MetricValue *values,
                  size_t *count)
{
    if (score->images == 0)
        return;
    values[(*count)++] = run_value(prefix, "loss", step, score->loss);
    values[(*count)++] = run_value(prefix, "accuracy", step, score->accuracy);
}

void report_step(JobRun *run, uint64_t step, double loss, double accuracy, double images_per_second)
{
    const MetricValue values[] = {
        run_value("train", "loss", step, loss),
        run_value("train", "accuracy", step, accuracy),
        run_value("throughput", "images_per_second", step, images_per_second),
    };

    run_report(run, step, values, sizeof values / sizeof *values);
}

size_t epoch_scores(uint64_t step, const Score *train, const Score *val, const Score *test,
                    MetricValue values[EPOCH_SCORES])
{
    size_t count = 0;

    values[count++] = run_value("train", "epoch_loss", step, train->loss);
    values[count++] = run_value("train", "epoch_accuracy", step, train->accuracy);
    score_values("val", step, val, values, &count);
    score_values("test", step, test, values, &count);
    return count;
}

RunCheckpoint epoch_checkpoint(uint64_t step, uint32_t epoch, const Score *val, uint32_t every)
{
    return (RunCheckpoint){ .step = step,
                            .epoch = epoch,
                            .score = val->images > 0 ? val->accuracy : (double)NAN,
                            .pinned = every > 0 && epoch % every == 0 };
}

/* --- the observer --- */

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
    const TrainJob *job = context;

    report_step(job->run, r->step, r->loss, r->accuracy, r->images_per_second);
    run_profile(job->run, trainer_profile(job->trainer));
}

static Status on_epoch(void *context, Trainer *trainer, const EpochReport *r, Error *err)
{
    const TrainJob *job = context;
    MetricValue values[EPOCH_SCORES + 4];
    size_t count = epoch_scores(r->step, &r->train, &r->val, &r->test, values);
    RunCheckpoint checkpoint = epoch_checkpoint(r->step, r->epoch, &r->val, job->checkpoint_every);

    score_values("audience/val/raw", r->step, &r->raw, values, &count);
    score_values("audience/val/reweighted", r->step, &r->reweighted, values, &count);
    checkpoint.values = values;
    checkpoint.count = count;
    return run_checkpoint(job->run, &checkpoint, save, trainer, err);
}

static Status on_drain(void *context, Trainer *trainer, uint64_t step, Error *err)
{
    const TrainJob *job = context;

    return run_drain(job->run, step, save, trainer, err);
}

Status train_job_run(TrainJob *job, Error *err)
{
    const Observer observer = { .context = job,
                                .stop = job->run->stop,
                                .step = on_step,
                                .epoch = on_epoch,
                                .drain = on_drain };
    TrainEstimate estimate;
    JobProgress at = { .epochs = (uint32_t)ceil(job->spec.epochs) };
    uint64_t step;
    Status s = trainer_estimate(&job->spec, job->dataset, &estimate, err);

    if (s == STATUS_OK)
        s = trainer_new(&job->spec, job->dataset, job->run->pool, &job->trainer, err);
    if (s != STATUS_OK)
        return s;
    at.steps = estimate.steps;
    s = run_begin(job->run, &at, restore, job->trainer, &step, err);
    if (s == STATUS_OK)
        s = trainer_run(job->trainer, &observer, err);
    trainer_free(job->trainer);
    job->trainer = NULL;
    return s;
}
