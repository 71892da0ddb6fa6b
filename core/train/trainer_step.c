/* One batch: forward, loss, backward, update. */
#include <math.h>
#include <string.h>

#include "core/train/trainer_internal.h"

RunContext trainer_context(const Trainer *t)
{
    uint64_t epoch = t->step / t->steps_per_epoch;

    return (RunContext){ .pool = t->pool,
                         .kernels = t->kernels,
                         .weights = t->network.weights,
                         .gradients = t->gradients,
                         .seed = t->spec.seed,
                         .step = (uint32_t)t->step,
                         .progress = (double)epoch / t->spec.epochs,
                         .profile = profile_running(t->profile) };
}

double trainer_groups(const Trainer *t, GroupStep group[PARAM_GROUPS_MAX + 1])
{
    double rate = t->spec.optimizer.value[t->optimizer->learning_rate] *
                  schedule_factor(&t->spec.schedule, t->step, t->steps, t->steps_per_epoch);

    group[0] = (GroupStep){ .moves = true, .learning_rate = rate, .decay_scale = 1 };
    for (uint32_t i = 0; i < t->spec.groups; i++) {
        const ParamGroup *g = &t->spec.group[i];

        group[i + 1] =
            (GroupStep){ .moves = g->epochs == 0 ||
                                  (double)t->step < g->epochs * (double)t->steps_per_epoch,
                         .learning_rate = rate * g->lr_scale,
                         .decay_scale = g->decay_scale };
    }
    return rate;
}

/* Answers the learning rate of this step. */
static double update_weights(Trainer *t)
{
    GroupStep group[PARAM_GROUPS_MAX + 1];
    double rate = trainer_groups(t, group);
    OptimizerStep step = { .pool = t->pool,
                           .kernels = t->kernels,
                           .chunk = t->chunk,
                           .chunks = t->chunks,
                           .group = group,
                           .number = t->step + 1,
                           .chunk_sum = t->chunk_sum,
                           .weights = t->network.weights,
                           .gradients = t->gradients };

    memcpy(step.buffer, t->buffer, sizeof step.buffer);
    t->optimizer->step(t->spec.optimizer.value, &step);
    return rate;
}

Status trainer_train(Trainer *t, const Batch *batch, StepReport *ret, Error *err)
{
    const Plan *plan = &t->plan[batch->count != t->plan[0].spec.images];
    RunContext context = trainer_context(t);
    PassSums sums;
    double rate;
    Status s;

    lookahead_before(t);
    s = pass_forward(&t->network, plan, &context, batch, t->step + 1, &sums, err);
    if (s != STATUS_OK)
        return s;
    pass_backward(&t->network, plan, &context);
    rate = update_weights(t);
    t->network.batches++;
    t->step++;
    lookahead_after(t);
    t->sums.loss += sums.loss;
    t->sums.correct += sums.correct;
    t->sums.images += sums.images;
    *ret = (StepReport){ .step = t->step,
                         .steps = t->steps,
                         .epoch = (uint32_t)batch->epoch,
                         .epochs = (uint32_t)ceil(t->spec.epochs),
                         .loss = sums.loss / batch->count,
                         .accuracy = (double)sums.correct / batch->count,
                         .learning_rate = rate };
    return STATUS_OK;
}
