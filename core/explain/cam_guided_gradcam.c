/*
 * guided_gradcam -- Guided Grad-CAM: the gradient of the class's logit at each pixel by guided
 * backpropagation (every ReLU passes positive gradients only) times Grad-CAM of a layer, resized to
 * the image; sum |.| over the channels. Selvaraju et al., 2017, section 3.2; Springenberg et al.,
 * 2015. A ReLU that several operations read is one ReLU: it drops what is negative of their sum.
 */
#include "core/explain/cam_rows.h"

static void guided_gradcam_compute(const CamInput *in, float *ret)
{
    size_t pixels = cam_pixels(in);

    cam_magnitude(in, ret);
    for (size_t p = 0; p < pixels; p++)
        ret[p] *= in->map[p]; /* never negative */
}

extern const Cam cam_guided_gradcam;
const Cam cam_guided_gradcam = {
    .described = { .name = "guided_gradcam",
                   .summary = "Guided Grad-CAM: guided gradient of the pixels times Grad-CAM" },
    .needs = CAM_PIXELS | CAM_GRADIENT | CAM_GUIDED,
    .compute = guided_gradcam_compute,
};
