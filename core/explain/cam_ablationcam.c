/*
 * ablationcam -- Ablation-CAM: sum_k w_k A_k with w_k = (y - y_k)/y, y_k the class's logit with
 * channel k of the layer set to zero. Desai and Ramaswamy, WACV 2020, equations 4 and 5. No
 * gradient: a forward pass from the layer on for each channel, which serves every class.
 */
#include "core/explain/cam_rows.h"

static void ablationcam_pass(const CamPass *pass, real *ret)
{
    size_t pixels = (size_t)pass->height * pass->width, c = pass->channels;

    for (size_t p = 0; p < pixels; p++) {
        real *to = ret + p * pass->stride;

        memcpy(to, pass->from + p * c, c * sizeof *to);
        to[pass->index] = 0;
    }
}

static float weight_of(const CamInput *in, size_t k)
{
    double y = (double)in->score;

    return (float)((y - (double)in->scores[k]) / y);
}

static void ablationcam_compute(const CamInput *in, float *ret)
{
    cam_weigh(in, weight_of, ret);
}

extern const Cam cam_ablationcam;
const Cam cam_ablationcam = {
    .described = { .name = "ablationcam",
                   .summary = "Ablation-CAM: channels weighted by what the score loses with them" },
    .needs = CAM_SCORES | CAM_FROM_LAYER,
    .pass = ablationcam_pass,
    .compute = ablationcam_compute,
};
