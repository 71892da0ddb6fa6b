/*
 * cutmix -- a box of another image pasted in, the labels mixed by area (Yun et al., ICCV 2019).
 *
 * lambda ~ Beta(beta, beta); the box's sides are int(S sqrt(1 - lambda)) of the image's, its centre
 * any pixel, evenly; it reaches half a side (rounded down) each way and is clipped. The image's own
 * share is what is left of it in truth, 1 - clipped area / (H W), not lambda.
 */
#include "core/data/mix.h"

#include <math.h>

static const Param params[] = {
    { .name = "probability",
      .type = PARAM_REAL,
      .fallback = 0.5,
      .min = 0,
      .max = 1,
      .help = "share of the batches that are mixed" },
    { .name = "beta",
      .type = PARAM_REAL,
      .fallback = 1,
      .min = 0.01,
      .max = 100,
      .help = "of Beta(beta, beta), which the pasted box's area is drawn from" },
};

static void clip(uint32_t centre, uint32_t half, uint32_t size, uint32_t *ret_from,
                 uint32_t *ret_to)
{
    *ret_from = centre < half ? 0 : centre - half;
    *ret_to = centre + half > size ? size : centre + half;
}

static bool cutmix_mix(const double *value, Rng *rng, ImageSize size, Mix *ret)
{
    Mix mix = { .paste = true };
    double side;

    if (rng_uniform(rng) >= (float)value[0])
        return false;
    side = sqrt(1 - mix_beta(rng, value[1]));
    clip(rng_below(rng, size.height), (uint32_t)(size.height * side) / 2, size.height, &mix.top,
         &mix.bottom);
    clip(rng_below(rng, size.width), (uint32_t)(size.width * side) / 2, size.width, &mix.left,
         &mix.right);
    mix.own = 1 - (double)(mix.bottom - mix.top) * (mix.right - mix.left) /
                      ((double)size.height * size.width);
    *ret = mix;
    return true;
}

extern const Augmentation augmentation_cutmix;
const Augmentation augmentation_cutmix = {
    .described = { "cutmix", "a box of another image pasted in, labels mixed by area", params, 2 },
    .mix = cutmix_mix,
};
