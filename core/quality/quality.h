/*
 * quality -- how good a method's heat maps of a trained network are, as numbers: every metric of
 * the table (metric.h) for the first images of a split, with 95 % intervals.
 *
 * Maps are made for the network's own prediction; no label is looked at. A metric's numbers of an
 * image depend on the image, the network and the seed alone: the same bits for any number of
 * threads, interrupted or not. Belongs to one thread at a time; its pool's threads work for it.
 */
#pragma once

#include <stdatomic.h>

#include "core/explain/explanation.h"
#include "core/quality/metric.h"
#include "core/quality/samples.h"
#include "core/quality/subject.h"

/* The sources of explanations by their names, then the baselines (baseline.h). */
extern const char *const quality_methods[];

/* Images at a time; fewer of methods that ask the network about many inputs an image (samples of
 * it, or one for each channel of a layer), because a batch's maps are not interrupted. */
enum { QUALITY_BATCH = 16, QUALITY_BATCH_SAMPLES = 4, QUALITY_BATCH_SCORES = 2 };

typedef struct QualitySpec {
    SubjectSpec subject;
    uint32_t method;                   /* index into quality_methods */
    char layer[EXPLANATION_LAYER_MAX]; /* of methods that take one; "": the model's default */
    uint32_t metrics;                  /* a set of rows of metric_table, not empty */
    uint64_t seed;
} QualitySpec;

/* The memory it takes. STATUS_INVALID: as subject_open(), or "/layer" and "/method" (the method
 * cannot explain this network so), "/metrics": one needs masks, and there are none. */
CHECKED Status quality_estimate(const QualitySpec *spec, const Dataset *dataset,
                                uint64_t *ret_bytes, Error *err);

typedef struct Quality Quality;

/* `dataset` and `pool` are borrowed until quality_free(). */
CHECKED Status quality_new(const QualitySpec *spec, const Dataset *dataset, Pool *pool,
                           Quality **ret, Error *err);
void quality_free(Quality *quality); /* NULL is fine */

/* What is done so far; to be stored, or restored before quality_run(). */
Samples *quality_samples(Quality *quality);
/*
 * From the first image that is not done to the last. `batch` (NULL is fine) hears how many are done
 * after each batch; a failure of it ends the run. STATUS_STOPPED as *stop asks (NULL: never), which
 * is looked at before each pass of the network.
 */
CHECKED Status quality_run(Quality *quality, const atomic_int *stop,
                           Status (*batch)(void *context, uint32_t images, Error *err),
                           void *context, Error *err);

/* One metric of those that were asked for. */
Interval quality_result(const Quality *quality, uint32_t metric);

/* How like the trained network's maps are to those with the weights of the first level + 1 blocks
 * from the top random. */
uint32_t quality_levels(const Quality *quality); /* 0: no metric compares */
const char *quality_level_name(const Quality *quality, uint32_t level, size_t *ret_length);
Interval quality_likeness(const Quality *quality, uint32_t level, Likeness likeness);
