/*
 * gradcam -- Grad-CAM: sum_k mean(G_k) A_k over the channels k. Selvaraju et al., 2017, equations 1
 * and 2; the ReLU is the caller's.
 */
#include "core/explain/cam.h"

static void gradcam_compute(const CamInput *in, float *ret)
{
    size_t pixels = (size_t)in->height * in->width, c = in->channels;

    for (size_t p = 0; p < pixels; p++)
        ret[p] = 0;
    for (size_t k = 0; k < c; k++) {
        double sum = 0;
        float weight;

        for (size_t p = 0; p < pixels; p++)
            sum += (double)in->gradient[p * c + k];
        weight = (float)(sum / (double)pixels);
        for (size_t p = 0; p < pixels; p++)
            ret[p] += weight * in->activation[p * c + k];
    }
}

extern const Cam cam_gradcam;
const Cam cam_gradcam = {
    .described = { .name = "gradcam",
                   .summary = "Grad-CAM: channels weighted by their mean gradient" },
    .needs = CAM_GRADIENT,
    .compute = gradcam_compute,
};
