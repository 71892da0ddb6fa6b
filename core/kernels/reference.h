/* reference -- the naive family's convolutions and pools (reference_window.c); the rest of its
 * table is in reference.c. See kernels.h for the contracts. */
#pragma once

#include "core/kernels/kernels.h"

/* What `value` makes of `old`: their sum, or `value` alone. */
static inline real reference_put(real old, double value, bool accumulate)
{
    return accumulate ? (real)((double)old + value) : (real)value;
}

void reference_conv_forward(const ConvShape *s, uint32_t row0, uint32_t row1, const real *x,
                            const real *w, const real *bias, real *y);
void reference_conv_backward_data(const ConvShape *s, uint32_t row0, uint32_t row1, const real *dy,
                                  const real *w, real *dx, bool accumulate);
void reference_conv_backward_weights(const ConvShape *s, uint32_t tap0, uint32_t tap1,
                                     uint32_t out0, uint32_t out1, const real *x, const real *dy,
                                     real *dw);

void reference_max_pool_forward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *x,
                                real *y, real *tap);
void reference_max_pool_backward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *dy,
                                 const real *tap, real *dx, bool accumulate);
void reference_avg_pool_forward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *x,
                                real *y);
void reference_avg_pool_backward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *dy,
                                 real *dx, bool accumulate);
