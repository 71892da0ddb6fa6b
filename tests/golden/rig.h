/*
 * rig -- a network on a training plan over one batch, weights and images by closed forms: what the
 * golden tests of whole networks share, and what describes their jobs.
 *
 * A golden file describes its network in its metadata: seed, images, size (of square images),
 * channels, classes, and the model as a checkpoint does ("model", "model.width", ...).
 */
#pragma once

#include "tests/golden/golden.h"

#include "core/graph/run.h"
#include "core/nn/network.h"

typedef struct Rig {
    uint32_t seed, images, size, channels, classes;
    Network network;
    Plan plan;    /* training; gradients of weights and of the architecture */
    Arena memory; /* of the plan, gradients and momenta */
    real *gradients, *momenta;
    Pool *pool;
    RunContext context;
} Rig;

/* Fails the test unless all is well. */
void rig_ok(Status s, const Error *err);
/* A row of a table (optimizer_table, ...) with its defaults, and one of its parameters. */
Choice rig_choose(const void *table, const char *row);
void rig_set(Choice *choice, const void *table, const char *param, double value);
/* All weights and statistics by closed forms. */
void rig_fill_weights(const Network *network, uint32_t seed);
/* The row and the parameters that the file's metadata name; others have their defaults. */
void rig_model(const StFile *file, Choice *ret);
/* `seed` is the caller's, the other sizes are the file's. */
void rig_init(Rig *rig, const StFile *file, const Choice *model, uint32_t seed,
              const Kernels *kernels);
void rig_clear(Rig *rig);

/* The images of step `step` and, where the plan reads them, their one-hot labels. */
void rig_fill_batch(const Rig *rig, const Plan *plan, uint32_t step);
/* Forward and backward on batch `step`; answers the mean of what training minimises. */
double rig_gradients(Rig *rig, uint32_t step);
/*
 * Weights of one role (from `numbers`, laid out as the graph says) against arrays PREFIX + name;
 * arrays of more than 1,000 numbers hold every `every`-th. Answers how many there were.
 */
uint32_t rig_weights_close(const Rig *rig, const StFile *file, WeightRole role, const real *numbers,
                           const char *prefix, uint32_t every, double bound);
/* Fails unless the loss is PyTorch's within a relative bound. */
void rig_loss_close(const char *what, double got, float want, double bound);
