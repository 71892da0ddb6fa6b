/*
 * increase -- 1 where the image weighted with its map has a higher probability of the class than
 * the whole image, else 0. Source: Chattopadhay et al., "Grad-CAM++", WACV 2018.
 */
#include "core/quality/weighted.h"

static double value(const Picture *p, const double *scores)
{
    return scores[0] > p->score;
}

extern const Metric metric_increase;
const Metric metric_increase = {
    .described = { .name = "increase",
                   .summary = "share of images that the network is surer of times their map" },
    .passes = weighted_passes,
    .alter = weighted_alter,
    .value = value,
};
