/* The normalised image: where the map is 0 there is the mean colour. */
#include "core/quality/weighted.h"

uint32_t weighted_passes(size_t pixels)
{
    (void)pixels;
    return 1;
}

void weighted_alter(const Picture *p, uint32_t pass, double *room, float *ret)
{
    (void)pass;
    (void)room;
    for (size_t i = 0; i < picture_pixels(p); i++)
        for (uint32_t c = 0; c < p->channels; c++)
            ret[i * p->channels + c] = p->pixels[i * p->channels + c] * p->saliency.map[i];
}
