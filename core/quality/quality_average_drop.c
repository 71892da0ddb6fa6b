/*
 * average_drop -- max(0, Y - O)/Y: what share of the class's probability Y is lost where the image
 * is weighted with its map (O). Source: Chattopadhay et al., "Grad-CAM++", WACV 2018.
 */
#include "core/quality/weighted.h"

static double value(const Picture *p, const double *scores)
{
    return p->score > scores[0] ? (p->score - scores[0]) / p->score : 0;
}

extern const Metric metric_average_drop;
const Metric metric_average_drop = {
    .described = { .name = "average_drop",
                   .summary = "share of the probability that the image times its map loses; less "
                              "is better" },
    .falls = true,
    .passes = weighted_passes,
    .alter = weighted_alter,
    .value = value,
};
