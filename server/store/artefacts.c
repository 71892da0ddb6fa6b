/* Rows are keyed by what they are of, and written with REPLACE: a job that runs again after a crash
 * leaves the same rows. */
#include "server/store/artefacts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/folder.h"
#include "server/store/sql.h"
#include "server/store/store_private.h"

#define ARTEFACT_COLUMNS "name, path, sha256, bytes, created_ms"

char *store_artefact_file(const Store *store, const Artefact *artefact)
{
    return folder_join(store_directory(store), artefact->path);
}

Status store_artefact_prepare(Store *store, int64_t job, const char *name, Artefact *ret,
                              Error *err)
{
    Artefact a = { .job = job };
    char *file;
    Status s;

    snprintf(a.name, sizeof a.name, "%s", name);
    snprintf(a.path, sizeof a.path, "jobs/%lld/%s.safetensors", (long long)job, a.name);
    file = store_artefact_file(store, &a);
    if (file == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a path");
    *strrchr(file, '/') = '\0';
    s = folder_create(file, err);
    free(file);
    if (s == STATUS_OK)
        *ret = a;
    return s;
}

/* What is left is progress: a job that left it has not stalled. */
static Status add_body(sqlite3 *db, void *context, Error *err)
{
    const Artefact *a = context;
    Status s = sql_run(db, err, "UPDATE jobs SET stalls = 0 WHERE id = ?1", "i", a->job);

    if (s != STATUS_OK)
        return s;
    return sql_run(db, err,
                   "INSERT OR REPLACE INTO artefacts (job, name, path, sha256, bytes, created_ms) "
                   "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                   "isssii", a->job, a->name, a->path, a->sha256, (int64_t)a->bytes, a->created_ms);
}

Status store_artefact_add(Store *store, Artefact *artefact, Error *err)
{
    char *file = store_artefact_file(store, artefact);
    Status s;

    if (file == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a path");
    s = sha256_file(file, artefact->sha256, &artefact->bytes, err);
    free(file);
    artefact->created_ms = store_now_ms();
    return s == STATUS_OK ? store_write(store, add_body, artefact, err) : s;
}

typedef struct FindContext {
    int64_t job;
    const char *name;
    Artefact *ret;
} FindContext;

static void read_artefact(sqlite3_stmt *stmt, int64_t job, Artefact *ret)
{
    *ret = (Artefact){ .job = job,
                       .bytes = (uint64_t)sqlite3_column_int64(stmt, 3),
                       .created_ms = sqlite3_column_int64(stmt, 4) };
    snprintf(ret->name, sizeof ret->name, "%s", (const char *)sqlite3_column_text(stmt, 0));
    snprintf(ret->path, sizeof ret->path, "%s", (const char *)sqlite3_column_text(stmt, 1));
    snprintf(ret->sha256, sizeof ret->sha256, "%s", (const char *)sqlite3_column_text(stmt, 2));
}

static Status find_body(sqlite3 *db, void *context, Error *err)
{
    FindContext *ctx = context;
    sqlite3_stmt *stmt;
    int row = 0;
    Status s = sql_prepare(db, &stmt, err,
                           "SELECT " ARTEFACT_COLUMNS " FROM artefacts "
                           "WHERE job = ?1 AND name = ?2",
                           "is", ctx->job, ctx->name);

    if (s != STATUS_OK)
        return s;
    s = sql_step(stmt, &row, err);
    if (s == STATUS_OK && row) {
        read_artefact(stmt, ctx->job, ctx->ret);
    } else if (s == STATUS_OK) {
        s = error_set(err, STATUS_NOT_FOUND, "job %lld has no artefact \"%s\"", (long long)ctx->job,
                      ctx->name);
    }
    sqlite3_finalize(stmt);
    return s;
}

Status store_artefact_find(Store *store, int64_t job, const char *name, Artefact *ret, Error *err)
{
    FindContext ctx = { job, name, ret };

    return store_read(store, find_body, &ctx, err);
}

typedef struct ListContext {
    int64_t job;
    const char *prefix;
    Artefact *items;
    size_t max, count;
} ListContext;

static Status list_body(sqlite3 *db, void *context, Error *err)
{
    ListContext *ctx = context;
    sqlite3_stmt *stmt;
    int row = 1;
    Status s = sql_prepare(db, &stmt, err,
                           "SELECT " ARTEFACT_COLUMNS " FROM artefacts "
                           "WHERE job = ?1 AND name GLOB ?2 || '[0-9]*' "
                           "ORDER BY length(name), name LIMIT ?3",
                           "isi", ctx->job, ctx->prefix, (int64_t)ctx->max);

    if (s != STATUS_OK)
        return s;
    while ((s = sql_step(stmt, &row, err)) == STATUS_OK && row && ctx->count < ctx->max)
        read_artefact(stmt, ctx->job, &ctx->items[ctx->count++]);
    sqlite3_finalize(stmt);
    return s;
}

Status store_artefact_list(Store *store, int64_t job, const char *prefix, Artefact *ret, size_t max,
                           size_t *ret_count, Error *err)
{
    ListContext ctx = { job, prefix, ret, max, 0 };
    Status s = store_read(store, list_body, &ctx, err);

    if (s == STATUS_OK)
        *ret_count = ctx.count;
    return s;
}

Status store_artefact_verify(Store *store, const Artefact *artefact, Error *err)
{
    char *file = store_artefact_file(store, artefact), digest[SHA256_HEX];
    uint64_t bytes = 0;
    Error why = { 0 };
    Status s;

    if (file == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a path");
    s = sha256_file(file, digest, &bytes, &why);
    free(file);
    if (s == STATUS_NOT_FOUND)
        return error_set(err, s, "%s is gone", artefact->path);
    if (s != STATUS_OK)
        return error_set(err, s, "%s", error_message(&why));
    if (strcmp(digest, artefact->sha256) != 0)
        return error_set(err, STATUS_CORRUPT, "%s is corrupt: its SHA-256 is not the recorded one",
                         artefact->path);
    return STATUS_OK;
}

/* --- alphas --- */

typedef struct AlphasContext {
    int64_t job;
    uint32_t epoch;
    uint64_t step;
    const char *put;
    char *got;
} AlphasContext;

static Status alphas_put_body(sqlite3 *db, void *context, Error *err)
{
    const AlphasContext *ctx = context;

    return sql_run(db, err,
                   "INSERT OR REPLACE INTO alphas (job, epoch, step, weights) "
                   "VALUES (?1, ?2, ?3, ?4)",
                   "iiis", ctx->job, (int64_t)ctx->epoch, (int64_t)ctx->step, ctx->put);
}

Status store_alphas_put(Store *store, int64_t job, uint32_t epoch, uint64_t step,
                        const char *weights, Error *err)
{
    AlphasContext ctx = { .job = job, .epoch = epoch, .step = step, .put = weights };

    return store_write(store, alphas_put_body, &ctx, err);
}

static Status alphas_get_body(sqlite3 *db, void *context, Error *err)
{
    AlphasContext *ctx = context;
    sqlite3_stmt *stmt;
    int row = 0;
    Status s = sql_prepare(db, &stmt, err,
                           "SELECT epoch, step, weights FROM alphas WHERE job = ?1 "
                           "AND (?2 = 0 OR epoch = ?2) ORDER BY epoch DESC LIMIT 1",
                           "ii", ctx->job, (int64_t)ctx->epoch);

    if (s != STATUS_OK)
        return s;
    s = sql_step(stmt, &row, err);
    if (s == STATUS_OK && row) {
        ctx->epoch = (uint32_t)sqlite3_column_int64(stmt, 0);
        ctx->step = (uint64_t)sqlite3_column_int64(stmt, 1);
        s = sql_column_copy(stmt, 2, &ctx->got, err);
    } else if (s == STATUS_OK && ctx->epoch != 0) {
        s = error_set(err, STATUS_NOT_FOUND, "job %lld has no alphas of epoch %u",
                      (long long)ctx->job, ctx->epoch);
    } else if (s == STATUS_OK) {
        s = error_set(err, STATUS_NOT_FOUND, "job %lld has no alphas", (long long)ctx->job);
    }
    sqlite3_finalize(stmt);
    return s;
}

Status store_alphas_get(Store *store, int64_t job, uint32_t epoch, uint32_t *ret_epoch,
                        uint64_t *ret_step, char **ret_weights, Error *err)
{
    AlphasContext ctx = { .job = job, .epoch = epoch };
    Status s = store_read(store, alphas_get_body, &ctx, err);

    if (s != STATUS_OK)
        return s;
    *ret_epoch = ctx.epoch;
    *ret_step = ctx.step;
    *ret_weights = ctx.got;
    return STATUS_OK;
}
