/* linear -- from 1 towards `final`, in a straight line. */
#include "core/train/schedule.h"

enum { VALUE_FINAL = SCHEDULE_OWN };

static const Param linear_params[] = {
    SCHEDULE_WARMUP_ROW,
    { "final", PARAM_REAL, 0, 0, 1, NULL, "what it falls to, as a share of the base rate" },
};

static double linear_factor(const double *value, double t, double all, double steps_per_epoch)
{
    (void)steps_per_epoch;
    return 1 + (value[VALUE_FINAL] - 1) * t / all;
}

extern const Schedule schedule_linear;
const Schedule schedule_linear = {
    .described = { "linear", "a straight line from the base rate to the final one", linear_params,
                   2 },
    .factor = linear_factor,
};
