/*
 * trainer_internal -- the Trainer's insides, shared by trainer.c (the run), trainer_plan.c (what it
 * will take), trainer_step.c (one batch), trainer_file.c (checkpoints), lookahead.c and whiten.c.
 */
#pragma once

#include "core/data/prefetch.h"
#include "core/train/evaluator.h"
#include "core/train/optimizer.h"
#include "core/train/pass.h"
#include "core/train/schedule.h"
#include "core/train/trainer.h"

/* An array of the weights' size that a checkpoint holds beside the weights: tensors
 * "<group>.<name>.<weight>". */
typedef struct TrainerState {
    const char *group, *name;
    real *numbers; /* as the graph's offsets say; at least up to the last weight covered */
    bool (*covers)(const GraphWeight *weight); /* which weights' part of it means something */
} TrainerState;

enum { COMPANION_STATES_MAX = 8 };

/*
 * What moves in the same run and is kept in the same file beside the trained weights: an
 * architecture (core/search). Zeroed: there is none. Set between trainer_make() and
 * trainer_begin(), which may find `work_bytes` raised.
 */
typedef struct Companion {
    void *context;
    /* In front of each step, with its batch. */
    Status (*before)(void *context, const Batch *batch, Error *err);
    /* At each epoch's end, when all splits are evaluated. STATUS_STOPPED where *stop (which may be
     * NULL) asks for it: the epoch then ends anew after a resume. */
    Status (*measure)(void *context, const atomic_int *stop, Error *err);
    void (*describe)(const void *context, NetworkMeta *meta); /* for a checkpoint */
    TrainerState state[COMPANION_STATES_MAX];
    uint32_t states;
} Companion;

struct Trainer {
    TrainSpec spec;
    const Dataset *dataset;
    Pool *pool;
    const Kernels *kernels;
    Composer composer; /* the loader's, with spec.compose */
    Loader loader;
    Network network;
    const Optimizer *optimizer;
    Companion companion;

    uint64_t steps, steps_per_epoch;
    uint32_t plans; /* full batches, and the rest where there is one */
    Plan plan[2];
    Evaluator evaluator[SPLIT_COUNT]; /* of val and test */
    WeightChunk *chunk;               /* group 0: the rest; i + 1: spec.group[i] */
    size_t chunks;

    Arena arena; /* everything below */
    real *gradients, *buffer[OPTIMIZER_BUFFERS_MAX];
    real *slow; /* lookahead's; NULL without */
    double *chunk_sum;
    void *work; /* one plan, one evaluation, one checkpoint or the whitening at a time */
    size_t work_bytes;

    Profile *profile; /* NULL: none is wanted */
    uint64_t step;    /* steps done */
    /* Over the running epoch; part of a checkpoint, so that a resumed epoch reports what an
     * uninterrupted one would. */
    PassSums sums;
};

/* --- trainer.c --- */

/* trainer_new() in two steps: all plans, then memory and weights. Where the second fails,
 * trainer_free() is all that may follow. */
CHECKED Status trainer_make(const TrainSpec *spec, const Dataset *dataset, Trainer **ret,
                            Error *err);
CHECKED Status trainer_begin(Trainer *trainer, Pool *pool, Error *err);

/* --- trainer_plan.c --- */

/* Network, plans, evaluators and sizes, of a trainer that has its spec, data set, pool or NULL,
 * optimiser and kernels. What it leaves on failure trainer_free() clears. */
CHECKED Status trainer_plan(Trainer *trainer, Error *err);
/* Takes the planned memory. */
CHECKED Status trainer_take(Trainer *trainer, Error *err);
/* What `work` must hold for a checkpoint to be put together in it. */
size_t trainer_file_bytes(const Trainer *trainer);
/* All that trainer_take() and a run take. */
uint64_t trainer_bytes(const Trainer *trainer);
/* The batches of a run from `trainer`'s step on. */
PrefetchSpec trainer_batches(const Trainer *trainer);

/* --- trainer_step.c --- */

/* How each group moves in the next step; answers the rate of those in none. */
double trainer_groups(const Trainer *trainer, GroupStep group[PARAM_GROUPS_MAX + 1]);
/* What runs of this step need. */
RunContext trainer_context(const Trainer *trainer);
/* Forward, loss, backward, update. STATUS_DIVERGED where the loss is not finite. */
CHECKED Status trainer_train(Trainer *trainer, const Batch *batch, StepReport *ret, Error *err);

/* --- lookahead.c --- */

/* In front of a step, which may be the first that lookahead covers, and behind it. */
void lookahead_before(Trainer *trainer);
void lookahead_after(Trainer *trainer);
/* At an epoch's end; a second time changes nothing. */
void lookahead_end_epoch(Trainer *trainer);
/* Whether the slow weights hold this one. */
bool lookahead_covers(const GraphWeight *weight);

/* --- whiten.c --- */

/* Whether the network has a layer that is to be whitened: STATUS_INVALID at "/model" where it
 * cannot be. ret_bytes: of working memory. */
CHECKED Status whiten_plan(const Network *network, const Loader *loader, size_t *ret_bytes,
                           Error *err);
/* Fills the weights with INIT_WHITEN. */
void whiten(const Network *network, const Loader *loader, Pool *pool, void *memory);
