/* adam -- what the rows `adam` and `adamw` share: they differ in defaults and in how they decay. */
#pragma once

#include "core/train/optimizer.h"

enum { ADAM_LR, ADAM_BETA1, ADAM_BETA2, ADAM_EPS, ADAM_DECAY, ADAM_CLIP, ADAM_PARAMS };

/* The parameters in the order above; `decay`: the default, `means`: what it is. */
#define ADAM_PARAM_ROWS(decay, means)                                                     \
    { "lr", PARAM_REAL, 1e-3, 0, 1e9, NULL, "learning rate" },                            \
        { "beta1", PARAM_REAL, 0.9, 0, 0.999999, NULL, "decay of the mean gradient" },    \
        { "beta2", PARAM_REAL, 0.999, 0, 0.999999999, NULL, "decay of the mean square" }, \
        { "eps", PARAM_REAL, 1e-8, 0, 1, NULL, "added to the root of the mean square" },  \
        { "weight_decay", PARAM_REAL, decay, 0, 1, NULL, means },                         \
    {                                                                                     \
        "clip", PARAM_REAL, 0, 0, 1e9, NULL, "largest L2 norm of the gradient; 0: none"   \
    }

/* decoupled: the decay shrinks the weights by themselves, and is not added to the gradient. */
void adam_step(const double *value, const OptimizerStep *step, bool decoupled);
