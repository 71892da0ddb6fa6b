/*
 * winograd_lines -- the transforms of Winograd's F(4x4,3x3) along one side, of one family.
 *
 * The points decide how rounding grows. With 0, +-5/8, +-3/2 and infinity (every constant below but
 * the inverses of NODE_* is exact) the relative error of a layer is 1.0e-6, the textbook's +-1 and
 * +-2 give 2.2e-6.
 */
#pragma once

#include "core/kernels/vector.h"
#include "core/kernels/winograd.h"

enum { IN = WINOGRAD_TILE + 2 }; /* side of a tile's input */

#define POINT_A ((real)0.625)
#define POINT_B ((real)1.5)
#define A2 (POINT_A * POINT_A)
#define B2 (POINT_B * POINT_B)
/* The products of a point's differences from all others; the same for the negative point. */
#define NODE_0 (A2 * B2)
#define NODE_A (2 * A2 * (A2 - B2))
#define NODE_B (2 * B2 * (B2 - A2))

/* B^T: 6 -> 6. */
INLINE void input_line(const Lanes *d, Lanes *ret)
{
    Lanes even_a = d[4] - B2 * d[2], odd_a = POINT_A * (d[3] - B2 * d[1]);
    Lanes even_b = d[4] - A2 * d[2], odd_b = POINT_B * (d[3] - A2 * d[1]);

    ret[0] = even_a - A2 * (d[2] - B2 * d[0]);
    ret[1] = even_a + odd_a;
    ret[2] = even_a - odd_a;
    ret[3] = even_b + odd_b;
    ret[4] = even_b - odd_b;
    ret[5] = d[5] - B2 * d[3] - A2 * (d[3] - B2 * d[1]);
}

/* A^T: 6 -> 4. */
INLINE void output_line(const Lanes *m, Lanes *ret)
{
    Lanes even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];

    ret[0] = m[0] + even_a + even_b;
    ret[1] = POINT_A * odd_a + POINT_B * odd_b;
    ret[2] = A2 * even_a + B2 * even_b;
    ret[3] = m[5] + POINT_A * A2 * odd_a + POINT_B * B2 * odd_b;
}

/* A: 4 -> 6. */
INLINE void gradient_line(const Lanes *d, Lanes *ret)
{
    Lanes even_a = d[0] + A2 * d[2], odd_a = POINT_A * (d[1] + A2 * d[3]);
    Lanes even_b = d[0] + B2 * d[2], odd_b = POINT_B * (d[1] + B2 * d[3]);

    ret[0] = d[0];
    ret[1] = even_a + odd_a;
    ret[2] = even_a - odd_a;
    ret[3] = even_b + odd_b;
    ret[4] = even_b - odd_b;
    ret[5] = d[3];
}

/* G: 3 -> 6. */
INLINE void weights_line(const Lanes *g, Lanes *ret)
{
    Lanes even_a = (1 / NODE_A) * (g[0] + A2 * g[2]), odd_a = (POINT_A / NODE_A) * g[1];
    Lanes even_b = (1 / NODE_B) * (g[0] + B2 * g[2]), odd_b = (POINT_B / NODE_B) * g[1];

    ret[0] = (1 / NODE_0) * g[0];
    ret[1] = even_a + odd_a;
    ret[2] = even_a - odd_a;
    ret[3] = even_b + odd_b;
    ret[4] = even_b - odd_b;
    ret[5] = g[2];
}

/* G^T: 6 -> 3. */
INLINE void taps_line(const Lanes *s, Lanes *ret)
{
    Lanes even_a = (1 / NODE_A) * (s[1] + s[2]), odd_a = (POINT_A / NODE_A) * (s[1] - s[2]);
    Lanes even_b = (1 / NODE_B) * (s[3] + s[4]), odd_b = (POINT_B / NODE_B) * (s[3] - s[4]);

    ret[0] = (1 / NODE_0) * s[0] + even_a + even_b;
    ret[1] = odd_a + odd_b;
    ret[2] = s[5] + A2 * even_a + B2 * even_b;
}

typedef void Line(const Lanes *from, Lanes *ret);

/* ret [to,to] = T d T^T for d [from,from], T the matrix of `line`. */
INLINE void transform(Line *line, int from, int to, const Lanes *d, Lanes *ret)
{
    Lanes half[IN * IN];

#pragma GCC unroll 6
    for (int col = 0; col < from; col++) {
        Lanes column[IN], done[IN];

#pragma GCC unroll 6
        for (int row = 0; row < from; row++)
            column[row] = d[row * from + col];
        line(column, done);
#pragma GCC unroll 6
        for (int row = 0; row < to; row++)
            half[row * from + col] = done[row];
    }
#pragma GCC unroll 6
    for (int row = 0; row < to; row++)
        line(half + row * from, ret + row * to);
}
