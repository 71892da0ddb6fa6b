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
    const double *value;
} Context;

static void chunk_body(void *context, size_t i)
{
    const Context *c = context;
    const WeightChunk *chunk = &c->step->chunk[i];
    const GroupStep *group = &c->step->group[chunk->group];
    SgdSpec spec = { .lr = (real)group->learning_rate,
                     .momentum = (real)c->value[VALUE_MOMENTUM],
                     .decay = (real)(c->value[VALUE_DECAY] * group->decay_scale),
                     .nesterov = c->value[VALUE_NESTEROV] != 0 };

    if (group->moves)
        c->step->kernels->sgd(chunk->count, &spec, c->step->gradients + chunk->offset,
                              c->step->buffer[0] + chunk->offset, c->step->weights + chunk->offset);
}

static void sgd_step(const double *value, const OptimizerStep *step)
{
    Context c = { step, value };

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
