/*
 * jobs -- the rows that are the queue.
 *
 *     queued -> starting -> running -> stopping -> succeeded | early_stopped | failed | cancelled
 *       ^                      |           |
 *       |                      +-----------+--> queued (drained)
 *       +---- interrupted <----+ (crash: found at the next start)
 *
 * `desired` is what the user wants: running, or cancelled. Every change of state is a
 * compare-and-set on (id, version) and raises the version. What a Job's strings hold is owned by
 * the Job.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/store/answers.h"
#include "server/store/metrics.h"
#include "server/store/store.h"

typedef enum JobState {
    JOB_QUEUED,
    JOB_STARTING,
    JOB_RUNNING,
    JOB_STOPPING,
    JOB_INTERRUPTED,
    JOB_SUCCEEDED,
    JOB_FAILED,
    JOB_CANCELLED,
    JOB_EARLY_STOPPED,
    JOB_STATE_COUNT
} JobState;

extern const char *const job_state_names[JOB_STATE_COUNT + 1];
/* The state of that name, or -1. */
int job_state_find(const char *name);
/* succeeded, early_stopped, failed, cancelled: nothing will happen any more. */
bool job_state_final(JobState state);
/* succeeded or early_stopped: it has done its work, and what it left is whole. */
bool job_state_whole(JobState state);

typedef struct JobProgress {
    uint32_t epoch, epochs; /* `epoch` counts epochs whose checkpoint is durable */
    uint64_t step, steps;
    double eta_seconds; /* negative: not known */
} JobProgress;

enum { JOB_LATEST_MAX = 48, JOB_ATTEMPTS_MAX = 3 };

typedef struct Job {
    int64_t id;
    char *kind, *name;
    char *tags;       /* JSON array of strings */
    char *params;     /* JSON object, every default filled in */
    int32_t priority; /* the highest runs first, then the oldest */
    uint64_t seed;
    uint32_t threads;
    JobState state, desired;
    char *reason;     /* why it is in this state, or what was worked around; NULL: nothing to say */
    uint32_t attempt; /* 1-based once started */
    uint32_t stalls;  /* attempts in a row, this one included, that left no new checkpoint (drained
                         ones aside) */
    int64_t version;
    int64_t created_ms, started_ms,
        finished_ms;       /* 0: not yet; started_ms is that of the first attempt */
    uint64_t resumed_step; /* the step of the checkpoint that this attempt started from; 0: from the
                              start */
    JobProgress progress;
    uint32_t latest_count;
    MetricValue latest[JOB_LATEST_MAX]; /* the newest value of each metric, sorted by key */
    char *result, *record;              /* JSON objects; NULL: none yet */
    char *preset;                       /* that it was made from; NULL: none */
    int64_t sweep;                      /* that it is a cell of (sweeps.h); 0: of none */
} Job;

/* Frees the strings; a zeroed or cleared Job is fine. */
void job_clear(Job *job);

/* What a new row is made of; borrowed for the call. */
typedef struct JobInsert {
    const char *kind, *name, *tags, *params;
    const char *preset; /* NULL: none */
    int32_t priority;
    uint64_t seed;
    uint32_t threads;
    uint32_t epochs; /* as estimated */
    uint64_t steps;
    const AnswerRequest *answer; /* what is to be remembered of a Job's making; NULL: nothing */
} JobInsert;

/* Writes: a queued job. */
CHECKED Status store_job_insert(Store *store, const JobInsert *job, int64_t *ret_id, Error *err);
/* Reads. STATUS_NOT_FOUND. */
CHECKED Status store_job_get(Store *store, int64_t id, Job *ret, Error *err);

typedef struct JobFilter {
    uint32_t states;  /* bit 1 << JobState; 0: any */
    const char *kind; /* NULL: any */
    int64_t sweep;    /* 0: any job, of a sweep or not */
    int64_t before;   /* only ids below; 0: from the newest */
    uint32_t limit;   /* 1..JOB_LIST_MAX */
} JobFilter;

enum { JOB_LIST_MAX = 200 };

typedef struct JobList {
    Job *items; /* newest first */
    size_t count;
    int64_t next; /* `before` of the next page; 0: this is the last */
} JobList;

void job_list_clear(JobList *list);
/* Reads. */
CHECKED Status store_job_list(Store *store, const JobFilter *filter, JobList *ret, Error *err);
/* Reads: how many jobs there are in each state. */
CHECKED Status store_job_counts(Store *store, uint64_t ret[JOB_STATE_COUNT], Error *err);

/* Writes: takes the next queued job (queued -> starting, attempt + 1). STATUS_NOT_FOUND: none is
 * queued. */
CHECKED Status store_job_take(Store *store, Job *ret, Error *err);

/* What goes with a change of state; NULL and 0 leave a column as it is. */
typedef struct JobChange {
    JobState state;
    const char *reason; /* "" clears it */
    const char *result, *record;
    bool desire_cancel;
    const uint64_t *resumed_step;
    const JobProgress *progress;
} JobChange;

/*
 * Writes: compare-and-set. STATUS_CONFLICT where the row's version is no longer `version` (another
 * won) or the states above know no such step. `ret_version` may be NULL.
 */
CHECKED Status store_job_change(Store *store, int64_t id, int64_t version, const JobChange *change,
                                int64_t *ret_version, Error *err);

/*
 * Writes, at start: jobs that another boot left starting, running or stopping become interrupted,
 * then queued again, or cancelled where that was wanted, or failed after JOB_ATTEMPTS_MAX attempts
 * in a row without a new checkpoint.
 */
CHECKED Status store_job_reconcile(Store *store, uint32_t *ret_requeued, uint32_t *ret_failed,
                                   Error *err);
