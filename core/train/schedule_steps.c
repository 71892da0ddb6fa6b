/* steps -- times `gamma` after every `every_epochs` epochs: torch.optim.lr_scheduler.StepLR. The
 * epochs are counted from the end of the warm-up. */
#include <math.h>

#include "core/train/schedule.h"

enum { VALUE_EVERY = SCHEDULE_OWN, VALUE_GAMMA };

static const Param steps_params[] = {
    SCHEDULE_WARMUP_ROW,
    { "every_epochs", PARAM_REAL, 30, 0.001, 10000, NULL, "epochs between two steps of the rate" },
    { "gamma", PARAM_REAL, 0.1, 0, 1, NULL, "what the rate is multiplied with at each" },
};

static double steps_factor(const double *value, double t, double all, double steps_per_epoch)
{
    (void)all;
    return pow(value[VALUE_GAMMA], floor(t / (value[VALUE_EVERY] * steps_per_epoch)));
}

extern const Schedule schedule_steps;
const Schedule schedule_steps = {
    .described = { "steps", "falls by a factor every so many epochs", steps_params, 3 },
    .factor = steps_factor,
};
