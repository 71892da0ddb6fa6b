/*
 * sweeps -- tables of jobs: a row is a set of parameters, a column a seed, a cell an ordinary job.
 */
#pragma once

#include <stdbool.h>

#include "server/store/jobs.h"

enum { SWEEP_LIST_MAX = 200 };

/* Which of a job's values stands in its cell: the newest, or that of its best checkpoint. */
typedef enum SweepAt { SWEEP_LAST, SWEEP_BEST, SWEEP_AT_COUNT } SweepAt;
extern const char *const sweep_at_names[SWEEP_AT_COUNT + 1];

/* What a new sweep is made of; borrowed for the call. */
typedef struct SweepInsert {
    const char *name, *preset; /* preset NULL: none */
    const char *metric;
    SweepAt at;
    const char *seeds; /* JSON array */
    uint32_t rows;
    const char *const *labels;   /* [rows] */
    const char *const *settings; /* [rows] JSON objects: pointer -> value */
    size_t cells;
    const JobInsert *cell;       /* [cells]; their `answer` is ignored */
    const uint32_t *cell_row;    /* [cells] */
    const AnswerRequest *answer; /* NULL: nobody wants it remembered */
} SweepInsert;

/* Writes, all or nothing. */
CHECKED Status store_sweep_insert(Store *store, const SweepInsert *sweep, int64_t *ret_id,
                                  Error *err);

typedef struct SweepRow {
    char *label, *settings; /* owned */
} SweepRow;

typedef struct SweepCell {
    int64_t job;
    uint32_t row;
    uint64_t seed;
    JobState state;
    bool has_value; /* it is over, has done its work, and has reported the metric */
    double value;
} SweepCell;

typedef struct Sweep {
    int64_t id;
    char *name, *preset, *metric, *seeds; /* owned; preset NULL: none */
    SweepAt at;
    bool cancelled; /* somebody asked for it */
    int64_t created_ms;
    uint64_t count[JOB_STATE_COUNT]; /* cells in each state */
    SweepRow *row;                   /* owned; NULL in lists */
    uint32_t rows;
    SweepCell *cell; /* by row, then oldest first; owned; NULL in lists */
    size_t cells;    /* of `cell` */
} Sweep;

void sweep_clear(Sweep *sweep); /* a zeroed one is fine */

/* Reads: with rows and cells. STATUS_NOT_FOUND. */
CHECKED Status store_sweep_get(Store *store, int64_t id, Sweep *ret, Error *err);

typedef struct SweepList {
    Sweep *items; /* newest first, without rows and cells */
    size_t count;
    int64_t next; /* `before` of the next page; 0: this is the last */
} SweepList;

void sweep_list_clear(SweepList *list);
/* Reads. before: only ids below; 0: from the newest. limit: 1..SWEEP_LIST_MAX. */
CHECKED Status store_sweep_list(Store *store, int64_t before, uint32_t limit, SweepList *ret,
                                Error *err);

/*
 * Writes: what is queued is cancelled, what runs is to stop; calls running(context, job) for each
 * of those once that is durable. STATUS_NOT_FOUND; STATUS_CONFLICT: all its cells are over.
 */
CHECKED Status store_sweep_cancel(Store *store, int64_t id,
                                  void (*running)(void *context, int64_t job), void *context,
                                  Error *err);
