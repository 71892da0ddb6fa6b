/*
 * spec -- a job as it was sent: the envelope (kind, name, tags, priority, seed, threads) and the
 * kind's params. Any thread.
 */
#pragma once

#include "server/jobs/kind.h"
#include "server/jobs/presets.h"

enum { JOB_NAME_BYTES = 129, JOB_KIND_BYTES = 32, JOB_PRIORITY_MAX = 1000 };

struct JobSpec {
    const JobKind *kind;
    char kind_name[JOB_KIND_BYTES];
    char preset[PRESET_NAME_BYTES]; /* "": none */
    char name[JOB_NAME_BYTES];
    Tags tags;
    double priority; /* whole; the highest runs first */
    uint64_t seed;
    OptionalUint threads; /* always set after job_spec_parse() */
    void *params;         /* [kind->params_size]; owned */
};

/* The envelope's keys but `params`, for GET /api/v1/kinds. */
extern const Field job_fields[];
extern const uint32_t job_field_count;

/*
 * With the preset it names (presets.h) filled in. STATUS_INVALID names every bad field by pointer
 * ("/kind", "/params/optimizer/lr"). `kinds` is NULL-terminated. The caller ends *ret with
 * job_spec_free().
 */
CHECKED Status job_spec_parse(const JobKind *const *kinds, const json_t *body, JobSpec **ret,
                              Error *err);
void job_spec_free(JobSpec *spec); /* NULL is fine */
/* The params with every default filled in; NULL: out of memory. */
json_t *job_spec_params_json(const JobSpec *spec);
