/* Apart from the jobs' rows: a large network's is larger than all the rest of a row, and lists
 * would carry it. */
#include "server/store/profiles.h"

#include "server/store/sql.h"
#include "server/store/store_private.h"

typedef struct ProfileContext {
    int64_t job;
    const char *json;
    char *text;
} ProfileContext;

static Status put_body(sqlite3 *db, void *context, Error *err)
{
    const ProfileContext *put = context;

    return sql_run(db, err, "INSERT OR REPLACE INTO profiles (job, profile) VALUES (?1, ?2)", "is",
                   put->job, put->json);
}

Status store_profile_put(Store *store, int64_t job, const char *json, Error *err)
{
    ProfileContext put = { .job = job, .json = json };

    return store_write(store, put_body, &put, err);
}

static Status get_body(sqlite3 *db, void *context, Error *err)
{
    ProfileContext *get = context;
    sqlite3_stmt *stmt;
    int row = 0;
    Status s =
        sql_prepare(db, &stmt, err, "SELECT profile FROM profiles WHERE job = ?1", "i", get->job);

    if (s != STATUS_OK)
        return s;
    s = sql_step(stmt, &row, err);
    if (s == STATUS_OK && !row)
        s = error_set(err, STATUS_NOT_FOUND, "job %lld has no profile", (long long)get->job);
    if (s == STATUS_OK)
        s = sql_column_copy(stmt, 0, &get->text, err);
    sqlite3_finalize(stmt);
    return s;
}

Status store_profile_get(Store *store, int64_t job, char **ret, Error *err)
{
    ProfileContext get = { .job = job };
    Status s = store_read(store, get_body, &get, err);

    if (s == STATUS_OK)
        *ret = get.text;
    return s;
}
