/*
 * mixup -- two images and their labels blended, lambda from Beta(alpha, alpha) (Zhang et al., ICLR
 * 2018): lambda x + (1 - lambda) x'.
 */
#include "core/data/mix.h"

static const Param params[] = {
    { .name = "probability",
      .type = PARAM_REAL,
      .fallback = 1,
      .min = 0,
      .max = 1,
      .help = "share of the batches that are mixed" },
    { .name = "alpha",
      .type = PARAM_REAL,
      .fallback = 1,
      .min = 0.01,
      .max = 100,
      .help = "of Beta(alpha, alpha): the larger, the nearer to halves" },
};

static bool mixup_mix(const double *value, Rng *rng, ImageSize size, Mix *ret)
{
    (void)size;
    if (rng_uniform(rng) >= (float)value[0])
        return false;
    *ret = (Mix){ .own = mix_beta(rng, value[1]) };
    return true;
}

extern const Augmentation augmentation_mixup;
const Augmentation augmentation_mixup = {
    .described = { "mixup", "images and labels blended in pairs", params, 2 },
    .mix = mixup_mix,
};
