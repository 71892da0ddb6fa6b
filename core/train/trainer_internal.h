/*
 * trainer_internal -- the Trainer's insides, shared by trainer.c (the run), trainer_plan.c (what it
 * will take), trainer_step.c (one batch), trainer_file.c (checkpoints), lookahead.c and whiten.c.
 */
#pragma once

#include "core/data/prefetch.h"
#include "core/train/evaluator.h"
#include "core/train/optimizer.h"
#include "core/train/pass.h"
#include "core/train/schedule.h"
#include "core/train/trainer.h"

struct Trainer {
    TrainSpec spec;
    const Dataset *dataset;
    Pool *pool;
    const Kernels *kernels;
    Loader loader;
    Network network;
    const Optimizer *optimizer;

    uint64_t steps, steps_per_epoch;
    uint32_t plans; /* full batches, and the rest where there is one */
    Plan plan[2];
    Evaluator evaluator[SPLIT_COUNT]; /* of val and test */
    WeightChunk *chunk;               /* group 0: the rest; i + 1: spec.group[i] */
    size_t chunks;

    Arena arena; /* everything below */
    real *gradients, *buffer[OPTIMIZER_BUFFERS_MAX];
    real *slow; /* lookahead's; NULL without */
    double *chunk_sum;
    void *work; /* one plan, one evaluation, one checkpoint or the whitening at a time */
    size_t work_bytes;

    uint64_t step; /* steps done */
    /* Over the running epoch; part of a checkpoint, so that a resumed epoch reports what an
     * uninterrupted one would. */
    PassSums sums;
};

/* --- trainer_plan.c --- */

/* Network, plans, evaluators and sizes, of a trainer that has its spec, data set, pool or NULL,
 * optimiser and kernels. What it leaves on failure trainer_free() clears. */
CHECKED Status trainer_plan(Trainer *trainer, Error *err);
/* Takes the planned memory. */
CHECKED Status trainer_take(Trainer *trainer, Error *err);
/* All that trainer_take() and a run take. */
uint64_t trainer_bytes(const Trainer *trainer);
/* The batches of a run from `trainer`'s step on. */
PrefetchSpec trainer_batches(const Trainer *trainer);

/* --- trainer_step.c --- */

/* What runs of this step need. */
RunContext trainer_context(const Trainer *trainer);
/* Forward, loss, backward, update. STATUS_DIVERGED where the loss is not finite. */
CHECKED Status trainer_train(Trainer *trainer, const Batch *batch, StepReport *ret, Error *err);

/* --- lookahead.c --- */

/* In front of a step, which may be the first that lookahead covers, and behind it. */
void lookahead_before(Trainer *trainer);
void lookahead_after(Trainer *trainer);
/* At an epoch's end; a second time changes nothing. */
void lookahead_end_epoch(Trainer *trainer);
/* Whether the slow weights hold this one. */
bool lookahead_covers(const GraphWeight *weight);

/* --- whiten.c --- */

/* Whether the network has a layer that is to be whitened: STATUS_INVALID at "/model" where it
 * cannot be. ret_bytes: of working memory. */
CHECKED Status whiten_plan(const Network *network, const Loader *loader, size_t *ret_bytes,
                           Error *err);
/* Fills the weights with INIT_WHITEN. */
void whiten(const Network *network, const Loader *loader, Pool *pool, void *memory);
