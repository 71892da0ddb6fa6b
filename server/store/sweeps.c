/*
 * A sweep's numbers are not kept: they are read off its cells, each time, by an index. What a cell
 * came to is its job's newest value, or the point at its best checkpoint.
 */
#include "server/store/sweeps.h"

#include <stdlib.h>
#include <string.h>

#include "server/store/answers_private.h"
#include "server/store/jobs_private.h"
#include "server/store/sql.h"
#include "server/store/store_private.h"

const char *const sweep_at_names[SWEEP_AT_COUNT + 1] = { "last", "best", NULL };

void sweep_clear(Sweep *sweep)
{
    for (uint32_t i = 0; i < sweep->rows; i++) {
        free(sweep->row[i].label);
        free(sweep->row[i].settings);
    }
    free(sweep->row);
    free(sweep->cell);
    free(sweep->name);
    free(sweep->preset);
    free(sweep->metric);
    free(sweep->seeds);
    *sweep = (Sweep){ 0 };
}

void sweep_list_clear(SweepList *list)
{
    for (size_t i = 0; i < list->count; i++)
        sweep_clear(&list->items[i]);
    free(list->items);
    *list = (SweepList){ 0 };
}

/* --- reading --- */

#define SWEEP_COLUMNS "id, name, preset, metric, seeds, at, cancelled, created_ms"

static Status read_sweep(sqlite3_stmt *stmt, Sweep *ret, Error *err)
{
    char **const text[] = { &ret->name, &ret->preset, &ret->metric, &ret->seeds };
    const char *at = (const char *)sqlite3_column_text(stmt, 5);
    Status s = STATUS_OK;

    *ret = (Sweep){ .id = sqlite3_column_int64(stmt, 0),
                    .cancelled = sqlite3_column_int(stmt, 6) != 0,
                    .created_ms = sqlite3_column_int64(stmt, 7) };
    if (at != NULL && strcmp(at, sweep_at_names[SWEEP_BEST]) == 0)
        ret->at = SWEEP_BEST;
    for (size_t i = 0; i < sizeof text / sizeof *text && s == STATUS_OK; i++)
        s = sql_column_copy(stmt, (int)i + 1, text[i], err);
    return s;
}

static Status read_counts(sqlite3 *db, Sweep *sweep, Error *err)
{
    sqlite3_stmt *stmt;
    int more = 1;
    Status s = sql_prepare(db, &stmt, err,
                           "SELECT state, count(*) FROM jobs WHERE sweep = ?1 GROUP BY state", "i",
                           sweep->id);

    if (s != STATUS_OK)
        return s;
    while ((s = sql_step(stmt, &more, err)) == STATUS_OK && more) {
        int state = job_state_find((const char *)sqlite3_column_text(stmt, 0));

        if (state >= 0)
            sweep->count[state] = (uint64_t)sqlite3_column_int64(stmt, 1);
    }
    sqlite3_finalize(stmt);
    return s;
}

static Status read_rows(sqlite3 *db, Sweep *sweep, Error *err)
{
    sqlite3_stmt *stmt;
    int64_t rows = 0;
    int more = 1;
    Status s = sql_int(db, 0, &rows, err, "SELECT count(*) FROM sweep_rows WHERE sweep = ?1", "i",
                       sweep->id);

    if (s == STATUS_OK) {
        sweep->row = calloc((size_t)rows + 1, sizeof *sweep->row);
        if (sweep->row == NULL)
            return error_set(err, STATUS_NO_MEMORY, "cannot allocate a sweep's rows");
        s = sql_prepare(db, &stmt, err,
                        "SELECT label, settings FROM sweep_rows WHERE sweep = ?1 ORDER BY number",
                        "i", sweep->id);
    }
    if (s != STATUS_OK)
        return s;
    while ((s = sql_step(stmt, &more, err)) == STATUS_OK && more) {
        SweepRow *row = &sweep->row[sweep->rows++];

        s = sql_column_copy(stmt, 0, &row->label, err);
        if (s == STATUS_OK)
            s = sql_column_copy(stmt, 1, &row->settings, err);
        if (s != STATUS_OK)
            break;
    }
    sqlite3_finalize(stmt);
    return s;
}

/* Its job's newest value of the metric, or the one at its best checkpoint. */
#define CELL_VALUE                                                                          \
    "CASE ?3 WHEN 'last' THEN (SELECT value FROM latest WHERE job = id AND key = ?2) ELSE " \
    "(SELECT value FROM points WHERE job = id AND key = ?2 AND step = (SELECT step FROM "   \
    "checkpoints WHERE job = id AND best)) END"

static Status read_cells(sqlite3 *db, Sweep *sweep, Error *err)
{
    sqlite3_stmt *stmt;
    int64_t cells = 0;
    int more = 1;
    Status s =
        sql_int(db, 0, &cells, err, "SELECT count(*) FROM jobs WHERE sweep = ?1", "i", sweep->id);

    if (s == STATUS_OK) {
        sweep->cell = calloc((size_t)cells + 1, sizeof *sweep->cell);
        if (sweep->cell == NULL)
            return error_set(err, STATUS_NO_MEMORY, "cannot allocate a sweep's cells");
        s = sql_prepare(db, &stmt, err,
                        "SELECT id, state, sweep_row, seed, " CELL_VALUE
                        " FROM jobs WHERE sweep = ?1 ORDER BY sweep_row, id",
                        "iss", sweep->id, sweep->metric, sweep_at_names[sweep->at]);
    }
    if (s != STATUS_OK)
        return s;
    while ((s = sql_step(stmt, &more, err)) == STATUS_OK && more) {
        SweepCell *cell = &sweep->cell[sweep->cells++];

        *cell = (SweepCell){ .job = sqlite3_column_int64(stmt, 0),
                             .row = (uint32_t)sqlite3_column_int64(stmt, 2),
                             .seed = (uint64_t)sqlite3_column_int64(stmt, 3),
                             .value = sql_column_double(stmt, 4) };
        s = job_read_state(stmt, 1, &cell->state, err);
        if (s != STATUS_OK)
            break;
        cell->has_value =
            job_state_whole(cell->state) && sqlite3_column_type(stmt, 4) != SQLITE_NULL;
    }
    sqlite3_finalize(stmt);
    return s;
}

/* With rows and cells. */
static Status read_whole(sqlite3 *db, int64_t id, Sweep *ret, Error *err)
{
    sqlite3_stmt *stmt;
    int row = 0;
    Status s =
        sql_prepare(db, &stmt, err, "SELECT " SWEEP_COLUMNS " FROM sweeps WHERE id = ?1", "i", id);

    if (s != STATUS_OK)
        return s;
    s = sql_step(stmt, &row, err);
    if (s == STATUS_OK && !row)
        s = error_set(err, STATUS_NOT_FOUND, "there is no sweep %lld", (long long)id);
    if (s == STATUS_OK)
        s = read_sweep(stmt, ret, err);
    sqlite3_finalize(stmt);
    if (s == STATUS_OK)
        s = read_counts(db, ret, err);
    if (s == STATUS_OK)
        s = read_rows(db, ret, err);
    if (s == STATUS_OK)
        s = read_cells(db, ret, err);
    return s;
}

typedef struct GetContext {
    int64_t id;
    Sweep sweep;
} GetContext;

static Status get_body(sqlite3 *db, void *context, Error *err)
{
    GetContext *ctx = context;

    return read_whole(db, ctx->id, &ctx->sweep, err);
}

Status store_sweep_get(Store *store, int64_t id, Sweep *ret, Error *err)
{
    GetContext ctx = { .id = id };
    Status s = store_read(store, get_body, &ctx, err);

    if (s == STATUS_OK)
        *ret = ctx.sweep;
    else
        sweep_clear(&ctx.sweep);
    return s;
}

typedef struct ListContext {
    int64_t before;
    uint32_t limit;
    SweepList list;
} ListContext;

static Status list_body(sqlite3 *db, void *context, Error *err)
{
    ListContext *ctx = context;
    SweepList *list = &ctx->list;
    sqlite3_stmt *stmt;
    int row = 1;
    Status s = sql_prepare(db, &stmt, err,
                           "SELECT " SWEEP_COLUMNS " FROM sweeps WHERE (?1 = 0 OR id < ?1) "
                           "ORDER BY id DESC LIMIT ?2",
                           "ii", ctx->before, (int64_t)ctx->limit + 1);

    if (s != STATUS_OK)
        return s;
    while ((s = sql_step(stmt, &row, err)) == STATUS_OK && row) {
        if (list->count == ctx->limit) {
            list->next = list->items[ctx->limit - 1].id;
            break;
        }
        s = read_sweep(stmt, &list->items[list->count++], err);
        if (s == STATUS_OK)
            s = read_counts(db, &list->items[list->count - 1], err);
        if (s != STATUS_OK)
            break;
    }
    sqlite3_finalize(stmt);
    return s;
}

Status store_sweep_list(Store *store, int64_t before, uint32_t limit, SweepList *ret, Error *err)
{
    ListContext ctx = { .before = before,
                        .limit = limit < 1                ? 1
                                 : limit > SWEEP_LIST_MAX ? SWEEP_LIST_MAX
                                                          : limit };
    Status s;

    ctx.list.items = calloc(ctx.limit, sizeof *ctx.list.items);
    if (ctx.list.items == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a list of sweeps");
    s = store_read(store, list_body, &ctx, err);
    if (s != STATUS_OK) {
        sweep_list_clear(&ctx.list);
        return s;
    }
    *ret = ctx.list;
    return STATUS_OK;
}

/* --- writing --- */

typedef struct InsertContext {
    const SweepInsert *sweep;
    int64_t id;
} InsertContext;

static Status insert_rows(sqlite3 *db, const InsertContext *ctx, Error *err)
{
    const SweepInsert *sweep = ctx->sweep;
    int64_t job;
    Status s = STATUS_OK;

    for (uint32_t i = 0; i < sweep->rows && s == STATUS_OK; i++)
        s = sql_run(
            db, err,
            "INSERT INTO sweep_rows (sweep, number, label, settings) VALUES (?1, ?2, ?3, ?4)",
            "iiss", ctx->id, (int64_t)i, sweep->labels[i], sweep->settings[i]);
    for (size_t i = 0; i < sweep->cells && s == STATUS_OK; i++)
        s = job_insert(db, &sweep->cell[i], ctx->id, sweep->cell_row[i], &job, err);
    return s;
}

static Status insert_body(sqlite3 *db, void *context, Error *err)
{
    InsertContext *ctx = context;
    const SweepInsert *sweep = ctx->sweep;
    Sweep made = { 0 };
    Status s = sql_run(db, err,
                       "INSERT INTO sweeps (name, preset, metric, at, seeds, created_ms) "
                       "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                       "sssssi", sweep->name, sweep->preset, sweep->metric,
                       sweep_at_names[sweep->at], sweep->seeds, store_now_ms());

    ctx->id = sqlite3_last_insert_rowid(db);
    if (s == STATUS_OK)
        s = insert_rows(db, ctx, err);
    if (s != STATUS_OK || sweep->answer == NULL)
        return s;
    s = read_whole(db, ctx->id, &made, err);
    if (s == STATUS_OK)
        s = answer_write(db, sweep->answer, ANSWER_SWEEP, ctx->id, &made, err);
    sweep_clear(&made);
    return s;
}

Status store_sweep_insert(Store *store, const SweepInsert *sweep, int64_t *ret_id, Error *err)
{
    InsertContext ctx = { .sweep = sweep };
    Status s = store_write(store, insert_body, &ctx, err);

    if (s == STATUS_OK)
        *ret_id = ctx.id;
    return s;
}

/* --- cancelling --- */

typedef struct CancelContext {
    int64_t id;
    int64_t *running; /* jobs that have to stop */
    size_t count;
} CancelContext;

/* The ids of what was running, which have to be told. */
static Status stop_running(sqlite3 *db, CancelContext *ctx, Error *err)
{
    sqlite3_stmt *stmt;
    int64_t cells = 0;
    int more = 1;
    Status s =
        sql_int(db, 0, &cells, err, "SELECT count(*) FROM jobs WHERE sweep = ?1", "i", ctx->id);

    if (s == STATUS_OK) {
        ctx->running = calloc((size_t)cells + 1, sizeof *ctx->running);
        if (ctx->running == NULL)
            return error_set(err, STATUS_NO_MEMORY, "cannot allocate a list of jobs");
        s = sql_prepare(db, &stmt, err,
                        "UPDATE jobs SET state = 'stopping', desired = 'cancelled', "
                        "version = version + 1 WHERE sweep = ?1 AND state IN ('starting', "
                        "'running') RETURNING id",
                        "i", ctx->id);
    }
    if (s != STATUS_OK)
        return s;
    while ((s = sql_step(stmt, &more, err)) == STATUS_OK && more)
        ctx->running[ctx->count++] = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return s;
}

static Status cancel_body(sqlite3 *db, void *context, Error *err)
{
    CancelContext *ctx = context;
    int64_t found = 0, open = 0;
    Status s = sql_int(db, 0, &found, err, "SELECT id FROM sweeps WHERE id = ?1", "i", ctx->id);

    if (s == STATUS_OK && found == 0)
        return error_set(err, STATUS_NOT_FOUND, "there is no sweep %lld", (long long)ctx->id);
    if (s == STATUS_OK)
        s = sql_int(db, 0, &open, err,
                    "SELECT count(*) FROM jobs WHERE sweep = ?1 AND finished_ms = 0", "i", ctx->id);
    if (s == STATUS_OK && open == 0)
        return error_set(err, STATUS_CONFLICT, "sweep %lld is over", (long long)ctx->id);
    if (s == STATUS_OK)
        s = sql_run(db, err, "UPDATE sweeps SET cancelled = 1 WHERE id = ?1", "i", ctx->id);
    if (s == STATUS_OK)
        s = sql_run(db, err,
                    "UPDATE jobs SET state = 'cancelled', desired = 'cancelled', "
                    "version = version + 1, finished_ms = ?2 WHERE sweep = ?1 AND state = 'queued'",
                    "ii", ctx->id, store_now_ms());
    return s == STATUS_OK ? stop_running(db, ctx, err) : s;
}

Status store_sweep_cancel(Store *store, int64_t id, void (*running)(void *context, int64_t job),
                          void *context, Error *err)
{
    CancelContext ctx = { .id = id };
    Status s = store_write(store, cancel_body, &ctx, err);

    for (size_t i = 0; i < ctx.count && s == STATUS_OK; i++)
        running(context, ctx.running[i]);
    free(ctx.running);
    return s;
}
