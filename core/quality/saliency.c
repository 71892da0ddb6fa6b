/*
 * A pixel's key holds bits that order as the values do, and its index: keys are all different, so
 * that any sort gives the one order. Heapsort needs no memory.
 */
#include "core/quality/saliency.h"

#include <math.h>
#include <string.h>

#include "core/data/heatmap.h"

void saliency_of(uint32_t h, uint32_t w, float *map, uint32_t height, uint32_t width, float *ret)
{
    for (size_t i = 0; i < (size_t)h * w; i++)
        map[i] = isfinite(map[i]) && map[i] > 0 ? map[i] : 0;
    heatmap_normalise((size_t)h * w, map);
    heatmap_resize(h, w, map, height, width, 1, ret);
    heatmap_normalise((size_t)height * width, ret);
}

static void sift(uint64_t *keys, size_t at, size_t count)
{
    uint64_t key = keys[at];

    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && keys[child + 1] > keys[child])
            child++;
        if (keys[child] <= key)
            break;
        keys[at] = keys[child];
    }
    keys[at] = key;
}

void sort_keys(uint64_t *keys, size_t count)
{
    for (size_t i = count / 2; i-- > 0;)
        sift(keys, i, count);
    for (size_t left = count; left-- > 1;) {
        uint64_t largest = keys[0];

        keys[0] = keys[left];
        keys[left] = largest;
        sift(keys, 0, left);
    }
}

uint32_t order_bits(float x)
{
    float value = x + 0.0f; /* no negative zero */
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
}

void saliency_order(const float *map, size_t count, uint64_t *keys, uint32_t *ret)
{
    for (size_t i = 0; i < count; i++)
        keys[i] = (uint64_t)~order_bits(map[i]) << 32 | i;
    sort_keys(keys, count);
    for (size_t i = 0; i < count; i++)
        ret[i] = (uint32_t)keys[i];
}
