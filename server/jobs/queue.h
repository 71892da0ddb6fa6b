/*
 * queue -- takes jobs in, runs them on worker threads, and says how they are.
 *
 * The rows are the queue; a condition variable only wakes the workers. A snapshot is the row with
 * the live progress of a running job laid over it. Any thread may call any of these; none of them
 * computes, all may wait for the disk.
 */
#pragma once

#include "server/jobs/datasets.h"
#include "server/jobs/spec.h"
#include "server/store/checkpoints.h"
#include "server/store/jobs.h"

typedef struct Queue Queue;

enum { QUEUE_WORKERS_MAX = 64, QUEUE_DRAIN_MS = 9000 };

typedef struct QueueOptions {
    Store *store;                /* borrowed until queue_free() */
    Datasets *datasets;          /* borrowed until queue_free() */
    const JobKind *const *kinds; /* NULL-terminated; NULL: job_kinds */
    unsigned workers;            /* 0..QUEUE_WORKERS_MAX; 0 runs nothing */
    uint64_t memory;             /* bytes that one job may plan; 0: the machine's */
    const char *build;           /* build id for the jobs' records; static */
} QueueOptions;

/* Reconciles what a crash left, then starts the workers. */
CHECKED Status queue_new(const QueueOptions *options, Queue **ret, Error *err);
/*
 * Asks running jobs to write a checkpoint, puts them back into the queue and stops the workers.
 * Waits at most QUEUE_DRAIN_MS; STATUS_BUSY: some job did not come to a stop (its row is reconciled
 * at the next start); then the process must exit without queue_free().
 */
CHECKED Status queue_drain(Queue *queue, Error *err);
/* Drained, or not started; NULL is fine. */
void queue_free(Queue *queue);

/*
 * Validates, estimates, inserts. STATUS_INVALID with pointers ("/params/dataset"), also where the
 * plan is larger than the memory ("/params", with both figures); nothing of it is allocated.
 * STATUS_BUSY: the data set is being read (datasets_watch()). `answer`: what is to be remembered
 * with the row (STATUS_CONFLICT: it is already), NULL: nothing.
 */
CHECKED Status queue_submit(Queue *queue, const json_t *body, const AnswerRequest *answer, Job *ret,
                            Error *err);

typedef struct JobPlan {
    JobEstimate estimate;
    double seconds; /* at the pace of the job that ended last; negative: none has */
    json_t *params; /* every default filled in; owned */
} JobPlan;

/* As queue_submit(), but nothing is queued. The caller ends ret->params. */
CHECKED Status queue_dry_run(Queue *queue, const json_t *body, JobPlan *ret, Error *err);
/*
 * As queue_dry_run(), and what a step of the job does, as a table of text with the times to expect
 * of so many threads: they are started for a moment and measured. `*ret_text` is to be freed.
 * STATUS_INVALID at "/kind": this one has no plan to print.
 */
CHECKED Status queue_print(Queue *queue, const json_t *body, JobPlan *ret, char **ret_text,
                           Error *err);
/* 202: a queued job is cancelled at once, a running one is told to stop. STATUS_NOT_FOUND;
 * STATUS_CONFLICT: it is over already. */
CHECKED Status queue_cancel(Queue *queue, int64_t id, Job *ret, Error *err);

CHECKED Status queue_get(Queue *queue, int64_t id, Job *ret, Error *err);
CHECKED Status queue_list(Queue *queue, const JobFilter *filter, JobList *ret, Error *err);
CHECKED Status queue_counts(Queue *queue, uint64_t ret[JOB_STATE_COUNT], Error *err);

/*
 * A checkpoint of a job that may be handed out: `which` is "latest", "best" or an epoch's number.
 * STATUS_INVALID: none of these. STATUS_NOT_FOUND: no such job or checkpoint.
 */
CHECKED Status queue_checkpoint(Queue *queue, int64_t id, const char *which, Checkpoint *ret,
                                Error *err);
/* True once queue_drain() was called. */
bool queue_draining(Queue *queue);
Store *queue_store(Queue *queue);
Datasets *queue_datasets(Queue *queue);
const JobKind *const *queue_kinds(Queue *queue);
/* Bytes that one job may plan. */
uint64_t queue_memory(const Queue *queue);
/* Epochs of which a time-lapse could not be made. */
uint64_t queue_timelapse_missed(const Queue *queue);
