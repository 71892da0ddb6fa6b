/*
 * pass -- one batch through a training plan, forward and backward: what training and the
 * architecture search share.
 *
 * The plan ends in the network's training loss, keeps its logits and is bound. The batch lies with
 * the prefetching thread and is copied into the plan's inputs.
 */
#pragma once

#include "core/data/prefetch.h"
#include "core/graph/run.h"
#include "core/nn/network.h"

/* Sums over some batches. */
typedef struct PassSums {
    double loss;
    uint64_t correct, images;
} PassSums;

/* STATUS_INVALID at "/batch_size" where a batch norm would see a single value, which has no
 * variance. */
CHECKED Status pass_check_norms(const Plan *plan, Error *err);

/* Forward; the losses' sum and the right answers of the batch. STATUS_DIVERGED where the loss is
 * not finite: the message names `step`, counted from 1, and the layer where that began. */
CHECKED Status pass_forward(const Network *network, const Plan *plan, const RunContext *context,
                            const Batch *batch, uint64_t step, PassSums *ret, Error *err);
/* The gradients of the mean loss, in context->gradients, which is zeroed before. */
void pass_backward(const Network *network, const Plan *plan, const RunContext *context);
