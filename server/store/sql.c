/* Everything is bound, nothing is pasted into SQL. NaN travels as text because SQLite would turn it
 * into NULL. */
#include "server/store/sql.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

Status sql_error(sqlite3 *db, Error *err, const char *doing)
{
    int code = sqlite3_errcode(db);
    Status status = code == SQLITE_FULL                               ? STATUS_NO_SPACE
                    : code == SQLITE_NOMEM                            ? STATUS_NO_MEMORY
                    : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? STATUS_CORRUPT
                                                                      : STATUS_IO;

    return error_set(err, status, "cannot %s: %s", doing, sqlite3_errmsg(db));
}

static int bind_all(sqlite3_stmt *stmt, const char *format, va_list args)
{
    int code = SQLITE_OK;

    for (int i = 0; format[i] != '\0' && code == SQLITE_OK; i++) {
        if (format[i] == 'i') {
            code = sqlite3_bind_int64(stmt, i + 1, va_arg(args, int64_t));
        } else if (format[i] == 'd') {
            double value = va_arg(args, double);

            code = isnan(value) ? sqlite3_bind_text(stmt, i + 1, "NaN", 3, SQLITE_STATIC)
                                : sqlite3_bind_double(stmt, i + 1, value);
        } else {
            code = sqlite3_bind_text(stmt, i + 1, va_arg(args, const char *), -1, SQLITE_TRANSIENT);
        }
    }
    return code;
}

static Status prepare(sqlite3 *db, sqlite3_stmt **ret, Error *err, const char *sql,
                      const char *format, va_list args)
{
    sqlite3_stmt *stmt = NULL;
    Status s;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
        bind_all(stmt, format, args) == SQLITE_OK) {
        *ret = stmt;
        return STATUS_OK;
    }
    s = sql_error(db, err, "prepare a statement");
    sqlite3_finalize(stmt);
    return s;
}

Status sql_prepare(sqlite3 *db, sqlite3_stmt **ret, Error *err, const char *sql, const char *format,
                   ...)
{
    va_list args;
    Status s;

    va_start(args, format);
    s = prepare(db, ret, err, sql, format, args);
    va_end(args);
    return s;
}

Status sql_step(sqlite3_stmt *stmt, int *ret_row, Error *err)
{
    int code = sqlite3_step(stmt);

    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return sql_error(sqlite3_db_handle(stmt), err, "use the database");
    *ret_row = code == SQLITE_ROW;
    return STATUS_OK;
}

Status sql_run(sqlite3 *db, Error *err, const char *sql, const char *format, ...)
{
    sqlite3_stmt *stmt = NULL;
    int row = 1;
    va_list args;
    Status s;

    va_start(args, format);
    s = prepare(db, &stmt, err, sql, format, args);
    va_end(args);
    while (s == STATUS_OK && row)
        s = sql_step(stmt, &row, err);
    sqlite3_finalize(stmt);
    return s;
}

Status sql_int(sqlite3 *db, int64_t fallback, int64_t *ret, Error *err, const char *sql,
               const char *format, ...)
{
    sqlite3_stmt *stmt = NULL;
    int row = 0;
    va_list args;
    Status s;

    va_start(args, format);
    s = prepare(db, &stmt, err, sql, format, args);
    va_end(args);
    if (s == STATUS_OK)
        s = sql_step(stmt, &row, err);
    if (s == STATUS_OK)
        *ret = row && sqlite3_column_type(stmt, 0) != SQLITE_NULL ? sqlite3_column_int64(stmt, 0)
                                                                  : fallback;
    sqlite3_finalize(stmt);
    return s;
}

Status sql_script(sqlite3 *db, const char *sql, Error *err)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? STATUS_OK
               : sql_error(db, err, "use the database");
}

double sql_column_double(sqlite3_stmt *stmt, int column)
{
    int type = sqlite3_column_type(stmt, column);

    return type == SQLITE_FLOAT || type == SQLITE_INTEGER ? sqlite3_column_double(stmt, column)
                                                          : NAN;
}

Status sql_column_copy(sqlite3_stmt *stmt, int column, char **ret, Error *err)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);
    char *copy = text == NULL ? NULL : strdup((const char *)text);

    if (copy == NULL && sqlite3_column_type(stmt, column) != SQLITE_NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a text");
    *ret = copy;
    return STATUS_OK;
}
