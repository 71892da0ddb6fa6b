/*
 * pointing_game -- 1 where the map's largest value (the first of equal ones) lies on the object or
 * at most 2 pixels from it, else 0. A map without contrast points nowhere.
 * Source: Zhang et al., "Top-down neural attention by excitation backprop", ECCV 2016.
 */
#include "core/quality/pointing.h"

static double value(const Picture *p, const double *scores)
{
    (void)scores;
    return pointing_value(p);
}

extern const Metric metric_pointing_game;
const Metric metric_pointing_game = {
    .described = { .name = "pointing_game",
                   .summary = "share of maps whose peak is on the object, or 2 pixels from it" },
    .needs_mask = true,
    .value = value,
};
