/*
 * Source (folder_directory, folder_archive) -> entries with decoded images (folder_gather) -> data
 * set (folder_layout), and past all of it the cache. Peak memory is twice the decoded images: as
 * they came, and in order.
 */
#include "core/data/folder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/data/folder_cache.h"
#include "core/data/folder_layout.h"
#include "core/data/folder_source.h"

/* Either a directory or an archive. */
typedef struct Source {
    Directory directory; /* fd -1: none */
    int archive;         /* -1: none */
} Source;

static void source_clear(Source *source)
{
    directory_clear(&source->directory);
    if (source->archive >= 0)
        close(source->archive);
}

static Status source_open(Source *source, const char *label, const char *path, struct stat *ret_st,
                          Error *err)
{
    source->archive = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (source->archive < 0 || fstat(source->archive, ret_st) != 0)
        return error_errno(err, STATUS_INVALID,
                           "data set \"%s\": cannot open its directory or archive", label);
    if (S_ISREG(ret_st->st_mode))
        return STATUS_OK;
    if (!S_ISDIR(ret_st->st_mode))
        return error_set(err, STATUS_INVALID,
                         "data set \"%s\": its path is neither a directory nor a regular file",
                         label);
    close(source->archive);
    source->archive = -1;
    return directory_list(&source->directory, label, path, err);
}

/* What the cache's file is named after, and what it must have been made from. */
static void key_fill(CacheKey *key, const Source *source, const char *path, const struct stat *st)
{
    int64_t facts[3] = { st->st_size, st->st_mtim.tv_sec, st->st_mtim.tv_nsec };
    char *absolute = realpath(path, NULL);

    if (absolute != NULL)
        path = absolute;
    fingerprint_add(&key->path, path, strlen(path) + 1);
    free(absolute);
    key->source = key->path;
    if (source->archive >= 0)
        fingerprint_add(&key->source, facts, sizeof facts);
    else
        directory_fingerprint(&source->directory, &key->source);
}

static Status gather_load(Gather *gather, Dataset **ret, Error *err)
{
    Status s;

    if (!gather_is_cifar(gather))
        return folder_arrange(gather, ret, err);
    s = cifar_check_size(gather->label, gather->image_size, err);
    if (s != STATUS_OK)
        return s;
    return cifar_open_files(gather->label, gather->cifar, gather->cifar_files, ret, err);
}

static Status source_load(const Source *source, const char *label, uint32_t image_size,
                          Dataset **ret, Error *err)
{
    Gather gather = { .label = label, .image_size = image_size };
    Status s = source->archive >= 0 ? archive_gather(source->archive, &gather, err)
                                    : directory_gather(&source->directory, &gather, err);

    if (s == STATUS_OK)
        s = gather_load(&gather, ret, err);
    gather_clear(&gather);
    return s;
}

Status folder_open(const char *name, const char *path, const DatasetOptions *options, Dataset **ret,
                   Error *err)
{
    CacheKey key = { .folder = options->cache, .label = name, .image_size = options->image_size };
    Source source = { .directory = { .fd = -1 }, .archive = -1 };
    Dataset *dataset = NULL;
    struct stat st;
    Status s;

    if (key.image_size == 0)
        key.image_size = DATASET_IMAGE_SIZE_DEFAULT;
    if (key.image_size > DATASET_IMAGE_SIZE_MAX)
        return error_at(err, STATUS_INVALID, "/image_size", "must be 1 to %d",
                        DATASET_IMAGE_SIZE_MAX);
    s = source_open(&source, name, path, &st, err);
    if (s == STATUS_OK && key.folder != NULL) {
        key_fill(&key, &source, path, &st);
        dataset = folder_cache_read(&key);
    }
    if (s == STATUS_OK && dataset == NULL) {
        s = source_load(&source, name, key.image_size, &dataset, err);
        if (s == STATUS_OK && key.folder != NULL && strcmp(dataset->layout, "folder") == 0)
            folder_cache_write(&key, dataset); /* CIFAR's records are as quick to read */
    }
    source_clear(&source);
    if (s == STATUS_OK)
        *ret = dataset;
    return s;
}
