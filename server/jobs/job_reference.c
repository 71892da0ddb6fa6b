/* What a reference may be is the same for every kind, and so is what is said where it is not. */
#include "server/jobs/job_reference.h"

#include <stdlib.h>
#include <string.h>

#include "server/jobs/checkpoint_part.h"

static Status find_job(Store *store, uint64_t id, bool whole, Job *ret, Error *err)
{
    Status s = store_job_get(store, (int64_t)id, ret, err);

    if (s != STATUS_OK)
        return s;
    if (!job_state_final(ret->state))
        return error_set(err, STATUS_INVALID, "job %lld is not finished: it is %s",
                         (long long)ret->id, job_state_names[ret->state]);
    if (whole && !job_state_whole(ret->state))
        return error_set(err, STATUS_INVALID,
                         "job %lld has not succeeded (%s): name an epoch of it", (long long)ret->id,
                         job_state_names[ret->state]);
    return STATUS_OK;
}

/* The reference's fault, whatever it is. */
static Status blame(Status s, const char *pointer, const Error *why, Error *err)
{
    const bool theirs = s == STATUS_NOT_FOUND || s == STATUS_CORRUPT;

    return error_at(err, theirs ? STATUS_INVALID : s, pointer, "%s", error_message(why));
}

Status reference_job(Store *store, uint64_t id, bool whole, const char *pointer, Job *ret,
                     Error *err)
{
    Error why = { 0 };
    Job job = { 0 };
    Status s = find_job(store, id, whole, &job, &why);

    if (s != STATUS_OK) {
        job_clear(&job);
        return blame(s, pointer, &why, err);
    }
    *ret = job;
    return STATUS_OK;
}

/* A `lease` leaves two networks in a file, and who reads one has no use for both. */
static Status check_single(Store *store, const Job *job, const Checkpoint *checkpoint, Error *err)
{
    char *path = store_checkpoint_file(store, checkpoint);
    bool two = false;
    Status s = path == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                            : checkpoint_has_part(path, "explainer", &two, err);

    free(path);
    if (s == STATUS_OK && two)
        s = error_set(err, STATUS_INVALID,
                      "the checkpoints of job %lld hold two networks: name a job of one",
                      (long long)job->id);
    return s;
}

Status reference_checkpoint(Store *store, const CheckpointRef *ref, const char *pointer,
                            Job *ret_job, Checkpoint *ret, Error *err)
{
    static const CheckpointKey key_of[] = { [CHECKPOINT_LATEST] = CHECKPOINT_KEY_LATEST,
                                            [CHECKPOINT_BEST] = CHECKPOINT_KEY_BEST,
                                            [CHECKPOINT_EPOCH] = CHECKPOINT_KEY_EPOCH };
    Error why = { 0 };
    Job job = { 0 };
    Status s = find_job(store, ref->job, ref->which == CHECKPOINT_LATEST, &job, &why);

    if (s == STATUS_OK)
        s = store_checkpoint_find(store, job.id, key_of[ref->which], ref->epoch, ret, &why);
    if (s == STATUS_OK)
        s = check_single(store, &job, ret, &why);
    if (s != STATUS_OK) {
        job_clear(&job);
        return blame(s, pointer, &why, err);
    }
    *ret_job = job;
    return STATUS_OK;
}

Status reference_file(Store *store, const CheckpointRef *ref, const char *pointer, char **ret_path,
                      Error *err)
{
    Checkpoint checkpoint = { 0 };
    Job job = { 0 };
    Status s = reference_checkpoint(store, ref, pointer, &job, &checkpoint, err);

    job_clear(&job);
    if (s == STATUS_OK)
        s = store_checkpoint_verify(store, &checkpoint, err);
    if (s != STATUS_OK)
        return s;
    *ret_path = store_checkpoint_file(store, &checkpoint);
    return *ret_path == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                             : STATUS_OK;
}

static bool inherit(OptionalUint *value, OptionalUint theirs, const char *pointer, int64_t job,
                    Error *err)
{
    if (!value->set)
        *value = theirs;
    if (!theirs.set || value->value == theirs.value)
        return true;
    (void)error_add(err, STATUS_INVALID, pointer,
                    "contradicts job %lld, which this job reads from: it used %llu", (long long)job,
                    (unsigned long long)theirs.value);
    return false;
}

Status reference_inherit(DataParams *data, const Job *job, Error *err)
{
    DataParams theirs;
    bool ok = true;

    if (data_params_of(job->params, &theirs, NULL) == STATUS_OK &&
        strcmp(theirs.dataset, data->dataset) == 0) {
        ok &= inherit(&data->image_size, theirs.image_size, "/image_size", job->id, err);
        ok &= inherit(&data->train_images, theirs.train_images, "/train_images", job->id, err);
        ok &= inherit(&data->val_images, theirs.val_images, "/val_images", job->id, err);
        ok &= inherit(&data->split_seed, theirs.split_seed, "/split_seed", job->id, err);
    }
    return ok ? STATUS_OK : STATUS_INVALID;
}
