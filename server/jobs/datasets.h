/*
 * datasets -- the operator's words for data on disk, and the generated "shapes".
 *
 * Reading an archive takes half a minute, so one thread of the registry's own does it, in the order
 * in which sets were asked for; whoever needs one that is not there yet is told so (STATUS_BUSY)
 * and may wait or leave word. What was read is kept for the life of the process. A set that does
 * not open stops nothing: jobs that name it are refused. Any thread.
 */
#pragma once

#include <stdbool.h>

#include "core/data/dataset.h"

typedef struct Datasets Datasets;

enum {
    DATASETS_MAX = 64,
    DATASET_FORMS_MAX = 4, /* sizes of one set that are kept besides its default */
};

/*
 * specs: [count] texts "NAME=PATH"; a NAME is 1..63 of A-Z a-z 0-9 . _ - and not "shapes".
 * STATUS_INVALID names the text at fault. Starts the thread.
 */
CHECKED Status datasets_new(const char *const *specs, size_t count, Datasets **ret, Error *err);
/* Asks for all of them, so that they are there when jobs come. `cache`: a folder (made, 0700) for
 * what is slow to decode; NULL: none. Once, before any other call. */
void datasets_open_all(Datasets *datasets, const char *cache);
/* Ends all waiting; nothing is read any more. */
void datasets_stop(Datasets *datasets);
/* True while one is being read: datasets_free() would wait for it. */
bool datasets_reading(Datasets *datasets);
void datasets_free(Datasets *datasets); /* NULL is fine; nothing of it may be in use */

/*
 * The set with images of image_size x image_size; 0: its default. Never waits. STATUS_BUSY: it is
 * being read now, or will be next. STATUS_INVALID: unknown (the message lists the names), not
 * readable (the reader's message; it is tried again the next time), or, with pointer "/image_size",
 * not to be had in that size. STATUS_STOPPED. *ret lives as long as `datasets`.
 */
CHECKED Status datasets_find(Datasets *datasets, const char *name, uint32_t image_size,
                             const Dataset **ret, Error *err);
/* The same for the one thread that draws pictures, which may ask for any number of sizes: it takes
 * no place away from jobs, and *ret lives until its next call. */
CHECKED Status datasets_find_pictures(Datasets *datasets, const char *name, uint32_t image_size,
                                      const Dataset **ret, Error *err);

/* Something asked for has not been read yet. */
bool datasets_loading(Datasets *datasets);
/* Grows whenever one was read, or failed to be. Take it before datasets_find(), so that nothing is
 * missed in between. */
uint64_t datasets_generation(Datasets *datasets);
/* Waits for a later generation, `ms` at most. */
void datasets_wait(Datasets *datasets, uint64_t generation, int ms);
/* Calls ready(context) once, on the registry's thread (or the one that stops it), when there is a
 * later generation. False: there is one already, or nothing to wait for; it is not called then. */
bool datasets_watch(Datasets *datasets, uint64_t generation, void (*ready)(void *context),
                    void *context);

/* Names in the order given, "shapes" first; NULL past the end. */
const char *datasets_name(const Datasets *datasets, size_t i);

typedef struct DatasetLook {
    const Dataset *dataset; /* in its default size; NULL: not read */
    bool loading;
    char error[ERROR_MESSAGE_MAX]; /* why it did not open, "" */
} DatasetLook;

/* How the i-th is; asks for nothing. */
DatasetLook datasets_look(Datasets *datasets, size_t i);
