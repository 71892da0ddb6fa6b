/*
 * pointing_game_off_centre -- the pointing game on the images that the baseline `centre` misses;
 * the others do not count. Where most objects are in the middle, the whole game says little: this
 * is what pointing takes beyond that (as the "difficult" images of the game's authors).
 */
#include <math.h>

#include "core/quality/pointing.h"

static double value(const Picture *p, const double *scores)
{
    (void)scores;
    return pointing_hits(p, (p->height - 1) / 2 * p->width + (p->width - 1) / 2)
               ? (double)NAN
               : pointing_value(p);
}

extern const Metric metric_pointing_game_off_centre;
const Metric metric_pointing_game_off_centre = {
    .described = { .name = "pointing_game_off_centre",
                   .summary = "the pointing game on the images whose object the middle misses" },
    .needs_mask = true,
    .value = value,
};
