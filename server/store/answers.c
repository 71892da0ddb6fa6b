/* The primary key (path, key) is what makes two requests under one key one: the second insertion
 * fails, and its transaction with it. */
#include "server/store/answers_private.h"

#include <stdlib.h>
#include <string.h>

#include "server/store/sql.h"
#include "server/store/store_private.h"

void answer_clear(Answer *answer)
{
    free(answer->location);
    free(answer->body);
    *answer = (Answer){ 0 };
}

Status answer_write(sqlite3 *db, const AnswerRequest *request, AnswerOf of, int64_t id,
                    const void *row, Error *err)
{
    char *body = request->body(row);
    Status s;

    if (body == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate an answer");
    s = sql_run(db, err,
                "INSERT INTO answers "
                "(path, key, body_sha256, location, answer, job, sweep, created_ms) "
                "VALUES (?1, ?2, ?3, ?1 || '/' || ?4, ?5, nullif(?6, 0), nullif(?7, 0), ?8) "
                "ON CONFLICT (path, key) DO NOTHING",
                "sssisiii", request->path, request->key, request->body_sha256, id, body,
                of == ANSWER_JOB ? id : (int64_t)0, of == ANSWER_SWEEP ? id : (int64_t)0,
                store_now_ms());
    free(body);
    if (s == STATUS_OK && sqlite3_changes(db) == 0)
        return error_set(err, STATUS_CONFLICT,
                         "a request with this Idempotency-Key was answered a moment ago");
    return s;
}

typedef struct FindContext {
    const AnswerRequest *request;
    Answer answer;
} FindContext;

static Status read_answer(sqlite3_stmt *stmt, FindContext *ctx, Error *err)
{
    const char *digest = (const char *)sqlite3_column_text(stmt, 0);
    Status s;

    if (digest == NULL || strcmp(digest, ctx->request->body_sha256) != 0)
        return error_set(err, STATUS_INVALID,
                         "this Idempotency-Key came with another body before: choose a new one");
    s = sql_column_copy(stmt, 1, &ctx->answer.location, err);
    return s == STATUS_OK ? sql_column_copy(stmt, 2, &ctx->answer.body, err) : s;
}

static Status find_body(sqlite3 *db, void *context, Error *err)
{
    FindContext *ctx = context;
    sqlite3_stmt *stmt;
    int row = 0;
    Status s = sql_prepare(
        db, &stmt, err,
        "SELECT body_sha256, location, answer FROM answers WHERE path = ?1 AND key = ?2", "ss",
        ctx->request->path, ctx->request->key);

    if (s != STATUS_OK)
        return s;
    s = sql_step(stmt, &row, err);
    if (s == STATUS_OK)
        s = row ? read_answer(stmt, ctx, err)
                : error_set(err, STATUS_NOT_FOUND, "nothing was answered under this key");
    sqlite3_finalize(stmt);
    return s;
}

Status store_answer_find(Store *store, const AnswerRequest *request, Answer *ret, Error *err)
{
    FindContext ctx = { .request = request };
    Status s = store_read(store, find_body, &ctx, err);

    if (s == STATUS_OK)
        *ret = ctx.answer;
    else
        answer_clear(&ctx.answer);
    return s;
}
