/*
 * panels -- matrix products of one family whose right side lies in panels of columns that stay in
 * cache (winograd.c, direct.c).
 */
#pragma once

#include <stdbool.h>

#include "core/kernels/vector.h"

enum {
    VECTORS = 2, /* in a panel of columns */
    PANEL = VECTORS * LANES,
    /* Rows whose sums stay in registers: of 32 or 16 there are. */
    ROWS = VECTOR_BYTES == 64   ? 12
           : VECTOR_BYTES == 32 ? 6
                                : 4,
    TERMS = 128, /* of a sum that are added up by themselves, so that rounding grows less */
};

/* One product's matrices: c [.,PANEL] (+)= a b, b [depth,PANEL]. */
typedef struct Product {
    size_t depth;
    const real *a;
    size_t row_step, depth_step; /* in a */
    const real *b;
    size_t b_step;
    real *c;
    size_t c_step;
    bool add;
} Product;

/* Rows [row,row+rows) of c from terms [first,end). Rows of a are reached in threes from a pointer
 * each, which the addressing of a CPU can express. */
INLINE void product_terms(const Product *p, size_t row, int rows, size_t row_step, size_t first,
                          size_t end)
{
    Lanes sum[ROWS][VECTORS];
    const real *a[(ROWS + 2) / 3], *b = p->b + first * p->b_step;
    size_t depth_step = p->depth_step, b_step = p->b_step, c_step = p->c_step;
    real *c = p->c + row * c_step;

#pragma GCC unroll 4
    for (int g = 0; g < (rows + 2) / 3; g++)
        a[g] = p->a + (row + 3 * (size_t)g) * row_step + first * depth_step;
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            sum[r][v] = (Lanes){ 0 };
    for (size_t k = first; k < end; k++, b += b_step) {
        Lanes column[VECTORS];

#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            column[v] = lanes_load(b + v * LANES);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            real x = a[r / 3][(size_t)(r % 3) * row_step];

#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++)
                sum[r][v] += x * column[v];
        }
#pragma GCC unroll 4
        for (int g = 0; g < (rows + 2) / 3; g++)
            a[g] += depth_step;
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            real *at = c + r * c_step + v * LANES;

            if (p->add || first > 0)
                sum[r][v] += lanes_load(at);
            lanes_store(at, sum[r][v]);
        }
}

INLINE void product_rows(const Product *p, size_t row, int rows, size_t row_step)
{
    for (size_t first = 0; first < p->depth; first += TERMS)
        product_terms(p, row, rows, row_step, first,
                      p->depth - first < TERMS ? p->depth : first + TERMS);
}

INLINE void product(const Product *p, size_t rows, size_t row_step)
{
    size_t row = 0;

    for (; row + ROWS <= rows; row += ROWS)
        product_rows(p, row, ROWS, row_step);
    for (; ROWS > 4 && row + 4 <= rows; row += 4)
        product_rows(p, row, 4, row_step);
    for (; row < rows; row++)
        product_rows(p, row, 1, row_step);
}
