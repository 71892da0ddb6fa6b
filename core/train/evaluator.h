/*
 * evaluator -- loss and accuracy of a network on one split, in eval mode, in batches of
 * EVALUATOR_BATCH.
 */
#pragma once

#include <stdatomic.h>

#include "core/graph/run.h"
#include "core/nn/network.h"
#include "core/train/trainer.h"

enum { EVALUATOR_BATCH = 128, EVALUATOR_PLANS = 2 };

/* Plans for one split: full batches, and the rest. */
typedef struct Evaluator {
    const Network *network;
    const Loader *loader;
    Split split;
    uint32_t images, batch;
    uint32_t plans;
    Plan plan[EVALUATOR_PLANS];
    size_t bytes; /* of memory that run needs, beside the network */
} Evaluator;

/* One-hot rows of `target` from labels. */
void batch_targets(const uint16_t *labels, uint32_t count, Tensor target);
/* Sums over `count` images: their losses, and how many logits have their maximum at the label. */
void batch_score(const Tensor *losses, const Tensor *logits, const uint16_t *labels,
                 double *loss_sum, uint64_t *correct);

/* `images` 0: the split is empty, and evaluator_run() answers a Score of no images. */
CHECKED Status evaluator_init(Evaluator *evaluator, const Network *network, const Loader *loader,
                              Split split, uint32_t batch, Error *err);
void evaluator_clear(Evaluator *evaluator);
/* `memory`: evaluator->bytes. STATUS_STOPPED where *stop asks for it. */
CHECKED Status evaluator_run(Evaluator *evaluator, const RunContext *context, void *memory,
                             const atomic_int *stop, Score *ret, Error *err);
