/*
 * winograd -- shapes and sizes of Winograd's convolution F(4x4,3x3): 3x3 taps, stride and dilation
 * 1, no groups. See kernels.h for the kernels' contracts.
 *
 * A tile is 4x4 output pixels (fewer at the lower and right border) of all images of one block.
 * Tiles are numbered row by row in a block, block after block.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/shape.h"

enum {
    WINOGRAD_TILE = 4,       /* output pixels along one side */
    WINOGRAD_POSITIONS = 36, /* matrix products: the tile's 6x6 input pixels */
    WINOGRAD_CHANNELS = 32,  /* input and output channels are multiples of this */
    WINOGRAD_PADDING_MAX = 2,
    WINOGRAD_PAD = 16, /* numbers between two positions */
    /* What the gradient of the weights transforms at a time. */
    WINOGRAD_GRADIENT_TILES = 2,
    WINOGRAD_GRADIENT_ROWS = WINOGRAD_GRADIENT_TILES * BLOCK_IMAGES,
};

/* x [images,h,w,in] -> y [images,oh,ow,out], both blocked; oh = h + 2*padding_h - 2, and so on. */
typedef struct WinogradShape {
    uint32_t images; /* of the whole batch */
    uint32_t h, w, in;
    uint32_t oh, ow, out;
    uint32_t padding_h, padding_w;
} WinogradShape;

/* Part of the weights' gradient: tiles [tile0,tile1), channels [in0,in1) and [out0,out1), which are
 * multiples of WINOGRAD_CHANNELS. */
typedef struct WinogradPart {
    size_t tile0, tile1;
    uint32_t in0, in1, out0, out1;
} WinogradPart;

/* Tiles along a side of `size` output pixels. */
static inline uint32_t winograd_side(uint32_t size)
{
    return (size + WINOGRAD_TILE - 1) / WINOGRAD_TILE;
}

static inline size_t winograd_block_tiles(const WinogradShape *s)
{
    return (size_t)winograd_side(s->oh) * winograd_side(s->ow);
}

static inline size_t winograd_all_tiles(const WinogradShape *s)
{
    return block_count(s->images) * winograd_block_tiles(s);
}

/* Rows of the products: images of the tiles [tile0,tile1). */
static inline size_t winograd_rows(const WinogradShape *s, size_t tile0, size_t tile1)
{
    size_t per_block = winograd_block_tiles(s), last = block_count(s->images) - 1,
           whole = last * per_block,
           short_of = BLOCK_IMAGES - block_images(s->images, (uint32_t)last);
    size_t cut = tile1 > whole ? tile1 - (tile0 > whole ? tile0 : whole) : 0;

    return (tile1 - tile0) * BLOCK_IMAGES - cut * short_of;
}

/* Where a tile lies: its block's images, where the block begins (in images before it), and the
 * first output pixel. */
typedef struct WinogradTile {
    uint32_t n, row, col;
    size_t before;
} WinogradTile;

static inline WinogradTile winograd_tile(const WinogradShape *s, size_t tile)
{
    size_t per_block = winograd_block_tiles(s), at = tile % per_block;
    uint32_t block = (uint32_t)(tile / per_block), wide = winograd_side(s->ow);

    return (WinogradTile){ .n = block_images(s->images, block),
                           .row = (uint32_t)(at / wide) * WINOGRAD_TILE,
                           .col = (uint32_t)(at % wide) * WINOGRAD_TILE,
                           .before = (size_t)block * BLOCK_IMAGES };
}

/* From one position's matrix to the next one's. */
static inline size_t winograd_step(size_t rows, size_t columns)
{
    return rows * columns + WINOGRAD_PAD;
}

/* Numbers of the transformed weights. */
static inline size_t winograd_weight_numbers(const WinogradShape *s)
{
    return WINOGRAD_POSITIONS * winograd_step(s->in, s->out);
}

/* Numbers of working memory for `tiles` tiles at a time. */
static inline size_t winograd_tiles_numbers(const WinogradShape *s, size_t tiles)
{
    return WINOGRAD_POSITIONS * (winograd_step(tiles * BLOCK_IMAGES, s->in) +
                                 winograd_step(tiles * BLOCK_IMAGES, s->out));
}

/* Numbers of the transformed input. */
static inline size_t winograd_input_numbers(const WinogradShape *s)
{
    return WINOGRAD_POSITIONS * winograd_step(winograd_rows(s, 0, winograd_all_tiles(s)), s->in);
}

/* Numbers of working memory for `outs` output channels of all tiles. */
static inline size_t winograd_channels_numbers(const WinogradShape *s, size_t outs)
{
    return WINOGRAD_POSITIONS * (winograd_step(s->in, outs) +
                                 winograd_step(winograd_rows(s, 0, winograd_all_tiles(s)), outs));
}

/* Numbers of working memory for the gradient of weights between `ins` and `outs` channels. */
static inline size_t winograd_gradient_numbers(size_t ins, size_t outs)
{
    return WINOGRAD_POSITIONS *
           (winograd_step(ins, outs) + winograd_step(WINOGRAD_GRADIENT_ROWS, ins) +
            winograd_step(WINOGRAD_GRADIENT_ROWS, outs));
}
