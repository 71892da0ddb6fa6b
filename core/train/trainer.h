/*
 * trainer -- trains a classifier: the loop, its numbers, and where it can stop and go on.
 *
 * trainer_new() plans everything (memory is known, then taken, and no step allocates);
 * trainer_run() works until the end or until it is told to stop. A Trainer belongs to one thread;
 * its pool's threads work for it. The core reports through an Observer and logs nothing. Same spec,
 * same machine -> the same bits, for any number of threads, interrupted or not.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "core/base/parallel.h"
#include "core/base/param.h"
#include "core/data/loader.h"

typedef struct TrainSpec {
    Choice model;                 /* row of model_table (core/nn/model.h) */
    Choice optimizer;             /* row of optimizer_table (core/train/optimizer.h) */
    Choice schedule;              /* row of schedule_table (core/train/schedule.h) */
    Choice augment[AUGMENTS_MAX]; /* rows of augmentation_table */
    uint32_t augments;
    DataSpec data;
    double epochs; /* may be fractional: ceil(epochs * steps per epoch) steps */
    uint32_t batch_size;
    bool drop_last;
    uint64_t seed;
} TrainSpec;

/* What a job will need, known before it starts. */
typedef struct TrainEstimate {
    uint64_t memory_bytes; /* weights, optimiser state, activations, gradients, batches */
    uint64_t parameters;
    double step_flops; /* one training step of a full batch */
    uint64_t steps, steps_per_epoch;
} TrainEstimate;

/* What a caller may ask a running trainer for, in the int that Observer.stop points to. */
typedef enum StopRequest {
    STOP_NO = 0,
    STOP_DRAIN = 1,  /* write a checkpoint, then return STATUS_STOPPED */
    STOP_CANCEL = 2, /* return STATUS_STOPPED at once */
} StopRequest;

typedef struct StepReport {
    uint64_t step; /* 1-based: steps done */
    uint64_t steps;
    uint32_t epoch; /* whole epochs done before this step */
    uint32_t epochs;
    double loss, accuracy, learning_rate; /* of this batch; loss is the mean over its images */
    double images_per_second;             /* of this step */
} StepReport;

typedef struct Score {
    uint32_t images; /* 0: not measured */
    double loss, accuracy;
} Score;

typedef struct EpochReport {
    uint64_t step;
    uint32_t epoch; /* 1-based: epochs done; the last may be a partial one */
    Score train;    /* running means over the epoch's batches */
    Score val, test;
    double images_per_second;
} EpochReport;

typedef struct Trainer Trainer;

typedef struct Observer {
    void *context;
    const atomic_int *stop; /* a StopRequest, polled at each step; NULL: never */
    void (*step)(void *context, const StepReport *report);
    /*
     * At an epoch's end: write the checkpoint (trainer_save()), record the metrics. A failure ends
     * the run with it.
     */
    Status (*epoch)(void *context, Trainer *trainer, const EpochReport *report, Error *err);
    /* On STOP_DRAIN, in the middle of an epoch: write the checkpoint. */
    Status (*drain)(void *context, Trainer *trainer, uint64_t step, Error *err);
} Observer;

/* Plans without taking memory. STATUS_INVALID or STATUS_BAD_SHAPE name the parameter by JSON
 * pointer below the job's params. */
CHECKED Status trainer_estimate(const TrainSpec *spec, const Dataset *dataset, TrainEstimate *ret,
                                Error *err);

/* `dataset` and `pool` are borrowed until trainer_free(). Weights start as the seed says. */
CHECKED Status trainer_new(const TrainSpec *spec, const Dataset *dataset, Pool *pool, Trainer **ret,
                           Error *err);
void trainer_free(Trainer *trainer); /* NULL is fine */

/* Goes on from a checkpoint of the same spec. STATUS_CORRUPT or STATUS_INVALID leave the trainer as
 * it was new. */
CHECKED Status trainer_restore(Trainer *trainer, const char *path, Error *err);
/* Writes a checkpoint durably: weights, optimiser state, step, the epoch's running sums. */
CHECKED Status trainer_save(Trainer *trainer, const char *path, Error *err);
uint64_t trainer_step(const Trainer *trainer); /* steps done */

/* STATUS_OK: finished. STATUS_STOPPED: as asked. STATUS_DIVERGED: the loss is not finite; the
 * message names the step. */
CHECKED Status trainer_run(Trainer *trainer, const Observer *observer, Error *err);

/*
 * Loss and accuracy of a checkpoint on one split, in eval mode. The checkpoint's model must fit the
 * data set (classes, channels, size): STATUS_INVALID says what differs. `stop` may be NULL.
 */
CHECKED Status evaluate_checkpoint(const char *path, const Dataset *dataset, const DataSpec *data,
                                   Split split, uint32_t batch_size, Pool *pool,
                                   const atomic_int *stop, Score *ret, Error *err);
