/*
 * What a running job reports is kept in its slot, for snapshots, and handed to the store without
 * waiting; a checkpoint is written by the kind, then its row with the numbers that belong to it.
 * Nothing is shown as durable before it is.
 */
#include "server/jobs/run.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/kernels/kernels.h"
#include "server/codec/json.h"
#include "server/config/log.h"
#include "server/jobs/queue_private.h"
#include "server/jobs/timelapse.h"

double monotonic_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

const char *run_kernels(void)
{
    const Kernels *kernels = NULL;

    return kernels_select(NULL, &kernels, NULL) == STATUS_OK ? kernels->name : "";
}

static char *record_text(const JobRun *run)
{
    json_t *record =
        json_pack("{s:s, s:s, s:s, s:i}", "build", run->build, "kernels", run_kernels(), "blas",
                  gemm_core_name(), "threads", (int)run->spec->threads.value);
    char *text = record == NULL ? NULL : json_dumps(record, JSON_WRITE_FLAGS);

    json_decref(record);
    return text;
}

/* Verifies and restores one checkpoint; what is corrupt is set aside, and *ret_reason says so. */
static Status try_checkpoint(JobRun *run, const Checkpoint *c, RunFile restore, void *context,
                             bool *ret_ok, char *reason, size_t size, Error *err)
{
    Error why = { 0 };
    char *path = store_checkpoint_file(run->store, c);
    Status s = path == NULL ? STATUS_NO_MEMORY : store_checkpoint_verify(run->store, c, &why);

    if (s == STATUS_OK)
        s = restore(context, path, &why);
    free(path);
    *ret_ok = s == STATUS_OK;
    if (s != STATUS_CORRUPT && s != STATUS_NOT_FOUND && s != STATUS_INVALID)
        return s == STATUS_OK ? STATUS_OK
                              : error_set(err, s, "cannot go on from checkpoint %s: %s", c->path,
                                          error_message(&why));
    log_write(LOG_ERROR, "job %lld: checkpoint of step %llu left out: %s", (long long)run->id,
              (unsigned long long)c->step, error_message(&why));
    snprintf(reason, size, "the checkpoint of step %llu was left out: %.160s",
             (unsigned long long)c->step, error_message(&why));
    return store_checkpoint_discard(run->store, c, err);
}

static Status resume(JobRun *run, RunFile restore, void *context, Checkpoint *ret, char *reason,
                     size_t size, Error *err)
{
    Checkpoint *list = calloc(CHECKPOINT_LIST_MAX, sizeof *list);
    size_t count = 0;
    bool ok = false;
    Status s;

    if (list == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a list of checkpoints");
    s = store_checkpoint_sweep(run->store, run->id, err);
    if (s == STATUS_OK)
        s = store_checkpoint_list(run->store, run->id, list, CHECKPOINT_LIST_MAX, &count, err);
    for (size_t i = 0; i < count && s == STATUS_OK && !ok; i++) {
        s = try_checkpoint(run, &list[i], restore, context, &ok, reason, size, err);
        if (ok)
            *ret = list[i];
    }
    free(list);
    return s;
}

/* starting -> running */
static Status become_running(JobRun *run, const JobProgress *at, const char *reason, Error *err)
{
    uint64_t step = at->step;
    char *record = record_text(run);
    Job job = { 0 };
    JobChange change = { .state = JOB_RUNNING,
                         .reason = reason,
                         .record = record,
                         .resumed_step = &step,
                         .progress = at };
    Status s = record == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a record")
                              : store_job_get(run->store, run->id, &job, err);

    if (s == STATUS_OK && job.state != JOB_STARTING)
        s = error_set(err, STATUS_STOPPED, "cancelled before it began");
    else if (s == STATUS_OK)
        s = store_job_change(run->store, run->id, job.version, &change, NULL, err);
    free(record);
    job_clear(&job);
    return s == STATUS_CONFLICT ? STATUS_STOPPED : s;
}

Status run_begin(JobRun *run, const JobProgress *at, RunFile restore, void *context,
                 uint64_t *ret_step, Error *err)
{
    Slot *slot = run->slot;
    char reason[256] = "";
    Checkpoint from = { 0 };
    JobProgress progress = *at;
    Status s = STATUS_OK;

    if (restore != NULL)
        s = resume(run, restore, context, &from, reason, sizeof reason, err);
    if (s == STATUS_OK)
        s = store_metric_truncate(run->store, run->id, from.step, err);
    progress.step = from.step;
    progress.epoch = from.epoch;
    progress.eta_seconds = -1;
    if (s == STATUS_OK)
        s = become_running(run, &progress, reason, err);
    if (s != STATUS_OK)
        return s;
    pthread_mutex_lock(&slot->queue->lock);
    slot->progress = progress;
    slot->resumed_step = from.step;
    slot->begun_seconds = monotonic_seconds();
    pthread_mutex_unlock(&slot->queue->lock);
    run->begun = true;
    run->saved_step = from.partial ? 0 : from.step;
    run->timelapse = timelapse_new(run);
    *ret_step = from.step;
    return STATUS_OK;
}

/* With the lock held. The time left goes by this attempt's own pace. */
static void advance(Slot *slot, uint64_t step)
{
    JobProgress *p = &slot->progress;
    uint64_t done = step - slot->resumed_step;
    double elapsed = monotonic_seconds() - slot->begun_seconds;

    p->step = step;
    if (done > 0 && p->steps >= step)
        p->eta_seconds = elapsed / (double)done * (double)(p->steps - step);
}

void run_report(JobRun *run, uint64_t step, const MetricValue *values, size_t count)
{
    Slot *slot = run->slot;

    pthread_mutex_lock(&slot->queue->lock);
    advance(slot, step);
    for (size_t i = 0; i < count; i++)
        latest_put(slot->latest, &slot->latest_count, &values[i]);
    pthread_mutex_unlock(&slot->queue->lock);
    store_metric_append(run->store, run->id, values, count);
}

Status run_checkpoint(JobRun *run, const RunCheckpoint *rc, RunFile save, void *context, Error *err)
{
    Slot *slot = run->slot;
    Checkpoint c;
    JobProgress progress;
    char *path = NULL;
    Status s;

    if (rc->step == run->saved_step)
        return STATUS_OK;
    s = store_checkpoint_prepare(run->store, run->id, rc->step, &c, err);
    if (s != STATUS_OK)
        return s;
    path = store_checkpoint_file(run->store, &c);
    s = path == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                     : save(context, path, err);
    free(path);
    if (s != STATUS_OK)
        return s;
    c.partial = rc->partial;
    c.score = rc->score;
    c.pinned = rc->pinned;
    pthread_mutex_lock(&slot->queue->lock);
    advance(slot, rc->step);
    progress = slot->progress;
    pthread_mutex_unlock(&slot->queue->lock);
    if (!rc->partial)
        progress.epoch = rc->epoch;
    c.epoch = progress.epoch;
    s = store_checkpoint_add(run->store, &c, rc->values, rc->count, &progress, err);
    if (s != STATUS_OK)
        return s;
    if (!rc->partial)
        run->saved_step = rc->step;
    pthread_mutex_lock(&slot->queue->lock);
    slot->progress.epoch = progress.epoch;
    for (size_t i = 0; i < rc->count; i++)
        latest_put(slot->latest, &slot->latest_count, &rc->values[i]);
    pthread_mutex_unlock(&slot->queue->lock);
    timelapse_epoch(run->timelapse, run, &c);
    return STATUS_OK;
}

Status run_drain(JobRun *run, uint64_t step, RunFile save, void *context, Error *err)
{
    const RunCheckpoint checkpoint = { .step = step, .partial = true, .score = NAN };

    return run_checkpoint(run, &checkpoint, save, context, err);
}

void run_result(JobRun *run, json_t *result)
{
    json_decref(run->result);
    run->result = result;
}

void run_stopped_early(JobRun *run, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(run->early, sizeof run->early, format, args);
    va_end(args);
}

MetricValue run_value(const char *prefix, const char *name, uint64_t step, double value)
{
    MetricValue v = { .step = step, .value = value };

    snprintf(v.key, sizeof v.key, "%s/%s", prefix, name);
    return v;
}
