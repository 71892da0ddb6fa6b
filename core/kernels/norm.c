/*
 * Normalisation of one family, forward and backward; see rows.h. Sums are in float within a block
 * and in double beyond; those of repeated channels are added up in order at the end.
 */
#include <string.h>

#include "core/kernels/family.h"
#include "core/kernels/rows.h"

/* ---- Forward ---- */

/* Without a z of its own, z is x and not looked at. */
VARIANT void forward_rows(size_t rows, size_t c, const real *x, const real *scale,
                          const real *shift, const real *z, bool add, bool relu, real *y)
{
    for (size_t r = 0; r < rows; r++, x += c, z += c, y += c)
        for (size_t j = 0; j < c; j++) {
            real v = x[j] * scale[j] + shift[j];

            v = add ? z[j] + v : v;
            y[j] = relu && v < 0 ? 0 : v; /* NaN stays NaN */
        }
}

static void forward_of(size_t rows, size_t c, const real *x, const real *scale, const real *shift,
                       const real *z, bool relu, real *y)
{
    if (z == NULL && !relu)
        forward_rows(rows, c, x, scale, shift, x, false, false, y);
    else if (z == NULL)
        forward_rows(rows, c, x, scale, shift, x, false, true, y);
    else if (!relu)
        forward_rows(rows, c, x, scale, shift, z, true, false, y);
    else
        forward_rows(rows, c, x, scale, shift, z, true, true, y);
}

void norm_family_forward(size_t rows, size_t c, const real *x, const real *scale, const real *shift,
                         const real *z, bool relu, real *y)
{
    size_t times = repeats_of(rows, c), wide = rows / times, at = wide * times * c;
    _Alignas(VECTOR_BYTES) real room[2][WIDE];

    forward_of(wide, times * c, x, repeat(scale, c, times, room[0]),
               repeat(shift, c, times, room[1]), z, relu, y);
    forward_of(rows % times, c, x + at, scale, shift, z == NULL ? NULL : z + at, relu, y + at);
}

/* ---- Backward ---- */

typedef enum MaskKind { MASK_NONE, MASK_OUTPUT, MASK_INPUT } MaskKind;

static MaskKind mask_kind(const NormMask *mask)
{
    return mask->y != NULL ? MASK_OUTPUT : mask->scale != NULL ? MASK_INPUT : MASK_NONE;
}

/* What backward reads, and where it stands. What a kind of mask does not have is NULL. */
typedef struct Source {
    const real *x, *dy;
    NormMask mask;
    const real *mean;
} Source;

/* `rows` and `channels` further. */
VARIANT Source source_at(MaskKind kind, const Source *s, size_t c, size_t rows, size_t channels)
{
    size_t at = rows * c + channels;
    Source ret = { s->x + at, s->dy + at, { NULL, NULL, NULL }, s->mean + channels };

    if (kind == MASK_OUTPUT)
        ret.mask.y = s->mask.y + at;
    if (kind == MASK_INPUT) {
        ret.mask.scale = s->mask.scale + channels;
        ret.mask.shift = s->mask.shift + channels;
    }
    return ret;
}

/* The numbers of a mask for some vectors of channels. */
typedef struct MaskLanes {
    Lanes scale[TILE_VECTORS], shift[TILE_VECTORS];
} MaskLanes;

VARIANT MaskLanes mask_lanes(MaskKind kind, int vectors, const NormMask *mask)
{
    MaskLanes ret;

    for (int v = 0; v < vectors; v++) {
        ret.scale[v] = kind == MASK_INPUT ? load(mask->scale, v) : (Lanes){ 0 };
        ret.shift[v] = kind == MASK_INPUT ? load(mask->shift, v) : (Lanes){ 0 };
    }
    return ret;
}

/* A vector of dy, 0 where the mask lets nothing through. */
VARIANT Lanes through(MaskKind kind, const Source *s, const MaskLanes *mask, size_t at, int v,
                      Lanes x)
{
    Lanes dy = load(s->dy + at, v);

    if (kind == MASK_OUTPUT)
        dy = (Lanes)((Bits)dy & (load(s->mask.y + at, v) > 0));
    if (kind == MASK_INPUT)
        dy = (Lanes)((Bits)dy & (x * mask->scale[v] + mask->shift[v] > 0));
    return dy;
}

/* The same for one number, of channel j. */
VARIANT real through_one(MaskKind kind, const Source *s, size_t at, size_t j)
{
    real y = 1;

    if (kind == MASK_OUTPUT)
        y = s->mask.y[at + j];
    if (kind == MASK_INPUT)
        y = s->x[at + j] * s->mask.scale[j] + s->mask.shift[j];
    return y > 0 ? s->dy[at + j] : 0;
}

/* A block of some vectors. */
VARIANT void sums_vectors(MaskKind kind, int vectors, size_t rows, size_t stride, const Source *s,
                          double *sum_g, double *sum_gx)
{
    MaskLanes mask = mask_lanes(kind, vectors, &s->mask);
    Lanes g[TILE_VECTORS] = { { 0 } }, gx[TILE_VECTORS] = { { 0 } };

    for (size_t at = 0; at < rows * stride; at += stride)
        for (int v = 0; v < vectors; v++) {
            Lanes x = load(s->x + at, v), dy = through(kind, s, &mask, at, v, x);

            g[v] += dy;
            gx[v] += dy * (x - load(s->mean, v));
        }
    for (int v = 0; v < vectors; v++)
        for (int lane = 0; lane < LANES; lane++) {
            sum_g[v * LANES + lane] += (double)g[v][lane];
            sum_gx[v * LANES + lane] += (double)gx[v][lane];
        }
}

/* The same for t < LANES channels. */
VARIANT void sums_rest(MaskKind kind, size_t t, size_t rows, size_t stride, const Source *s,
                       double *sum_g, double *sum_gx)
{
    for (size_t j = 0; j < t; j++) {
        real g = 0, gx = 0;

        for (size_t at = 0; at < rows * stride; at += stride) {
            real dy = through_one(kind, s, at, j);

            g += dy;
            gx += dy * (s->x[at + j] - s->mean[j]);
        }
        sum_g[j] += (double)g;
        sum_gx[j] += (double)gx;
    }
}

VARIANT void sums_of(MaskKind kind, size_t rows, size_t c, const Source *s, double *sum_g,
                     double *sum_gx)
{
    size_t block = block_rows(c);

    memset(sum_g, 0, c * sizeof *sum_g);
    memset(sum_gx, 0, c * sizeof *sum_gx);
    for (size_t r = 0; r < rows; r += block) {
        size_t part = rows - r < block ? rows - r : block, width;

        for (size_t at = 0; at < c; at += width) {
            Source here = source_at(kind, s, c, r, at);

            width = tile_width(at, c);
            if (width == TILE)
                sums_vectors(kind, TILE_VECTORS, part, c, &here, sum_g + at, sum_gx + at);
            else if (width == LANES)
                sums_vectors(kind, 1, part, c, &here, sum_g + at, sum_gx + at);
            else
                sums_rest(kind, width, part, c, &here, sum_g + at, sum_gx + at);
        }
    }
}

static void sums_of_any(size_t rows, size_t c, const Source *s, double *sum_g, double *sum_gx)
{
    switch (mask_kind(&s->mask)) {
    case MASK_NONE:
        sums_of(MASK_NONE, rows, c, s, sum_g, sum_gx);
        break;
    case MASK_OUTPUT:
        sums_of(MASK_OUTPUT, rows, c, s, sum_g, sum_gx);
        break;
    case MASK_INPUT:
        sums_of(MASK_INPUT, rows, c, s, sum_g, sum_gx);
    }
}

void norm_family_sums(size_t rows, size_t c, const real *x, const real *dy, const NormMask *mask,
                      const real *mean, double *sum_g, double *sum_gx)
{
    size_t times = repeats_of(rows, c), wide = rows / times;
    _Alignas(VECTOR_BYTES) real room[3][WIDE];
    double parts[2][WIDE];
    Source narrow = { x, dy, *mask, mean }, s = narrow;

    if (times == 1) {
        sums_of_any(rows, c, &narrow, sum_g, sum_gx);
        return;
    }
    s.mean = repeat(mean, c, times, room[0]);
    s.mask.scale = repeat(mask->scale, c, times, room[1]);
    s.mask.shift = repeat(mask->shift, c, times, room[2]);
    narrow = source_at(mask_kind(mask), &narrow, c, wide * times, 0);
    sums_of_any(rows % times, c, &narrow, sum_g, sum_gx);
    sums_of_any(wide, times * c, &s, parts[0], parts[1]);
    for (size_t i = 0; i < times * c; i++) {
        sum_g[i % c] += parts[0][i];
        sum_gx[i % c] += parts[1][i];
    }
}

/* What dx is made of: a*g + b*(x - mean) + d. */
typedef struct Coefficients {
    const real *a, *b, *d;
} Coefficients;

/* A block of some vectors. */
VARIANT void backward_vectors(MaskKind kind, int vectors, size_t rows, size_t stride,
                              const Source *s, const Coefficients *k, real *dx, bool accumulate)
{
    MaskLanes mask = mask_lanes(kind, vectors, &s->mask);
    Lanes a[TILE_VECTORS], b[TILE_VECTORS], d[TILE_VECTORS], mean[TILE_VECTORS];

    for (int v = 0; v < vectors; v++) {
        a[v] = load(k->a, v);
        b[v] = load(k->b, v);
        d[v] = load(k->d, v);
        mean[v] = load(s->mean, v);
    }
    for (size_t at = 0; at < rows * stride; at += stride)
        for (int v = 0; v < vectors; v++) {
            Lanes x = load(s->x + at, v),
                  sum = a[v] * through(kind, s, &mask, at, v, x) + b[v] * (x - mean[v]) + d[v];

            if (accumulate)
                sum += load(dx + at, v);
            ((Lanes *)(dx + at))[v] = sum;
        }
}

/* The same for `width` < LANES channels. */
VARIANT void backward_rest(MaskKind kind, size_t width, size_t rows, size_t stride, const Source *s,
                           const Coefficients *k, real *dx, bool accumulate)
{
    for (size_t at = 0; at < rows * stride; at += stride)
        for (size_t j = 0; j < width; j++) {
            real sum = k->a[j] * through_one(kind, s, at, j) +
                       k->b[j] * (s->x[at + j] - s->mean[j]) + k->d[j];

            dx[at + j] = accumulate ? dx[at + j] + sum : sum;
        }
}

VARIANT void backward_of(MaskKind kind, size_t rows, size_t c, const Source *s,
                         const Coefficients *k, real *dx, bool accumulate)
{
    size_t block = block_rows(c);

    for (size_t r = 0; r < rows; r += block) {
        size_t part = rows - r < block ? rows - r : block, width;

        for (size_t at = 0; at < c; at += width) {
            Source here = source_at(kind, s, c, r, at);
            Coefficients of = { k->a + at, k->b + at, k->d + at };
            real *to = dx + r * c + at;

            width = tile_width(at, c);
            if (width == TILE)
                backward_vectors(kind, TILE_VECTORS, part, c, &here, &of, to, accumulate);
            else if (width == LANES)
                backward_vectors(kind, 1, part, c, &here, &of, to, accumulate);
            else
                backward_rest(kind, width, part, c, &here, &of, to, accumulate);
        }
    }
}

static void backward_of_any(size_t rows, size_t c, const Source *s, const Coefficients *k, real *dx,
                            bool accumulate)
{
    MaskKind kind = mask_kind(&s->mask);

    if (kind == MASK_NONE && !accumulate)
        backward_of(MASK_NONE, rows, c, s, k, dx, false);
    else if (kind == MASK_NONE)
        backward_of(MASK_NONE, rows, c, s, k, dx, true);
    else if (kind == MASK_INPUT && !accumulate)
        backward_of(MASK_INPUT, rows, c, s, k, dx, false);
    else if (kind == MASK_INPUT)
        backward_of(MASK_INPUT, rows, c, s, k, dx, true);
    else
        backward_of(MASK_OUTPUT, rows, c, s, k, dx, accumulate);
}

void norm_family_backward(size_t rows, size_t c, const real *x, const real *dy,
                          const NormMask *mask, const real *mean, const real *a, const real *b,
                          const real *d, real *dx, bool accumulate)
{
    size_t times = repeats_of(rows, c), wide = rows / times;
    _Alignas(VECTOR_BYTES) real room[6][WIDE];
    Source narrow = { x, dy, *mask, mean }, s = narrow;
    Coefficients few = { a, b, d },
                 k = { repeat(a, c, times, room[0]), repeat(b, c, times, room[1]),
                       repeat(d, c, times, room[2]) };

    s.mean = repeat(mean, c, times, room[3]);
    s.mask.scale = repeat(mask->scale, c, times, room[4]);
    s.mask.shift = repeat(mask->shift, c, times, room[5]);
    backward_of_any(wide, times * c, &s, &k, dx, accumulate);
    narrow = source_at(mask_kind(mask), &narrow, c, wide * times, 0);
    backward_of_any(rows % times, c, &narrow, &few, dx + wide * times * c, accumulate);
}
