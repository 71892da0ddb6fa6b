/*
 * input_gradient -- the gradient of the class's logit at the image as the network sees it; sum |.|
 * over the channels. Simonyan et al., ICLR workshops 2014 (who take the largest).
 */
#include "core/explain/cam_rows.h"

extern const Cam cam_input_gradient;
const Cam cam_input_gradient = {
    .described = { .name = "input_gradient",
                   .summary = "how much the score changes with each pixel" },
    .needs = CAM_PIXELS | CAM_GRADIENT,
    .compute = cam_magnitude,
};
