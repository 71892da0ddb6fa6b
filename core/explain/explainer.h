/*
 * explainer -- a trained network opened for explaining: predictions, named layers, heat maps.
 *
 * An Explainer holds the weights of one checkpoint and plans per layer as they are asked for. It
 * belongs to one thread at a time.
 */
#pragma once

#include <stdbool.h>

#include "core/base/parallel.h"
#include "core/base/shape.h"
#include "core/explain/cam.h"

enum { LAYER_NAME_MAX = 64 };

typedef struct Explainer Explainer;

typedef struct LayerInfo {
    const char *name; /* module path: "layer3", "layer3.1.conv2"; lives as long as the explainer */
    Shape output;     /* for one image: [1,H,W,C] or [1,C] */
} LayerInfo;

typedef struct MapRequest {
    const float *image;  /* normalised [H,W,C] */
    const char *layer;   /* NULL: the model's default (layer3 for ResNet-18); CAM's is the last */
    uint32_t cam;        /* row of cam_table */
    int64_t class_index; /* negative: the predicted one */
    bool signed_map;     /* leave out the ReLU */
} MapRequest;

typedef struct HeatMap {
    uint32_t height, width;
    float *values; /* [h,w], the layer's own resolution, unscaled; heatmap_clear() frees it */
    uint32_t class_index, predicted;
    float score; /* softmax probability of class_index; 0 where the logits are not finite */
    bool empty;  /* the map is zero everywhere */
} HeatMap;

void heatmap_clear(HeatMap *map);

/* Reads model and weights from a checkpoint; `pool` is borrowed until explainer_free(). */
CHECKED Status explainer_open(const char *checkpoint_path, Pool *pool, Explainer **ret, Error *err);
void explainer_free(Explainer *explainer); /* NULL is fine */

/* All layers in network order. */
const LayerInfo *explainer_layers(const Explainer *explainer, uint32_t *ret_count);
Shape explainer_input(const Explainer *explainer); /* [1,H,W,C] */
uint32_t explainer_classes(const Explainer *explainer);
/* How its images were normalised in training, and are to be: [C] each, of pixels scaled to 0..1. */
const float *explainer_mean(const Explainer *explainer);
const float *explainer_std(const Explainer *explainer);

/* STATUS_INVALID, with pointer "/layer" (the message lists the stage names) or "/class". Never NaN.
 */
CHECKED Status explainer_map(Explainer *explainer, const MapRequest *request, HeatMap *ret,
                             Error *err);
