/*
 * migrate -- brings a database to this program's schema. Private to server/store, and to its test.
 *
 * A migration is an embedded file NNNN_name.sql, NNNN counting from 0001; PRAGMA user_version is
 * the number of the last one applied.
 */
#pragma once

#include <sqlite3.h>

#include "core/base/embedded.h"
#include "core/base/error.h"

/* schema/migrations, in order. */
extern const EmbeddedFile store_migrations[];

/*
 * Applies what is missing, each in its own transaction. A database that already had a schema is
 * copied to `backup_folder`/leased-v<N>-<ms>.db first. STATUS_CONFLICT: its schema is newer than
 * `migrations`.
 */
CHECKED Status migrate(sqlite3 *db, const EmbeddedFile *migrations, const char *backup_folder,
                       Error *err);
