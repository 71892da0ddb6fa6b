/*
 * lease_internal -- the Lease's insides, shared by lease.c (the run), lease_plan.c (what it will
 * take), lease_take.c (taking it), lease_program.c (which step is whose), lease_step.c (one step),
 * lease_report.c (an epoch's end), lease_file.c and lease_read.c (checkpoints).
 */
#pragma once

#include "core/lease/group.h"
#include "core/lease/lease.h"
#include "core/search/search_internal.h"

/* Where a step stands: in which part of the program, and how far in that. */
typedef struct LeasePlace {
    LeasePhase phase;
    uint32_t round, part; /* part: the number of its run of equal steps, over all rounds */
    uint64_t at, steps;   /* in this part: done before, and all of it */
    uint64_t epoch_steps; /* of an epoch of this phase */
    uint32_t epoch;       /* ended before, over all parts */
} LeasePlace;

/* Batches of the running part. */
typedef struct LeaseFeeds {
    Prefetch *train, *seen, *val;
    uint32_t part; /* for which they are, + 1; 0: none */
} LeaseFeeds;

struct Lease {
    LeaseSpec spec; /* of the networks' TrainSpecs, as their trainers have it */
    double round_epochs[LEASE_NETWORKS]; /* what they say for a round */
    const Dataset *dataset;
    Pool *pool;
    const Kernels *kernels;

    Trainer *trainer[LEASE_NETWORKS];
    StFile *file[LEASE_NETWORKS]; /* of networks that come from one; until they are read */
    ComposeSpec compose[LEASE_NETWORKS];
    MapSet maps[SPLIT_COUNT]; /* `train`: LEASE_STAGED's; else its index alone */
    /* How the explainer looks at reweighted images, where it can. */
    Composer composer;
    Loader loader;
    Evaluator reweighted[SPLIT_COUNT];
    SplitExplainer explainer[SPLIT_COUNT];
    Explanation live; /* of a batch at hand; images 0: not needed */
    bool moves;       /* there is an architecture, and it moves */
    bool full;        /* by the hypergradient */
    Space space;      /* of the supernet whose architecture it is */
    Architect architect;
    Hyper hyper;
    HyperSpec hyper_spec;
    Choice attack;

    uint64_t part_steps[LEASE_PHASES]; /* of a round */
    uint64_t epoch_steps[LEASE_PHASES];
    uint32_t rounds;
    uint64_t steps;
    uint32_t epochs;

    Arena arena; /* what follows; the trainers have their own */
    void *live_state, *hyper_state;
    real *reweighted_images; /* [N,H,W,C] */
    real *factors, *room;    /* of heat maps: [N,H,W,K], [N,K,h,w] */
    real *input;             /* [N,H,W,audience's channels] */
    uint32_t *items;         /* 0..N-1 */
    void *work;              /* the explainer's: anything that lasts no longer than a call */
    size_t work_bytes;

    LeaseFeeds feeds;
    bool explained[SPLIT_COUNT]; /* maps[] are of the present explainer */

    uint64_t step;                 /* steps done */
    uint32_t ended;                /* epochs that have been reported */
    PassSums sums[LEASE_NETWORKS]; /* over the running epoch */
};

/* --- lease_program.c --- */

/* Lays the program out, when the trainers are planned. */
CHECKED Status lease_program(Lease *lease, Error *err);
/* step < steps. */
LeasePlace lease_place(const Lease *lease, uint64_t step);
/* Epochs that have ended after `step` steps. */
uint32_t lease_epochs_ended(const Lease *lease, uint64_t step);
/* Steps of a phase before `step`. */
uint64_t lease_steps_before(const Lease *lease, LeasePhase phase, uint64_t step);
/* Moves of the architecture before `step`. */
uint64_t lease_moves_before(const Lease *lease, uint64_t step);
/* Whether the architecture moves in a step of this place. */
bool lease_moves_at(const Lease *lease, const LeasePlace *place);

/* --- lease_plan.c --- */

/* Everything but memory, of a lease that has its spec, data set and kernels. What it leaves on
 * failure lease_free() clears. */
CHECKED Status lease_plan(Lease *lease, Error *err);

/* --- lease_take.c --- */

/* Takes the planned memory; networks are as seed and files say. */
CHECKED Status lease_take(Lease *lease, Error *err);
uint64_t lease_bytes(const Lease *lease);

/* --- lease_step.c --- */

/* Starts what makes the batches from the present step on, and ends what made others. */
CHECKED Status lease_feed(Lease *lease, const LeasePlace *place, Error *err);
void lease_unfeed(Lease *lease);
/* The largest memory that feeds take. */
size_t lease_feed_bytes(const Lease *lease);
/* What passes of a network run with. */
RunContext lease_context(const Lease *lease, LeaseNetwork network);
/* The rate of its next step, or of the last one. */
double lease_rate(const Lease *lease, LeaseNetwork network);
/* One step; `ret` lacks what concerns time. */
CHECKED Status lease_train(Lease *lease, const LeasePlace *place, LeaseStepReport *ret, Error *err);

/* --- lease_report.c --- */

/* Explains a split by the present explainer, unless its maps are of that one already. */
CHECKED Status lease_explain(Lease *lease, Split split, const atomic_int *stop, Error *err);
/* Evaluates everything. STATUS_STOPPED. */
CHECKED Status lease_measure(Lease *lease, const atomic_int *stop, LeaseEpochReport *ret,
                             Error *err);
/* STATUS_DIVERGED unless all weights are finite. */
CHECKED Status lease_check_weights(const Lease *lease, Error *err);

/* --- lease_file.c --- */

/* What `work` must hold for lease_save(). */
size_t lease_file_bytes(const Lease *lease);
