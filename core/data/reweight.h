/*
 * reweight -- R: what an explanation makes of its image.
 *
 * A map m and its strength h = |m|/(max|m| + 1e-12), the maximum over the whole map (all channels
 * and pixels of an image's delta; a heat map's own, of values that are 0..1 already: h = m), make
 * each number x of the normalised image w x:
 *
 *   absolute  w = h                of a delta: x (.) |delta|/max|delta|
 *   signed    w = m                of a delta: delta (.) x, in units of pixels, as the public code
 *   H         w = h
 *   1+H       w = 1 + h
 *   mix       w = f + (1 - f) h
 *
 * Batches are blocked [N,H,W,C] (core/base/shape.h). Written for `real`; the double-precision build
 * is reweight64_dep. Pure functions: any thread.
 */
#pragma once

#include "core/base/parallel.h"
#include "core/base/param.h"
#include "core/base/shape.h"

/* A row of the table. w = base + gain * h, or m itself. */
typedef struct Reweight {
    Described described;
    bool is_signed; /* w = m */
    bool mixes;     /* base and gain are f and 1 - f instead */
    double base, gain;
} Reweight;

extern const Reweight *const reweight_table[]; /* NULL-terminated: absolute, signed, H, 1+H, mix */
/* Their names, for enumerations; index = row. */
extern const char *const reweight_names[];

/* What a job says of it. */
typedef struct ReweightSpec {
    uint32_t mode; /* row of reweight_table */
    double f;      /* of "mix", 0..1 */
} ReweightSpec;

/* What suits a source unless said otherwise: "absolute" for deltas, "mix" for heat maps. */
uint32_t reweight_default(bool heat_map);

#define REWEIGHT_F_DEFAULT 0.3

/* The two coefficients of w. */
typedef struct ReweightLine {
    bool is_signed;
    real base, gain;
} ReweightLine;
ReweightLine reweight_line(const ReweightSpec *spec);

/* ret = R(images, delta), `shape` = [N,H,W,C]; ret may lie over either. pool NULL: this thread. */
void reweight_batch(const ReweightSpec *spec, Pool *pool, const Shape *shape, const real *images,
                    const real *delta, real *ret);
/*
 * The gradient with respect to delta from the one with respect to R; ret may lie over out_gradient.
 * Through the maximum, too: |delta|'s first largest number takes that share.
 */
void reweight_backward(const ReweightSpec *spec, Pool *pool, const Shape *shape, const real *images,
                       const real *delta, const real *out_gradient, real *ret_delta_gradient);
