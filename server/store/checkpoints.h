/*
 * checkpoints -- which files a job wrote, with their digests. The file is durable before its row is
 * written, and the row is gone before the file is removed: a row never lies.
 *
 * Kept of each job: the two newest (the older for recovery only), the best, and those that are
 * pinned (every n-th epoch if asked).
 */
#pragma once

#include "server/store/jobs.h"

enum { CHECKPOINT_PATH_MAX = 96, SHA256_HEX = 65 };

typedef struct Checkpoint {
    int64_t job;
    uint64_t step;
    uint32_t epoch; /* epochs done */
    bool partial;   /* written in the middle of the next one, by a drain: not found by its epoch */
    char path[CHECKPOINT_PATH_MAX]; /* below store_directory() */
    char sha256[SHA256_HEX];
    uint64_t bytes;
    bool best;    /* the highest score so far, the earliest on ties */
    bool pinned;  /* kept for good */
    double score; /* what "best" goes by; NaN: not measured */
    int64_t created_ms;
} Checkpoint;

enum { CHECKPOINT_LIST_MAX = 1024 };

/* "jobs/7/checkpoints/120.safetensors"; makes the folders where they are missing. */
CHECKED Status store_checkpoint_prepare(Store *store, int64_t job, uint64_t step, Checkpoint *ret,
                                        Error *err);
/*
 * Writes, in one transaction: the row of a file that is in place (its digest and size are computed
 * here), the metric values and the progress that belong to it; then removes what retention no
 * longer keeps. Fill job, step, epoch, partial, path, pinned and score.
 */
CHECKED Status store_checkpoint_add(Store *store, Checkpoint *checkpoint, const MetricValue *values,
                                    size_t count, const JobProgress *progress, Error *err);
/* Reads: all rows of a job, newest first, at most `max`. */
CHECKED Status store_checkpoint_list(Store *store, int64_t job, Checkpoint *ret, size_t max,
                                     size_t *ret_count, Error *err);
typedef enum CheckpointKey {
    CHECKPOINT_KEY_LATEST,
    CHECKPOINT_KEY_BEST,
    CHECKPOINT_KEY_EPOCH
} CheckpointKey;

/* Reads: one that may be handed out. `epoch` is for CHECKPOINT_KEY_EPOCH (1-based).
 * STATUS_NOT_FOUND says which is missing. */
CHECKED Status store_checkpoint_find(Store *store, int64_t job, CheckpointKey key, uint32_t epoch,
                                     Checkpoint *ret, Error *err);
/* Removes files that have no row, which a crash may leave; corrupt ones set aside stay. Only while
 * the job does not run. */
CHECKED Status store_checkpoint_sweep(Store *store, int64_t job, Error *err);
/* Reads the file: STATUS_CORRUPT where its digest is not the row's, STATUS_NOT_FOUND where it is
 * gone. */
CHECKED Status store_checkpoint_verify(Store *store, const Checkpoint *checkpoint, Error *err);
/* Writes: forgets a row (a corrupt file stays on disk, renamed to *.corrupt). */
CHECKED Status store_checkpoint_discard(Store *store, const Checkpoint *checkpoint, Error *err);
/* STORE/path as text to be freed; NULL: out of memory. */
char *store_checkpoint_file(const Store *store, const Checkpoint *checkpoint);

/* SHA-256 of a file in lower-case hex. */
CHECKED Status sha256_file(const char *path, char ret[SHA256_HEX], uint64_t *ret_bytes, Error *err);
/* Of bytes in memory. */
CHECKED Status sha256_bytes(const void *bytes, size_t size, char ret[SHA256_HEX], Error *err);
