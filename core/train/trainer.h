/*
 * trainer -- trains a classifier: the loop, its numbers, and where it can stop and go on.
 *
 * trainer_new() plans everything (memory is known, then taken, and no step allocates);
 * trainer_run() works until the end or until it is told to stop. A Trainer belongs to one thread;
 * its pool's threads work for it. The core reports through an Observer and logs nothing. Same spec,
 * same machine -> the same bits, for any number of threads, interrupted or not.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include "core/base/parallel.h"
#include "core/base/param.h"
#include "core/data/compose.h"
#include "core/data/loader.h"

enum { PARAM_GROUPS_MAX = 8, GROUP_MATCH_MAX = 64 };

/*
 * Weights that the optimiser moves otherwise than the rest: those trained ones whose name
 * ("fc.bias") the glob `match` fits (fnmatch(3): `*`, `?`, `[...]`; `*` takes dots, too). Where
 * several groups fit a weight, the last of them holds.
 */
typedef struct ParamGroup {
    char match[GROUP_MATCH_MAX];
    double lr_scale, decay_scale; /* factors of the optimiser's rate and weight decay, >= 0 */
    double epochs;                /* they move only in the first so many; 0: always */
} ParamGroup;

/*
 * Lookahead (Zhang et al., 2019; with the ramp of airbench94, Jordan, 2024): after every `every`
 * steps slow = d*slow + (1 - d)*fast and fast = slow, where d = decay * (step/steps)^ramp; at each
 * epoch's end fast = slow once more, so that what is evaluated and stored is the average. It covers
 * the trained weights and the running statistics. In the epochs before `start_epoch` (0: none)
 * nothing of it happens; slow starts as the weights are then.
 */
typedef struct LookaheadSpec {
    uint32_t every; /* 0: off */
    double decay;   /* 0..1 */
    double ramp;    /* >= 0; 0: d is the same in all steps */
    uint32_t start_epoch;
} LookaheadSpec;

/* How images are looked at in evaluation: the logits are a weighted mean over views of the image;
 * loss and accuracy are those of the mean. */
typedef enum TestViews {
    TEST_VIEWS_NONE,       /* as it is */
    TEST_VIEWS_FLIP,       /* it and its mirror image */
    TEST_VIEWS_FLIP_SHIFT, /* these, 1/4 each, and shifted by a pixel up and left and down and
                              right, reflected at the border, both mirrored as well, 1/8 each
                              (airbench94) */
} TestViews;

/* "none", "flip", "flip_shift"; NULL-terminated. */
extern const char *const test_views_names[];

typedef struct TrainSpec {
    Choice model;                 /* row of model_table (core/nn/model.h) */
    Choice optimizer;             /* row of optimizer_table (core/train/optimizer.h) */
    Choice schedule;              /* row of schedule_table (core/train/schedule.h) */
    Choice augment[AUGMENTS_MAX]; /* rows of augmentation_table */
    uint32_t augments;
    ParamGroup group[PARAM_GROUPS_MAX];
    uint32_t groups;
    LookaheadSpec lookahead;
    double label_smoothing; /* 0..1, of the training targets; evaluation knows none */
    TestViews test_views;   /* of val and test */
    DataSpec data;
    /* What the network's input is composed of: an audience's. NULL: the images. It and the maps
     * that it names are borrowed until trainer_free(). */
    const ComposeSpec *compose;
    double epochs; /* may be fractional: ceil(epochs * steps per epoch) steps */
    uint32_t batch_size;
    bool drop_last;
    uint64_t seed;
    uint32_t profile; /* training steps whose operations are timed (trainer_profile()); 0: none. Is
                         not part of what a checkpoint belongs to */
} TrainSpec;

/* What a job will need, known before it starts. */
typedef struct TrainEstimate {
    uint64_t memory_bytes; /* all that trainer_new() and trainer_run() take: weights, gradients,
                              optimiser and lookahead state, activations, prefetched batches */
    uint64_t parameters;
    double step_flops; /* one training step of a full batch */
    uint64_t steps, steps_per_epoch;
} TrainEstimate;

/* What a caller may ask a running trainer for, in the int that Observer.stop points to. */
typedef enum StopRequest {
    STOP_NO = 0,
    STOP_DRAIN = 1,  /* write a checkpoint, then return STATUS_STOPPED */
    STOP_CANCEL = 2, /* return STATUS_STOPPED at once */
} StopRequest;

typedef struct StepReport {
    uint64_t step; /* 1-based: steps done */
    uint64_t steps;
    uint32_t epoch; /* whole epochs done before this step */
    uint32_t epochs;
    /* Of this batch: the mean over its images of what is minimised (with smoothed or mixed labels
     * and the auxiliary head's share), the share of images whose largest logit is their own label,
     * whatever they are mixed with, and the rate of weights in no group. */
    double loss, accuracy, learning_rate;
    double images_per_second; /* of this step */
} StepReport;

typedef struct Score {
    uint32_t images; /* 0: not measured */
    double loss, accuracy;
} Score;

typedef struct EpochReport {
    uint64_t step;
    uint32_t epoch; /* 1-based: epochs done; the last may be a partial one */
    Score train;    /* running means over the epoch's batches */
    Score val, test;
    /* Of an audience, on validation images without and with their explanations (LOOK_RAW,
     * LOOK_REWEIGHTED of core/data/compose.h); of no images where it cannot be fed so, and for
     * everybody else. */
    Score raw, reweighted;
    double images_per_second;
} EpochReport;

typedef struct Trainer Trainer;
typedef struct Profile Profile;   /* core/graph/profile.h */
typedef struct Roofline Roofline; /* core/graph/roofline.h */

typedef struct Observer {
    void *context;
    const atomic_int *stop; /* a StopRequest, polled at each step; NULL: never */
    void (*step)(void *context, const StepReport *report);
    /*
     * At an epoch's end: write the checkpoint (trainer_save()), record the metrics. A failure ends
     * the run with it.
     */
    Status (*epoch)(void *context, Trainer *trainer, const EpochReport *report, Error *err);
    /* On STOP_DRAIN, in the middle of an epoch: write the checkpoint. */
    Status (*drain)(void *context, Trainer *trainer, uint64_t step, Error *err);
} Observer;

/* Plans without taking tensor memory. STATUS_INVALID or STATUS_BAD_SHAPE name the parameter by JSON
 * pointer below the job's params ("/groups/0/match" where a group fits no weight). */
CHECKED Status trainer_estimate(const TrainSpec *spec, const Dataset *dataset, TrainEstimate *ret,
                                Error *err);

/* Prints the plan of a training step of a full batch (plan_print()); `limits` may be NULL. Fails as
 * trainer_estimate(). */
CHECKED Status trainer_print(const TrainSpec *spec, const Dataset *dataset, const Roofline *limits,
                             FILE *out, Error *err);

/* `dataset` and `pool` are borrowed until trainer_free(). Weights start as the seed says. */
CHECKED Status trainer_new(const TrainSpec *spec, const Dataset *dataset, Pool *pool, Trainer **ret,
                           Error *err);
void trainer_free(Trainer *trainer); /* NULL is fine */

/* Goes on from a checkpoint of the same spec. STATUS_CORRUPT or STATUS_INVALID leave the trainer as
 * it was new. */
CHECKED Status trainer_restore(Trainer *trainer, const char *path, Error *err);
/* Writes a checkpoint durably: weights, optimiser state, step, the epoch's running sums. */
CHECKED Status trainer_save(Trainer *trainer, const char *path, Error *err);
uint64_t trainer_step(const Trainer *trainer); /* steps done */
/* Where the time of its training steps goes (core/graph/profile.h): of the first ones of a run,
 * after PROFILE_SKIP, as many as TrainSpec.profile says or are left. Owned by the trainer; NULL
 * where none is wanted. */
const Profile *trainer_profile(const Trainer *trainer);

/* STATUS_OK: finished. STATUS_DIVERGED: a loss, in training or evaluation, is not finite; the
 * message names the step and the first layer whose output is not. Or a weight is not, of which the
 * Observer was to write a checkpoint; the message names it. STATUS_STOPPED: as asked. */
CHECKED Status trainer_run(Trainer *trainer, const Observer *observer, Error *err);

/* Loss and accuracy of a checkpoint on one split, in eval mode. */
typedef struct EvaluateSpec {
    const char *path; /* of the checkpoint */
    DataSpec data;
    Split split;
    uint32_t batch_size;
    TestViews views;
} EvaluateSpec;

/*
 * The memory that evaluate_checkpoint() will take; takes none of it. For both: the checkpoint's
 * model must fit the data set (classes, channels, size), STATUS_INVALID says what differs; images
 * are normalised as the checkpoint says.
 */
CHECKED Status evaluate_estimate(const EvaluateSpec *spec, const Dataset *dataset,
                                 uint64_t *ret_bytes, Error *err);
/* `stop` may be NULL. STATUS_DIVERGED where the loss is not finite, naming the layer. */
CHECKED Status evaluate_checkpoint(const EvaluateSpec *spec, const Dataset *dataset, Pool *pool,
                                   const atomic_int *stop, Score *ret, Error *err);
