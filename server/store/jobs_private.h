/* jobs_private -- reading a job's row inside a transaction: jobs.c for job_states.c. */
#pragma once

#include <sqlite3.h>

#include "server/store/jobs.h"

/* STATUS_NOT_FOUND. */
CHECKED Status job_read(sqlite3 *db, int64_t id, Job *ret, Error *err);
/* A state column of a statement whose first column is the job's id. */
CHECKED Status job_read_state(sqlite3_stmt *stmt, int column, JobState *ret, Error *err);
/* Inserts a queued job, a cell of row `row` of `sweep` (0: of none); its answer is the caller's
 * business. Inside a writing transaction. */
CHECKED Status job_insert(sqlite3 *db, const JobInsert *job, int64_t sweep, uint32_t row,
                          int64_t *ret_id, Error *err);
/* The progress columns; inside a writing transaction. */
CHECKED Status job_write_progress(sqlite3 *db, int64_t id, const JobProgress *p, Error *err);
