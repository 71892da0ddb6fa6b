/* random -- U(0,1) at the resolution of heat maps, the same for (seed, image) always. */
#include "core/base/rng.h"
#include "core/quality/baseline.h"

static void draw(const Picture *picture, uint32_t h, uint32_t w, float *ret)
{
    Rng rng = rng_at(picture->seed, RNG_QUALITY, DRAW_RANDOM, picture->item);

    for (size_t i = 0; i < (size_t)h * w; i++)
        ret[i] = rng_uniform(&rng);
}

extern const Baseline baseline_random;
const Baseline baseline_random = {
    .described = { .name = "random", .summary = "uniform noise at the resolution of heat maps" },
    .coarse = true,
    .draw = draw,
};
