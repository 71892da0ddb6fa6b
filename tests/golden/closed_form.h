/*
 * closed_form -- the inputs and weights of the golden tests, the same bits as
 * tests/golden/closed_form.py makes, so that only results are committed.
 *
 * Element i of the array (seed, name) is offset + scale * u, where u in [-1,1) has 24 bits and
 * comes from an integer hash of (seed, name, i). Arrays are row-major in PyTorch's order: images
 * [N,C,H,W], weights [O,I,kH,kW].
 */
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* An integer hash that mixes every bit into every other. */
static inline uint32_t closed_form_mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352dU;
    x ^= x >> 15;
    x *= 0x846ca68bU;
    x ^= x >> 16;
    return x;
}

/* FNV-1a of the name, mixed with the seed. */
static inline uint32_t closed_form_key(uint32_t seed, const char *name)
{
    uint32_t hash = 2166136261U;

    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619U;
    return closed_form_mix(hash ^ closed_form_mix(seed));
}

static inline uint32_t closed_form_hash(uint32_t key, size_t i)
{
    return closed_form_mix(key + 0x9e3779b9U * (uint32_t)(i + 1));
}

/* Element i. Every operation is exact or rounds once in float, as numpy's do. */
static inline float closed_form_at(uint32_t key, size_t i, float offset, float scale)
{
    float u = (float)((int32_t)(closed_form_hash(key, i) >> 8) - (1 << 23)) / (float)(1 << 23);
    volatile float scaled = scale * u; /* volatile: never fused with the addition */

    return offset + scaled;
}

static inline void closed_form(uint32_t seed, const char *name, size_t count, float offset,
                               float scale, float *ret)
{
    uint32_t key = closed_form_key(seed, name);

    for (size_t i = 0; i < count; i++)
        ret[i] = closed_form_at(key, i, offset, scale);
}

/* Labels in 0..classes-1. */
static inline void closed_form_labels(uint32_t seed, const char *name, size_t count,
                                      uint32_t classes, int32_t *ret)
{
    uint32_t key = closed_form_key(seed, name);

    for (size_t i = 0; i < count; i++)
        ret[i] = (int32_t)(closed_form_hash(key, i) % classes);
}

/*
 * Offset and scale of one entry of a network's state, from its name and shape alone: matrices and
 * kernels are uniform in +-1/sqrt(fan in), as PyTorch's initialisation; what multiplies lies around
 * 1, the rest around 0.
 */
static inline void closed_form_state(const char *name, uint32_t rank, const uint64_t *dim,
                                     float *ret_offset, float *ret_scale)
{
    const char *last = strrchr(name, '.');
    uint64_t fan_in = 1;

    for (uint32_t i = 1; i < rank; i++)
        fan_in *= dim[i];
    last = last ? last + 1 : name;
    *ret_offset = rank == 1 && (strcmp(last, "weight") == 0 || strcmp(last, "running_var") == 0)
                      ? 1.0f
                      : 0.0f;
    *ret_scale = rank > 1 ? (float)(1.0 / sqrt((double)fan_in)) : 0.25f;
}
