/* cosine -- final + (1 - final) (1 + cos(pi t/T))/2 per step, from 1 towards `final`. Loshchilov
 * and Hutter, 2017. */
#include <math.h>

#include "core/train/schedule.h"

enum { VALUE_FINAL = SCHEDULE_OWN };

static const Param cosine_params[] = {
    SCHEDULE_WARMUP_ROW,
    { "final", PARAM_REAL, 0, 0, 1, NULL, "what it falls to, as a share of the base rate" },
};

static double cosine_factor(const double *value, double t, double all, double steps_per_epoch)
{
    double final = value[VALUE_FINAL];

    (void)steps_per_epoch;
    return final + (1 - final) * 0.5 * (1 + cos(3.14159265358979323846 * t / all));
}

extern const Schedule schedule_cosine;
const Schedule schedule_cosine = {
    .described = { "cosine", "half a cosine from the base rate to the final one", cosine_params,
                   2 },
    .factor = cosine_factor,
};
