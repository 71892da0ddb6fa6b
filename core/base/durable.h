/*
 * durable -- a file appears whole or not at all: temporary file, fsync, rename, fsync of the
 * folder.
 */
#pragma once

#include <stdio.h>

#include "core/base/error.h"

typedef struct DurableFile {
    FILE *stream; /* write here */
    char *path;
    char *temporary; /* path + ".tmp" */
} DurableFile;

/* Creates the temporary file (mode 0600) beside `path`. */
CHECKED Status durable_open(DurableFile *file, const char *path, Error *err);
/* Flush, fsync, rename over `path`, fsync of its folder. On failure the temporary file is removed.
 * Ends the DurableFile either way. */
CHECKED Status durable_commit(DurableFile *file, Error *err);
/* Throws the temporary file away. A zeroed or ended DurableFile is fine. */
void durable_abort(DurableFile *file);
