/*
 * A ring of requests, one thread that answers them in order, and the networks of the last CACHED
 * checkpoints kept open under their digests: a page that shows a grid of maps opens its checkpoint
 * once. Everything a request needs is looked up on this thread, so that what HTTP threads do stays
 * a copy into the ring.
 */
#include "server/jobs/maps.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/codec/json.h"
#include "server/codec/npy.h"
#include "server/codec/png.h"
#include "server/config/log.h"
#include "server/jobs/checkpoint_part.h"
#include "server/jobs/data_params.h"

enum { CACHED = 2 };

typedef struct Entry {
    MapsRequest request;
    MapsDone done;
    void *context;
} Entry;

typedef struct Cached {
    char sha256[SHA256_HEX], part[16];
    Explainer *explainer;
    uint64_t used;
} Cached;

struct Maps {
    Queue *queue;
    Pool *pool; /* the thread's alone, with all below up to `thread` */
    Cached cached[CACHED];
    uint64_t clock;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    Entry ring[MAPS_QUEUE_MAX]; /* guarded by lock */
    unsigned first, count;      /* guarded by lock */
    bool stop;                  /* guarded by lock */
};

/* --- the checkpoint's network --- */

static Status find_checkpoint(Maps *maps, const MapsRequest *r, Checkpoint *ret, Error *err)
{
    Error why = { 0 };
    Status s = queue_checkpoint(maps->queue, r->job, r->which, ret, &why);

    if (s == STATUS_NOT_FOUND) {
        Job job = { 0 };
        Checkpoint any;
        Status known = store_job_get(queue_store(maps->queue), r->job, &job, NULL);

        job_clear(&job);
        if (known == STATUS_OK &&
            queue_checkpoint(maps->queue, r->job, "latest", &any, NULL) == STATUS_NOT_FOUND)
            return error_set(err, STATUS_CONFLICT, "job %lld has no checkpoint yet",
                             (long long)r->job);
    }
    return s == STATUS_OK ? s : error_at(err, s, why.detail[0].pointer, "%s", error_message(&why));
}

/* The network of a part, by a file of its own. */
static Status open_part(Maps *maps, const char *path, const char *part, Explainer **ret, Error *err)
{
    char name[40];
    int fd = -1;
    Status s = checkpoint_cut(queue_store(maps->queue), path, part, true, "/model", &fd, err);

    if (s != STATUS_OK)
        return s;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    s = explainer_open(name, maps->pool, ret, err);
    close(fd);
    return s;
}

/* The network of a checkpoint; of a `lease` the explainer unless said otherwise. */
static Status open_network(Maps *maps, const char *path, const char *part, Explainer **ret,
                           Error *err)
{
    bool two = false;
    Status s = part[0] != '\0' ? STATUS_OK : checkpoint_has_part(path, "explainer", &two, err);

    if (s != STATUS_OK)
        return s;
    if (part[0] == '\0' && !two)
        return explainer_open(path, maps->pool, ret, err);
    return open_part(maps, path, two ? "explainer" : part, ret, err);
}

static Status open_cached(Maps *maps, const Checkpoint *c, const char *part, Explainer **ret,
                          Error *err)
{
    Store *store = queue_store(maps->queue);
    Cached *place = &maps->cached[0];
    char *path;
    Status s;

    for (int i = 0; i < CACHED; i++) {
        Cached *at = &maps->cached[i];

        if (at->explainer != NULL && strcmp(at->sha256, c->sha256) == 0 &&
            strcmp(at->part, part) == 0) {
            at->used = ++maps->clock;
            *ret = at->explainer;
            return STATUS_OK;
        }
        if (at->used < place->used)
            place = at;
    }
    explainer_free(place->explainer); /* before the next is opened: two networks at most */
    *place = (Cached){ 0 };
    path = store_checkpoint_file(store, c);
    s = path == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                     : store_checkpoint_verify(store, c, err);
    if (s == STATUS_OK)
        s = open_network(maps, path, part, &place->explainer, err);
    free(path);
    if (s != STATUS_OK)
        return s;
    memcpy(place->sha256, c->sha256, sizeof place->sha256);
    snprintf(place->part, sizeof place->part, "%s", part);
    place->used = ++maps->clock;
    *ret = place->explainer;
    return STATUS_OK;
}

/* --- answers --- */

static Status answer_layers(Explainer *explainer, MapsResult *result, Error *err)
{
    uint32_t count;
    const LayerInfo *layers = explainer_layers(explainer, &count);
    json_t *items = json_array(), *body = json_pack("{s:O, s:n}", "items", items, "next");
    char *text;

    for (uint32_t i = 0; i < count; i++) {
        json_t *shape = json_array();

        for (uint32_t d = 1; d < layers[i].output.rank; d++)
            json_array_append_new(shape, json_integer(layers[i].output.dim[d]));
        json_array_append_new(items,
                              json_pack("{s:s, s:o}", "name", layers[i].name, "shape", shape));
    }
    text =
        body == NULL || json_array_size(items) != count ? NULL : json_dumps(body, JSON_WRITE_FLAGS);
    json_decref(items);
    json_decref(body);
    if (text == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a list of layers");
    result->bytes = (Bytes){ (unsigned char *)text, strlen(text) };
    return STATUS_OK;
}

/* The image's bytes lie in the data set, which lives as long as the process. */
static Status find_image(Maps *maps, const MapsRequest *r, Loader *ret_loader,
                         const uint8_t **ret_pixels, uint32_t *ret_label, Error *err)
{
    const Dataset *dataset = NULL;
    DataParams params;
    DataSpec spec;
    Loader loader = { 0 };
    Job job = { 0 };
    Status s = store_job_get(queue_store(maps->queue), r->job, &job, err);

    if (s == STATUS_OK)
        s = data_params_of(job.params, &params, err);
    if (s == STATUS_OK)
        s = data_params_resolve(&params, queue_datasets(maps->queue), job.seed, &dataset, err);
    job_clear(&job);
    if (s != STATUS_OK)
        return s;
    spec = data_params_spec(&params);
    s = loader_init(&loader, dataset, &spec, err);
    if (s != STATUS_OK)
        return s;
    if (r->image >= loader.images[r->split]) {
        s = error_set(err, STATUS_NOT_FOUND,
                      "split \"%s\" of job %lld has %u images: there is no image %u",
                      split_names[r->split], (long long)r->job, loader.images[r->split], r->image);
        loader_clear(&loader);
        return s;
    }
    *ret_pixels = loader_pixels(&loader, r->split, r->image);
    *ret_label = loader_label(&loader, r->split, r->image);
    *ret_loader = loader;
    return STATUS_OK;
}

static Status draw(const MapsRequest *r, const HeatMap *map, const Dataset *d,
                   const uint8_t *pixels, Bytes *ret, Error *err)
{
    Rgb rgb = { 0 };
    Status s;

    if (r->what == MAPS_NPY)
        return npy_encode_f32(map->values, map->height, map->width, ret, err);
    s = render_heatmap(map->values, map->height, map->width, pixels, d->height, d->width,
                       d->channels, &r->render, &rgb, err);
    if (s == STATUS_OK)
        s = png_encode_rgb(rgb.pixels, rgb.height, rgb.width, ret, err);
    rgb_clear(&rgb);
    return s;
}

static Status check_input(const Explainer *explainer, const Dataset *d, Error *err)
{
    Shape in = explainer_input(explainer);

    if (in.dim[1] == d->height && in.dim[2] == d->width && in.dim[3] == d->channels)
        return STATUS_OK;
    return error_at(err, STATUS_INVALID, "/dataset",
                    "the model takes images of %ux%ux%u, data set \"%s\" has %ux%ux%u now",
                    in.dim[1], in.dim[2], in.dim[3], d->name, d->height, d->width, d->channels);
}

/* The map of an image of bytes. */
static Status explain(const MapsRequest *r, Explainer *explainer, const Loader *loader,
                      const uint8_t *pixels, HeatMap *ret, Error *err)
{
    const Dataset *d = loader->dataset;
    float *image = malloc((size_t)d->height * d->width * d->channels * sizeof *image);
    Status s;

    if (image == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate an image");
    loader_normalise(loader, pixels, image);
    s = explainer_map(explainer,
                      &(const MapRequest){ .image = image,
                                           .layer = r->layer[0] == '\0' ? NULL : r->layer,
                                           .cam = r->cam,
                                           .class_index = r->class_index,
                                           .signed_map = r->signed_map },
                      ret, err);
    free(image);
    return s;
}

static Status answer_map(Maps *maps, const MapsRequest *r, Explainer *explainer, MapsResult *result,
                         Error *err)
{
    const uint8_t *pixels = NULL;
    Loader loader = { 0 };
    HeatMap map = { 0 };
    Status s = find_image(maps, r, &loader, &pixels, &result->label, err);

    if (s != STATUS_OK)
        return s;
    s = check_input(explainer, loader.dataset, err);
    if (s == STATUS_OK) {
        loader_set_normal(&loader, explainer_mean(explainer), explainer_std(explainer));
        s = explain(r, explainer, &loader, pixels, &map, err);
    }
    if (s == STATUS_OK) {
        result->class_index = map.class_index;
        result->predicted = map.predicted;
        result->score = map.score;
        result->empty = map.empty;
        s = draw(r, &map, loader.dataset, pixels, &result->bytes, err);
        heatmap_clear(&map);
    }
    loader_clear(&loader);
    return s;
}

/* What a checkpoint's network is asked for. */
static Status answer_network(Maps *maps, const MapsRequest *r, MapsResult *result, Error *err)
{
    Checkpoint checkpoint;
    Explainer *explainer = NULL;
    Status s = find_checkpoint(maps, r, &checkpoint, err);

    if (s == STATUS_OK)
        s = open_cached(maps, &checkpoint, r->part, &explainer, err);
    if (s != STATUS_OK)
        return s;
    memcpy(result->checkpoint_sha256, checkpoint.sha256, sizeof result->checkpoint_sha256);
    return r->what == MAPS_LAYERS ? answer_layers(explainer, result, err)
                                  : answer_map(maps, r, explainer, result, err);
}

static void answer(Maps *maps, const Entry *entry)
{
    const MapsRequest *r = &entry->request;
    MapsResult result = { 0 };
    Error err = { 0 };
    Status s = r->what == MAPS_SHEET
                   ? sheet_png(&r->sheet, queue_datasets(maps->queue), &result.bytes, &err)
                   : answer_network(maps, r, &result, &err);

    if (s != STATUS_OK) {
        bytes_clear(&result.bytes);
        result = (MapsResult){ 0 };
    }
    entry->done(entry->context, s, &err, &result);
    bytes_clear(&result.bytes);
}

/* --- the thread --- */

static void refuse(const Entry *entry)
{
    MapsResult none = { 0 };
    Error err = { 0 };
    Status s = error_set(&err, STATUS_STOPPED, "the daemon is shutting down");

    entry->done(entry->context, s, &err, &none);
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
    maps_main(maps);
    for (int i = 0; i < CACHED; i++)
        explainer_free(maps->cached[i].explainer);
    pool_free(maps->pool);
    return NULL;
}

Status maps_new(Queue *queue, Maps **ret, Error *err)
{
    Maps *maps = calloc(1, sizeof *maps);

    if (maps == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate the queue of heat maps");
    maps->queue = queue;
    pthread_mutex_init(&maps->lock, NULL);
    pthread_cond_init(&maps->wake, NULL);
    errno = pthread_create(&maps->thread, NULL, maps_start, maps);
    if (errno != 0) {
        Status s = error_errno(err, STATUS_INTERNAL, "cannot start the heat maps' thread");

        pthread_mutex_destroy(&maps->lock);
        pthread_cond_destroy(&maps->wake);
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
    free(maps);
}

Status maps_submit(Maps *maps, const MapsRequest *request, MapsDone done, void *context, Error *err)
{
    Status s = STATUS_OK;

    pthread_mutex_lock(&maps->lock);
    if (maps->stop)
        s = error_set(err, STATUS_STOPPED, "the daemon is shutting down");
    else if (maps->count == MAPS_QUEUE_MAX)
        s = error_set(err, STATUS_BUSY, "%d heat maps are waiting already: try again",
                      MAPS_QUEUE_MAX);
    else
        maps->ring[(maps->first + maps->count++) % MAPS_QUEUE_MAX] =
            (Entry){ *request, done, context };
    pthread_cond_signal(&maps->wake);
    pthread_mutex_unlock(&maps->lock);
    return s;
}
