/*
 * The public face: everything here is a row read or a compare-and-set, with the live numbers of a
 * running job laid over.
 *
 * Two races are closed by order. A cancel writes the row first and looks for the slot after; a
 * worker registers its slot first and reads the row after: one of them sees the other. A worker
 * that finds nothing queued waits for the generation it saw *before* looking to change: what was
 * queued in between wakes it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/graph/roofline.h"
#include "core/train/trainer.h"
#include "server/codec/json.h"
#include "server/config/log.h"
#include "server/jobs/queue_private.h"

static void init_locks(Queue *queue)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&queue->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->wake, &attributes);
    pthread_cond_init(&queue->idle, &attributes);
    pthread_condattr_destroy(&attributes);
}

static Status start_workers(Queue *queue, Error *err)
{
    for (unsigned i = 0; i < queue->workers; i++) {
        Slot *slot = &queue->slot[i];

        slot->queue = queue;
        atomic_init(&slot->stop, STOP_NO);
        pthread_mutex_lock(&queue->lock);
        errno = pthread_create(&slot->thread, NULL, worker_main, slot);
        slot->started = errno == 0;
        queue->running += slot->started;
        pthread_mutex_unlock(&queue->lock);
        if (!slot->started)
            return error_errno(err, STATUS_INTERNAL, "cannot start worker %u", i + 1);
    }
    return STATUS_OK;
}

static uint64_t physical_memory(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

Status queue_new(const QueueOptions *options, Queue **ret, Error *err)
{
    Queue *queue;
    uint32_t requeued = 0, failed = 0;
    Status s;

    if (options->workers > QUEUE_WORKERS_MAX)
        return error_set(err, STATUS_INVALID, "at most %d workers", QUEUE_WORKERS_MAX);
    s = store_job_reconcile(options->store, &requeued, &failed, err);
    if (s != STATUS_OK)
        return s;
    if (requeued + failed > 0)
        log_write(LOG_WARNING,
                  "the last run ended without a drain: %u jobs go on, %u have failed too often",
                  requeued, failed);
    queue = calloc(1, sizeof *queue);
    if (queue == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate the queue");
    queue->store = options->store;
    queue->datasets = options->datasets;
    queue->kinds = options->kinds == NULL ? job_kinds : options->kinds;
    queue->build = options->build == NULL ? "" : options->build;
    queue->workers = options->workers;
    queue->memory = options->memory > 0 ? options->memory : physical_memory();
    init_locks(queue);
    s = start_workers(queue, err);
    if (s != STATUS_OK) {
        if (queue_drain(queue, NULL) == STATUS_OK)
            queue_free(queue);
        return s;
    }
    *ret = queue;
    return STATUS_OK;
}

void slot_stop(Slot *slot, int request)
{
    int now = atomic_load(&slot->stop);

    while (now < request && !atomic_compare_exchange_weak(&slot->stop, &now, request))
        ;
}

Status queue_drain(Queue *queue, Error *err)
{
    struct timespec until;
    bool late = false;
    unsigned left;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += QUEUE_DRAIN_MS / 1000;
    pthread_mutex_lock(&queue->lock);
    queue->draining = true;
    for (unsigned i = 0; i < queue->workers; i++)
        if (queue->slot[i].active)
            slot_stop(&queue->slot[i], STOP_DRAIN);
    pthread_cond_broadcast(&queue->wake);
    while (queue->running > 0 && !late)
        late = pthread_cond_timedwait(&queue->idle, &queue->lock, &until) == ETIMEDOUT;
    left = queue->running;
    pthread_mutex_unlock(&queue->lock);
    if (left > 0)
        return error_set(err, STATUS_BUSY, "%u jobs did not stop within %d s", left,
                         QUEUE_DRAIN_MS / 1000);
    for (unsigned i = 0; i < queue->workers; i++)
        if (queue->slot[i].started)
            pthread_join(queue->slot[i].thread, NULL);
    pthread_mutex_lock(&queue->lock);
    queue->workers = 0;
    pthread_mutex_unlock(&queue->lock);
    return STATUS_OK;
}

void queue_free(Queue *queue)
{
    if (queue == NULL)
        return;
    pthread_mutex_destroy(&queue->lock);
    pthread_cond_destroy(&queue->wake);
    pthread_cond_destroy(&queue->idle);
    free(queue);
}

bool queue_draining(Queue *queue)
{
    bool draining;

    pthread_mutex_lock(&queue->lock);
    draining = queue->draining;
    pthread_mutex_unlock(&queue->lock);
    return draining;
}

Store *queue_store(Queue *queue)
{
    return queue->store;
}

Datasets *queue_datasets(Queue *queue)
{
    return queue->datasets;
}

const JobKind *const *queue_kinds(Queue *queue)
{
    return queue->kinds;
}

uint64_t queue_timelapse_missed(const Queue *queue)
{
    return atomic_load(&queue->timelapse_missed);
}

uint64_t queue_memory(const Queue *queue)
{
    return queue->memory;
}

/* --- in --- */

Status queue_check(Queue *queue, JobSpec *spec, JobEstimate *ret, Error *err)
{
    Status s = spec->kind->check(queue->store, queue->datasets, spec, ret, err);

    if (s != STATUS_OK) {
        error_prefix_pointers(err, "/params");
        return s;
    }
    if (ret->memory_bytes > queue->memory)
        return error_at(err, STATUS_INVALID, "/params",
                        "the job needs %.3g GB of memory (%llu bytes), the limit is %.3g GB (%llu "
                        "bytes; --memory)",
                        (double)ret->memory_bytes / 1e9, (unsigned long long)ret->memory_bytes,
                        (double)queue->memory / 1e9, (unsigned long long)queue->memory);
    return STATUS_OK;
}

void job_row_clear(JobRow *row)
{
    for (size_t i = 0; i < sizeof row->text / sizeof *row->text; i++)
        free(row->text[i]);
    *row = (JobRow){ 0 };
}

/* The spec's tags as a JSON array's text. */
static char *tags_text(const JobSpec *spec)
{
    json_t *tags = json_array();
    char *text;

    for (uint32_t i = 0; i < spec->tags.count; i++)
        (void)json_array_append_new(tags, json_string(spec->tags.tag[i]));
    text = json_dumps(tags, JSON_WRITE_FLAGS);
    json_decref(tags);
    return text;
}

Status job_row_make(const JobSpec *spec, const JobEstimate *estimate, JobRow *ret, Error *err)
{
    json_t *params = job_spec_params_json(spec);
    JobRow row = { .text = { strdup(spec->name), tags_text(spec),
                             json_dumps(params, JSON_WRITE_FLAGS), strdup(spec->preset) } };

    json_decref(params);
    for (size_t i = 0; i < sizeof row.text / sizeof *row.text; i++)
        if (row.text[i] == NULL) {
            job_row_clear(&row);
            return error_set(err, STATUS_NO_MEMORY, "cannot allocate a job's row");
        }
    row.insert = (JobInsert){ .kind = spec->kind->name,
                              .name = row.text[0],
                              .tags = row.text[1],
                              .params = row.text[2],
                              .preset = row.text[3][0] == '\0' ? NULL : row.text[3],
                              .priority = (int32_t)spec->priority,
                              .seed = spec->seed,
                              .threads = (uint32_t)spec->threads.value,
                              .epochs = estimate->epochs,
                              .steps = estimate->steps };
    *ret = row;
    return STATUS_OK;
}

static Status insert(Queue *queue, const JobSpec *spec, const JobEstimate *estimate,
                     const AnswerRequest *answer, int64_t *ret_id, Error *err)
{
    JobRow row = { 0 };
    Status s = job_row_make(spec, estimate, &row, err);

    row.insert.answer = answer;
    if (s == STATUS_OK)
        s = store_job_insert(queue->store, &row.insert, ret_id, err);
    job_row_clear(&row);
    return s;
}

Status queue_examine(Queue *queue, const json_t *body, JobSpec **ret, JobEstimate *ret_estimate,
                     Error *err)
{
    JobSpec *spec = NULL;
    Status s = job_spec_parse(queue->kinds, body, &spec, err);

    if (s == STATUS_OK)
        s = queue_check(queue, spec, ret_estimate, err);
    if (s != STATUS_OK) {
        preset_blame(body, err);
        job_spec_free(spec);
        return s;
    }
    *ret = spec;
    return STATUS_OK;
}

/* What a spec needs, as a dry run answers it. */
static Status plan_of(Queue *queue, const JobSpec *spec, const JobEstimate *estimate, JobPlan *ret,
                      Error *err)
{
    JobPlan plan = { .estimate = *estimate, .params = job_spec_params_json(spec) };
    double pace;

    if (plan.params == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a job's parameters");
    pthread_mutex_lock(&queue->lock);
    pace = queue->pace * (double)spec->threads.value;
    pthread_mutex_unlock(&queue->lock);
    plan.seconds = pace > 0 && estimate->flops > 0 ? estimate->flops / pace : -1;
    *ret = plan;
    return STATUS_OK;
}

Status queue_dry_run(Queue *queue, const json_t *body, JobPlan *ret, Error *err)
{
    JobSpec *spec = NULL;
    JobEstimate estimate = { 0 };
    Status s = queue_examine(queue, body, &spec, &estimate, err);

    if (s == STATUS_OK)
        s = plan_of(queue, spec, &estimate, ret, err);
    job_spec_free(spec);
    return s;
}

/* What so many threads reach. */
static Status measure(unsigned threads, Roofline *ret, Error *err)
{
    const Kernels *kernels;
    Pool *pool = NULL;
    Status s = kernels_select(NULL, &kernels, err);

    if (s == STATUS_OK)
        s = pool_new(threads, &pool, err);
    if (s == STATUS_OK)
        s = roofline_measure(pool, kernels, ret, err);
    pool_free(pool);
    return s;
}

static Status print_spec(Queue *queue, const JobSpec *spec, char **ret, Error *err)
{
    Roofline limits;
    char *text = NULL;
    size_t size = 0;
    FILE *out;
    Status s;

    if (spec->kind->print == NULL)
        return error_at(err, STATUS_INVALID, "/kind", "jobs of kind \"%s\" have no plan to print",
                        spec->kind->name);
    s = measure((unsigned)spec->threads.value, &limits, err);
    if (s != STATUS_OK)
        return s;
    out = open_memstream(&text, &size);
    if (out == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a plan's table");
    s = spec->kind->print(queue->store, queue->datasets, spec, &limits, out, err);
    if (fclose(out) != 0 && s == STATUS_OK)
        s = error_set(err, STATUS_NO_MEMORY, "no memory for a plan's table");
    if (s == STATUS_OK)
        *ret = text;
    else
        free(text);
    return s;
}

Status queue_print(Queue *queue, const json_t *body, JobPlan *ret, char **ret_text, Error *err)
{
    JobSpec *spec = NULL;
    JobEstimate estimate = { 0 };
    char *text = NULL;
    Status s = queue_examine(queue, body, &spec, &estimate, err);

    if (s == STATUS_OK)
        s = print_spec(queue, spec, &text, err);
    if (s == STATUS_OK)
        s = plan_of(queue, spec, &estimate, ret, err);
    job_spec_free(spec);
    if (s == STATUS_OK)
        *ret_text = text;
    else
        free(text);
    return s;
}

void queue_wake(Queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->generation++;
    pthread_cond_broadcast(&queue->wake);
    pthread_mutex_unlock(&queue->lock);
}

Status queue_submit(Queue *queue, const json_t *body, const AnswerRequest *answer, Job *ret,
                    Error *err)
{
    JobSpec *spec = NULL;
    JobEstimate estimate = { 0 };
    int64_t id = 0;
    Status s = queue_examine(queue, body, &spec, &estimate, err);

    if (s == STATUS_OK)
        s = insert(queue, spec, &estimate, answer, &id, err);
    job_spec_free(spec);
    if (s != STATUS_OK)
        return s;
    queue_wake(queue);
    return queue_get(queue, id, ret, err);
}

void queue_stop_running(Queue *queue, int64_t id)
{
    pthread_mutex_lock(&queue->lock);
    for (unsigned i = 0; i < queue->workers; i++)
        if (queue->slot[i].active && queue->slot[i].job == id)
            slot_stop(&queue->slot[i], STOP_CANCEL);
    pthread_mutex_unlock(&queue->lock);
}

/* One try against the row as it is. */
static Status try_cancel(Queue *queue, int64_t id, Error *err)
{
    Job job = { 0 };
    JobChange change = { .desire_cancel = true };
    Status s = store_job_get(queue->store, id, &job, err);

    if (s != STATUS_OK)
        return s;
    change.state = job.state == JOB_QUEUED ? JOB_CANCELLED : JOB_STOPPING;
    if (job_state_final(job.state))
        s = error_set(err, STATUS_CONFLICT, "job %lld is over: it is %s", (long long)id,
                      job_state_names[job.state]);
    else if (job.state != JOB_STOPPING) /* else it was told already */
        s = store_job_change(queue->store, id, job.version, &change, NULL, err);
    job_clear(&job);
    return s;
}

Status queue_cancel(Queue *queue, int64_t id, Job *ret, Error *err)
{
    Error why = { 0 };
    Status s = STATUS_CONFLICT;

    /* The row may change between the look and the swap; a conflict that stays is the caller's. */
    for (int i = 0; i < 4 && s == STATUS_CONFLICT; i++) {
        why = (Error){ 0 };
        s = try_cancel(queue, id, &why);
    }
    if (s != STATUS_OK)
        return error_set(err, s, "%s", error_message(&why));
    queue_stop_running(queue, id);
    return queue_get(queue, id, ret, err);
}

/* --- out --- */

void latest_put(MetricValue *latest, uint32_t *count, const MetricValue *value)
{
    uint32_t i = 0;

    while (i < *count && strcmp(latest[i].key, value->key) < 0)
        i++;
    if (i < *count && strcmp(latest[i].key, value->key) == 0) {
        if (value->step >= latest[i].step)
            latest[i] = *value;
        return;
    }
    if (*count == JOB_LATEST_MAX)
        return;
    memmove(latest + i + 1, latest + i, (*count - i) * sizeof *latest);
    latest[i] = *value;
    ++*count;
}

/* What a slot knew before the row was read; the row may know more by now. */
static void lay_over(Job *job, const Slot *live)
{
    if (job->state != JOB_RUNNING && job->state != JOB_STOPPING)
        return;
    if (live->progress.steps > 0 && live->progress.step >= job->progress.step &&
        live->progress.epoch >= job->progress.epoch)
        job->progress = live->progress;
    for (uint32_t i = 0; i < live->latest_count; i++)
        latest_put(job->latest, &job->latest_count, &live->latest[i]);
}

/* Copies of the active slots, to be freed; NULL where there is none. */
static Slot *copy_slots(Queue *queue, size_t *ret_count)
{
    Slot *copy = NULL;

    *ret_count = 0;
    pthread_mutex_lock(&queue->lock);
    if (queue->workers > 0)
        copy = calloc(queue->workers, sizeof *copy);
    for (unsigned i = 0; copy != NULL && i < queue->workers; i++) {
        const Slot *slot = &queue->slot[i];

        if (!slot->active)
            continue;
        copy[*ret_count].job = slot->job;
        copy[*ret_count].progress = slot->progress;
        copy[*ret_count].latest_count = slot->latest_count;
        memcpy(copy[*ret_count].latest, slot->latest, sizeof slot->latest);
        ++*ret_count;
    }
    pthread_mutex_unlock(&queue->lock);
    return copy;
}

static void lay_all_over(Job *jobs, size_t count, const Slot *slots, size_t slot_count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < slot_count; j++)
            if (slots[j].job == jobs[i].id)
                lay_over(&jobs[i], &slots[j]);
}

Status queue_get(Queue *queue, int64_t id, Job *ret, Error *err)
{
    size_t count;
    Slot *slots = copy_slots(queue, &count);
    Status s = store_job_get(queue->store, id, ret, err);

    if (s == STATUS_OK)
        lay_all_over(ret, 1, slots, count);
    free(slots);
    return s;
}

Status queue_list(Queue *queue, const JobFilter *filter, JobList *ret, Error *err)
{
    size_t count;
    Slot *slots = copy_slots(queue, &count);
    Status s = store_job_list(queue->store, filter, ret, err);

    if (s == STATUS_OK)
        lay_all_over(ret->items, ret->count, slots, count);
    free(slots);
    return s;
}

Status queue_counts(Queue *queue, uint64_t ret[JOB_STATE_COUNT], Error *err)
{
    return store_job_counts(queue->store, ret, err);
}

Status queue_checkpoint(Queue *queue, int64_t id, const char *which, Checkpoint *ret, Error *err)
{
    size_t digits = strspn(which, "0123456789");
    CheckpointKey key = CHECKPOINT_KEY_EPOCH;
    Job job = { 0 };
    Status s;

    if (strcmp(which, "latest") == 0)
        key = CHECKPOINT_KEY_LATEST;
    else if (strcmp(which, "best") == 0)
        key = CHECKPOINT_KEY_BEST;
    else if (digits == 0 || digits > 9 || which[digits] != '\0')
        return error_at(err, STATUS_INVALID, "/epoch",
                        "a checkpoint is \"latest\", \"best\" or the number of an epoch");
    s = store_job_get(queue->store, id, &job, err);
    job_clear(&job);
    if (s != STATUS_OK)
        return s;
    return store_checkpoint_find(queue->store, id, key, (uint32_t)strtoul(which, NULL, 10), ret,
                                 err);
}
