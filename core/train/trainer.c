/*
 * trainer_plan() builds network, plans and evaluators without taking tensor memory, so that an
 * estimate and a real trainer come from the same code; trainer_take() then takes one arena of
 * exactly the planned size. Training plans, evaluation and checkpoint writing never run at the same
 * time and share one region of it, `work`.
 *
 * The position is the number of steps done, and nothing else: epoch, order of images, augmentation
 * and learning rate follow from it, which is what makes a resumed run equal to an uninterrupted
 * one.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/rng.h"
#include "core/train/trainer_internal.h"

enum { CHUNK_NUMBERS = 65536 };

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* --- planning --- */

static Status count_steps(Trainer *t, Error *err)
{
    uint64_t images = t->loader.images[SPLIT_TRAIN], batch = t->spec.batch_size;

    t->steps_per_epoch = t->spec.drop_last ? images / batch : (images + batch - 1) / batch;
    if (t->steps_per_epoch == 0)
        return error_at(err, STATUS_INVALID, "/batch_size",
                        "with drop_last, %llu training images fill no batch of %llu",
                        (unsigned long long)images, (unsigned long long)batch);
    t->steps = (uint64_t)ceil(t->spec.epochs * (double)t->steps_per_epoch);
    return STATUS_OK;
}

/* Statistics over one value have no variance. */
static Status check_norms(const Plan *plan, Error *err)
{
    for (NodeId i = 0; i < plan->graph->nodes; i++) {
        const Node *node = &plan->graph->node[i];

        if (node->op != NULL && (node->op->flags & OP_COUNTS_BATCHES) != 0 &&
            op_rows(&plan->node[i].shapes.out) < 2)
            return error_at(
                err, STATUS_INVALID, "/batch_size",
                "a batch of %u image(s) gives the batch norm \"%s\" a single value to normalise",
                plan->spec.images, node->name);
    }
    return STATUS_OK;
}

static Status plan_training(Trainer *t, Error *err)
{
    uint32_t images = t->loader.images[SPLIT_TRAIN], batch = t->spec.batch_size;
    uint32_t sizes[2] = { images < batch ? images : batch,
                          images > batch && !t->spec.drop_last ? images % batch : 0 };

    for (; t->plans < 2 && sizes[t->plans] > 0; t->plans++) {
        PlanSpec spec = { .images = sizes[t->plans],
                          .training = true,
                          .gradients = GRADIENT_TRAINED,
                          .output = t->network.training_loss,
                          .gradient_to = NODE_NONE,
                          .keep = { t->network.logits, NODE_NONE } };
        Status s = plan_init(&t->plan[t->plans], &t->network.graph, &spec, err);

        if (s != STATUS_OK)
            return s;
        t->work_bytes = larger(t->work_bytes, t->plan[t->plans].bytes);
        s = check_norms(&t->plan[t->plans], err);
        if (s != STATUS_OK) {
            t->plans++;
            return s;
        }
    }
    return STATUS_OK;
}

static Status cut_weights(Trainer *t, Error *err)
{
    const Graph *g = &t->network.graph;

    for (int pass = 0; pass < 2; pass++) {
        t->chunks = 0;
        for (uint32_t i = 0; i < g->weights; i++)
            for (size_t at = 0; at < g->weight[i].count && g->weight[i].spec.role == WEIGHT_TRAINED;
                 at += CHUNK_NUMBERS) {
                size_t rest = g->weight[i].count - at;

                if (pass == 1)
                    t->chunk[t->chunks] =
                        (WeightChunk){ g->weight[i].offset + at,
                                       rest < CHUNK_NUMBERS ? rest : CHUNK_NUMBERS };
                t->chunks++;
            }
        if (pass == 0) {
            t->chunk = calloc(t->chunks + 1, sizeof *t->chunk);
            if (t->chunk == NULL)
                return error_set(err, STATUS_NO_MEMORY, "cannot allocate a trainer");
        }
    }
    return STATUS_OK;
}

static Status trainer_plan(Trainer *t, Error *err)
{
    const Dataset *d = t->dataset;
    ModelInput input = { d->height, d->width, d->channels, d->classes };
    Error model_error = { 0 };
    Status s = loader_init(&t->loader, d, &t->spec.data, err);

    if (s == STATUS_OK)
        s = count_steps(t, err);
    if (s != STATUS_OK)
        return s;
    if (network_init(&t->network, &t->spec.model, &input, &model_error) != STATUS_OK)
        return error_at(err, model_error.status, "/model", "%s", error_message(&model_error));
    memcpy(t->network.mean, d->mean, sizeof t->network.mean);
    memcpy(t->network.std, d->std, sizeof t->network.std);
    s = plan_training(t, err);
    for (Split split = SPLIT_VAL; split <= SPLIT_TEST && s == STATUS_OK; split++) {
        s = evaluator_init(&t->evaluator[split], &t->network, &t->loader, split, EVALUATOR_BATCH,
                           err);
        t->work_bytes = larger(t->work_bytes, t->evaluator[split].bytes);
    }
    if (s == STATUS_OK)
        s = cut_weights(t, err);
    /* A checkpoint is put together there: weights and optimiser state. */
    t->work_bytes = larger(t->work_bytes, (1 + t->optimizer->buffers) *
                                              t->network.graph.weight_numbers * sizeof(float));
    return s;
}

/* The arena's size, without the weights that the network has of its own. */
static size_t arena_bytes(const Trainer *t)
{
    size_t numbers = arena_round(t->network.graph.weight_numbers * sizeof(real));

    return numbers * (1 + t->optimizer->buffers) + arena_round(t->chunks * sizeof(double)) +
           arena_round(t->loader.images[SPLIT_TRAIN] * sizeof(uint32_t)) +
           arena_round(t->spec.batch_size * sizeof(uint16_t)) + arena_round(t->work_bytes);
}

static Status trainer_take(Trainer *t, Error *err)
{
    size_t numbers = t->network.graph.weight_numbers * sizeof(real);
    Status s = network_take_weights(&t->network, err);

    if (s == STATUS_OK)
        s = arena_init(&t->arena, arena_bytes(t), err);
    if (s != STATUS_OK)
        return s;
    t->gradients = arena_take(&t->arena, numbers);
    for (uint32_t i = 0; i < t->optimizer->buffers; i++)
        t->buffer[i] = arena_take(&t->arena, numbers);
    t->chunk_sum = arena_take(&t->arena, t->chunks * sizeof(double));
    t->order = arena_take(&t->arena, t->loader.images[SPLIT_TRAIN] * sizeof(uint32_t));
    t->labels = arena_take(&t->arena, t->spec.batch_size * sizeof(uint16_t));
    t->work = arena_take(&t->arena, t->work_bytes);
    for (uint32_t i = 0; i < t->plans; i++)
        plan_bind(&t->plan[i], t->work);
    return STATUS_OK;
}

static Status trainer_make(const TrainSpec *spec, const Dataset *dataset, Trainer **ret, Error *err)
{
    Trainer *t = calloc(1, sizeof *t);
    Status s;

    if (t == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a trainer");
    t->spec = *spec;
    t->dataset = dataset;
    t->optimizer = optimizer_table[spec->optimizer.row];
    t->schedule = schedule_table[spec->schedule.row];
    s = kernels_select(NULL, &t->kernels, err);
    if (s == STATUS_OK)
        s = trainer_plan(t, err);
    if (s != STATUS_OK)
        trainer_free(t);
    else
        *ret = t;
    return s;
}

Status trainer_estimate(const TrainSpec *spec, const Dataset *dataset, TrainEstimate *ret,
                        Error *err)
{
    Trainer *t;
    Status s = trainer_make(spec, dataset, &t, err);

    if (s != STATUS_OK)
        return s;
    *ret = (TrainEstimate){
        .memory_bytes =
            arena_bytes(t) + arena_round(t->network.graph.weight_numbers * sizeof(real)),
        .parameters = graph_parameters(&t->network.graph),
        .step_flops = 3 * t->plan[0].forward_flops,
        .steps = t->steps,
        .steps_per_epoch = t->steps_per_epoch,
    };
    trainer_free(t);
    return STATUS_OK;
}

Status trainer_new(const TrainSpec *spec, const Dataset *dataset, Pool *pool, Trainer **ret,
                   Error *err)
{
    Trainer *t;
    Status s = trainer_make(spec, dataset, &t, err);

    if (s != STATUS_OK)
        return s;
    t->pool = pool;
    s = trainer_take(t, err);
    if (s != STATUS_OK) {
        trainer_free(t);
        return s;
    }
    network_randomise(&t->network, spec->seed);
    *ret = t;
    return STATUS_OK;
}

void trainer_free(Trainer *t)
{
    if (t == NULL)
        return;
    arena_clear(&t->arena);
    free(t->chunk);
    for (int split = 0; split < SPLIT_COUNT; split++)
        evaluator_clear(&t->evaluator[split]);
    for (uint32_t i = 0; i < t->plans; i++)
        plan_clear(&t->plan[i]);
    network_clear(&t->network);
    loader_clear(&t->loader);
    free(t);
}

uint64_t trainer_step(const Trainer *t)
{
    return t->step;
}

/* --- the loop --- */

static RunContext run_context(const Trainer *t)
{
    return (RunContext){ .pool = t->pool,
                         .kernels = t->kernels,
                         .weights = t->network.weights,
                         .gradients = t->gradients,
                         .seed = t->spec.seed,
                         .step = (uint32_t)t->step };
}

static void shuffle(Trainer *t, uint64_t epoch)
{
    Rng rng = rng_at(t->spec.seed, RNG_SHUFFLE, (uint32_t)epoch, 0);

    rng_permutation(&rng, t->loader.images[SPLIT_TRAIN], t->order);
}

/* Answers the learning rate of this step. */
static double update_weights(Trainer *t)
{
    double base = t->spec.optimizer.value[t->optimizer->learning_rate];
    double factor =
        t->schedule->factor(t->spec.schedule.value, t->step, t->steps, t->steps_per_epoch);
    OptimizerStep step = { .pool = t->pool,
                           .kernels = t->kernels,
                           .chunk = t->chunk,
                           .chunks = t->chunks,
                           .chunk_sum = t->chunk_sum,
                           .learning_rate = base * factor,
                           .weights = t->network.weights,
                           .gradients = t->gradients };

    memcpy(step.buffer, t->buffer, sizeof step.buffer);
    t->optimizer->step(t->spec.optimizer.value, &step);
    return step.learning_rate;
}

/* One batch: forward, loss, backward, update. */
static Status train_step(Trainer *t, StepReport *ret, Error *err)
{
    uint64_t epoch = t->step / t->steps_per_epoch,
             at = t->step % t->steps_per_epoch * t->spec.batch_size;
    uint64_t rest = t->loader.images[SPLIT_TRAIN] - at;
    uint32_t count = rest < t->spec.batch_size ? (uint32_t)rest : t->spec.batch_size;
    Plan *plan = &t->plan[count != t->plan[0].spec.images];
    BatchSpec batch = { .split = SPLIT_TRAIN,
                        .items = t->order + at,
                        .count = count,
                        .augment = t->spec.augment,
                        .augments = t->spec.augments,
                        .seed = t->spec.seed,
                        .epoch = (uint32_t)epoch };
    RunContext context = run_context(t);
    Tensor losses, logits, seed;
    EpochSums sums = { 0 };
    double rate;

    loader_batch(&t->loader, t->pool, &batch, plan_tensor(plan, t->network.image).data, t->labels);
    batch_targets(t->labels, count, plan_tensor(plan, t->network.target));
    run_forward(plan, &context);
    losses = plan_tensor(plan, t->network.training_loss);
    logits = plan_tensor(plan, t->network.logits);
    batch_score(&losses, &logits, t->labels, &sums.loss, &sums.correct);
    if (!isfinite(sums.loss))
        return error_set(err, STATUS_DIVERGED, "the loss is not finite at step %llu",
                         (unsigned long long)(t->step + 1));
    seed = plan_gradient(plan, t->network.training_loss);
    for (uint32_t i = 0; i < count; i++)
        seed.data[i] = 1 / (real)count;
    memset(t->gradients, 0, t->network.graph.weight_numbers * sizeof *t->gradients);
    run_backward(plan, &context);
    rate = update_weights(t);
    t->network.batches++;
    t->step++;
    t->sums.loss += sums.loss;
    t->sums.correct += sums.correct;
    t->sums.images += count;
    *ret = (StepReport){ .step = t->step,
                         .steps = t->steps,
                         .epoch = (uint32_t)epoch,
                         .epochs = (uint32_t)ceil(t->spec.epochs),
                         .loss = sums.loss / count,
                         .accuracy = (double)sums.correct / count,
                         .learning_rate = rate };
    return STATUS_OK;
}

/* Evaluates and reports; then the sums start anew, so that the checkpoint written in the report has
 * them empty. */
static Status end_epoch(Trainer *t, const Observer *observer, double rate, Error *err)
{
    RunContext context = run_context(t);
    EpochReport report = {
        .step = t->step,
        .epoch = (uint32_t)((t->step + t->steps_per_epoch - 1) / t->steps_per_epoch),
        .train = { .images = (uint32_t)t->sums.images,
                   .loss = t->sums.loss / (double)t->sums.images,
                   .accuracy = (double)t->sums.correct / (double)t->sums.images },
        .images_per_second = rate
    };
    Status s = evaluator_run(&t->evaluator[SPLIT_VAL], &context, t->work, observer->stop,
                             &report.val, err);

    if (s == STATUS_OK)
        s = evaluator_run(&t->evaluator[SPLIT_TEST], &context, t->work, observer->stop,
                          &report.test, err);
    if (s != STATUS_OK)
        return s;
    if (!isfinite(report.val.loss) || !isfinite(report.test.loss))
        return error_set(err, STATUS_DIVERGED,
                         "the evaluation's loss is not finite after step %llu",
                         (unsigned long long)t->step);
    t->sums = (EpochSums){ 0 };
    return observer->epoch == NULL ? STATUS_OK
                                   : observer->epoch(observer->context, t, &report, err);
}

static bool epoch_is_due(const Trainer *t)
{
    return t->sums.images > 0 && (t->step % t->steps_per_epoch == 0 || t->step == t->steps);
}

static Status stopped(Trainer *t, const Observer *observer, Error *err)
{
    Status s = STATUS_OK;

    if (atomic_load(observer->stop) == STOP_DRAIN && observer->drain != NULL)
        s = observer->drain(observer->context, t, t->step, err);
    return s != STATUS_OK ? s
                          : error_set(err, STATUS_STOPPED, "stopped after step %llu",
                                      (unsigned long long)t->step);
}

static bool must_stop(const Observer *observer)
{
    return observer->stop != NULL && atomic_load(observer->stop) != STOP_NO;
}

Status trainer_run(Trainer *t, const Observer *observer, Error *err)
{
    double epoch_began = seconds();
    uint64_t before = t->sums.images; /* a resumed epoch has some already */

    shuffle(t, t->step / t->steps_per_epoch);
    while (t->step < t->steps || epoch_is_due(t)) {
        StepReport report;
        double began = seconds();
        uint64_t images;
        Status s;

        if (must_stop(observer))
            return stopped(t, observer, err);
        /* After the last step of an epoch, or resumed in front of its evaluation. */
        if (epoch_is_due(t)) {
            double rate = (double)(t->sums.images - before) / (began - epoch_began);

            s = end_epoch(t, observer, rate, err);
            if (s == STATUS_STOPPED && must_stop(observer)) {
                error_clear(err);
                return stopped(t, observer, err);
            }
            if (s != STATUS_OK)
                return s;
            shuffle(t, t->step / t->steps_per_epoch);
            epoch_began = seconds();
            before = 0;
            continue;
        }
        images = t->sums.images;
        s = train_step(t, &report, err);
        if (s != STATUS_OK)
            return s;
        report.images_per_second = (double)(t->sums.images - images) / (seconds() - began);
        if (observer->step != NULL)
            observer->step(observer->context, &report);
    }
    return STATUS_OK;
}
