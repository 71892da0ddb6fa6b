/* conv -- convolution on the blocked layout as a sum over taps of matrix products. See kernels.h
 * for the contracts. */
#pragma once

#include "core/kernels/kernels.h"

void conv_forward_taps(const ConvShape *s, uint32_t row0, uint32_t row1, const real *x,
                       const real *w, real *y);
void conv_backward_data_taps(const ConvShape *s, uint32_t row0, uint32_t row1, const real *dy,
                             const real *w, real *dx, bool accumulate);
void conv_backward_weights_taps(const ConvShape *s, uint32_t tap, uint32_t out0, uint32_t out1,
                                const real *x, const real *dy, real *dw_tap);
