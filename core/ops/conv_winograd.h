/*
 * conv_winograd -- the 3x3 convolutions of conv2d that are computed by Winograd's method
 * (core/kernels/winograd.h): which they are, and how their work is cut.
 */
#pragma once

#include "core/ops/conv.h"

/* Whether the pass over `images` images is faster by Winograd's method than tap by tap: from shapes
 * alone. s: of a full block. */
bool conv_winograd_pays(const ConvShape *s, uint32_t images, ConvPass pass);
/* Of the FLOPs of the pass, those that the method spares; 0 where it does not pay. */
double conv_winograd_spared(const ConvShape *s, uint32_t images, ConvPass pass);
/* Working memory of the pass, where it pays. */
size_t conv_winograd_scratch(const ConvShape *s, uint32_t images, ConvPass pass);

/* Where it pays only. call->scratch has conv_winograd_scratch() bytes; bias: [O] or NULL;
 * finish: or NULL. */
void conv_winograd_forward(const OpCall *call, const ConvShape *s, const real *bias,
                           const ConvFinish *finish);
void conv_winograd_data(const OpCall *call, const ConvShape *s);
void conv_winograd_weights(const OpCall *call, const ConvShape *s);
