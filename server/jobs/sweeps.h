/*
 * sweeps -- tables of jobs from one request (sweep_spec.h says what that holds). Cells are ordinary
 * jobs: they are queued, run, fail and are cancelled one by one. Any thread.
 */
#pragma once

#include <jansson.h>

#include "server/jobs/queue.h"
#include "server/store/sweeps.h"

/*
 * Every cell is validated before any is queued, and all are queued in one transaction.
 * STATUS_INVALID names the field of the request that is at fault. STATUS_BUSY: the data set is
 * being read (datasets_watch()). `answer`: what is to be remembered of it (its row is a Sweep),
 * NULL: nothing.
 */
CHECKED Status sweep_submit(Queue *queue, const json_t *body, const AnswerRequest *answer,
                            int64_t *ret_id, Error *err);
/* 202: what is queued is cancelled at once, what runs is told to stop. STATUS_NOT_FOUND;
 * STATUS_CONFLICT: all its cells are over. */
CHECKED Status sweep_cancel(Queue *queue, int64_t id, Error *err);
