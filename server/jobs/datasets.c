/* Opening happens under the lock: it takes a second at most, and whoever else asks for the same set
 * would have to wait anyway. */
#include "server/jobs/datasets.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Entry {
    char name[DATASET_NAME_MAX];
    char *path;       /* NULL: generated */
    Dataset *dataset; /* guarded by the registry's lock; NULL: not opened yet */
} Entry;

struct Datasets {
    pthread_mutex_t lock;
    size_t count;
    Entry entry[DATASETS_MAX];
};

static Entry *find(Datasets *datasets, const char *name)
{
    for (size_t i = 0; i < datasets->count; i++)
        if (strcmp(datasets->entry[i].name, name) == 0)
            return &datasets->entry[i];
    return NULL;
}

static Status add(Datasets *datasets, const char *spec, Error *err)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t length = strspn(spec, letters);
    Entry *entry = &datasets->entry[datasets->count];

    if (datasets->count == DATASETS_MAX)
        return error_set(err, STATUS_INVALID, "at most %d data sets can be named",
                         DATASETS_MAX - 1);
    if (spec[length] != '=' || length == 0 || length >= sizeof entry->name ||
        spec[length + 1] == '\0')
        return error_set(
            err, STATUS_INVALID,
            "\"%s\" is not NAME=PATH with a NAME of 1 to %d letters, digits, \".\", \"_\" or \"-\"",
            spec, DATASET_NAME_MAX - 1);
    memcpy(entry->name, spec, length);
    entry->name[length] = '\0';
    if (find(datasets, entry->name) != NULL)
        return error_set(err, STATUS_INVALID, "there is a data set \"%s\" already", entry->name);
    entry->path = strdup(spec + length + 1);
    if (entry->path == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a path");
    datasets->count++;
    return STATUS_OK;
}

Status datasets_new(const char *const *specs, size_t count, Datasets **ret, Error *err)
{
    Datasets *datasets = calloc(1, sizeof *datasets);
    Status s = STATUS_OK;

    if (datasets == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate the data sets");
    pthread_mutex_init(&datasets->lock, NULL);
    snprintf(datasets->entry[datasets->count++].name, DATASET_NAME_MAX, "shapes");
    for (size_t i = 0; i < count && s == STATUS_OK; i++)
        s = add(datasets, specs[i], err);
    if (s != STATUS_OK) {
        datasets_free(datasets);
        return s;
    }
    *ret = datasets;
    return STATUS_OK;
}

void datasets_free(Datasets *datasets)
{
    if (datasets == NULL)
        return;
    for (size_t i = 0; i < datasets->count; i++) {
        dataset_free(datasets->entry[i].dataset);
        free(datasets->entry[i].path);
    }
    pthread_mutex_destroy(&datasets->lock);
    free(datasets);
}

const char *datasets_name(const Datasets *datasets, size_t i)
{
    return i < datasets->count ? datasets->entry[i].name : NULL;
}

static Status unknown(const Datasets *datasets, const char *name, Error *err)
{
    char names[160] = "";
    size_t used = 0;

    for (size_t i = 0; i < datasets->count && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i == 0 ? "" : ", ",
                                 datasets->entry[i].name);
    return error_set(err, STATUS_INVALID, "there is no data set \"%.64s\"; known are: %s", name,
                     names);
}

Status datasets_get(Datasets *datasets, const char *name, const Dataset **ret, Error *err)
{
    Entry *entry = find(datasets, name);
    Error why = { 0 };
    Status s = STATUS_OK;

    if (entry == NULL)
        return unknown(datasets, name, err);
    pthread_mutex_lock(&datasets->lock);
    if (entry->dataset == NULL)
        s = entry->path == NULL ? dataset_open_shapes(&entry->dataset, &why)
                                : dataset_open(entry->name, entry->path, &entry->dataset, &why);
    if (s == STATUS_OK)
        *ret = entry->dataset;
    pthread_mutex_unlock(&datasets->lock);
    if (s != STATUS_OK) /* whatever went wrong, what is at fault is the name that was asked for */
        s = error_set(err, s == STATUS_NO_MEMORY ? s : STATUS_INVALID, "%s", error_message(&why));
    return s;
}
