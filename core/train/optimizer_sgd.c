/*
 * sgd -- stochastic gradient descent with momentum, Nesterov's form and weight decay, as
 * torch.optim.SGD; the decay falls on every parameter.
 */
#include "core/train/optimizer.h"

enum { VALUE_LR, VALUE_MOMENTUM, VALUE_NESTEROV, VALUE_DECAY, VALUE_CLIP };

static const Param sgd_params[] = {
    { "lr", PARAM_REAL, 0.1, 0, 1e9, NULL, "learning rate" },
    { "momentum", PARAM_REAL, 0.9, 0, 1, NULL, "share of the last step that is kept" },
    { "nesterov", PARAM_BOOL, 1, 0, 1, NULL, "look one step ahead" },
    { "weight_decay", PARAM_REAL, 5e-4, 0, 1, NULL, "L2 penalty on every parameter" },
    { "clip", PARAM_REAL, 0, 0, 1e9, NULL, "largest L2 norm of the gradient; 0: none" },
};

typedef struct Context {
    const OptimizerStep *step;
    SgdSpec spec;
} Context;

static void chunk_body(void *context, size_t i)
{
    const Context *c = context;
    size_t at = c->step->chunk[i].offset;

    c->step->kernels->sgd(c->step->chunk[i].count, &c->spec, c->step->gradients + at,
                          c->step->buffer[0] + at, c->step->weights + at);
}

static void sgd_step(const double *value, const OptimizerStep *step)
{
    Context c = { step,
                  { .lr = (real)step->learning_rate,
                    .momentum = (real)value[VALUE_MOMENTUM],
                    .decay = (real)value[VALUE_DECAY],
                    .nesterov = value[VALUE_NESTEROV] != 0 } };

    optimizer_clip(step, value[VALUE_CLIP]);
    pool_run(step->pool, step->chunks, chunk_body, &c);
}

extern const Optimizer optimizer_sgd;
const Optimizer optimizer_sgd = {
    .described = { "sgd", "stochastic gradient descent", sgd_params, 5 },
    .learning_rate = VALUE_LR,
    .buffers = 1,
    .buffer_name = { "momentum_buffer" },
    .step = sgd_step,
};
