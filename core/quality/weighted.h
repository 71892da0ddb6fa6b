/* weighted -- what average_drop and increase share: the image times its map, which is scored. */
#pragma once

#include "core/quality/metric.h"

uint32_t weighted_passes(size_t pixels);
void weighted_alter(const Picture *picture, uint32_t pass, double *room, float *ret);
