/*
 * Heat maps, contact sheets and layers: all need a network, so the maps' thread computes them and
 * the connection waits. The query is checked here, against the tables; what depends on the network
 * (layer, class, image) is checked there.
 *
 * Lists in a query ("0,1,2", "layer2,layer3") are cut at their commas, and every element is read as
 * strictly as a parameter of its own would be.
 */
#include "server/api/heatmaps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/api.h"

enum { LIST_BYTES = 4096 };

/* Of a `lease`; the first is the default, of any other job the only network. */
const char *const map_models[] = { "explainer", "audience", NULL };
static const char *const parts[] = { "", "audience" };

typedef struct PlaceParams {
    uint32_t split;
    char epoch[MAPS_WHICH_BYTES];
} PlaceParams;

#define PLACE_FIELD_ROWS(S, m)                                                                \
    FIELD_ENUM_ROW(S, m.split, "split", SPLIT_TEST, split_names, "which images are counted"), \
        FIELD_STRING_ROW(S, m.epoch, "epoch", 0, "latest", "latest, best or an epoch's number")

typedef struct MapQuery {
    MapParams map;
    DrawParams draw;
    PlaceParams place;
} MapQuery;

static const Field map_fields[] = { MAP_FIELD_ROWS(MapQuery, map),
                                    DRAW_FIELD_ROWS(MapQuery, draw, 8),
                                    PLACE_FIELD_ROWS(MapQuery, place) };

typedef struct SheetQuery {
    MapParams map;
    DrawParams draw;
    PlaceParams place;
    uint32_t by;
    char images[LIST_BYTES], classes[LIST_BYTES], layers[LIST_BYTES], epochs[LIST_BYTES],
        methods[LIST_BYTES];
    uint64_t other;
} SheetQuery;

static const Field sheet_fields[] = {
    MAP_FIELD_ROWS(SheetQuery, map),
    DRAW_FIELD_ROWS(SheetQuery, draw, 4),
    PLACE_FIELD_ROWS(SheetQuery, place),
    FIELD_ENUM_ROW(SheetQuery, by, "by", BY_CLASSES, contact_by_names, "what the columns are"),
    FIELD_STRING_ROW(SheetQuery, images, "images", 0, "0,1,2,3", "positions in the split"),
    FIELD_STRING_ROW(SheetQuery, classes, "classes", 0, "", "with by=classes; all where absent"),
    FIELD_STRING_ROW(SheetQuery, layers, "layers", 0, "",
                     "with by=layers; the stages where absent"),
    FIELD_STRING_ROW(SheetQuery, epochs, "epochs", 0, "",
                     "with by=epochs; those that are kept where absent"),
    FIELD_STRING_ROW(SheetQuery, methods, "methods", 0, "",
                     "with by=methods; those that cost little where absent"),
    FIELD_U64_ROW(SheetQuery, other, "other", 0, 0, 9007199254740991.0,
                  "a job whose network explains the same images"),
};

/* --- what queries have in common --- */

/* The row of the method, or the message that lists them. */
static Status find_method(const char *name, const char *pointer, uint32_t *ret, Error *err)
{
    char known[ERROR_MESSAGE_MAX] = "";
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
    return error_at(err, STATUS_INVALID, pointer, "must be one of: %s", known);
}

/* Calls take(element, i) for each element of the list, which is cut to pieces. */
typedef struct List {
    const char *pointer; /* of the parameter */
    uint32_t max;
    Status (*take)(const char *element, uint32_t i, MapsRequest *ret, Error *err);
} List;

static Status read_list(const List *list, char *text, MapsRequest *request, uint32_t *ret_count,
                        Error *err)
{
    char *next = text;
    uint32_t count = 0;
    Status s = STATUS_OK;

    for (char *element; s == STATUS_OK && (element = strsep(&next, ",")) != NULL;)
        if (count == list->max)
            s = error_at(err, STATUS_INVALID, list->pointer, "at most %u are taken", list->max);
        else if (*element == '\0')
            s = error_at(err, STATUS_INVALID, list->pointer, "between two commas is nothing");
        else
            s = list->take(element, count++, request, err);
    *ret_count = count;
    return s;
}

static Status read_number(const char *text, const char *pointer, uint64_t max, uint32_t *ret,
                          Error *err)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 10 || text[digits] != '\0' || strtoull(text, NULL, 10) > max)
        return error_at(err, STATUS_INVALID, pointer, "\"%.20s\" must be an integer of 0 to %llu",
                        text, (unsigned long long)max);
    *ret = (uint32_t)strtoull(text, NULL, 10);
    return STATUS_OK;
}

/* --- one map --- */

static Status check_layer(const char *element, uint32_t i, MapsRequest *ret, Error *err)
{
    return strlen(element) < LAYER_NAME_MAX
               ? STATUS_OK
               : error_at(err, STATUS_INVALID, "/layer", "a layer's name has at most %d bytes",
                          LAYER_NAME_MAX - 1);
}

Status map_params_take(const MapParams *params, MapsRequest *ret, Error *err)
{
    static const List layers = { "/layer", MAP_LAYERS_MAX, check_layer };
    char names[MAPS_LAYER_BYTES];
    uint32_t count;
    Status s = find_method(params->method, "/method", &ret->method, err);

    memcpy(names, params->layer, sizeof names);
    if (s == STATUS_OK && names[0] != '\0')
        s = read_list(&layers, names, ret, &count, err);
    if (s != STATUS_OK)
        return s;
    memcpy(ret->layer, params->layer, sizeof ret->layer);
    ret->class_index = params->class_index.set ? (int64_t)params->class_index.value : -1;
    ret->signed_map = params->signed_map;
    ret->flips = params->flips;
    ret->seed = params->seed;
    snprintf(ret->part, sizeof ret->part, "%s", parts[params->model]);
    return STATUS_OK;
}

void draw_params_take(const DrawParams *params, MapsRequest *ret)
{
    ret->render = (RenderSpec){ params->scale, (float)params->blend, (Colormap)params->colormap };
}

static void place_take(const PlaceParams *params, MapsRequest *ret)
{
    ret->split = (Split)params->split;
    memcpy(ret->which, params->epoch, sizeof ret->which);
}

static Status single_query(const Request *req, MapsRequest *ret, Error *err)
{
    MapQuery query;
    Status s = api_query(req, map_fields, sizeof map_fields / sizeof *map_fields, &query, err);

    if (s == STATUS_OK)
        s = map_params_take(&query.map, ret, err);
    if (s != STATUS_OK)
        return s;
    draw_params_take(&query.draw, ret);
    place_take(&query.place, ret);
    return STATUS_OK;
}

/* --- a sheet --- */

static Status take_image(const char *element, uint32_t i, MapsRequest *ret, Error *err)
{
    return read_number(element, "/images", UINT32_MAX, &ret->contact.image[i], err);
}

static Status take_class(const char *element, uint32_t i, MapsRequest *ret, Error *err)
{
    return read_number(element, "/classes", 65535, &ret->contact.number[i], err);
}

static Status take_method(const char *element, uint32_t i, MapsRequest *ret, Error *err)
{
    return find_method(element, "/methods", &ret->contact.number[i], err);
}

static Status take_layer(const char *element, uint32_t i, MapsRequest *ret, Error *err)
{
    if (strlen(element) >= LAYER_NAME_MAX)
        return error_at(err, STATUS_INVALID, "/layers", "a layer's name has at most %d bytes",
                        LAYER_NAME_MAX - 1);
    snprintf(ret->contact.name[i], LAYER_NAME_MAX, "%s", element);
    return STATUS_OK;
}

static Status take_epoch(const char *element, uint32_t i, MapsRequest *ret, Error *err)
{
    uint32_t number;
    bool word = strcmp(element, "latest") == 0 || strcmp(element, "best") == 0;
    Status s = word ? STATUS_OK : read_number(element, "/epochs", 999999999, &number, err);

    if (s == STATUS_OK)
        snprintf(ret->contact.name[i], LAYER_NAME_MAX, "%s", element);
    return s;
}

/* The list that goes with `by`; the others must not be there. */
static Status take_values(SheetQuery *query, MapsRequest *ret, Error *err)
{
    const struct {
        List list;
        char *text;
    } lists[] = {
        [BY_CLASSES] = { { "/classes", LIMIT_CELLS, take_class }, query->classes },
        [BY_LAYERS] = { { "/layers", CONTACT_NAMES_MAX, take_layer }, query->layers },
        [BY_EPOCHS] = { { "/epochs", CONTACT_NAMES_MAX, take_epoch }, query->epochs },
        [BY_METHODS] = { { "/methods", LIMIT_CELLS, take_method }, query->methods },
    };
    Status s = STATUS_OK;

    for (uint32_t by = 0; by < sizeof lists / sizeof *lists && s == STATUS_OK; by++) {
        if (lists[by].text[0] == '\0')
            continue;
        if (by != query->by)
            s = error_at(err, STATUS_INVALID, lists[by].list.pointer, "goes with by=%s",
                         contact_by_names[by]);
        else
            s = read_list(&lists[by].list, lists[by].text, ret, &ret->contact.values, err);
    }
    return s;
}

static Status sheet_query(const Request *req, MapsRequest *ret, Error *err)
{
    static const List images = { "/images", LIMIT_CELLS, take_image };
    SheetQuery query;
    Status s =
        api_query(req, sheet_fields, sizeof sheet_fields / sizeof *sheet_fields, &query, err);

    if (s == STATUS_OK)
        s = map_params_take(&query.map, ret, err);
    if (s == STATUS_OK)
        s = read_list(&images, query.images, ret, &ret->contact.images, err);
    ret->contact.by = (ContactBy)query.by;
    if (s == STATUS_OK)
        s = take_values(&query, ret, err);
    if (s != STATUS_OK)
        return s;
    ret->contact.other = (int64_t)query.other;
    draw_params_take(&query.draw, ret);
    place_take(&query.place, ret);
    return STATUS_OK;
}

Status heatmap_query(const Request *req, MapsRequest *ret, Error *err)
{
    return ret->what == MAPS_CONTACT ? sheet_query(req, ret, err) : single_query(req, ret, err);
}

/* --- handlers --- */

static Status heatmap(Api *api, const Request *req, MapsWhat what, Response *ret, Error *err)
{
    MapsRequest request = { .what = what };
    int64_t image;
    Status s = request_id_param(req, "id", "job", &request.job, err);

    if (s == STATUS_OK)
        s = request_id_param(req, "image", "image", &image, err);
    if (s == STATUS_OK && image > UINT32_MAX)
        s = error_set(err, STATUS_NOT_FOUND, "no image %lld", (long long)image);
    if (s == STATUS_OK)
        s = heatmap_query(req, &request, err);
    if (s != STATUS_OK)
        return s;
    request.image = (uint32_t)image;
    return api_maps_answer(api, req, &request, ret, err);
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

/* GET /api/v1/jobs/{id}/heatmaps/sheet.png -- many of them. */
Status api_heatmap_sheet(Api *api, const Request *req, Response *ret, Error *err)
{
    MapsRequest request = { .what = MAPS_CONTACT };
    Status s = request_id_param(req, "id", "job", &request.job, err);

    if (s == STATUS_OK)
        s = heatmap_query(req, &request, err);
    return s == STATUS_OK ? api_maps_answer(api, req, &request, ret, err) : s;
}

typedef struct LayerQuery {
    char epoch[MAPS_WHICH_BYTES];
    uint32_t model;
} LayerQuery;

static const Field layer_fields[] = {
    FIELD_STRING_ROW(LayerQuery, epoch, "epoch", 0, "latest", "latest, best or an epoch's number"),
    FIELD_ENUM_ROW(LayerQuery, model, "model", 0, map_models, "which network of a `lease`"),
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
    return api_maps_answer(api, req, &request, ret, err);
}
