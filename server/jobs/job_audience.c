/*
 * audience -- trains a network on images as another one's explanations have reweighted them, step 3
 * of LeaSE, and controls of it.
 *
 * Metrics and checkpoints are those of `train`, on the audience's own input; and at each epoch's
 * end audience/val/raw and audience/val/reweighted loss and accuracy, where it can be fed so.
 */
#include <string.h>

#include "core/nn/model.h"
#include "server/jobs/compose_params.h"
#include "server/jobs/explanation_params.h"
#include "server/jobs/train_params.h"

typedef struct Params {
    DataParams data;
    ComposeParams compose;
    Choice model;
    TrainParams train;
    TimelapseParams timelapse;
} Params;

static const Field fields[] = {
    DATA_FIELD_ROWS(Params),
    COMPOSE_FIELD_ROWS(Params, compose),
    FIELD_CHOICE_ROW(Params, model, "model", model_table, "resnet18", "the network"),
    TRAIN_FIELD_ROWS(Params, train),
    TIMELAPSE_FIELD_ROW(Params, timelapse),
};

/* The explain job, and what it says that this one did not. */
static Status inherit_maps(Store *store, Params *params, Error *err)
{
    ExplanationParams explanation;
    DataParams theirs;
    json_t *json = NULL;
    Job job = { 0 };
    Status s = reference_job(store, params->compose.maps.job, true, "/maps", &job, err);

    if (s == STATUS_OK && strcmp(job.kind, "explain") != 0)
        s = error_at(err, STATUS_INVALID, "/maps", "job %lld leaves no maps: it is of kind \"%s\"",
                     (long long)job.id, job.kind);
    if (s == STATUS_OK)
        s = data_params_of(job.params, &theirs, err);
    if (s == STATUS_OK && strcmp(theirs.dataset, params->data.dataset) != 0)
        s = error_at(err, STATUS_INVALID, "/dataset", "the maps of job %lld are of \"%s\"",
                     (long long)job.id, theirs.dataset);
    if (s == STATUS_OK)
        s = reference_inherit(&params->data, &job, err);
    if (s == STATUS_OK) {
        if (!params->data.test_images.set)
            params->data.test_images = theirs.test_images;
        json = json_loads(job.params, 0, NULL);
        s = explanation_params_of(json, &explanation, err);
        json_decref(json);
    }
    job_clear(&job);
    if (s != STATUS_OK)
        return s;
    if (!params->compose.reweight.set)
        params->compose.reweight = explanation.reweight;
    if (!params->compose.f.set)
        params->compose.f = explanation.f;
    return STATUS_OK;
}

/* `ret_compose` and `files` have to live as long as the spec. */
static TrainSpec audience_spec(const JobSpec *spec, const MapFiles *files, ComposeSpec *ret_compose)
{
    const Params *params = spec->params;
    TrainSpec t = train_params_spec(&params->train);

    *ret_compose = compose_params_spec(&params->compose, spec->seed, files);
    t.model = params->model;
    t.data = data_params_spec(&params->data);
    t.compose = ret_compose;
    t.seed = spec->seed;
    return t;
}

/* The training that a completed job describes, and the files that it reads; map_files_close() them
 * where this succeeds. verify: reads their digests, too. */
static Status open_files(Store *store, const JobSpec *spec, bool verify, MapFiles *ret_files,
                         ComposeSpec *ret_compose, TrainSpec *ret, Error *err)
{
    const Params *params = spec->params;
    uint64_t images[SPLIT_COUNT];
    Status s;

    data_params_images(&params->data, images);
    s = map_files_open(store, (int64_t)params->compose.maps.job, images, verify, "/maps", ret_files,
                       err);
    if (s == STATUS_OK)
        *ret = audience_spec(spec, ret_files, ret_compose);
    return s;
}

static Status audience_check(Store *store, Datasets *datasets, JobSpec *spec, JobEstimate *ret,
                             Error *err)
{
    Params *params = spec->params;
    const Dataset *dataset;
    ComposeSpec compose;
    MapFiles files = { 0 };
    TrainSpec train;
    Status s = inherit_maps(store, params, err);

    if (s == STATUS_OK)
        s = data_params_resolve(&params->data, datasets, spec->seed, &dataset, err);
    if (s == STATUS_OK)
        s = open_files(store, spec, false, &files, &compose, &train, err);
    if (s != STATUS_OK)
        return s;
    s = train_job_estimate(&train, dataset, &params->timelapse, ret, err);
    map_files_close(&files);
    return s;
}

static Status audience_run(JobRun *run, Error *err)
{
    const Params *params = run->spec->params;
    TrainJob job = { .run = run, .checkpoint_every = params->train.checkpoint_every };
    ComposeSpec compose;
    MapFiles files = { 0 };
    Status s = data_params_open(&params->data, run->datasets, &job.dataset, err);

    if (s == STATUS_OK)
        s = open_files(run->store, run->spec, true, &files, &compose, &job.spec, err);
    if (s != STATUS_OK)
        return s;
    s = train_job_run(&job, err);
    map_files_close(&files);
    return s;
}

static Status audience_print(Store *store, Datasets *datasets, const JobSpec *spec,
                             const Roofline *limits, FILE *out, Error *err)
{
    const Params *params = spec->params;
    const Dataset *dataset;
    ComposeSpec compose;
    MapFiles files = { 0 };
    TrainSpec train;
    Status s = data_params_open(&params->data, datasets, &dataset, err);

    if (s == STATUS_OK)
        s = open_files(store, spec, false, &files, &compose, &train, err);
    if (s != STATUS_OK)
        return s;
    s = trainer_print(&train, dataset, limits, out, err);
    map_files_close(&files);
    return s;
}

extern const JobKind job_kind_audience;
const JobKind job_kind_audience = {
    .name = "audience",
    .summary = "trains a network on images that explanations have reweighted",
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .params_size = sizeof(Params),
    .check = audience_check,
    .run = audience_run,
    .print = audience_print,
};
