/*
 * gradcam -- Grad-CAM: sum_k mean(G_k) A_k over the channels k. Selvaraju et al., 2017, equations 1
 * and 2; the ReLU is the caller's.
 */
#include "core/explain/cam_rows.h"

static float mean_gradient(const CamInput *in, size_t k)
{
    size_t pixels = cam_pixels(in), c = in->channels;
    double sum = 0;

    for (size_t p = 0; p < pixels; p++)
        sum += (double)in->gradient[p * c + k];
    return (float)(sum / (double)pixels);
}

static void gradcam_compute(const CamInput *in, float *ret)
{
    cam_weigh(in, mean_gradient, ret);
}

const Cam cam_gradcam = {
    .described = { .name = "gradcam",
                   .summary = "Grad-CAM: channels weighted by their mean gradient" },
    .needs = CAM_GRADIENT,
    .compute = gradcam_compute,
};
