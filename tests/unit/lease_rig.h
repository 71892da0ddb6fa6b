/* lease_rig -- what the tests of lease share: a small job, what it reports, and what has moved. */
#pragma once

#include "tests/unit/train_rig.h"

#include "core/lease/lease_internal.h"
#include "tests/unit/allocations.h"

/* ---- A job ---- */

static inline ExplanationSpec explanation_of(const char *source)
{
    int row = explanation_find(source);

    assert_true(row >= 0);
    return explanation_default((uint32_t)row);
}

/* 64 images, 32 of them for validation: two steps of 16 an epoch. */
static inline LeaseSpec *small(LeaseMode mode)
{
    LeaseSpec *spec = calloc(1, sizeof *spec);

    assert_non_null(spec);
    *spec = (LeaseSpec){ .mode = mode,
                         .rounds = 2,
                         .epochs = 2,
                         .lambda = 1,
                         .explanation = explanation_of("pgd_l2"),
                         .explainer = tiny(),
                         .audience = tiny(),
                         .architecture_optimizer = choice(optimizer_table, "adam"),
                         .architecture_epochs = 1,
                         .data = { .val_images = 32, .split_seed = 1 },
                         .seed = 9 };
    spec->explanation.steps = 2;
    spec->explainer.model = choice(model_table, "supernet");
    snprintf(spec->explainer.model.text, sizeof spec->explainer.model.text, "s3");
    set(&spec->explainer.model, model_table, "channels", 2);
    set(&spec->explainer.model, model_table, "cells", 3);
    set(&spec->explainer.optimizer, optimizer_table, "clip", 5);
    set(&spec->architecture_optimizer, optimizer_table, "lr", 0.01);
    spec->explainer.epochs = 1.5;
    spec->audience.epochs = 1;
    return spec;
}

static inline Lease *lease_of(const LeaseSpec *spec, Pool *pool)
{
    Lease *lease = NULL;
    Error err = { 0 };

    if (lease_new(spec, &data, pool, &lease, &err) != STATUS_OK)
        fail_msg("%s: %s", err.detail[0].pointer, error_message(&err));
    return lease;
}

enum { STEPS_MAX = 128, EPOCHS_MAX = 32 };

typedef struct Reports {
    LeaseStepReport step[STEPS_MAX];
    LeaseEpochReport epoch[EPOCHS_MAX];
    unsigned steps, epochs, drains;
    unsigned first, second; /* allocations behind the first two steps of a run */
    uint64_t stop_at;
    atomic_int stop;
    const char *checkpoint; /* written on drain */
    void (*each)(Lease *lease, const LeaseStepReport *report);
    Lease *lease;
} Reports;

static inline void on_step(void *context, const LeaseStepReport *report)
{
    Reports *r = context;

    assert_true(r->steps < STEPS_MAX);
    if (r->steps < 2)
        *(r->steps == 0 ? &r->first : &r->second) = atomic_load(&allocations);
    r->step[r->steps++] = *report;
    if (r->each != NULL)
        r->each(r->lease, report);
    if (report->step == r->stop_at)
        atomic_store(&r->stop, STOP_DRAIN);
}

static inline Status on_epoch(void *context, Lease *lease, const LeaseEpochReport *report,
                              Error *err)
{
    Reports *r = context;

    (void)err;
    assert_true(r->epochs < EPOCHS_MAX);
    assert_int_equal(lease_step(lease), report->step);
    r->epoch[r->epochs++] = *report;
    return STATUS_OK;
}

static inline Status on_drain(void *context, Lease *lease, uint64_t step, Error *err)
{
    Reports *r = context;

    assert_int_equal(lease_step(lease), step);
    r->drains++;
    return lease_save(lease, r->checkpoint, err);
}

static inline Status run(Lease *lease, Reports *r, Error *err)
{
    LeaseObserver observer = {
        .context = r, .stop = &r->stop, .step = on_step, .epoch = on_epoch, .drain = on_drain
    };

    r->lease = lease;
    return lease_run(lease, &observer, err);
}

static inline void run_well(Lease *lease, Reports *r)
{
    Error err = { 0 };

    if (run(lease, r, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
}

static inline Reports *reports(void)
{
    Reports *r = calloc(1, sizeof *r);

    assert_non_null(r);
    return r;
}

/* A lease with everything about it. */
typedef struct Job {
    LeaseSpec *spec;
    Pool *pool;
    Reports *r;
    Lease *lease;
} Job;

/* Takes `spec` over. */
static inline Job job_of(LeaseSpec *spec)
{
    Job job = { .spec = spec, .pool = pool_of(1), .r = reports() };

    job.lease = lease_of(spec, job.pool);
    return job;
}

/* The same, run to its end. */
static inline Job job_run(LeaseSpec *spec)
{
    Job job = job_of(spec);

    run_well(job.lease, job.r);
    return job;
}

static inline void job_end(Job *job)
{
    lease_free(job->lease);
    pool_free(job->pool);
    free(job->spec);
    free(job->r);
    *job = (Job){ 0 };
}

/* ---- What moves ---- */

enum {
    EXPLAINER_WEIGHTS = 1,
    EXPLAINER_STATISTICS = 2,
    ALPHAS = 4,
    AUDIENCE_WEIGHTS = 8,
    AUDIENCE_STATISTICS = 16,
    PARTS = 5
};

/* FNV-1a over the bits of all numbers of a role, which lie as the weights of `n` do. */
static inline uint64_t digest_of(const Network *n, const real *numbers, WeightRole role)
{
    uint64_t hash = 14695981039346656037u;

    for (uint32_t i = 0; i < n->graph.weights; i++) {
        const GraphWeight *w = &n->graph.weight[i];
        const uint8_t *bytes = (const uint8_t *)(numbers + w->offset);

        for (size_t k = 0; w->spec.role == role && k < w->count * sizeof *numbers; k++)
            hash = (hash ^ bytes[k]) * 1099511628211u;
    }
    return hash;
}

static inline uint64_t digest(const Network *n, WeightRole role)
{
    return digest_of(n, n->weights, role);
}

static uint64_t digests[PARTS];

/* The parts that are others than at the last call. */
static inline unsigned moved(const Lease *lease)
{
    const Network *e = &lease->trainer[LEASE_EXPLAINER]->network,
                  *w = &lease->trainer[LEASE_AUDIENCE]->network;
    const uint64_t now[PARTS] = { digest(e, WEIGHT_TRAINED), digest(e, WEIGHT_STATISTIC),
                                  digest(e, WEIGHT_ARCHITECTURE), digest(w, WEIGHT_TRAINED),
                                  digest(w, WEIGHT_STATISTIC) };
    unsigned ret = 0;

    for (int i = 0; i < PARTS; i++)
        ret |= (now[i] != digests[i]) << i;
    memcpy(digests, now, sizeof now);
    return ret;
}

/* ---- Files ---- */

typedef char Path[256];

static inline void path_in(const Scratch *scratch, const char *name, Path ret)
{
    snprintf(ret, sizeof(Path), "%s", scratch_path(scratch, name));
}
