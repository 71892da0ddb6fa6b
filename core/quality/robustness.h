/*
 * robustness -- how often a trained network is right about images that attacks have changed: the
 * share of the first images of a split, as they are and under every attack, with 95 % intervals.
 *
 * Attacks climb the loss of the true label. An attack's start depends on the seed and the image
 * alone; the same bits for any number of threads, interrupted or not. Belongs to one thread at a
 * time.
 */
#pragma once

#include <stdatomic.h>

#include "core/explain/attack.h"
#include "core/quality/samples.h"
#include "core/quality/subject.h"

enum { ROBUSTNESS_BATCH = 32, ROBUSTNESS_ATTACKS_MAX = 64 };

typedef struct RobustnessSpec {
    SubjectSpec subject;
    const Choice *attack; /* [attacks] rows of attack_table; borrowed for the call */
    uint32_t attacks;     /* at most ROBUSTNESS_ATTACKS_MAX */
    uint64_t seed;
} RobustnessSpec;

typedef struct RobustnessEstimate {
    uint64_t memory_bytes;
    double flops;
} RobustnessEstimate;
/* STATUS_INVALID as subject_open(). */
CHECKED Status robustness_estimate(const RobustnessSpec *spec, const Dataset *dataset,
                                   RobustnessEstimate *ret, Error *err);

typedef struct Robustness Robustness;

/* `dataset` and `pool` are borrowed until robustness_free(). */
CHECKED Status robustness_new(const RobustnessSpec *spec, const Dataset *dataset, Pool *pool,
                              Robustness **ret, Error *err);
void robustness_free(Robustness *robustness); /* NULL is fine */

/* What is done so far; to be stored, or restored before robustness_run(). Column 0: the images as
 * they are; column 1 + i: under attack i; 1 where the network is right, else 0. */
Samples *robustness_samples(Robustness *robustness);
/* As quality_run(); *stop is looked at before each step of an attack. */
CHECKED Status robustness_run(Robustness *robustness, const atomic_int *stop,
                              Status (*batch)(void *context, uint32_t images, Error *err),
                              void *context, Error *err);
