/*
 * attack -- the table of attacks: small changes delta of an image that raise a network's loss; one
 * file `attack_x.c` and one row in meson.build each. What an attack changes most is what the
 * network looks at, so that |delta| explains (method "LeaSE", step 2).
 *
 *   delta* = argmax_{|delta_i| <= eps} sum_i CE(f(x_i + delta_i), t_i)
 *
 * by steps: g = d_delta L;  z = delta + eta * direction(g);  delta = clip(project(z)), where
 * project() leads back to |delta_i| <= eps and clip() keeps x + delta within 0..1. L sums over the
 * images. Everything is in *pixel space*: x and delta are in units of pixels scaled to 0..1, and
 * the network sees (x + delta - mean)/std, so that eps and the bounds are scaled per channel. The
 * network runs in eval mode: running statistics are used and nothing of the network changes.
 *
 * Where a gradient is zero or not finite the image stays where it is: no delta is ever NaN.
 * Activations and deltas are blocked (core/base/shape.h). Written for `real`: tests and the
 * hypergradient's check have a double-precision build of it (explain64_dep).
 *
 * Sources: FGSM: Goodfellow et al., ICLR 2015; PGD: Madry et al., ICLR 2018.
 */
#pragma once

#include "core/base/param.h"
#include "core/base/rng.h"
#include "core/graph/run.h"
#include "core/nn/network.h"

/* Where an attack starts. */
typedef enum AttackStart { ATTACK_START_RANDOM, ATTACK_START_ZERO } AttackStart;

/* The parameters of every row, in this order; FGSM has the first two. */
enum { ATTACK_EPS, ATTACK_START, ATTACK_STEPS, ATTACK_STEP_SIZE };

/* "random", "zero". */
extern const char *const attack_starts[];

/* One image's numbers among those of its block: channel c of pixel p is at p * stride + c. */
typedef struct AttackLane {
    size_t pixels, stride;
    uint32_t channels;
} AttackLane;

/*
 * What a row does to one image; arrays begin at the image's first number. `norm` is |g|_2, finite
 * and > 0. In the transposes of the Jacobians v, p and q are gradients of some loss: of what
 * project() answers, of z, and of g / eta.
 */
typedef struct Attack {
    Described described;
    double reach; /* step size unless given: reach * eps / steps */
    void (*start)(const AttackLane *lane, Rng *rng, real eps, real *ret_delta);
    /* z = delta + eta * direction(g); z may lie over delta. */
    void (*move)(const AttackLane *lane, real eta, const real *delta, const real *g, real norm,
                 real *ret_z);
    void (*project)(const AttackLane *lane, real eps, const real *z, real *ret_delta);
    /* p = J_project(z)^T v; p may lie over v. */
    void (*pull_project)(const AttackLane *lane, real eps, const real *z, const real *v,
                         real *ret_p);
    /* q = J_direction(g)^T p. NULL: the direction is locally constant, and q is 0. */
    void (*pull_direction)(const AttackLane *lane, const real *g, real norm, const real *p,
                           real *ret_q);
} Attack;

extern const Attack *const attack_table[]; /* NULL-terminated: fgsm, pgd_linf, pgd_l2 */

/* What one step saw and did: [N,H,W,C] blocked, norm [N]. An image whose norm is 0 did not move. */
typedef struct AttackFrame {
    real *before;   /* delta0: delta in front of the step */
    real *gradient; /* g, in pixel space */
    real *norm;     /* |g_i|_2; 0 where g_i is (nearly) zero or not finite */
    real *moved;    /* z, before projection and clipping */
} AttackFrame;

/* An attack on batches of a fixed size. Belongs to one thread at a time. */
typedef struct Attacker {
    const Network *network; /* borrowed */
    const Attack *row;
    real eps, step_size; /* eta: the given one or the row's formula */
    uint32_t steps, images;
    AttackStart start;
    Plan plan;          /* eval mode, the loss [N], its gradient to the image */
    size_t state_bytes; /* beside plan.bytes: see attacker_bind() */
    uint32_t frames;    /* 1, or `steps` */

    /* Bound memory. */
    uint32_t done;         /* steps since attack_begin() */
    const real *images_at; /* of attack_begin() */
    real *delta;           /* [N,H,W,C] blocked: the result so far */
    real *target;          /* [N,K]: what the loss is measured against */
    real *frame_memory;
} Attacker;

/*
 * Plans an attack of `choice` (a row of attack_table) on batches of `images` images; takes no
 * tensor memory. keep_steps: the frames of all steps stay readable, not only the last one's.
 * STATUS_INVALID at "/eps" where the network's input is no image with a normalisation (more than 4
 * channels).
 */
CHECKED Status attacker_init(Attacker *attacker, const Network *network, const Choice *choice,
                             uint32_t images, bool keep_steps, Error *err);
void attacker_clear(Attacker *attacker);
/* work: attacker->plan.bytes, which others may use between the calls below; state:
 * attacker->state_bytes, the attacker's own. Both borrowed, aligned as an arena's. */
void attacker_bind(Attacker *attacker, void *work, void *state);

typedef struct AttackBatch {
    const real *images; /* [N,H,W,C] normalised, blocked; borrowed until the next attack_begin() */
    const real
        *targets; /* [N,K]; NULL: the network's own softmax of the images (the soft target) */
    const uint32_t *items; /* [N] each image's index in its split: its start is drawn from the
                              stream (seed, RNG_ATTACK, stream, item), however images are grouped */
    uint64_t seed;
    uint32_t stream; /* which split, which epoch: the caller's to number */
} AttackBatch;

/* context: pool, kernels and weights count (LeaSE hands over virtual weights here); operations that
 * draw even in eval mode (noise) do so for the place in the batch. None of these allocates. */

/* Targets, and delta as the attack starts (already clipped). */
void attack_begin(Attacker *attacker, const RunContext *context, const AttackBatch *batch);
/* One step; its frame is attacker_frame(attacker, attacker->done - 1) afterwards. */
void attack_step(Attacker *attacker, const RunContext *context);
/* attack_begin() and all steps; eps = 0 leaves delta at 0. */
void attack_run(Attacker *attacker, const RunContext *context, const AttackBatch *batch);
/* The loss of each image at x + delta, [N]. */
void attack_losses(Attacker *attacker, const RunContext *context, real *ret_losses);

/* Step `step` of those since attack_begin(): one that is kept. */
AttackFrame attacker_frame(const Attacker *attacker, uint32_t step);

/* What the network sees of the batch: ret = images + delta/std; [N,H,W,C] blocked. */
void attack_place(const Attacker *attacker, Pool *pool, const real *delta, real *ret_image);
/* A gradient with respect to what the network sees becomes one with respect to delta, in place. */
void attack_to_pixels(const Attacker *attacker, Pool *pool, real *gradient);

/*
 * Backwards through step `step`: v is a loss's gradient with respect to delta behind the step.
 * ret_p: its share for delta in front of it by the direct way, p = J_P(z)^T v (J_P of project and
 * clip; ret_p may be v). ret_q: with which the gradient moves, q = J_direction(g)^T p: for g/|g|
 * q_i = (p_i - n_i (n_i . p_i))/|g_i|, for sign(g) 0; 0 for images that did not move. What g's
 * dependence on weights, alphas and delta gives is step_size times the derivative of
 * <q, d_delta L_att>, a difference along q.
 */
void attack_pull(const Attacker *attacker, Pool *pool, uint32_t step, const real *v, real *ret_p,
                 real *ret_q);
