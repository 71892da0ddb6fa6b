/*
 * A genotype's row is never changed but for `imported_ms`; sources and scores are rows of their
 * own, each keyed by the job it came from, so that a job that runs again after a crash writes over
 * what it wrote before.
 */
#include "server/store/genotypes.h"

#include <stdlib.h>

#include "server/store/sql.h"
#include "server/store/store_private.h"

void genotype_row_clear(GenotypeRow *row)
{
    free(row->text);
    free(row->source);
    free(row->score);
    *row = (GenotypeRow){ 0 };
}

void genotype_list_clear(GenotypeList *list)
{
    for (size_t i = 0; i < list->count; i++)
        genotype_row_clear(&list->items[i]);
    free(list->items);
    *list = (GenotypeList){ 0 };
}

/* --- writing --- */

static Status need(sqlite3 *db, const char *sql, int64_t id, const char *what, Error *err)
{
    int64_t found = 0;
    Status s = sql_int(db, 0, &found, err, sql, "i", id);

    if (s == STATUS_OK && found == 0)
        return error_set(err, STATUS_NOT_FOUND, "there is no %s %lld", what, (long long)id);
    return s;
}

static Status need_job(sqlite3 *db, int64_t job, Error *err)
{
    return need(db, "SELECT id FROM jobs WHERE id = ?1", job, "job", err);
}

static Status need_genotype(sqlite3 *db, int64_t id, Error *err)
{
    return need(db, "SELECT id FROM genotypes WHERE id = ?1", id, "genotype", err);
}

typedef struct PutContext {
    const char *text;
    GenotypeSource source;
    int64_t id;
    bool is_new;
} PutContext;

static Status put_body(sqlite3 *db, void *context, Error *err)
{
    PutContext *ctx = context;
    int64_t now = store_now_ms();
    Status s = ctx->source.job == 0 ? STATUS_OK : need_job(db, ctx->source.job, err);

    if (s == STATUS_OK)
        s = sql_run(db, err,
                    "INSERT INTO genotypes (text, created_ms) VALUES (?1, ?2) "
                    "ON CONFLICT (text) DO NOTHING",
                    "si", ctx->text, now);
    ctx->is_new = s == STATUS_OK && sqlite3_changes(db) > 0;
    if (s == STATUS_OK)
        s = sql_int(db, 0, &ctx->id, err, "SELECT id FROM genotypes WHERE text = ?1", "s",
                    ctx->text);
    if (s != STATUS_OK)
        return s;
    if (ctx->source.job == 0)
        return sql_run(db, err,
                       "UPDATE genotypes SET imported_ms = ?2 WHERE id = ?1 AND imported_ms = 0",
                       "ii", ctx->id, now);
    return sql_run(db, err,
                   "INSERT INTO genotype_sources (job, epoch, genotype) VALUES (?1, ?2, ?3) "
                   "ON CONFLICT (job, epoch) DO UPDATE SET genotype = excluded.genotype",
                   "iii", ctx->source.job, (int64_t)ctx->source.epoch, ctx->id);
}

Status store_genotype_put(Store *store, const char *text, int64_t job, uint32_t epoch,
                          int64_t *ret_id, bool *ret_new, Error *err)
{
    PutContext ctx = { .text = text, .source = { job, epoch } };
    Status s = store_write(store, put_body, &ctx, err);

    if (s != STATUS_OK)
        return s;
    *ret_id = ctx.id;
    if (ret_new != NULL)
        *ret_new = ctx.is_new;
    return STATUS_OK;
}

typedef struct ScoreContext {
    int64_t id;
    const GenotypeScore *score;
} ScoreContext;

static Status score_body(sqlite3 *db, void *context, Error *err)
{
    const ScoreContext *ctx = context;
    const GenotypeScore *score = ctx->score;
    Status s = need_genotype(db, ctx->id, err);

    if (s == STATUS_OK)
        s = need_job(db, score->job, err);
    if (s != STATUS_OK)
        return s;
    return sql_run(db, err,
                   "INSERT OR REPLACE INTO genotype_scores "
                   "(job, genotype, accuracy, val_accuracy, parameters, epochs, created_ms) "
                   "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                   "iiddiii", score->job, ctx->id, score->accuracy, score->val_accuracy,
                   (int64_t)score->parameters, (int64_t)score->epochs, store_now_ms());
}

Status store_genotype_score(Store *store, int64_t id, const GenotypeScore *score, Error *err)
{
    ScoreContext ctx = { id, score };

    return store_write(store, score_body, &ctx, err);
}

/* --- reading --- */

#define GENOTYPE_COLUMNS                                            \
    "id, text, created_ms, imported_ms, "                           \
    "(SELECT count(*) FROM genotype_sources WHERE genotype = id), " \
    "(SELECT count(*) FROM genotype_scores WHERE genotype = id), "  \
    "(SELECT max(iif(accuracy = 'NaN', NULL, accuracy)) FROM genotype_scores WHERE genotype = id)"

/* A row of GENOTYPE_COLUMNS. */
static Status read_row(sqlite3_stmt *stmt, GenotypeRow *ret, Error *err)
{
    *ret = (GenotypeRow){ .id = sqlite3_column_int64(stmt, 0),
                          .created_ms = sqlite3_column_int64(stmt, 2),
                          .imported_ms = sqlite3_column_int64(stmt, 3),
                          .sources = (uint64_t)sqlite3_column_int64(stmt, 4),
                          .scores = (uint64_t)sqlite3_column_int64(stmt, 5),
                          .accuracy = sql_column_double(stmt, 6) };
    return sql_column_copy(stmt, 1, &ret->text, err);
}

static Status read_sources(sqlite3 *db, GenotypeRow *row, Error *err)
{
    sqlite3_stmt *stmt;
    int more = 1;
    Status s;

    row->source = calloc(GENOTYPE_SOURCES_MAX, sizeof *row->source);
    if (row->source == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a genotype's sources");
    s = sql_prepare(db, &stmt, err,
                    "SELECT job, epoch FROM genotype_sources WHERE genotype = ?1 "
                    "ORDER BY job DESC, epoch DESC LIMIT ?2",
                    "ii", row->id, (int64_t)GENOTYPE_SOURCES_MAX);
    if (s != STATUS_OK)
        return s;
    while ((s = sql_step(stmt, &more, err)) == STATUS_OK && more)
        row->source[row->source_count++] =
            (GenotypeSource){ sqlite3_column_int64(stmt, 0),
                              (uint32_t)sqlite3_column_int64(stmt, 1) };
    sqlite3_finalize(stmt);
    return s;
}

static Status read_scores(sqlite3 *db, GenotypeRow *row, Error *err)
{
    sqlite3_stmt *stmt;
    int more = 1;
    Status s;

    row->score = calloc(GENOTYPE_SCORES_MAX, sizeof *row->score);
    if (row->score == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a genotype's scores");
    s = sql_prepare(db, &stmt, err,
                    "SELECT job, accuracy, val_accuracy, parameters, epochs, created_ms "
                    "FROM genotype_scores WHERE genotype = ?1 ORDER BY job DESC LIMIT ?2",
                    "ii", row->id, (int64_t)GENOTYPE_SCORES_MAX);
    if (s != STATUS_OK)
        return s;
    while ((s = sql_step(stmt, &more, err)) == STATUS_OK && more)
        row->score[row->score_count++] =
            (GenotypeScore){ .job = sqlite3_column_int64(stmt, 0),
                             .accuracy = sql_column_double(stmt, 1),
                             .val_accuracy = sql_column_double(stmt, 2),
                             .parameters = (uint64_t)sqlite3_column_int64(stmt, 3),
                             .epochs = (uint32_t)sqlite3_column_int64(stmt, 4),
                             .created_ms = sqlite3_column_int64(stmt, 5) };
    sqlite3_finalize(stmt);
    return s;
}

typedef struct GetContext {
    int64_t id;
    GenotypeRow row;
} GetContext;

static Status get_body(sqlite3 *db, void *context, Error *err)
{
    GetContext *ctx = context;
    sqlite3_stmt *stmt;
    int row = 0;
    Status s = sql_prepare(
        db, &stmt, err, "SELECT " GENOTYPE_COLUMNS " FROM genotypes WHERE id = ?1", "i", ctx->id);

    if (s != STATUS_OK)
        return s;
    s = sql_step(stmt, &row, err);
    if (s == STATUS_OK && !row)
        s = error_set(err, STATUS_NOT_FOUND, "there is no genotype %lld", (long long)ctx->id);
    if (s == STATUS_OK)
        s = read_row(stmt, &ctx->row, err);
    sqlite3_finalize(stmt);
    if (s == STATUS_OK)
        s = read_sources(db, &ctx->row, err);
    if (s == STATUS_OK)
        s = read_scores(db, &ctx->row, err);
    return s;
}

Status store_genotype_get(Store *store, int64_t id, GenotypeRow *ret, Error *err)
{
    GetContext ctx = { .id = id };
    Status s = store_read(store, get_body, &ctx, err);

    if (s == STATUS_OK)
        *ret = ctx.row;
    else
        genotype_row_clear(&ctx.row);
    return s;
}

typedef struct FindContext {
    const char *text; /* NULL: by source */
    GenotypeSource source;
    int64_t id;
} FindContext;

static Status find_body(sqlite3 *db, void *context, Error *err)
{
    FindContext *ctx = context;
    const GenotypeSource *source = &ctx->source;
    Status s;

    if (ctx->text != NULL) {
        s = sql_int(db, 0, &ctx->id, err, "SELECT id FROM genotypes WHERE text = ?1", "s",
                    ctx->text);
        if (s == STATUS_OK && ctx->id == 0)
            s = error_set(err, STATUS_NOT_FOUND, "nobody has found this genotype");
        return s;
    }
    s = sql_int(db, 0, &ctx->id, err,
                "SELECT genotype FROM genotype_sources WHERE job = ?1 AND epoch = ?2", "ii",
                source->job, (int64_t)source->epoch);
    if (s == STATUS_OK && ctx->id == 0)
        s = error_set(err, STATUS_NOT_FOUND, "job %lld has no genotype of epoch %u",
                      (long long)source->job, source->epoch);
    return s;
}

static Status find(Store *store, FindContext *ctx, int64_t *ret_id, Error *err)
{
    Status s = store_read(store, find_body, ctx, err);

    if (s == STATUS_OK)
        *ret_id = ctx->id;
    return s;
}

Status store_genotype_find(Store *store, const char *text, int64_t *ret_id, Error *err)
{
    FindContext ctx = { .text = text };

    return find(store, &ctx, ret_id, err);
}

Status store_genotype_of(Store *store, int64_t job, uint32_t epoch, int64_t *ret_id, Error *err)
{
    FindContext ctx = { .source = { job, epoch } };

    return find(store, &ctx, ret_id, err);
}

typedef struct ListContext {
    GenotypeFilter filter;
    GenotypeList list;
} ListContext;

static Status list_body(sqlite3 *db, void *context, Error *err)
{
    ListContext *ctx = context;
    const GenotypeFilter *filter = &ctx->filter;
    GenotypeList *list = &ctx->list;
    sqlite3_stmt *stmt;
    int row = 1;
    Status s = sql_prepare(
        db, &stmt, err,
        "SELECT " GENOTYPE_COLUMNS " FROM genotypes WHERE (?1 = 0 OR id < ?1) AND (?2 = 0 OR "
        "id IN (SELECT genotype FROM genotype_sources WHERE job = ?2 UNION "
        "SELECT genotype FROM genotype_scores WHERE job = ?2)) ORDER BY id DESC LIMIT ?3",
        "iii", filter->before, filter->job, (int64_t)filter->limit + 1);

    if (s != STATUS_OK)
        return s;
    while ((s = sql_step(stmt, &row, err)) == STATUS_OK && row) {
        if (list->count == filter->limit) {
            list->next = list->items[filter->limit - 1].id;
            break;
        }
        s = read_row(stmt, &list->items[list->count], err);
        if (s != STATUS_OK)
            break;
        list->count++;
    }
    sqlite3_finalize(stmt);
    return s;
}

Status store_genotype_list(Store *store, const GenotypeFilter *filter, GenotypeList *ret,
                           Error *err)
{
    ListContext ctx = { .filter = *filter };
    uint32_t limit = filter->limit;
    Status s;

    ctx.filter.limit = limit < 1 ? 1 : limit > GENOTYPE_LIST_MAX ? GENOTYPE_LIST_MAX : limit;
    ctx.list.items = calloc(ctx.filter.limit, sizeof *ctx.list.items);
    if (ctx.list.items == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a list of genotypes");
    s = store_read(store, list_body, &ctx, err);
    if (s != STATUS_OK) {
        genotype_list_clear(&ctx.list);
        return s;
    }
    *ret = ctx.list;
    return STATUS_OK;
}
