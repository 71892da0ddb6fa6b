/*
 * audience -- trains a network on images as another one's explanations have reweighted them, step 3
 * of LeaSE, and controls of it.
 *
 * Metrics and checkpoints are those of `train`, on the audience's own input; and at each epoch's
 * end audience/val/raw and audience/val/reweighted loss and accuracy, where it can be fed so.
 */
#include <string.h>

#include "core/nn/model.h"
#include "server/jobs/explanation_params.h"
#include "server/jobs/map_artefacts.h"
#include "server/jobs/train_params.h"

typedef struct Params {
    DataParams data;
    struct {
        uint64_t job;
    } maps;
    uint32_t input, control;
    OptionalReal reweight, f;
    Choice model;
    TrainParams train;
} Params;

static const Field maps_fields[] = {
    { .param = { "job", PARAM_INT, 0, 1, 9007199254740991.0, NULL, "a finished `explain` job" },
      .type = FIELD_SCALAR,
      .store = STORE_U64,
      .flags = FIELD_REQUIRED },
};

static const Field fields[] = {
    DATA_FIELD_ROWS(Params),
    FIELD_OBJECT_ROW(Params, maps, "maps", maps_fields, "the explanations"),
    FIELD_ENUM_ROW(Params, input, "input", COMPOSE_MAPS, compose_inputs,
                   "images reweighted by their maps, plain images, or both"),
    FIELD_ENUM_ROW(Params, control, "control", CONTROL_NONE, compose_controls,
                   "maps that explain nothing instead: another image's, or random ones"),
    FIELD_OPTIONAL_ROW(Params, reweight, "reweight", PARAM_ENUM, 0, 0, reweight_names,
                       "what a map makes of its image; null: as the `explain` job says"),
    FIELD_OPTIONAL_ROW(Params, f, "f", PARAM_REAL, 0, 1, NULL,
                       "of \"mix\": f + (1 - f) H; null: as the `explain` job says"),
    FIELD_CHOICE_ROW(Params, model, "model", model_table, "resnet18", "the network"),
    TRAIN_FIELD_ROWS(Params, train),
};

/* The explain job, and what it says that this one did not. */
static Status inherit_maps(Store *store, Params *params, Error *err)
{
    ExplanationParams explanation;
    DataParams theirs;
    json_t *json = NULL;
    Job job = { 0 };
    Status s = reference_job(store, params->maps.job, true, "/maps", &job, err);

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
    if (!params->reweight.set)
        params->reweight = explanation.reweight;
    if (!params->f.set)
        params->f = explanation.f;
    return STATUS_OK;
}

/* `ret_compose` and `files` have to live as long as the spec. */
static TrainSpec audience_spec(const JobSpec *spec, const MapFiles *files, ComposeSpec *ret_compose)
{
    const Params *params = spec->params;
    TrainSpec t = train_params_spec(&params->train);

    *ret_compose = (ComposeSpec){ .input = (ComposeInput)params->input,
                                  .control = (ComposeControl)params->control,
                                  .reweight = { (uint32_t)params->reweight.value, params->f.value },
                                  .seed = spec->seed };
    map_files_sets(files, ret_compose->maps);
    t.model = params->model;
    t.data = data_params_spec(&params->data);
    t.compose = ret_compose;
    t.seed = spec->seed;
    return t;
}

static Status audience_check(Store *store, Datasets *datasets, JobSpec *spec, JobEstimate *ret,
                             Error *err)
{
    Params *params = spec->params;
    uint64_t images[SPLIT_COUNT];
    const Dataset *dataset;
    ComposeSpec compose;
    MapFiles files = { 0 };
    TrainSpec train;
    Status s = inherit_maps(store, params, err);

    if (s == STATUS_OK)
        s = data_params_resolve(&params->data, datasets, spec->seed, &dataset, err);
    if (s != STATUS_OK)
        return s;
    data_params_images(&params->data, images);
    s = map_files_open(store, (int64_t)params->maps.job, images, false, "/maps", &files, err);
    if (s != STATUS_OK)
        return s;
    train = audience_spec(spec, &files, &compose);
    s = train_job_estimate(&train, dataset, ret, err);
    map_files_close(&files);
    return s;
}

static Status audience_run(JobRun *run, Error *err)
{
    const Params *params = run->spec->params;
    TrainJob job = { .run = run, .checkpoint_every = params->train.checkpoint_every };
    uint64_t images[SPLIT_COUNT];
    ComposeSpec compose;
    MapFiles files = { 0 };
    Status s = data_params_open(&params->data, run->datasets, &job.dataset, err);

    data_params_images(&params->data, images);
    if (s == STATUS_OK)
        s = map_files_open(run->store, (int64_t)params->maps.job, images, true, "/maps", &files,
                           err);
    if (s != STATUS_OK)
        return s;
    job.spec = audience_spec(run->spec, &files, &compose);
    s = train_job_run(&job, err);
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
};
