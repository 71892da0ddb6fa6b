/*
 * separable -- y = pointwise(depthwise(max(n(x), 0))) of an architecture search, where n(x) is x or
 * x*scale + shift: half of DARTS' separable convolutions, and the whole of its dilated ones. The
 * batch norms on both sides are part of it: the moments of y are taken while it is written, and the
 * gradient of y is given by that of the normalised y.
 *
 * x: [N,H,W,C]; weights in memory: depthwise [k,k,1,C], pointwise [C,C]; y: [N,OH,OW,C].
 */
#pragma once

#include "core/ops/statistics.h"

enum { SEPARABLE_KERNEL_MAX = 15 };

/* The sizes of a call, and where its memory is cut; see separable.c. */
typedef struct SeparableLayout {
    uint32_t n, h, w, c, oh, ow; /* n: images of the batch */
    uint32_t kernel, stride, dilation, padding, taps;
    uint32_t images; /* of a job */
    uint32_t jobs_of_block, jobs, lanes;
    size_t t;                     /* numbers of a pixel in a job */
    uint32_t act_h, act_w;        /* of the padded activation */
    uint32_t low, grad_h, grad_w; /* margin of the padded gradient, and its size */
    uint32_t strip, in_strip;     /* rows of a job's output, of its input, at a time */
    /* numbers from the beginning of a working memory */
    size_t act, maps, grad, weights, factors, rows, work, room;
    /* doubles from the beginning of a lane's sums */
    size_t depthwise, pointwise, sums, moments, lane;
} SeparableLayout;

/* kernel: odd, up to SEPARABLE_KERNEL_MAX. */
SeparableLayout separable_layout(const Shape *x, uint32_t kernel, uint32_t stride,
                                 uint32_t dilation);
/* Of the memory that a call works in; a multiple of a cache line. */
size_t separable_bytes(const SeparableLayout *l);

/* One call. */
typedef struct Separable {
    const OpCall *call; /* pool and kernels */
    SeparableLayout l;
    void *memory;          /* separable_bytes() */
    const real *x, *scale; /* scale: [2,C], and shift; NULL: x is not normalised */
    const real *depthwise, *pointwise;
    real *y;
    /* separable_backward() only. The gradient of y is
     * blend[0]*dy + blend[1]*(y - blend[2]) + blend[3], [C] each. */
    const real *dy, *blend;
    /* NULL: not wanted. With `scale` it is that in front of the ReLU, and overwritten. */
    real *dx;
    bool accumulate;
    real *d_depthwise, *d_pointwise; /* added to; NULL: not wanted */
} Separable;

/* Writes y; and moments [C] of its channels, unless NULL. */
void separable_forward(const Separable *s, Moments *moments);
/* With g = dx as it is in front of the ReLU, per channel: sums [2,C] = the sums of g and of
 * g (x*scale + shift); NULL where there is no scale. */
void separable_backward(const Separable *s, double *sums);
