/*
 * smoothgrad -- SmoothGrad: the mean gradient of the class's logit at images with noise; sum |.|
 * over the channels. Smilkov et al., 2017: Gaussian noise of 0.1 of the pixels' range (0..1), drawn
 * in the order of [H,W,C] from the stream of (seed, sample, item). Noisy pixels are not clipped.
 */
#include "core/base/rng.h"
#include "core/explain/cam_rows.h"

enum { SAMPLES = 16 };
static const float sigma = 0.1f;

static void smoothgrad_pass(const CamPass *pass, real *ret)
{
    size_t pixels = (size_t)pass->height * pass->width, c = pass->channels;
    Rng rng = rng_at(pass->seed, RNG_EXPLAIN, pass->index, pass->item);

    for (size_t p = 0; p < pixels; p++)
        for (size_t k = 0; k < c; k++)
            ret[p * pass->stride + k] =
                pass->from[p * c + k] + sigma / pass->std[k] * rng_normal(&rng);
}

extern const Cam cam_smoothgrad;
const Cam cam_smoothgrad = {
    .described = { .name = "smoothgrad",
                   .summary = "the pixels' gradient, the mean over noisy images" },
    .needs = CAM_PIXELS | CAM_GRADIENT | CAM_PIXEL_SCALE,
    .samples = SAMPLES,
    .pass = smoothgrad_pass,
    .compute = cam_magnitude,
};
