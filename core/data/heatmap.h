/*
 * heatmap -- a heat map made ready to reweight its image: (x - min)/(1e-7 + max(x - min)), then
 * resized to the image's size, bilinear with half-pixel centres (align_corners=False in PyTorch).
 * Written for `real`; the double-precision build is reweight64_dep. Pure functions: any thread.
 */
#pragma once

#include "core/base/shape.h"

/* `count` > 0 numbers, in place. */
void heatmap_normalise(size_t count, real *map);
/* Number y * W + x of the result is at ret[(y * W + x) * stride], so that maps can lie beside each
 * other as channels. `map` [h,w] and `ret` do not overlap. */
void heatmap_resize(uint32_t h, uint32_t w, const real *map, uint32_t height, uint32_t width,
                    size_t stride, real *ret);
/*
 * Back through both: from the gradient of the result [H,W] (`stride` as above) that of the map
 * [h,w] as it was before heatmap_normalise(); the first minimum and maximum take their shares.
 */
void heatmap_backward(uint32_t h, uint32_t w, const real *map, uint32_t height, uint32_t width,
                      size_t stride, const real *out_gradient, real *ret);
