/* Rows in and out. A row's change of state is job_states.c. */
#include "server/store/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/answers_private.h"
#include "server/store/jobs_private.h"
#include "server/store/sql.h"
#include "server/store/store_private.h"

const char *const job_state_names[JOB_STATE_COUNT + 1] = {
    "queued",    "starting", "running",   "stopping",      "interrupted",
    "succeeded", "failed",   "cancelled", "early_stopped", NULL
};

int job_state_find(const char *name)
{
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        if (strcmp(job_state_names[i], name) == 0)
            return i;
    return -1;
}

bool job_state_final(JobState state)
{
    return job_state_whole(state) || state == JOB_FAILED || state == JOB_CANCELLED;
}

bool job_state_whole(JobState state)
{
    return state == JOB_SUCCEEDED || state == JOB_EARLY_STOPPED;
}

void job_clear(Job *job)
{
    free(job->kind);
    free(job->name);
    free(job->tags);
    free(job->params);
    free(job->reason);
    free(job->result);
    free(job->record);
    free(job->preset);
    *job = (Job){ 0 };
}

void job_list_clear(JobList *list)
{
    for (size_t i = 0; i < list->count; i++)
        job_clear(&list->items[i]);
    free(list->items);
    *list = (JobList){ 0 };
}

/* --- reading --- */

#define JOB_COLUMNS                                                                                \
    "id, kind, name, tags, params, reason, result, record, preset, state, desired, priority, "     \
    "seed, "                                                                                       \
    "threads, attempt, stalls, version, "                                                          \
    "created_ms, started_ms, finished_ms, resumed_step, epoch, epochs, step, steps, eta_seconds, " \
    "sweep"

Status job_read_state(sqlite3_stmt *stmt, int column, JobState *ret, Error *err)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    int state = text == NULL ? -1 : job_state_find(text);

    if (state < 0)
        return error_set(err, STATUS_CORRUPT, "job %lld has the unknown state \"%s\"",
                         (long long)sqlite3_column_int64(stmt, 0), text == NULL ? "" : text);
    *ret = (JobState)state;
    return STATUS_OK;
}

static Status read_texts(sqlite3_stmt *stmt, Job *job, Error *err)
{
    char **const text[] = { &job->kind,   &job->name,   &job->tags,   &job->params,
                            &job->reason, &job->result, &job->record, &job->preset };
    Status s = STATUS_OK;

    for (size_t i = 0; i < sizeof text / sizeof *text && s == STATUS_OK; i++)
        s = sql_column_copy(stmt, (int)i + 1, text[i], err);
    return s;
}

static Status read_latest(sqlite3 *db, Job *job, Error *err)
{
    sqlite3_stmt *stmt;
    int row = 1;
    Status s = sql_prepare(
        db, &stmt, err, "SELECT key, step, value FROM latest WHERE job = ?1 ORDER BY key LIMIT ?2",
        "ii", job->id, (int64_t)JOB_LATEST_MAX);

    if (s != STATUS_OK)
        return s;
    while ((s = sql_step(stmt, &row, err)) == STATUS_OK && row) {
        MetricValue *value = &job->latest[job->latest_count++];

        snprintf(value->key, sizeof value->key, "%s", (const char *)sqlite3_column_text(stmt, 0));
        value->step = (uint64_t)sqlite3_column_int64(stmt, 1);
        value->value = sql_column_double(stmt, 2);
    }
    sqlite3_finalize(stmt);
    return s;
}

/* A row of JOB_COLUMNS; on failure *job is empty. */
static Status read_job(sqlite3 *db, sqlite3_stmt *stmt, Job *job, Error *err)
{
    int c = 11;
    Status s;

    *job = (Job){ .id = sqlite3_column_int64(stmt, 0) };
    s = read_texts(stmt, job, err);
    if (s == STATUS_OK)
        s = job_read_state(stmt, 9, &job->state, err);
    if (s == STATUS_OK)
        s = job_read_state(stmt, 10, &job->desired, err);
    job->priority = sqlite3_column_int(stmt, c++);
    job->seed = (uint64_t)sqlite3_column_int64(stmt, c++);
    job->threads = (uint32_t)sqlite3_column_int(stmt, c++);
    job->attempt = (uint32_t)sqlite3_column_int(stmt, c++);
    job->stalls = (uint32_t)sqlite3_column_int(stmt, c++);
    job->version = sqlite3_column_int64(stmt, c++);
    job->created_ms = sqlite3_column_int64(stmt, c++);
    job->started_ms = sqlite3_column_int64(stmt, c++);
    job->finished_ms = sqlite3_column_int64(stmt, c++);
    job->resumed_step = (uint64_t)sqlite3_column_int64(stmt, c++);
    job->progress.epoch = (uint32_t)sqlite3_column_int(stmt, c++);
    job->progress.epochs = (uint32_t)sqlite3_column_int(stmt, c++);
    job->progress.step = (uint64_t)sqlite3_column_int64(stmt, c++);
    job->progress.steps = (uint64_t)sqlite3_column_int64(stmt, c++);
    job->progress.eta_seconds = sqlite3_column_double(stmt, c++);
    job->sweep = sqlite3_column_int64(stmt, c);
    if (s == STATUS_OK)
        s = read_latest(db, job, err);
    if (s != STATUS_OK)
        job_clear(job);
    return s;
}

Status job_read(sqlite3 *db, int64_t id, Job *ret, Error *err)
{
    sqlite3_stmt *stmt;
    int row = 0;
    Status s =
        sql_prepare(db, &stmt, err, "SELECT " JOB_COLUMNS " FROM jobs WHERE id = ?1", "i", id);

    if (s != STATUS_OK)
        return s;
    s = sql_step(stmt, &row, err);
    if (s == STATUS_OK && !row)
        s = error_set(err, STATUS_NOT_FOUND, "there is no job %lld", (long long)id);
    if (s == STATUS_OK)
        s = read_job(db, stmt, ret, err);
    sqlite3_finalize(stmt);
    return s;
}

typedef struct GetContext {
    int64_t id;
    Job *job;
} GetContext;

static Status get_body(sqlite3 *db, void *context, Error *err)
{
    GetContext *get = context;

    return job_read(db, get->id, get->job, err);
}

Status store_job_get(Store *store, int64_t id, Job *ret, Error *err)
{
    Job job = { 0 };
    GetContext get = { id, &job };
    Status s = store_read(store, get_body, &get, err);

    if (s == STATUS_OK)
        *ret = job;
    return s;
}

typedef struct ListContext {
    const JobFilter *filter;
    JobList *list;
} ListContext;

/* " AND state IN ('queued', ...)": words of our own table, never the client's. */
static void states_sql(uint32_t states, char *ret, size_t size)
{
    size_t used = 0;

    ret[0] = '\0';
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        if ((states & (1u << i)) != 0 && used < size)
            used += (size_t)snprintf(ret + used, size - used, "%s'%s'",
                                     used == 0 ? " AND state IN (" : ", ", job_state_names[i]);
    if (used > 0 && used < size)
        snprintf(ret + used, size - used, ")");
}

static Status list_body(sqlite3 *db, void *context, Error *err)
{
    ListContext *ctx = context;
    const JobFilter *filter = ctx->filter;
    char states[192], sql[768];
    sqlite3_stmt *stmt;
    int row = 1;
    Status s;

    states_sql(filter->states, states, sizeof states);
    snprintf(sql, sizeof sql,
             "SELECT " JOB_COLUMNS " FROM jobs WHERE (?1 = 0 OR id < ?1) AND (?2 IS NULL OR kind = "
             "?2)%s%s ORDER BY id DESC LIMIT ?3",
             states, filter->sweep != 0 ? " AND sweep = ?4" : " AND ?4 = 0");
    s = sql_prepare(db, &stmt, err, sql, "isii", filter->before, filter->kind,
                    (int64_t)filter->limit + 1, filter->sweep);
    if (s != STATUS_OK)
        return s;
    while ((s = sql_step(stmt, &row, err)) == STATUS_OK && row) {
        if (ctx->list->count == filter->limit) {
            ctx->list->next = ctx->list->items[filter->limit - 1].id;
            break;
        }
        s = read_job(db, stmt, &ctx->list->items[ctx->list->count], err);
        if (s != STATUS_OK)
            break;
        ctx->list->count++;
    }
    sqlite3_finalize(stmt);
    return s;
}

Status store_job_list(Store *store, const JobFilter *filter, JobList *ret, Error *err)
{
    JobFilter bounded = *filter;
    JobList list = { 0 };
    ListContext ctx = { &bounded, &list };
    Status s;

    bounded.limit = bounded.limit < 1              ? 1
                    : bounded.limit > JOB_LIST_MAX ? JOB_LIST_MAX
                                                   : bounded.limit;
    list.items = calloc(bounded.limit, sizeof *list.items);
    if (list.items == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a list of jobs");
    s = store_read(store, list_body, &ctx, err);
    if (s != STATUS_OK) {
        job_list_clear(&list);
        return s;
    }
    *ret = list;
    return STATUS_OK;
}

static Status counts_body(sqlite3 *db, void *context, Error *err)
{
    uint64_t *counts = context;
    sqlite3_stmt *stmt;
    int row = 1;
    Status s = sql_prepare(db, &stmt, err, "SELECT state, count(*) FROM jobs GROUP BY state", "");

    if (s != STATUS_OK)
        return s;
    while ((s = sql_step(stmt, &row, err)) == STATUS_OK && row) {
        int state = job_state_find((const char *)sqlite3_column_text(stmt, 0));

        if (state >= 0)
            counts[state] = (uint64_t)sqlite3_column_int64(stmt, 1);
    }
    sqlite3_finalize(stmt);
    return s;
}

Status store_job_counts(Store *store, uint64_t ret[JOB_STATE_COUNT], Error *err)
{
    uint64_t counts[JOB_STATE_COUNT] = { 0 };
    Status s = store_read(store, counts_body, counts, err);

    if (s == STATUS_OK)
        memcpy(ret, counts, sizeof counts);
    return s;
}

/* --- writing --- */

typedef struct InsertContext {
    const JobInsert *job;
    int64_t id;
} InsertContext;

Status job_insert(sqlite3 *db, const JobInsert *job, int64_t sweep, uint32_t row, int64_t *ret_id,
                  Error *err)
{
    Status s = sql_run(db, err,
                       "INSERT INTO jobs (kind, name, tags, params, priority, seed, threads, "
                       "epochs, steps, created_ms, preset, sweep, sweep_row)"
                       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, nullif(?12, 0), "
                       "iif(?12 = 0, NULL, ?13))",
                       "ssssiiiiiisii", job->kind, job->name, job->tags, job->params,
                       (int64_t)job->priority, (int64_t)job->seed, (int64_t)job->threads,
                       (int64_t)job->epochs, (int64_t)job->steps, store_now_ms(), job->preset,
                       sweep, (int64_t)row);

    if (s == STATUS_OK)
        *ret_id = sqlite3_last_insert_rowid(db);
    return s;
}

static Status insert_body(sqlite3 *db, void *context, Error *err)
{
    InsertContext *ctx = context;
    Job row = { 0 };
    Status s = job_insert(db, ctx->job, 0, 0, &ctx->id, err);

    if (s != STATUS_OK || ctx->job->answer == NULL)
        return s;
    s = job_read(db, ctx->id, &row, err);
    if (s == STATUS_OK)
        s = answer_write(db, ctx->job->answer, ANSWER_JOB, ctx->id, &row, err);
    job_clear(&row);
    return s;
}

Status store_job_insert(Store *store, const JobInsert *job, int64_t *ret_id, Error *err)
{
    InsertContext ctx = { .job = job };
    Status s = store_write(store, insert_body, &ctx, err);

    if (s == STATUS_OK)
        *ret_id = ctx.id;
    return s;
}
