/*
 * saliency -- a heat map at its image's resolution, and the order in which it puts the pixels. Pure
 * functions: any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * A raw map [h,w] as it is looked at: what is below 0 or not finite is 0; (x - min)/(1e-7 + max -
 * min); resized to [height,width], bilinear with half-pixel centres; and scaled once more.
 * `map` is used up.
 */
void saliency_of(uint32_t h, uint32_t w, float *map, uint32_t height, uint32_t width, float *ret);
/* Bits that order as the numbers do, of any that are not NaN; 0 and -0 are the same. */
uint32_t order_bits(float x);
/* The indices 0..count-1 by falling map, equal ones by index. keys: [count] working
 * memory. */
void saliency_order(const float *map, size_t count, uint64_t *keys, uint32_t *ret);
/* Sorts in place, ascending; takes no memory. */
void sort_keys(uint64_t *keys, size_t count);
