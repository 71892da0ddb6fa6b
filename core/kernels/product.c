/*
 * Products of rows by small matrices, of one family (see family.h).
 *
 * A product keeps a few rows of the result in registers while the small matrix passes by; OpenBLAS
 * packs its operands, which costs more than the product where K and N are 16 to 64. Where the
 * result's moments are wanted, they are taken from the same registers: a few more sums beside K
 * products of each number, instead of a pass over memory.
 */
#include <stdint.h>
#include <string.h>

#include "core/kernels/family.h"
#include "core/kernels/vector.h"

/* In loops whose bodies are vectors already: the compiler shall not make vectors of their scalars.
 */
#define KEEP_SCALAR __asm__ volatile("")

#define INLINE static inline __attribute__((always_inline))

enum {
    WIDE_REGISTERS = VECTOR_BYTES == 64, /* there are 32 of them */
    ROWS = WIDE_REGISTERS ? 16 : 8,      /* of one vector, at a time; half as many of two */
    SUM_ROWS = 256,                      /* whose moments are summed in float; more in double */
    STEPS = 4,                           /* of the sums' depth, between two of the pointers */
    AHEAD = 16, /* rows, or groups of them, that are asked for before they are needed */
};

/* Asks for the `count` numbers from x on: what lies a piece here and a piece there in memory, no
 * CPU fetches ahead by itself. */
INLINE void ask_for(const real *x, size_t count)
{
    for (size_t k = 0; k < count; k += 64 / sizeof(real))
        __builtin_prefetch(x + k);
}

/* Walks over the rows of a matrix. */
typedef struct RowWalk {
    size_t group, outer, inner;
    size_t begin, at, left; /* of the group; of the next row; rows left in the group */
} RowWalk;

static RowWalk row_walk(const RowSteps *steps)
{
    return (RowWalk){
        .group = steps->group, .outer = steps->outer, .inner = steps->inner, .left = steps->group
    };
}

/* Where the next row begins. */
INLINE size_t row_next(RowWalk *w)
{
    size_t at = w->at;

    w->at += w->inner;
    if (--w->left == 0) {
        w->at = w->begin += w->outer;
        w->left = w->group;
    }
    return at;
}

/* Sums of columns [at,...) of the rows that pass: of c - about and of its square. */
typedef struct Sums {
    const real *about;
    real *sum, *square;
} Sums;

INLINE void sum_up(size_t rows, size_t vectors, Lanes (*c)[2], const Sums *to)
{
    for (size_t v = 0; v < vectors; v++) {
        Lanes about = ((const Lanes *)to->about)[v], sum = ((Lanes *)to->sum)[v],
              square = ((Lanes *)to->square)[v];

        for (size_t r = 0; r < rows; r++) {
            Lanes d = c[r][v] - about;

            sum += d;
            square += d * d;
        }
        ((Lanes *)to->sum)[v] = sum;
        ((Lanes *)to->square)[v] = square;
    }
}

/* `steps` of the depth. Three rows each are reached from one pointer: more pointers than that do
 * not fit the registers. */
INLINE void product_steps(size_t steps, size_t rows, size_t vectors, size_t k, size_t n,
                          const real *const *a, const real *b, Lanes (*sum)[2])
{
    for (size_t i = 0; i < steps; i++, b += n) {
        Lanes factor[2];

        KEEP_SCALAR;
        for (size_t v = 0; v < vectors; v++)
            factor[v] = ((const Lanes *)b)[v];
        for (size_t r = 0; r < rows; r++)
            for (size_t v = 0; v < vectors; v++)
                sum[r][v] += a[r / 3][r % 3 * k + i] * factor[v];
    }
}

/* `vectors` of some rows of c = a b. */
INLINE void product_run(size_t rows, size_t vectors, size_t k, size_t n, const real *a,
                        const real *b, real *const *c, size_t column, const Sums *sums)
{
    const real *at[ROWS / 3 + 1];
    Lanes sum[ROWS][2];
    size_t i = 0;

    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < vectors; v++)
            sum[r][v] = (Lanes){ 0 };
    for (size_t r = 0; r < rows; r += 3)
        at[r / 3] = a + r * k;
    for (; i + STEPS <= k; i += STEPS, b += STEPS * n) {
        product_steps(STEPS, rows, vectors, k, n, at, b, sum);
        for (size_t r = 0; r < rows; r += 3)
            at[r / 3] += STEPS;
    }
    for (; i < k; i++, b += n) {
        product_steps(1, rows, vectors, k, n, at, b, sum);
        for (size_t r = 0; r < rows; r += 3)
            at[r / 3]++;
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < vectors; v++)
            ((Lanes *)(c[r] + column))[v] = sum[r][v];
    if (sums->about != NULL)
        sum_up(rows, vectors, sum, sums);
}

/* Columns [0,width) that are no whole vector, of one row. */
static void product_rest(size_t width, size_t k, size_t n, const real *a, const real *b, real *c,
                         const Sums *sums)
{
    real sum[LANES] = { 0 };

    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < width; j++)
            sum[j] += a[i] * b[i * n + j];
    memcpy(c, sum, width * sizeof *sum);
    for (size_t j = 0; j < width && sums->about != NULL; j++) {
        real d = sum[j] - sums->about[j];

        sums->sum[j] += d;
        sums->square[j] += d * d;
    }
}

/* `columns` further. */
INLINE Sums sums_at(const Sums *s, size_t columns)
{
    if (s->about == NULL)
        return *s;
    return (Sums){ s->about + columns, s->sum + columns, s->square + columns };
}

/* All columns of some rows. */
INLINE void product_rows(size_t rows, size_t vectors, size_t k, size_t n, const real *a,
                         const real *b, const RowSteps *c_steps, RowWalk *c_walk, real *c,
                         const Sums *sums)
{
    real *to[ROWS];
    size_t at = 0;

    for (size_t r = 0; r < rows; r++) {
        to[r] = c + row_next(c_walk);
        if (c_steps->outer > 0)
            ask_for(to[r] + AHEAD * c_steps->outer, n);
    }
    for (; at + vectors * LANES <= n; at += vectors * LANES) {
        Sums here = sums_at(sums, at);

        product_run(rows, vectors, k, n, a, b + at, to, at, &here);
    }
    for (; vectors > 1 && at + LANES <= n; at += LANES) {
        Sums here = sums_at(sums, at);

        product_run(rows, 1, k, n, a, b + at, to, at, &here);
    }
    for (size_t r = 0; at < n && r < rows; r++) {
        Sums here = sums_at(sums, at);

        product_rest(n - at, k, n, a + r * k, b + at, to[r] + at, &here);
    }
}

INLINE void product_some(size_t rows, size_t k, size_t n, const real *a, const real *b,
                         const RowSteps *c_steps, RowWalk *c_walk, real *c, const Sums *sums)
{
    size_t r = 0;

    for (; n < 2 * LANES && r + ROWS <= rows; r += ROWS)
        product_rows(ROWS, 1, k, n, a + r * k, b, c_steps, c_walk, c, sums);
    for (; r + ROWS / 2 <= rows; r += ROWS / 2)
        product_rows(ROWS / 2, 2, k, n, a + r * k, b, c_steps, c_walk, c, sums);
    for (; r < rows; r++)
        product_rows(1, 1, k, n, a + r * k, b, c_steps, c_walk, c, sums);
}

/* The first row into `about`, the other arrays to 0. */
static void moments_begin(size_t k, size_t n, const real *a, const real *b, PlaneMoments *m)
{
    const RowSteps one = { SIZE_MAX, 0, n };
    const Sums none = { NULL, NULL, NULL };
    RowWalk walk = row_walk(&one);

    product_rows(1, 1, k, n, a, b, &one, &walk, m->about, &none);
    memset(m->sum, 0, n * sizeof *m->sum);
    memset(m->square, 0, n * sizeof *m->square);
}

void planes_product(size_t rows, size_t k, size_t n, const real *a, const real *b, real *c,
                    const RowSteps *c_steps, PlaneMoments *moments)
{
    const Sums none = { NULL, NULL, NULL };
    RowWalk c_walk = row_walk(c_steps);

    if (moments == NULL) {
        product_some(rows, k, n, a, b, c_steps, &c_walk, c, &none);
        return;
    }
    if (moments->rows == 0)
        moments_begin(k, n, a, b, moments);
    moments->rows += rows;
    for (size_t r = 0; r < rows; r += SUM_ROWS) {
        const Sums sums = { moments->about, moments->work, moments->work + n };

        memset(moments->work, 0, 2 * n * sizeof *moments->work);
        product_some(rows - r < SUM_ROWS ? rows - r : SUM_ROWS, k, n, a + r * k, b, c_steps,
                     &c_walk, c, &sums);
        for (size_t j = 0; j < n; j++) {
            moments->sum[j] += (double)moments->work[j];
            moments->square[j] += (double)moments->work[n + j];
        }
    }
}

/* dw [height,LANES] += a^T d. */
INLINE void outer_run(size_t height, size_t rows, size_t k, size_t n, const real *a, const real *d,
                      real *dw)
{
    Lanes sum[ROWS];

    for (size_t i = 0; i < height; i++)
        sum[i] = *(const Lanes *)(dw + i * n);
    for (size_t r = 0; r < rows; r++, a += k, d += n) {
        Lanes factor = *(const Lanes *)d;

        KEEP_SCALAR;
        for (size_t i = 0; i < height; i++)
            sum[i] += a[i] * factor;
    }
    for (size_t i = 0; i < height; i++)
        *(Lanes *)(dw + i * n) = sum[i];
}

/* Columns from `j` on that are no whole vector. */
static void outer_rest(size_t j, size_t rows, size_t k, size_t n, const real *a, const real *d,
                       real *dw)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < k; i++)
            for (size_t v = j; v < n; v++)
                dw[i * n + v] += a[r * k + i] * d[r * n + v];
}

void planes_outer(size_t rows, size_t k, size_t n, const real *a, const real *d, real *dw)
{
    size_t j = 0;

    for (; j + LANES <= n; j += LANES) {
        size_t i = 0;

        for (; i + ROWS <= k; i += ROWS)
            outer_run(ROWS, rows, k, n, a + i, d + j, dw + i * n + j);
        for (; i + 4 <= k; i += 4)
            outer_run(4, rows, k, n, a + i, d + j, dw + i * n + j);
        for (; i < k; i++)
            outer_run(1, rows, k, n, a + i, d + j, dw + i * n + j);
    }
    if (j < n)
        outer_rest(j, rows, k, n, a, d, dw);
}
