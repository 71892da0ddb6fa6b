/*
 * Scaling comes before resizing, as in the CAM papers' code: the resized map may then stay below 1
 * where the peak falls between output pixels. Viridis is sixteen points of the published table with
 * straight lines between them; jet is piecewise linear by definition.
 */
#include "core/explain/render.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/checked.h"

typedef struct Float3 {
    float channel[3];
} Float3;

/* The colour of x in 0..1, 0..255 a channel. */
static Float3 viridis(float x)
{
    static const uint8_t point[16][3] = {
        { 68, 1, 84 },    { 72, 26, 108 },  { 71, 47, 125 },  { 65, 68, 135 },
        { 57, 86, 140 },  { 49, 104, 142 }, { 42, 120, 142 }, { 35, 136, 142 },
        { 31, 152, 139 }, { 34, 168, 132 }, { 53, 183, 121 }, { 84, 197, 104 },
        { 122, 209, 81 }, { 165, 219, 54 }, { 210, 226, 27 }, { 253, 231, 37 },
    };
    float at = x * 15;
    int i = at >= 14 ? 14 : (int)at;
    Float3 c;

    for (int k = 0; k < 3; k++)
        c.channel[k] =
            (float)point[i][k] + (at - (float)i) * (float)(point[i + 1][k] - point[i][k]);
    return c;
}

/* Three tents, 1/4 apart: red's on 3/4, green's on 1/2, blue's on 1/4. */
static Float3 jet(float x)
{
    Float3 c;

    for (int k = 0; k < 3; k++) {
        float y = 1.5f - fabsf(4 * x - (float)(3 - k));

        c.channel[k] = 255 * (y < 0 ? 0 : y > 1 ? 1 : y);
    }
    return c;
}

const char *const colormap_names[COLORMAP_COUNT + 1] = {
    [COLORMAP_VIRIDIS] = "viridis", [COLORMAP_JET] = "jet", [COLORMAP_COUNT] = NULL
};

static Float3 (*const colormaps[COLORMAP_COUNT])(float x) = {
    [COLORMAP_VIRIDIS] = viridis, [COLORMAP_JET] = jet
};

void rgb_clear(Rgb *rgb)
{
    free(rgb->pixels);
    *rgb = (Rgb){ 0 };
}

static float finite_or_zero(float x)
{
    return isfinite(x) ? x : 0;
}

/* Where output pixel `i` lies between two input pixels. */
typedef struct Tap {
    uint32_t first, second;
    float weight; /* of the second */
} Tap;

static Tap tap_at(uint32_t i, uint32_t in, uint32_t out)
{
    float at = ((float)i + 0.5f) * ((float)in / (float)out) - 0.5f;
    uint32_t first;

    if (at < 0)
        at = 0;
    first = (uint32_t)at;
    if (first > in - 1)
        first = in - 1;
    return (Tap){ first, first + 1 < in ? first + 1 : first, at - (float)first };
}

void resize_bilinear(const float *in, uint32_t h, uint32_t w, float *out, uint32_t out_h,
                     uint32_t out_w)
{
    for (uint32_t y = 0; y < out_h; y++) {
        Tap v = tap_at(y, h, out_h);
        const float *top = in + (size_t)v.first * w, *bottom = in + (size_t)v.second * w;

        for (uint32_t x = 0; x < out_w; x++) {
            Tap u = tap_at(x, w, out_w);
            float above = (1 - u.weight) * finite_or_zero(top[u.first]) +
                          u.weight * finite_or_zero(top[u.second]);
            float below = (1 - u.weight) * finite_or_zero(bottom[u.first]) +
                          u.weight * finite_or_zero(bottom[u.second]);

            *out++ = (1 - v.weight) * above + v.weight * below;
        }
    }
}

/* To 0..1. In double, because max - min of two floats may exceed a float. */
static void scale_to_one(const float *map, size_t count, float *ret)
{
    double min = finite_or_zero(map[0]), max = min;

    for (size_t i = 1; i < count; i++) {
        double x = finite_or_zero(map[i]);

        min = x < min ? x : min;
        max = x > max ? x : max;
    }
    for (size_t i = 0; i < count; i++)
        ret[i] = (float)((finite_or_zero(map[i]) - min) / (1e-7 + max - min));
}

static Status spec_check(const RenderSpec *spec, Error *err)
{
    Status s = STATUS_OK;

    if (spec->scale < 1 || spec->scale > RENDER_SCALE_MAX)
        s = error_add(err, STATUS_INVALID, "/scale", "must be 1 to %d", RENDER_SCALE_MAX);
    if (!(spec->blend >= 0 && spec->blend <= 1)) /* so that NaN fails */
        s = error_add(err, STATUS_INVALID, "/blend", "must be 0 to 1");
    if ((unsigned)spec->colormap >= COLORMAP_COUNT)
        s = error_add(err, STATUS_INVALID, "/colormap", "must be viridis or jet");
    return s;
}

/* Colours heat [H,W] over the enlarged image. */
static void blend(const float *heat, const uint8_t *image, uint32_t channels,
                  const RenderSpec *spec, Rgb *rgb)
{
    uint32_t image_w = rgb->width / spec->scale;
    uint8_t *out = rgb->pixels;

    for (uint32_t y = 0; y < rgb->height; y++)
        for (uint32_t x = 0; x < rgb->width; x++) {
            size_t at = (size_t)(y / spec->scale) * image_w + x / spec->scale;
            Float3 color = colormaps[spec->colormap](*heat++);

            for (uint32_t k = 0; k < 3; k++) {
                float below = (float)image[at * channels + (channels == 3 ? k : 0)];
                float mixed = (1 - spec->blend) * below + spec->blend * color.channel[k];

                *out++ = (uint8_t)(mixed + 0.5f);
            }
        }
}

Status render_heatmap(const float *map, uint32_t map_h, uint32_t map_w, const uint8_t *image,
                      uint32_t h, uint32_t w, uint32_t channels, const RenderSpec *spec, Rgb *ret,
                      Error *err)
{
    size_t count = 0, map_bytes = 0, bytes = 0;
    float *scaled = NULL, *heat = NULL;
    Rgb rgb = { 0 };
    Status s = spec_check(spec, err);

    if (s != STATUS_OK)
        return s;
    if (map_h == 0 || map_w == 0 || h == 0 || w == 0 || (channels != 1 && channels != 3))
        return error_set(err, STATUS_BAD_SHAPE,
                         "cannot draw a map of %ux%u over an image of %ux%u with %u channels",
                         map_w, map_h, w, h, channels);
    if (h <= UINT32_MAX / spec->scale && w <= UINT32_MAX / spec->scale &&
        checked_mul((size_t)h * spec->scale, (size_t)w * spec->scale, &count) &&
        checked_mul(count, sizeof *heat, &bytes) &&
        checked_mul((size_t)map_h * map_w, sizeof *scaled, &map_bytes)) {
        rgb = (Rgb){ h * spec->scale, w * spec->scale, malloc(count * 3) };
        heat = malloc(bytes);
        scaled = malloc(map_bytes);
    }
    if (rgb.pixels == NULL || heat == NULL || scaled == NULL) {
        rgb_clear(&rgb);
        s = error_set(err, STATUS_NO_MEMORY, "cannot allocate a picture of %ux%u pixels times %u",
                      w, h, spec->scale);
    } else {
        scale_to_one(map, (size_t)map_h * map_w, scaled);
        resize_bilinear(scaled, map_h, map_w, heat, rgb.height, rgb.width);
        blend(heat, image, channels, spec, &rgb);
        *ret = rgb;
    }
    free(heat);
    free(scaled);
    return s;
}
