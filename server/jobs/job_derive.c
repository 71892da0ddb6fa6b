/*
 * derive -- the genotype that a search had found by an epoch's end.
 *
 * Whatever searches leaves each epoch's genotype in the store, and `latest` is the epoch of its
 * result: an early stop's goes back. Of a training job on a supernet the checkpoint is asked.
 * Result: {"genotype", "epoch"}.
 */
#include <stdlib.h>

#include "core/search/search.h"
#include "server/jobs/job_reference.h"
#include "server/jobs/run.h"
#include "server/store/genotypes.h"

typedef struct Params {
    CheckpointRef of;
} Params;

static const Field fields[] = {
    FIELD_ID_ROW(Params, of.job, "job", "a search, or what else has alphas"),
    FIELD_EPOCH_ROW(Params, of, "epoch", "\"latest\", \"best\" or an epoch's number"),
};

/* The epoch in a finished job's result; 0: it says none. */
static uint32_t result_epoch(const Job *job)
{
    json_t *result = job->result == NULL ? NULL : json_loads(job->result, 0, NULL);
    json_int_t epoch = json_integer_value(json_object_get(result, "epoch"));

    json_decref(result);
    return epoch > 0 ? (uint32_t)epoch : 0;
}

/* Which epoch is meant: a number, that of the job's result, or that of a checkpoint. */
static Status find_epoch(Store *store, const CheckpointRef *ref, uint32_t *ret, Error *err)
{
    const bool latest = ref->which == CHECKPOINT_LATEST;
    Checkpoint checkpoint;
    Error why = { 0 };
    Job job = { 0 };
    Status s = reference_job(store, ref->job, latest, "/job", &job, err);

    if (s != STATUS_OK)
        return s;
    *ret = ref->which == CHECKPOINT_EPOCH ? ref->epoch : latest ? result_epoch(&job) : 0;
    job_clear(&job);
    if (*ret != 0)
        return STATUS_OK;
    s = store_checkpoint_find(store, (int64_t)ref->job,
                              latest ? CHECKPOINT_KEY_LATEST : CHECKPOINT_KEY_BEST, 0, &checkpoint,
                              &why);
    if (s != STATUS_OK)
        return error_at(err, s == STATUS_NOT_FOUND ? STATUS_INVALID : s, "/epoch", "%s",
                        error_message(&why));
    *ret = checkpoint.epoch;
    return STATUS_OK;
}

/* What a job is asked to derive. */
typedef struct Found {
    uint32_t epoch;
    int64_t id;                   /* 0: in no row yet */
    char text[GENOTYPE_TEXT_MAX]; /* then: as genotype_print() writes it */
} Found;

/* Of a checkpoint that is kept. */
static Status from_checkpoint(Store *store, const CheckpointRef *ref, Found *ret, Error *err)
{
    char *path = NULL;
    SearchResult result;
    Error why = { 0 };
    Status s = reference_file(store, ref, "/epoch", &path, err);

    if (s != STATUS_OK)
        return s;
    s = search_derive_file(path, &result, &why);
    free(path);
    if (s != STATUS_OK)
        return error_at(err, STATUS_INVALID, "/job", "job %llu has no architecture: %s",
                        (unsigned long long)ref->job, error_message(&why));
    genotype_print(&result.genotype, ret->text);
    return STATUS_OK;
}

static Status find(Store *store, const CheckpointRef *ref, Found *ret, Error *err)
{
    Found found = { 0 };
    Status s = find_epoch(store, ref, &found.epoch, err);

    if (s == STATUS_OK &&
        store_genotype_of(store, (int64_t)ref->job, found.epoch, &found.id, NULL) != STATUS_OK) {
        found.id = 0;
        s = from_checkpoint(store, ref, &found, err);
    }
    if (s == STATUS_OK)
        *ret = found;
    return s;
}

static Status derive_check(Store *store, Datasets *datasets, JobSpec *spec, JobEstimate *ret,
                           Error *err)
{
    const Params *params = spec->params;
    Found found;
    Status s = find(store, &params->of, &found, err);

    (void)datasets;
    if (s == STATUS_OK)
        *ret = (JobEstimate){ .steps = 1 };
    return s;
}

static Status derive_run(JobRun *run, Error *err)
{
    const Params *params = run->spec->params;
    const JobProgress at = { .steps = 1 };
    Found found = { 0 };
    uint64_t step;
    Status s = run_begin(run, &at, NULL, NULL, &step, err);

    if (s == STATUS_OK)
        s = find(run->store, &params->of, &found, err);
    if (s == STATUS_OK && found.id == 0)
        s = store_genotype_put(run->store, found.text, (int64_t)params->of.job, found.epoch,
                               &found.id, NULL, err);
    if (s != STATUS_OK)
        return s;
    run_report(run, 1, NULL, 0);
    run_result(run, json_pack("{s:I, s:I}", "genotype", (json_int_t)found.id, "epoch",
                              (json_int_t)found.epoch));
    return STATUS_OK;
}

extern const JobKind job_kind_derive;
const JobKind job_kind_derive = {
    .name = "derive",
    .summary = "the genotype that a search found",
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .params_size = sizeof(Params),
    .check = derive_check,
    .run = derive_run,
};
