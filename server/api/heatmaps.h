/* heatmaps -- queries of heat maps and contact sheets -> what the maps' thread is asked. Pure
 * functions: any thread; a fuzzer calls them. */
#pragma once

#include "server/http/http.h"
#include "server/jobs/maps.h"

/* How a map is made: the parameters that a query and the `spec` of an explanation share. */
typedef struct MapParams {
    char layer[MAPS_LAYER_BYTES], method[32];
    uint32_t model;
    OptionalUint class_index;
    bool signed_map, flips;
    uint64_t seed;
} MapParams;

extern const char *const map_models[]; /* "explainer", "audience" */

#define MAP_FIELD_ROWS(S, m)                                                                  \
    FIELD_STRING_ROW(S, m.layer, "layer", FIELD_NULLABLE, "",                                 \
                     "module paths, several to be fused; the model's default where absent"),  \
        FIELD_UINT_ROW(S, m.class_index, "class", 0, 65535,                                   \
                       "class index; the predicted one where absent"),                        \
        FIELD_STRING_ROW(S, m.method, "method", 0, "gradcam",                                 \
                         "a row of the table of heat-map methods"),                           \
        FIELD_BOOL_ROW(S, m.signed_map, "signed", 0, "1: before the ReLU"),                   \
        FIELD_BOOL_ROW(S, m.flips, "flips", 0,                                                \
                       "1: the mean of the map and of the mirrored image's, mirrored back"),  \
        FIELD_U64_ROW(S, m.seed, "seed", 0, 0, 9007199254740991.0, "of what a method draws"), \
        FIELD_ENUM_ROW(S, m.model, "model", 0, map_models, "which network of a `lease`")

/* How a picture of it is drawn. */
typedef struct DrawParams {
    double blend;
    uint32_t scale, colormap;
} DrawParams;

#define DRAW_FIELD_ROWS(S, m, scale_)                                                       \
    FIELD_REAL_ROW(S, m.blend, "blend", 0.5, 0, 1, "0: the image alone, 1: the map alone"), \
        FIELD_U32_ROW(S, m.scale, "scale", scale_, 1, RENDER_SCALE_MAX,                     \
                      "output pixels an image pixel"),                                      \
        FIELD_ENUM_ROW(S, m.colormap, "colormap", COLORMAP_VIRIDIS, colormap_names,         \
                       "colours of the map")

/* Into the request. STATUS_INVALID at "/method" (the message lists them) or "/layer". */
CHECKED Status map_params_take(const MapParams *params, MapsRequest *ret, Error *err);
void draw_params_take(const DrawParams *params, MapsRequest *ret);

/* The query of one map (MAPS_PNG, MAPS_NPY) or of a sheet (MAPS_CONTACT) into *ret, whose `what` is
 * set; job and image are the caller's. What is wrong is named by "/parameter". */
CHECKED Status heatmap_query(const Request *req, MapsRequest *ret, Error *err);
