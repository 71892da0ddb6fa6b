/*
 * layercam -- LayerCAM: sum_k ReLU(G_k) A_k, pixel by pixel. Jiang et al., IEEE TIP 2021, equations
 * 4 and 5: of use at layers before the last, where one weight a channel says little.
 */
#include "core/explain/cam_rows.h"

static void layercam_compute(const CamInput *in, float *ret)
{
    size_t pixels = cam_pixels(in), c = in->channels;

    for (size_t p = 0; p < pixels; p++) {
        const real *a = in->activation + p * c, *g = in->gradient + p * c;
        float sum = 0;

        for (size_t k = 0; k < c; k++)
            sum += g[k] < 0 ? 0 : g[k] * a[k];
        ret[p] = sum;
    }
}

extern const Cam cam_layercam;
const Cam cam_layercam = {
    .described = { .name = "layercam",
                   .summary = "LayerCAM: positive gradient times activation, pixel by pixel" },
    .needs = CAM_GRADIENT,
    .compute = layercam_compute,
};
