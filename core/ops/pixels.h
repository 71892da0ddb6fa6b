/*
 * pixels -- what operations share that treat each image by itself, or multiply each of its channels
 * by a factor: a gate, drop-path, Shake-Shake, dropout, noise.
 *
 * Factors are [N,C]. In a block of the blocked layout each pixel is a row of n*C numbers, and the
 * block's factors are such a row, too. A unit is a range of pixels of one block, cut by shapes
 * alone.
 */
#pragma once

#include "core/ops/op.h"

typedef struct PixelUnit {
    uint32_t image, images; /* of the block: the first, and how many */
    size_t first, pixels;   /* of this unit: the first, and how many */
    size_t nc;              /* numbers in a row: images of the block times channels */
    size_t at;              /* its first number in the activation */
    size_t factor;          /* the block's first factor */
} PixelUnit;

/* x: [N,H,W,C] or [N,C]. */
size_t pixel_units(const Shape *x);
/* Units in each block; a block's are neighbours. */
size_t pixel_units_of_block(const Shape *x);
PixelUnit pixel_unit(const Shape *x, size_t u);

/* The stream of image `image` in this call, from its number `word` on; see op_rng(). */
Rng pixel_rng(const OpCall *call, uint32_t image, size_t word);

/* Factors [N,C] that are factor[i] for all channels of image i. */
void pixel_factors(const Shape *x, uint32_t image, real factor, real *ret);
