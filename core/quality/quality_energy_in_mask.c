/*
 * energy_in_mask -- the share of the map's sum that lies on the object; 0 of a map that is 0
 * everywhere. Source: Wang et al., "Score-CAM" (energy-based pointing game), 2020.
 */
#include "core/quality/metric.h"

static double value(const Picture *p, const double *scores)
{
    double inside = 0, all = 0;

    (void)scores;
    for (size_t i = 0; i < picture_pixels(p); i++) {
        all += (double)p->saliency.map[i];
        inside += p->mask[i] != 0 ? (double)p->saliency.map[i] : 0;
    }
    return all > 0 ? inside / all : 0;
}

extern const Metric metric_energy_in_mask;
const Metric metric_energy_in_mask = {
    .described = { .name = "energy_in_mask",
                   .summary = "share of the map's sum that is on the object" },
    .needs_mask = true,
    .value = value,
};
