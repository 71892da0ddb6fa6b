/* A row is written once and never changed; the oldest go in the transaction that brings a new one,
 * so that their number is bounded at every moment. */
#include "server/store/explanations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/sql.h"
#include "server/store/store_private.h"

void explanation_row_clear(ExplanationRow *row)
{
    free(row->about);
    free(row->pixels);
    free(row->map);
    *row = (ExplanationRow){ 0 };
}

void explanation_list_clear(ExplanationList *list)
{
    for (size_t i = 0; i < list->count; i++)
        explanation_row_clear(&list->items[i]);
    free(list->items);
    *list = (ExplanationList){ 0 };
}

static size_t pixel_bytes(const ExplanationRow *row)
{
    return (size_t)row->height * row->width * 3;
}

static size_t map_bytes(const ExplanationRow *row)
{
    return (size_t)row->map_height * row->map_width * sizeof *row->map;
}

/* --- writing --- */

typedef struct PutContext {
    const ExplanationRow *row;
    uint32_t keep;
    int64_t id;
    bool is_new;
} PutContext;

static Status insert(sqlite3 *db, const ExplanationRow *row, Error *err)
{
    sqlite3_stmt *stmt;
    int more = 0;
    Status s = sql_prepare(db, &stmt, err,
                           "INSERT INTO explanations (key, job, about, height, width, map_height, "
                           "map_width, created_ms, pixels, map) "
                           "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                           "sisiiiii", row->key, row->job, row->about, (int64_t)row->height,
                           (int64_t)row->width, (int64_t)row->map_height, (int64_t)row->map_width,
                           store_now_ms());

    if (s != STATUS_OK)
        return s;
    if (sqlite3_bind_blob64(stmt, 9, row->pixels, pixel_bytes(row), SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_blob64(stmt, 10, row->map, map_bytes(row), SQLITE_STATIC) != SQLITE_OK)
        s = sql_error(db, err, "prepare a statement");
    if (s == STATUS_OK)
        s = sql_step(stmt, &more, err);
    sqlite3_finalize(stmt);
    return s;
}

static Status put_body(sqlite3 *db, void *context, Error *err)
{
    PutContext *ctx = context;
    const ExplanationRow *row = ctx->row;
    int64_t job = 0;
    Status s =
        sql_int(db, 0, &ctx->id, err, "SELECT id FROM explanations WHERE key = ?1", "s", row->key);

    if (s != STATUS_OK || ctx->id != 0)
        return s;
    s = sql_int(db, 0, &job, err, "SELECT id FROM jobs WHERE id = ?1", "i", row->job);
    if (s == STATUS_OK && job == 0)
        s = error_set(err, STATUS_NOT_FOUND, "there is no job %lld", (long long)row->job);
    if (s == STATUS_OK)
        s = insert(db, row, err);
    if (s != STATUS_OK)
        return s;
    ctx->id = sqlite3_last_insert_rowid(db);
    ctx->is_new = true;
    return sql_run(db, err,
                   "DELETE FROM explanations WHERE id NOT IN "
                   "(SELECT id FROM explanations ORDER BY id DESC LIMIT ?1)",
                   "i", (int64_t)ctx->keep);
}

Status store_explanation_put(Store *store, const ExplanationRow *row, uint32_t keep,
                             int64_t *ret_id, bool *ret_new, Error *err)
{
    PutContext ctx = { .row = row, .keep = keep };
    Status s = store_write(store, put_body, &ctx, err);

    if (s != STATUS_OK)
        return s;
    *ret_id = ctx.id;
    *ret_new = ctx.is_new;
    return STATUS_OK;
}

/* --- reading --- */

#define LIGHT_COLUMNS "id, key, job, about, height, width, map_height, map_width, created_ms"

/* A row of LIGHT_COLUMNS. */
static Status read_light(sqlite3_stmt *stmt, ExplanationRow *ret, Error *err)
{
    *ret = (ExplanationRow){ .id = sqlite3_column_int64(stmt, 0),
                             .job = sqlite3_column_int64(stmt, 2),
                             .height = (uint32_t)sqlite3_column_int64(stmt, 4),
                             .width = (uint32_t)sqlite3_column_int64(stmt, 5),
                             .map_height = (uint32_t)sqlite3_column_int64(stmt, 6),
                             .map_width = (uint32_t)sqlite3_column_int64(stmt, 7),
                             .created_ms = sqlite3_column_int64(stmt, 8) };
    snprintf(ret->key, sizeof ret->key, "%s", (const char *)sqlite3_column_text(stmt, 1));
    return sql_column_copy(stmt, 3, &ret->about, err);
}

/* A column of exactly so many bytes. */
static Status read_blob(sqlite3_stmt *stmt, int column, size_t bytes, void **ret, Error *err)
{
    const void *blob = sqlite3_column_blob(stmt, column);

    if (blob == NULL || (size_t)sqlite3_column_bytes(stmt, column) != bytes)
        return error_set(err, STATUS_CORRUPT, "an explanation's numbers are not whole");
    *ret = malloc(bytes);
    if (*ret == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate an explanation");
    memcpy(*ret, blob, bytes);
    return STATUS_OK;
}

typedef struct GetContext {
    int64_t id;
    bool light;
    ExplanationRow row;
} GetContext;

static Status get_body(sqlite3 *db, void *context, Error *err)
{
    GetContext *ctx = context;
    ExplanationRow *row = &ctx->row;
    void *pixels = NULL, *map = NULL;
    sqlite3_stmt *stmt;
    int more = 0;
    Status s = sql_prepare(db, &stmt, err,
                           ctx->light ? "SELECT " LIGHT_COLUMNS " FROM explanations WHERE id = ?1"
                                      : "SELECT " LIGHT_COLUMNS
                                        ", pixels, map FROM explanations WHERE id = ?1",
                           "i", ctx->id);

    if (s != STATUS_OK)
        return s;
    s = sql_step(stmt, &more, err);
    if (s == STATUS_OK && !more)
        s = error_set(err, STATUS_NOT_FOUND, "there is no explanation %lld", (long long)ctx->id);
    if (s == STATUS_OK)
        s = read_light(stmt, row, err);
    if (s == STATUS_OK && !ctx->light)
        s = read_blob(stmt, 9, pixel_bytes(row), &pixels, err);
    row->pixels = pixels;
    if (s == STATUS_OK && !ctx->light)
        s = read_blob(stmt, 10, map_bytes(row), &map, err);
    row->map = map;
    sqlite3_finalize(stmt);
    return s;
}

Status store_explanation_get(Store *store, int64_t id, bool light, ExplanationRow *ret, Error *err)
{
    GetContext ctx = { .id = id, .light = light };
    Status s = store_read(store, get_body, &ctx, err);

    if (s == STATUS_OK)
        *ret = ctx.row;
    else
        explanation_row_clear(&ctx.row);
    return s;
}

typedef struct FindContext {
    const char *key;
    int64_t id;
} FindContext;

static Status find_body(sqlite3 *db, void *context, Error *err)
{
    FindContext *ctx = context;
    Status s =
        sql_int(db, 0, &ctx->id, err, "SELECT id FROM explanations WHERE key = ?1", "s", ctx->key);

    if (s == STATUS_OK && ctx->id == 0)
        s = error_set(err, STATUS_NOT_FOUND, "nobody has asked for this explanation");
    return s;
}

Status store_explanation_find(Store *store, const char *key, int64_t *ret_id, Error *err)
{
    FindContext ctx = { .key = key };
    Status s = store_read(store, find_body, &ctx, err);

    if (s == STATUS_OK)
        *ret_id = ctx.id;
    return s;
}

typedef struct ListContext {
    int64_t before;
    uint32_t limit;
    ExplanationList list;
} ListContext;

static Status list_body(sqlite3 *db, void *context, Error *err)
{
    ListContext *ctx = context;
    ExplanationList *list = &ctx->list;
    sqlite3_stmt *stmt;
    int row = 1;
    Status s = sql_prepare(db, &stmt, err,
                           "SELECT " LIGHT_COLUMNS " FROM explanations "
                           "WHERE ?1 = 0 OR id < ?1 ORDER BY id DESC LIMIT ?2",
                           "ii", ctx->before, (int64_t)ctx->limit + 1);

    if (s != STATUS_OK)
        return s;
    while ((s = sql_step(stmt, &row, err)) == STATUS_OK && row) {
        if (list->count == ctx->limit) {
            list->next = list->items[ctx->limit - 1].id;
            break;
        }
        s = read_light(stmt, &list->items[list->count++], err);
        if (s != STATUS_OK)
            break;
    }
    sqlite3_finalize(stmt);
    return s;
}

Status store_explanation_list(Store *store, int64_t before, uint32_t limit, ExplanationList *ret,
                              Error *err)
{
    ListContext ctx = { .before = before, .limit = limit };
    Status s;

    ctx.list.items = calloc(limit, sizeof *ctx.list.items);
    if (ctx.list.items == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a list of explanations");
    s = store_read(store, list_body, &ctx, err);
    if (s == STATUS_OK)
        *ret = ctx.list;
    else
        explanation_list_clear(&ctx.list);
    return s;
}
