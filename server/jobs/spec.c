/*
 * The envelope is one field table and the params are another, the kind's own; both are read before
 * anything is refused, so that every bad field is named in one answer.
 */
#include "server/jobs/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/parallel.h"
#include "server/codec/json.h"

const Field job_fields[] = {
    FIELD_STRING_ROW(JobSpec, kind_name, "kind", FIELD_REQUIRED, NULL,
                     "what the job does: a row of /api/v1/kinds"),
    FIELD_STRING_ROW(JobSpec, preset, "preset", FIELD_NULLABLE, NULL,
                     "a row of /api/v1/presets that this job is laid over"),
    FIELD_STRING_ROW(JobSpec, name, "name", 0, "", "a label"),
    FIELD_TAGS_ROW(JobSpec, tags, "tags", "labels to find it by"),
    FIELD_NUMBER_ROW(JobSpec, priority, "priority", PARAM_INT, STORE_DOUBLE, 0, -JOB_PRIORITY_MAX,
                     JOB_PRIORITY_MAX, "the highest runs first, then the oldest"),
    FIELD_U64_ROW(JobSpec, seed, "seed", 0, 0, 9007199254740991.0,
                  "the same seed gives the same numbers"),
    FIELD_UINT_ROW(JobSpec, threads, "threads", 1, POOL_THREADS_MAX,
                   "compute threads; null: one for each core"),
};
const uint32_t job_field_count = sizeof job_fields / sizeof *job_fields;

static void error_merge(Error *into, const Error *from, const char *prefix)
{
    for (uint32_t i = 0; i < from->details; i++) {
        char pointer[2 * ERROR_POINTER_MAX];

        snprintf(pointer, sizeof pointer, "%s%s", prefix, from->detail[i].pointer);
        (void)error_add(into, from->status, pointer, "%s", from->detail[i].message);
    }
}

static void name_kinds(const JobKind *const *kinds, char *ret, size_t size)
{
    size_t used = 0;

    ret[0] = '\0';
    for (; *kinds != NULL && used < size; kinds++)
        used += (size_t)snprintf(ret + used, size - used, "%s%s", used == 0 ? "" : ", ",
                                 (*kinds)->name);
}

static const JobKind *find_kind(const JobKind *const *kinds, const char *name, Error *err)
{
    char names[160];

    for (const JobKind *const *k = kinds; *k != NULL; k++)
        if (strcmp((*k)->name, name) == 0)
            return *k;
    name_kinds(kinds, names, sizeof names);
    (void)error_add(err, STATUS_INVALID, "/kind", "there is no kind \"%s\"; known are: %s", name,
                    names);
    return NULL;
}

/* The envelope without `params`, which another table reads. */
static Status parse_envelope(const json_t *body, JobSpec *spec, Error *err)
{
    json_t *envelope = json_copy((json_t *)body);
    Status s;

    if (envelope == NULL)
        return error_add(err, STATUS_NO_MEMORY, "", "cannot allocate a job");
    json_object_del(envelope, "params");
    s = fields_parse(job_fields, job_field_count, envelope, spec, err);
    json_decref(envelope);
    if (!spec->threads.set)
        spec->threads = (OptionalUint){ true, pool_default_threads() };
    return s;
}

/* The params laid over what the kind has of its own. */
static Status with_defaults(const JobKind *kind, const json_t *params, json_t **ret, Error *err)
{
    json_t *whole = kind->defaults == NULL ? json_object() : job_kind_defaults(kind);

    if (whole == NULL || !json_lay_over(whole, params)) {
        json_decref(whole);
        return error_add(err, STATUS_NO_MEMORY, "", "cannot allocate a job");
    }
    *ret = whole;
    return STATUS_OK;
}

static Status parse_params(const json_t *params, JobSpec *spec, Error *err)
{
    json_t *whole = NULL;
    Error below = { 0 };
    Status s;

    if (params != NULL && !json_is_object(params))
        return error_add(err, STATUS_INVALID, "/params", "must be an object");
    s = with_defaults(spec->kind, params, &whole, err);
    if (s != STATUS_OK)
        return s;
    spec->params = calloc(1, spec->kind->params_size);
    if (spec->params == NULL)
        s = error_add(&below, STATUS_NO_MEMORY, "", "cannot allocate a job");
    else
        s = fields_parse(spec->kind->fields, spec->kind->field_count, whole, spec->params, &below);
    json_decref(whole);
    error_merge(err, &below, "/params");
    return s;
}

/* A job with its preset, or without one. */
static Status parse_whole(const JobKind *const *kinds, const json_t *body, JobSpec **ret,
                          Error *err)
{
    JobSpec *spec = calloc(1, sizeof *spec);
    Error own = { 0 };
    const json_t *kind;

    if (spec == NULL)
        return error_add(err, STATUS_NO_MEMORY, "", "cannot allocate a job");
    (void)parse_envelope(body, spec, &own);
    kind = json_object_get(body, "kind");
    if (json_is_string(kind))
        spec->kind = find_kind(kinds, json_string_value(kind), &own);
    if (spec->kind != NULL)
        (void)parse_params(json_object_get(body, "params"), spec, &own);
    if (own.status != STATUS_OK) {
        job_spec_free(spec);
        error_merge(err, &own, "");
        return own.status;
    }
    *ret = spec;
    return STATUS_OK;
}

Status job_spec_parse(const JobKind *const *kinds, const json_t *body, JobSpec **ret, Error *err)
{
    json_t *whole = NULL;
    Status s;

    if (!json_is_object(body))
        return error_add(err, STATUS_INVALID, "", "a job is a JSON object");
    s = preset_apply(body, &whole, err);
    if (s == STATUS_OK)
        s = parse_whole(kinds, whole, ret, err);
    json_decref(whole);
    return s;
}

void job_spec_free(JobSpec *spec)
{
    if (spec == NULL)
        return;
    free(spec->params);
    free(spec);
}

json_t *job_spec_params_json(const JobSpec *spec)
{
    return fields_json(spec->kind->fields, spec->kind->field_count, spec->params);
}
