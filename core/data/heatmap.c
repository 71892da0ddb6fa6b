/*
 * A result pixel lies between two rows and two columns of the map: four taps, whose weights serve
 * both directions.
 */
#include "core/data/heatmap.h"

#include <string.h>

static const double range_slack = 1e-7; /* of max - min, as the method has it */

typedef struct Range {
    size_t low, high; /* where the first minimum and the first maximum are */
    double scale;     /* 1/(1e-7 + max - min) */
} Range;

static Range range_of(size_t count, const real *map)
{
    Range r = { 0 };

    for (size_t i = 1; i < count; i++) {
        r.low = map[i] < map[r.low] ? i : r.low;
        r.high = map[i] > map[r.high] ? i : r.high;
    }
    r.scale = 1 / (range_slack + (double)map[r.high] - (double)map[r.low]);
    return r;
}

void heatmap_normalise(size_t count, real *map)
{
    Range r = range_of(count, map);
    double low = (double)map[r.low];

    for (size_t i = 0; i < count; i++)
        map[i] = (real)(((double)map[i] - low) * r.scale);
}

/* Where result position i lies along one side: between `first` and `second`. */
typedef struct Tap {
    uint32_t first, second;
    real weight; /* of the second */
} Tap;

static Tap tap_at(uint32_t i, uint32_t in, uint32_t out)
{
    double at = ((double)i + 0.5) * ((double)in / (double)out) - 0.5;
    uint32_t first;

    at = at < 0 ? 0 : at;
    first = (uint32_t)at;
    first = first > in - 1 ? in - 1 : first;
    return (Tap){ first, first + 1 < in ? first + 1 : first, (real)(at - (double)first) };
}

void heatmap_resize(uint32_t h, uint32_t w, const real *map, uint32_t height, uint32_t width,
                    size_t stride, real *ret)
{
    for (uint32_t y = 0; y < height; y++) {
        Tap v = tap_at(y, h, height);
        const real *top = map + (size_t)v.first * w, *bottom = map + (size_t)v.second * w;

        for (uint32_t x = 0; x < width; x++, ret += stride) {
            Tap u = tap_at(x, w, width);
            real above = (1 - u.weight) * top[u.first] + u.weight * top[u.second];
            real below = (1 - u.weight) * bottom[u.first] + u.weight * bottom[u.second];

            *ret = (1 - v.weight) * above + v.weight * below;
        }
    }
}

/* The transpose of heatmap_resize(): each result's gradient goes to its four taps. */
static void resize_backward(uint32_t h, uint32_t w, uint32_t height, uint32_t width, size_t stride,
                            const real *gradient, real *ret)
{
    memset(ret, 0, (size_t)h * w * sizeof *ret);
    for (uint32_t y = 0; y < height; y++) {
        Tap v = tap_at(y, h, height);
        real *top = ret + (size_t)v.first * w, *bottom = ret + (size_t)v.second * w;

        for (uint32_t x = 0; x < width; x++, gradient += stride) {
            Tap u = tap_at(x, w, width);
            real above = (1 - v.weight) * *gradient, below = v.weight * *gradient;

            top[u.first] += (1 - u.weight) * above;
            top[u.second] += u.weight * above;
            bottom[u.first] += (1 - u.weight) * below;
            bottom[u.second] += u.weight * below;
        }
    }
}

/* y_i = (x_i - min) s with s = 1/(1e-7 + max - min): a change of min or max moves every y. */
void heatmap_backward(uint32_t h, uint32_t w, const real *map, uint32_t height, uint32_t width,
                      size_t stride, const real *out_gradient, real *ret)
{
    size_t count = (size_t)h * w;
    Range r = range_of(count, map);
    double low = (double)map[r.low], sum = 0, weighted = 0;

    resize_backward(h, w, height, width, stride, out_gradient, ret);
    for (size_t i = 0; i < count; i++) {
        sum += (double)ret[i];
        weighted += (double)ret[i] * ((double)map[i] - low);
        ret[i] = (real)((double)ret[i] * r.scale);
    }
    weighted *= r.scale * r.scale;
    ret[r.low] += (real)(weighted - sum * r.scale);
    ret[r.high] -= (real)weighted;
}
