/* Alphas of an epoch, as the job wrote them down (server/jobs/search_params.c). */
#include <stdlib.h>

#include "server/api/api.h"
#include "server/store/artefacts.h"

typedef struct AlphasQuery {
    CheckpointRef which;
} AlphasQuery;

static const Field alphas_fields[] = {
    FIELD_EPOCH_ROW(AlphasQuery, which, "epoch", "\"latest\", \"best\" or an epoch's number"),
};

/* The epoch that is meant; 0: the newest there is. */
static Status find_epoch(Store *store, int64_t job, const CheckpointRef *ref, uint32_t *ret,
                         Error *err)
{
    Checkpoint best;
    Status s = STATUS_OK;

    *ret = ref->which == CHECKPOINT_EPOCH ? ref->epoch : 0;
    if (ref->which != CHECKPOINT_BEST)
        return STATUS_OK;
    s = store_checkpoint_find(store, job, CHECKPOINT_KEY_BEST, 0, &best, err);
    if (s == STATUS_OK)
        *ret = best.epoch;
    return s;
}

/* No alphas yet, or never. */
static Status absent(const Job *job, const Error *why, Error *err)
{
    if (job_state_final(job->state) || job->progress.epoch > 0)
        return error_set(err, STATUS_NOT_FOUND, "%s", error_message(why));
    return error_set(err, STATUS_CONFLICT, "job %lld has ended no epoch yet: it is %s",
                     (long long)job->id, job_state_names[job->state]);
}

/* GET /api/v1/jobs/{id}/alphas */
Status api_job_alphas(Api *api, const Request *req, Response *ret, Error *err)
{
    Store *store = queue_store(api->queue);
    AlphasQuery query = { 0 };
    char *weights = NULL;
    uint32_t epoch = 0;
    uint64_t step = 0;
    Error why = { 0 };
    Job job = { 0 };
    int64_t id;
    Status s = request_id_param(req, "id", "job", &id, err);

    if (s == STATUS_OK)
        s = api_query(req, alphas_fields, sizeof alphas_fields / sizeof *alphas_fields, &query,
                      err);
    if (s == STATUS_OK)
        s = queue_get(api->queue, id, &job, err); /* 404 where there is no such job */
    if (s == STATUS_OK)
        s = find_epoch(store, id, &query.which, &epoch, err);
    if (s == STATUS_OK) {
        s = store_alphas_get(store, id, epoch, &epoch, &step, &weights, &why);
        if (s == STATUS_NOT_FOUND)
            s = absent(&job, &why, err);
        else if (s != STATUS_OK)
            s = error_set(err, s, "%s", error_message(&why));
    }
    job_clear(&job);
    if (s != STATUS_OK)
        return s;
    s = response_json(ret, 200,
                      json_pack("{s:I, s:I, s:I, s:o}", "job", (json_int_t)id, "epoch",
                                (json_int_t)epoch, "step", (json_int_t)step, "cells",
                                api_stored_json(weights)),
                      err);
    free(weights);
    return s;
}
