/*
 * run -- what a job kind may do while it runs: begin, report, write checkpoints, leave a result. On
 * the worker's thread only.
 */
#pragma once

#include <stdatomic.h>

#include "core/base/parallel.h"
#include "server/jobs/datasets.h"
#include "server/jobs/spec.h"
#include "server/store/checkpoints.h"

typedef struct Slot Slot;
typedef struct Profile Profile;     /* core/graph/profile.h */
typedef struct Timelapse Timelapse; /* server/jobs/timelapse.h */

struct JobRun {
    int64_t id;
    const JobSpec *spec; /* completed by the kind's `check` when it was submitted */
    Store *store;
    Datasets *datasets;
    Pool *pool;             /* of the job's own threads */
    const atomic_int *stop; /* a StopRequest (core/train/trainer.h): poll it, give it to the core */
    /* The worker's, behind the functions below. */
    Slot *slot;
    const char *build;
    json_t *result;
    Timelapse *timelapse; /* NULL: none */
    char early[160];      /* why it stopped early; "": it did not */
    bool begun, profiled;
    uint64_t saved_step; /* of the newest checkpoint at an epoch's end */
};

/* A file operation of the kind: load or write a checkpoint. */
typedef Status (*RunFile)(void *context, const char *path, Error *err);

/*
 * Once, before any work: finds the newest checkpoint that is whole and that `restore` takes (NULL:
 * the kind has none), and makes the job running. What is corrupt is set aside and said in the job's
 * `reason`. `at` holds epochs and steps. *ret_step is the step to go on from, 0 for the start.
 * STATUS_STOPPED: it was cancelled meanwhile.
 */
CHECKED Status run_begin(JobRun *run, const JobProgress *at, RunFile restore, void *context,
                         uint64_t *ret_step, Error *err);

/* Steps done, and numbers of it. Never waits. */
void run_report(JobRun *run, uint64_t step, const MetricValue *values, size_t count);

typedef struct RunCheckpoint {
    uint64_t step;
    uint32_t epoch; /* epochs done, this one included; unused where partial */
    bool partial;   /* in the middle of an epoch (drain) */
    double score;   /* what "best" goes by; NaN: none */
    bool pinned;
    const MetricValue *values; /* numbers that belong to it, visible from then on */
    size_t count;
} RunCheckpoint;

/* `save` writes the file durably; then the row; then come the maps of the epoch's time-lapse, where
 * the job has one. Nothing is done where this step ended an epoch and has its checkpoint already.
 */
CHECKED Status run_checkpoint(JobRun *run, const RunCheckpoint *checkpoint, RunFile save,
                              void *context, Error *err);
/* The same in the middle of an epoch. */
CHECKED Status run_drain(JobRun *run, uint64_t step, RunFile save, void *context, Error *err);

/* Once the profile is complete, writes it down for GET /jobs/{id}/profile; to be called after each
 * step. Where that fails, the job goes on. `profile` may be NULL. */
void run_profile(JobRun *run, const Profile *profile);
/* The memory that takes, of a profile of so many steps. */
uint64_t run_profile_bytes(uint32_t steps);

/* What the job leaves in its row; takes `result` over. */
void run_result(JobRun *run, json_t *result);

/* The job has done what it will do, sooner than it was to: it ends as `early_stopped`. */
void run_stopped_early(JobRun *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The family of kernels that jobs compute with (--kernels, or the best). Any thread. */
const char *run_kernels(void);

/* { key, step, value } from a format like "%s/loss". */
MetricValue run_value(const char *prefix, const char *name, uint64_t step, double value);
