/*
 * evaluator -- loss and accuracy of a network on one split, in eval mode, in batches:
 * a trainer's are of EVALUATOR_BATCH.
 *
 * What is random even here (the noise operation) is drawn for the batch and the place in it,
 * whatever the view and the job's seed: an evaluation in batches of the same size repeats itself,
 * whoever asks for it.
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
    TestViews views;
    ComposeLook look; /* what an audience sees; may change between runs */
    uint32_t images, batch;
    uint32_t plans;
    Plan plan[EVALUATOR_PLANS];
    size_t plan_bytes; /* of the larger one */
    size_t bytes;      /* of memory that run needs, beside the network */
} Evaluator;

/* The index of the largest of `classes` logits; the first of equal ones. */
size_t top_class(const real *logits, size_t classes);

/* A split without images is fine: evaluator_run() answers a Score of no images. */
CHECKED Status evaluator_init(Evaluator *evaluator, const Network *network, const Loader *loader,
                              Split split, uint32_t batch, TestViews views, Error *err);
void evaluator_clear(Evaluator *evaluator);
/* `memory`: evaluator->bytes, aligned as an arena's. STATUS_STOPPED where *stop asks for it;
 * STATUS_DIVERGED where a logit is not finite, naming the layer where it began. */
CHECKED Status evaluator_run(Evaluator *evaluator, const RunContext *context, void *memory,
                             const atomic_int *stop, Score *ret, Error *err);
