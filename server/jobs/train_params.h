/*
 * train_params -- the keys by which every kind that trains says how (T in the contract): those of
 * `train`. Where a kind has other defaults, its `defaults` (kind.h) say so.
 */
#pragma once

#include "core/data/augment.h"
#include "core/train/optimizer.h"
#include "core/train/schedule.h"
#include "core/train/trainer.h"
#include "server/jobs/run.h"
#include "server/jobs/timelapse_params.h"

typedef struct TrainParams {
    Choice optimizer, schedule;
    Choice augment[AUGMENTS_MAX];
    uint32_t augments;
    ParamGroup group[PARAM_GROUPS_MAX];
    uint32_t groups;
    LookaheadSpec lookahead;
    double epochs, label_smoothing;
    uint32_t batch_size, precision, test_views, checkpoint_every, profile;
    bool drop_last;
} TrainParams;

extern const char *const train_precisions[];
extern const Field train_group_fields[4], train_lookahead_fields[4];

/* Rows of a kind's field table whose params struct S has a member `TrainParams m`. */
#define TRAIN_FIELD_ROWS(S, m)                                                           \
    FIELD_REAL_ROW(S, m.epochs, "epochs", 10, 0.001, 100000,                             \
                   "passes over the training images; may be fractional"),                \
        FIELD_U32_ROW(S, m.batch_size, "batch_size", 128, 1, 8192, "images a step"),     \
        FIELD_ENUM_ROW(S, m.precision, "precision", 0, train_precisions,                 \
                       "number format of the computation"),                              \
        FIELD_CHOICE_ROW(S, m.optimizer, "optimizer", optimizer_table, "sgd",            \
                         "how weights follow gradients"),                                \
        FIELD_CHOICE_ROW(S, m.schedule, "schedule", schedule_table, "cosine",            \
                         "the learning rate over time"),                                 \
        FIELD_LIST_ROW(S, m.group, m.groups, "groups", train_group_fields,               \
                       "weights that are moved otherwise; the last that fits holds"),    \
        FIELD_OBJECT_ROW(S, m.lookahead, "lookahead", train_lookahead_fields,            \
                         "an average of the weights that they are pulled to"),           \
        FIELD_REAL_ROW(S, m.label_smoothing, "label_smoothing", 0, 0, 1,                 \
                       "share of the training targets that is spread over all classes"), \
        FIELD_CHOICES_ROW(S, m.augment, m.augments, "augment", augmentation_table,       \
                          "what is done to training images, in order"),                  \
        FIELD_BOOL_ROW(S, m.drop_last, "drop_last", 0,                                   \
                       "leave out an epoch's last, partial batch"),                      \
        FIELD_ENUM_ROW(S, m.test_views, "test_views", TEST_VIEWS_NONE, test_views_names, \
                       "views of each validation and test image that are averaged"),     \
        FIELD_U32_ROW(S, m.checkpoint_every, "checkpoint_every", 0, 0, 100000,           \
                      "keep every n-th epoch's checkpoint; 0: none"),                    \
        FIELD_U32_ROW(S, m.profile, "profile", 0, 0, 100000,                             \
                      "time the operations of so many steps, for /jobs/{id}/profile; 0: none")

/* How to train, but for model, data and seed. */
TrainSpec train_params_spec(const TrainParams *params);

/* --- a Trainer as the work of a job --- */

typedef struct TrainJob {
    JobRun *run;
    TrainSpec spec;
    const Dataset *dataset;
    uint32_t checkpoint_every;
    Trainer *trainer;
} TrainJob;

/* What a job that trains will need, its time-lapse included (which is checked). */
CHECKED Status train_job_estimate(const TrainSpec *spec, const Dataset *dataset,
                                  const TimelapseParams *timelapse, JobEstimate *ret, Error *err);
/* The time-lapse of a network that is trained so, alone: timelapse_check(). */
CHECKED Status train_job_watch(const TrainSpec *spec, const Dataset *dataset,
                               const TimelapseParams *timelapse, JobEstimate *ret, Error *err);
/*
 * Plans, begins (goes on from the newest checkpoint), trains, reports. Metrics, key at step:
 * train/loss and train/accuracy of each batch, throughput/images_per_second; at each epoch's end
 * train/epoch_loss and train/epoch_accuracy (means over the epoch's batches), val/ and test/ loss
 * and accuracy, of an audience audience/val/raw/ and audience/val/reweighted/, too. An epoch's
 * numbers are written in the transaction that records its checkpoint: whoever sees them can have
 * it. "best" goes by val/accuracy.
 */
CHECKED Status train_job_run(TrainJob *job, Error *err);

/* --- what every kind that trains reports --- */

/* Appends prefix/loss and prefix/accuracy of a score, unless it has no images. */
void score_values(const char *prefix, uint64_t step, const Score *score, MetricValue *values,
                  size_t *count);
/* Of a step: train/loss and train/accuracy of its batch, throughput/images_per_second. */
void report_step(JobRun *run, uint64_t step, double loss, double accuracy,
                 double images_per_second);
/* Of an epoch: train/epoch_loss and train/epoch_accuracy, val/ and test/ of what has images.
 * Answers how many they are. */
enum { EPOCH_SCORES = 6 };
size_t epoch_scores(uint64_t step, const Score *train, const Score *val, const Score *test,
                    MetricValue values[EPOCH_SCORES]);
/* An epoch's, without values: "best" goes by the accuracy on validation images, and every so many
 * epochs' (0: none) is kept. */
RunCheckpoint epoch_checkpoint(uint64_t step, uint32_t epoch, const Score *val, uint32_t every);
