/*
 * kind -- the table of job kinds: one file `job_x.c` and one row in meson.build each.
 *
 * A kind is what a job does. Its `fields` say what `params` may hold (validation, GET /api/v1/kinds
 * and the dashboard's form come from them); `check` does at submission what needs more than one
 * field, `run` does the work on a worker thread.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "server/codec/fields.h"

typedef struct Datasets Datasets;
typedef struct Roofline Roofline; /* core/graph/roofline.h */
typedef struct Store Store;
typedef struct JobRun JobRun;
typedef struct JobSpec JobSpec;

/* What a job will need, known before it starts. */
typedef struct JobEstimate {
    uint64_t memory_bytes;
    double flops; /* of the whole job; 0: not known */
    uint64_t steps;
    uint32_t epochs;
} JobEstimate;

typedef struct JobKind {
    const char *name, *summary;
    const Field *fields;
    uint32_t field_count;
    size_t
        params_size; /* of the plain struct that `fields` fill; it is copied and freed as bytes */
    const char *defaults; /* a JSON object that params are laid over: where this kind's defaults are
                             not those of the tables; NULL: nowhere */
    /*
     * Completes the parsed params (defaults that depend on the data set or on another job), checks
     * what one field alone cannot show, and estimates. STATUS_INVALID and friends, with pointers
     * below the params ("/dataset"). Any thread.
     */
    Status (*check)(Store *store, Datasets *datasets, JobSpec *spec, JobEstimate *ret, Error *err);
    /* Works until done, STATUS_STOPPED (asked to), or failed (run.h). On a worker thread. */
    Status (*run)(JobRun *run, Error *err);
    /* Prints what a step of a job that `check` completed does (plan_print()). NULL: nothing to
     * print. Any thread. */
    Status (*print)(Store *store, Datasets *datasets, const JobSpec *spec, const Roofline *limits,
                    FILE *out, Error *err);
} JobKind;

extern const JobKind *const job_kinds[]; /* NULL-terminated */

/* Its `defaults`, to be freed; NULL: it has none. */
json_t *job_kind_defaults(const JobKind *kind);
