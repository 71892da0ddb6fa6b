/*
 * xgradcam -- XGrad-CAM: sum_k w_k A_k with w_k = (sum G_k A_k)/(sum A_k + 1e-7): the gradient's
 * mean, each pixel counting as its activation does. Fu et al., BMVC 2020, equation 8.
 */
#include "core/explain/cam_rows.h"

static const double slack = 1e-7;

static float weight_of(const CamInput *in, size_t k)
{
    size_t pixels = cam_pixels(in), c = in->channels;
    double product = 0, sum = 0;

    for (size_t p = 0; p < pixels; p++) {
        double a = (double)in->activation[p * c + k];

        product += (double)in->gradient[p * c + k] * a;
        sum += a;
    }
    return (float)(product / (sum + slack));
}

static void xgradcam_compute(const CamInput *in, float *ret)
{
    cam_weigh(in, weight_of, ret);
}

extern const Cam cam_xgradcam;
const Cam cam_xgradcam = {
    .described = { .name = "xgradcam",
                   .summary = "XGrad-CAM: channels weighted by gradients at their activations" },
    .needs = CAM_GRADIENT,
    .compute = xgradcam_compute,
};
