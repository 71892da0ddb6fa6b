/*
 * evalarch -- trains a genotype's network, and writes into the genotype's row what it scores.
 *
 * Metrics and checkpoints are those of `train`. Result: {"genotype", "accuracy", "val_accuracy",
 * "parameters"}: accuracy on the test images after the last epoch, the best one on validation
 * images, and the numbers of the network without its auxiliary head.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/nn/genotype.h"
#include "core/nn/network.h"
#include "server/codec/json.h"
#include "server/jobs/data_params.h"
#include "server/jobs/search_params.h"
#include "server/jobs/train_params.h"
#include "server/store/genotypes.h"

typedef struct Params {
    DataParams data;
    TextRef genotype;
    uint32_t channels, cells;
    double auxiliary, drop_path;
    TrainParams train;
    TimelapseParams timelapse;
} Params;

static const Field fields[] = {
    DATA_FIELD_ROWS(Params),
    FIELD_REFERENCE_ROW(Params, genotype, "genotype", genotype_names, FIELD_REQUIRED,
                        "a genotype's id, a published name, or Genotype(normal=[...], ...)"),
    FIELD_U32_ROW(Params, channels, "channels", 36, 1, 512, "channels of the first cell's nodes"),
    FIELD_U32_ROW(Params, cells, "cells", 20, CELLS_MIN, CELLS_MAX,
                  "cells; two of them halve the image"),
    FIELD_REAL_ROW(Params, auxiliary, "auxiliary", 0.4, 0, 1,
                   "weight of the auxiliary head's loss; 0: no head"),
    FIELD_REAL_ROW(Params, drop_path, "drop_path", 0.2, 0, 0.9,
                   "share of images that an edge drops at the training's end"),
    TRAIN_FIELD_ROWS(Params, train),
    TIMELAPSE_FIELD_ROW(Params, timelapse),
};

/* The genotype's text, as genotype_print() writes it. */
static Status find_text(Store *store, const TextRef *ref, char ret[GENOTYPE_TEXT_MAX], Error *err)
{
    GenotypeRow row = { 0 };
    Genotype genotype;
    Error why = { 0 };
    Status s = STATUS_OK;

    if (ref->id != 0)
        s = store_genotype_get(store, (int64_t)ref->id, &row, &why);
    if (s == STATUS_OK)
        s = genotype_parse(ref->id != 0 ? row.text : ref->text, &genotype, &why);
    genotype_row_clear(&row);
    if (s != STATUS_OK)
        return error_at(err, s == STATUS_NOT_FOUND ? STATUS_INVALID : s, "/genotype", "%s",
                        error_message(&why));
    genotype_print(&genotype, ret);
    return STATUS_OK;
}

/* The network; auxiliary: weight of the second head. */
static void genotype_model(const Params *params, const char *text, double auxiliary, Choice *ret)
{
    choice_init(model_table, (uint32_t)table_find(model_table, "genotype"), ret);
    snprintf(ret->text, sizeof ret->text, "%s", text);
    choice_set(model_table, ret, "channels", params->channels);
    choice_set(model_table, ret, "cells", params->cells);
    choice_set(model_table, ret, "auxiliary", auxiliary);
    choice_set(model_table, ret, "drop_path", params->drop_path);
}

static Status train_spec(Store *store, const JobSpec *spec, TrainSpec *ret,
                         char ret_text[GENOTYPE_TEXT_MAX], Error *err)
{
    const Params *params = spec->params;
    Status s = find_text(store, &params->genotype, ret_text, err);

    if (s != STATUS_OK)
        return s;
    *ret = train_params_spec(&params->train);
    genotype_model(params, ret_text, params->auxiliary, &ret->model);
    ret->data = data_params_spec(&params->data);
    ret->seed = spec->seed;
    return STATUS_OK;
}

static Status evalarch_check(Store *store, Datasets *datasets, JobSpec *spec, JobEstimate *ret,
                             Error *err)
{
    Params *params = spec->params;
    const Dataset *dataset;
    char text[GENOTYPE_TEXT_MAX];
    TrainSpec train;
    Error why = { 0 };
    Status s = data_params_resolve(&params->data, datasets, spec->seed, &dataset, err);

    if (s == STATUS_OK)
        s = train_spec(store, spec, &train, text, err);
    if (s != STATUS_OK)
        return s;
    s = train_job_estimate(&train, dataset, &params->timelapse, ret, &why);
    return s == STATUS_OK ? s : search_params_blame(&why, "", err);
}

/* --- what it comes to --- */

static Status count_parameters(const Params *params, const char *text, const Dataset *d,
                               uint64_t *ret, Error *err)
{
    const ModelInput input = { d->height, d->width, d->channels, d->classes };
    Network network = { 0 };
    Choice model;
    Status s;

    genotype_model(params, text, 0, &model);
    s = network_init(&network, &model, &input, err);
    if (s != STATUS_OK)
        return s;
    *ret = graph_parameters(&network.graph);
    network_clear(&network);
    return STATUS_OK;
}

/* From the store: the last epoch may have been another attempt's. */
static Status find_scores(const JobRun *run, GenotypeScore *ret, Error *err)
{
    Checkpoint best;
    Job job = { 0 };
    Status s = store_job_get(run->store, run->id, &job, err);

    ret->accuracy = ret->val_accuracy = NAN;
    for (uint32_t i = 0; s == STATUS_OK && i < job.latest_count; i++)
        if (strcmp(job.latest[i].key, "test/accuracy") == 0)
            ret->accuracy = job.latest[i].value;
    job_clear(&job);
    if (s == STATUS_OK && store_checkpoint_find(run->store, run->id, CHECKPOINT_KEY_BEST, 0, &best,
                                                NULL) == STATUS_OK)
        ret->val_accuracy = best.score;
    return s;
}

static Status conclude(JobRun *run, const TrainJob *job, const char *text, Error *err)
{
    const Params *params = run->spec->params;
    int64_t id = (int64_t)params->genotype.id;
    GenotypeScore score = { .job = run->id, .epochs = (uint32_t)ceil(params->train.epochs) };
    Status s = count_parameters(params, text, job->dataset, &score.parameters, err);

    if (s == STATUS_OK)
        s = find_scores(run, &score, err);
    if (s == STATUS_OK && id == 0)
        s = store_genotype_put(run->store, text, 0, 0, &id, NULL, err);
    if (s == STATUS_OK)
        s = store_genotype_score(run->store, id, &score, err);
    if (s == STATUS_OK)
        run_result(run, json_pack("{s:I, s:o, s:o, s:I}", "genotype", (json_int_t)id, "accuracy",
                                  json_number(score.accuracy), "val_accuracy",
                                  json_number(score.val_accuracy), "parameters",
                                  (json_int_t)score.parameters));
    return s;
}

static Status evalarch_run(JobRun *run, Error *err)
{
    const Params *params = run->spec->params;
    TrainJob job = { .run = run, .checkpoint_every = params->train.checkpoint_every };
    char text[GENOTYPE_TEXT_MAX];
    Status s = data_params_open(&params->data, run->datasets, &job.dataset, err);

    if (s == STATUS_OK)
        s = train_spec(run->store, run->spec, &job.spec, text, err);
    if (s == STATUS_OK)
        s = train_job_run(&job, err);
    return s == STATUS_OK ? conclude(run, &job, text, err) : s;
}

static Status evalarch_print(Store *store, Datasets *datasets, const JobSpec *spec,
                             const Roofline *limits, FILE *out, Error *err)
{
    const Params *params = spec->params;
    char text[GENOTYPE_TEXT_MAX];
    const Dataset *dataset;
    TrainSpec train;
    Status s = data_params_open(&params->data, datasets, &dataset, err);

    if (s == STATUS_OK)
        s = train_spec(store, spec, &train, text, err);
    return s == STATUS_OK ? trainer_print(&train, dataset, limits, out, err) : s;
}

extern const JobKind job_kind_evalarch;
const JobKind job_kind_evalarch = {
    .name = "evalarch",
    .summary = "trains a genotype and scores it",
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .params_size = sizeof(Params),
    .defaults = "{\"epochs\": 600, \"batch_size\": 96,"
                "\"optimizer\": {\"name\": \"sgd\", \"lr\": 0.025, \"momentum\": 0.9,"
                " \"nesterov\": false, \"weight_decay\": 3e-4, \"clip\": 5},"
                "\"augment\": [{\"name\": \"crop\", \"padding\": 4}, {\"name\": \"flip\"},"
                " {\"name\": \"cutout\", \"length\": 16}]}",
    .check = evalarch_check,
    .run = evalarch_run,
    .print = evalarch_print,
};
