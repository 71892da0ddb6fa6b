/*
 * flip -- left and right change places in every second image.
 *
 * Alternating: each image's side is drawn once for the whole run and changes from epoch to epoch,
 * so that two epochs show an image once each way (Jordan, "94% on CIFAR-10 in 3.29 seconds", 2024,
 * section 3.6).
 */
#include <string.h>

#include "core/data/geometry.h"

enum { FLIP_RANDOM, FLIP_ALTERNATING };

static const char *const modes[] = { "random", "alternating", NULL };

static const Param params[] = {
    { .name = "mode",
      .type = PARAM_ENUM,
      .fallback = FLIP_RANDOM,
      .choices = modes,
      .help = "random: drawn anew each epoch; alternating: once, then every other epoch" },
};

static bool draw_flip(int mode, ImageDraw *draw)
{
    Rng once;

    if (mode == FLIP_RANDOM)
        return rng_below(&draw->rng, 2) == 1;
    /* A stream that no epoch has: epoch 0's own would tie the flip to that epoch's other draws. */
    once = rng_at(draw->seed, RNG_AUGMENT, UINT32_MAX, draw->image);
    return (rng_below(&once, 2) == 1) != (draw->epoch % 2 == 1);
}

static void flip_pixels(const double *value, ImageDraw *draw, ImageSize size, const uint8_t *in,
                        uint8_t *out)
{
    if (draw_flip((int)value[0], draw))
        image_flip(size, in, out);
    else
        memcpy(out, in, (size_t)size.height * size.width * size.channels);
}

extern const Augmentation augmentation_flip;
const Augmentation augmentation_flip = {
    .described = { "flip", "horizontal flip of every second image", params, 1 },
    .pixels = flip_pixels,
};
