/*
 * With S the pixels that are out and s_i the sum of the weights within the image: s_i x_i - sum_{j
 * in S} w_ij x_j = sum_{j not in S} w_ij v_j. The matrix is symmetric, and positive definite
 * because each group of connected unknowns touches a known pixel: conjugate gradients find the
 * solution with memory for a few images, whatever their size. Arrays span the image and are 0 where
 * a pixel is not in S, so that no loop asks which is; the weights are those of [1 2 1] along both
 * sides, without the middle, over 12.
 */
#include "core/quality/impute.h"

#include <stddef.h>
#include <string.h>

static const double tolerance = 1e-8; /* of the residual, relative to the right-hand side */

typedef struct System {
    uint32_t height, width;
    const uint8_t *is_out; /* [height * width] */
    uint32_t count;
    double *sums; /* [height * width] of rows, in between */
} System;

static size_t pixels_of(const System *s)
{
    return (size_t)s->height * s->width;
}

/* [1 2 1] along `count` numbers, nothing beyond the ends. */
static void sum_row(const double *in, uint32_t count, double *ret)
{
    for (uint32_t x = 0; x < count; x++)
        ret[x] = 2 * in[x];
    for (uint32_t x = 1; x < count; x++)
        ret[x] += in[x - 1];
    for (uint32_t x = 0; x + 1 < count; x++)
        ret[x] += in[x + 1];
}

/* ret_i = sum_j w_ij in_j; ret is not `in`. */
static void neighbours(const System *s, const double *in, double *ret)
{
    uint32_t w = s->width;

    for (uint32_t y = 0; y < s->height; y++)
        sum_row(in + (size_t)y * w, w, s->sums + (size_t)y * w);
    for (uint32_t y = 0; y < s->height; y++) {
        const double *row = s->sums + (size_t)y * w, *middle = in + (size_t)y * w;
        double *to = ret + (size_t)y * w;

        for (uint32_t x = 0; x < w; x++)
            to[x] = 2 * row[x] - 4 * middle[x];
        for (uint32_t x = 0; x < w && y > 0; x++)
            to[x] += (row - w)[x];
        for (uint32_t x = 0; x < w && y + 1 < s->height; x++)
            to[x] += row[x + w];
        for (uint32_t x = 0; x < w; x++)
            to[x] /= 12;
    }
}

/* What [1 2 1] finds of weights at a place along one side. */
static double found(uint32_t at, uint32_t count)
{
    return 2 + (at > 0) + (at + 1 < count);
}

/* ret = A p */
static void apply(const System *s, const double *p, double *ret)
{
    neighbours(s, p, ret);
    for (uint32_t y = 0; y < s->height; y++) {
        for (uint32_t x = 0; x < s->width; x++) {
            size_t i = (size_t)y * s->width + x;
            double weights = (found(y, s->height) * found(x, s->width) - 4) / 12;

            ret[i] = s->is_out[i] != 0 ? weights * p[i] - ret[i] : 0;
        }
    }
}

static double dot(const System *s, const double *a, const double *b)
{
    double sum = 0;

    for (size_t i = 0; i < pixels_of(s); i++)
        sum += a[i] * b[i];
    return sum;
}

/* The weighted sums of what is known. */
static void right_side(const System *s, const double *known, double *ret)
{
    neighbours(s, known, ret);
    for (size_t i = 0; i < pixels_of(s); i++)
        ret[i] = s->is_out[i] != 0 ? ret[i] : 0;
}

/* One channel: `image` begins at it. room: 4 arrays. */
static void solve(const System *s, uint32_t channels, double *room, float *image)
{
    size_t pixels = pixels_of(s);
    double *x = room, *r = x + pixels, *p = r + pixels, *q = p + pixels;
    double rr, least;

    for (size_t i = 0; i < pixels; i++)
        q[i] = s->is_out[i] != 0 ? 0 : (double)image[i * channels];
    right_side(s, q, r);
    memset(x, 0, pixels * sizeof *x);
    memcpy(p, r, pixels * sizeof *p);
    rr = dot(s, r, r);
    least = rr * tolerance * tolerance;
    for (uint32_t i = 0; i < s->count && rr > least; i++) {
        double alpha, before = rr;

        apply(s, p, q);
        alpha = rr / dot(s, p, q);
        for (size_t k = 0; k < pixels; k++) {
            x[k] += alpha * p[k];
            r[k] -= alpha * q[k];
        }
        rr = dot(s, r, r);
        for (size_t k = 0; k < pixels; k++)
            p[k] = r[k] + rr / before * p[k];
    }
    for (size_t i = 0; i < pixels; i++)
        if (s->is_out[i] != 0)
            image[i * channels] = (float)x[i];
}

void impute(uint32_t height, uint32_t width, uint32_t channels, const uint32_t *out, uint32_t count,
            double *room, float *image)
{
    size_t pixels = (size_t)height * width;
    uint8_t *is_out = (uint8_t *)(room + 5 * pixels);
    const System system = { height, width, is_out, count, room + 4 * pixels };

    memset(is_out, 0, pixels);
    for (uint32_t i = 0; i < count; i++)
        is_out[out[i]] = 1;
    for (uint32_t c = 0; c < channels; c++)
        solve(&system, channels, room, image + c);
}
