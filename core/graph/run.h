/*
 * run -- a bound plan, forward and backward. Allocates nothing, takes no locks but the pool's.
 */
#pragma once

#include "core/graph/plan.h"

typedef struct RunContext {
    Pool *pool;
    const Kernels *kernels;
    real *weights;   /* as the graph's offsets say; running statistics move in training */
    real *gradients; /* the same layout; added to. NULL where the plan has none */
} RunContext;

/* The caller has written the plan's inputs. */
void run_forward(const Plan *plan, const RunContext *context);
/* After run_forward(), with the output's gradient written by the caller. */
void run_backward(const Plan *plan, const RunContext *context);
