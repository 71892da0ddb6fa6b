/* cosine -- (1 + cos(pi t/T))/2 per step, from 1 towards 0, after a linear warm-up. Loshchilov and
 * Hutter, 2017. */
#include <math.h>

#include "core/train/schedule.h"

enum { VALUE_WARMUP };

static const Param cosine_params[] = {
    { "warmup_epochs", PARAM_REAL, 0, 0, 10000, NULL, "epochs in which the rate rises linearly" },
};

static double cosine_factor(const double *value, uint64_t step, uint64_t steps,
                            uint64_t steps_per_epoch)
{
    double warmup = value[VALUE_WARMUP] * (double)steps_per_epoch, t = (double)step,
           all = (double)steps;

    if (t < warmup)
        return (t + 1) / warmup < 1 ? (t + 1) / warmup : 1;
    return all > warmup ? 0.5 * (1 + cos(3.14159265358979323846 * (t - warmup) / (all - warmup)))
                        : 1;
}

extern const Schedule schedule_cosine;
const Schedule schedule_cosine = {
    .described = { "cosine", "half a cosine from the base rate to 0", cosine_params, 1 },
    .factor = cosine_factor,
};
