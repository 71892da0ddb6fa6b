/*
 * rng -- counter-based random numbers: Philox4x32-10.
 * Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 *
 * A stream is addressed by (seed, purpose, epoch, index); its numbers depend on nothing else, so
 * they are the same for any number of threads, in any order of evaluation, and after a resume.
 */
#pragma once

#include <stdint.h>

/* What a stream is for. The values go into the counter: append, never renumber. */
typedef enum RngPurpose {
    RNG_INIT = 1,    /* weights; index = number of the tensor in the model */
    RNG_SPLIT = 2,   /* the train/validation permutation */
    RNG_SHUFFLE = 3, /* the order of an epoch */
    RNG_AUGMENT = 4, /* one image of one epoch; index = its index in the split */
    RNG_SHAPES = 5,  /* one generated image; epoch = split */
    RNG_TEST = 6,
    RNG_OPERATION = 7, /* what an operation draws; see rng_at_node() */
    RNG_MIX = 8,       /* draws for a whole batch; epoch = step */
    RNG_FILES = 9,     /* the order of a folder data set's images; epoch = 0 train, 1 test */
    RNG_ATTACK = 10,   /* where the attack of an image starts; see core/explain/attack.h */
    RNG_CONTROL = 11,  /* maps that explain nothing; see core/data/compose.h */
    RNG_SEARCH = 12,   /* genotypes at random; epoch = their number. Epoch UINT32_MAX: where the
                          search for an eigenvalue begins */
    RNG_EXPLAIN = 13,  /* what an explanation of an image draws; epoch = number of the sample.
                          UINT32_MAX: where the search for a singular vector begins */
    RNG_QUALITY = 14,  /* what measuring explanations draws; see core/quality/quality.h */
} RngPurpose;

typedef struct Rng {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4];
    uint32_t left; /* unused words of `block` */
} Rng;

/* The stream's beginning. A plain value: copy it to replay it. */
Rng rng_at(uint64_t seed, RngPurpose purpose, uint32_t epoch, uint32_t index);

/* The stream of one node of a graph in one step; index = position of the image in the batch.
 * node < 2^24. */
Rng rng_at_node(uint64_t seed, uint32_t node, uint32_t step, uint32_t index);

uint32_t rng_u32(Rng *rng);
/* Uniform in 0..bound-1 without bias; bound > 0. */
uint32_t rng_below(Rng *rng, uint32_t bound);
/* Uniform in [0,1), 24 bits. */
float rng_uniform(Rng *rng);
/* Standard normal (Box-Muller; uses two words, keeps no spare). */
float rng_normal(Rng *rng);
/* Fisher-Yates: a permutation of 0..count-1 in `ret`. */
void rng_permutation(Rng *rng, uint32_t count, uint32_t *ret);

/* One Philox4x32-10 block, for the known-answer test. */
void philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t ret[4]);
