/* likeness -- how alike two maps of one size are. Pure functions: any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Spearman's rank correlation, equal values sharing the mean of their ranks: -1..1. Where a map is
 * constant it has none: two constant maps answer 1 (nothing has changed), else 0. No number is NaN.
 * room: LIKENESS_ROOM * count doubles.
 */
enum { LIKENESS_ROOM = 3 };
double likeness_spearman(const float *a, const float *b, size_t count, double *room);
/*
 * The mean structural similarity of two maps [h,w] of 0..1 over all places of a Gaussian window of
 * 11 x 11, sigma 1.5, which is cut at the border; constants 0.01^2 and 0.03^2.
 * Source: Wang et al., "Image quality assessment", 2004, eq. 13.
 */
double likeness_ssim(uint32_t h, uint32_t w, const float *a, const float *b);
