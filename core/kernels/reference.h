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
void reference_direct_forward(const ConvShape *s, uint32_t row0, uint32_t row1, uint32_t out0,
                              uint32_t out1, const real *x, const real *w, const real *bias,
                              real *y);
void reference_conv_backward_data(const ConvShape *s, uint32_t row0, uint32_t row1, const real *dy,
                                  const real *w, real *dx, bool accumulate);
void reference_direct_data(const ConvShape *s, uint32_t row0, uint32_t row1, uint32_t in0,
                           uint32_t in1, const real *dy, const real *w, real *dx, bool accumulate);
void reference_conv_backward_weights(const ConvShape *s, uint32_t tap0, uint32_t tap1,
                                     uint32_t out0, uint32_t out1, const real *x, const real *dy,
                                     real *dw);

void reference_winograd_weights(const WinogradShape *s, bool flipped, uint32_t in0, uint32_t in1,
                                const real *w, real *u);
void reference_winograd_tiles(const WinogradShape *s, size_t tile0, size_t tile1, const real *x,
                              const real *u, const real *bias, bool accumulate, real *y,
                              real *work);
void reference_winograd_inputs(const WinogradShape *s, size_t tile0, size_t tile1, const real *x,
                               real *v);
void reference_winograd_channels(const WinogradShape *s, bool flipped, uint32_t out0, uint32_t out1,
                                 const real *v, const real *w, const real *bias, bool accumulate,
                                 real *y, real *work);
void reference_winograd_gradient(const WinogradShape *s, const WinogradPart *part, const real *x,
                                 const real *dy, bool accumulate, real *dw, real *work);

void reference_max_pool_forward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *x,
                                real *y, real *tap);
void reference_max_pool_backward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *dy,
                                 const real *tap, real *dx, bool accumulate);
void reference_avg_pool_forward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *x,
                                real *y);
void reference_avg_pool_backward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *dy,
                                 real *dx, bool accumulate);

/* reference_plane.c */
void reference_plane_gather(const PlaneWindow *p, const real *w, const real *src, real *dst);
void reference_plane_dots(const PlaneWindow *p, const real *src, const real *d, double *sum);
void reference_plane_load(const PlaneWindow *p, const real *scale, const real *shift,
                          const real *src, real *dst);
void reference_plane_store(const PlaneWindow *p, const real *g, const real *act,
                           const PlaneWindow *at, real *dx, bool accumulate, double *sum,
                           double *product);
void reference_plane_blend(const PlaneWindow *p, const real *k, const real *x, const real *dy,
                           real *g);
void reference_plane_product(size_t rows, size_t k, size_t n, const real *a, const real *b, real *c,
                             const RowSteps *c_steps, PlaneMoments *moments);
void reference_plane_outer(size_t rows, size_t k, size_t n, const real *a, const real *d, real *dw);
