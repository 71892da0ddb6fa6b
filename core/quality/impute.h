/*
 * impute -- pixels taken out of an image and filled in from what is around them.
 *
 * Each pixel that is out becomes the weighted mean of its eight neighbours, 1/6 for those beside,
 * above and below it and 1/12 for the diagonal ones, with those that are out being unknowns, too: a
 * system of linear equations. At the border the weights of what is missing are dropped. Pure: any
 * thread. Source: Rong et al., "A consistent and efficient evaluation strategy for attribution
 * methods" (ROAD), ICML 2022.
 */
#pragma once

#include <stdint.h>

enum { IMPUTE_ROOM = 6 }; /* doubles a pixel of working memory */

/*
 * image: [height,width,channels]. out: which pixels, by index, `count` of them, not all of the
 * image's. Fills them in, in `image`. room: IMPUTE_ROOM * height * width doubles.
 */
void impute(uint32_t height, uint32_t width, uint32_t channels, const uint32_t *out, uint32_t count,
            double *room, float *image);
