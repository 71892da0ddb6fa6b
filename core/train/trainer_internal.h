/* trainer_internal -- the Trainer's insides, shared by trainer.c (the loop) and trainer_file.c
 * (checkpoints). */
#pragma once

#include "core/train/evaluator.h"
#include "core/train/optimizer.h"
#include "core/train/schedule.h"
#include "core/train/trainer.h"

/* Sums over the running epoch; part of a checkpoint, so that a resumed epoch reports what an
 * uninterrupted one would. */
typedef struct EpochSums {
    double loss;
    uint64_t correct, images;
} EpochSums;

struct Trainer {
    TrainSpec spec;
    const Dataset *dataset;
    Pool *pool;
    const Kernels *kernels;
    Loader loader;
    Network network;
    const Optimizer *optimizer;
    const Schedule *schedule;

    uint64_t steps, steps_per_epoch;
    uint32_t plans; /* full batches, and the rest where there is one */
    Plan plan[2];
    Evaluator evaluator[SPLIT_COUNT]; /* of val and test */
    WeightChunk *chunk;
    size_t chunks;

    Arena arena; /* everything below */
    real *gradients, *buffer[OPTIMIZER_BUFFERS_MAX];
    double *chunk_sum;
    uint32_t *order; /* [train images] of `order_epoch` */
    uint16_t *labels;
    void *work; /* one plan, one evaluation or one checkpoint at a time */
    size_t work_bytes;

    uint64_t step; /* steps done */
    EpochSums sums;
};
