/* One batch: forward, loss, backward, update. The batch lies with the prefetching thread and is
 * copied into the plan's inputs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/train/diverged.h"
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
                         .progress = (double)epoch / t->spec.epochs };
}

static void set_inputs(const Network *n, const Plan *plan, const Batch *batch)
{
    Tensor image = plan_tensor(plan, n->image), target = plan_tensor(plan, n->target);

    memcpy(image.data, batch->images, shape_count(&image.shape) * sizeof *image.data);
    memcpy(target.data, batch->targets, shape_count(&target.shape) * sizeof *target.data);
}

/* How each group moves in this step; answers the rate of those in none. */
static double set_groups(const Trainer *t, GroupStep *group)
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
    double rate = set_groups(t, group);
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

static Status diverged(const Trainer *t, const Plan *plan, const RunContext *context,
                       const Batch *batch, Error *err)
{
    char where[DIVERGED_TEXT_MAX];

    set_inputs(&t->network, plan,
               batch); /* the run may have used their memory for something else */
    diverged_where(plan, context, where);
    return error_set(err, STATUS_DIVERGED, "the loss is not finite at step %llu: %s",
                     (unsigned long long)(t->step + 1), where);
}

static void backward(Trainer *t, const Plan *plan, const RunContext *context)
{
    Tensor seed = plan_gradient(plan, t->network.training_loss);
    size_t count = seed.shape.dim[0];

    for (size_t i = 0; i < count; i++)
        seed.data[i] = 1 / (real)count;
    memset(t->gradients, 0, t->network.graph.weight_numbers * sizeof *t->gradients);
    run_backward(plan, context);
}

/* The losses' sum and the right answers of one batch. */
static EpochSums score(const Trainer *t, const Plan *plan, const Batch *batch)
{
    Tensor losses = plan_tensor(plan, t->network.training_loss);
    Tensor logits = plan_tensor(plan, t->network.logits);
    size_t classes = logits.shape.dim[1];
    EpochSums sums = { .images = batch->count };

    for (uint32_t i = 0; i < batch->count; i++) {
        sums.loss += (double)losses.data[i];
        sums.correct += top_class(logits.data + i * classes, classes) == batch->labels[i];
    }
    return sums;
}

Status trainer_train(Trainer *t, const Batch *batch, StepReport *ret, Error *err)
{
    const Plan *plan = &t->plan[batch->count != t->plan[0].spec.images];
    RunContext context = trainer_context(t);
    EpochSums sums;
    double rate;

    lookahead_before(t);
    set_inputs(&t->network, plan, batch);
    run_forward(plan, &context);
    sums = score(t, plan, batch);
    if (!isfinite(sums.loss))
        return diverged(t, plan, &context, batch, err);
    backward(t, plan, &context);
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
