/*
 * integrated_gradients -- the image less the baseline times the mean gradient of the class's logit
 * on the way between them, by 32 midpoint steps; sum |.| over the channels. Sundararajan et al.,
 * ICML 2017, equation 1. The baseline is the mean colour, which the network sees as 0: the pixels
 * before |.| sum to the logit less that of the baseline.
 */
#include "core/explain/cam_rows.h"

enum { STEPS = 32 };

static void integrated_gradients_pass(const CamPass *pass, real *ret)
{
    size_t pixels = (size_t)pass->height * pass->width, c = pass->channels;
    const real share = ((real)pass->index + 0.5f) / STEPS;

    for (size_t p = 0; p < pixels; p++)
        for (size_t k = 0; k < c; k++)
            ret[p * pass->stride + k] = share * pass->from[p * c + k];
}

static void integrated_gradients_compute(const CamInput *in, float *ret)
{
    size_t pixels = cam_pixels(in), c = in->channels;

    for (size_t p = 0; p < pixels; p++) {
        float sum = 0;

        for (size_t k = 0; k < c; k++)
            sum += (float)real_abs(in->gradient[p * c + k] * in->activation[p * c + k]);
        ret[p] = sum;
    }
}

extern const Cam cam_integrated_gradients;
const Cam cam_integrated_gradients = {
    .described = { .name = "integrated_gradients",
                   .summary = "the pixels' gradient, the mean on the way from the mean colour" },
    .needs = CAM_PIXELS | CAM_GRADIENT,
    .samples = STEPS,
    .pass = integrated_gradients_pass,
    .compute = integrated_gradients_compute,
};
