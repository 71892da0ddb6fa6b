/*
 * mixed -- what mixed_sum and mixed_add share: the mixture of an edge's operations in an
 * architecture search, where some of them end in a batch norm without weight and bias.
 *   y = sum_k w[row][k] n_k(x_k),   n_k(x) = x or (x - mean) r.   Liu et al., 2019 (DARTS), eq. 2.
 *
 * Inputs: weights [R,K]; one tensor for each bit that is set in `columns`, in order, all of y's
 * shape; for each of them whose bit is set in `normed` (bit i: the i-th tensor) its
 * batch_statistics [2,C], in order. What a column without a tensor would add is zero.
 */
#pragma once

#include "core/ops/op.h"

enum { MIXED_PARAMS = 3 };
extern const Param mixed_params[MIXED_PARAMS];

/* `first`: the input where the weights are. */
CHECKED Status mixed_shape(const char *name, const double *value, const Shape *in, uint32_t inputs,
                           uint32_t first, OpShapes *ret, Error *err);
/* y = or, with `base`, y = base + the mixture; base may be y itself. */
void mixed_forward(const OpCall *call, uint32_t first, const real *base);
/* Gradients of weights and tensors. In training those of the tensors are through their statistics,
 * too (OP_STATISTICS). */
void mixed_backward(const OpCall *call, uint32_t first);
