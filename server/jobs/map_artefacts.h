/*
 * map_artefacts -- the explanations that an `explain` job leaves, one file a split: written by it,
 * read by audiences.
 */
#pragma once

#include "core/data/compose.h"
#include "core/explain/map_file.h"
#include "server/jobs/job_reference.h"
#include "server/store/artefacts.h"

/* "maps/train" */
void map_artefact_name(Split split, char ret[ARTEFACT_NAME_MAX]);

/* Writes a split's file durably, then its row. `metadata` as of map_file_write(). */
CHECKED Status map_artefact_write(Store *store, int64_t job, Split split, const MapSet *set,
                                  const StMeta *metadata, size_t count, Artefact *ret, Error *err);

/* The open files of a job, one for each split that has images. */
typedef struct MapFiles {
    MapFile file[SPLIT_COUNT];
    bool open[SPLIT_COUNT];
} MapFiles;

/*
 * Opens the files of `job` for the splits of which `images` has some. verify: the digests, too,
 * which reads them whole. All that is wrong is `pointer`.
 */
CHECKED Status map_files_open(Store *store, int64_t job, const uint64_t images[SPLIT_COUNT],
                              bool verify, const char *pointer, MapFiles *ret, Error *err);
void map_files_close(MapFiles *files); /* zeroed is fine */
/* What a Composer takes of them. */
void map_files_sets(const MapFiles *files, const MapSet *ret[SPLIT_COUNT]);
