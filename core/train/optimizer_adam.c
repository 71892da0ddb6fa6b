/* adam -- Kingma and Ba, 2015, as torch.optim.Adam: the decay is part of the gradient. */
#include "core/train/adam.h"

static const Param adam_params[] = { ADAM_PARAM_ROWS(0, "L2 penalty on every parameter") };

static void coupled_step(const double *value, const OptimizerStep *step)
{
    adam_step(value, step, false);
}

extern const Optimizer optimizer_adam;
const Optimizer optimizer_adam = {
    .described = { "adam", "steps scaled by the gradient's mean square", adam_params, ADAM_PARAMS },
    .learning_rate = ADAM_LR,
    .buffers = 2,
    .buffer_name = { "exp_avg", "exp_avg_sq" },
    .step = coupled_step,
};
