/*
 * map_file -- a MapSet as a safetensors file: the artefact of an `explain` job.
 *
 * Tensors: `maps` F16 [N,K,h,w] (a delta: `delta` F16 [N,C,H,W]), `max` F32 [N,K] (a delta: [N]),
 * `index` I64 [N]; value = half * max. Metadata: "format", "split", "source" and what else the
 * writer adds. Nothing in a file depends on time or threads.
 */
#pragma once

#include <stdio.h>

#include "core/data/maps.h"
#include "core/nn/safetensors.h"

enum { MAP_FILE_VERSION = 1, MAP_FILE_META_MAX = 24 };

/* metadata [count <= MAP_FILE_META_MAX] beside "format" and "split". Any stream: the caller makes
 * it durable. */
CHECKED Status map_file_write(FILE *file, const MapSet *set, Split split, const StMeta *metadata,
                              size_t count, Error *err);

/* An open file; its set points into the mapped file, which must not change meanwhile. */
typedef struct MapFile {
    StFile *file;
    MapSet set;
    Split split;
} MapFile;

/* Checks everything: STATUS_CORRUPT names the tensor or the key that is wrong, STATUS_NOT_FOUND,
 * STATUS_IO. */
CHECKED Status map_file_open(const char *path, MapFile *ret, Error *err);
/* The same of bytes in memory (borrowed until close). */
CHECKED Status map_file_parse(const void *bytes, size_t size, MapFile *ret, Error *err);
void map_file_close(MapFile *file); /* zeroed is fine */
/* A text of the metadata, or NULL. */
const char *map_file_metadata(const MapFile *file, const char *key);
