/*
 * An entry is a name and its forms: the set in its default size, in others that jobs asked for, and
 * in one more for pictures. A form is asked for by setting its turn; the thread takes the lowest
 * turn, reads without the lock, and writes down what came of it. An open form never changes again,
 * so it is read without the lock; that of pictures is replaced by the thread that draws them.
 *
 * A failure is told once, to whoever asked; the next one who asks makes it be tried again. (What
 * nobody asked for, at start, is logged and counts as told.)
 */
#include "server/jobs/datasets_private.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "server/config/log.h"

enum { STALE_SECONDS = 2 }; /* a failure that nobody came for is not told any more */

/* --- names --- */

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
    entry->forms = FORM_JOBS;
    datasets->count++;
    return STATUS_OK;
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

/* --- its life --- */

static void release(Datasets *datasets)
{
    for (size_t i = 0; i < datasets->count; i++) {
        for (uint32_t j = 0; j < datasets->entry[i].forms; j++)
            dataset_free(datasets->entry[i].form[j].dataset);
        free(datasets->entry[i].path);
    }
    pthread_mutex_destroy(&datasets->lock);
    pthread_cond_destroy(&datasets->change);
    free(datasets->cache);
    free(datasets);
}

Status datasets_new(const char *const *specs, size_t count, Datasets **ret, Error *err)
{
    Datasets *datasets = calloc(1, sizeof *datasets);
    pthread_condattr_t monotonic;
    Status s = STATUS_OK;

    if (datasets == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate the data sets");
    pthread_mutex_init(&datasets->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&datasets->change, &monotonic);
    pthread_condattr_destroy(&monotonic);
    snprintf(datasets->entry[0].name, DATASET_NAME_MAX, "shapes");
    datasets->entry[0].forms = FORM_JOBS;
    datasets->count = 1;
    for (size_t i = 0; i < count && s == STATUS_OK; i++)
        s = add(datasets, specs[i], err);
    if (s == STATUS_OK) {
        errno = pthread_create(&datasets->thread, NULL, datasets_reader, datasets);
        if (errno != 0)
            s = error_errno(err, STATUS_INTERNAL, "cannot start the data sets' thread");
    }
    if (s != STATUS_OK) {
        release(datasets);
        return s;
    }
    *ret = datasets;
    return STATUS_OK;
}

/* With the lock held. */
static void want(Datasets *datasets, Form *form)
{
    form->told = false;
    form->failed_at = 0;
    if (form->turn == 0)
        form->turn = ++datasets->turn;
    pthread_cond_broadcast(&datasets->change);
}

void datasets_open_all(Datasets *datasets, const char *cache)
{
    if (cache != NULL && mkdir(cache, 0700) != 0 && errno != EEXIST)
        log_write(LOG_WARNING, "decoded images are not kept: cannot make %s: %s", cache,
                  strerror(errno));
    else if (cache != NULL)
        datasets->cache = strdup(cache);
    pthread_mutex_lock(&datasets->lock);
    for (size_t i = 0; i < datasets->count; i++) {
        want(datasets, &datasets->entry[i].form[FORM_DEFAULT]);
        datasets->entry[i].form[FORM_DEFAULT].told = true;
    }
    pthread_mutex_unlock(&datasets->lock);
}

void datasets_stop(Datasets *datasets)
{
    Watch *watches;

    pthread_mutex_lock(&datasets->lock);
    datasets->stop = true;
    watches = datasets->watches;
    datasets->watches = NULL;
    pthread_cond_broadcast(&datasets->change);
    pthread_mutex_unlock(&datasets->lock);
    datasets_call(watches);
}

bool datasets_reading(Datasets *datasets)
{
    bool reading;

    pthread_mutex_lock(&datasets->lock);
    reading = datasets->reading;
    pthread_mutex_unlock(&datasets->lock);
    return reading;
}

void datasets_free(Datasets *datasets)
{
    if (datasets == NULL)
        return;
    datasets_stop(datasets);
    pthread_join(datasets->thread, NULL);
    release(datasets);
}

/* --- asking --- */

static Status busy(const Entry *entry, Error *err)
{
    return error_set(err, STATUS_BUSY, "data set \"%s\" is being read: try again in a moment",
                     entry->name);
}

/* One form, asked for where it is not there; with the lock held. */
static Status take(Datasets *datasets, Entry *entry, Form *form, const Dataset **ret, Error *err)
{
    if (form->dataset != NULL) {
        *ret = form->dataset;
        return STATUS_OK;
    }
    if (form->turn == 0 && form->failed_at != 0 && !form->told &&
        datasets_seconds() - form->failed_at <= STALE_SECONDS) {
        form->told = true;
        return error_set(err, STATUS_INVALID, "%s", form->error);
    }
    if (datasets->stop)
        return error_set(err, STATUS_STOPPED, "the daemon is shutting down");
    if (form->turn == 0)
        want(datasets, form);
    form->told = false;
    return busy(entry, err);
}

/* The form of that size; where there is none yet, a new one, or the place of one that failed. With
 * the lock held. */
static Status form_of(Entry *entry, uint32_t size, Form **ret, Error *err)
{
    Form *free_form = NULL;

    for (uint32_t i = FORM_JOBS; i < entry->forms; i++) {
        if (entry->form[i].size == size) {
            *ret = &entry->form[i];
            return STATUS_OK;
        }
        if (entry->form[i].dataset == NULL && entry->form[i].turn == 0)
            free_form = &entry->form[i];
    }
    if (entry->forms < FORMS_MAX)
        free_form = &entry->form[entry->forms++];
    if (free_form == NULL)
        return error_at(err, STATUS_INVALID, "/image_size",
                        "data set \"%s\" is open in %d sizes already, and no more are kept until "
                        "the daemon is started again",
                        entry->name, 1 + DATASET_FORMS_MAX);
    *free_form = (Form){ .size = size };
    *ret = free_form;
    return STATUS_OK;
}

/* A job's form of that size, or the one place that is there for pictures: nobody but their thread
 * looks at what it held before. With the lock held. */
static Status picture_form_of(Entry *entry, uint32_t size, Form **ret, Error *err)
{
    Form *form = &entry->form[FORM_PICTURES];

    for (uint32_t i = FORM_JOBS; i < entry->forms; i++)
        if (entry->form[i].size == size && entry->form[i].dataset != NULL)
            form = &entry->form[i];
    if (form->size != size && form->turn != 0)
        return busy(entry, err);
    if (form->size != size) {
        dataset_free(form->dataset);
        *form = (Form){ .size = size };
    }
    *ret = form;
    return STATUS_OK;
}

typedef Status (*FormOf)(Entry *entry, uint32_t size, Form **ret, Error *err);

static Status take_size(Datasets *datasets, Entry *entry, uint32_t size, FormOf of,
                        const Dataset **ret, Error *err)
{
    const Dataset *d = NULL;
    Form *form = NULL;
    Status s = take(datasets, entry, &entry->form[FORM_DEFAULT], &d, err);

    if (s != STATUS_OK)
        return s;
    if (size == 0 || (d->height == size && d->width == size)) {
        *ret = d;
        return STATUS_OK;
    }
    if (strcmp(d->layout, "folder") != 0)
        return error_at(err, STATUS_INVALID, "/image_size",
                        "data set \"%s\" has images of %ux%u: only folders of images are resized",
                        entry->name, d->height, d->width);
    s = of(entry, size, &form, err);
    return s == STATUS_OK ? take(datasets, entry, form, ret, err) : s;
}

static Status find_size(Datasets *datasets, const char *name, uint32_t size, FormOf of,
                        const Dataset **ret, Error *err)
{
    Entry *entry = find(datasets, name);
    Status s;

    if (entry == NULL)
        return unknown(datasets, name, err);
    pthread_mutex_lock(&datasets->lock);
    s = take_size(datasets, entry, size, of, ret, err);
    pthread_mutex_unlock(&datasets->lock);
    return s;
}

Status datasets_find(Datasets *datasets, const char *name, uint32_t image_size, const Dataset **ret,
                     Error *err)
{
    return find_size(datasets, name, image_size, form_of, ret, err);
}

Status datasets_find_pictures(Datasets *datasets, const char *name, uint32_t image_size,
                              const Dataset **ret, Error *err)
{
    return find_size(datasets, name, image_size, picture_form_of, ret, err);
}

bool datasets_loading(Datasets *datasets)
{
    Entry *entry;
    bool loading;

    pthread_mutex_lock(&datasets->lock);
    loading = datasets_next(datasets, &entry) != NULL;
    pthread_mutex_unlock(&datasets->lock);
    return loading;
}

uint64_t datasets_generation(Datasets *datasets)
{
    uint64_t generation;

    pthread_mutex_lock(&datasets->lock);
    generation = datasets->generation;
    pthread_mutex_unlock(&datasets->lock);
    return generation;
}

void datasets_wait(Datasets *datasets, uint64_t generation, int ms)
{
    struct timespec until;
    bool late = false;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000 + (until.tv_nsec + (long)(ms % 1000) * 1000000) / 1000000000;
    until.tv_nsec = (until.tv_nsec + (long)(ms % 1000) * 1000000) % 1000000000;
    pthread_mutex_lock(&datasets->lock);
    while (datasets->generation == generation && !late)
        late = pthread_cond_timedwait(&datasets->change, &datasets->lock, &until) == ETIMEDOUT;
    pthread_mutex_unlock(&datasets->lock);
}

bool datasets_watch(Datasets *datasets, uint64_t generation, void (*ready)(void *context),
                    void *context)
{
    Watch *watch = malloc(sizeof *watch);
    Entry *entry;
    bool wait;

    if (watch == NULL)
        return false;
    pthread_mutex_lock(&datasets->lock);
    wait = !datasets->stop && datasets->generation == generation &&
           datasets_next(datasets, &entry) != NULL;
    if (wait) {
        *watch = (Watch){ ready, context, datasets->watches };
        datasets->watches = watch;
    }
    pthread_mutex_unlock(&datasets->lock);
    if (!wait)
        free(watch);
    return wait;
}

DatasetLook datasets_look(Datasets *datasets, size_t i)
{
    const Form *form = &datasets->entry[i].form[FORM_DEFAULT];
    DatasetLook look;

    pthread_mutex_lock(&datasets->lock);
    look = (DatasetLook){ .dataset = form->dataset, .loading = form->turn != 0 };
    snprintf(look.error, sizeof look.error, "%s", look.loading ? "" : form->error);
    pthread_mutex_unlock(&datasets->lock);
    return look;
}
