/*
 * mixed_gates -- what mixed_gates and mixed_gates_add share: of an edge's mixture in an
 * architecture search those candidates that are x itself or x times a factor for each channel of
 * each image: the identity, squeeze-and-excitation (Hu et al., 2018), ECA (Wang et al., 2020).
 *   y = x (sum over plain k of w[row][k] + sum over gated k of w[row][k] g_k)
 *
 * Inputs, behind a base where there is one: x [N,H,W,C]; weights [R,K]; g [N,C] for each bit that
 * is set in `gated`, in order. y: [N,H,W,C]. x is read once in each direction, however many
 * candidates there are.
 */
#pragma once

#include "core/ops/op.h"

enum { MIXED_GATES_PARAMS = 3 };
extern const Param mixed_gates_params[MIXED_GATES_PARAMS];

/* first: the input that x is. */
CHECKED Status mixed_gates_shape(const char *name, const double *value, const Shape *in,
                                 uint32_t inputs, uint32_t first, OpShapes *ret, Error *err);
/* y = or, with `base`, y = base + what is said above; base may be y itself. */
void mixed_gates_forward(const OpCall *call, uint32_t first, const real *base);
/* Gradients of x, weights and gates. */
void mixed_gates_backward(const OpCall *call, uint32_t first);
