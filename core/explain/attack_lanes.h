/* attack_lanes -- what the rows of the attack table share; only for them. */
#pragma once

#include "core/explain/attack.h"

/* Calls the statement for every number of a lane: `at` is its place, `c` its channel. */
#define EACH_NUMBER(lane, at, c, statement)                   \
    do {                                                      \
        for (size_t p_ = 0; p_ < (lane)->pixels; p_++)        \
            for (uint32_t c = 0; c < (lane)->channels; c++) { \
                size_t at = p_ * (lane)->stride + c;          \
                statement;                                    \
            }                                                 \
    } while (0)

#define ATTACK_EPS_ROW(fallback_)                                                            \
    {                                                                                        \
        .name = "eps", .type = PARAM_REAL, .fallback = (fallback_), .min = 0, .max = 1000,   \
        .help = "how far: the largest norm of the change, in units of pixels scaled to 0..1" \
    }
#define ATTACK_START_ROW(fallback_)                                                             \
    {                                                                                           \
        .name = "start", .type = PARAM_ENUM, .fallback = (fallback_), .choices = attack_starts, \
        .help = "from a random change, or from the image as it is"                              \
    }
#define ATTACK_STEPS_ROW(fallback_)                                                         \
    {                                                                                       \
        .name = "steps", .type = PARAM_INT, .fallback = (fallback_), .min = 1, .max = 1000, \
        .help = "how many gradients are followed"                                           \
    }
#define ATTACK_STEP_SIZE_ROW                                                           \
    {                                                                                  \
        .name = "step_size", .type = PARAM_REAL, .fallback = 0, .min = 0, .max = 1000, \
        .help = "length of a step; 0: 2.5 eps / steps"                                 \
    }

/* What FGSM and PGD in the maximum norm share. */
void linf_start(const AttackLane *lane, Rng *rng, real eps, real *ret_delta);
void linf_move(const AttackLane *lane, real eta, const real *delta, const real *g, real norm,
               real *ret_z);
void linf_project(const AttackLane *lane, real eps, const real *z, real *ret_delta);
void linf_pull_project(const AttackLane *lane, real eps, const real *z, const real *v, real *ret_p);
