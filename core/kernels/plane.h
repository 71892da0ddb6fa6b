/*
 * plane -- what the kernels of small maps take (core/ops/separable.c): windows
 * over planes that lie with their borders of zeros in a cache, and products of rows by small
 * matrices.
 */
#pragma once

#include <stddef.h>

#include "core/base/real.h"

/* One tap of a window: where its source is, from the pixel's, and its factors, from the first. */
typedef struct PlaneTap {
    size_t at, w;
} PlaneTap;

/*
 * A window that gathers: pixel (i,j) of the target [rows,cols] is the sum over the taps of the
 * source's pixel at i*src_row + j*src_col + tap.at, `t` numbers each, times the tap's own t factors
 * w. Steps are in numbers; every pixel that a tap names is there.
 */
typedef struct PlaneWindow {
    size_t t, rows, cols;
    size_t dst_row, dst_col, src_row, src_col;
    size_t taps;
    const PlaneTap *tap; /* [taps] */
} PlaneWindow;

/* Where the rows of a matrix begin: row r at (r / group)*outer + (r % group)*inner. */
typedef struct RowSteps {
    size_t group, outer, inner;
} RowSteps;

/* Per column over the rows of products c, one after the other: sum[n] of c - about and square[n] of
 * its square, where about[n] is the very first row: so nothing cancels when the mean is far from
 * 0. Of a product with rows == 0 nothing is there before. */
typedef struct PlaneMoments {
    size_t rows;
    real *about;
    double *sum, *square;
    real *work; /* [2,n] */
} PlaneMoments;
