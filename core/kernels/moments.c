/*
 * Mean and squares of one family: sums of a block in float, blocks merged in double; see rows.h.
 */
#include <string.h>

#include "core/kernels/family.h"
#include "core/kernels/rows.h"

enum { FIRST_ROWS = 8 }; /* whose mean is near enough to the block's */

/* Adds to `count` numbers of a channel `part` others. Chan, Golub and LeVeque, 1979. */
VARIANT void merge(double count, double part, double part_mean, double part_m2, double *mean,
                   double *m2)
{
    double share = part / (count + part), delta = part_mean - *mean;

    *mean += delta * share;
    *m2 += part_m2 + delta * delta * count * share;
}

/* A block's sums of x - near and of its square, where near [width] is about the mean: so nothing
 * cancels when the mean is far from 0. */
typedef struct Moments {
    real near[TILE], sum[TILE], squares[TILE];
} Moments;

VARIANT void moments_vectors(int vectors, size_t rows, size_t stride, const real *x, Moments *ret)
{
    size_t first = rows < FIRST_ROWS ? rows : FIRST_ROWS;
    Lanes near[TILE_VECTORS] = { { 0 } }, sum[TILE_VECTORS] = { { 0 } },
          squares[TILE_VECTORS] = { { 0 } };

    for (size_t r = 0; r < first; r++)
        for (int v = 0; v < vectors; v++)
            near[v] += load(x + r * stride, v);
    for (int v = 0; v < vectors; v++)
        near[v] *= 1 / (real)first;
    for (size_t r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            Lanes d = load(x + r * stride, v) - near[v];

            sum[v] += d;
            squares[v] += d * d;
        }
    for (int v = 0; v < vectors; v++) {
        ((Lanes *)ret->near)[v] = near[v];
        ((Lanes *)ret->sum)[v] = sum[v];
        ((Lanes *)ret->squares)[v] = squares[v];
    }
}

/* The same for `width` < LANES channels. */
static void moments_rest(size_t width, size_t rows, size_t stride, const real *x, Moments *ret)
{
    size_t first = rows < FIRST_ROWS ? rows : FIRST_ROWS;

    for (size_t j = 0; j < width; j++) {
        real near = 0, sum = 0, squares = 0;

        for (size_t r = 0; r < first; r++)
            near += x[r * stride + j];
        near *= 1 / (real)first;
        for (size_t r = 0; r < rows; r++) {
            real d = x[r * stride + j] - near;

            sum += d;
            squares += d * d;
        }
        ret->near[j] = near;
        ret->sum[j] = sum;
        ret->squares[j] = squares;
    }
}

/* Adds a block of `part` rows to the `rows` before. */
static void moments_add(const Moments *m, size_t width, size_t rows, size_t part, double *mean,
                        double *m2)
{
    for (size_t j = 0; j < width; j++) {
        double off = (double)m->sum[j] / (double)part,
               about = (double)m->squares[j] - (double)m->sum[j] * off;

        merge((double)rows, (double)part, (double)m->near[j] + off, about < 0 ? 0 : about, &mean[j],
              &m2[j]);
    }
}

static void moments_of(size_t rows, size_t c, const real *x, double *mean, double *m2)
{
    size_t block = block_rows(c);

    memset(mean, 0, c * sizeof *mean);
    memset(m2, 0, c * sizeof *m2);
    for (size_t r = 0; r < rows; r += block) {
        size_t part = rows - r < block ? rows - r : block, width;

        for (size_t at = 0; at < c; at += width) {
            const real *here = x + r * c + at;
            Moments m;

            width = tile_width(at, c);
            if (width == TILE)
                moments_vectors(TILE_VECTORS, part, c, here, &m);
            else if (width == LANES)
                moments_vectors(1, part, c, here, &m);
            else
                moments_rest(width, part, c, here, &m);
            moments_add(&m, width, r, part, mean + at, m2 + at);
        }
    }
}

void norm_family_moments(size_t rows, size_t c, const real *x, double *mean, double *m2)
{
    size_t times = repeats_of(rows, c), wide = rows / times, rest = rows % times;
    double parts[2][WIDE];

    if (times == 1) {
        moments_of(rows, c, x, mean, m2);
        return;
    }
    moments_of(wide, times * c, x, parts[0], parts[1]);
    memcpy(mean, parts[0], c * sizeof *mean);
    memcpy(m2, parts[1], c * sizeof *m2);
    for (size_t i = c; i < times * c; i++)
        merge((double)(i / c * wide), (double)wide, parts[0][i], parts[1][i], &mean[i % c],
              &m2[i % c]);
    if (rest == 0)
        return;
    moments_of(rest, c, x + wide * times * c, parts[0], parts[1]);
    for (size_t j = 0; j < c; j++)
        merge((double)(wide * times), (double)rest, parts[0][j], parts[1][j], &mean[j], &m2[j]);
}
