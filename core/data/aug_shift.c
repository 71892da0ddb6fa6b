/*
 * shift -- the image moved by up to `padding` pixels each way, its reflection moving in: a random
 * crop of the reflect-padded image.
 */
#include "core/data/geometry.h"

static const Param params[] = {
    { .name = "padding",
      .type = PARAM_INT,
      .fallback = 2,
      .min = 0,
      .max = 16,
      .help = "the largest shift, in pixels" },
};

static void shift_pixels(const double *value, ImageDraw *draw, ImageSize size, const uint8_t *in,
                         uint8_t *out)
{
    uint32_t padding = (uint32_t)value[0];
    int64_t down = (int64_t)rng_below(&draw->rng, 2 * padding + 1) - padding;
    int64_t right = (int64_t)rng_below(&draw->rng, 2 * padding + 1) - padding;

    image_shift(size, down, right, in, out);
}

extern const Augmentation augmentation_shift;
const Augmentation augmentation_shift = {
    .described = { "shift", "random shift, the image reflected at its border", params, 1 },
    .pixels = shift_pixels,
};
