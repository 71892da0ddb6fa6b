/*
 * Each mixing row has a stream of its own, so that what a row draws does not depend on the rows
 * around it; the partners come from the stream of the row that mixes.
 *
 * Beta(a, a) is drawn exactly: by Joehnk's method for a <= 1, in logarithms, since u^(1/a)
 * underflows for small a; by Cheng's algorithm BB for larger a (R. C. H. Cheng, "Generating beta
 * variates with nonintegral shape parameters", CACM 21, 1978), of which two equal parameters leave
 * little.
 */
#include "core/data/mix.h"

#include <math.h>
#include <string.h>

/* In (0,1), the middles of 2^52 equal steps: neither 0 nor 1, whose logarithms are not finite. */
static double uniform(Rng *rng)
{
    uint64_t high = rng_u32(rng) >> 6, low = rng_u32(rng) >> 6;

    return ((double)(high << 26 | low) + 0.5) * 0x1p-52;
}

/* x / (x + y) with x = u^(1/a), y = v^(1/a), if x + y <= 1. */
static double beta_small(Rng *rng, double a)
{
    for (;;) {
        double x = log(uniform(rng)) / a, y = log(uniform(rng)) / a;

        if (exp(x) + exp(y) <= 1)
            return 1 / (1 + exp(y - x));
    }
}

static double beta_large(Rng *rng, double a)
{
    double root = sqrt(a);

    for (;;) {
        double u = uniform(rng), v = uniform(rng);
        double odds = log(u / (1 - u)) / root; /* of the answer, as a logarithm */
        double w = a * exp(odds);

        if ((a + root) * odds - log(4.0) + 2 * a * log(2 * a / (a + w)) >= log(u * u * v))
            return w / (a + w);
    }
}

double mix_beta(Rng *rng, double a)
{
    return a <= 1 ? beta_small(rng, a) : beta_large(rng, a);
}

bool mix_draw(const Choice *augment, uint32_t augments, uint64_t seed, uint32_t step,
              ImageSize size, uint32_t count, Mix *ret, uint32_t *ret_partner)
{
    for (uint32_t i = 0; i < augments; i++) {
        const Augmentation *row = augmentation_table[augment[i].row];
        Rng rng = rng_at(seed, RNG_MIX, step, i);

        if (row->mix != NULL && row->mix(augment[i].value, &rng, size, ret)) {
            rng_permutation(&rng, count, ret_partner);
            return true;
        }
    }
    return false;
}

void mix_images(const Mix *mix, ImageSize size, float *image, const float *partner)
{
    size_t row = (size_t)size.width * size.channels;
    float own = (float)mix->own, other = (float)(1 - mix->own);

    if (mix->paste) {
        for (size_t y = mix->top; y < mix->bottom; y++) {
            size_t at = y * row + (size_t)mix->left * size.channels;

            memcpy(image + at, partner + at,
                   (size_t)(mix->right - mix->left) * size.channels * sizeof *image);
        }
        return;
    }
    for (size_t i = 0; i < size.height * row; i++)
        image[i] = own * image[i] + other * partner[i];
}
