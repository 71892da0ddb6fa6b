/*
 * hyper_way -- the insides of hypergrad: passes through its plans, and the two ways from E' to what
 * the audience sees and back, hyper_attack.c and hyper_maps.c.
 */
#pragma once

#include "core/lease/group.h"
#include "core/lease/hypergrad.h"

typedef struct HyperWay {
    /* Plans and sizes of what the way needs beside hypergrad.c. */
    Status (*init)(Hyper *hyper, Error *err);
    /* The explanations by E', which is moved[LEASE_EXPLAINER]. */
    void (*explain)(Hyper *hyper, const RunContext *context, const HyperBatch *batch);
    /* What the audience sees of the batch. */
    void (*look)(const Hyper *hyper, const HyperBatch *batch, real *ret_input);
    /* Adds v_E and c_A to hyper->total; factor * hyper->input is the gradient with respect to the
     * audience's input that is to be taken back. */
    void (*back)(Hyper *hyper, const RunContext *context, const HyperBatch *batch, double factor);
} HyperWay;

extern const HyperWay hyper_attack_way, hyper_maps_way;

enum { HYPER_BOTH = GRADIENT_TRAINED | GRADIENT_ARCHITECTURE };

/* Notes a plan that init() wants. */
void hyper_want(Hyper *hyper, int which, LeaseNetwork network, bool training, unsigned gradients,
                NodeId output, NodeId gradient_to, NodeId keep);
/* [N,H,W,C] of the explainer's images, and how they become the audience's input. */
Shape hyper_images(const Hyper *hyper);
Group hyper_group(const Hyper *hyper);
/* The input of a plan, to be written before a pass. */
real *hyper_input(const Hyper *hyper, int which);

/* Forward from the input that was written, with `weights`; no statistic moves. `targets` [N,K];
 * NULL where the plan has none. */
void hyper_forward(const Hyper *hyper, int which, const RunContext *context, real *weights,
                   const real *targets);
/* Back from the seeds that were written, into `gradients`, which are zeroed before; NULL: none of
 * weights. */
void hyper_backward(const Hyper *hyper, int which, const RunContext *context, real *weights,
                    real *gradients);
/* Both, of a loss, which weighs `seed` for each image; answers the sum of the losses. */
double hyper_pass(const Hyper *hyper, int which, const RunContext *context, real *weights,
                  const real *targets, real seed, real *gradients);
/* total += factor * (plus - minus), of weights and architecture; minus NULL: nothing. */
void hyper_add(const Hyper *hyper, double factor, const real *plus, const real *minus);
/* The step of a finite difference along something of this norm; 0 where that is 0. */
double hyper_difference(double norm);
