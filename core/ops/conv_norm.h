/*
 * conv_norm -- what the planner makes of a convolution for inference: conv2d, batch_norm and what
 * follows in one (conv_norm, conv_norm_relu, conv_norm_add, conv_norm_add_relu).
 *
 *   v = weight (conv(x) - mean)/sqrt(var + eps) + bias, per channel, with the running statistics
 *   y = v, or z + v with two inputs z, x; and then, with a ReLU, max(y, 0). NaN stays NaN.
 *
 * x: [N,H,W,I], z, y: [N,OH,OW,O]; x is the last input. Parameters and weights are the
 * convolution's (conv.h), then the norm's (norm.h). There is no training: the running statistics
 * are used whatever the call says, and only the inputs have gradients.
 */
#pragma once

#include "core/ops/conv.h"
#include "core/ops/norm.h"

enum { CONV_NORM_PARAMS = CONV_PARAMS + NORM_PARAMS };
extern const Param conv_norm_params[CONV_NORM_PARAMS];

CHECKED Status conv_norm_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                               Error *err);
void conv_norm_forward(const OpCall *call, bool relu);
void conv_norm_backward(const OpCall *call, bool relu);
