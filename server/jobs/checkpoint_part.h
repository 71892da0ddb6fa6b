/*
 * checkpoint_part -- some of a checkpoint, as a file of its own: one network of a `lease` job's
 * two, or all but what optimisers keep. Any thread.
 */
#pragma once

#include <stdbool.h>

#include "server/store/store.h"

/*
 * Writes what is wanted of the file at `path` into a nameless file of the data directory, for the
 * caller to close. part: "explainer" or "audience", whose prefix goes; "": everything.
 * STATUS_INVALID at `pointer`: the file has no such part.
 */
CHECKED Status checkpoint_cut(const Store *store, const char *path, const char *part, bool weights,
                              const char *pointer, int *ret_fd, Error *err);
/* Whether it has that part. */
CHECKED Status checkpoint_has_part(const char *path, const char *part, bool *ret, Error *err);
