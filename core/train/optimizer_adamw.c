/* adamw -- Loshchilov and Hutter, 2019, as torch.optim.AdamW: the decay shrinks the weights by
 * themselves. */
#include "core/train/adam.h"

static const Param adamw_params[] = { ADAM_PARAM_ROWS(
    0.01, "share of every parameter, times the rate, that is taken off") };

static void decoupled_step(const double *value, const OptimizerStep *step)
{
    adam_step(value, step, true);
}

extern const Optimizer optimizer_adamw;
const Optimizer optimizer_adamw = {
    .described = { "adamw", "adam with decoupled weight decay", adamw_params, ADAM_PARAMS },
    .learning_rate = ADAM_LR,
    .buffers = 2,
    .buffer_name = { "exp_avg", "exp_avg_sq" },
    .step = decoupled_step,
};
