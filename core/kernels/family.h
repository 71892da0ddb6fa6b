/*
 * family -- what the files that are compiled once for each family (loops.c, depthwise.c, pooling.c)
 * know of one another. Their functions carry the family's name, LEASED_FAMILY, in theirs. See
 * kernels.h for the contracts.
 */
#pragma once

#include "core/kernels/kernels.h"

#define FAMILY_PASTE2(a, b) a##_##b
#define FAMILY_PASTE(a, b) FAMILY_PASTE2(a, b)
#define OF_FAMILY(name) FAMILY_PASTE(name, LEASED_FAMILY)

#define depthwise_forward OF_FAMILY(depthwise_forward)
#define depthwise_backward_data OF_FAMILY(depthwise_backward_data)
#define depthwise_backward_weights OF_FAMILY(depthwise_backward_weights)
#define pooling_max_forward OF_FAMILY(pooling_max_forward)
#define pooling_max_backward OF_FAMILY(pooling_max_backward)
#define pooling_avg_forward OF_FAMILY(pooling_avg_forward)
#define pooling_avg_backward OF_FAMILY(pooling_avg_backward)

/* The three of a convolution with groups = in = out. */
void depthwise_forward(const ConvShape *s, uint32_t row0, uint32_t row1, const real *x,
                       const real *w, const real *bias, real *y);
void depthwise_backward_data(const ConvShape *s, uint32_t row0, uint32_t row1, const real *dy,
                             const real *w, real *dx, bool accumulate);
void depthwise_backward_weights(const ConvShape *s, uint32_t tap0, uint32_t tap1, uint32_t out0,
                                uint32_t out1, const real *x, const real *dy, real *dw);

void pooling_max_forward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *x, real *y,
                         real *tap);
void pooling_max_backward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *dy,
                          const real *tap, real *dx, bool accumulate);
void pooling_avg_forward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *x, real *y);
void pooling_avg_backward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *dy,
                          real *dx, bool accumulate);
