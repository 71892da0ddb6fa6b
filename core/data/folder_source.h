/* folder_source -- where the entries of a folder data set come from. Internal to the folder reader.
 */
#pragma once

#include <sys/stat.h>

#include "core/data/folder_gather.h"

/* Identifies what was read, for the cache: a digest of names, sizes and times, not of contents. */
typedef struct Fingerprint {
    uint64_t word[2];
} Fingerprint;

/* Mixes `size` bytes in; a zeroed Fingerprint is the start. No cryptographic strength.
 * (folder_cache.c) */
void fingerprint_add(Fingerprint *fingerprint, const void *bytes, size_t size);

/* ---- A directory (folder_directory.c) ---- */

typedef struct DirectoryFile {
    size_t path; /* offset in `paths` */
    uint64_t size;
    int64_t seconds, nanoseconds; /* of the last change */
    mode_t mode;
} DirectoryFile;

typedef struct Directory {
    int fd;
    DirectoryFile *file; /* [count], sorted by path */
    uint32_t count, room;
    char *paths;
    size_t paths_bytes, paths_room;
} Directory;

/* Lists all that is below `path`, without following links. STATUS_INVALID where it cannot be
 * opened; directory_clear() either way. */
CHECKED Status directory_list(Directory *directory, const char *label, const char *path,
                              Error *err);
void directory_clear(Directory *directory);
void directory_fingerprint(const Directory *directory, Fingerprint *fingerprint);
CHECKED Status directory_gather(const Directory *directory, Gather *gather, Error *err);

/* ---- An archive (folder_archive.c) ---- */

/* Reads all of it, once. STATUS_INVALID: no archive, or a damaged one. Takes over no descriptor. */
CHECKED Status archive_gather(int fd, Gather *gather, Error *err);
