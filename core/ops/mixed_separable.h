/*
 * mixed_separable -- what mixed_separable and mixed_separable_add share: a separable or a dilated
 * convolution of an architecture search, with its batch norms and its share of the mixture.
 *   y = w[row][column] n(c_2(n(c_1(x)))), or without c_2;  c(x) = pointwise(depthwise(max(x, 0))).
 *   Liu et al., 2019 (DARTS), eq. 2.
 *
 * The last two inputs are x [N,H,W,C] and the mixture's weights [R,K]; y: [N,OH,OW,C]. Depthwise
 * kernels are k x k, c_1 has the stride and the dilation, and C_2 neither. Weights are named as
 * DARTS' public code has them, a sequence "op". Statistics are as in batch_norm without weight and
 * bias. saved: the convolutions' outputs, and mean and 1/std of each.
 */
#pragma once

#include "core/ops/op.h"

enum { MIXED_SEPARABLE_PARAMS = 6 };
extern const Param mixed_separable_params[MIXED_SEPARABLE_PARAMS];

/* first: the input that x is. */
CHECKED Status mixed_separable_shape(const char *name, const double *value, const Shape *in,
                                     uint32_t first, OpShapes *ret, Error *err);
/* y = or, with `base`, y = base + what is said above; base may be y itself. */
void mixed_separable_forward(const OpCall *call, uint32_t first, const real *base);
/* Gradients of x and of all weights. */
void mixed_separable_backward(const OpCall *call, uint32_t first);
