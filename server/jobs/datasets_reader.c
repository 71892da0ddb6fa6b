/* One form after another, in the order of their turns; read without the lock, written down with it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/config/log.h"
#include "server/jobs/datasets_private.h"

time_t datasets_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1;
}

Form *datasets_next(Datasets *datasets, Entry **ret_entry)
{
    Form *first = NULL;

    for (size_t i = 0; i < datasets->count; i++)
        for (uint32_t j = 0; j < datasets->entry[i].forms; j++) {
            Form *form = &datasets->entry[i].form[j];

            if (form->turn != 0 && (first == NULL || form->turn < first->turn)) {
                first = form;
                *ret_entry = &datasets->entry[i];
            }
        }
    return first;
}

static Status open_form(const Datasets *datasets, const Entry *entry, uint32_t size, Dataset **ret,
                        Error *err)
{
    const DatasetOptions options = { .image_size = size, .cache = datasets->cache };

    return entry->path == NULL ? dataset_open_shapes(ret, err)
                               : dataset_open(entry->name, entry->path, &options, ret, err);
}

static void log_form(const Entry *entry, const Dataset *dataset, const char *error, double took)
{
    if (dataset == NULL) {
        log_write(LOG_WARNING, "%s", error);
        return;
    }
    if (dataset->skipped > 0)
        log_write(LOG_WARNING, "data set \"%s\": %u images are left out: %s", entry->name,
                  dataset->skipped, dataset->skipped_names);
    log_write(LOG_INFO, "data set \"%s\": %u training and %u test images of %ux%u, %.1f s",
              entry->name, dataset->train.images, dataset->test.images, dataset->height,
              dataset->width, took);
}

void datasets_call(Watch *watches)
{
    while (watches != NULL) {
        Watch *next = watches->next;

        watches->ready(watches->context);
        free(watches);
        watches = next;
    }
}

/* Reads one form; called and left with the lock held. */
static void read_form(Datasets *datasets, Entry *entry, Form *form)
{
    struct timespec began, ended;
    Dataset *dataset = NULL;
    Watch *watches;
    Error err = { 0 };
    Status s;

    datasets->reading = true;
    pthread_mutex_unlock(&datasets->lock);
    clock_gettime(CLOCK_MONOTONIC, &began);
    s = open_form(datasets, entry, form->size, &dataset, &err);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    log_form(entry, s == STATUS_OK ? dataset : NULL, error_message(&err),
             (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9);
    pthread_mutex_lock(&datasets->lock);
    datasets->reading = false;
    form->turn = 0;
    form->dataset = s == STATUS_OK ? dataset : NULL;
    form->failed_at = s == STATUS_OK ? 0 : datasets_seconds();
    snprintf(form->error, sizeof form->error, "%s", error_message(&err));
    datasets->generation++;
    pthread_cond_broadcast(&datasets->change);
    watches = datasets->watches;
    datasets->watches = NULL;
    pthread_mutex_unlock(&datasets->lock);
    datasets_call(watches);
    pthread_mutex_lock(&datasets->lock);
}

void *datasets_reader(void *argument)
{
    Datasets *datasets = argument;

    pthread_setname_np(pthread_self(), "datasets");
    pthread_mutex_lock(&datasets->lock);
    while (!datasets->stop) {
        Entry *entry = NULL;
        Form *form = datasets_next(datasets, &entry);

        if (form != NULL)
            read_form(datasets, entry, form);
        else
            pthread_cond_wait(&datasets->change, &datasets->lock);
    }
    pthread_mutex_unlock(&datasets->lock);
    return NULL;
}
