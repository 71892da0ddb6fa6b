/* The mask is looked at around the point. */
#include "core/quality/pointing.h"

enum { TOLERANCE = 2 };

bool pointing_hits(const Picture *p, uint32_t pixel)
{
    int64_t y = pixel / p->width, x = pixel % p->width;

    for (int64_t dy = -TOLERANCE; dy <= TOLERANCE; dy++)
        for (int64_t dx = -TOLERANCE; dx <= TOLERANCE; dx++)
            if (dy * dy + dx * dx <= TOLERANCE * TOLERANCE && y + dy >= 0 && x + dx >= 0 &&
                y + dy < p->height && x + dx < p->width &&
                p->mask[(y + dy) * p->width + x + dx] != 0)
                return true;
    return false;
}

double pointing_value(const Picture *p)
{
    return p->saliency.map[p->order[0]] > 0 && pointing_hits(p, p->order[0]) ? 1 : 0;
}
