/* steps -- what deletion and insertion share: so many pixels more in each picture, and an area. */
#pragma once

#include "core/quality/metric.h"

enum { STEP_PIXELS = 32 };

/* n + 1 pictures, of 0, 32, 64, ... and of all pixels. */
uint32_t steps_passes(size_t pixels);
/* How many of the most salient pixels picture `pass` is about. */
size_t steps_pixels(const Picture *picture, uint32_t pass);
/* (sum s - s_0/2 - s_n/2)/n */
double steps_area(const Picture *picture, const double *scores);
