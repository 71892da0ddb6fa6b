/* constant -- 1, always. */
#include "core/train/schedule.h"

static const Param constant_params[] = { SCHEDULE_WARMUP_ROW };

static double constant_factor(const double *value, double t, double all, double steps_per_epoch)
{
    (void)value, (void)t, (void)all, (void)steps_per_epoch;
    return 1;
}

extern const Schedule schedule_constant;
const Schedule schedule_constant = {
    .described = { "constant", "the base rate all the time", constant_params, 1 },
    .factor = constant_factor,
};
