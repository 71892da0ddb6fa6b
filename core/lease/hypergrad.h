/*
 * hypergrad -- what moves the explainer's architecture A: the gradient of
 *
 *     L_val(E', A) + lambda L_val(W'),
 *     E' = E - xi_e dE L_tr(E, A),   W' = W - xi_w dW L_tr(W, R(x, explanation of x by E')),
 *
 * by virtual steps forwards, and back through them: finite differences where second derivatives
 * stand, Jacobians everywhere else.
 *
 *     g_W     = dW' L_val(W')
 *     v_delta = -xi_w [d_delta L_tr(W + a1 g_W, delta') - d_delta L_tr(W - a1 g_W, delta')] / (2
 * a1) p = J_P(z)^T v_delta,  q = J_n(g)^T p                   for each image, each attack step v_E
 * = eta [dE' L_att(E', delta + a2 q) - dE' L_att(E', delta - a2 q)] / (2 a2), c_A the same of dA
 * L_att; several steps go last to first, the one before receives v_delta = p + eta [d_delta
 * L_att(delta + a2 q) - d_delta L_att(delta - a2 q)] / (2 a2) u       = dE' L_val(E', A) + lambda
 * v_E v_A     = -xi_e [dA L_tr(E + a3 u, A) - dA L_tr(E - a3 u, A)] / (2 a3) dA      = dA L_val(E',
 * A) + lambda c_A + v_A
 *
 * a1, a2, a3 are 0.01 over the norm of what they scale. L_att sums over images and uses running
 * statistics; L_tr and L_val are means and use the batch's. No statistic moves. The target of L_att
 * is the label or f(x; E'), through which it is differentiated, too. The step by a gradient's sign
 * is locally constant: with it the audience adds exactly nothing. With class maps at the last stage
 * (`cam`) v_E and c_A are the derivatives of <v_H, H(E', A)>, in one backward pass.
 *
 * Sources: one-step gradients as in Liu et al., "DARTS", 2019, and Hosseini and Xie, "Learning by
 * Self-Explanation", 2020; the Jacobians of the attack's step are this project's.
 *
 * Written for `real`, and knows no data set: tests build it in double precision.
 */
#pragma once

#include "core/data/compose.h"
#include "core/explain/attack.h"
#include "core/explain/cam.h"
#include "core/lease/vector.h"

/* Explainer and audience, also elsewhere in lease. */
typedef enum LeaseNetwork { LEASE_EXPLAINER, LEASE_AUDIENCE, LEASE_NETWORKS } LeaseNetwork;

typedef struct HyperSpec {
    const Network *network[LEASE_NETWORKS]; /* borrowed */
    uint32_t images;                        /* of every batch */
    double lambda;
    /* The explanation: an attack (row of attack_table; borrowed) or, NULL, `cam` at the last stage.
     */
    const Choice *attack;
    bool predicted;   /* of the explainer's own prediction, else of the labels */
    bool all_classes; /* of cam: maps of all classes, else one */
    ReweightSpec reweight;
    ComposeInput input; /* of the audience */
} HyperSpec;

/* Images [N,H,W,C] are normalised and blocked; everything is borrowed during the call. */
typedef struct HyperBatch {
    const real *train, *train_targets; /* of L_tr(E, A); targets [N,K] */
    const real *seen, *seen_targets;   /* the same images as the audience sees and the explainer
                                          explains them; targets of L_tr(W) */
    const uint16_t *labels;            /* [N] of those */
    const uint32_t *items;             /* [N] index in the split; with seed and stream it keys where
                                          an attack starts */
    uint64_t seed;
    uint32_t stream;
    const real *val, *val_targets; /* of L_val(E', A) and, raw, of L_val(W') */
    double rate[LEASE_NETWORKS];   /* xi_e, xi_w */
} HyperBatch;

/* Whose gradients, of which loss; see hypergrad.c. */
enum {
    HYPER_E_WEIGHTS, /* L(E, A): of the weights */
    HYPER_E_BOTH,    /* L(E, A): of weights and architecture */
    HYPER_E_ALPHAS,  /* L(E, A): of the architecture */
    HYPER_W_WEIGHTS, /* L(W): of the weights */
    HYPER_W_IMAGE,   /* L(W): of the input */
    HYPER_ATTACK,    /* L_att: of weights, architecture and image */
    HYPER_LOGITS,    /* the logits of L_att's soft target: of weights and architecture */
    HYPER_MAPS,      /* the activation that class maps are made of: the same */
    HYPER_PLANS
};

typedef struct Hyper {
    HyperSpec spec;
    bool through;       /* the audience's loss counts */
    uint32_t maps;      /* K of class maps; 0: an attack */
    size_t map_numbers; /* of one of them */
    LeaseNetwork owner[HYPER_PLANS];
    PlanSpec planned[HYPER_PLANS]; /* images 0: not needed */
    Plan plan[HYPER_PLANS];
    Attacker attacker; /* of an attack; all its steps are kept */
    CamHead head;      /* of class maps */
    WeightSet trained[LEASE_NETWORKS], architecture;
    Pool *pool;
    size_t work_bytes;  /* of memory for one plan at a time, which others may use between calls */
    size_t state_bytes; /* of memory for everything below */
    real *moved[LEASE_NETWORKS];    /* weights after a virtual step, or around it */
    real *gradient[LEASE_NETWORKS]; /* as the graphs' offsets say, like the next two */
    real *other, *total;            /* of the explainer */
    real *input;                    /* [N,H,W,audience's channels] */
    real *v, *q, *slope, *near;     /* [N,H,W,C], of an attack */
    real *target_slope;             /* [N,classes], of an attack */
    void *attack_state;
    real *factor;          /* [N,H,W,K] of class maps */
    real *map, *map_slope; /* [N,K,h,w] of class maps, after the ReLU */
    uint32_t *classes;     /* [N] whose maps they are, where K is 1 */
    double *sum;           /* working memory of vector.h */
} Hyper;

/* Plans without taking tensor memory. STATUS_INVALID at "/hypergrad" where the explainer's head has
 * no class maps. What it leaves on failure hyper_clear() clears. */
CHECKED Status hyper_init(Hyper *hyper, const HyperSpec *spec, Error *err);
void hyper_clear(Hyper *hyper);
/* Borrowed, aligned as an arena's. */
void hyper_bind(Hyper *hyper, Pool *pool, void *work, void *state);
/*
 * dA into ret_gradient, laid out as the explainer's weights; only the architecture's places are
 * written. ret_loss: the mean of L_val(E', A). context: of either network, with its weights; their
 * gradients are not read. Nothing of the networks moves. Allocates nothing. STATUS_DIVERGED: dA is
 * not finite.
 */
CHECKED Status hyper_gradient(Hyper *hyper, const RunContext context[LEASE_NETWORKS],
                              const HyperBatch *batch, real *ret_gradient, double *ret_loss,
                              Error *err);
