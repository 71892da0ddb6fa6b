/*
 * rows -- how one family walks over rows of channels that have numbers of their own (norm.c,
 * moments.c).
 *
 * A tile of channels keeps its sums or coefficients in registers while a block of rows passes by,
 * few enough that the block stays in cache for the tiles beside it. Narrow rows are taken several
 * at a time, as one row of up to WIDE numbers with the channels' numbers repeated, so that 16
 * channels cost no more than 64. Vectors are the compiler's own.
 */
#pragma once

#include <string.h>

#include "core/kernels/kernels.h"
#include "core/kernels/vector.h"

/* Numbers of as many bits, as comparisons give them. */
typedef __typeof__((Lanes){ 0 } > (Lanes){ 0 }) Bits;

/* The loops below are written once and compiled for each of their variants. */
#define VARIANT static inline __attribute__((always_inline))

enum {
    TILE_VECTORS = 4,
    TILE = TILE_VECTORS * LANES,
    WIDE = 64,
    BLOCK_NUMBERS = 16384,
    BLOCK_ROWS_MIN = 32,
    BLOCK_ROWS_MAX = 256,
};

VARIANT Lanes load(const real *at, int vector)
{
    return ((const Lanes *)at)[vector];
}

/* Rows that stay in cache while one tile of channels after the other is worked off. */
static inline size_t block_rows(size_t c)
{
    size_t rows = BLOCK_NUMBERS / c;

    return rows < BLOCK_ROWS_MIN ? BLOCK_ROWS_MIN : rows > BLOCK_ROWS_MAX ? BLOCK_ROWS_MAX : rows;
}

/* The width of the tile at channel `at`: TILE, LANES, or what is left. */
static inline size_t tile_width(size_t at, size_t c)
{
    size_t left = c - at;

    return left >= TILE ? TILE : left >= LANES ? LANES : left;
}

/* How many narrow rows make a wide one; 1: rows are wide enough, or too few. */
static inline size_t repeats_of(size_t rows, size_t c)
{
    size_t times = c < WIDE ? WIDE / c : 1;

    return rows >= times ? times : 1;
}

/* A channel's numbers for each of the rows that make a wide one; NULL is none. */
static inline const real *repeat(const real *from, size_t c, size_t times, real room[WIDE])
{
    if (times == 1 || from == NULL)
        return from;
    for (size_t i = 0; i < times; i++)
        memcpy(room + i * c, from, c * sizeof *from);
    return room;
}
