/*
 * The position is the number of steps done and that of the epochs reported, and nothing else: whose
 * step it is, its images, rates and draws follow. Explanations of whole splits are no part of it:
 * they follow from the explainer, which stands still while they are used, and are made again after
 * a resume.
 */
#include "core/lease/lease.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/lease/lease_internal.h"

const char *const lease_mode_names[] = { "staged", "joint", NULL };
const char *const hypergrad_names[] = { "full", "first", NULL };
const char *const lease_network_names[] = { "explainer", "audience", NULL };
const char *const lease_images_names[] = { "raw", "reweighted", NULL };
const char *const lease_phase_names[] = { "explainer", "audience", "architecture", "joint", NULL };

/* --- life --- */

static Status lease_make(const LeaseSpec *spec, const Dataset *dataset, Lease **ret, Error *err)
{
    Lease *l = calloc(1, sizeof *l);
    Status s;

    if (l == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a lease");
    l->spec = *spec;
    l->dataset = dataset;
    s = kernels_select(NULL, &l->kernels, err);
    if (s == STATUS_OK)
        s = lease_plan(l, err);
    if (s != STATUS_OK)
        lease_free(l);
    else
        *ret = l;
    return s;
}

/* A training step, and where the architecture moves: two of them and one more, and with the
 * hypergradient some nine of the explainer and five of the audience. */
static double flops_of(const Lease *l)
{
    enum { TRAIN = 3, FIRST = 2, FULL_EXPLAINER = 22, FULL_AUDIENCE = 12 };
    const double e = l->trainer[LEASE_EXPLAINER]->plan[0].forward_flops;
    const double w = l->trainer[LEASE_AUDIENCE]->plan[0].forward_flops;
    const double moves = (double)lease_moves_before(l, l->steps);
    double steps[LEASE_NETWORKS];

    for (int n = 0; n < LEASE_NETWORKS; n++)
        steps[n] = TRAIN * (double)l->trainer[n]->steps;
    return steps[LEASE_EXPLAINER] * e + steps[LEASE_AUDIENCE] * w +
           moves * (l->full ? FULL_EXPLAINER * e + FULL_AUDIENCE * w : FIRST * e);
}

Status lease_estimate(const LeaseSpec *spec, const Dataset *dataset, LeaseEstimate *ret, Error *err)
{
    Lease *l = NULL;
    Status s = lease_make(spec, dataset, &l, err);

    if (s != STATUS_OK)
        return s;
    *ret = (LeaseEstimate){
        .memory_bytes = lease_bytes(l),
        .flops = flops_of(l),
        .steps = l->steps,
        .epochs = l->epochs,
    };
    for (int n = 0; n < LEASE_NETWORKS; n++)
        ret->parameters[n] = graph_parameters(&l->trainer[n]->network.graph);
    lease_free(l);
    return STATUS_OK;
}

Status lease_new(const LeaseSpec *spec, const Dataset *dataset, Pool *pool, Lease **ret, Error *err)
{
    Lease *l = NULL;
    Status s = lease_make(spec, dataset, &l, err);

    if (s != STATUS_OK)
        return s;
    l->pool = pool;
    s = lease_take(l, err);
    if (s != STATUS_OK)
        lease_free(l);
    else
        *ret = l;
    return s;
}

void lease_free(Lease *l)
{
    if (l == NULL)
        return;
    lease_unfeed(l);
    hyper_clear(&l->hyper);
    architect_clear(&l->architect);
    explanation_clear(&l->live);
    for (int split = 0; split < SPLIT_COUNT; split++) {
        evaluator_clear(&l->reweighted[split]);
        split_explainer_clear(&l->explainer[split]);
    }
    composer_clear(&l->composer);
    for (int n = 0; n < LEASE_NETWORKS; n++) {
        trainer_free(l->trainer[n]);
        safetensors_close(l->file[n]);
    }
    for (int split = 0; split < SPLIT_COUNT; split++)
        mapset_clear(&l->maps[split]);
    arena_clear(&l->arena);
    free(l);
}

uint64_t lease_step(const Lease *l)
{
    return l->step;
}

/* --- the loop --- */

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool must_stop(const LeaseObserver *observer)
{
    return observer->stop != NULL && atomic_load(observer->stop) != STOP_NO;
}

static Status stopped(Lease *l, const LeaseObserver *observer, Error *err)
{
    Status s = STATUS_OK;

    if (atomic_load(observer->stop) == STOP_DRAIN && observer->drain != NULL) {
        s = lease_check_weights(l, err);
        if (s == STATUS_OK)
            s = observer->drain(observer->context, l, l->step, err);
    }
    return s != STATUS_OK ? s
                          : error_set(err, STATUS_STOPPED, "stopped after step %llu",
                                      (unsigned long long)l->step);
}

static bool epoch_is_due(const Lease *l)
{
    return lease_epochs_ended(l, l->step) > l->ended;
}

/* Evaluates and reports; the checkpoint written in the report has the epoch behind it. */
static Status end_epoch(Lease *l, const LeaseObserver *observer, double rate, Error *err)
{
    LeaseEpochReport *report = calloc(1, sizeof *report);
    Status s = report == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a report")
                              : lease_measure(l, observer->stop, report, err);

    if (s == STATUS_OK) {
        memset(l->sums, 0, sizeof l->sums);
        l->ended++;
        report->images_per_second = rate;
        if (observer->epoch != NULL)
            s = observer->epoch(observer->context, l, report, err);
    }
    free(report);
    return s;
}

/* Batches, and what the audience's are composed of. */
static Status prepare(Lease *l, const LeasePlace *place, const atomic_int *stop, Error *err)
{
    Status s = STATUS_OK;

    for (Split split = 0; split < SPLIT_COUNT && s == STATUS_OK; split++)
        if (place->phase == LEASE_PHASE_AUDIENCE)
            s = lease_explain(l, split, stop, err);
    return s == STATUS_OK ? lease_feed(l, place, err) : s;
}

/* Images of a step. */
static uint32_t batch_of(const Lease *l, LeasePhase phase)
{
    return phase == LEASE_PHASE_AUDIENCE ? l->spec.audience.batch_size
                                         : l->spec.explainer.batch_size;
}

static Status run_step(Lease *l, const LeaseObserver *observer, Error *err)
{
    const LeasePlace place = lease_place(l, l->step);
    LeaseStepReport report;
    double began = seconds();
    Status s = prepare(l, &place, observer->stop, err);

    if (s == STATUS_OK)
        s = lease_train(l, &place, &report, err);
    if (s != STATUS_OK)
        return s;
    report.images_per_second = batch_of(l, place.phase) / (seconds() - began);
    if (observer->step != NULL)
        observer->step(observer->context, &report);
    return STATUS_OK;
}

static Status run(Lease *l, const LeaseObserver *observer, Error *err)
{
    double began = seconds();
    uint64_t first = l->step;
    Status s = STATUS_OK;

    while (s == STATUS_OK && (l->step < l->steps || epoch_is_due(l))) {
        if (must_stop(observer))
            return stopped(l, observer, err);
        if (epoch_is_due(l)) {
            const uint32_t batch = batch_of(l, lease_place(l, l->step - 1).phase);
            const double images = (double)(l->step - first) * batch;

            s = end_epoch(l, observer, images / (seconds() - began), err);
            began = seconds();
            first = l->step;
        } else {
            s = run_step(l, observer, err);
        }
        if (s == STATUS_STOPPED && must_stop(observer)) {
            error_clear(err);
            return stopped(l, observer, err);
        }
    }
    return s;
}

Status lease_run(Lease *l, const LeaseObserver *observer, Error *err)
{
    Status s = run(l, observer, err);

    lease_unfeed(l);
    return s;
}
