/*
 * Points go in through store.c's queue and are written in batches; `latest` is brought up to date
 * in the same transaction. Reading streams a series through the thinner, so that a million points
 * cost no memory.
 */
#include "server/store/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/sql.h"
#include "server/store/store_private.h"

_Static_assert(sizeof((PendingPoint *)0)->key == METRIC_KEY_MAX, "a key fits");

void store_metric_append(Store *store, int64_t job, const MetricValue *values, size_t count)
{
    int64_t now = store_now_ms();

    while (count > 0) {
        PendingPoint points[16];
        size_t n = count < 16 ? count : 16;

        for (size_t i = 0; i < n; i++) {
            points[i] = (PendingPoint){
                .job = job, .unix_ms = now, .step = values[i].step, .value = values[i].value
            };
            memcpy(points[i].key, values[i].key, METRIC_KEY_MAX);
        }
        store_post(store, points, n);
        values += n;
        count -= n;
    }
}

static Status write_point(sqlite3 *db, const PendingPoint *p, sqlite3_stmt *point,
                          sqlite3_stmt *latest, Error *err)
{
    sqlite3_stmt *const both[] = { point, latest };
    int row;
    Status s = STATUS_OK;

    for (int i = 0; i < 2 && s == STATUS_OK; i++) {
        sqlite3_reset(both[i]);
        sqlite3_bind_int64(both[i], 1, p->job);
        sqlite3_bind_text(both[i], 2, p->key, -1, SQLITE_STATIC);
        sqlite3_bind_int64(both[i], 3, (int64_t)p->step);
        if (isnan(p->value))
            sqlite3_bind_text(both[i], 4, "NaN", 3, SQLITE_STATIC);
        else
            sqlite3_bind_double(both[i], 4, p->value);
        if (i == 0)
            sqlite3_bind_int64(both[i], 5, p->unix_ms);
        s = sql_step(both[i], &row, err);
        sqlite3_reset(both[i]); /* the key is the caller's */
    }
    return s;
}

Status metric_write(sqlite3 *db, const PendingPoint *points, size_t count, Error *err)
{
    sqlite3_stmt *point = NULL, *latest = NULL;
    Status s = sql_prepare(db, &point, err,
                           "INSERT OR REPLACE INTO points (job, key, step, value, unix_ms) VALUES "
                           "(?1, ?2, ?3, ?4, ?5)",
                           "");

    if (s == STATUS_OK)
        s = sql_prepare(db, &latest, err,
                        "INSERT INTO latest (job, key, step, value) VALUES (?1, ?2, ?3, ?4) "
                        "ON CONFLICT DO UPDATE SET step = excluded.step, value = excluded.value "
                        "WHERE excluded.step >= step",
                        "");
    for (size_t i = 0; i < count && s == STATUS_OK; i++)
        s = write_point(db, &points[i], point, latest, err);
    sqlite3_finalize(point);
    sqlite3_finalize(latest);
    return s;
}

/* --- forgetting --- */

typedef struct TruncateContext {
    int64_t job;
    uint64_t step;
} TruncateContext;

static Status truncate_body(sqlite3 *db, void *context, Error *err)
{
    const TruncateContext *ctx = context;
    Status s = sql_run(db, err, "DELETE FROM points WHERE job = ?1 AND step > ?2", "ii", ctx->job,
                       (int64_t)ctx->step);

    if (s == STATUS_OK)
        s = sql_run(db, err, "DELETE FROM latest WHERE job = ?1", "i", ctx->job);
    if (s == STATUS_OK) /* a bare column beside max() is that of the row with the maximum */
        s = sql_run(db, err,
                    "INSERT INTO latest (job, key, step, value) SELECT job, key, max(step), value "
                    "FROM points WHERE job = ?1 GROUP BY key",
                    "i", ctx->job);
    return s;
}

Status store_metric_truncate(Store *store, int64_t job, uint64_t step, Error *err)
{
    TruncateContext ctx = { job, step };

    return store_write(store, truncate_body, &ctx, err);
}

/* --- thinning --- */

/*
 * First and last point stay; what lies between is cut into equal buckets, and each gives its
 * lowest, its highest and its first NaN, in the order of steps.
 */
typedef struct Thinner {
    size_t total, buckets, seen; /* buckets 0: keep everything */
    size_t bucket;               /* the open one */
    bool low_set, nan_set;
    MetricPoint low, high, nan;
    MetricPoint *out;
    size_t count;
} Thinner;

static Thinner thinner_at(size_t total, size_t max_points, MetricPoint *out)
{
    return (Thinner){ .total = total,
                      .buckets = total <= max_points ? 0 : (max_points - 2) / 3,
                      .out = out };
}

static void close_bucket(Thinner *t)
{
    MetricPoint kept[3];
    size_t n = 0;

    if (t->low_set)
        kept[n++] = t->low;
    if (t->low_set && t->high.step != t->low.step)
        kept[n++] = t->high;
    if (t->nan_set)
        kept[n++] = t->nan;
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j > 0 && kept[j].step < kept[j - 1].step; j--) {
            MetricPoint swap = kept[j];

            kept[j] = kept[j - 1];
            kept[j - 1] = swap;
        }
    memcpy(t->out + t->count, kept, n * sizeof *kept);
    t->count += n;
    t->low_set = t->nan_set = false;
}

static void thinner_add(Thinner *t, MetricPoint p)
{
    size_t i = t->seen++, bucket;

    if (t->buckets == 0 || i == 0 || i == t->total - 1) {
        close_bucket(t);
        t->out[t->count++] = p;
        return;
    }
    bucket = (i - 1) * t->buckets / (t->total - 2);
    if (bucket != t->bucket) {
        close_bucket(t);
        t->bucket = bucket;
    }
    if (isnan(p.value)) {
        if (!t->nan_set)
            t->nan = p;
        t->nan_set = true;
    } else {
        if (!t->low_set || p.value < t->low.value)
            t->low = p;
        if (!t->low_set || p.value > t->high.value)
            t->high = p;
        t->low_set = true;
    }
}

size_t metric_thin(MetricPoint *points, size_t count, size_t max_points)
{
    Thinner t =
        thinner_at(count, max_points < METRIC_POINTS_MIN ? METRIC_POINTS_MIN : max_points, points);

    for (size_t i = 0; i < count; i++)
        thinner_add(&t, points[i]); /* writes no further than it has read */
    return t.count;
}

/* --- reading --- */

typedef struct QueryContext {
    int64_t job;
    const char *const *keys;
    size_t max_points;
    MetricList *list;
} QueryContext;

static bool wanted(const char *const *keys, const char *key)
{
    if (keys == NULL)
        return true;
    for (; *keys != NULL; keys++)
        if (strcmp(*keys, key) == 0)
            return true;
    return false;
}

/* The keys of a job, from `latest`, which has one row each. */
static Status read_keys(sqlite3 *db, const QueryContext *ctx, Error *err)
{
    MetricList *list = ctx->list;
    sqlite3_stmt *stmt;
    int row = 1;
    Status s = sql_prepare(db, &stmt, err, "SELECT key FROM latest WHERE job = ?1 ORDER BY key",
                           "i", ctx->job);

    if (s != STATUS_OK)
        return s;
    while (list->count < METRIC_SERIES_MAX && (s = sql_step(stmt, &row, err)) == STATUS_OK && row) {
        const char *key = (const char *)sqlite3_column_text(stmt, 0);

        if (wanted(ctx->keys, key))
            snprintf(list->series[list->count++].key, METRIC_KEY_MAX, "%s", key);
    }
    sqlite3_finalize(stmt);
    return s;
}

static Status read_series(sqlite3 *db, const QueryContext *ctx, MetricSeries *series, Error *err)
{
    sqlite3_stmt *stmt;
    int64_t total = 0;
    int row = 1;
    size_t room;
    MetricPoint *points;
    Thinner thinner;
    Status s =
        sql_int(db, 0, &total, err, "SELECT count(*) FROM points WHERE job = ?1 AND key = ?2", "is",
                ctx->job, series->key);

    if (s != STATUS_OK)
        return s;
    series->total = (uint64_t)total;
    room = series->total < ctx->max_points ? (size_t)total : ctx->max_points;
    points = calloc(room + 1, sizeof *points);
    if (points == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate %zu points", room);
    s = sql_prepare(
        db, &stmt, err,
        "SELECT step, value, unix_ms FROM points WHERE job = ?1 AND key = ?2 ORDER BY step", "is",
        ctx->job, series->key);
    if (s != STATUS_OK) {
        free(points);
        return s;
    }
    thinner = thinner_at((size_t)total, ctx->max_points, points);
    while (thinner.seen < (size_t)total && (s = sql_step(stmt, &row, err)) == STATUS_OK && row)
        thinner_add(&thinner,
                    (MetricPoint){ (uint64_t)sqlite3_column_int64(stmt, 0),
                                   sql_column_double(stmt, 1), sqlite3_column_int64(stmt, 2) });
    series->points = points;
    series->count = thinner.count;
    sqlite3_finalize(stmt);
    return s;
}

static Status query_body(sqlite3 *db, void *context, Error *err)
{
    QueryContext *ctx = context;
    Status s = read_keys(db, ctx, err);

    for (size_t i = 0; i < ctx->list->count && s == STATUS_OK; i++)
        s = read_series(db, ctx, &ctx->list->series[i], err);
    return s;
}

Status store_metric_query(Store *store, int64_t job, const char *const *keys, size_t max_points,
                          MetricList *ret, Error *err)
{
    MetricList list = { .series = calloc(METRIC_SERIES_MAX, sizeof *list.series) };
    QueryContext ctx = { job, keys, max_points, &list };
    Status s;

    if (list.series == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate the series");
    if (max_points < METRIC_POINTS_MIN)
        ctx.max_points = METRIC_POINTS_MIN;
    if (max_points > METRIC_POINTS_MAX)
        ctx.max_points = METRIC_POINTS_MAX;
    s = store_read(store, query_body, &ctx, err);
    if (s != STATUS_OK) {
        metric_list_clear(&list);
        return s;
    }
    *ret = list;
    return STATUS_OK;
}

void metric_list_clear(MetricList *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->series[i].points);
    free(list->series);
    *list = (MetricList){ 0 };
}
