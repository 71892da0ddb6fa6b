/*
 * store -- the daemon's memory: one SQLite file and the artefacts beside it, in one locked folder.
 *
 * - DATA/leased.db: jobs, metrics, checkpoints (tables in schema/migrations)
 * - DATA/lock: held while a daemon lives here; holds its pid
 * - DATA/backup/: copies of the database made before a migration
 * - DATA/jobs/<id>/checkpoints/<step>.safetensors
 * - DATA/jobs/<id>/maps/<split>.safetensors
 *
 * One writer thread owns all writes (WAL, synchronous = FULL): functions marked "writes" hand it a
 * closure and wait until that is durable; metric points are handed over without waiting. Functions
 * marked "reads" use the calling thread's turn on one of a few read-only connections. Any thread
 * may call any of them. Everything here fails with STATUS_IO, STATUS_NO_SPACE (disk full) or
 * STATUS_NO_MEMORY besides what is named.
 *
 * One header a table: jobs.h, metrics.h, checkpoints.h, artefacts.h, genotypes.h, sweeps.h,
 * explanations.h, answers.h.
 */
#pragma once

#include <stdint.h>

#include "core/base/error.h"

typedef struct Store Store;

/*
 * Creates the folder (0700; its parent must exist), locks it, opens and migrates the database.
 * Foreign files are left alone. STATUS_CONFLICT: another daemon (its pid is named) holds it, or the
 * schema is newer than this program. STATUS_IO: not writable.
 */
CHECKED Status store_open(const char *directory, Store **ret, Error *err);
/* Writes what is still queued, then closes and unlocks; NULL is fine. No other call may be in
 * progress. */
void store_close(Store *store);

/* As given to store_open(). */
const char *store_directory(const Store *store);
/* Grows by one with every store_open() of this folder. */
int64_t store_boot(const Store *store);
/* Metric points that were thrown away because the queue was full or the disk refused them:
 * `leased_dropped_total`. */
uint64_t store_dropped(const Store *store);
/* Reads: STATUS_OK while the database answers (readiness). */
CHECKED Status store_ping(Store *store, Error *err);
/* Bytes that the folder's file system has left for us. */
uint64_t store_free_bytes(const Store *store);

/* Wall-clock milliseconds since 1970. */
int64_t store_now_ms(void);
