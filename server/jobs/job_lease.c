/*
 * lease -- learning by self-explanation: the four steps, staged or joint.
 *
 * Metrics, checkpoints and the result are those of hyper_params.h. A checkpoint holds both
 * networks, under "explainer." and "audience.".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/model.h"
#include "server/jobs/hyper_params.h"
#include "server/jobs/job_reference.h"
#include "server/jobs/search_params.h"
#include "server/jobs/train_params.h"

typedef struct ExplainerParams {
    CheckpointRef checkpoint;
    Choice model; /* CHOICE_NONE: the supernet of `search` */
    SearchParams search;
    TrainParams train;
} ExplainerParams;

typedef struct AudienceParams {
    Choice model;
    uint32_t input;
    TrainParams train;
} AudienceParams;

typedef struct ArchitectureParams {
    double epochs;
} ArchitectureParams;

typedef struct Params {
    DataParams data;
    HyperParams hyper;
    uint32_t mode, rounds, checkpoint_every;
    double epochs;
    ExplainerParams explainer;
    AudienceParams audience;
    ArchitectureParams architecture;
    TimelapseParams timelapse;
} Params;

static const Field explainer_fields[] = {
    FIELD_CHECKPOINT_ROW(ExplainerParams, checkpoint, "checkpoint", FIELD_NULLABLE,
                         "a finished job's network to start from; null: as the seed says"),
    FIELD_MAYBE_CHOICE_ROW(ExplainerParams, model, "model", model_table,
                           "the network; null: a supernet, which is searched"),
    SEARCH_FIELD_ROWS(ExplainerParams, search),
    TRAIN_FIELD_ROWS(ExplainerParams, train),
};

static const Field audience_fields[] = {
    FIELD_CHOICE_ROW(AudienceParams, model, "model", model_table, "resnet18", "the network"),
    FIELD_ENUM_ROW(AudienceParams, input, "input", COMPOSE_MAPS, compose_inputs,
                   "images reweighted by their maps, plain images, or both"),
    TRAIN_FIELD_ROWS(AudienceParams, train),
};

static const Field architecture_fields[] = {
    FIELD_REAL_ROW(ArchitectureParams, epochs, "epochs", 1, 0, 100000,
                   "passes over the validation images in each round of `staged`"),
};

static const Field fields[] = {
    DATA_FIELD_ROWS(Params),
    HYPER_FIELD_ROWS(Params, hyper),
    FIELD_ENUM_ROW(Params, mode, "mode", LEASE_STAGED, lease_mode_names,
                   "one step after the other in rounds, or all in each batch"),
    FIELD_U32_ROW(Params, rounds, "rounds", 2, 1, 10000, "of `staged`"),
    FIELD_REAL_ROW(Params, epochs, "epochs", 50, 0.001, 100000,
                   "of `joint`: passes over the training images"),
    FIELD_OBJECT_ROW(Params, explainer, "explainer", explainer_fields,
                     "who explains; epochs: of each round of `staged`"),
    FIELD_OBJECT_ROW(Params, audience, "audience", audience_fields,
                     "who learns from explanations; epochs: of each round of `staged`"),
    FIELD_OBJECT_ROW(Params, architecture, "architecture", architecture_fields,
                     "how the explainer's architecture moves"),
    FIELD_U32_ROW(Params, checkpoint_every, "checkpoint_every", 0, 0, 100000,
                  "keep every n-th epoch's checkpoint; 0: none"),
    TIMELAPSE_FIELD_ROW(Params, timelapse),
};

/* What of S has a meaning where the four steps move the architecture. */
static Status check_searcher(const SearchParams *search, LeaseMode mode, Error *err)
{
    const Searcher *row = searcher_table[search->searcher.row];
    int order = param_find(&row->described, "order");

    if (order < 0)
        return error_at(err, STATUS_INVALID, "/explainer/searcher/name",
                        "\"%s\" moves no architecture: take darts or pcdarts", row->described.name);
    if (search->searcher.value[order] != 1)
        return error_at(err, STATUS_INVALID, "/explainer/searcher/order",
                        "must be 1: \"hypergrad\" says how the architecture moves");
    if (search->alpha_start_epoch != 0 && mode != LEASE_JOINT)
        return error_at(err, STATUS_INVALID, "/explainer/alpha_start_epoch",
                        "must be 0 where \"mode\" is not \"joint\"");
    return STATUS_OK;
}

static Status explainer_model(const ExplainerParams *params, LeaseMode mode, Choice *ret,
                              Error *err)
{
    SearchSpec search = { 0 };
    Error why = { 0 };

    if (params->model.row != CHOICE_NONE) {
        *ret = params->model;
        return STATUS_OK;
    }
    search_params_spec(&params->search, &search);
    if (search_model(&search, ret, &why) == STATUS_OK)
        return check_searcher(&params->search, mode, err);
    return search_params_blame(&why, "/explainer", err);
}

/* path: of the explainer's checkpoint, or NULL; to live as long as the spec. */
static Status lease_spec(const JobSpec *spec, const char *path, LeaseSpec *ret, Error *err)
{
    Params *params = spec->params;

    *ret = (LeaseSpec){ .mode = (LeaseMode)params->mode,
                        .rounds = params->rounds,
                        .epochs = params->epochs,
                        .explainer = train_params_spec(&params->explainer.train),
                        .audience = train_params_spec(&params->audience.train),
                        .input = (ComposeInput)params->audience.input,
                        .explainer_checkpoint = path,
                        .architecture_optimizer = params->explainer.search.alpha_optimizer,
                        .architecture_epochs = params->architecture.epochs,
                        .alpha_start_epoch = params->explainer.search.alpha_start_epoch,
                        .data = data_params_spec(&params->data),
                        .seed = spec->seed };
    hyper_params_spec(&params->hyper, ret);
    ret->audience.model = params->audience.model;
    return explainer_model(&params->explainer, ret->mode, &ret->explainer.model, err);
}

/* The core's pointers: "/explainer/model/space" is "/explainer/space" here, unless the model was
 * said. */
static Status blame(const Params *params, const Error *why, Error *err)
{
    static const char supernet[] = "/explainer/model";

    for (uint32_t i = 0; i < why->details; i++) {
        const char *pointer = why->detail[i].pointer;
        Error one = { .status = why->status, .details = 1, .detail = { why->detail[i] } };

        if (params->explainer.model.row != CHOICE_NONE ||
            strncmp(pointer, supernet, sizeof supernet - 1) != 0) {
            (void)error_add(err, why->status, pointer, "%s", why->detail[i].message);
            continue;
        }
        snprintf(one.detail[0].pointer, sizeof one.detail[0].pointer, "%s",
                 pointer + sizeof "/explainer" - 1);
        (void)search_params_blame(&one, "/explainer", err);
    }
    return why->status;
}

/* Images to move the architecture by, where it is sure that there is one. */
static Status check_val(const Params *params, Error *err)
{
    if (params->data.val_images.value > 0 || params->explainer.model.row != CHOICE_NONE ||
        params->explainer.checkpoint.job != 0)
        return STATUS_OK;
    return error_at(err, STATUS_INVALID, "/val_images",
                    "must be above 0: the architecture moves by validation images");
}

static Status estimate(const JobSpec *spec, const char *path, const Dataset *dataset,
                       JobEstimate *ret, Error *err)
{
    const Params *params = spec->params;
    LeaseSpec lease;
    Error why = { 0 };
    Status s = lease_spec(spec, path, &lease, err);

    if (s != STATUS_OK)
        return s;
    s = lease_job_estimate(&lease, dataset, &params->timelapse, ret, &why);
    return s == STATUS_OK ? s : blame(params, &why, err);
}

static Status lease_check(Store *store, Datasets *datasets, JobSpec *spec, JobEstimate *ret,
                          Error *err)
{
    Params *params = spec->params;
    const CheckpointRef *ref = &params->explainer.checkpoint;
    Checkpoint checkpoint;
    const Dataset *dataset;
    char *path = NULL;
    Job job = { 0 };
    Status s = STATUS_OK;

    if (ref->job != 0) {
        s = reference_checkpoint(store, ref, "/explainer/checkpoint", &job, &checkpoint, err);
        if (s == STATUS_OK)
            s = reference_inherit(&params->data, &job, err);
        job_clear(&job);
        path = s == STATUS_OK ? store_checkpoint_file(store, &checkpoint) : NULL;
        if (s == STATUS_OK && path == NULL)
            s = error_set(err, STATUS_NO_MEMORY, "cannot allocate a path");
    }
    if (s == STATUS_OK)
        s = data_params_halve(&params->data, datasets, err);
    if (s == STATUS_OK)
        s = data_params_resolve(&params->data, datasets, spec->seed, &dataset, err);
    if (s == STATUS_OK)
        s = check_val(params, err);
    if (s == STATUS_OK)
        s = estimate(spec, path, dataset, ret, err);
    free(path);
    return s;
}

static Status lease_kind_run(JobRun *run, Error *err)
{
    const Params *params = run->spec->params;
    const CheckpointRef *ref = &params->explainer.checkpoint;
    const Dataset *dataset;
    LeaseSpec lease;
    char *path = NULL;
    Status s = data_params_open(&params->data, run->datasets, &dataset, err);

    if (s == STATUS_OK && ref->job != 0)
        s = reference_file(run->store, ref, "/explainer/checkpoint", &path, err);
    if (s == STATUS_OK)
        s = lease_spec(run->spec, path, &lease, err);
    if (s == STATUS_OK)
        s = lease_job_run(run, &lease, dataset, params->checkpoint_every, err);
    free(path);
    return s;
}

extern const JobKind job_kind_lease;
const JobKind job_kind_lease = {
    .name = "lease",
    .summary = "learning by self-explanation: explainer, explanations, audience, architecture",
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .params_size = sizeof(Params),
    .defaults = "{\"explainer\": {" SEARCH_DEFAULTS "}}",
    .check = lease_check,
    .run = lease_kind_run,
};
