/*
 * folder_cache -- decoded images of folder data sets on disk, so that only the first opening
 * decodes. Internal to the folder reader.
 *
 * One file a (path, image size) in the cache's directory; it says which sizes and times of the
 * source it was made from, and is believed only if that, its length and its digest are right.
 */
#pragma once

#include "core/data/folder_source.h"

typedef struct CacheKey {
    const char *folder; /* where caches lie */
    const char *label;
    uint32_t image_size;
    Fingerprint path, source; /* of the source's path; of path, sizes and times */
} CacheKey;

/* NULL: there is none, it is stale or damaged, or there is no memory; then the source is read. */
Dataset *folder_cache_read(const CacheKey *key);

/* Durably, in place of an older one. Where it fails (a full disk, say) the next opening takes
 * longer, and that is all. */
void folder_cache_write(const CacheKey *key, const Dataset *dataset);
