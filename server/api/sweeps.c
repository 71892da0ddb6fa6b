/* Sweeps: submit, list, look at with their tables, cancel. A table is worked out from its cells
 * each time it is asked for. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/api/submit.h"
#include "server/codec/json.h"
#include "server/jobs/sweeps.h"

/* ---- as JSON ---- */

/* One word for all cells. */
static const char *state_of(const Sweep *sweep)
{
    uint64_t open = 0, begun = 0;

    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        open += job_state_final((JobState)i) ? 0 : sweep->count[i];
        begun += i == JOB_QUEUED ? 0 : sweep->count[i];
    }
    if (open > 0)
        return sweep->cancelled ? "stopping" : begun > 0 ? "running" : "queued";
    if (sweep->cancelled || sweep->count[JOB_CANCELLED] > 0)
        return "cancelled";
    return sweep->count[JOB_FAILED] > 0 ? "failed" : "succeeded";
}

static json_t *counts_json(const Sweep *sweep)
{
    json_t *out = json_object();

    for (int i = 0; i < JOB_STATE_COUNT; i++)
        if (sweep->count[i] > 0)
            (void)json_object_set_new(out, job_state_names[i],
                                      json_integer((json_int_t)sweep->count[i]));
    return out;
}

static json_t *links_json(int64_t id)
{
    char self[64], cancel[72];

    snprintf(self, sizeof self, "/api/v1/sweeps/%lld", (long long)id);
    snprintf(cancel, sizeof cancel, "%s/cancel", self);
    return json_pack("{ss ss}", "self", self, "cancel", cancel);
}

/* As it stands in a list. */
static json_t *item_json(const Sweep *sweep)
{
    return json_pack("{sI ss ss? ss ss ss so so so so}", "id", (json_int_t)sweep->id, "name",
                     sweep->name, "preset", sweep->preset, "state", state_of(sweep), "metric",
                     sweep->metric, "at", sweep_at_names[sweep->at], "seeds",
                     api_stored_json(sweep->seeds), "cells", counts_json(sweep), "created_at",
                     json_time_ms(sweep->created_ms), "links", links_json(sweep->id));
}

/* Mean and standard deviation of the cells of a row that have a value; of `count` of them. */
typedef struct Summary {
    double mean, sd;
    size_t count, failed;
} Summary;

static Summary summarise(const SweepCell *cell, size_t cells)
{
    Summary sum = { 0 };
    double squares = 0;

    for (size_t i = 0; i < cells; i++) {
        sum.failed += cell[i].state == JOB_FAILED;
        sum.count += cell[i].has_value;
        sum.mean += cell[i].has_value ? cell[i].value : 0;
    }
    sum.mean /= (double)sum.count;
    for (size_t i = 0; i < cells; i++)
        if (cell[i].has_value)
            squares += (cell[i].value - sum.mean) * (cell[i].value - sum.mean);
    sum.sd = sqrt(squares / ((double)sum.count - 1));
    return sum;
}

/* A row of the table from its cells. */
static json_t *row_json(const SweepRow *row, const SweepCell *cell, size_t cells)
{
    json_t *jobs = json_array(), *values = json_array();
    Summary sum = summarise(cell, cells);

    for (size_t i = 0; i < cells; i++) {
        (void)json_array_append_new(jobs, json_integer((json_int_t)cell[i].job));
        (void)json_array_append_new(values,
                                    cell[i].has_value ? json_number(cell[i].value) : json_null());
    }
    return json_pack(
        "{ss so so so so so sI}", "label", row->label, "settings", api_stored_json(row->settings),
        "jobs", jobs, "values", values, "mean", sum.count > 0 ? json_number(sum.mean) : json_null(),
        "sd", sum.count > 1 ? json_number(sum.sd) : json_null(), "failed", (json_int_t)sum.failed);
}

static json_t *sweep_json(const Sweep *sweep)
{
    json_t *out = item_json(sweep), *rows = json_array();
    size_t first = 0, end;

    for (uint32_t i = 0; i < sweep->rows; i++, first = end) {
        end = first;
        while (end < sweep->cells && sweep->cell[end].row == i)
            end++;
        (void)json_array_append_new(rows,
                                    row_json(&sweep->row[i], sweep->cell + first, end - first));
    }
    if (json_object_set_new(out, "rows", rows) == 0)
        return out;
    json_decref(out);
    return NULL;
}

static Status respond(Api *api, int64_t id, int code, Response *ret, Error *err)
{
    Sweep sweep = { 0 };
    Status s = store_sweep_get(queue_store(api->queue), id, &sweep, err);

    if (s != STATUS_OK)
        return s;
    s = response_json(ret, code, sweep_json(&sweep), err);
    sweep_clear(&sweep);
    return s;
}

/* ---- requests ---- */

typedef struct ListQuery {
    char cursor[32];
    uint32_t limit;
} ListQuery;

static const Field list_fields[] = {
    FIELD_STRING_ROW(ListQuery, cursor, "cursor", 0, "", "`next` of the page before"),
    FIELD_U32_ROW(ListQuery, limit, "limit", LIMIT_PAGE_DEFAULT, 1, LIMIT_PAGE_ITEMS,
                  "items of a page"),
};

/* GET /api/v1/sweeps -- newest first, without their tables. */
Status api_sweep_list(Api *api, const Request *req, Response *ret, Error *err)
{
    SweepList list = { 0 };
    ListQuery query;
    json_t *items;
    int64_t before = 0;
    Status s = api_query(req, list_fields, sizeof list_fields / sizeof *list_fields, &query, err);

    if (s == STATUS_OK)
        s = api_cursor(query.cursor, &before, err);
    if (s == STATUS_OK)
        s = store_sweep_list(queue_store(api->queue), before, query.limit, &list, err);
    if (s != STATUS_OK)
        return s;
    items = json_array();
    for (size_t i = 0; i < list.count; i++)
        (void)json_array_append_new(items, item_json(&list.items[i]));
    s = api_page(ret, items, list.next, "/api/v1/sweeps", query.limit, "", err);
    sweep_list_clear(&list);
    return s;
}

static char *sweep_answer(const void *row)
{
    json_t *json = sweep_json(row);
    char *text = json_dumps(json, JSON_WRITE_FLAGS);

    json_decref(json);
    return text;
}

static Status submit(const Submit *what, Response *ret, Error *err)
{
    AnswerRequest answer;
    int64_t id = 0;
    Status s = sweep_submit(what->api->queue, what->body,
                            submit_answer(what, sweep_answer, &answer), &id, err);

    if (s != STATUS_OK)
        return s;
    if (what->key[0] != '\0')
        return submit_replay(what, ret, err);
    response_header(ret, "Location", "/api/v1/sweeps/%lld", (long long)id);
    return respond(what->api, id, 201, ret, err);
}

/* POST /api/v1/sweeps -- 201, and all its jobs are queued. */
Status api_sweep_create(Api *api, const Request *req, Response *ret, Error *err)
{
    return api_submit(api, req, submit, "/api/v1/sweeps", ret, err);
}

/* GET /api/v1/sweeps/{id} -- with its table. */
Status api_sweep_get(Api *api, const Request *req, Response *ret, Error *err)
{
    int64_t id;
    Status s = request_id_param(req, "id", "sweep", &id, err);

    return s == STATUS_OK ? respond(api, id, 200, ret, err) : s;
}

/* POST /api/v1/sweeps/{id}/cancel -- 202; 409 where all its cells are over already. */
Status api_sweep_cancel(Api *api, const Request *req, Response *ret, Error *err)
{
    int64_t id;
    Status s = request_id_param(req, "id", "sweep", &id, err);

    if (s == STATUS_OK)
        s = sweep_cancel(api->queue, id, err);
    return s == STATUS_OK ? respond(api, id, 202, ret, err) : s;
}
