/* centre -- a Gaussian in the middle of every image, sigma a quarter of its sides: objects are
 * mostly there. */
#include <math.h>

#include "core/quality/baseline.h"

static void draw(const Picture *picture, uint32_t h, uint32_t w, float *ret)
{
    (void)picture;
    for (uint32_t y = 0; y < h; y++) {
        for (uint32_t x = 0; x < w; x++) {
            double v = 4 * ((double)y - (double)(h - 1) / 2) / h;
            double u = 4 * ((double)x - (double)(w - 1) / 2) / w;

            *ret++ = (float)exp(-(u * u + v * v) / 2);
        }
    }
}

extern const Baseline baseline_centre;
const Baseline baseline_centre = {
    .described = { .name = "centre", .summary = "a Gaussian in the middle of every image" },
    .draw = draw,
};
