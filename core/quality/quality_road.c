/*
 * road -- remove and debias: 10, 20, ..., 90 % of the pixels are taken out and filled in from their
 * surroundings (impute.h), so that what is missing leaves no shape of its own; once the least
 * relevant ones (LeRF), once the most relevant (MoRF): the mean of (LeRF - MoRF)/2 of the class's
 * probability, -0.5..0.5. Counts are exact, rounded to whole pixels; Gaussian noise of 0.01 in
 * units of the normalised image lies on what was filled in.
 * Source: Rong et al., "A consistent and efficient evaluation strategy for attribution methods",
 * ICML 2022.
 */
#include <string.h>

#include "core/base/rng.h"
#include "core/quality/impute.h"
#include "core/quality/metric.h"

_Static_assert((int)IMPUTE_ROOM <= (int)METRIC_ROOM, "the room that a metric has");

enum { SHARES = 9 };
static const double noise = 0.01;

static uint32_t passes(size_t pixels)
{
    (void)pixels;
    return 2 * SHARES;
}

/* Picture 2 i: without the (i + 1) * 10 % most relevant pixels; 2 i + 1: without the least. */
static void alter(const Picture *p, uint32_t pass, double *room, float *ret)
{
    size_t pixels = picture_pixels(p), count = (pixels * (pass / 2 + 1) + 5) / 10;
    Rng rng = rng_at(p->seed, RNG_QUALITY, DRAW_ROAD + pass, p->item);
    const uint32_t *out;

    count = count < pixels ? count : pixels - 1; /* of a handful of pixels */
    out = pass % 2 == 0 ? p->order : p->order + (pixels - count);
    memcpy(ret, p->pixels, pixels * p->channels * sizeof *ret);
    impute(p->height, p->width, p->channels, out, (uint32_t)count, room, ret);
    for (size_t i = 0; i < count; i++)
        for (uint32_t c = 0; c < p->channels; c++)
            ret[(size_t)out[i] * p->channels + c] += (float)(noise * (double)rng_normal(&rng));
}

static double value(const Picture *p, const double *scores)
{
    double sum = 0;

    (void)p;
    for (int i = 0; i < SHARES; i++)
        sum += (scores[2 * i + 1] - scores[2 * i]) / 2;
    return sum / SHARES;
}

extern const Metric metric_road;
const Metric metric_road = {
    .described = { .name = "road",
                   .summary =
                       "probability without the least relevant pixels, less that without the "
                       "most relevant ones, halved" },
    .passes = passes,
    .alter = alter,
    .value = value,
};
