/*
 * scorecam -- Score-CAM: sum_k w_k A_k, w the softmax over the channels of the class's logit of the
 * image times M_k, which is A_k resized to the image and brought to 0..1. Wang et al., CVPR
 * workshops 2020; without the logit of a blank image, which the softmax would take out again. No
 * gradient: a forward pass of the network for each channel, which serves every class.
 */
#include "core/data/heatmap.h"
#include "core/explain/cam_rows.h"

static const double slack = 1e-7;

/* The image times M_k; the mask lies in the answer's first channel until then. */
static void scorecam_pass(const CamPass *pass, real *ret)
{
    size_t h = pass->layer_height, w = pass->layer_width, c = pass->channels,
           pixels = (size_t)pass->height * pass->width;
    real low, high;
    double scale;

    heatmap_resize((uint32_t)h, (uint32_t)w, pass->planes + pass->index * h * w, pass->height,
                   pass->width, pass->stride, ret);
    low = high = ret[0];
    for (size_t p = 1; p < pixels; p++) {
        real m = ret[p * pass->stride];

        low = m < low ? m : low;
        high = m > high ? m : high;
    }
    scale = 1 / (slack + (double)high - (double)low);
    for (size_t p = 0; p < pixels; p++) {
        real *to = ret + p * pass->stride;
        real mask = (real)(((double)*to - (double)low) * scale);

        for (size_t k = 0; k < c; k++)
            to[k] = pass->from[p * c + k] * mask;
    }
}

static void scorecam_compute(const CamInput *in, float *ret)
{
    size_t pixels = cam_pixels(in), c = in->channels;
    double top = (double)in->scores[0], sum = 0;

    for (size_t k = 1; k < c; k++)
        top = fmax(top, (double)in->scores[k]);
    for (size_t k = 0; k < c; k++)
        sum += exp((double)in->scores[k] - top);
    memset(ret, 0, pixels * sizeof *ret);
    for (size_t k = 0; k < c; k++) {
        float weight = (float)(exp((double)in->scores[k] - top) / sum);

        for (size_t p = 0; p < pixels; p++)
            ret[p] += weight * in->activation[p * c + k];
    }
}

extern const Cam cam_scorecam;
const Cam cam_scorecam = {
    .described = { .name = "scorecam",
                   .summary = "Score-CAM: channels weighted by the score of what they show" },
    .needs = CAM_SCORES,
    .pass = scorecam_pass,
    .compute = scorecam_compute,
};
