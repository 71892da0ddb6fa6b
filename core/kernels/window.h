/*
 * window -- a sliding window along one axis: output o meets, through tap t, the input
 * o*stride + t*dilation - padding, where that lies inside.
 */
#pragma once

#include <stdint.h>

typedef struct Axis {
    uint32_t in, out; /* sizes */
    uint32_t stride, padding, dilation;
} Axis;

enum { AXIS_OUTSIDE = -1 };

/* The input that output `o` meets through `tap`, or AXIS_OUTSIDE. */
static inline int64_t axis_input(const Axis *a, uint32_t o, uint32_t tap)
{
    int64_t at = (int64_t)o * a->stride + (int64_t)tap * a->dilation - a->padding;

    return at >= 0 && at < a->in ? at : AXIS_OUTSIDE;
}

/* The output that meets input `i` through `tap`, or AXIS_OUTSIDE. */
static inline int64_t axis_output(const Axis *a, uint32_t i, uint32_t tap)
{
    int64_t at = (int64_t)i + a->padding - (int64_t)tap * a->dilation;

    if (at < 0 || (a->stride > 1 && (uint64_t)at % a->stride != 0))
        return AXIS_OUTSIDE;
    at = (int64_t)((uint64_t)at / a->stride);
    return at < a->out ? at : AXIS_OUTSIDE;
}
