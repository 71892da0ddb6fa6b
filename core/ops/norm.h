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
#define NORM_PARAM_ROWS                                                                                \
    { "eps", PARAM_REAL, 1e-5, 1e-12, 1, NULL, "added to the variance" },                              \
        { "momentum", PARAM_REAL, 0.1, 0, 1, NULL, "weight of this batch in the running statistics" }, \
        { "affine", PARAM_BOOL, 1, 0, 1, NULL, "learn a weight and a bias for each channel" },         \
    {                                                                                                  \
        "frozen_weight", PARAM_BOOL, 0, 0, 1, NULL, "the weight stays at 1"                            \
    }
extern const Param norm_params[NORM_PARAMS];

CHECKED Status norm_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                          Error *err);
void norm_forward(const OpCall *call, bool relu);
void norm_backward(const OpCall *call, bool relu);
