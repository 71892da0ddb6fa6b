/*
 * shapes -- generated images of textured objects on cluttered backgrounds, with the true mask of
 * every object.
 *
 * 32x32 colour, 10 classes, a pure function of (seed, split, index) in integers alone: the same
 * bytes on every machine. Eight classes are told by outline, two more by texture (a striped disc is
 * not a disc). Position, size, rotation, proportions, colours, lighting and clutter vary and are
 * drawn in the same way for every class. A horizontal flip turns no class into another. In any run
 * of ten images that starts at a multiple of ten every class comes once.
 */
#pragma once

#include "core/data/dataset.h"

enum {
    SHAPES_SIDE = 32,
    SHAPES_PIXELS = SHAPES_SIDE * SHAPES_SIDE,
    SHAPES_CLASSES = 10,
    SHAPES_TRAIN = 8000,
    SHAPES_TEST = 2000
};

extern const char *const shapes_class_names[SHAPES_CLASSES];

/* split: 0 train, 1 test. The class of image `index`. */
uint16_t shapes_label(uint64_t seed, uint32_t split, uint32_t index);

/* Image `index`: ret_pixels [32,32,3], ret_mask [32,32] (1 on the object). */
void shapes_image(uint64_t seed, uint32_t split, uint32_t index, uint8_t *ret_pixels,
                  uint8_t *ret_mask);
