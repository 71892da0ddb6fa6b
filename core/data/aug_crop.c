/*
 * crop -- the image shifted by up to `padding` pixels each way, zeros moving in: a random crop of
 * the padded image.
 *
 * The zeros are bytes, before normalisation, as with torchvision's RandomCrop in front of ToTensor.
 */
#include <string.h>

#include "core/data/augment.h"

static const Param params[] = {
    { .name = "padding",
      .type = PARAM_INT,
      .fallback = 4,
      .min = 0,
      .max = 16,
      .help = "the largest shift, in pixels" },
};

static void crop_pixels(const double *value, ImageDraw *draw, ImageSize size, const uint8_t *in,
                        uint8_t *out)
{
    uint32_t padding = (uint32_t)value[0];
    size_t pixel = size.channels, row = pixel * size.width;
    /* The crop's corner in the image, which is -padding..padding. */
    int64_t top = (int64_t)rng_below(&draw->rng, 2 * padding + 1) - padding;
    int64_t left = (int64_t)rng_below(&draw->rng, 2 * padding + 1) - padding;
    int64_t from = left < 0 ? -left : 0; /* columns of the crop that lie in the image */
    int64_t to = left > 0 ? size.width - left : size.width;

    memset(out, 0, row * size.height);
    if (to <= from)
        return;
    for (int64_t y = 0; y < size.height; y++)
        if (y + top >= 0 && y + top < size.height)
            memcpy(out + (size_t)y * row + (size_t)from * pixel,
                   in + (size_t)(y + top) * row + (size_t)(from + left) * pixel,
                   (size_t)(to - from) * pixel);
}

extern const Augmentation augmentation_crop;
const Augmentation augmentation_crop = {
    .described = { "crop", "random crop of the zero-padded image", params, 1 },
    .pixels = crop_pixels,
};
