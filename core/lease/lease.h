/*
 * lease -- learning by self-explanation (Hosseini and Xie, "Learning by Self-Explanation, with
 * Application to Neural Architecture Search", 2020): an explainer learns to classify, explains what
 * it sees, and an audience learns from images reweighted by the explanations; what the audience
 * reaches moves the explainer's architecture. Four steps:
 *
 *   1. the explainer's weights E descend L(E, A, train), the architecture A fixed;
 *   2. the explainer explains images: an attack's delta or class maps; nothing moves;
 *   3. the audience's weights W descend L(W, R(x, explanation), train); nothing else moves;
 *   4. A descends L_val(E, A) + lambda L_val(W); nothing else moves (core/lease/hypergrad.h).
 *
 * A run is a row of passes of steps 1, 3 and 4 whose order `mode` says; step 2 happens in front of
 * step 3, and for the images that an epoch's report evaluates. Explainer and audience have an
 * optimiser, a schedule and a clip of their own, which go on from round to round.
 *
 * The training half of the images trains both networks, the other half (data.val_images) moves A
 * and is what `best` is chosen by; the test images never select anything. Explanations of training
 * images may be of the label; those of validation and test images are of the explainer's own
 * prediction, or they would carry the label. An explainer without an architecture (a resnet18, a
 * genotype) is fine: step 4 then does not happen.
 *
 * lease_new() plans everything and takes it; no step allocates. A Lease belongs to one thread; its
 * pool's threads work for it. Same spec, same machine -> the same bits, for any number of threads,
 * interrupted or not.
 */
#pragma once

#include "core/explain/explanation.h"
#include "core/lease/hypergrad.h"
#include "core/search/search.h"
#include "core/train/trainer.h"

typedef enum LeaseMode {
    LEASE_STAGED, /* `rounds` times: the explainer's epochs, explanations of all images, the
                     audience's epochs on those, architecture_epochs passes of step 4, for which
                     explanations are made anew in every batch */
    LEASE_JOINT,  /* each batch: step 4 with the next validation batch (they come around again), 1,
                     an explanation by the new explainer, 3; `epochs` of the training half */
    LEASE_ALPHAS, /* `epochs` of step 4 alone, with the networks of two checkpoints */
    LEASE_MODES
} LeaseMode;

/* How the architecture's gradient is taken. */
typedef enum Hypergrad {
    HYPERGRAD_FULL,  /* through explanation and audience, by finite differences and Jacobians */
    HYPERGRAD_FIRST, /* of L_val(E, A) alone, as the public code does */
    HYPERGRADS
} Hypergrad;

/* "staged", "joint"; "full", "first"; NULL-terminated, in the order of the enums. */
extern const char *const lease_mode_names[];
extern const char *const hypergrad_names[];

/* "explainer", "audience": parts of metrics' names and of tensors' names in a checkpoint. */
extern const char *const lease_network_names[LEASE_NETWORKS + 1];

/* What images a network is evaluated on. */
typedef enum LeaseImages { LEASE_RAW, LEASE_REWEIGHTED, LEASE_IMAGES } LeaseImages;
extern const char *const lease_images_names[LEASE_IMAGES + 1]; /* "raw", "reweighted" */

typedef struct LeaseSpec {
    LeaseMode mode;
    uint32_t rounds; /* of LEASE_STAGED, >= 1 */
    double epochs;   /* of LEASE_JOINT and LEASE_ALPHAS; may be fractional, > 0 */
    Hypergrad hypergrad;
    double lambda; /* >= 0 */
    ExplanationSpec explanation;
    /*
     * How the networks learn. `data`, `seed` and `test_views` of both are not read: `data` and
     * `seed` below hold for the whole. epochs: of LEASE_STAGED, in each round; >= 0. batch_size of
     * the explainer holds for steps 1 and 4, and in LEASE_JOINT for the audience, too. drop_last is
     * not read, either: partial batches are left out. In LEASE_ALPHAS optimizer and schedule of the
     * explainer give the rate of both networks' virtual steps, and nothing else is read.
     */
    TrainSpec explainer, audience;
    ComposeInput input; /* of the audience */
    /* Network files or checkpoints of jobs of this data set, from which the networks start, or
     * NULL: as seed and spec say. With a file, `model` of the TrainSpec is not read. */
    const char *explainer_checkpoint, *audience_checkpoint;
    Choice architecture_optimizer; /* row of optimizer_table; its rate does not change */
    double architecture_epochs;    /* of LEASE_STAGED, in each round; >= 0 */
    uint32_t alpha_start_epoch;    /* of LEASE_JOINT: step 4 begins after so many epochs */
    DataSpec data;
    uint64_t seed;
} LeaseSpec;

/* What a job will need, known before it starts. */
typedef struct LeaseEstimate {
    uint64_t memory_bytes;               /* all that lease_new() and lease_run() take */
    uint64_t parameters[LEASE_NETWORKS]; /* without alphas and betas */
    double flops;                        /* of all steps, a rough figure */
    uint64_t steps;
    uint32_t epochs;
} LeaseEstimate;

/* Which of the four a step or an epoch was. */
typedef enum LeasePhase {
    LEASE_PHASE_EXPLAINER,
    LEASE_PHASE_AUDIENCE,
    LEASE_PHASE_ARCHITECTURE,
    LEASE_PHASE_JOINT, /* 4, 1 and 3 */
    LEASE_PHASES
} LeasePhase;
extern const char *const lease_phase_names[LEASE_PHASES + 1];

typedef struct LeaseStepReport {
    uint64_t step, steps; /* 1-based: steps done, of all phases */
    uint32_t epoch;       /* epochs done before this step, of all phases */
    uint32_t epochs;
    LeasePhase phase;
    /* Of this batch, before the update: means over its images; `images` is 0 for a network that
     * did not learn in this step. */
    Score train[LEASE_NETWORKS];
    double val_loss; /* the explainer's, of the validation batch in step 4; NaN: there was none */
    double learning_rate[LEASE_NETWORKS]; /* 0: did not learn */
    double images_per_second;             /* of this step */
} LeaseStepReport;

typedef struct LeaseEpochReport {
    uint64_t step;
    uint32_t epoch; /* 1-based: epochs done, of all phases; a phase's last may be a partial one */
    uint32_t round; /* from 0 */
    LeasePhase phase;
    Score train[LEASE_NETWORKS]; /* running means over the epoch's batches */
    /* Of both networks, on raw images and on images reweighted by the present explainer. SPLIT_VAL
     * and SPLIT_TEST; what was not measured has no images: the explainer on reweighted images of
     * another number of channels. */
    Score score[LEASE_NETWORKS][SPLIT_COUNT][LEASE_IMAGES];
    bool architecture;          /* there is one: what follows is set */
    double entropy[CELL_KINDS]; /* of the softmaxed alphas, the mean over a kind's edges; nats */
    SearchAlphas alphas;        /* as they are */
    Genotype genotype;          /* that they stand for */
    double images_per_second;
} LeaseEpochReport;

typedef struct Lease Lease;

typedef struct LeaseObserver {
    void *context;
    const atomic_int *stop; /* a StopRequest, polled at each step and batch; NULL: never */
    void (*step)(void *context, const LeaseStepReport *report);
    /* At an epoch's end: write the checkpoint (lease_save()), record the metrics. A failure ends
     * the run with it. */
    Status (*epoch)(void *context, Lease *lease, const LeaseEpochReport *report, Error *err);
    /* On STOP_DRAIN, in the middle of an epoch: write the checkpoint. */
    Status (*drain)(void *context, Lease *lease, uint64_t step, Error *err);
} LeaseObserver;

/*
 * Plans without taking tensor memory. STATUS_INVALID or STATUS_BAD_SHAPE name the parameter by JSON
 * pointer below the job's params ("/explainer/batch_size", "/hypergrad", ...): among them heat maps
 * with HYPERGRAD_FULL other than `cam` at the last stage, an augmentation of the audience other
 * than crop and flip, a profile, an explainer without an architecture in LEASE_ALPHAS, and a
 * checkpoint of other classes, channels or size than the data's.
 */
CHECKED Status lease_estimate(const LeaseSpec *spec, const Dataset *dataset, LeaseEstimate *ret,
                              Error *err);

/* `dataset`, `pool` and the files' names are borrowed until lease_free(). */
CHECKED Status lease_new(const LeaseSpec *spec, const Dataset *dataset, Pool *pool, Lease **ret,
                         Error *err);
void lease_free(Lease *lease); /* NULL is fine */

/* Goes on from a checkpoint of the same spec. STATUS_CORRUPT or STATUS_INVALID leave the lease as
 * it was new. */
CHECKED Status lease_restore(Lease *lease, const char *path, Error *err);
/*
 * Writes a checkpoint durably. Tensors: "explainer.<name>" and "audience.<name>" of each network's
 * file (weights, BN statistics, alphas; optimiser state as "explainer.optimizer.<buffer>.<name>"),
 * "alpha.<buffer>.<name>" of the architecture's optimiser. Metadata: each network's own under
 * "explainer." and "audience.", so that a part without its prefix is a network's file, and the
 * position under "lease.".
 */
CHECKED Status lease_save(Lease *lease, const char *path, Error *err);
uint64_t lease_step(const Lease *lease); /* steps done */

/* STATUS_OK: finished. STATUS_DIVERGED: a loss, a weight or an explanation is not finite; the
 * message names step and place. STATUS_STOPPED: as asked. */
CHECKED Status lease_run(Lease *lease, const LeaseObserver *observer, Error *err);
