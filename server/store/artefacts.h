/*
 * artefacts -- what a job leaves besides its checkpoints: files with their digests, and the
 * architecture's weights of each epoch. As with checkpoints, a file is durable before its row is
 * written: a row never lies. An attempt that runs again writes over what one before it wrote.
 */
#pragma once

#include "server/store/checkpoints.h"

enum { ARTEFACT_NAME_MAX = 32 };

typedef struct Artefact {
    int64_t job;
    char name[ARTEFACT_NAME_MAX];   /* "maps/train" */
    char path[CHECKPOINT_PATH_MAX]; /* below store_directory() */
    char sha256[SHA256_HEX];
    uint64_t bytes;
    int64_t created_ms;
} Artefact;

/* "jobs/7/maps/train.safetensors" for "maps/train"; makes the folders where they are missing. */
CHECKED Status store_artefact_prepare(Store *store, int64_t job, const char *name, Artefact *ret,
                                      Error *err);
/* Writes: the row of a file that is in place; digest and size are computed here. */
CHECKED Status store_artefact_add(Store *store, Artefact *artefact, Error *err);
/* Reads. STATUS_NOT_FOUND says which is missing. */
CHECKED Status store_artefact_find(Store *store, int64_t job, const char *name, Artefact *ret,
                                   Error *err);
/* Reads: those whose name is `prefix` and a number, by that number; at most `max`. */
CHECKED Status store_artefact_list(Store *store, int64_t job, const char *prefix, Artefact *ret,
                                   size_t max, size_t *ret_count, Error *err);
/* Reads the file: STATUS_CORRUPT where its digest is not the row's, STATUS_NOT_FOUND where it is
 * gone. */
CHECKED Status store_artefact_verify(Store *store, const Artefact *artefact, Error *err);
/* STORE/path as text to be freed; NULL: out of memory. */
char *store_artefact_file(const Store *store, const Artefact *artefact);

/* Writes: the architecture of a job's epoch, as a JSON object. */
CHECKED Status store_alphas_put(Store *store, int64_t job, uint32_t epoch, uint64_t step,
                                const char *weights, Error *err);
/* Reads: of an epoch; 0: of the newest. *ret_weights is to be freed. STATUS_NOT_FOUND says which is
 * missing. */
CHECKED Status store_alphas_get(Store *store, int64_t job, uint32_t epoch, uint32_t *ret_epoch,
                                uint64_t *ret_step, char **ret_weights, Error *err);
