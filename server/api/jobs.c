/* Jobs: list, submit, look at, cancel. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/submit.h"
#include "server/codec/json.h"
#include "server/codec/limits.h"

static json_t *progress_json(const JobProgress *p)
{
    return json_pack("{sIsIsIsIso}", "epoch", (json_int_t)p->epoch, "epochs", (json_int_t)p->epochs,
                     "step", (json_int_t)p->step, "steps", (json_int_t)p->steps, "eta_seconds",
                     p->eta_seconds < 0 ? json_null() : json_number(p->eta_seconds));
}

static json_t *latest_json(const Job *job)
{
    json_t *out = json_object();

    for (uint32_t i = 0; i < job->latest_count; i++)
        (void)json_object_set_new(out, job->latest[i].key, json_number(job->latest[i].value));
    return out;
}

static json_t *links_json(int64_t id)
{
    static const char *const names[] = { "metrics", "checkpoints", "layers", "cancel" };
    char link[64];
    json_t *out;

    snprintf(link, sizeof link, "/api/v1/jobs/%lld", (long long)id);
    out = json_pack("{ss}", "self", link);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(link, sizeof link, "/api/v1/jobs/%lld/%s", (long long)id, names[i]);
        (void)json_object_set_new(out, names[i], json_string(link));
    }
    return out;
}

static json_t *job_json(const Job *job)
{
    return json_pack(
        "{sI ss ss? so ss so si sI sI ss ss so sI sI so so so sI so so so so so so}", "id",
        (json_int_t)job->id, "kind", job->kind, "preset", job->preset, "sweep",
        job->sweep != 0 ? json_integer(job->sweep) : json_null(), "name",
        job->name != NULL ? job->name : "", "tags", api_stored_json(job->tags), "priority",
        (int)job->priority, "seed", (json_int_t)job->seed, "threads", (json_int_t)job->threads,
        "state", job_state_names[job->state], "desired_state", job_state_names[job->desired],
        "reason", job->reason != NULL ? json_text(job->reason) : json_null(), "attempt",
        (json_int_t)job->attempt, "version", (json_int_t)job->version, "created_at",
        json_time_ms(job->created_ms), "started_at", json_time_ms(job->started_ms), "finished_at",
        json_time_ms(job->finished_ms), "resumed_step", (json_int_t)job->resumed_step, "progress",
        progress_json(&job->progress), "latest", latest_json(job), "params",
        api_stored_json(job->params), "result", api_stored_json(job->result), "record",
        api_stored_json(job->record), "links", links_json(job->id));
}

typedef struct ListQuery {
    char state[96], kind[JOB_KIND_BYTES], cursor[32];
    uint64_t sweep;
    uint32_t limit;
} ListQuery;

static const Field list_fields[] = {
    FIELD_STRING_ROW(ListQuery, state, "state", 0, "", "states, separated by commas"),
    FIELD_STRING_ROW(ListQuery, kind, "kind", 0, "", "one kind of job"),
    FIELD_U64_ROW(ListQuery, sweep, "sweep", 0, 1, 9007199254740991.0, "cells of one sweep"),
    FIELD_STRING_ROW(ListQuery, cursor, "cursor", 0, "", "`next` of the page before"),
    FIELD_U32_ROW(ListQuery, limit, "limit", LIMIT_PAGE_DEFAULT, 1, LIMIT_PAGE_ITEMS,
                  "items of a page"),
};

/* "running,queued" -> bits. */
static Status parse_states(char *text, uint32_t *ret, Error *err)
{
    uint32_t bits = 0;
    char *next = text, *name;

    while ((name = strsep(&next, ",")) != NULL) {
        int state = job_state_find(name);

        if (state >= 0)
            bits |= 1u << state;
        else if (*name != '\0')
            return error_at(err, STATUS_INVALID, "/state",
                            "\"%.40s\" is not a state; a job is one of: queued, starting, "
                            "running, stopping, interrupted, succeeded, failed, cancelled, "
                            "early_stopped",
                            name);
    }
    *ret = bits;
    return STATUS_OK;
}

static Status list_response(Response *ret, const JobList *list, const ListQuery *query,
                            const char *states, Error *err)
{
    json_t *items = json_array();
    char filter[192], sweep[40] = "";

    for (size_t i = 0; i < list->count; i++)
        if (json_array_append_new(items, job_json(&list->items[i])) != 0) {
            json_decref(items);
            return error_set(err, STATUS_NO_MEMORY, "no memory for the list");
        }
    if (query->sweep != 0)
        snprintf(sweep, sizeof sweep, "&sweep=%llu", (unsigned long long)query->sweep);
    snprintf(filter, sizeof filter, "%s%s%s%s%s", *states != '\0' ? "&state=" : "", states,
             *query->kind != '\0' ? "&kind=" : "", query->kind, sweep);
    return api_page(ret, items, list->next, "/api/v1/jobs", query->limit, filter, err);
}

/* GET /api/v1/jobs -- newest first. */
Status api_job_list(Api *api, const Request *req, Response *ret, Error *err)
{
    JobFilter filter = { 0 };
    JobList list = { 0 };
    ListQuery query;
    char states[sizeof query.state];
    Status s = api_query(req, list_fields, sizeof list_fields / sizeof *list_fields, &query, err);

    memcpy(states, query.state, sizeof states);
    if (s == STATUS_OK)
        s = parse_states(query.state, &filter.states, err);
    if (s == STATUS_OK)
        s = api_cursor(query.cursor, &filter.before, err);
    if (s != STATUS_OK)
        return s;
    filter.limit = query.limit;
    filter.kind = query.kind[0] != '\0' ? query.kind : NULL;
    filter.sweep = (int64_t)query.sweep;
    s = queue_list(api->queue, &filter, &list, err);
    if (s != STATUS_OK)
        return s;
    s = list_response(ret, &list, &query, states, err);
    job_list_clear(&list);
    return s;
}

static char *job_answer(const void *row)
{
    json_t *json = job_json(row);
    char *text = json_dumps(json, JSON_WRITE_FLAGS);

    json_decref(json);
    return text;
}

static Status submit(const Submit *what, Response *ret, Error *err)
{
    AnswerRequest answer;
    Job job = { 0 };
    Status s = queue_submit(what->api->queue, what->body, submit_answer(what, job_answer, &answer),
                            &job, err);

    if (s != STATUS_OK)
        return s;
    if (what->key[0] != '\0') {
        s = submit_replay(what, ret, err);
    } else {
        response_header(ret, "Location", "/api/v1/jobs/%lld", (long long)job.id);
        s = response_json(ret, 201, job_json(&job), err);
    }
    job_clear(&job);
    return s;
}

/* What it would need, and the table of its plan or NULL; takes plan->params. */
static Status dry_run_response(const Api *api, const JobPlan *plan, const char *text, Response *ret,
                               Error *err)
{
    return response_json(
        ret, 200,
        json_pack("{sI sI so sI sI so so so}", "memory_bytes",
                  (json_int_t)plan->estimate.memory_bytes, "memory_limit_bytes",
                  (json_int_t)queue_memory(api->queue), "flops", json_number(plan->estimate.flops),
                  "steps", (json_int_t)plan->estimate.steps, "epochs",
                  (json_int_t)plan->estimate.epochs, "estimated_seconds",
                  plan->seconds < 0 ? json_null() : json_number(plan->seconds), "params",
                  plan->params, "plan", text != NULL ? json_text(text) : json_null()),
        err);
}

static Status dry_run(const Submit *what, Response *ret, Error *err)
{
    JobPlan plan;
    Status s = queue_dry_run(what->api->queue, what->body, &plan, err);

    return s == STATUS_OK ? dry_run_response(what->api, &plan, NULL, ret, err) : s;
}

static Status dry_run_with_plan(const Submit *what, Response *ret, Error *err)
{
    JobPlan plan;
    char *text = NULL;
    Status s = queue_print(what->api->queue, what->body, &plan, &text, err);

    if (s == STATUS_OK)
        s = dry_run_response(what->api, &plan, text, ret, err);
    free(text);
    return s;
}

typedef struct CreateQuery {
    bool dry_run, plan;
} CreateQuery;

static const Field create_fields[] = {
    FIELD_BOOL_ROW(CreateQuery, dry_run, "dry_run", 0, "1: only say what it would need"),
    FIELD_BOOL_ROW(CreateQuery, plan, "plan", 0, "1, of a dry run: and what a step of it does"),
};

/* POST /api/v1/jobs -- queue a job; 201 with its representation. ?dry_run=1: 200, and what it would
 * need; with &plan=1 a table of what a step does, too. */
Status api_job_create(Api *api, const Request *req, Response *ret, Error *err)
{
    CreateQuery query;
    Status s =
        api_query(req, create_fields, sizeof create_fields / sizeof *create_fields, &query, err);

    if (s == STATUS_OK && query.plan && !query.dry_run)
        s = error_at(err, STATUS_INVALID, "/plan", "goes with dry_run=1 only");
    if (s != STATUS_OK)
        return s;
    if (query.dry_run)
        return api_submit(api, req, query.plan ? dry_run_with_plan : dry_run, NULL, ret, err);
    return api_submit(api, req, submit, "/api/v1/jobs", ret, err);
}

typedef Status (*JobAction)(Queue *queue, int64_t id, Job *ret, Error *err);

static Status act(Api *api, const Request *req, JobAction action, int code, Response *ret,
                  Error *err)
{
    Job job = { 0 };
    int64_t id;
    Status s = request_id_param(req, "id", "job", &id, err);

    if (s == STATUS_OK)
        s = action(api->queue, id, &job, err);
    if (s != STATUS_OK)
        return s;
    s = response_json(ret, code, job_json(&job), err);
    job_clear(&job);
    return s;
}

/* GET /api/v1/jobs/{id} */
Status api_job_get(Api *api, const Request *req, Response *ret, Error *err)
{
    return act(api, req, queue_get, 200, ret, err);
}

/* POST /api/v1/jobs/{id}/cancel -- 202; 409 where it is over already. */
Status api_job_cancel(Api *api, const Request *req, Response *ret, Error *err)
{
    return act(api, req, queue_cancel, 202, ret, err);
}
