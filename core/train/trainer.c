/*
 * The position is the number of steps done, and nothing else: epoch, order of images, augmentation
 * and learning rate follow from it, which is what makes a resumed run equal to an uninterrupted
 * one. Batches come from a thread of their own, which lives as long as a run.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/train/trainer_internal.h"

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

Status trainer_make(const TrainSpec *spec, const Dataset *dataset, Trainer **ret, Error *err)
{
    Trainer *t = calloc(1, sizeof *t);
    Status s;

    if (t == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a trainer");
    t->spec = *spec;
    t->dataset = dataset;
    t->optimizer = optimizer_table[spec->optimizer.row];
    s = kernels_select(NULL, &t->kernels, err);
    if (s == STATUS_OK)
        s = trainer_plan(t, err);
    if (s == STATUS_OK && spec->profile > 0)
        s = profile_new(&t->network.graph, spec->profile, &t->profile, err);
    if (s != STATUS_OK)
        trainer_free(t);
    else
        *ret = t;
    return s;
}

Status trainer_estimate(const TrainSpec *spec, const Dataset *dataset, TrainEstimate *ret,
                        Error *err)
{
    Trainer *t = NULL;
    Status s = trainer_make(spec, dataset, &t, err);

    if (s != STATUS_OK)
        return s;
    *ret = (TrainEstimate){
        .memory_bytes = trainer_bytes(t),
        .parameters = graph_parameters(&t->network.graph),
        .step_flops = 3 * t->plan[0].forward_flops,
        .steps = t->steps,
        .steps_per_epoch = t->steps_per_epoch,
    };
    trainer_free(t);
    return STATUS_OK;
}

Status trainer_print(const TrainSpec *spec, const Dataset *dataset, const Roofline *limits,
                     FILE *out, Error *err)
{
    Trainer *t = NULL;
    Status s = trainer_make(spec, dataset, &t, err);

    if (s == STATUS_OK)
        plan_print(&t->plan[0], limits, out);
    trainer_free(t);
    return s;
}

Status trainer_new(const TrainSpec *spec, const Dataset *dataset, Pool *pool, Trainer **ret,
                   Error *err)
{
    Trainer *t = NULL;
    Status s = trainer_make(spec, dataset, &t, err);

    if (s == STATUS_OK)
        s = trainer_begin(t, pool, err);
    if (s != STATUS_OK)
        trainer_free(t);
    else
        *ret = t;
    return s;
}

Status trainer_begin(Trainer *t, Pool *pool, Error *err)
{
    Status s = trainer_take(t, err);

    if (s != STATUS_OK)
        return s;
    t->pool = pool;
    /* Reads every training image of a folder set: not for an estimate. */
    loader_measure_normal(&t->loader);
    memcpy(t->network.mean, t->loader.mean, sizeof t->network.mean);
    memcpy(t->network.std, t->loader.std, sizeof t->network.std);
    network_randomise(&t->network, t->spec.seed);
    whiten(&t->network, &t->loader, pool, t->work);
    return STATUS_OK;
}

void trainer_free(Trainer *t)
{
    if (t == NULL)
        return;
    arena_clear(&t->arena);
    profile_free(t->profile);
    free(t->chunk);
    for (int split = 0; split < SPLIT_COUNT; split++)
        evaluator_clear(&t->evaluator[split]);
    for (uint32_t i = 0; i < t->plans; i++)
        plan_clear(&t->plan[i]);
    network_clear(&t->network);
    composer_clear(&t->composer);
    loader_clear(&t->loader);
    free(t);
}

uint64_t trainer_step(const Trainer *t)
{
    return t->step;
}

const Profile *trainer_profile(const Trainer *t)
{
    return t->profile;
}

/* --- the loop --- */

static Status evaluate(Trainer *t, Split split, ComposeLook look, const atomic_int *stop,
                       Score *ret, Error *err)
{
    RunContext context = trainer_context(t);
    Error why = { 0 };
    Status s;

    t->evaluator[split].look = look;
    s = evaluator_run(&t->evaluator[split], &context, t->work, stop, ret, &why);

    return s == STATUS_OK ? s
                          : error_set(err, s, "after step %llu: %s", (unsigned long long)t->step,
                                      error_message(&why));
}

/* Validation images without and with their explanations. One of the two is what the audience has
 * seen already: it is not looked at twice. */
static Status evaluate_looks(Trainer *t, const atomic_int *stop, EpochReport *report, Error *err)
{
    bool sees_images = t->spec.compose->input == COMPOSE_IMAGE;

    if (sees_images)
        report->raw = report->val;
    else
        report->reweighted = report->val;
    if (!composer_can(&t->composer, LOOK_REWEIGHTED))
        return STATUS_OK;
    return evaluate(t, SPLIT_VAL, sees_images ? LOOK_REWEIGHTED : LOOK_RAW, stop,
                    sees_images ? &report->reweighted : &report->raw, err);
}

/* A loss shows what the step before did, and there may be no images to evaluate: a checkpoint of
 * weights that are not finite must not take the place of a good one. */
static Status check_weights(const Trainer *t, Error *err)
{
    const Graph *g = &t->network.graph;

    for (uint32_t i = 0; i < g->weights; i++)
        for (size_t k = 0; k < g->weight[i].count; k++)
            if (!isfinite(t->network.weights[g->weight[i].offset + k]))
                return error_set(err, STATUS_DIVERGED,
                                 "after step %llu: the weight \"%s\" is not finite",
                                 (unsigned long long)t->step, g->weight[i].name);
    return STATUS_OK;
}

/* Evaluates and reports; then the sums start anew, so that the checkpoint written in the report has
 * them empty. */
static Status end_epoch(Trainer *t, const Observer *observer, double rate, Error *err)
{
    EpochReport report = {
        .step = t->step,
        .epoch = (uint32_t)((t->step + t->steps_per_epoch - 1) / t->steps_per_epoch),
        .train = { .images = (uint32_t)t->sums.images,
                   .loss = t->sums.loss / (double)t->sums.images,
                   .accuracy = (double)t->sums.correct / (double)t->sums.images },
        .images_per_second = rate
    };
    Status s;

    lookahead_end_epoch(t);
    s = evaluate(t, SPLIT_VAL, LOOK_TRAINED, observer->stop, &report.val, err);
    if (s == STATUS_OK)
        s = evaluate(t, SPLIT_TEST, LOOK_TRAINED, observer->stop, &report.test, err);
    if (s == STATUS_OK && t->spec.compose != NULL)
        s = evaluate_looks(t, observer->stop, &report, err);
    if (s == STATUS_OK)
        s = check_weights(t, err);
    if (s == STATUS_OK && t->companion.measure != NULL)
        s = t->companion.measure(t->companion.context, observer->stop, err);
    if (s != STATUS_OK)
        return s;
    t->sums = (PassSums){ 0 };
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

    if (atomic_load(observer->stop) == STOP_DRAIN && observer->drain != NULL) {
        s = check_weights(t, err);
        if (s == STATUS_OK)
            s = observer->drain(observer->context, t, t->step, err);
    }
    return s != STATUS_OK ? s
                          : error_set(err, STATUS_STOPPED, "stopped after step %llu",
                                      (unsigned long long)t->step);
}

static bool must_stop(const Observer *observer)
{
    return observer->stop != NULL && atomic_load(observer->stop) != STOP_NO;
}

static Status run_steps(Trainer *t, Prefetch *batches, const Observer *observer, Error *err)
{
    double epoch_began = seconds();
    uint64_t before = t->sums.images; /* a resumed epoch has some already */

    while (t->step < t->steps || epoch_is_due(t)) {
        StepReport report;
        Batch batch;
        double began = seconds();
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
            epoch_began = seconds();
            before = 0;
            continue;
        }
        if (!prefetch_next(batches, &batch))
            return error_set(err, STATUS_INTERNAL, "the batches ended before the steps");
        profile_begin(t->profile);
        s = t->companion.before == NULL ? STATUS_OK
                                        : t->companion.before(t->companion.context, &batch, err);
        if (s != STATUS_OK)
            return s;
        s = trainer_train(t, &batch, &report, err);
        profile_end(t->profile);
        if (s != STATUS_OK)
            return s;
        report.images_per_second = batch.count / (seconds() - began);
        if (observer->step != NULL)
            observer->step(observer->context, &report);
    }
    return STATUS_OK;
}

Status trainer_run(Trainer *t, const Observer *observer, Error *err)
{
    PrefetchSpec spec = trainer_batches(t);
    Prefetch *batches = NULL;
    Status s = t->step < t->steps ? prefetch_new(&spec, &batches, err) : STATUS_OK;

    profile_limit(t->profile, t->steps - t->step);
    if (s == STATUS_OK)
        s = run_steps(t, batches, observer, err);
    prefetch_free(batches);
    return s;
}
