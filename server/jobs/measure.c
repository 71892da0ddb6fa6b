/*
 * Samples are an artefact of the job, "samples", written every SAVE_IMAGES images and on drain.
 * They belong to one checkpoint, by its digest.
 */
#include "server/jobs/measure.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/train/trainer.h"
#include "server/codec/json.h"
#include "server/config/log.h"
#include "server/store/artefacts.h"

enum { SAVE_IMAGES = 256 };
static const char artefact_name[] = "samples";

/* --- at submission --- */

Status measure_check(Store *store, Datasets *datasets, const CheckpointRef *ref, DataParams *data,
                     uint64_t seed, char **ret_path, const Dataset **ret_dataset, Error *err)
{
    Checkpoint checkpoint;
    const Dataset *dataset;
    Job job = { 0 };
    Status s = reference_checkpoint(store, ref, "/checkpoint", &job, &checkpoint, err);

    if (s == STATUS_OK)
        s = reference_inherit(data, &job, err);
    job_clear(&job);
    if (s == STATUS_OK)
        s = data_params_resolve(data, datasets, seed, &dataset, err);
    if (s != STATUS_OK)
        return s;
    *ret_path = store_checkpoint_file(store, &checkpoint);
    if (*ret_path == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a path");
    *ret_dataset = dataset;
    return STATUS_OK;
}

Status measure_images(const DataParams *data, Split split, OptionalUint *images, Error *err)
{
    uint64_t all[SPLIT_COUNT];

    data_params_images(data, all);
    if (all[split] == 0)
        return error_at(err, STATUS_INVALID, "/split", "there are no images in split \"%s\"",
                        split_names[split]);
    if (!images->set)
        *images = (OptionalUint){ true, all[split] < MEASURE_IMAGES ? all[split] : MEASURE_IMAGES };
    if (images->value > all[split])
        return error_at(err, STATUS_INVALID, "/images", "there are %llu images in split \"%s\"",
                        (unsigned long long)all[split], split_names[split]);
    return STATUS_OK;
}

/* --- the run --- */

static Status measure_begin(Measure *m, const CheckpointRef *ref, uint32_t images, Error *err)
{
    const JobProgress at = { .steps = images };
    Job job = { 0 };
    uint64_t step;
    Status s = run_begin(m->run, &at, NULL, NULL, &step, err);

    if (s == STATUS_OK)
        s = reference_checkpoint(m->run->store, ref, "/checkpoint", &job, &m->checkpoint, err);
    job_clear(&job);
    if (s == STATUS_OK)
        s = reference_file(m->run->store, ref, "/checkpoint", &m->path, err);
    return s;
}

Status measure_run(JobRun *run, const DataParams *data, const CheckpointRef *ref, uint32_t images,
                   Status (*work)(Measure *measure, const Dataset *dataset, Error *err), Error *err)
{
    Measure measure = { .run = run };
    const Dataset *dataset = NULL;
    Status s = data_params_open(data, run->datasets, &dataset, err);

    if (s == STATUS_OK)
        s = measure_begin(&measure, ref, images, err);
    if (s == STATUS_OK)
        s = work(&measure, dataset, err);
    free(measure.path);
    return s;
}

void measure_resume(Measure *measure, Samples *samples)
{
    JobRun *run = measure->run;
    Artefact artefact;
    Error err = { 0 };
    char *path = NULL;
    Status s = store_artefact_find(run->store, run->id, artefact_name, &artefact, NULL);

    measure->samples = samples;
    if (s != STATUS_OK)
        return;
    s = store_artefact_verify(run->store, &artefact, &err);
    if (s == STATUS_OK)
        path = store_artefact_file(run->store, &artefact);
    if (path != NULL)
        s = samples_restore(samples, measure->checkpoint.sha256, path, &err);
    free(path);
    if (s != STATUS_OK)
        log_write(LOG_WARNING, "job %lld: its samples are left out: %s", (long long)run->id,
                  error_message(&err));
    run_report(run, samples->done, NULL, 0);
}

static Status store_samples(Measure *measure, Error *err)
{
    Store *store = measure->run->store;
    Artefact artefact;
    char *path = NULL;
    Status s = store_artefact_prepare(store, measure->run->id, artefact_name, &artefact, err);

    if (s != STATUS_OK)
        return s;
    path = store_artefact_file(store, &artefact);
    s = path == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                     : samples_save(measure->samples, measure->checkpoint.sha256, path, err);
    free(path);
    return s == STATUS_OK ? store_artefact_add(store, &artefact, err) : s;
}

Status measure_batch(void *context, uint32_t images, Error *err)
{
    Measure *measure = context;

    run_report(measure->run, images, NULL, 0);
    return images % SAVE_IMAGES == 0 ? store_samples(measure, err) : STATUS_OK;
}

Status measure_end(Measure *measure, Status s, Error *err)
{
    if (s == STATUS_STOPPED && atomic_load(measure->run->stop) == STOP_DRAIN &&
        measure->samples->done > 0) {
        Error why = { 0 };
        Status stored = store_samples(measure, &why);

        if (stored != STATUS_OK) {
            error_clear(err);
            return error_set(err, stored, "%s", error_message(&why));
        }
    }
    return s;
}

/* --- what it reports --- */

json_t *interval_json(const Interval *i)
{
    return json_pack("{s:o, s:o, s:o, s:I}", "mean", json_number(i->mean), "low",
                     json_number(i->low), "high", json_number(i->high), "n", (json_int_t)i->n);
}

json_t *measure_report(const Measure *measure, const char *key, const Interval *interval)
{
    const uint64_t step = measure->checkpoint.step;
    MetricValue values[] = { run_value(key, "low", step, interval->low),
                             run_value(key, "high", step, interval->high),
                             { .step = step, .value = interval->mean } };

    snprintf(values[2].key, sizeof values[2].key, "%s", key);
    run_report(measure->run, measure->samples->done, values, sizeof values / sizeof *values);
    return interval_json(interval);
}
