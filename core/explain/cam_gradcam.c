/*
 * gradcam -- Grad-CAM: sum_k mean(G_k) A_k over the channels k. Selvaraju et al., 2017, equations 1
 * and 2; the ReLU is the caller's.
 */
#include "core/explain/explainer.h"

static void gradcam_compute(uint32_t h, uint32_t w, uint32_t c, const float *activation,
                            const float *gradient, float *ret)
{
    size_t pixels = (size_t)h * w;

    for (size_t p = 0; p < pixels; p++)
        ret[p] = 0;
    for (uint32_t k = 0; k < c; k++) {
        double sum = 0;
        float weight;

        for (size_t p = 0; p < pixels; p++)
            sum += (double)gradient[p * c + k];
        weight = (float)(sum / (double)pixels);
        for (size_t p = 0; p < pixels; p++)
            ret[p] += weight * activation[p * c + k];
    }
}

extern const Cam cam_gradcam;
const Cam cam_gradcam = {
    .described = { .name = "gradcam",
                   .summary = "Grad-CAM: channels weighted by their mean gradient" },
    .compute = gradcam_compute,
};
