/*
 * evaluate -- loss and accuracy of a checkpoint on one split.
 *
 * Writes <split>/loss and <split>/accuracy at the checkpoint's step, and result {"accuracy",
 * "loss", "images"}. Where the checkpoint's job used the same data set, its image_size,
 * train_images, val_images and split_seed are inherited, and saying something else is refused:
 * validation images must not become training images by a typing error.
 */
#include <stdlib.h>

#include "core/train/trainer.h"
#include "server/codec/json.h"
#include "server/jobs/job_reference.h"
#include "server/jobs/run.h"

typedef struct EvaluateParams {
    DataParams data;
    CheckpointRef checkpoint;
    uint32_t split; /* index into `splits` */
    uint32_t batch_size, test_views;
} EvaluateParams;

/* The first is the default. */
static const char *const splits[] = { "test", "train", "val", NULL };
static const Split split_of[] = { SPLIT_TEST, SPLIT_TRAIN, SPLIT_VAL };

static const Field fields[] = {
    DATA_FIELD_ROWS(EvaluateParams),
    FIELD_CHECKPOINT_ROW(EvaluateParams, checkpoint, "checkpoint", FIELD_REQUIRED,
                         "the checkpoint of a finished job"),
    FIELD_ENUM_ROW(EvaluateParams, split, "split", 0, splits, "which images"),
    FIELD_U32_ROW(EvaluateParams, batch_size, "batch_size", 128, 1, 8192, "images at a time"),
    FIELD_ENUM_ROW(EvaluateParams, test_views, "test_views", TEST_VIEWS_NONE, test_views_names,
                   "views of each image that are averaged"),
};

static EvaluateSpec evaluate_spec(const EvaluateParams *params, const char *path)
{
    return (EvaluateSpec){ .path = path,
                           .data = data_params_spec(&params->data),
                           .split = split_of[params->split],
                           .batch_size = params->batch_size,
                           .views = (TestViews)params->test_views };
}

/* What it will take; that the checkpoint does not fit the data set is the reference's fault. */
static Status estimate(Store *store, const EvaluateParams *params, const Checkpoint *checkpoint,
                       const Dataset *dataset, JobEstimate *ret, Error *err)
{
    char *path = store_checkpoint_file(store, checkpoint);
    EvaluateSpec spec = evaluate_spec(params, path);
    JobEstimate out = { .steps = 1 };
    Error why = { 0 };
    Status s;

    if (path == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a path");
    s = evaluate_estimate(&spec, dataset, &out.memory_bytes, &why);
    free(path);
    if (s != STATUS_OK)
        return error_at(err, s, "/checkpoint", "%s", error_message(&why));
    *ret = out;
    return STATUS_OK;
}

static Status evaluate_check(Store *store, Datasets *datasets, JobSpec *spec, JobEstimate *ret,
                             Error *err)
{
    EvaluateParams *params = spec->params;
    uint64_t images[SPLIT_COUNT];
    const Dataset *dataset;
    Checkpoint checkpoint;
    Job job = { 0 };
    Status s =
        reference_checkpoint(store, &params->checkpoint, "/checkpoint", &job, &checkpoint, err);

    if (s == STATUS_OK)
        s = reference_inherit(&params->data, &job, err);
    job_clear(&job);
    if (s == STATUS_OK)
        s = data_params_resolve(&params->data, datasets, spec->seed, &dataset, err);
    if (s != STATUS_OK)
        return s;
    data_params_images(&params->data, images);
    if (images[split_of[params->split]] == 0)
        return error_at(err, STATUS_INVALID, "/split", "there are no images in split \"%s\"",
                        splits[params->split]);
    return estimate(store, params, &checkpoint, dataset, ret, err);
}

static Status evaluate_run(JobRun *run, Error *err)
{
    const EvaluateParams *params = run->spec->params;
    const char *split = splits[params->split];
    JobProgress at = { .steps = 1 };
    const Dataset *dataset;
    Checkpoint checkpoint = { 0 };
    Job job = { 0 };
    Score score = { 0 };
    uint64_t step;
    char *path = NULL;
    EvaluateSpec spec;
    Status s = data_params_open(&params->data, run->datasets, &dataset, err);

    if (s == STATUS_OK)
        s = run_begin(run, &at, NULL, NULL, &step, err);
    if (s == STATUS_OK)
        s = reference_checkpoint(run->store, &params->checkpoint, "/checkpoint", &job, &checkpoint,
                                 err);
    job_clear(&job);
    if (s == STATUS_OK)
        s = store_checkpoint_verify(run->store, &checkpoint, err);
    if (s != STATUS_OK)
        return s;
    path = store_checkpoint_file(run->store, &checkpoint);
    spec = evaluate_spec(params, path);
    s = path == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                     : evaluate_checkpoint(&spec, dataset, run->pool, run->stop, &score, err);
    free(path);
    if (s != STATUS_OK)
        return s;
    /* At the checkpoint's step, so that it lies beside the numbers of the job it is about. */
    run_report(
        run, 1,
        (const MetricValue[]){ run_value(split, "loss", checkpoint.step, score.loss),
                               run_value(split, "accuracy", checkpoint.step, score.accuracy) },
        2);
    run_result(run, json_pack("{s:o, s:o, s:i}", "accuracy", json_number(score.accuracy), "loss",
                              json_number(score.loss), "images", (int)score.images));
    return STATUS_OK;
}

extern const JobKind job_kind_evaluate;
const JobKind job_kind_evaluate = {
    .name = "evaluate",
    .summary = "loss and accuracy of a checkpoint on one split",
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .params_size = sizeof(EvaluateParams),
    .check = evaluate_check,
    .run = evaluate_run,
};
