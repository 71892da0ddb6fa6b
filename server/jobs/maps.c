/*
 * A ring of requests and one thread that answers them in order. A request is planned twice: by
 * whoever asks, for its key, and here, because the newest checkpoint may be another by now; the
 * answer belongs to what was found here. Who waits behind an equal request finds its answer made.
 */
#include "server/jobs/maps.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config/log.h"
#include "server/jobs/maps_cache.h"
#include "server/jobs/maps_private.h"

typedef struct Entry {
    MapsRequest *request; /* owned */
    MapsDone done;
    void *context;
} Entry;

struct Maps {
    Queue *queue;
    MapsCache *cache;
    Pool *pool; /* the thread's alone, with `networks` */
    Networks networks;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    Entry ring[MAPS_QUEUE_MAX]; /* guarded by lock */
    unsigned first, count;      /* guarded by lock */
    size_t uploads;             /* bytes of the pictures in it; guarded by lock */
    bool stop;                  /* guarded by lock */
};

/* --- what a request is about --- */

typedef struct Task {
    MapsPlan plan;
    Film film;
    char key[SHA256_HEX]; /* "": of what is not kept in memory */
} Task;

static void task_clear(Task *task)
{
    maps_plan_clear(&task->plan);
    film_close(&task->film);
}

/* Any thread. */
static Status task_open(Queue *queue, const MapsRequest *r, Task *task, Error *err)
{
    const char *key = task->plan.key;
    Status s = STATUS_OK;

    if (r->what == MAPS_STORED)
        return key_stored(queue_store(queue), r, task->key, err);
    if (r->what == MAPS_FILM) {
        s = film_open(&r->film, queue_store(queue), queue_datasets(queue), &task->film, err);
        key = task->film.key;
    } else if (r->what != MAPS_SHEET) {
        s = maps_plan(queue, r, &task->plan, err);
    }
    if (s == STATUS_OK && r->what != MAPS_UPLOAD)
        memcpy(task->key, key, sizeof task->key);
    return s;
}

Status maps_key(Maps *maps, const MapsRequest *r, char ret[SHA256_HEX], Error *err)
{
    Task task = { .key = "" };
    Status s = task_open(maps->queue, r, &task, err);

    if (s == STATUS_OK)
        memcpy(ret, task.key, sizeof task.key);
    task_clear(&task);
    return s;
}

bool maps_cached(Maps *maps, const char *key, MapsResult *ret)
{
    return maps_cache_get(maps->cache, key, ret);
}

MapsCounts maps_counts(Maps *maps)
{
    return maps_cache_counts(maps->cache);
}

/* --- answers --- */

static Status compute(Maps *maps, const Entry *entry, const Task *task, MapsResult *result,
                      Error *err)
{
    const MapsRequest *r = entry->request;

    switch (r->what) {
    case MAPS_SHEET:
        return sheet_png(&r->sheet, queue_datasets(maps->queue), &result->bytes, err);
    case MAPS_STORED:
        return answer_stored(queue_store(maps->queue), r, result, err);
    case MAPS_FILM:
        return film_draw(&task->film, &result->bytes, err);
    case MAPS_UPLOAD:
        return answer_upload(maps->queue, &maps->networks, r, &task->plan, result, err);
    case MAPS_CONTACT:
        return answer_contact(&maps->networks, r, entry->context, &task->plan, result, err);
    default:
        return answer_single(&maps->networks, r, &task->plan, result, err);
    }
}

/* From memory, or computed and kept there. */
static Status find_answer(Maps *maps, const Entry *entry, MapsResult *result, Error *err)
{
    const MapsRequest *r = entry->request;
    Task task = { .key = "" };
    Status s;

    if (r->abandoned != NULL && r->abandoned(entry->context))
        return error_set(err, STATUS_STOPPED, "nobody waits for the answer any more");
    s = task_open(maps->queue, r, &task, err);
    if (s == STATUS_OK && (task.key[0] == '\0' || !maps_cache_get(maps->cache, task.key, result))) {
        s = compute(maps, entry, &task, result, err);
        memcpy(result->key, task.key, sizeof result->key);
        if (s == STATUS_OK && task.key[0] != '\0')
            maps_cache_put(maps->cache, result);
    }
    task_clear(&task);
    return s;
}

static void request_free(MapsRequest *request)
{
    bytes_clear(&request->upload);
    free(request);
}

static void answer(Maps *maps, const Entry *entry)
{
    MapsResult result = { .is_new = false };
    Error err = { 0 };
    Status s = find_answer(maps, entry, &result, &err);

    if (s != STATUS_OK) {
        bytes_clear(&result.bytes);
        result = (MapsResult){ .is_new = false };
    }
    entry->done(entry->context, s, &err, &result);
    bytes_clear(&result.bytes);
    request_free(entry->request);
}

/* --- the thread --- */

static void refuse(const Entry *entry)
{
    MapsResult none = { .is_new = false };
    Error err = { 0 };
    Status s = error_set(&err, STATUS_STOPPED, "the daemon is shutting down");

    entry->done(entry->context, s, &err, &none);
    request_free(entry->request);
}

static void *maps_main(void *argument)
{
    Maps *maps = argument;
    bool stop = false;

    pthread_setname_np(pthread_self(), "maps");
    while (!stop) {
        Entry entry = { 0 };
        bool got, refused;

        pthread_mutex_lock(&maps->lock);
        while (maps->count == 0 && !maps->stop)
            pthread_cond_wait(&maps->wake, &maps->lock);
        got = maps->count > 0;
        if (got) {
            entry = maps->ring[maps->first];
            maps->first = (maps->first + 1) % MAPS_QUEUE_MAX;
            maps->count--;
            maps->uploads -= entry.request->upload.size;
        }
        refused = maps->stop || maps->pool == NULL;
        stop = maps->stop && maps->count == 0;
        pthread_mutex_unlock(&maps->lock);
        if (got && refused)
            refuse(&entry);
        else if (got)
            answer(maps, &entry);
    }
    return NULL;
}

/* The pool belongs to the thread that makes it, so the thread makes it. */
static void *maps_start(void *argument)
{
    Maps *maps = argument;
    Error err = { 0 };

    if (pool_new(pool_default_threads(), &maps->pool, &err) != STATUS_OK)
        log_write(LOG_ERROR, "heat maps are not available: %s", error_message(&err));
    maps->networks = (Networks){ .store = queue_store(maps->queue),
                                 .datasets = queue_datasets(maps->queue),
                                 .pool = maps->pool };
    maps_main(maps);
    networks_clear(&maps->networks);
    pool_free(maps->pool);
    return NULL;
}

Status maps_new(Queue *queue, Maps **ret, Error *err)
{
    Maps *maps = calloc(1, sizeof *maps);
    MapsCache *cache = maps_cache_new(LIMIT_PICTURE_BYTES);

    if (maps == NULL || cache == NULL) {
        maps_cache_free(cache);
        free(maps);
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate the queue of heat maps");
    }
    maps->queue = queue;
    maps->cache = cache;
    pthread_mutex_init(&maps->lock, NULL);
    pthread_cond_init(&maps->wake, NULL);
    errno = pthread_create(&maps->thread, NULL, maps_start, maps);
    if (errno != 0) {
        Status s = error_errno(err, STATUS_INTERNAL, "cannot start the heat maps' thread");

        pthread_mutex_destroy(&maps->lock);
        pthread_cond_destroy(&maps->wake);
        maps_cache_free(cache);
        free(maps);
        return s;
    }
    *ret = maps;
    return STATUS_OK;
}

void maps_free(Maps *maps)
{
    if (maps == NULL)
        return;
    pthread_mutex_lock(&maps->lock);
    maps->stop = true;
    pthread_cond_signal(&maps->wake);
    pthread_mutex_unlock(&maps->lock);
    pthread_join(maps->thread, NULL);
    pthread_mutex_destroy(&maps->lock);
    pthread_cond_destroy(&maps->wake);
    maps_cache_free(maps->cache);
    free(maps);
}

/* Called with the lock held. */
static Status enter(Maps *maps, const Entry *entry, Error *err)
{
    size_t upload = entry->request->upload.size;

    if (maps->stop)
        return error_set(err, STATUS_STOPPED, "the daemon is shutting down");
    if (maps->count == MAPS_QUEUE_MAX || upload > LIMIT_UPLOADS_BYTES - maps->uploads)
        return error_set(err, STATUS_BUSY, "%u heat maps are waiting already: try again",
                         maps->count);
    maps->ring[(maps->first + maps->count++) % MAPS_QUEUE_MAX] = *entry;
    maps->uploads += upload;
    pthread_cond_signal(&maps->wake);
    return STATUS_OK;
}

Status maps_submit(Maps *maps, const MapsRequest *request, MapsDone done, void *context, Error *err)
{
    Entry entry = { malloc(sizeof *entry.request), done, context };
    Status s;

    if (entry.request == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the request");
    *entry.request = *request;
    pthread_mutex_lock(&maps->lock);
    s = enter(maps, &entry, err);
    pthread_mutex_unlock(&maps->lock);
    if (s != STATUS_OK)
        free(entry.request);
    return s;
}
