/*
 * shape -- the logical dimensions of a tensor, and a view of its numbers.
 *
 * Activations are [N,H,W,C] (rank 4) or [N,C] (rank 2). In memory a rank-4 activation is *blocked*:
 * `[block][H][W][n][C]` with n = 16 images in a block and n = N % 16 in a last partial one, so that
 * every convolution is a sum over taps of plain matrix products on contiguous rows (docs/adr/0002).
 * A rank-2 activation has H = W = 1 and therefore is plain [N][C]. Either way it holds exactly
 * N*H*W*C numbers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/real.h"

enum { SHAPE_RANK_MAX = 4, BLOCK_IMAGES = 16 };

typedef struct Shape {
    uint32_t rank; /* 0: no tensor */
    uint32_t dim[SHAPE_RANK_MAX];
} Shape;

/* A view: points into an arena, owns nothing, is never freed. */
typedef struct Tensor {
    real *data;
    Shape shape;
} Tensor;

static inline Shape shape1(uint32_t a)
{
    return (Shape){ 1, { a, 1, 1, 1 } };
}

static inline Shape shape2(uint32_t a, uint32_t b)
{
    return (Shape){ 2, { a, b, 1, 1 } };
}

static inline Shape shape3(uint32_t a, uint32_t b, uint32_t c)
{
    return (Shape){ 3, { a, b, c, 1 } };
}

static inline Shape shape4(uint32_t n, uint32_t h, uint32_t w, uint32_t c)
{
    return (Shape){ 4, { n, h, w, c } };
}

/* Number of elements. Shapes are validated to stay below 2^40 elements, so the product cannot wrap.
 */
static inline size_t shape_count(const Shape *s)
{
    size_t count = s->rank == 0 ? 0 : 1;

    for (uint32_t i = 0; i < s->rank; i++)
        count *= s->dim[i];
    return count;
}

static inline bool shape_equal(const Shape *a, const Shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

/* Blocks of an activation with `images` images. */
static inline uint32_t block_count(uint32_t images)
{
    return (images + BLOCK_IMAGES - 1) / BLOCK_IMAGES;
}

/* Images in block `b`. */
static inline uint32_t block_images(uint32_t images, uint32_t b)
{
    uint32_t rest = images - b * BLOCK_IMAGES;

    return rest < BLOCK_IMAGES ? rest : BLOCK_IMAGES;
}
