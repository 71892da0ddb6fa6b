/* cam_rows -- what the rows of the table of heat-map methods share; only for them. */
#pragma once

#include <math.h>
#include <string.h>

#include "core/explain/cam.h"

static inline size_t cam_pixels(const CamInput *in)
{
    return (size_t)in->height * in->width;
}

/* ret = sum_k weight(in, k) A_k, channel by channel. */
static inline void cam_weigh(const CamInput *in, float (*weight)(const CamInput *in, size_t k),
                             float *ret)
{
    size_t pixels = cam_pixels(in), c = in->channels;

    memset(ret, 0, pixels * sizeof *ret);
    for (size_t k = 0; k < c; k++) {
        float w = weight(in, k);

        for (size_t p = 0; p < pixels; p++)
            ret[p] += w * in->activation[p * c + k];
    }
}

/* A map of pixels: sum |G| over the channels. */
static inline void cam_magnitude(const CamInput *in, float *ret)
{
    size_t pixels = cam_pixels(in), c = in->channels;

    for (size_t p = 0; p < pixels; p++) {
        float sum = 0;

        for (size_t k = 0; k < c; k++)
            sum += (float)real_abs(in->gradient[p * c + k]);
        ret[p] = sum;
    }
}
