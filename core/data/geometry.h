/* geometry -- images of bytes [H,W,C] moved and mirrored. `in` and `out` do not overlap. */
#pragma once

#include "core/data/augment.h"

/* Pixel (y, x) of `out` is pixel (y + down, x + right) of `in`, reflected at the borders as often
 * as it takes, without repeating the border itself (an image of one row has only that). */
void image_shift(ImageSize size, int64_t down, int64_t right, const uint8_t *in, uint8_t *out);

/* Left and right change places. */
void image_flip(ImageSize size, const uint8_t *in, uint8_t *out);
