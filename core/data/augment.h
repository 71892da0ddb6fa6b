/*
 * augment -- the table of augmentations: one file `aug_x.c` and one row in meson.build each.
 *
 * An augmentation maps one image of bytes [H,W,C] to another of the same size, before
 * normalisation. All that is random comes from the stream it is given, which is keyed by (seed,
 * epoch, image).
 */
#pragma once

#include "core/base/param.h"
#include "core/base/rng.h"

typedef struct ImageSize {
    uint32_t height, width, channels;
} ImageSize;

typedef struct Augmentation {
    Described described;
    /* value: the row's parameters, in table order. `in` and `out` do not overlap. */
    void (*apply)(const double *value, Rng *rng, ImageSize size, const uint8_t *in, uint8_t *out);
} Augmentation;

extern const Augmentation *const augmentation_table[]; /* NULL-terminated */
