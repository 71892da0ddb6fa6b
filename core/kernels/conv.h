/* conv -- convolution on the blocked layout as a sum over taps of matrix products. See kernels.h
 * for the contracts. */
#pragma once

#include "core/kernels/kernels.h"

void conv_forward_taps(const ConvShape *s, uint32_t row0, uint32_t row1, const real *x,
                       const real *w, const real *bias, real *y);
void conv_backward_data_taps(const ConvShape *s, uint32_t row0, uint32_t row1, const real *dy,
                             const real *w, real *dx, bool accumulate);
void conv_backward_weights_taps(const ConvShape *s, uint32_t tap0, uint32_t tap1, uint32_t out0,
                                uint32_t out1, const real *x, const real *dy, real *dw);

/* Rows [row0,row1) of y before the first tap: the bias, or zeros where there is none. */
void conv_start_rows(const ConvShape *s, uint32_t row0, uint32_t row1, const real *bias, real *y);
/* Each channel by itself: groups = in = out. */
bool conv_is_depthwise(const ConvShape *s);
