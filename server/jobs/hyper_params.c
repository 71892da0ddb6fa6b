/* One way to run a Lease, whatever kind of job it is. Each epoch's genotype and alphas are in the
 * store before its checkpoint is. */
#include "server/jobs/hyper_params.h"

#include <math.h>
#include <stdio.h>

#include "server/jobs/search_params.h"
#include "server/jobs/train_params.h"
#include "server/store/genotypes.h"

void hyper_params_spec(HyperParams *p, LeaseSpec *ret)
{
    explanation_params_resolve(&p->explanation);
    ret->hypergrad = (Hypergrad)p->hypergrad;
    ret->lambda = p->lambda;
    ret->explanation = explanation_params_spec(&p->explanation);
}

/* The channels of the audience's input: of all maps at once, those of so many images. */
static uint32_t audience_channels(const LeaseSpec *spec, const Dataset *d)
{
    bool all = spec->explanation.classes == CLASSES_ALL &&
               !explanation_is_attack(spec->explanation.source);
    uint32_t maps = spec->input == COMPOSE_IMAGE ? 0 : all ? d->classes : 1;

    return d->channels * (maps + (spec->input != COMPOSE_MAPS ? 1 : 0));
}

/* Both networks, from their files where they have some. */
static Status watch(const LeaseSpec *spec, const Dataset *d, const TimelapseParams *timelapse,
                    JobEstimate *ret, Error *err)
{
    const ModelInput input = { d->height, d->width, d->channels, d->classes };
    TimelapseNetwork networks[LEASE_NETWORKS] = {
        [LEASE_EXPLAINER] = { spec->explainer_checkpoint, &spec->explainer.model, input },
        [LEASE_AUDIENCE] = { spec->audience_checkpoint, &spec->audience.model, input },
    };
    Loader loader = { 0 };
    uint32_t images;
    Status s;

    if (timelapse->images == 0)
        return STATUS_OK;
    networks[LEASE_AUDIENCE].input.channels = audience_channels(spec, d);
    s = loader_init(&loader, d, &spec->data, err);
    if (s != STATUS_OK)
        return s;
    images = loader.images[SPLIT_TEST];
    loader_clear(&loader);
    return timelapse_check(timelapse, images, networks, LEASE_NETWORKS, ret, err);
}

Status lease_job_estimate(const LeaseSpec *spec, const Dataset *dataset,
                          const TimelapseParams *timelapse, JobEstimate *ret, Error *err)
{
    LeaseEstimate estimate;
    Status s = lease_estimate(spec, dataset, &estimate, err);

    if (s != STATUS_OK)
        return s;
    *ret = (JobEstimate){ .memory_bytes = estimate.memory_bytes,
                          .flops = estimate.flops,
                          .steps = estimate.steps,
                          .epochs = estimate.epochs };
    return watch(spec, dataset, timelapse, ret, err);
}

/* --- the observer --- */

typedef struct LeaseJob {
    JobRun *run;
    uint32_t checkpoint_every;
    Lease *lease;
    const LeaseEpochReport *epoch; /* being written */
} LeaseJob;

static Status restore(void *context, const char *path, Error *err)
{
    return lease_restore(context, path, err);
}

static Status save_partial(void *context, const char *path, Error *err)
{
    const LeaseJob *job = context;

    return lease_save(job->lease, path, err);
}

/* The checkpoint, and what of it outlives it. */
static Status save_epoch(void *context, const char *path, Error *err)
{
    const LeaseJob *job = context;
    const LeaseEpochReport *e = job->epoch;
    Status s = lease_save(job->lease, path, err);

    if (s == STATUS_OK && e->architecture)
        s = run_alphas(job->run, e->epoch, e->step, &e->alphas, err);
    if (s == STATUS_OK && e->architecture)
        s = run_genotype(job->run, e->epoch, &e->genotype, NULL, err);
    return s;
}

static void on_step(void *context, const LeaseStepReport *r)
{
    const LeaseJob *job = context;
    MetricValue values[2 * LEASE_NETWORKS + 2];
    size_t count = 0;

    for (int n = 0; n < LEASE_NETWORKS; n++) {
        char prefix[METRIC_KEY_MAX];

        snprintf(prefix, sizeof prefix, "%s/train", lease_network_names[n]);
        score_values(prefix, r->step, &r->train[n], values, &count);
    }
    if (!isnan(r->val_loss))
        values[count++] = run_value("explainer/val", "step_loss", r->step, r->val_loss);
    values[count++] = run_value("throughput", "images_per_second", r->step, r->images_per_second);
    run_report(job->run, r->step, values, count);
}

enum { EPOCH_VALUES = 2 * (LEASE_NETWORKS + LEASE_NETWORKS * 2 * LEASE_IMAGES + 2) + CELL_KINDS };

static size_t epoch_values(const LeaseEpochReport *r, MetricValue values[EPOCH_VALUES])
{
    size_t count = 0;

    for (int n = 0; n < LEASE_NETWORKS; n++) {
        char prefix[METRIC_KEY_MAX];

        if (r->train[n].images > 0) {
            snprintf(prefix, sizeof prefix, "%s/train", lease_network_names[n]);
            values[count++] = run_value(prefix, "epoch_loss", r->step, r->train[n].loss);
            values[count++] = run_value(prefix, "epoch_accuracy", r->step, r->train[n].accuracy);
        }
        for (Split split = SPLIT_VAL; split <= SPLIT_TEST; split++)
            for (int i = 0; i < LEASE_IMAGES; i++) {
                snprintf(prefix, sizeof prefix, "%s/%s/%s", lease_network_names[n],
                         split_names[split], lease_images_names[i]);
                score_values(prefix, r->step, &r->score[n][split][i], values, &count);
            }
    }
    for (Split split = SPLIT_VAL; split <= SPLIT_TEST; split++)
        score_values(split_names[split], r->step, &r->score[LEASE_EXPLAINER][split][LEASE_RAW],
                     values, &count);
    if (r->architecture)
        entropy_values(r->step, r->entropy, values, &count);
    return count;
}

static Status on_epoch(void *context, Lease *lease, const LeaseEpochReport *r, Error *err)
{
    LeaseJob *job = context;
    const Score *own = &r->score[LEASE_EXPLAINER][SPLIT_VAL][LEASE_RAW];
    MetricValue values[EPOCH_VALUES];
    RunCheckpoint checkpoint = epoch_checkpoint(r->step, r->epoch, own, job->checkpoint_every);

    checkpoint.values = values;
    checkpoint.count = epoch_values(r, values);
    (void)lease;
    job->epoch = r;
    return run_checkpoint(job->run, &checkpoint, save_epoch, job, err);
}

static Status on_drain(void *context, Lease *lease, uint64_t step, Error *err)
{
    LeaseJob *job = context;

    (void)lease;
    return run_drain(job->run, step, save_partial, job, err);
}

/* The last epoch's genotype, which may have been another attempt's. */
static Status conclude(const LeaseJob *job, uint32_t epochs, Error *err)
{
    int64_t id = 0;
    Error why = { 0 };
    Status s = store_genotype_of(job->run->store, job->run->id, epochs, &id, &why);

    if (s == STATUS_NOT_FOUND) { /* no architecture */
        run_result(job->run, json_object());
        return STATUS_OK;
    }
    if (s != STATUS_OK)
        return error_set(err, s, "%s", error_message(&why));
    run_result(job->run,
               json_pack("{s:I, s:I}", "genotype", (json_int_t)id, "epoch", (json_int_t)epochs));
    return STATUS_OK;
}

static Status run_lease(LeaseJob *job, const LeaseEstimate *estimate, Error *err)
{
    const LeaseObserver observer = { .context = job,
                                     .stop = job->run->stop,
                                     .step = on_step,
                                     .epoch = on_epoch,
                                     .drain = on_drain };
    const JobProgress at = { .epochs = estimate->epochs, .steps = estimate->steps };
    uint64_t step;
    Status s = run_begin(job->run, &at, restore, job->lease, &step, err);

    if (s == STATUS_OK)
        s = lease_run(job->lease, &observer, err);
    return s == STATUS_OK ? conclude(job, estimate->epochs, err) : s;
}

Status lease_job_run(JobRun *run, const LeaseSpec *spec, const Dataset *dataset,
                     uint32_t checkpoint_every, Error *err)
{
    LeaseJob job = { .run = run, .checkpoint_every = checkpoint_every };
    LeaseEstimate estimate;
    Status s = lease_estimate(spec, dataset, &estimate, err);

    if (s == STATUS_OK)
        s = lease_new(spec, dataset, run->pool, &job.lease, err);
    if (s == STATUS_OK)
        s = run_lease(&job, &estimate, err);
    lease_free(job.lease);
    return s;
}
