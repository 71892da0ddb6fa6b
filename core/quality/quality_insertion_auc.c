/*
 * insertion_auc -- pixels come into a blurred image, the most salient first, 32 at a time: the area
 * under the class's probability. The blur is Gaussian, 7 x 7, sigma 2, reflected at the border.
 * Source: Petsiuk et al., "RISE", BMVC 2018.
 */
#include <math.h>
#include <string.h>

#include "core/quality/steps.h"

enum { RADIUS = 3 };
static const double sigma = 2;

/* Position i of 0..count-1, mirrored at the ends without repeating them. */
static size_t reflect(int64_t i, uint32_t count)
{
    int64_t period = count > 1 ? 2 * ((int64_t)count - 1) : 1;

    i = i < 0 ? -i : i;
    i %= period;
    return (size_t)(i < count ? i : period - i);
}

/* `count` numbers `stride` apart, from *in to *out. */
static void blur_line(const double gauss[2 * RADIUS + 1], uint32_t count, size_t stride,
                      const float *in, float *out)
{
    for (uint32_t i = 0; i < count; i++) {
        double sum = 0;

        for (int d = -RADIUS; d <= RADIUS; d++)
            sum += gauss[d + RADIUS] * (double)in[reflect((int64_t)i + d, count) * stride];
        out[i * stride] = (float)sum;
    }
}

/* Along the rows, then along the columns; room: [H,W,C] floats. */
static void blur(const Picture *p, float *room, float *ret)
{
    double gauss[2 * RADIUS + 1], sum = 0;
    size_t row = (size_t)p->width * p->channels;

    for (int d = -RADIUS; d <= RADIUS; d++)
        sum += gauss[d + RADIUS] = exp(-d * d / (2 * sigma * sigma));
    for (int d = 0; d <= 2 * RADIUS; d++)
        gauss[d] /= sum;
    for (uint32_t y = 0; y < p->height; y++)
        for (uint32_t c = 0; c < p->channels; c++)
            blur_line(gauss, p->width, p->channels, p->pixels + y * row + c, room + y * row + c);
    for (size_t i = 0; i < row; i++)
        blur_line(gauss, p->height, row, room + i, ret + i);
}

static void alter(const Picture *p, uint32_t pass, double *room, float *ret)
{
    size_t there = steps_pixels(p, pass);

    blur(p, (float *)room, ret);
    for (size_t i = 0; i < there; i++)
        memcpy(ret + (size_t)p->order[i] * p->channels,
               p->pixels + (size_t)p->order[i] * p->channels, p->channels * sizeof *ret);
}

extern const Metric metric_insertion_auc;
const Metric metric_insertion_auc = {
    .described = { .name = "insertion_auc",
                   .summary = "probability while the most salient pixels come" },
    .passes = steps_passes,
    .alter = alter,
    .value = steps_area,
};
