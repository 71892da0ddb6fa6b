/* queue_private -- what queue.c (the public face) and worker.c (the threads) share. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "server/jobs/queue.h"

/* A worker's place, and what is known of the job that runs there. */
typedef struct Slot {
    Queue *queue;
    pthread_t thread;
    bool started;
    atomic_int stop; /* a StopRequest; read by the compute threads */
    bool active;     /* guarded by queue->lock, as all below */
    int64_t job;
    uint64_t resumed_step;
    double begun_seconds; /* monotonic, of this attempt */
    JobProgress progress;
    uint32_t latest_count;
    MetricValue latest[JOB_LATEST_MAX]; /* sorted by key */
} Slot;

struct Queue {
    Store *store;
    Datasets *datasets;
    const JobKind *const *kinds;
    const char *build;
    unsigned workers;
    uint64_t memory;
    Slot slot[QUEUE_WORKERS_MAX];
    pthread_mutex_t lock;
    pthread_cond_t wake; /* of lock: something was queued, or draining */
    pthread_cond_t idle; /* of lock: a worker ended */
    uint64_t generation; /* guarded by lock: grows when something is queued */
    unsigned running;    /* guarded by lock: threads that have not ended */
    bool draining;       /* guarded by lock */
    double pace;         /* guarded by lock: FLOP/s a thread of the job that ended last; 0: none */
    atomic_uint_fast64_t timelapse_missed; /* epochs whose maps could not be made */
};

/* The kind's check, and the memory against the limit: at submission, and again before it runs. */
CHECKED Status queue_check(Queue *queue, JobSpec *spec, JobEstimate *ret, Error *err);
/* A job that may be queued, and what it will need: parsed, laid over its preset, checked. The
 * caller ends *ret. */
CHECKED Status queue_examine(Queue *queue, const json_t *body, JobSpec **ret,
                             JobEstimate *ret_estimate, Error *err);
/* What a new row is made of, and owns. */
typedef struct JobRow {
    JobInsert insert;
    char *text[4];
} JobRow;

CHECKED Status job_row_make(const JobSpec *spec, const JobEstimate *estimate, JobRow *ret,
                            Error *err);
void job_row_clear(JobRow *row); /* a zeroed one is fine */
/* Something was queued. */
void queue_wake(Queue *queue);
/* Where that job runs, it is told to stop; its row says so already. */
void queue_stop_running(Queue *queue, int64_t id);
/* A worker thread's main. */
void *worker_main(void *slot);
/* Of the monotonic clock. */
double monotonic_seconds(void);
/* Raises the slot's StopRequest; a cancel outranks a drain. */
void slot_stop(Slot *slot, int request);
/* Puts a value among the sorted ones, replacing an older one of its key. */
void latest_put(MetricValue *latest, uint32_t *count, const MetricValue *value);
