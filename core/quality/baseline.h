/*
 * baseline -- maps that explain nothing, for comparison: one file `baseline_x.c` and one row in
 * meson.build each. What a method does not do better than these it does not do. Pure functions: any
 * thread.
 */
#pragma once

#include "core/quality/metric.h"

typedef struct Baseline {
    Described described;
    bool coarse; /* drawn at the resolution of the network's heat maps, else of the image */
    /* picture: without saliency, order and score. ret: [h,w], finite. */
    void (*draw)(const Picture *picture, uint32_t h, uint32_t w, float *ret);
} Baseline;

extern const Baseline *const baseline_table[]; /* NULL-terminated */
