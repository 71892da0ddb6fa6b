/* A file is complete or absent; its row comes after it (artefacts.h). */
#include "server/jobs/map_artefacts.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/durable.h"

void map_artefact_name(Split split, char ret[ARTEFACT_NAME_MAX])
{
    snprintf(ret, ARTEFACT_NAME_MAX, "maps/%s", split_names[split]);
}

static Status write_file(const char *path, Split split, const MapSet *set, const StMeta *metadata,
                         size_t count, Error *err)
{
    DurableFile file = { 0 };
    Status s = durable_open(&file, path, err);

    if (s == STATUS_OK)
        s = map_file_write(file.stream, set, split, metadata, count, err);
    if (s == STATUS_OK)
        return durable_commit(&file, err);
    durable_abort(&file);
    return s;
}

Status map_artefact_write(Store *store, int64_t job, Split split, const MapSet *set,
                          const StMeta *metadata, size_t count, Artefact *ret, Error *err)
{
    char name[ARTEFACT_NAME_MAX], *path;
    Artefact artefact;
    Status s;

    map_artefact_name(split, name);
    s = store_artefact_prepare(store, job, name, &artefact, err);
    if (s != STATUS_OK)
        return s;
    path = store_artefact_file(store, &artefact);
    s = path == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                     : write_file(path, split, set, metadata, count, err);
    free(path);
    if (s == STATUS_OK)
        s = store_artefact_add(store, &artefact, err);
    if (s == STATUS_OK)
        *ret = artefact;
    return s;
}

static Status open_one(Store *store, int64_t job, Split split, bool verify, MapFile *ret,
                       Error *err)
{
    char name[ARTEFACT_NAME_MAX], *path;
    Artefact artefact;
    Status s;

    map_artefact_name(split, name);
    s = store_artefact_find(store, job, name, &artefact, err);
    if (s == STATUS_OK && verify)
        s = store_artefact_verify(store, &artefact, err);
    if (s != STATUS_OK)
        return s;
    path = store_artefact_file(store, &artefact);
    s = path == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                     : map_file_open(path, ret, err);
    free(path);
    return s;
}

Status map_files_open(Store *store, int64_t job, const uint64_t images[SPLIT_COUNT], bool verify,
                      const char *pointer, MapFiles *ret, Error *err)
{
    MapFiles files = { 0 };

    for (Split split = 0; split < SPLIT_COUNT; split++) {
        Error why = { 0 };
        Status s;

        if (images[split] == 0)
            continue;
        s = open_one(store, job, split, verify, &files.file[split], &why);
        if (s != STATUS_OK) {
            map_files_close(&files);
            return error_at(err, s == STATUS_NOT_FOUND || s == STATUS_CORRUPT ? STATUS_INVALID : s,
                            pointer, "the split \"%s\": %s", split_names[split],
                            error_message(&why));
        }
        files.open[split] = true;
    }
    *ret = files;
    return STATUS_OK;
}

void map_files_close(MapFiles *files)
{
    for (int i = 0; i < SPLIT_COUNT; i++)
        if (files->open[i])
            map_file_close(&files->file[i]);
    *files = (MapFiles){ 0 };
}

void map_files_sets(const MapFiles *files, const MapSet *ret[SPLIT_COUNT])
{
    for (int i = 0; i < SPLIT_COUNT; i++)
        ret[i] = files->open[i] ? &files->file[i].set : NULL;
}
