/*
 * A worker takes the next row, runs its kind, and writes down how it ended. Between jobs it sleeps
 * on the queue's condition.
 *
 * Workers run ten steps nicer than the daemon, so that requests and heat maps are answered while
 * they compute; the pool's threads inherit that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/train/trainer.h"
#include "server/codec/json.h"
#include "server/config/log.h"
#include "server/jobs/queue_private.h"
#include "server/jobs/run.h"
#include "server/jobs/timelapse.h"

enum { WORKER_NICE = 10, RETRY_SECONDS = 1, TRIES = 8, LOOK_MS = 200 };

/* The row back into a spec, by the same parser that let it in. */
static Status spec_of(const Queue *queue, const Job *job, JobSpec **ret, Error *err)
{
    json_t *body = json_pack(
        "{s:s, s:s, s:i, s:I, s:i, s:o?, s:o?}", "kind", job->kind, "name", job->name, "priority",
        (int)job->priority, "seed", (json_int_t)job->seed, "threads", (int)job->threads, "tags",
        json_loads(job->tags, 0, NULL), "params", json_loads(job->params, 0, NULL));
    Status s = job_spec_parse(queue->kinds, body, ret, err);

    json_decref(body);
    return s;
}

/* What was right when it was submitted is looked at again: data set, checkpoint and memory limit
 * may be others now. Waits for a data set that is being read. */
static Status check_again(Slot *slot, JobSpec *spec, JobEstimate *ret, Error *err)
{
    Datasets *datasets = slot->queue->datasets;

    for (;;) {
        uint64_t generation = datasets_generation(datasets);
        Error why = { 0 };
        Status s = queue_check(slot->queue, spec, ret, &why);

        if (s == STATUS_OK)
            return s;
        if (atomic_load(&slot->stop) != STOP_NO)
            return error_set(err, STATUS_STOPPED, "as asked");
        if (s != STATUS_BUSY)
            return error_set(err, s, "%s", error_message(&why));
        datasets_wait(datasets, generation, LOOK_MS);
    }
}

/* How fast it was, for the next dry run. */
static void note_pace(Slot *slot, const JobEstimate *estimate, uint64_t threads)
{
    uint64_t done = slot->progress.step - slot->resumed_step; /* only this thread writes them */
    double elapsed = monotonic_seconds() - slot->begun_seconds;

    if (estimate->flops <= 0 || estimate->steps == 0 || done == 0 || elapsed <= 0)
        return;
    pthread_mutex_lock(&slot->queue->lock);
    slot->queue->pace =
        estimate->flops * (double)done / (double)estimate->steps / elapsed / (double)threads;
    pthread_mutex_unlock(&slot->queue->lock);
}

static Status run_kind(Slot *slot, const Job *job, JobRun *run, Error *err)
{
    Queue *queue = slot->queue;
    JobSpec *spec = NULL;
    JobEstimate estimate = { 0 };
    Status s = spec_of(queue, job, &spec, err);

    if (s == STATUS_OK)
        s = check_again(slot, spec, &estimate, err);
    if (s == STATUS_OK)
        s = pool_new((unsigned)spec->threads.value, &run->pool, err);
    if (s == STATUS_OK) {
        run->spec = spec;
        s = spec->kind->run(run, err);
        if (s == STATUS_OK && !run->begun)
            s = error_set(err, STATUS_INTERNAL, "kind %s ended without having begun",
                          spec->kind->name);
    }
    if (s == STATUS_OK)
        note_pace(slot, &estimate, spec->threads.value);
    timelapse_free(run->timelapse);
    run->timelapse = NULL;
    pool_free(run->pool);
    run->pool = NULL;
    run->spec = NULL;
    job_spec_free(spec);
    return s;
}

/* How a run ended. */
typedef struct End {
    Status status;
    const char *result; /* JSON; NULL: none */
    const char *early;  /* why it stopped early; "": it did not */
    const char *message;
} End;

/* Which end this is; the row says what was wanted. */
static JobState end_state(const Job *row, const End *end)
{
    if (row->desired == JOB_CANCELLED)
        return JOB_CANCELLED;
    if (end->status == STATUS_OK)
        return end->early[0] == '\0' ? JOB_SUCCEEDED : JOB_EARLY_STOPPED;
    return end->status == STATUS_STOPPED ? JOB_QUEUED : JOB_FAILED;
}

static Status write_end(Slot *slot, const End *end, JobState *ret_state, Error *err)
{
    Job row = { 0 };
    JobProgress progress;
    JobChange change = { .result = end->result, .progress = &progress };
    Status got = store_job_get(slot->queue->store, slot->job, &row, err);

    if (got != STATUS_OK)
        return got;
    pthread_mutex_lock(&slot->queue->lock);
    progress = slot->progress.steps > 0 ? slot->progress : row.progress;
    pthread_mutex_unlock(&slot->queue->lock);
    change.state = end_state(&row, end);
    progress.eta_seconds = job_state_whole(change.state) ? 0 : -1;
    if (change.state == JOB_FAILED)
        change.reason = end->message;
    else if (change.state == JOB_EARLY_STOPPED)
        change.reason = end->early;
    else if (change.state == JOB_QUEUED)
        change.reason = "drained: goes on from its checkpoint";
    *ret_state = change.state;
    got = store_job_change(slot->queue->store, slot->job, row.version, &change, NULL, err);
    job_clear(&row);
    return got;
}

/* A cancel may come in between (conflict), or the disk may be full for a while: tries again. What
 * stays unwritten is reconciled at the next start. */
static void finish(Slot *slot, Status s, const JobRun *run, const Error *why)
{
    char *text = run->result == NULL ? NULL : json_dumps(run->result, JSON_WRITE_FLAGS);
    const End end = { .status = s,
                      .result = s == STATUS_OK ? text : NULL,
                      .early = run->early,
                      .message = error_message(why) };
    Error err = { 0 };
    JobState state = JOB_FAILED;
    Status wrote = STATUS_IO;

    for (int i = 0; i < TRIES && wrote != STATUS_OK; i++) {
        error_clear(&err);
        if (i > 0 && wrote != STATUS_CONFLICT)
            sleep(RETRY_SECONDS);
        wrote = write_end(slot, &end, &state, &err);
    }
    free(text);
    if (wrote != STATUS_OK)
        log_write(LOG_ERROR, "job %lld: cannot write down how it ended: %s", (long long)slot->job,
                  error_message(&err));
    else
        log_write(state == JOB_FAILED ? LOG_WARNING : LOG_INFO, "job %lld: %s%s%s",
                  (long long)slot->job, job_state_names[state], state == JOB_FAILED ? ": " : "",
                  state == JOB_FAILED ? error_message(why) : "");
}

static void occupy(Slot *slot, int64_t job)
{
    pthread_mutex_lock(&slot->queue->lock);
    atomic_store(&slot->stop, slot->queue->draining ? STOP_DRAIN : STOP_NO);
    slot->active = true;
    slot->job = job;
    slot->progress = (JobProgress){ .eta_seconds = -1 };
    slot->latest_count = 0;
    pthread_mutex_unlock(&slot->queue->lock);
}

static void run_job(Slot *slot, const Job *job)
{
    Queue *queue = slot->queue;
    JobRun run = { .id = job->id,
                   .store = queue->store,
                   .datasets = queue->datasets,
                   .stop = &slot->stop,
                   .slot = slot,
                   .build = queue->build };
    Job row = { 0 };
    Error err = { 0 };
    Status s;

    log_write(LOG_INFO, "job %lld: %s starts, attempt %u", (long long)job->id, job->kind,
              job->attempt);
    occupy(slot, job->id);
    s = store_job_get(queue->store, job->id, &row, &err); /* cancelled before the slot was ours? */
    if (s == STATUS_OK && row.desired == JOB_CANCELLED)
        slot_stop(slot, STOP_CANCEL);
    job_clear(&row);
    if (s == STATUS_OK)
        s = atomic_load(&slot->stop) != STOP_NO ? STATUS_STOPPED : run_kind(slot, job, &run, &err);
    finish(slot, s, &run, &err);
    json_decref(run.result);
    pthread_mutex_lock(&queue->lock);
    slot->active = false;
    pthread_mutex_unlock(&queue->lock);
}

/* Waits until something was queued after `generation`, or for RETRY_SECONDS where the store had
 * failed; true: go on. */
static bool wait_for_work(Queue *queue, uint64_t generation, bool failed)
{
    struct timespec until;
    bool late = false, go_on;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += RETRY_SECONDS;
    pthread_mutex_lock(&queue->lock);
    while (!queue->draining && queue->generation == generation && !late)
        if (failed)
            late = pthread_cond_timedwait(&queue->wake, &queue->lock, &until) == ETIMEDOUT;
        else
            pthread_cond_wait(&queue->wake, &queue->lock);
    go_on = !queue->draining;
    pthread_mutex_unlock(&queue->lock);
    return go_on;
}

static bool look(Queue *queue, uint64_t *ret_generation)
{
    bool go_on;

    pthread_mutex_lock(&queue->lock);
    *ret_generation = queue->generation;
    go_on = !queue->draining;
    pthread_mutex_unlock(&queue->lock);
    return go_on;
}

void *worker_main(void *argument)
{
    Slot *slot = argument;
    Queue *queue = slot->queue;
    uint64_t generation = 0;
    bool go_on = true;

    pthread_setname_np(pthread_self(), "worker");
    if (setpriority(PRIO_PROCESS, (id_t)gettid(), getpriority(PRIO_PROCESS, 0) + WORKER_NICE) != 0)
        log_write(LOG_WARNING, "a worker cannot lower its priority: %s", strerror(errno));
    while (go_on && look(queue, &generation)) {
        Job job = { 0 };
        Error err = { 0 };
        Status s = store_job_take(queue->store, &job, &err);

        if (s == STATUS_OK)
            run_job(slot, &job);
        else if (s != STATUS_NOT_FOUND)
            log_write(LOG_ERROR, "cannot take a job: %s", error_message(&err));
        if (s != STATUS_OK)
            go_on = wait_for_work(queue, generation, s != STATUS_NOT_FOUND);
        job_clear(&job);
    }
    pthread_mutex_lock(&queue->lock);
    queue->running--;
    pthread_cond_broadcast(&queue->idle);
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}
