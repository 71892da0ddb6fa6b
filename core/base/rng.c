/* The counter is {block number, index, epoch, purpose}; the key is the seed. */
#include "core/base/rng.h"

#include <math.h>

void philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t ret[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];

    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;

        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    ret[0] = c0;
    ret[1] = c1;
    ret[2] = c2;
    ret[3] = c3;
}

Rng rng_at(uint64_t seed, RngPurpose purpose, uint32_t epoch, uint32_t index)
{
    return (Rng){
        .key = { (uint32_t)seed, (uint32_t)(seed >> 32) },
        .counter = { 0, index, epoch, (uint32_t)purpose },
    };
}

Rng rng_at_node(uint64_t seed, uint32_t node, uint32_t step, uint32_t index)
{
    Rng rng = rng_at(seed, RNG_OPERATION, step, index);

    rng.counter[3] |= node << 8;
    return rng;
}

uint32_t rng_u32(Rng *rng)
{
    if (rng->left == 0) {
        philox4x32_10(rng->counter, rng->key, rng->block);
        rng->counter[0]++;
        rng->left = 4;
    }
    return rng->block[4 - rng->left--];
}

uint32_t rng_below(Rng *rng, uint32_t bound)
{
    uint32_t threshold =
        -bound % bound; /* 2^32 mod bound: the words below it would be drawn too often */

    for (;;) {
        uint64_t product = (uint64_t)rng_u32(rng) * bound;

        if ((uint32_t)product >= threshold)
            return (uint32_t)(product >> 32);
    }
}

float rng_uniform(Rng *rng)
{
    return (float)(rng_u32(rng) >> 8) * 0x1p-24f;
}

float rng_normal(Rng *rng)
{
    double u = ((double)rng_u32(rng) + 1.0) * 0x1p-32; /* (0,1]: the logarithm stays finite */
    double angle = 6.283185307179586 * (double)rng_u32(rng) * 0x1p-32;

    return (float)(sqrt(-2.0 * log(u)) * cos(angle));
}

void rng_permutation(Rng *rng, uint32_t count, uint32_t *ret)
{
    for (uint32_t i = 0; i < count; i++)
        ret[i] = i;
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = rng_below(rng, i);
        uint32_t swap = ret[i - 1];

        ret[i - 1] = ret[j];
        ret[j] = swap;
    }
}
