/* Buffer 0 is the mean gradient, buffer 1 the mean square. */
#include "core/train/adam.h"

typedef struct Context {
    const OptimizerStep *step;
    const double *value;
    bool decoupled;
} Context;

static void chunk_body(void *context, size_t i)
{
    const Context *c = context;
    const WeightChunk *chunk = &c->step->chunk[i];
    const GroupStep *group = &c->step->group[chunk->group];
    AdamSpec spec = { .lr = group->learning_rate,
                      .beta1 = c->value[ADAM_BETA1],
                      .beta2 = c->value[ADAM_BETA2],
                      .eps = c->value[ADAM_EPS],
                      .decay = c->value[ADAM_DECAY] * group->decay_scale,
                      .decoupled = c->decoupled,
                      .step = c->step->number };

    if (group->moves)
        c->step->kernels->adam(chunk->count, &spec, c->step->gradients + chunk->offset,
                               c->step->buffer[0] + chunk->offset,
                               c->step->buffer[1] + chunk->offset,
                               c->step->weights + chunk->offset);
}

void adam_step(const double *value, const OptimizerStep *step, bool decoupled)
{
    Context c = { step, value, decoupled };

    optimizer_clip(step, value[ADAM_CLIP]);
    pool_run(step->pool, step->chunks, chunk_body, &c);
}
