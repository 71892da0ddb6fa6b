/*
 * sql -- the little that the store needs on top of sqlite3.h. Private to server/store. A connection
 * belongs to one thread at a time.
 *
 * Arguments are bound by a format, one letter each: i int64_t, d double (NaN becomes the text
 * "NaN"), s const char * (NULL is NULL).
 */
#pragma once

#include <sqlite3.h>
#include <stdint.h>

#include "core/base/error.h"

/* The connection's error as a Status and words; `doing` completes "cannot ...". */
Status sql_error(sqlite3 *db, Error *err, const char *doing);
/* A statement with its arguments bound, to be stepped by sql_step() and ended by
 * sqlite3_finalize(). */
CHECKED Status sql_prepare(sqlite3 *db, sqlite3_stmt **ret, Error *err, const char *sql,
                           const char *format, ...);
/* *ret_row: 1 a row is there, 0 the end. */
CHECKED Status sql_step(sqlite3_stmt *stmt, int *ret_row, Error *err);
/* Prepares, runs to the end, finalizes. */
CHECKED Status sql_run(sqlite3 *db, Error *err, const char *sql, const char *format, ...);
/* The first column of the first row; `fallback` where there is none or it is NULL. */
CHECKED Status sql_int(sqlite3 *db, int64_t fallback, int64_t *ret, Error *err, const char *sql,
                       const char *format, ...);
/* Several statements without arguments. */
CHECKED Status sql_script(sqlite3 *db, const char *sql, Error *err);

/* A column as a number; "NaN" comes back as NaN, NULL too. */
double sql_column_double(sqlite3_stmt *stmt, int column);
/* A copy of a text column, NULL for NULL; STATUS_NO_MEMORY. */
CHECKED Status sql_column_copy(sqlite3_stmt *stmt, int column, char **ret, Error *err);
