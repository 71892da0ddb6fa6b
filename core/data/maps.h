/*
 * maps -- explanations of one split's images, as they are kept: half floats and a maximum.
 *
 * Two kinds. *Heat maps*: K maps [h,w] an image, at the layer's own resolution, after the ReLU,
 * each divided by its maximum: values [N,K,h,w], max [N,K]. *Deltas* of an attack: [3,H,W] an image
 * in pixel space (channels first), divided by the largest |delta| of the image: values [N,C,H,W],
 * max [N]. A map of zeros has maximum 0. What comes back is value * max in float: relative error
 * 2^-11.
 *
 * A MapSet is immutable once filled; any thread may read it. Files are core/explain/map_file.h:
 * data knows no safetensors.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/data/loader.h"

typedef enum MapKind { MAP_HEAT, MAP_DELTA } MapKind;

typedef struct MapShape {
    MapKind kind;
    uint32_t images;
    uint32_t maps;          /* K; of a delta the image's channels */
    uint32_t height, width; /* of a delta the image's */
} MapShape;

typedef struct MapSet {
    MapShape shape;
    const uint16_t *values; /* [images,maps,height,width], IEEE half */
    const float *max;       /* [images,maps]; of deltas [images] */
    const int64_t *index;   /* [images] position of each image in the data set's files */
    void *storage;          /* what the pointers above point into; NULL: borrowed */
} MapSet;

enum { MAPS_MAX = 1000 };

/* The numbers of one image's maps; of its maxima. */
size_t mapset_image_numbers(const MapShape *shape);
size_t mapset_image_maxima(const MapShape *shape);
/* What mapset_new() takes. */
uint64_t mapset_bytes(const MapShape *shape);
/* Zeroed memory for `shape`, to be filled by mapset_put(). STATUS_NO_MEMORY. */
CHECKED Status mapset_new(const MapShape *shape, MapSet *ret, Error *err);
void mapset_clear(MapSet *set);

/* Image `image` of a set from mapset_new(): `maps` [maps,height,width], of deltas with sign. What
 * is not finite becomes 0. Different images may be put by different threads at a time. */
void mapset_put(MapSet *set, uint32_t image, int64_t index, const float *maps);
/* Back again: [maps,height,width]. */
void mapset_get(const MapSet *set, uint32_t image, float *ret_maps);

/* STATUS_INVALID at "/maps" unless the set is of this split of these data: same number of images,
 * same positions in the files, deltas of the images' size, and as many heat maps as classes, or 1.
 */
CHECKED Status mapset_check(const MapSet *set, const Loader *loader, Split split, Error *err);

/* IEEE binary16, rounded to the nearest, halves to even; beyond its range infinite. */
uint16_t half_from_float(float x);
float float_from_half(uint16_t h);
