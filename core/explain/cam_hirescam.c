/*
 * hirescam -- HiResCAM: sum_k G_k A_k, pixel by pixel. Draelos and Carin, arXiv:2011.08891,
 * equation
 * 5. Its pixels show where the score comes from, which Grad-CAM's averaged gradients may not.
 */
#include "core/explain/cam.h"

static void hirescam_compute(const CamInput *in, float *ret)
{
    size_t pixels = (size_t)in->height * in->width, c = in->channels;

    for (size_t p = 0; p < pixels; p++) {
        const real *a = in->activation + p * c, *g = in->gradient + p * c;
        float sum = 0;

        for (size_t k = 0; k < c; k++)
            sum += g[k] * a[k];
        ret[p] = sum;
    }
}

extern const Cam cam_hirescam;
const Cam cam_hirescam = {
    .described = { .name = "hirescam",
                   .summary = "HiResCAM: gradient times activation, pixel by pixel" },
    .needs = CAM_GRADIENT,
    .compute = hirescam_compute,
};
