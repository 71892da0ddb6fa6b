/*
 * Time-lapses. What there is stands in small files, one an epoch, that are read here; pictures of
 * it are drawn by the thread that draws heat maps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/api.h"
#include "server/api/heatmaps.h"
#include "server/codec/json.h"
#include "server/jobs/film.h"

static const char *const parts[] = { "", "audience" }; /* of map_models */

/* --- what there is --- */

typedef struct TimelapseQuery {
    uint32_t model;
} TimelapseQuery;

static const Field timelapse_query[] = {
    FIELD_ENUM_ROW(TimelapseQuery, model, "model", 0, map_models, "which network of a `lease`"),
};

static json_t *integers_json(const int64_t *values, uint32_t count)
{
    json_t *out = json_array();

    for (uint32_t i = 0; i < count; i++)
        (void)json_array_append_new(out, json_integer(values[i]));
    return out;
}

static json_t *epoch_json(const TimelapseEpoch *e)
{
    json_t *scores = json_array();

    for (uint32_t i = 0; i < e->images; i++)
        (void)json_array_append_new(scores, json_number((double)e->score[i]));
    return json_pack("{s:I, s:I, s:o, s:o}", "epoch", (json_int_t)e->epoch, "step",
                     (json_int_t)e->step, "predicted", integers_json(e->predicted, e->images),
                     "score", scores);
}

/* What each epoch's file says; *labels and *layer are those of the last. */
static Status epochs_json(const Store *store, const Artefact *files, size_t count, json_t *epochs,
                          json_t **labels, json_t **layer, Error *err)
{
    Status s = STATUS_OK;

    for (size_t i = 0; i < count && s == STATUS_OK; i++) {
        char *path = store_artefact_file(store, &files[i]);
        TimelapseEpoch e = { 0 };

        s = path == NULL ? error_set(err, STATUS_NO_MEMORY, "no memory for a path")
                         : timelapse_file_open(path, &e, err);
        free(path);
        if (s != STATUS_OK)
            break;
        if (json_array_append_new(epochs, epoch_json(&e)) != 0)
            s = error_set(err, STATUS_NO_MEMORY, "no memory for the epochs");
        json_decref(*labels);
        json_decref(*layer);
        *labels = integers_json(e.label, e.images);
        *layer = e.layer[0] == '\0' ? json_null() : json_string(e.layer);
        timelapse_file_close(&e);
    }
    return s;
}

static json_t *images_json(const TimelapseParams *params)
{
    int64_t images[TIMELAPSE_IMAGES_MAX];

    for (uint32_t i = 0; i < params->images; i++)
        images[i] = (int64_t)params->image[i];
    return integers_json(images, params->images);
}

/* GET /api/v1/jobs/{id}/timelapse */
Status api_timelapse_get(Api *api, const Request *req, Response *ret, Error *err)
{
    Store *store = queue_store(api->queue);
    Artefact *files = calloc(TIMELAPSE_EPOCHS_MAX, sizeof *files);
    json_t *epochs = json_array(), *labels = json_array(), *layer = json_null();
    TimelapseParams params;
    TimelapseQuery query;
    char part[16] = "";
    size_t count = 0;
    int64_t id;
    Status s = request_id_param(req, "id", "job", &id, err);

    if (s == STATUS_OK && files == NULL)
        s = error_set(err, STATUS_NO_MEMORY, "no memory for the epochs");
    if (s == STATUS_OK)
        s = api_query(req, timelapse_query, sizeof timelapse_query / sizeof *timelapse_query,
                      &query, err);
    if (s == STATUS_OK)
        s = film_epochs(store, id, parts[query.model], &params, part, files, &count, err);
    if (s == STATUS_OK && count == 0 && params.layer[0] != '\0')
        layer = json_string(params.layer);
    if (s == STATUS_OK)
        s = epochs_json(store, files, count, epochs, &labels, &layer, err);
    free(files);
    if (s == STATUS_OK)
        return response_json(ret, 200,
                             json_pack("{s:I, s:s?, s:s, s:o, s:o, s:o, s:o}", "job",
                                       (json_int_t)id, "model", part[0] != '\0' ? part : NULL,
                                       "method", params.method, "layer", layer, "images",
                                       images_json(&params), "labels", labels, "epochs", epochs),
                             err);
    json_decref(epochs);
    json_decref(labels);
    json_decref(layer);
    return s;
}

/* --- pictures --- */

typedef struct FilmQuery {
    uint32_t as, fps, colormap, model;
    OptionalUint scale;
    double blend;
} FilmQuery;

static const Field film_query[] = {
    FIELD_ENUM_ROW(FilmQuery, as, "as", FILM_ANIMATION, film_forms,
                   "one frame after the other, or all side by side"),
    FIELD_U32_ROW(FilmQuery, fps, "fps", 4, 1, FILM_FPS_MAX, "frames a second"),
    FIELD_REAL_ROW(FilmQuery, blend, "blend", 0.5, 0, 1, "0: the image alone, 1: the map alone"),
    FIELD_UINT_ROW(FilmQuery, scale, "scale", 1, RENDER_SCALE_MAX,
                   "output pixels an image pixel; absent: what fits"),
    FIELD_ENUM_ROW(FilmQuery, colormap, "colormap", COLORMAP_VIRIDIS, colormap_names,
                   "colours of the map"),
    FIELD_ENUM_ROW(FilmQuery, model, "model", 0, map_models, "which network of a `lease`"),
};

/* GET /api/v1/jobs/{id}/timelapse/{image}.png */
Status api_timelapse_png(Api *api, const Request *req, Response *ret, Error *err)
{
    MapsRequest request = { .what = MAPS_FILM };
    FilmRequest *film = &request.film;
    FilmQuery query;
    int64_t image;
    Status s = request_id_param(req, "id", "job", &film->job, err);

    if (s == STATUS_OK)
        s = request_id_param(req, "image", "image", &image, err);
    if (s == STATUS_OK && image > UINT32_MAX)
        s = error_set(err, STATUS_NOT_FOUND, "no image %lld", (long long)image);
    if (s == STATUS_OK)
        s = api_query(req, film_query, sizeof film_query / sizeof *film_query, &query, err);
    if (s != STATUS_OK)
        return s;
    film->image = (uint32_t)image;
    film->form = (FilmForm)query.as;
    film->fps = query.fps;
    film->render =
        (RenderSpec){ (uint32_t)query.scale.value, (float)query.blend, (Colormap)query.colormap };
    snprintf(film->part, sizeof film->part, "%s", parts[query.model]);
    return api_maps_answer(api, req, &request, ret, err);
}
