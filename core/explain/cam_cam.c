/*
 * cam -- class activation mapping: sum_k w_k^c A_k with the class's weights behind global average
 * pooling, without the bias: divided by the number of pixels, the map's pixels sum to the logit
 * less its bias. Zhou et al., CVPR 2016, equation 2.
 */
#include "core/explain/cam.h"

static void cam_compute(const CamInput *in, float *ret)
{
    size_t pixels = (size_t)in->height * in->width, c = in->channels;

    for (size_t p = 0; p < pixels; p++) {
        const real *a = in->activation + p * c;
        float sum = 0;

        for (size_t k = 0; k < c; k++)
            sum += in->head[k] * a[k];
        ret[p] = sum;
    }
}

extern const Cam cam_cam;
const Cam cam_cam = {
    .described = { .name = "cam", .summary = "CAM: channels weighted as the linear head does" },
    .needs = CAM_HEAD,
    .compute = cam_compute,
};
