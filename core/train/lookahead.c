/* In front of `start_epoch` nobody looks at the slow weights; then they begin as a copy. */
#include <math.h>
#include <string.h>

#include "core/train/trainer_internal.h"

bool lookahead_covers(const GraphWeight *weight)
{
    return weight->spec.role == WEIGHT_TRAINED || weight->spec.role == WEIGHT_STATISTIC;
}

/* The first step, from 0, that is covered. */
static uint64_t first_step(const Trainer *t)
{
    return t->spec.lookahead.start_epoch * t->steps_per_epoch;
}

void lookahead_before(Trainer *t)
{
    if (t->slow != NULL && t->step == first_step(t))
        memcpy(t->slow, t->network.weights, t->network.graph.weight_numbers * sizeof *t->slow);
}

typedef struct Average {
    Trainer *trainer;
    real keep; /* the slow weights' share */
} Average;

static void average_weight(void *context, size_t unit)
{
    const Average *a = context;
    const GraphWeight *w = &a->trainer->network.graph.weight[unit];
    real *fast = a->trainer->network.weights + w->offset, *slow = a->trainer->slow + w->offset;

    for (size_t i = 0; i < w->count && lookahead_covers(w); i++)
        fast[i] = slow[i] = a->keep * slow[i] + (1 - a->keep) * fast[i];
}

static void average(Trainer *t, double keep)
{
    Average a = { t, (real)keep };

    pool_run(t->pool, t->network.graph.weights, average_weight, &a);
}

void lookahead_after(Trainer *t)
{
    const LookaheadSpec *spec = &t->spec.lookahead;

    if (t->slow != NULL && t->step > first_step(t) && t->step % spec->every == 0)
        average(t, spec->decay * pow((double)t->step / (double)t->steps, spec->ramp));
}

void lookahead_end_epoch(Trainer *t)
{
    if (t->slow != NULL && t->step > first_step(t))
        average(t, 1);
}
