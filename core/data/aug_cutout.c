/*
 * cutout -- a square of the image becomes the mean colour, which is 0 after normalisation (DeVries
 * and Taylor, arXiv:1708.04552). Its centre is any pixel, evenly; what lies outside is clipped.
 */
#include <string.h>

#include "core/data/augment.h"

static const Param params[] = {
    { .name = "length",
      .type = PARAM_INT,
      .fallback = 16,
      .min = 1,
      .max = 512,
      .help = "side of the square, in pixels" },
};

/* The part of [centre - length/2, centre - length/2 + length) within 0..size. */
static void clip(int64_t centre, int64_t length, int64_t size, size_t *ret_from, size_t *ret_to)
{
    int64_t from = centre - length / 2, to = from + length;

    *ret_from = (size_t)(from < 0 ? 0 : from);
    *ret_to = (size_t)(to > size ? size : to);
}

static void cutout_normal(const double *value, ImageDraw *draw, ImageSize size, float *image)
{
    int64_t length = (int64_t)value[0];
    size_t top, bottom, left, right;

    clip(rng_below(&draw->rng, size.height), length, size.height, &top, &bottom);
    clip(rng_below(&draw->rng, size.width), length, size.width, &left, &right);
    for (size_t y = top; y < bottom; y++)
        memset(image + (y * size.width + left) * size.channels, 0,
               (right - left) * size.channels * sizeof *image);
}

extern const Augmentation augmentation_cutout;
const Augmentation augmentation_cutout = {
    .described = { "cutout", "a square of the image set to the mean colour", params, 1 },
    .normal = cutout_normal,
};
