/*
 * kernels -- the numeric loops, on plain pointers: one table that a CPU family fills.
 *
 * A kernel works on one unit of work and calls no pool: the operations (core/ops) cut the work.
 * "Rows" are vectors of C channels; an activation in the blocked layout is N*H*W contiguous rows,
 * whatever its blocks are, so all but the convolutions see plain [rows, C]. Nothing here allocates,
 * locks or keeps state.
 *
 * Families: generic (any CPU), avx2, avx512: the same loops, compiled for the instructions
 * (loops.c); and `reference`, which is written naively from the formulas and serves as the tests'
 * ruler. In the double-precision build (core/base/real.h) there are generic and reference.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/base/real.h"
#include "core/kernels/plane.h"
#include "core/kernels/winograd.h"

/*
 * One convolution on one block of images: x [H,W,n,I] -> y [OH,OW,n,O], w [kH,kW,I/groups,O]; a
 * group's outputs are neighbours. Output o meets, through tap t, the input o*stride + t*dilation -
 * padding; what lies outside is 0. O*H*W*n and the like fit a size_t; I and O are multiples of
 * groups, and each dimension stays below 2^31.
 */
typedef struct ConvShape {
    uint32_t n; /* images in the block, 1..16 */
    uint32_t h, w, in;
    uint32_t oh, ow, out;
    uint32_t kernel_h, kernel_w, stride, padding_h, padding_w, dilation, groups;
} ConvShape;

/* Output channels of direct_forward() and input channels of direct_data(): in multiples of this,
 * and at most so many at a time. */
enum { DIRECT_CHANNELS = 32, DIRECT_CHANNELS_MAX = 64 };

/* One pooling of one block: x [H,W,n,C] -> y [OH,OW,n,C]; padding <= kernel/2, no window is
 * without an input. */
typedef struct PoolShape {
    uint32_t n;
    uint32_t h, w, c;
    uint32_t oh, ow;
    uint32_t kernel, stride, padding;
} PoolShape;

/* Where the ReLU behind a normalisation of x lets through: where its output y > 0; without y, where
 * x*scale + shift > 0, per channel; without either (all NULL), everywhere. */
typedef struct NormMask {
    const real *y, *scale, *shift;
} NormMask;

/* SGD as in PyTorch: g += decay*p; buf = momentum*buf + g; p -= lr*(nesterov ? g + momentum*buf :
 * buf). */
typedef struct SgdSpec {
    real lr, momentum, decay;
    bool nesterov;
} SgdSpec;

/*
 * Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019) as in PyTorch: coupled decay
 * is added to the gradient, decoupled decay first scales p by 1 - lr*decay. m = beta1*m +
 * (1 - beta1)*g; v = beta2*v + (1 - beta2)*g^2; p -= lr/(1 - beta1^step) *
 * m/(sqrt(v)/sqrt(1 - beta2^step) + eps). In double, because 1 - beta2 is not exact in float.
 */
typedef struct AdamSpec {
    double lr, beta1, beta2, eps, decay;
    bool decoupled;
    uint64_t step; /* of this update, from 1 */
} AdamSpec;

typedef struct Kernels {
    const char *name;

    /* Rows [row0,row1) of y; bias [O] or NULL. */
    void (*conv_forward)(const ConvShape *s, uint32_t row0, uint32_t row1, const real *x,
                         const real *w, const real *bias, real *y);
    /* Rows [row0,row1) of dx, overwritten or added to. */
    void (*conv_backward_data)(const ConvShape *s, uint32_t row0, uint32_t row1, const real *dy,
                               const real *w, real *dx, bool accumulate);
    /* Adds this block's part of output channels [out0,out1) of taps [tap0,tap1) to dw, which has
     * w's shape; tap = ky*kernel_w + kx. */
    void (*conv_backward_weights)(const ConvShape *s, uint32_t tap0, uint32_t tap1, uint32_t out0,
                                  uint32_t out1, const real *x, const real *dy, real *dw);

    /* Rows [row0,row1) and channels [out0,out1), multiples of DIRECT_CHANNELS, of y; groups: 1. */
    void (*direct_forward)(const ConvShape *s, uint32_t row0, uint32_t row1, uint32_t out0,
                           uint32_t out1, const real *x, const real *w, const real *bias, real *y);
    /* Rows [row0,row1) and channels [in0,in1) of dx, overwritten or added to; groups: 1. */
    void (*direct_data)(const ConvShape *s, uint32_t row0, uint32_t row1, uint32_t in0,
                        uint32_t in1, const real *dy, const real *w, real *dx, bool accumulate);

    /* The weights w [3,3,in,out] from channels [in0,in1), transformed for winograd_tiles(), into u,
     * winograd_weight_numbers() that mean something to the same family only. Flipped: w
     * [3,3,out,in] belongs to the convolution whose input's gradient is wanted. */
    void (*winograd_weights)(const WinogradShape *s, bool flipped, uint32_t in0, uint32_t in1,
                             const real *w, real *u);
    /* Tiles [tile0,tile1) of y, overwritten or added to; bias [out] or NULL;
     * work: winograd_tiles_numbers() of so many tiles. */
    void (*winograd_tiles)(const WinogradShape *s, size_t tile0, size_t tile1, const real *x,
                           const real *u, const real *bias, bool accumulate, real *y, real *work);
    /* The other way to cut: the transformed input of tiles [tile0,tile1) into v, which has
     * winograd_input_numbers() that mean something to the same family only; */
    void (*winograd_inputs)(const WinogradShape *s, size_t tile0, size_t tile1, const real *x,
                            real *v);
    /* then channels [out0,out1), multiples of WINOGRAD_CHANNELS, of all tiles of y, overwritten or
     * added to; work: winograd_channels_numbers() of so many channels. */
    void (*winograd_channels)(const WinogradShape *s, bool flipped, uint32_t out0, uint32_t out1,
                              const real *v, const real *w, const real *bias, bool accumulate,
                              real *y, real *work);
    /* The part's numbers of dw [3,3,in,out], overwritten or added to;
     * work: winograd_gradient_numbers() of so many channels. */
    void (*winograd_gradient)(const WinogradShape *s, const WinogradPart *part, const real *x,
                              const real *dy, bool accumulate, real *dw, real *work);

    /* c [m,n] = beta*c + a b, where a is [m,k] or, transposed, [k,m]; b is [k,n] or, transposed,
     * [n,k]. Row strides ld*. */
    void (*gemm)(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, const real *a,
                 size_t lda, const real *b, size_t ldb, real beta, real *c, size_t ldc);

    void (*relu_forward)(size_t count, const real *x, real *y);
    /* dx (+)= dy where y > 0 */
    void (*relu_backward)(size_t count, const real *y, const real *dy, real *dx, bool accumulate);
    void (*gelu_forward)(size_t count, const real *x, real *y);
    void (*gelu_backward)(size_t count, const real *x, const real *dy, real *dx, bool accumulate);
    void (*sigmoid_forward)(size_t count, const real *x, real *y);
    /* dx (+)= dy (y - y*y), from the output. */
    void (*sigmoid_backward)(size_t count, const real *y, const real *dy, real *dx,
                             bool accumulate);
    void (*add)(size_t count, const real *a, const real *b, real *y);
    /* y (+)= a*x */
    void (*axpy)(size_t count, real a, const real *x, real *y, bool accumulate);
    /* sum a*b */
    double (*dot)(size_t count, const real *a, const real *b);

    /* Per channel: sum[C] over the rows. */
    void (*channel_sums)(size_t rows, size_t c, const real *x, double *sum);
    /* Per channel over the rows: mean[C] and m2[C] = sum (x - mean)^2. */
    void (*moments)(size_t rows, size_t c, const real *x, double *mean, double *m2);
    /* y = x*scale + shift, per channel; plus z, where it is not NULL; then, if asked for, what is
     * below 0 becomes 0. */
    void (*norm_forward)(size_t rows, size_t c, const real *x, const real *scale, const real *shift,
                         const real *z, bool relu, real *y);
    /* norm_forward() of y itself and of c channels of many: rows, of z too, begin `step` numbers
     * apart. */
    void (*norm_slice)(size_t rows, size_t c, size_t step, const real *scale, const real *shift,
                       const real *z, bool relu, real *y);
    /* With g = dy where the mask lets through and 0 elsewhere, per channel: sum_g[C] = sum g,
     * sum_gx[C] = sum g*(x - mean). */
    void (*norm_sums)(size_t rows, size_t c, const real *x, const real *dy, const NormMask *mask,
                      const real *mean, double *sum_g, double *sum_gx);
    /* dx (+)= a*g + b*(x - mean) + d, per channel. */
    void (*norm_backward)(size_t rows, size_t c, const real *x, const real *dy,
                          const NormMask *mask, const real *mean, const real *a, const real *b,
                          const real *d, real *dx, bool accumulate);

    /* dst = the window over src. */
    void (*plane_gather)(const PlaneWindow *p, const real *w, const real *src, real *dst);
    /* sum, laid out as w, += the products of what each tap sees with d, which lies as dst does. */
    void (*plane_dots)(const PlaneWindow *p, const real *src, const real *d, double *sum);
    /* dst = max(src*scale + shift, 0), [t] of each; both NULL: of src itself. No taps. */
    void (*plane_load)(const PlaneWindow *p, const real *scale, const real *shift, const real *src,
                       real *dst);
    /* dx (+)= g where act > 0, else 0; g lies as src, dx as dst, act as at's src. Unless they are
     * NULL, and then dx is overwritten: sum [t] and product [t] += those of it and of it and act.
     */
    void (*plane_store)(const PlaneWindow *p, const real *g, const real *act, const PlaneWindow *at,
                        real *dx, bool accumulate, double *sum, double *product);
    /* g = k[0]*dy + k[1]*(x - k[2]) + k[3], [t] of each k; x and dy lie as src, g as dst. No taps.
     */
    void (*plane_blend)(const PlaneWindow *p, const real *k, const real *x, const real *dy,
                        real *g);
    /* c [rows,n] = a [rows,k] b [k,n], b being small; and its moments, where they are not NULL. */
    void (*plane_product)(size_t rows, size_t k, size_t n, const real *a, const real *b, real *c,
                          const RowSteps *c_steps, PlaneMoments *moments);
    /* dw [k,n] += a^T d, of rows [rows,k] and [rows,n]: some hundred, as sums are of `real`. */
    void (*plane_outer)(size_t rows, size_t k, size_t n, const real *a, const real *d, real *dw);

    /* One block: y [n,C] = mean over pixels of x [pixels,n,C]; and dx (+)= dy/pixels. */
    void (*mean_pool)(size_t pixels, size_t n, size_t c, const real *x, real *y);
    void (*mean_pool_backward)(size_t pixels, size_t n, size_t c, const real *dy, real *dx,
                               bool accumulate);

    /* Rows [row0,row1) of y: the largest number of each window, the first one in row-major order
     * where several are equal; a NaN wins (the last). tap = ky*kernel + kx of the one taken. */
    void (*max_pool_forward)(const PoolShape *s, uint32_t row0, uint32_t row1, const real *x,
                             real *y, real *tap);
    /* Rows [row0,row1) of dx, overwritten or added to. */
    void (*max_pool_backward)(const PoolShape *s, uint32_t row0, uint32_t row1, const real *dy,
                              const real *tap, real *dx, bool accumulate);
    /* Rows [row0,row1) of y: the mean over those inputs of each window that are there. */
    void (*avg_pool_forward)(const PoolShape *s, uint32_t row0, uint32_t row1, const real *x,
                             real *y);
    void (*avg_pool_backward)(const PoolShape *s, uint32_t row0, uint32_t row1, const real *dy,
                              real *dx, bool accumulate);

    /* One block: y = x*g, a row g [nc] of factors (images times channels) for every pixel of
     * x [pixels,nc]; and dx (+)= dy*g, dg (+)= sum of dy*x over the pixels. NULL: not wanted. */
    void (*gate_forward)(size_t pixels, size_t nc, const real *x, const real *g, real *y);
    void (*gate_backward)(size_t pixels, size_t nc, const real *x, const real *g, const real *dy,
                          real *dx, bool accumulate_x, real *dg, bool accumulate_g);

    void (*sgd)(size_t count, const SgdSpec *s, const real *g, real *buf, real *p);
    void (*adam)(size_t count, const AdamSpec *s, const real *g, real *m, real *v, real *p);

    /* So many rounds of independent multiply-adds in registers: what the family's instructions can
     * do at most. Answers their FLOPs; *ret depends on all of them. */
    double (*peak)(size_t rounds, real *ret);
} Kernels;

extern const Kernels kernels_reference;

/*
 * The family by name, or, for NULL or "", the one that LEASED_KERNELS in the environment names, or
 * else the best one that this CPU runs. STATUS_INVALID lists the names.
 */
CHECKED Status kernels_select(const char *name, const Kernels **ret, Error *err);
/* The families that this CPU runs, best first, NULL-terminated; `reference` last. */
const Kernels *const *kernels_available(void);
/* The best family's name. */
const char *kernels_family(void);
/* What OpenBLAS chose when it was loaded, e.g. "SkylakeX". */
const char *gemm_core_name(void);
