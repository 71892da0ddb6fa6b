/*
 * norm -- batch normalisation and what the planner fuses with it (batch_norm, norm_relu, norm_add,
 * norm_add_relu).
 *
 *   v = weight (x - mean)/sqrt(var + eps) + bias, per channel   (Ioffe and Szegedy, 2015)
 *   y = v, or a + v with two inputs a, x; and then, with a ReLU, max(y, 0). NaN stays NaN.
 *
 * a, x, y: [N,H,W,C] (or [N,C]); x is the last input.  weight, bias, running_mean, running_var:
 * [C]. Without `affine` there are neither weight nor bias (1 and 0); a frozen weight stays at 1 but
 * is a parameter. In training mean and (biased) variance are the batch's, over N, H and W; the
 * running ones move by `momentum`, the variance unbiased, as in PyTorch. Otherwise the running ones
 * are used. saved: [2,C], mean and 1/sqrt(var + eps) as used.
 */
#pragma once

#include "core/ops/op.h"

enum { NORM_PARAMS = 4 };
extern const Param norm_params[NORM_PARAMS];

CHECKED Status norm_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                          Error *err);
void norm_forward(const OpCall *call, bool relu);
void norm_backward(const OpCall *call, bool relu);
