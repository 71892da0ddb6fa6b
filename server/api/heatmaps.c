/*
 * Heat maps and layers: both need the network, so the maps' thread computes them and the connection
 * waits. The query is checked here, against the tables; what depends on the network (layer, class,
 * image) is checked there.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/api.h"

typedef struct MapQuery {
    char layer[LAYER_NAME_MAX], method[32], epoch[16];
    uint32_t model;
    OptionalUint class_index;
    double blend;
    uint32_t scale, colormap, split;
    bool signed_map;
} MapQuery;

/* Of a `lease`; the first is the default, of any other job the only network. */
static const char *const models[] = { "explainer", "audience", NULL };
static const char *const parts[] = { "", "audience" };

static const Field map_fields[] = {
    FIELD_STRING_ROW(MapQuery, layer, "layer", FIELD_NULLABLE, "",
                     "module path; the model's default where absent"),
    FIELD_UINT_ROW(MapQuery, class_index, "class", 0, 65535,
                   "class index; the predicted one where absent"),
    FIELD_STRING_ROW(MapQuery, method, "method", 0, "gradcam",
                     "a row of the table of heat-map methods"),
    FIELD_REAL_ROW(MapQuery, blend, "blend", 0.5, 0, 1, "0: the image alone, 1: the map alone"),
    FIELD_U32_ROW(MapQuery, scale, "scale", 8, 1, RENDER_SCALE_MAX, "output pixels an image pixel"),
    FIELD_ENUM_ROW(MapQuery, colormap, "colormap", COLORMAP_VIRIDIS, colormap_names,
                   "colours of the map"),
    FIELD_ENUM_ROW(MapQuery, split, "split", SPLIT_TEST, split_names,
                   "which images {image} counts in"),
    FIELD_STRING_ROW(MapQuery, epoch, "epoch", 0, "latest", "latest, best or an epoch's number"),
    FIELD_ENUM_ROW(MapQuery, model, "model", 0, models, "which network of a `lease`"),
    FIELD_BOOL_ROW(MapQuery, signed_map, "signed", 0, "1: before the ReLU"),
};

/* What the maps' thread needs to make a Response of its result. */
typedef struct Waiting {
    Deferral *deferral;
    MapsWhat what;
} Waiting;

static void done(void *context, Status status, const Error *err, MapsResult *result)
{
    static const char *const types[] = { [MAPS_PNG] = "image/png",
                                         [MAPS_NPY] = "application/octet-stream",
                                         [MAPS_LAYERS] = "application/json",
                                         [MAPS_SHEET] = "image/png" };
    Waiting *waiting = context;
    Response response = { 0 };

    if (status == STATUS_OK)
        response_bytes(&response, types[waiting->what], &result->bytes);
    if (status == STATUS_OK && waiting->what != MAPS_SHEET)
        response_header(&response, "Leased-Checkpoint", "%s", result->checkpoint_sha256);
    if (status == STATUS_OK && (waiting->what == MAPS_PNG || waiting->what == MAPS_NPY)) {
        response_header(&response, "Leased-Class", "%u", result->class_index);
        response_header(&response, "Leased-Predicted", "%u", result->predicted);
        response_header(&response, "Leased-Label", "%u", result->label);
        response_header(&response, "Leased-Score", "%.6g", (double)result->score);
        response_header(&response, "Leased-Empty", "%d", (int)result->empty);
    }
    deferral_complete(waiting->deferral, status, err, &response);
    response_clear(&response);
    free(waiting);
}

Status api_maps_submit(Api *api, const MapsRequest *request, Response *ret, Error *err)
{
    Waiting *waiting = malloc(sizeof *waiting);
    Status s;

    if (waiting == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the request");
    waiting->what = request->what;
    s = response_defer(ret, &waiting->deferral, err);
    if (s == STATUS_OK) {
        s = maps_submit(api->maps, request, done, waiting, err);
        if (s == STATUS_OK)
            return s;
        deferral_complete(waiting->deferral, s, NULL, NULL);
    }
    free(waiting);
    return s;
}

/* The row of the method, or the message that lists them. */
static Status find_method(const char *name, uint32_t *ret, Error *err)
{
    char known[128] = "";
    int row = table_find(cam_table, name);

    if (row >= 0) {
        *ret = (uint32_t)row;
        return STATUS_OK;
    }
    for (size_t i = 0; cam_table[i] != NULL; i++) {
        size_t used = strlen(known);

        snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "",
                 cam_table[i]->described.name);
    }
    return error_at(err, STATUS_INVALID, "/method", "must be one of: %s", known);
}

static Status heatmap(Api *api, const Request *req, MapsWhat what, Response *ret, Error *err)
{
    MapsRequest request = { .what = what };
    MapQuery query;
    int64_t image;
    Status s = request_id_param(req, "id", "job", &request.job, err);

    if (s == STATUS_OK)
        s = request_id_param(req, "image", "image", &image, err);
    if (s == STATUS_OK && image > UINT32_MAX)
        s = error_set(err, STATUS_NOT_FOUND, "no image %lld", (long long)image);
    if (s == STATUS_OK)
        s = api_query(req, map_fields, sizeof map_fields / sizeof *map_fields, &query, err);
    if (s == STATUS_OK)
        s = find_method(query.method, &request.cam, err);
    if (s != STATUS_OK)
        return s;
    request.image = (uint32_t)image;
    request.split = (Split)query.split;
    request.class_index = query.class_index.set ? (int64_t)query.class_index.value : -1;
    request.signed_map = query.signed_map;
    request.render = (RenderSpec){ query.scale, (float)query.blend, (Colormap)query.colormap };
    memcpy(request.layer, query.layer, sizeof request.layer);
    memcpy(request.which, query.epoch, sizeof request.which);
    snprintf(request.part, sizeof request.part, "%s", parts[query.model]);
    return api_maps_submit(api, &request, ret, err);
}

/* GET /api/v1/jobs/{id}/heatmaps/{image}.png -- the map laid over its image. */
Status api_heatmap_png(Api *api, const Request *req, Response *ret, Error *err)
{
    return heatmap(api, req, MAPS_PNG, ret, err);
}

/* GET /api/v1/jobs/{id}/heatmaps/{image}.npy -- the raw map, at the layer's own resolution. */
Status api_heatmap_npy(Api *api, const Request *req, Response *ret, Error *err)
{
    return heatmap(api, req, MAPS_NPY, ret, err);
}

typedef struct LayerQuery {
    char epoch[16];
    uint32_t model;
} LayerQuery;

static const Field layer_fields[] = {
    FIELD_STRING_ROW(LayerQuery, epoch, "epoch", 0, "latest", "latest, best or an epoch's number"),
    FIELD_ENUM_ROW(LayerQuery, model, "model", 0, models, "which network of a `lease`"),
};

/* GET /api/v1/jobs/{id}/layers -- names and shapes, in network order. */
Status api_layer_list(Api *api, const Request *req, Response *ret, Error *err)
{
    MapsRequest request = { .what = MAPS_LAYERS };
    LayerQuery query;
    Status s = request_id_param(req, "id", "job", &request.job, err);

    if (s == STATUS_OK)
        s = api_query(req, layer_fields, sizeof layer_fields / sizeof *layer_fields, &query, err);
    if (s != STATUS_OK)
        return s;
    memcpy(request.which, query.epoch, sizeof request.which);
    snprintf(request.part, sizeof request.part, "%s", parts[query.model]);
    return api_maps_submit(api, &request, ret, err);
}
