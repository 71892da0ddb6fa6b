/*
 * augment -- the table of augmentations: one file `aug_x.c` and one row in meson.build each.
 *
 * A row has the stages it needs, the others are NULL. For a batch, first the `pixels` stages of the
 * chosen rows run on each image's bytes, then, after normalisation, their `normal` stages on its
 * floats, in the order in which the rows are listed; what is random in them comes from a stream
 * keyed by (seed, epoch, image). At last the batch's images are mixed in pairs: the `mix` stages
 * are asked in the order listed, and the first that is active in this step mixes, the rest do not;
 * theirs are streams keyed by (seed, step). So `mixup` with probability 0.5 before `cutmix` with
 * probability 1 is one or the other, evenly.
 */
#pragma once

#include <stdbool.h>

#include "core/base/param.h"
#include "core/base/rng.h"

typedef struct ImageSize {
    uint32_t height, width, channels;
} ImageSize;

/* What one image's random draws come from. */
typedef struct ImageDraw {
    Rng rng; /* of (seed, epoch, image); each stage goes on where the one before stopped */
    uint64_t seed;
    uint32_t epoch;
    uint32_t image; /* its index in the split */
} ImageDraw;

/* How the images of a batch are mixed with their partners' in one step. */
typedef struct Mix {
    double own; /* the image's own share of pixels and label, 0..1; its partner has the rest */
    bool paste; /* the partner's share is the box; else the two are blended everywhere */
    uint32_t top, left, bottom, right; /* of the box; bottom and right are outside */
} Mix;

/* value: the row's parameters, in table order. */
typedef struct Augmentation {
    Described described;
    /* One image of bytes [H,W,C] to another of the same size; `in` and `out` do not overlap. Moves
     * pixels about or leaves zeros, and does nothing else to them: an image's maps are moved by it,
     * too, as pixels of as many bytes as they take (core/data/compose.h). */
    void (*pixels)(const double *value, ImageDraw *draw, ImageSize size, const uint8_t *in,
                   uint8_t *out);
    /* One normalised image [H,W,C], in place. */
    void (*normal)(const double *value, ImageDraw *draw, ImageSize size, float *image);
    /* False: not in this step. */
    bool (*mix)(const double *value, Rng *rng, ImageSize size, Mix *ret);
} Augmentation;

extern const Augmentation *const augmentation_table[]; /* NULL-terminated */
