/* store_private -- how one file a table reaches the database. Private to server/store, and to its
 * tests. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>

#include "core/base/embedded.h"
#include "server/store/store.h"

/* Runs inside a transaction; a failure rolls it back. */
typedef Status (*StoreBody)(sqlite3 *db, void *context, Error *err);

/* Runs `body` on the writer thread after everything handed over before; returns when it is durable,
 * or failed. */
CHECKED Status store_write(Store *store, StoreBody body, void *context, Error *err);
/* Runs `body` on this thread with a read-only connection; all its statements see the same moment.
 */
CHECKED Status store_read(Store *store, StoreBody body, void *context, Error *err);

/* One metric point on its way to the disk. */
typedef struct PendingPoint {
    int64_t job, unix_ms;
    uint64_t step;
    double value;
    char key[48];
} PendingPoint;

/* Hands points over without waiting; what does not fit is counted as dropped. */
void store_post(Store *store, const PendingPoint *points, size_t count);
/* metrics.c: writes a batch in the transaction that is open. */
Status metric_write(sqlite3 *db, const PendingPoint *points, size_t count, Error *err);

/* store_open() with other migrations, and room for `queue` points. */
CHECKED Status store_open_with(const char *directory, const EmbeddedFile *migrations, size_t queue,
                               Store **ret, Error *err);
/* For tests of backpressure: while true, the writer writes no points. */
void store_hold_points(Store *store, bool hold);
