/* train -- trains a classifier on a data set. */
#include "core/nn/model.h"
#include "server/jobs/data_params.h"
#include "server/jobs/train_params.h"

typedef struct Params {
    DataParams data;
    Choice model;
    TrainParams train;
    TimelapseParams timelapse;
} Params;

static const Field fields[] = {
    DATA_FIELD_ROWS(Params),
    FIELD_CHOICE_ROW(Params, model, "model", model_table, "resnet18", "the network"),
    TRAIN_FIELD_ROWS(Params, train),
    TIMELAPSE_FIELD_ROW(Params, timelapse),
};

static TrainSpec train_spec(const JobSpec *spec)
{
    const Params *params = spec->params;
    TrainSpec t = train_params_spec(&params->train);

    t.model = params->model;
    t.data = data_params_spec(&params->data);
    t.seed = spec->seed;
    return t;
}

static Status train_check(Store *store, Datasets *datasets, JobSpec *spec, JobEstimate *ret,
                          Error *err)
{
    Params *params = spec->params;
    const Dataset *dataset;
    TrainSpec train;
    Status s = data_params_resolve(&params->data, datasets, spec->seed, &dataset, err);

    (void)store;
    if (s != STATUS_OK)
        return s;
    train = train_spec(spec);
    return train_job_estimate(&train, dataset, &params->timelapse, ret, err);
}

static Status train_run(JobRun *run, Error *err)
{
    const Params *params = run->spec->params;
    TrainJob job = { .run = run,
                     .spec = train_spec(run->spec),
                     .checkpoint_every = params->train.checkpoint_every };
    Status s = data_params_open(&params->data, run->datasets, &job.dataset, err);

    return s == STATUS_OK ? train_job_run(&job, err) : s;
}

static Status train_print(Store *store, Datasets *datasets, const JobSpec *spec,
                          const Roofline *limits, FILE *out, Error *err)
{
    const Params *params = spec->params;
    TrainSpec train = train_spec(spec);
    const Dataset *dataset;
    Status s = data_params_open(&params->data, datasets, &dataset, err);

    (void)store;
    return s == STATUS_OK ? trainer_print(&train, dataset, limits, out, err) : s;
}

extern const JobKind job_kind_train;
const JobKind job_kind_train = {
    .name = "train",
    .summary = "trains a classifier on a data set",
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .params_size = sizeof(Params),
    .check = train_check,
    .run = train_run,
    .print = train_print,
};
