/*
 * measure -- what jobs share that measure a checkpoint image by image (quality, robustness): their
 * samples outlast an interruption, and a mean is reported with its interval. On the worker's thread
 * only, but for the checks.
 */
#pragma once

#include "core/quality/samples.h"
#include "server/jobs/job_reference.h"
#include "server/jobs/run.h"

/*
 * When it is submitted: the checkpoint's file, to be freed, whose data set the job inherits
 * (reference_inherit()), and the data set of the completed `data`.
 */
CHECKED Status measure_check(Store *store, Datasets *datasets, const CheckpointRef *ref,
                             DataParams *data, uint64_t seed, char **ret_path,
                             const Dataset **ret_dataset, Error *err);
/*
 * Completes the number of images, at "/images": what was left out is MEASURE_IMAGES or, where the
 * split has fewer, all there are.
 */
enum { MEASURE_IMAGES = 1000 };
CHECKED Status measure_images(const DataParams *data, Split split, OptionalUint *images,
                              Error *err);

typedef struct Measure {
    JobRun *run;
    char *path; /* of the checkpoint */
    Checkpoint checkpoint;
    Samples *samples; /* borrowed */
} Measure;

/* When it runs: begins, opens the data set and finds the checkpoint, for `work`. */
CHECKED Status measure_run(JobRun *run, const DataParams *data, const CheckpointRef *ref,
                           uint32_t images,
                           Status (*work)(Measure *measure, const Dataset *dataset, Error *err),
                           Error *err);
/* Takes up the samples where the job was interrupted before; a file that is not whole or of
 * something else is left out. */
void measure_resume(Measure *measure, Samples *samples);
/* For quality_run() and robustness_run(), context Measure: progress, and the samples stored now and
 * then. */
CHECKED Status measure_batch(void *context, uint32_t images, Error *err);
/* Behind the run: where it was stopped to drain, its samples are stored. Answers `s`, or what else
 * went wrong. */
CHECKED Status measure_end(Measure *measure, Status s, Error *err);

/* Reports key, key/low and key/high at the checkpoint's step, beside the numbers of the job that it
 * is about; answers {"mean", "low", "high", "n"}. */
json_t *measure_report(const Measure *measure, const char *key, const Interval *interval);
/* The same object alone. */
json_t *interval_json(const Interval *interval);
