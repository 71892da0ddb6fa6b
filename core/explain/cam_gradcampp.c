/*
 * gradcampp -- Grad-CAM++: sum_k w_k A_k with w_k = sum a_k ReLU(G_k) and, pixel by pixel,
 * a_k = G_k^2/(2 G_k^2 + (sum A_k) G_k^3 + 1e-6): a channel counts by what it gives where it gives
 * anything, so that several small objects count as one large one does. Chattopadhay et al., WACV
 * 2018, equations 15 and 19, with the logit's gradient.
 */
#include "core/explain/cam_rows.h"

static const double slack = 1e-6;

static float weight_of(const CamInput *in, size_t k)
{
    size_t pixels = cam_pixels(in), c = in->channels;
    double total = 0, sum = 0;

    for (size_t p = 0; p < pixels; p++)
        total += (double)in->activation[p * c + k];
    for (size_t p = 0; p < pixels; p++) {
        double g = (double)in->gradient[p * c + k], square = g * g;

        if (g > 0 || isnan(g))
            sum += g * square / (2 * square + total * square * g + slack);
    }
    return (float)sum;
}

static void gradcampp_compute(const CamInput *in, float *ret)
{
    cam_weigh(in, weight_of, ret);
}

extern const Cam cam_gradcampp;
const Cam cam_gradcampp = {
    .described = { .name = "gradcampp",
                   .summary = "Grad-CAM++: channels weighted by their positive gradients" },
    .needs = CAM_GRADIENT,
    .compute = gradcampp_compute,
};
