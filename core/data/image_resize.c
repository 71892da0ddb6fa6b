/*
 * Two passes, columns first, each a weighted sum of a run of source pixels with weights in 22-bit
 * fixed point and rounded to bytes in between: integers, so that every machine has the same bytes.
 * Only what the crop shows is computed: at most a square of the shorter side, plus the filter's
 * reach, so that a very long image costs no more memory than a square one.
 */
#include "core/data/image_resize.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHT_BITS = 22 };

/* How one result pixel comes about: `count` source pixels from `first`, each with its weight. */
typedef struct Run {
    uint32_t first, count;
    const int32_t *weight; /* [count], sum about 2^WEIGHT_BITS */
} Run;

/* All result pixels along one side. */
typedef struct Axis {
    Run *run; /* [size] */
    int32_t *weights;
    uint32_t first, end; /* source pixels that are needed */
} Axis;

static double triangle(double x)
{
    x = x < 0 ? -x : x;
    return x < 1 ? 1 - x : 0;
}

/* The run around `centre`; `reach` is half the triangle's width, in source pixels. */
static void run_fill(Run *run, uint32_t source, double centre, double reach, int32_t *weight)
{
    double low = centre - reach + 0.5, high = centre + reach + 0.5, sum = 0;
    uint32_t end = high < source ? (uint32_t)high : source;

    run->first = low > 0 ? (uint32_t)low : 0;
    run->count = end - run->first;
    run->weight = weight;
    for (uint32_t i = 0; i < run->count; i++)
        sum += triangle((run->first + i + 0.5 - centre) / reach);
    for (uint32_t i = 0; i < run->count; i++)
        weight[i] =
            (int32_t)(triangle((run->first + i + 0.5 - centre) / reach) / sum * (1 << WEIGHT_BITS) +
                      0.5);
}

static void axis_clear(Axis *axis)
{
    free(axis->run);
    free(axis->weights);
}

/* `source` pixels, scaled to `scaled`, of which the middle `size` are wanted. */
static bool axis_init(Axis *axis, uint32_t source, uint64_t scaled, uint32_t size)
{
    double scale = (double)source / (double)scaled, reach = scale > 1 ? scale : 1;
    size_t longest = 2 * (size_t)reach + 3;
    /* Python's round(), which torchvision uses: halves go to the even number. */
    uint64_t half = (scaled - size) / 2, offset = half + ((scaled - size) % 2 & half % 2);

    axis->run = malloc(size * sizeof *axis->run);
    axis->weights = malloc(size * longest * sizeof *axis->weights);
    if (axis->run == NULL || axis->weights == NULL)
        return false;
    for (uint32_t i = 0; i < size; i++) {
        run_fill(&axis->run[i], source, ((double)(offset + i) + 0.5) * scale, reach,
                 axis->weights + i * longest);
        axis->first = i == 0 ? axis->run[i].first : axis->first;
        axis->end = axis->run[i].first + axis->run[i].count;
    }
    return true;
}

/* A sum over `run`, whose pixels are `stride` bytes apart; `in` is pixel 0. */
static uint8_t run_apply(const Run *run, const uint8_t *in, size_t stride)
{
    int64_t sum = 1 << (WEIGHT_BITS - 1);

    in += run->first * stride;
    for (uint32_t i = 0; i < run->count; i++, in += stride)
        sum += (int64_t)run->weight[i] * *in;
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

static Status resample(const Image *image, const Axis *x, const Axis *y, uint32_t size,
                       uint8_t *ret_pixels, Error *err)
{
    size_t row = (size_t)size * 3;
    uint8_t *narrow = calloc(y->end - y->first, row); /* columns done, rows not yet */

    if (narrow == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate an image to resize");
    for (uint32_t j = y->first; j < y->end; j++)
        for (size_t k = 0; k < row; k++)
            narrow[(j - y->first) * row + k] =
                run_apply(&x->run[k / 3], image->pixels + (size_t)j * image->width * 3 + k % 3, 3);
    for (uint32_t i = 0; i < size; i++) {
        Run run = y->run[i];

        run.first -= y->first;
        for (size_t k = 0; k < row; k++)
            *ret_pixels++ = run_apply(&run, narrow + k, row);
    }
    free(narrow);
    return STATUS_OK;
}

Status image_square(const Image *image, uint32_t size, uint8_t *ret_pixels, Error *err)
{
    uint64_t width = image->width, height = image->height;
    uint64_t shorter = width < height ? width : height;
    Axis x = { 0 }, y = { 0 };
    Status s;

    assert(size > 0 && shorter > 0);
    if (width == size && height == size) {
        memcpy(ret_pixels, image->pixels, (size_t)size * size * 3);
        return STATUS_OK;
    }
    if (axis_init(&x, image->width, width * size / shorter, size) &&
        axis_init(&y, image->height, height * size / shorter, size))
        s = resample(image, &x, &y, size, ret_pixels, err);
    else
        s = error_set(err, STATUS_NO_MEMORY, "cannot allocate an image to resize");
    axis_clear(&x);
    axis_clear(&y);
    return s;
}
