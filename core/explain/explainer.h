/*
 * explainer -- a trained network opened for explaining: predictions, named layers, heat maps.
 *
 * An Explainer holds the weights of one checkpoint and the engine (explanation.h, of one image) for
 * what was asked for last, because people look at many images in one way. It belongs to one thread
 * at a time.
 */
#pragma once

#include <stdbool.h>

#include "core/base/parallel.h"
#include "core/base/shape.h"
#include "core/explain/cam.h"

typedef struct Explainer Explainer;

typedef struct LayerInfo {
    const char *name; /* module path: "layer3", "layer3.1.conv2"; lives as long as the explainer */
    Shape output;     /* for one image: [1,H,W,C] or [1,C] */
} LayerInfo;

typedef struct MapRequest {
    const float *image;                /* normalised [H,W,C] */
    const char *layer[MAP_LAYERS_MAX]; /* several are fused (explanation.h) */
    uint32_t layers;     /* 0: the model's default (layer3 for ResNet-18; CAM's is the last); maps
                            of pixels take none */
    uint32_t method;     /* row of cam_table */
    int64_t class_index; /* negative: the predicted one */
    bool signed_map;     /* leave out the ReLU */
    bool flips;          /* the mean of the map and of the mirrored image's, mirrored back */
    uint64_t seed; /* of what a method draws: keyed by seed and item, as for the split `test` */
    uint32_t item; /* the image's index there, or 0 */
} MapRequest;

typedef struct HeatMap {
    uint32_t height, width;
    float *values; /* [h,w], unscaled; heatmap_clear() frees it. The layer's own resolution, or the
                      image's of a map of pixels; of fused layers the largest, 0..1 */
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

/* STATUS_INVALID, with pointer "/layer" (the message lists the stage names), "/class" or "/method"
 * (it does not suit the model). Never NaN. */
CHECKED Status explainer_map(Explainer *explainer, const MapRequest *request, HeatMap *ret,
                             Error *err);
/* The maps of all classes at once, ret[explainer_classes()], which costs less than one by one;
 * request->class_index is not looked at. On failure none of them is written. */
CHECKED Status explainer_maps(Explainer *explainer, const MapRequest *request, HeatMap *ret,
                              Error *err);
/* Softmax probability of a class for the image of the last of these that succeeded; 0 where the
 * logits give none, or there was no image yet. */
float explainer_score(const Explainer *explainer, uint32_t class_index);
