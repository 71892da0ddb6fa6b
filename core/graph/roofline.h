/*
 * roofline -- what a step of a plan costs, and the least time that takes on this machine: the
 * roofline model (Williams, Waterman and Patterson, 2009).
 *
 * Costs come from shapes alone. Bytes are every array's that a step reads or writes, once, as if
 * nothing were in a cache: a step whose arrays are in one may move more bytes a second than memory
 * does.
 */
#pragma once

#include "core/graph/plan.h"

typedef enum StepDirection { STEP_FORWARD, STEP_BACKWARD, STEP_DIRECTIONS } StepDirection;

/* "forward", "backward". */
extern const char *const step_direction_names[STEP_DIRECTIONS];

typedef struct StepCost {
    double flops;      /* of convolutions and linear layers, computed directly: as OpShapes' */
    double done_flops; /* without those that Winograd's method spares */
    double bytes;
} StepCost;

/* Which share of the limits a step reaches, as plan_print() expects: in ResNet-18's training the
 * mean is 0.45 to 0.6. */
#define PLAN_SHARE 0.5

/* Of a step that runs in this direction. The plan need not be bound. */
StepCost step_cost(const Plan *plan, NodeId step, StepDirection direction);

/* What some threads of this machine reach together, each second. */
struct Roofline {
    double flops; /* multiply-adds in registers */
    double bytes; /* read from memory */
};

enum { ROOFLINE_BYTES = 64 << 20 }; /* more than caches hold */

/* Measures it with the pool's threads: about 60 ms, and ROOFLINE_BYTES of memory meanwhile.
 * Whatever else runs takes its share. STATUS_NO_MEMORY. */
CHECKED Status roofline_measure(Pool *pool, const Kernels *kernels, Roofline *ret, Error *err);
/* The least seconds that a step takes. */
double roofline_seconds(const Roofline *limits, const StepCost *cost);
