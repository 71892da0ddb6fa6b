/*
 * job_reference -- what a job reads that other jobs wrote: found when it is submitted, and again
 * when it runs. Any thread.
 */
#pragma once

#include "server/jobs/data_params.h"
#include "server/store/checkpoints.h"

/*
 * The job `id`, which must be over; and have succeeded, or stopped early, where `whole`.
 * STATUS_INVALID at `pointer` says what is wrong. The caller ends *ret with job_clear().
 */
CHECKED Status reference_job(Store *store, uint64_t id, bool whole, const char *pointer, Job *ret,
                             Error *err);
/* A finished job's checkpoint of one network, and the job. All that is wrong with the reference is
 * `pointer`. The caller ends *ret_job with job_clear(). */
CHECKED Status reference_checkpoint(Store *store, const CheckpointRef *ref, const char *pointer,
                                    Job *ret_job, Checkpoint *ret, Error *err);
/* The same when the job runs: the digest is checked, and the file's path, which the caller frees,
 * is all that is wanted. */
CHECKED Status reference_file(Store *store, const CheckpointRef *ref, const char *pointer,
                              char **ret_path, Error *err);
/*
 * Where `job` used the same data set, its image_size, train_images, val_images and split_seed are
 * taken over, and saying something else is refused: validation images must not become training
 * images by a typing error.
 */
CHECKED Status reference_inherit(DataParams *data, const Job *job, Error *err);
