/*
 * architect -- moves the architecture of a supernet (alphas and betas), and nothing else: neither
 * the weights nor the running statistics of batch norms.
 *
 * It works on a Network that somebody else trains, in memory that somebody else takes: `work`, in
 * which one plan at a time lies, may be shared with plans that never run at the same moment. Used
 * by one thread, that of the network. Nothing here allocates after architect_take().
 */
#pragma once

#include "core/train/optimizer.h"
#include "core/train/pass.h"

/*
 * How the weights would move, for the second order: w' = w - lr (momentum buf + d_w L_tr + decay w)
 * (Liu et al., "DARTS", ICLR 2019, section 2.3, as the public code has it), without clipping.
 */
typedef struct VirtualStep {
    const Plan *plan;         /* bound; gradients of the trained weights */
    const WeightChunk *chunk; /* [chunks] all of them */
    size_t chunks;
    double *chunk_sum;      /* [chunks] working memory */
    const GroupStep *group; /* as the chunks say; the rates of this step */
    double momentum, decay;
    const real *buffer; /* the momentum's; as the graph's offsets say */
} VirtualStep;

typedef struct Architect {
    const Network *network; /* borrowed; its architecture moves by architect_update() */
    Choice choice;          /* of its optimiser */
    const Optimizer *optimizer;
    unsigned order; /* 1 or 2 */
    Plan plan;      /* training mode; gradients of the architecture alone */
    Plan both;      /* order 2: of the weights, too */
    WeightChunk *chunk;
    size_t chunks;
    size_t count;  /* of architecture numbers */
    size_t extent; /* numbers of the graph's weights up to the last of them */

    /* What architect_take() takes. */
    real *buffer[OPTIMIZER_BUFFERS_MAX]; /* [extent] as the optimiser wants */
    double *chunk_sum;
    real *origin, *direction; /* order 2: [graph.weight_numbers] w, and lr d_w' L_val */
    double *sum;              /* order 2: [count] the gradient that is being put together */
} Architect;

/* Plans for batches of `batch` images; takes no tensor memory. STATUS_INVALID at "/model" where the
 * network has no architecture. What it leaves on failure architect_clear() clears. */
CHECKED Status architect_plan(Architect *architect, const Network *network, const Choice *optimizer,
                              unsigned order, uint32_t batch, Error *err);
void architect_clear(Architect *architect);
/* What `work` must hold. */
size_t architect_work_bytes(const Architect *architect);
/* What architect_take() takes of an arena. */
size_t architect_bytes(const Architect *architect);
void architect_take(Architect *architect, Arena *arena, void *work);

/*
 * In all of these the contexts have the network's weights and one array of gradients, which holds
 * the answer afterwards and nothing else; running statistics do not move, whatever they say. The
 * batches are of the planned size; operations draw by the seed and step of the batch's context.
 * `step`, from 1, is for messages. STATUS_DIVERGED: a loss is not finite.
 */

/* d_A L(w, A). */
CHECKED Status architect_first(const Architect *architect, const RunContext *context,
                               const Batch *batch, uint64_t step, PassSums *ret, Error *err);

/* A batch and how it is run. */
typedef struct ArchitectSide {
    RunContext context;
    const Batch *batch;
} ArchitectSide;

/*
 * d_A L_val(w', A) - lr [d_A L_tr(w + eps v, A) - d_A L_tr(w - eps v, A)] / (2 eps) with
 * v = d_w' L_val(w', A) and eps = 0.01 / |v|. Where groups have rates of their own, lr v stands for
 * v. ret: of L_val(w', A). The weights are afterwards what they were, to the last bit.
 */
CHECKED Status architect_second(const Architect *architect, const ArchitectSide *train,
                                const ArchitectSide *val, const VirtualStep *move, uint64_t step,
                                PassSums *ret, Error *err);

/* Moves alphas and betas by context->gradients; `number`: of this step, from 1. */
void architect_update(const Architect *architect, const RunContext *context, uint64_t number);

/* The architecture's numbers, one after the other, out of an array laid out as the graph says, or
 * into it. */
void architect_gather(const Architect *architect, const real *numbers, double *ret);
void architect_scatter(const Architect *architect, const double *from, real *ret);
