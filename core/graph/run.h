/*
 * run -- a bound plan, forward and backward. Allocates nothing, takes no locks but the pool's.
 */
#pragma once

#include "core/graph/profile.h"

typedef struct RunContext {
    Pool *pool;
    const Kernels *kernels;
    real *weights;        /* as the graph's offsets say; running statistics move in training */
    real *gradients;      /* the same layout; added to. NULL where the plan has none */
    bool keep_statistics; /* running statistics do not move */
    uint64_t seed;        /* of what operations draw */
    uint32_t step;
    double progress;  /* share of the training that is done, 0..1 */
    Profile *profile; /* takes the times of the steps; NULL: nobody does */
} RunContext;

/* The caller has written the plan's inputs. */
void run_forward(const Plan *plan, const RunContext *context);
/*
 * run_forward() once more, from the same inputs, until a step's output has a number that is not
 * finite; of its nodes the first whose weights are not, else the first; or NODE_NONE. Running
 * statistics do not move.
 */
NodeId run_first_nonfinite(const Plan *plan, const RunContext *context);
/* After run_forward(), with the output's gradient written by the caller. */
void run_backward(const Plan *plan, const RunContext *context);
