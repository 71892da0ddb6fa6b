/*
 * The order is what keeps a row from lying: the file is durable (its writer's business) before add,
 * which inserts the row and forgets what retention gives up in one transaction; only then are the
 * files unlinked. A crash in between leaves a file without a row, which store_checkpoint_sweep()
 * removes when the job is started again.
 */
#include "server/store/checkpoints.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/store/folder.h"
#include "server/store/jobs_private.h"
#include "server/store/sql.h"
#include "server/store/store_private.h"

#define CHECKPOINT_COLUMNS \
    "job, step, epoch, path, sha256, bytes, best, pinned, score, created_ms, partial"
#define SUFFIX ".safetensors"

enum { FORGOTTEN_MAX = 64 };

char *store_checkpoint_file(const Store *store, const Checkpoint *checkpoint)
{
    return folder_join(store_directory(store), checkpoint->path);
}

static char *job_folder(const Store *store, int64_t job)
{
    char name[64];

    snprintf(name, sizeof name, "jobs/%lld/checkpoints", (long long)job);
    return folder_join(store_directory(store), name);
}

Status store_checkpoint_prepare(Store *store, int64_t job, uint64_t step, Checkpoint *ret,
                                Error *err)
{
    char *folder = job_folder(store, job);
    Checkpoint c = { .job = job, .step = step, .score = NAN };
    Status s;

    if (folder == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a path");
    s = folder_create(folder, err);
    free(folder);
    if (s != STATUS_OK)
        return s;
    snprintf(c.path, sizeof c.path, "jobs/%lld/checkpoints/%llu" SUFFIX, (long long)job,
             (unsigned long long)step);
    *ret = c;
    return STATUS_OK;
}

static void read_checkpoint(sqlite3_stmt *stmt, Checkpoint *ret)
{
    *ret = (Checkpoint){
        .job = sqlite3_column_int64(stmt, 0),
        .step = (uint64_t)sqlite3_column_int64(stmt, 1),
        .epoch = (uint32_t)sqlite3_column_int64(stmt, 2),
        .bytes = (uint64_t)sqlite3_column_int64(stmt, 5),
        .best = sqlite3_column_int(stmt, 6) != 0,
        .pinned = sqlite3_column_int(stmt, 7) != 0,
        .score = sql_column_double(stmt, 8),
        .created_ms = sqlite3_column_int64(stmt, 9),
        .partial = sqlite3_column_int(stmt, 10) != 0,
    };
    snprintf(ret->path, sizeof ret->path, "%s", (const char *)sqlite3_column_text(stmt, 3));
    snprintf(ret->sha256, sizeof ret->sha256, "%s", (const char *)sqlite3_column_text(stmt, 4));
}

/* --- adding and forgetting --- */

typedef struct AddContext {
    Checkpoint *checkpoint;
    const MetricValue *values;
    size_t count;
    const JobProgress *progress;
    size_t forgotten_count;
    char forgotten[FORGOTTEN_MAX][CHECKPOINT_PATH_MAX];
} AddContext;

static Status insert_row(sqlite3 *db, const Checkpoint *c, Error *err)
{
    Status s = sql_run(db, err, "DELETE FROM checkpoints WHERE job = ?1 AND step = ?2", "ii",
                       c->job, (int64_t)c->step);

    if (s == STATUS_OK)
        s = sql_run(db, err,
                    "INSERT INTO checkpoints (job, step, epoch, path, sha256, bytes, pinned, "
                    "score, created_ms, partial) "
                    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, nullif(?8, 'NaN'), ?9, ?10)",
                    "iiissiidii", c->job, (int64_t)c->step, (int64_t)c->epoch, c->path, c->sha256,
                    (int64_t)c->bytes, (int64_t)c->pinned, c->score, c->created_ms,
                    (int64_t)c->partial);
    if (s == STATUS_OK)
        s = sql_run(db, err,
                    "UPDATE checkpoints SET best = (step IS (SELECT step FROM checkpoints WHERE "
                    "job = ?1 AND score IS NOT NULL "
                    "ORDER BY score DESC, step LIMIT 1)) WHERE job = ?1",
                    "i", c->job);
    return s;
}

static Status write_metrics(sqlite3 *db, const AddContext *ctx, Error *err)
{
    Status s = STATUS_OK;

    for (size_t i = 0; i < ctx->count && s == STATUS_OK; i++) {
        PendingPoint p = { ctx->checkpoint->job, ctx->checkpoint->created_ms, ctx->values[i].step,
                           ctx->values[i].value, "" };

        memcpy(p.key, ctx->values[i].key, sizeof p.key);
        s = metric_write(db, &p, 1, err);
    }
    return s;
}

static Status forget_rows(sqlite3 *db, AddContext *ctx, Error *err)
{
    sqlite3_stmt *stmt;
    int row = 1;
    Status s = sql_prepare(
        db, &stmt, err,
        "DELETE FROM checkpoints WHERE job = ?1 AND NOT best AND NOT pinned AND step NOT IN "
        "(SELECT step FROM checkpoints WHERE job = ?1 ORDER BY step DESC LIMIT 2) RETURNING path",
        "i", ctx->checkpoint->job);

    if (s != STATUS_OK)
        return s;
    while ((s = sql_step(stmt, &row, err)) == STATUS_OK && row)
        if (ctx->forgotten_count < FORGOTTEN_MAX)
            snprintf(ctx->forgotten[ctx->forgotten_count++], CHECKPOINT_PATH_MAX, "%s",
                     (const char *)sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    return s;
}

static Status add_body(sqlite3 *db, void *context, Error *err)
{
    AddContext *ctx = context;
    Status s = insert_row(db, ctx->checkpoint, err);

    if (s == STATUS_OK)
        s = write_metrics(db, ctx, err);
    if (s == STATUS_OK)
        s = sql_run(db, err, "UPDATE jobs SET stalls = 0 WHERE id = ?1", "i", ctx->checkpoint->job);
    if (s == STATUS_OK)
        s = job_write_progress(db, ctx->checkpoint->job, ctx->progress, err);
    return s == STATUS_OK ? forget_rows(db, ctx, err) : s;
}

static void unlink_forgotten(const Store *store, const AddContext *ctx)
{
    for (size_t i = 0; i < ctx->forgotten_count; i++) {
        char *path = folder_join(store_directory(store), ctx->forgotten[i]);

        if (path != NULL)
            unlink(path);
        free(path);
    }
}

Status store_checkpoint_add(Store *store, Checkpoint *checkpoint, const MetricValue *values,
                            size_t count, const JobProgress *progress, Error *err)
{
    AddContext *ctx = calloc(1, sizeof *ctx);
    char *file = store_checkpoint_file(store, checkpoint);
    Status s;

    if (ctx == NULL || file == NULL) {
        s = error_set(err, STATUS_NO_MEMORY, "cannot allocate a checkpoint's row");
    } else {
        ctx->checkpoint = checkpoint;
        ctx->values = values;
        ctx->count = count;
        ctx->progress = progress;
        s = sha256_file(file, checkpoint->sha256, &checkpoint->bytes, err);
        checkpoint->created_ms = store_now_ms();
        if (s == STATUS_OK)
            s = store_write(store, add_body, ctx, err);
        if (s == STATUS_OK)
            unlink_forgotten(store, ctx);
    }
    free(file);
    free(ctx);
    return s;
}

static Status discard_body(sqlite3 *db, void *context, Error *err)
{
    const Checkpoint *c = context;

    return sql_run(db, err, "DELETE FROM checkpoints WHERE job = ?1 AND step = ?2", "ii", c->job,
                   (int64_t)c->step);
}

Status store_checkpoint_discard(Store *store, const Checkpoint *checkpoint, Error *err)
{
    Checkpoint copy = *checkpoint;
    char *path = store_checkpoint_file(store, checkpoint), *aside = NULL;
    Status s;

    if (path == NULL || asprintf(&aside, "%s.corrupt", path) < 0) {
        free(path);
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a path");
    }
    s = store_write(store, discard_body, &copy, err);
    if (s == STATUS_OK && rename(path, aside) != 0 && errno != ENOENT)
        s = error_errno(err, STATUS_IO, "cannot rename %s", path);
    free(path);
    free(aside);
    return s;
}

/* --- reading --- */

typedef struct ListContext {
    int64_t job;
    Checkpoint *items;
    size_t max, count;
} ListContext;

static Status list_body(sqlite3 *db, void *context, Error *err)
{
    ListContext *ctx = context;
    sqlite3_stmt *stmt;
    int row = 1;
    Status s = sql_prepare(db, &stmt, err,
                           "SELECT " CHECKPOINT_COLUMNS
                           " FROM checkpoints WHERE job = ?1 ORDER BY step DESC LIMIT ?2",
                           "ii", ctx->job, (int64_t)ctx->max);

    if (s != STATUS_OK)
        return s;
    while ((s = sql_step(stmt, &row, err)) == STATUS_OK && row && ctx->count < ctx->max)
        read_checkpoint(stmt, &ctx->items[ctx->count++]);
    sqlite3_finalize(stmt);
    return s;
}

Status store_checkpoint_list(Store *store, int64_t job, Checkpoint *ret, size_t max,
                             size_t *ret_count, Error *err)
{
    ListContext ctx = { job, ret, max, 0 };
    Status s = store_read(store, list_body, &ctx, err);

    if (s == STATUS_OK)
        *ret_count = ctx.count;
    return s;
}

typedef struct FindContext {
    int64_t job;
    const char *where;
    int64_t epoch;
    Checkpoint *ret;
    bool found;
} FindContext;

static Status find_body(sqlite3 *db, void *context, Error *err)
{
    FindContext *ctx = context;
    char sql[320];
    sqlite3_stmt *stmt;
    int row = 0;
    Status s;

    snprintf(sql, sizeof sql,
             "SELECT " CHECKPOINT_COLUMNS
             " FROM checkpoints WHERE job = ?1 AND (?2 = 0 OR (epoch = ?2 AND NOT partial)) AND %s "
             "ORDER BY step DESC LIMIT 1",
             ctx->where);
    s = sql_prepare(db, &stmt, err, sql, "ii", ctx->job, ctx->epoch);
    if (s != STATUS_OK)
        return s;
    s = sql_step(stmt, &row, err);
    if (s == STATUS_OK && row)
        read_checkpoint(stmt, ctx->ret);
    ctx->found = row != 0;
    sqlite3_finalize(stmt);
    return s;
}

static const char *const which_names[] = { "latest", "best" };

Status store_checkpoint_find(Store *store, int64_t job, CheckpointKey key, uint32_t epoch,
                             Checkpoint *ret, Error *err)
{
    /* The older of the two newest is there for recovery only. */
    static const char *const where[] = {
        [CHECKPOINT_KEY_LATEST] = "1",
        [CHECKPOINT_KEY_BEST] = "best",
        [CHECKPOINT_KEY_EPOCH] =
            "(best OR pinned OR step = (SELECT max(step) FROM checkpoints WHERE job = ?1))",
    };
    Checkpoint found;
    FindContext ctx = { job, where[key], key == CHECKPOINT_KEY_EPOCH ? epoch : 0, &found, false };
    Status s = key == CHECKPOINT_KEY_EPOCH && epoch == 0 ? STATUS_OK
                                                         : store_read(store, find_body, &ctx, err);

    if (s != STATUS_OK)
        return s;
    if (!ctx.found && key == CHECKPOINT_KEY_EPOCH)
        return error_set(err, STATUS_NOT_FOUND, "job %lld keeps no checkpoint of epoch %u",
                         (long long)job, epoch);
    if (!ctx.found)
        return error_set(err, STATUS_NOT_FOUND, "job %lld has no checkpoint \"%s\"", (long long)job,
                         which_names[key]);
    *ret = found;
    return STATUS_OK;
}

Status store_checkpoint_verify(Store *store, const Checkpoint *checkpoint, Error *err)
{
    char *path = store_checkpoint_file(store, checkpoint), digest[SHA256_HEX];
    uint64_t bytes = 0;
    Error why = { 0 };
    Status s;

    if (path == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a path");
    s = sha256_file(path, digest, &bytes, &why);
    free(path);
    if (s == STATUS_NOT_FOUND)
        return error_set(err, s, "checkpoint %s is gone", checkpoint->path);
    if (s != STATUS_OK)
        return error_set(err, s, "%s", error_message(&why));
    if (strcmp(digest, checkpoint->sha256) != 0)
        return error_set(err, STATUS_CORRUPT,
                         "checkpoint %s is corrupt: its SHA-256 is not the recorded one",
                         checkpoint->path);
    return STATUS_OK;
}

/* --- what a crash left behind --- */

static bool is_kept(const char *name, const Checkpoint *kept, size_t count)
{
    size_t length = strlen(name);

    if (length > 8 && strcmp(name + length - 8, ".corrupt") == 0)
        return true;
    for (size_t i = 0; i < count; i++)
        if (strcmp(strrchr(kept[i].path, '/') + 1, name) == 0)
            return true;
    return false;
}

Status store_checkpoint_sweep(Store *store, int64_t job, Error *err)
{
    Checkpoint *kept = calloc(CHECKPOINT_LIST_MAX, sizeof *kept);
    char *folder = job_folder(store, job);
    size_t count = 0;
    DIR *dir = NULL;
    Status s;

    if (kept == NULL || folder == NULL) {
        free(folder);
        free(kept);
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a list of checkpoints");
    }
    s = store_checkpoint_list(store, job, kept, CHECKPOINT_LIST_MAX, &count, err);
    if (s == STATUS_OK && count < CHECKPOINT_LIST_MAX)
        dir = opendir(folder); /* none: nothing to sweep */
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        if (strstr(entry->d_name, SUFFIX) != NULL && !is_kept(entry->d_name, kept, count))
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        closedir(dir);
    free(folder);
    free(kept);
    return s;
}
