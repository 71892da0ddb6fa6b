/*
 * edges -- the magnitude of the image's gradient (Sobel), summed over the channels: looks like many
 * a pixel map, and knows nothing of any network. At the border the image goes on as it ends.
 */
#include <math.h>

#include "core/quality/baseline.h"

static double at(const Picture *p, int64_t y, int64_t x, uint32_t c)
{
    y = y < 0 ? 0 : y >= p->height ? (int64_t)p->height - 1 : y;
    x = x < 0 ? 0 : x >= p->width ? (int64_t)p->width - 1 : x;
    return (double)p->pixels[(y * p->width + x) * p->channels + c];
}

static void draw(const Picture *p, uint32_t h, uint32_t w, float *ret)
{
    for (int64_t y = 0; y < h; y++) {
        for (int64_t x = 0; x < w; x++) {
            double sum = 0;

            for (uint32_t c = 0; c < p->channels; c++) {
                double dx = 0, dy = 0;

                for (int k = -1; k <= 1; k++) {
                    double weight = k == 0 ? 2 : 1;

                    dx += weight * (at(p, y + k, x + 1, c) - at(p, y + k, x - 1, c));
                    dy += weight * (at(p, y + 1, x + k, c) - at(p, y - 1, x + k, c));
                }
                sum += sqrt(dx * dx + dy * dy);
            }
            *ret++ = (float)sum;
        }
    }
}

extern const Baseline baseline_edges;
const Baseline baseline_edges = {
    .described = { .name = "edges", .summary = "where the image's own edges are" },
    .draw = draw,
};
