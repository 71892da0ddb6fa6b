/*
 * checkpoint_part -- some of a checkpoint, as a file of its own: one network of a `lease` job's
 * two, or all but what optimisers keep; and networks opened from it. Any thread.
 */
#pragma once

#include <stdbool.h>

#include "core/explain/explainer.h"
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
/* The network of the file at `path`, of its part; "": the only one, or of two the explainer.
 * `pool` is borrowed until explainer_free(). Errors as above, at "/model". */
CHECKED Status checkpoint_explainer(const Store *store, const char *path, const char *part,
                                    Pool *pool, Explainer **ret, Error *err);
