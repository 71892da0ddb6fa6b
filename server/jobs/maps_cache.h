/*
 * maps_cache -- the last answers in memory, by the digest of what they depend on: at most so many
 * bytes, the one longest not asked for goes first. Any thread.
 */
#pragma once

#include "server/jobs/maps.h"

typedef struct MapsCache MapsCache;

/* NULL: out of memory. */
MapsCache *maps_cache_new(size_t bytes);
void maps_cache_free(MapsCache *cache); /* NULL is fine */
/* A copy, for the caller to end; counted. False: not there, or no memory for a copy. */
bool maps_cache_get(MapsCache *cache, const char *key, MapsResult *ret);
/* Keeps a copy under result->key; an answer that is too large, or for which there is no memory, is
 * not kept. Counted as computed. */
void maps_cache_put(MapsCache *cache, const MapsResult *result);
MapsCounts maps_cache_counts(MapsCache *cache);
