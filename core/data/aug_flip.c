/* flip -- left and right change places in every second image. */
#include <stdbool.h>
#include <string.h>

#include "core/data/augment.h"

static void flip_apply(const double *value, Rng *rng, ImageSize size, const uint8_t *in,
                       uint8_t *out)
{
    bool flip = rng_below(rng, 2) == 1;
    size_t pixel = size.channels;

    for (size_t y = 0; y < size.height; y++)
        for (size_t x = 0; x < size.width; x++) {
            size_t from = flip ? size.width - 1 - x : x;

            memcpy(out + (y * size.width + x) * pixel, in + (y * size.width + from) * pixel, pixel);
        }
}

extern const Augmentation augmentation_flip;
const Augmentation augmentation_flip = {
    .described = { "flip", "horizontal flip with probability 1/2", NULL, 0 },
    .apply = flip_apply,
};
