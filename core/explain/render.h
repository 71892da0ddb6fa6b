/*
 * render -- a heat map laid over its image, as RGB pixels.
 *
 * The map is scaled to 0..1 ((x - min)/(1e-7 + max - min)), resized bilinearly with half-pixel
 * centres (align_corners=False in PyTorch), coloured, and blended over the image, which is enlarged
 * by whole pixels. Whatever a map holds, the result is an image: values that are not finite count
 * as 0, and a constant map is 0 everywhere.
 */
#pragma once

#include <stdint.h>

#include "core/base/error.h"

enum { RENDER_SCALE_MAX = 32 };

typedef enum Colormap { COLORMAP_VIRIDIS, COLORMAP_JET, COLORMAP_COUNT } Colormap;
extern const char *const colormap_names[COLORMAP_COUNT + 1];

typedef struct RenderSpec {
    uint32_t scale; /* 1..RENDER_SCALE_MAX: output pixels an image pixel */
    float blend;    /* 0: the image alone, 1: the map alone */
    Colormap colormap;
} RenderSpec;

typedef struct Rgb {
    uint32_t height, width;
    uint8_t *pixels; /* [H,W,3]; rgb_clear() frees it */
} Rgb;

void rgb_clear(Rgb *rgb);

/*
 * map: [map_h,map_w]; image: bytes [h,w,channels], 1 or 3 channels. STATUS_INVALID, with pointer
 * "/scale", "/blend" or
 * "/colormap"; STATUS_BAD_SHAPE for an empty map or image or another number of channels.
 */
CHECKED Status render_heatmap(const float *map, uint32_t map_h, uint32_t map_w,
                              const uint8_t *image, uint32_t h, uint32_t w, uint32_t channels,
                              const RenderSpec *spec, Rgb *ret, Error *err);

/* [h,w] -> [out_h,out_w], bilinear, half-pixel centres. No dimension is 0; `in` and `out` do not
 * overlap. */
void resize_bilinear(const float *in, uint32_t h, uint32_t w, float *out, uint32_t out_h,
                     uint32_t out_w);
