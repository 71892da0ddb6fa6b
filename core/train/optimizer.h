/*
 * optimizer -- the table of optimisers: one file `optimizer_x.c` and one row in meson.build each.
 *
 * An optimiser moves the trained weights by their gradients. It may keep `buffers` arrays of the
 * weights' size, named as PyTorch names them; they are zero at the start and belong to the
 * checkpoint.
 */
#pragma once

#include "core/base/parallel.h"
#include "core/base/param.h"
#include "core/base/real.h"
#include "core/graph/graph.h"
#include "core/kernels/kernels.h"

enum { OPTIMIZER_BUFFERS_MAX = 2 };

/* A run of numbers of one weight, and so of one group: the unit of work. */
typedef struct WeightChunk {
    size_t offset, count;
    uint32_t group;
} WeightChunk;

/* How a group's weights move in one step. */
typedef struct GroupStep {
    bool moves;           /* false: weights and buffers stay, and the gradient counts for nothing */
    double learning_rate; /* the schedule's factor is in it */
    double decay_scale;   /* of the optimiser's weight decay */
} GroupStep;

typedef struct OptimizerStep {
    Pool *pool;
    const Kernels *kernels;
    const WeightChunk *chunk; /* [chunks] all weights that the optimiser moves */
    size_t chunks;
    const GroupStep *group;    /* as the chunks say */
    uint64_t number;           /* of this step, from 1 */
    double *chunk_sum;         /* [chunks] working memory */
    real *weights, *gradients; /* offsets as in the graph; gradients may be changed */
    real *buffer[OPTIMIZER_BUFFERS_MAX];
} OptimizerStep;

typedef struct Optimizer {
    Described described;
    uint32_t learning_rate; /* which of the row's parameters it is */
    uint32_t buffers;
    const char *buffer_name[OPTIMIZER_BUFFERS_MAX];
    void (*step)(const double *value, const OptimizerStep *step);
} Optimizer;

extern const Optimizer *const optimizer_table[]; /* NULL-terminated */

/* The group of a weight. */
typedef uint32_t ChunkGroup(const void *context, const GraphWeight *weight);

/* All weights of `role`, in order; `group` NULL: all in group 0. The caller frees *ret. */
CHECKED Status chunks_cut(const Graph *graph, WeightRole role, ChunkGroup *group,
                          const void *context, WeightChunk **ret, size_t *ret_count, Error *err);

/* Scales all gradients so that their joint L2 norm is at most `limit` (PyTorch's clip_grad_norm_);
 * 0: does nothing. Groups that do not move are left out. */
void optimizer_clip(const OptimizerStep *step, double limit);
