/*
 * prefetch -- the batches of a run, made ahead on a thread of their own.
 *
 * While the caller trains on one batch, the thread makes the next one in the other of two buffers.
 * What a batch holds follows from the spec and its step alone: epoch e goes through the split in
 * the order of a permutation keyed by (seed, e), cut into batches of batch_size, of which the last
 * may be smaller (drop_last: is left out). A Prefetch belongs to the thread that made it. After
 * prefetch_new() nothing is allocated.
 */
#pragma once

#include "core/data/loader.h"

typedef struct PrefetchSpec {
    const Loader *loader; /* borrowed until prefetch_free(); not changed meanwhile */
    Split split;
    const Choice *augment; /* [augments], borrowed as well */
    uint32_t augments;
    uint32_t batch_size; /* > 0 */
    bool drop_last;
    double label_smoothing;
    uint64_t seed;
    uint64_t step, steps; /* the first to make, 0-based, and where to end */
} PrefetchSpec;

/* Valid until the next prefetch_next() or prefetch_free(). */
typedef struct Batch {
    uint64_t step; /* 0-based */
    uint64_t epoch;
    uint32_t count;
    const float *images;    /* blocked: see loader_batch() */
    const uint16_t *labels; /* [count], the images' own */
    const float *targets;   /* [count, classes] */
} Batch;

typedef struct Prefetch Prefetch;

/* Batches in an epoch of `images`; 0 where drop_last leaves none. */
uint64_t epoch_batches(uint32_t images, uint32_t batch_size, bool drop_last);

/* The memory that prefetch_new() takes. */
size_t prefetch_bytes(const PrefetchSpec *spec);

/* Starts the thread. STATUS_INVALID: the split fills no batch; STATUS_NO_MEMORY. */
CHECKED Status prefetch_new(const PrefetchSpec *spec, Prefetch **ret, Error *err);
/* Waits for the next batch; false after the last. */
bool prefetch_next(Prefetch *prefetch, Batch *ret);
/* At any moment, whatever the thread does; joins it. NULL is fine. */
void prefetch_free(Prefetch *prefetch);
