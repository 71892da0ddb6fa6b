/*
 * family -- what the files that are compiled once for each family (loops.c, depthwise.c, direct.c,
 * moments.c, norm.c, pooling.c, winograd.c) know of one another. Their functions carry the family's
 * name, LEASED_FAMILY, in theirs. See kernels.h for the contracts.
 */
#pragma once

#include "core/kernels/kernels.h"

#define FAMILY_PASTE2(a, b) a##_##b
#define FAMILY_PASTE(a, b) FAMILY_PASTE2(a, b)
#define OF_FAMILY(name) FAMILY_PASTE(name, LEASED_FAMILY)

#define depthwise_forward OF_FAMILY(depthwise_forward)
#define depthwise_backward_data OF_FAMILY(depthwise_backward_data)
#define depthwise_backward_weights OF_FAMILY(depthwise_backward_weights)
#define direct_convolve OF_FAMILY(direct_convolve)
#define direct_differentiate OF_FAMILY(direct_differentiate)
#define winograd_transform OF_FAMILY(winograd_transform)
#define winograd_convolve OF_FAMILY(winograd_convolve)
#define winograd_spread OF_FAMILY(winograd_spread)
#define winograd_outputs OF_FAMILY(winograd_outputs)
#define winograd_differentiate OF_FAMILY(winograd_differentiate)
#define norm_family_moments OF_FAMILY(norm_family_moments)
#define norm_family_forward OF_FAMILY(norm_family_forward)
#define norm_family_sums OF_FAMILY(norm_family_sums)
#define norm_family_backward OF_FAMILY(norm_family_backward)
#define planes_gather OF_FAMILY(planes_gather)
#define planes_dots OF_FAMILY(planes_dots)
#define planes_load OF_FAMILY(planes_load)
#define planes_store OF_FAMILY(planes_store)
#define planes_blend OF_FAMILY(planes_blend)
#define planes_product OF_FAMILY(planes_product)
#define planes_outer OF_FAMILY(planes_outer)
#define peak_multiply_add OF_FAMILY(peak_multiply_add)
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

/* direct.c. */
void direct_convolve(const ConvShape *s, uint32_t row0, uint32_t row1, uint32_t out0, uint32_t out1,
                     const real *x, const real *w, const real *bias, real *y);
void direct_differentiate(const ConvShape *s, uint32_t row0, uint32_t row1, uint32_t in0,
                          uint32_t in1, const real *dy, const real *w, real *dx, bool accumulate);

void winograd_transform(const WinogradShape *s, bool flipped, uint32_t in0, uint32_t in1,
                        const real *w, real *u);
void winograd_convolve(const WinogradShape *s, size_t tile0, size_t tile1, const real *x,
                       const real *u, const real *bias, bool accumulate, real *y, real *work);
void winograd_spread(const WinogradShape *s, size_t tile0, size_t tile1, const real *x, real *v);
void winograd_outputs(const WinogradShape *s, bool flipped, uint32_t out0, uint32_t out1,
                      const real *v, const real *w, const real *bias, bool accumulate, real *y,
                      real *work);
void winograd_differentiate(const WinogradShape *s, const WinogradPart *part, const real *x,
                            const real *dy, bool accumulate, real *dw, real *work);

/* The table's rows moments and norm_... */
void norm_family_moments(size_t rows, size_t c, const real *x, double *mean, double *m2);
void norm_family_forward(size_t rows, size_t c, const real *x, const real *scale, const real *shift,
                         const real *z, bool relu, real *y);
void norm_family_sums(size_t rows, size_t c, const real *x, const real *dy, const NormMask *mask,
                      const real *mean, double *sum_g, double *sum_gx);
void norm_family_backward(size_t rows, size_t c, const real *x, const real *dy,
                          const NormMask *mask, const real *mean, const real *a, const real *b,
                          const real *d, real *dx, bool accumulate);

void pooling_max_forward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *x, real *y,
                         real *tap);
void pooling_max_backward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *dy,
                          const real *tap, real *dx, bool accumulate);
void pooling_avg_forward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *x, real *y);
void pooling_avg_backward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *dy,
                          real *dx, bool accumulate);

/* peak.c. */
double peak_multiply_add(size_t rounds, real *ret);

/* plane.c. */
void planes_gather(const PlaneWindow *p, const real *w, const real *src, real *dst);
void planes_dots(const PlaneWindow *p, const real *src, const real *d, double *sum);
void planes_load(const PlaneWindow *p, const real *scale, const real *shift, const real *src,
                 real *dst);
void planes_store(const PlaneWindow *p, const real *g, const real *act, const PlaneWindow *at,
                  real *dx, bool accumulate, double *sum, double *product);
void planes_blend(const PlaneWindow *p, const real *k, const real *x, const real *dy, real *g);

/* product.c. */
void planes_product(size_t rows, size_t k, size_t n, const real *a, const real *b, real *c,
                    const RowSteps *c_steps, PlaneMoments *moments);
void planes_outer(size_t rows, size_t k, size_t n, const real *a, const real *d, real *dw);
