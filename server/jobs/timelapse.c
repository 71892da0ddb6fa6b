/*
 * The checkpoint's own file is opened, not the network that trains: what is kept is what a heat map
 * of that checkpoint shows (its seed is 0, too), and training neither waits for another plan's
 * memory nor is looked into. An epoch that runs again writes over what it has left before.
 */
#include "server/jobs/timelapse.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/durable.h"
#include "core/train/trainer.h"
#include "server/config/log.h"
#include "server/jobs/checkpoint_part.h"
#include "server/jobs/job_images.h"
#include "server/jobs/queue_private.h"
#include "server/jobs/timelapse_file.h"

struct Timelapse {
    TimelapseParams params;
    uint32_t method, epochs;
    JobImages images;
};

static void missed(JobRun *run, uint32_t epoch, const Error *why)
{
    atomic_fetch_add(&run->slot->queue->timelapse_missed, 1);
    log_write(LOG_WARNING, "job %lld: no time-lapse of epoch %u: %s", (long long)run->id, epoch,
              error_message(why));
}

/* Maps are left out only where the job will come back to this epoch. */
static bool must_stop(const Timelapse *t, const JobRun *run, uint32_t epoch)
{
    int stop = atomic_load(run->stop);

    return stop == STOP_CANCEL || (stop == STOP_DRAIN && epoch < t->epochs);
}

/* --- one epoch of one network --- */

/* Cuts `text` at its commas. */
static void split_layers(char *text, MapRequest *ret)
{
    char *name;

    while (text[0] != '\0' && ret->layers < MAP_LAYERS_MAX && (name = strsep(&text, ",")) != NULL) {
        ret->layer[ret->layers++] = name;
        if (text == NULL)
            return;
    }
}

/* The i-th image's row of `e`, and its map into `maps`, which is made for as many as there are. */
static Status keep(const HeatMap *map, uint32_t i, TimelapseEpoch *e, float **maps, Error *err)
{
    size_t numbers = (size_t)map->height * map->width;

    if (i == 0) {
        e->height = map->height;
        e->width = map->width;
        *maps = calloc(numbers * e->images, sizeof **maps);
        if (*maps == NULL)
            return error_set(err, STATUS_NO_MEMORY, "cannot allocate the maps");
    }
    memcpy(*maps + i * numbers, map->values, numbers * sizeof **maps);
    e->predicted[i] = map->predicted;
    e->score[i] = map->score;
    return STATUS_OK;
}

static Status explain_image(Timelapse *t, Explainer *network, char *layers, uint32_t i,
                            TimelapseEpoch *e, float **maps, Error *err)
{
    const uint32_t item = (uint32_t)t->params.image[i];
    MapRequest request = { .method = t->method, .class_index = -1, .item = item };
    float *image = NULL;
    HeatMap map = { 0 };
    Status s = job_images_input(&t->images, network, SPLIT_TEST, item, &image, err);

    if (s != STATUS_OK)
        return s;
    split_layers(layers, &request);
    request.image = image;
    s = explainer_map(network, &request, &map, err);
    free(image);
    if (s == STATUS_OK)
        s = keep(&map, i, e, maps, err);
    heatmap_clear(&map);
    e->index[i] = item;
    e->label[i] = loader_label(&t->images.loader, SPLIT_TEST, item);
    return s;
}

/* Of all images; STATUS_STOPPED: the job is to stop. *ret_maps is to be freed either way. */
static Status explain(Timelapse *t, const JobRun *run, Explainer *network, TimelapseEpoch *e,
                      float **ret_maps, Error *err)
{
    Status s = STATUS_OK;

    e->images = t->params.images;
    for (uint32_t i = 0; i < e->images && s == STATUS_OK; i++) {
        char layers[EXPLANATION_LAYER_MAX];

        memcpy(layers, e->layer, sizeof layers);
        s = must_stop(t, run, e->epoch) ? error_set(err, STATUS_STOPPED, "the job is to stop")
                                        : explain_image(t, network, layers, i, e, ret_maps, err);
    }
    e->maps = *ret_maps;
    return s;
}

static Status write_epoch(Store *store, int64_t job, const char *part, const TimelapseEpoch *e,
                          Error *err)
{
    char name[ARTEFACT_NAME_MAX], *path;
    DurableFile file = { 0 };
    Artefact artefact;
    Status s;

    timelapse_artefact_name(part, e->epoch, name);
    s = store_artefact_prepare(store, job, name, &artefact, err);
    if (s != STATUS_OK)
        return s;
    path = store_artefact_file(store, &artefact);
    s = path == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                     : durable_open(&file, path, err);
    free(path);
    if (s != STATUS_OK)
        return s;
    s = timelapse_file_write(file.stream, e, err);
    if (s == STATUS_OK)
        s = durable_commit(&file, err);
    else
        durable_abort(&file);
    return s == STATUS_OK ? store_artefact_add(store, &artefact, err) : s;
}

/* part: whose maps; "": the only network's. Where there are two, one without the layer that is
 * asked for shows its default. */
static Status make_part(Timelapse *t, JobRun *run, const char *path, const char *part,
                        TimelapseEpoch *e, Error *err)
{
    Explainer *network = NULL;
    float *maps = NULL;
    Error why = { 0 };
    Status s = checkpoint_explainer(run->store, path, part, run->pool, &network, err);

    if (s != STATUS_OK)
        return s;
    memcpy(e->layer, t->params.layer, sizeof e->layer);
    memcpy(e->method, t->params.method, sizeof e->method);
    s = explain(t, run, network, e, &maps, &why);
    if (s == STATUS_INVALID && part[0] != '\0' && strcmp(why.detail[0].pointer, "/layer") == 0) {
        memset(e->layer, 0, sizeof e->layer);
        error_clear(&why);
        free(maps);
        maps = NULL;
        s = explain(t, run, network, e, &maps, &why);
    }
    explainer_free(network);
    s = s == STATUS_OK ? write_epoch(run->store, run->id, part, e, err)
                       : error_set(err, s, "%s", error_message(&why));
    free(maps);
    return s;
}

static Status make(Timelapse *t, JobRun *run, const Checkpoint *c, Error *err)
{
    static const char *const parts[] = { "explainer", "audience" };
    char *path = store_checkpoint_file(run->store, c);
    TimelapseEpoch epoch = { .epoch = c->epoch, .step = c->step };
    bool two = false;
    Status s = path == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                            : checkpoint_has_part(path, parts[0], &two, err);

    if (s == STATUS_OK && !two)
        s = make_part(t, run, path, "", &epoch, err);
    for (int i = 0; i < 2 && two && s == STATUS_OK; i++)
        s = make_part(t, run, path, parts[i], &epoch, err);
    free(path);
    return s;
}

void timelapse_epoch(Timelapse *t, JobRun *run, const Checkpoint *checkpoint)
{
    Error why = { 0 };

    if (t == NULL || checkpoint->partial || !timelapse_keeps(checkpoint->epoch, t->epochs))
        return;
    if (make(t, run, checkpoint, &why) != STATUS_OK && !must_stop(t, run, checkpoint->epoch))
        missed(run, checkpoint->epoch, &why);
}

/* --- the job --- */

/* Whether all that belongs to the epoch is there: of two networks the audience's is made last. */
static bool is_made(JobRun *run, uint32_t epoch)
{
    char one[ARTEFACT_NAME_MAX], last[ARTEFACT_NAME_MAX];
    Artefact artefact;

    timelapse_artefact_name("", epoch, one);
    timelapse_artefact_name("audience", epoch, last);
    return store_artefact_find(run->store, run->id, one, &artefact, NULL) == STATUS_OK ||
           store_artefact_find(run->store, run->id, last, &artefact, NULL) == STATUS_OK;
}

/* What a crash has kept from being made. */
static void catch_up(Timelapse *t, JobRun *run)
{
    Checkpoint *list = calloc(CHECKPOINT_LIST_MAX, sizeof *list);
    size_t count = 0, newest = 0;
    Error why = { 0 };

    if (list == NULL || store_checkpoint_list(run->store, run->id, list, CHECKPOINT_LIST_MAX,
                                              &count, &why) != STATUS_OK)
        missed(run, 0, &why);
    while (newest < count && list[newest].partial)
        newest++;
    if (newest < count && !is_made(run, list[newest].epoch))
        timelapse_epoch(t, run, &list[newest]);
    free(list);
}

static Status open_job(Timelapse *t, JobRun *run, const Job *job, Error *err)
{
    Status s = timelapse_params_method(&t->params, &t->method, err);

    t->epochs = job->progress.epochs;
    if (s == STATUS_OK)
        s = job_images_open(run->datasets, job, &t->images, err);
    if (s == STATUS_OK)
        s = job_images_see(&t->images, run->store, job, err);
    for (uint32_t i = 0; i < t->params.images && s == STATUS_OK; i++)
        if (t->params.image[i] >= (double)t->images.loader.images[SPLIT_TEST])
            s = error_set(err, STATUS_INVALID, "there is no test image %.0f", t->params.image[i]);
    return s;
}

Timelapse *timelapse_new(JobRun *run)
{
    Timelapse *t = calloc(1, sizeof *t);
    Job job = { 0 };
    Error why = { 0 };
    Status s = t == NULL ? error_set(&why, STATUS_NO_MEMORY, "cannot allocate a time-lapse")
                         : store_job_get(run->store, run->id, &job, &why);

    if (s == STATUS_OK)
        s = timelapse_params_of(job.params, &t->params, &why);
    if (s == STATUS_OK && t->params.images > 0)
        s = open_job(t, run, &job, &why);
    job_clear(&job);
    if (s != STATUS_OK)
        missed(run, 0, &why);
    if (s != STATUS_OK || t->params.images == 0) {
        timelapse_free(t);
        return NULL;
    }
    catch_up(t, run);
    return t;
}

void timelapse_free(Timelapse *t)
{
    if (t == NULL)
        return;
    job_images_clear(&t->images);
    free(t);
}
