/* folder -- the data directory: made, closed to others, locked. Private to server/store. */
#pragma once

#include "core/base/error.h"

/* Creates `path` and its missing parents, 0700. STATUS_IO names the folder that could not be made
 * or written. */
CHECKED Status folder_create(const char *path, Error *err);
/* Takes the lock file and writes our pid into it; *ret_fd holds the lock until closed.
 * STATUS_CONFLICT names the holder. */
CHECKED Status folder_lock(const char *path, int *ret_fd, Error *err);
/* "a/b" as text to be freed; NULL: out of memory. */
char *folder_join(const char *folder, const char *name);
