/* The last step takes what is left, which may be less. */
#include "core/quality/steps.h"

static uint32_t steps_of(size_t pixels)
{
    return (uint32_t)((pixels + STEP_PIXELS - 1) / STEP_PIXELS);
}

uint32_t steps_passes(size_t pixels)
{
    return steps_of(pixels) + 1;
}

size_t steps_pixels(const Picture *picture, uint32_t pass)
{
    size_t all = picture_pixels(picture), some = (size_t)pass * STEP_PIXELS;

    return some < all ? some : all;
}

double steps_area(const Picture *picture, const double *scores)
{
    uint32_t n = steps_of(picture_pixels(picture));
    double sum = -scores[0] / 2 - scores[n] / 2;

    for (uint32_t i = 0; i <= n; i++)
        sum += scores[i];
    return sum / n;
}
