/*
 * The state machine is the one table below; every change goes through it and through a
 * compare-and-set on the version, in one transaction of the writer thread.
 */
#include <stdio.h>

#include "server/store/jobs_private.h"
#include "server/store/sql.h"
#include "server/store/store_private.h"

#define BIT(state) (1u << (state))

/* What may follow each state. */
static const uint32_t allowed[JOB_STATE_COUNT] = {
    [JOB_QUEUED] = BIT(JOB_STARTING) | BIT(JOB_CANCELLED),
    [JOB_STARTING] = BIT(JOB_RUNNING) | BIT(JOB_STOPPING) | BIT(JOB_FAILED) | BIT(JOB_QUEUED),
    [JOB_RUNNING] = BIT(JOB_STOPPING) | BIT(JOB_SUCCEEDED) | BIT(JOB_EARLY_STOPPED) |
                    BIT(JOB_FAILED) | BIT(JOB_QUEUED),
    [JOB_STOPPING] =
        BIT(JOB_SUCCEEDED) | BIT(JOB_EARLY_STOPPED) | BIT(JOB_FAILED) | BIT(JOB_CANCELLED),
    [JOB_INTERRUPTED] = BIT(JOB_QUEUED) | BIT(JOB_FAILED) | BIT(JOB_CANCELLED),
};

typedef struct TakeContext {
    int64_t boot;
    Job *job;
} TakeContext;

static Status take_body(sqlite3 *db, void *context, Error *err)
{
    TakeContext *ctx = context;
    int64_t id = 0;
    Status s = sql_int(
        db, 0, &id, err,
        "SELECT id FROM jobs WHERE state = 'queued' ORDER BY priority DESC, id LIMIT 1", "");

    if (s == STATUS_OK && id == 0)
        return error_set(err, STATUS_NOT_FOUND, "no job is queued");
    if (s == STATUS_OK)
        s = sql_run(db, err,
                    "UPDATE jobs SET state = 'starting', attempt = attempt + 1, stalls = stalls + "
                    "1, version = version + 1, "
                    "boot = ?2, started_ms = iif(started_ms = 0, ?3, started_ms) WHERE id = ?1",
                    "iii", id, ctx->boot, store_now_ms());
    return s == STATUS_OK ? job_read(db, id, ctx->job, err) : s;
}

Status store_job_take(Store *store, Job *ret, Error *err)
{
    Job job = { 0 };
    TakeContext ctx = { store_boot(store), &job };
    Status s = store_write(store, take_body, &ctx, err);

    if (s == STATUS_OK)
        *ret = job;
    else
        job_clear(&job); /* read, but not committed */
    return s;
}

typedef struct ChangeContext {
    int64_t id, version;
    const JobChange *change;
} ChangeContext;

static Status check_change(sqlite3 *db, const ChangeContext *ctx, Error *err)
{
    sqlite3_stmt *stmt;
    int row = 0;
    JobState from = JOB_QUEUED;
    Status s = sql_prepare(db, &stmt, err, "SELECT id, state, version FROM jobs WHERE id = ?1", "i",
                           ctx->id);

    if (s != STATUS_OK)
        return s;
    s = sql_step(stmt, &row, err);
    if (s == STATUS_OK && !row)
        s = error_set(err, STATUS_NOT_FOUND, "there is no job %lld", (long long)ctx->id);
    if (s == STATUS_OK)
        s = job_read_state(stmt, 1, &from, err);
    if (s == STATUS_OK && sqlite3_column_int64(stmt, 2) != ctx->version)
        s = error_set(err, STATUS_CONFLICT, "job %lld has changed meanwhile", (long long)ctx->id);
    if (s == STATUS_OK && (allowed[from] & BIT(ctx->change->state)) == 0)
        s = error_set(err, STATUS_CONFLICT, "job %lld is %s and cannot become %s",
                      (long long)ctx->id, job_state_names[from],
                      job_state_names[ctx->change->state]);
    sqlite3_finalize(stmt);
    return s;
}

Status job_write_progress(sqlite3 *db, int64_t id, const JobProgress *p, Error *err)
{
    return sql_run(db, err,
                   "UPDATE jobs SET epoch = ?2, epochs = ?3, step = ?4, steps = ?5, eta_seconds = "
                   "?6 WHERE id = ?1",
                   "iiiiid", id, (int64_t)p->epoch, (int64_t)p->epochs, (int64_t)p->step,
                   (int64_t)p->steps, p->eta_seconds >= 0 ? p->eta_seconds : -1.0);
}

static Status change_body(sqlite3 *db, void *context, Error *err)
{
    ChangeContext *ctx = context;
    const JobChange *c = ctx->change;
    bool final = job_state_final(c->state);
    Status s = check_change(db, ctx, err);

    /* A drained attempt did not crash: it does not count as a stall. */
    if (s == STATUS_OK)
        s = sql_run(db, err,
                    "UPDATE jobs SET state = ?2, version = version + 1, reason = iif(?3 IS NULL, "
                    "reason, nullif(?3, '')), "
                    "result = coalesce(?4, result), record = coalesce(?5, record), desired = "
                    "iif(?6, 'cancelled', desired), "
                    "resumed_step = iif(?7 < 0, resumed_step, ?7), finished_ms = ?8, "
                    "stalls = iif(?2 = 'queued', max(stalls - 1, 0), stalls) WHERE id = ?1",
                    "issssiii", ctx->id, job_state_names[c->state], c->reason, c->result, c->record,
                    (int64_t)c->desire_cancel,
                    c->resumed_step == NULL ? (int64_t)-1 : (int64_t)*c->resumed_step,
                    final ? store_now_ms() : (int64_t)0);
    if (s == STATUS_OK && c->progress != NULL)
        s = job_write_progress(db, ctx->id, c->progress, err);
    return s;
}

Status store_job_change(Store *store, int64_t id, int64_t version, const JobChange *change,
                        int64_t *ret_version, Error *err)
{
    ChangeContext ctx = { id, version, change };
    Status s = store_write(store, change_body, &ctx, err);

    if (s == STATUS_OK && ret_version != NULL)
        *ret_version = version + 1;
    return s;
}

/* --- after a crash --- */

typedef struct ReconcileContext {
    int64_t boot;
    uint32_t requeued, failed;
} ReconcileContext;

static Status reconcile_body(sqlite3 *db, void *context, Error *err)
{
    ReconcileContext *ctx = context;
    int64_t now = store_now_ms();
    char capped[160];
    Status s =
        sql_run(db, err,
                "UPDATE jobs SET state = 'interrupted', version = version + 1, eta_seconds = -1 "
                "WHERE state IN ('starting', 'running', 'stopping') AND boot <> ?1",
                "i", ctx->boot);

    snprintf(
        capped, sizeof capped,
        "the daemon ended %d times in a row while this job ran, without a new checkpoint between",
        JOB_ATTEMPTS_MAX);
    if (s == STATUS_OK)
        s = sql_run(db, err,
                    "UPDATE jobs SET state = 'cancelled', version = version + 1, finished_ms = ?1 "
                    "WHERE state = 'interrupted' AND desired = 'cancelled'",
                    "i", now);
    if (s == STATUS_OK)
        s = sql_run(db, err,
                    "UPDATE jobs SET state = 'failed', version = version + 1, finished_ms = ?1, "
                    "reason = ?2 "
                    "WHERE state = 'interrupted' AND stalls >= ?3",
                    "isi", now, capped, (int64_t)JOB_ATTEMPTS_MAX);
    if (s == STATUS_OK)
        ctx->failed = (uint32_t)sqlite3_changes(db);
    if (s == STATUS_OK)
        s = sql_run(
            db, err,
            "UPDATE jobs SET state = 'queued', version = version + 1, "
            "reason = 'interrupted: the daemon ended while it ran' WHERE state = 'interrupted'",
            "");
    if (s == STATUS_OK)
        ctx->requeued = (uint32_t)sqlite3_changes(db);
    return s;
}

Status store_job_reconcile(Store *store, uint32_t *ret_requeued, uint32_t *ret_failed, Error *err)
{
    ReconcileContext ctx = { .boot = store_boot(store) };
    Status s = store_write(store, reconcile_body, &ctx, err);

    if (s == STATUS_OK) {
        *ret_requeued = ctx.requeued;
        *ret_failed = ctx.failed;
    }
    return s;
}
