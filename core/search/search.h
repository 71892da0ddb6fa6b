/*
 * search -- searches an architecture: a supernet whose weights and whose architecture (alphas and
 * betas) are moved in turn, each by images of its own.
 *
 * search_new() plans everything: two plans of one network, one for the gradients of each side
 * alone, that share their memory; then takes it, and no step allocates. A Search belongs to one
 * thread; its pool's threads work for it. Same spec, same machine -> the same bits, for any number
 * of threads.
 */
#pragma once

#include <stdatomic.h>

#include "core/base/parallel.h"
#include "core/base/param.h"
#include "core/data/loader.h"

/*
 * The weights learn from the split `train`, the architecture from `val`: data.val_images of the
 * training images, usually half of them. Each step takes `batch_size` images of either; what is
 * left of a split at an epoch's end and fills no batch is left out.
 */
typedef struct SearchSpec {
    Choice model;    /* row of model_table (core/nn/model.h) that has weights of an architecture */
    Choice searcher; /* row of searcher_table (core/search/searcher.h) */
    Choice optimizer, schedule;    /* of the weights: rows of optimizer_table, schedule_table */
    Choice architecture_optimizer; /* of the architecture; its rate does not change */
    Choice augment[AUGMENTS_MAX];  /* rows of augmentation_table, of both splits */
    uint32_t augments;
    DataSpec data;
    double epochs; /* of `train`; may be fractional: ceil(epochs * steps per epoch) steps */
    uint32_t batch_size;
    uint64_t seed;
} SearchSpec;

/* What a search will need, known before it starts. */
typedef struct SearchEstimate {
    uint64_t memory_bytes; /* all that search_new() and search_run() take */
    uint64_t parameters;
    double step_flops; /* of one step: both forward passes, gradients of data and of weights */
    uint64_t steps, steps_per_epoch;
} SearchEstimate;

typedef struct SearchReport {
    uint64_t step, steps; /* 1-based: steps done */
    /* Of this step's batches, before the update of either side: means over the images. */
    double train_loss, train_accuracy, val_loss, val_accuracy;
    double learning_rate;     /* of the weights */
    double images_per_second; /* of this step; one image is a training and a validation image */
} SearchReport;

typedef struct SearchObserver {
    void *context;
    const atomic_int *stop; /* a StopRequest (core/train/trainer.h), polled at each step; NULL:
                               never */
    void (*step)(void *context, const SearchReport *report);
} SearchObserver;

typedef struct Search Search;

/* Plans without taking tensor memory. STATUS_INVALID or STATUS_BAD_SHAPE name the parameter by JSON
 * pointer below the job's params. */
CHECKED Status search_estimate(const SearchSpec *spec, const Dataset *dataset, SearchEstimate *ret,
                               Error *err);

/* `dataset` and `pool` are borrowed until search_free(). All weights start as the seed says. */
CHECKED Status search_new(const SearchSpec *spec, const Dataset *dataset, Pool *pool, Search **ret,
                          Error *err);
void search_free(Search *search); /* NULL is fine */

/* STATUS_OK: finished. STATUS_DIVERGED: a loss is not finite; the message names step and layer.
 * STATUS_STOPPED: as asked. */
CHECKED Status search_run(Search *search, const SearchObserver *observer, Error *err);
