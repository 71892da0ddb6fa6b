/* pointing -- what the pointing games share. Pure functions: any thread. */
#pragma once

#include "core/quality/metric.h"

/* Whether a pixel is on the object, or at most 2 pixels (Euclidean) from it. */
bool pointing_hits(const Picture *picture, uint32_t pixel);
/* 1 where the map's largest value, the first of equal ones, hits; 0 of a map without contrast. */
double pointing_value(const Picture *picture);
