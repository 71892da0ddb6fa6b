/*
 * Products of rows by small matrices, of one family (see family.h).
 *
 * A product keeps a few rows of the result in registers while the small matrix passes by; OpenBLAS
 * packs its operands, which costs more than the product where K and N are 16 to 64. Where the
 * result's moments are wanted, they are taken from the same registers: a few more sums beside K
 * products of each number, instead of a pass over memory.
 */
#include <stdbool.h>
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

/*
 * Rows of 1, 2, 4 or 8 numbers, which are less than a vector: as many as fill one are taken at
 * once. Place v of a vector is channel v % n of its row. With a's channels exchanged by s, place v
 * has channel (v % n) ^ s; times the number of b that belongs to both, summed over s < n, that is
 * a b.
 */
enum { NARROW_MAX = 8 };

INLINE bool is_narrow(size_t k, size_t n)
{
    return k == n && n <= NARROW_MAX && n < LANES && (n & (n - 1)) == 0;
}

/* ret[s] = x with the channels of its rows exchanged by s < n. */
INLINE void exchange(size_t n, Lanes x, Lanes *ret)
{
    ret[0] = x;
    if (n > 1)
        ret[1] = lanes_swap1(x);
    for (size_t s = 2; s < n; s++)
        ret[s] = s < 4 ? lanes_swap2(ret[s - 2]) : lanes_swap4(ret[s - 4]);
}

/* Some vectors of rows, dense in a and c; sums: [2] of c - about and of its square, unless NULL. */
INLINE void narrow_run(size_t n, size_t vectors, const real *a, const Lanes *factor, real *c,
                       Lanes about, Lanes *sums)
{
    for (size_t i = 0; i < vectors; i++) {
        Lanes x[NARROW_MAX], y;

        exchange(n, lanes_load(a + i * LANES), x);
        y = x[0] * factor[0];
        for (size_t s = 1; s < n; s++)
            y += x[s] * factor[s];
        lanes_store(c + i * LANES, y);
        if (sums != NULL) {
            sums[0] += y - about;
            sums[1] += (y - about) * (y - about);
        }
    }
}

/* Adds to total [n] the places of a vector that belong to each channel. */
INLINE void fold(size_t n, Lanes x, real *total)
{
    for (size_t v = 0; v < LANES; v++)
        total[v % n] += x[v];
}

/* product_some() of groups of rows that lie side by side in c. */
INLINE void narrow_product(size_t n, size_t rows, const real *a, const real *b,
                           const RowSteps *c_steps, RowWalk *c_walk, real *c, const Sums *sums)
{
    Lanes factor[NARROW_MAX], about = { 0 }, taken[2] = { { 0 }, { 0 } };
    const size_t in_vector = LANES / n;

    for (size_t v = 0; v < LANES; v++) {
        for (size_t s = 0; s < n; s++)
            factor[s][v] = b[((v % n) ^ s) * n + v % n];
        if (sums->about != NULL)
            about[v] = sums->about[v % n];
    }
    while (rows > 0) {
        size_t group = c_walk->left < rows ? c_walk->left : rows, vectors = group / in_vector;

        narrow_run(n, vectors, a, factor, c + c_walk->at, about,
                   sums->about != NULL ? taken : NULL);
        for (size_t r = vectors * in_vector; r < group; r++)
            product_rest(n, n, n, a + r * n, b, c + c_walk->at + r * n, sums);
        a += group * n;
        rows -= group;
        c_walk->at += group * n;
        c_walk->left -= group;
        if (c_walk->left == 0) {
            c_walk->at = c_walk->begin += c_steps->outer;
            c_walk->left = c_steps->group;
        }
    }
    if (sums->about != NULL) {
        fold(n, taken[0], sums->sum);
        fold(n, taken[1], sums->square);
    }
}

/* product_some() of any rows: each width that is narrow has loops of its own, in builds whose
 * vectors are wider. */
static void product_all(size_t rows, size_t k, size_t n, const real *a, const real *b,
                        const RowSteps *c_steps, RowWalk *c_walk, real *c, const Sums *sums)
{
    const bool narrow = is_narrow(k, n) && c_steps->inner == n;

    if (narrow && n == 1)
        narrow_product(1, rows, a, b, c_steps, c_walk, c, sums);
    else if (narrow && n == 2)
        narrow_product(2, rows, a, b, c_steps, c_walk, c, sums);
    else if (LANES > 4 && narrow && n == 4)
        narrow_product(4, rows, a, b, c_steps, c_walk, c, sums);
    else if (LANES > 8 && narrow && n == 8)
        narrow_product(8, rows, a, b, c_steps, c_walk, c, sums);
    else
        product_some(rows, k, n, a, b, c_steps, c_walk, c, sums);
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
        product_all(rows, k, n, a, b, c_steps, &c_walk, c, &none);
        return;
    }
    if (moments->rows == 0)
        moments_begin(k, n, a, b, moments);
    moments->rows += rows;
    for (size_t r = 0; r < rows; r += SUM_ROWS) {
        const Sums sums = { moments->about, moments->work, moments->work + n };

        memset(moments->work, 0, 2 * n * sizeof *moments->work);
        product_all(rows - r < SUM_ROWS ? rows - r : SUM_ROWS, k, n, a + r * k, b, c_steps, &c_walk,
                    c, &sums);
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

/* planes_outer() of narrow rows: sum[s] has, at place v, what belongs to a's channel (v % n) ^ s
 * and d's v % n. */
INLINE void narrow_outer(size_t n, size_t rows, const real *a, const real *d, real *dw)
{
    const size_t in_vector = LANES / n, vectors = rows / in_vector;
    Lanes sum[NARROW_MAX];

    for (size_t s = 0; s < n; s++)
        sum[s] = (Lanes){ 0 };
    for (size_t i = 0; i < vectors; i++) {
        Lanes x[NARROW_MAX], factor = lanes_load(d + i * LANES);

        exchange(n, lanes_load(a + i * LANES), x);
        for (size_t s = 0; s < n; s++)
            sum[s] += x[s] * factor;
    }
    for (size_t s = 0; s < n; s++) {
        real total[NARROW_MAX] = { 0 };

        fold(n, sum[s], total);
        for (size_t j = 0; j < n; j++)
            dw[(j ^ s) * n + j] += total[j];
    }
    a += vectors * LANES;
    d += vectors * LANES;
    outer_rest(0, rows - vectors * in_vector, n, n, a, d, dw);
}

static void outer_some(size_t rows, size_t k, size_t n, const real *a, const real *d, real *dw)
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

/* As product_all(). */
void planes_outer(size_t rows, size_t k, size_t n, const real *a, const real *d, real *dw)
{
    const bool narrow = is_narrow(k, n);

    if (narrow && n == 1)
        narrow_outer(1, rows, a, d, dw);
    else if (narrow && n == 2)
        narrow_outer(2, rows, a, d, dw);
    else if (LANES > 4 && narrow && n == 4)
        narrow_outer(4, rows, a, d, dw);
    else if (LANES > 8 && narrow && n == 8)
        narrow_outer(8, rows, a, d, dw);
    else
        outer_some(rows, k, n, a, d, dw);
}
