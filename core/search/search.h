/*
 * search -- searches an architecture: the loop, its numbers, what it has found so far, and where it
 * can stop and go on.
 *
 * A searcher (core/search/searcher.h) of the gradient family moves the weights of a supernet and
 * its architecture (alphas and betas) in turn, each by images of its own; `random` trains genotypes
 * one after the other. Either way the weights belong to a Trainer (core/train/trainer.h), so all
 * that a TrainSpec says holds here, and a checkpoint is that of a training job: `evaluate` and heat
 * maps read it.
 *
 * search_new() plans everything and takes it; no step allocates. A Search belongs to one thread;
 * its pool's threads work for it. The core reports through an observer and logs nothing. Same spec,
 * same machine -> the same bits, for any number of threads, interrupted or not.
 */
#pragma once

#include "core/nn/genotype.h"
#include "core/train/trainer.h"

/*
 * The weights learn from the split `train`, the architecture from `val`: data.val_images of the
 * training images, usually half of them. Each step takes `batch_size` images of either; what is
 * left of a split at an epoch's end and fills no batch is left out. The split `test` is reported
 * and chooses nothing.
 */
typedef struct SearchSpec {
    /* How the weights learn. `model` is the row `supernet`, whose `partial` the searcher sets
     * (search_model()), or `random`'s frame: space, channels and cells are those of its genotypes.
     * `augment` holds for both splits; `label_smoothing` for `train`; `drop_last` counts as set. */
    TrainSpec train;
    Choice searcher;               /* row of searcher_table (core/search/searcher.h) */
    Choice architecture_optimizer; /* row of optimizer_table; its rate does not change */
    uint32_t alpha_start_epoch;    /* the architecture does not move in the first so many epochs */
    bool eigenvalue; /* measure, at each epoch's end, the dominant eigenvalue of the Hessian of
                        L_val in the architecture */
    bool early_stop; /* end when it has grown too much (SearchResult); measures it, too */
} SearchSpec;

/* What a search will need, known before it starts. */
typedef struct SearchEstimate {
    uint64_t memory_bytes; /* all that search_new() and search_run() take */
    uint64_t parameters;   /* of `random`: of the largest of its networks */
    double step_flops;     /* of one step of both sides; of `random`: a mean over its networks */
    uint64_t steps, steps_per_epoch;
    uint32_t epochs; /* that are reported */
} SearchEstimate;

typedef struct SearchReport {
    uint64_t step, steps; /* 1-based: steps done */
    uint32_t epoch;       /* whole epochs done before this step */
    uint32_t epochs;
    /* Of this step's batches, before the update of either side: means over the images. NaN: the
     * architecture does not move in this step, and val images are not looked at. */
    double train_loss, train_accuracy, val_loss, val_accuracy;
    double learning_rate;     /* of the weights */
    double images_per_second; /* of this step; one image is a training and a validation image */
} SearchReport;

typedef struct SearchEpoch {
    uint64_t step;
    uint32_t epoch;  /* 1-based: epochs done; the last may be a partial one */
    Score train;     /* running means over the epoch's batches */
    Score val, test; /* of the whole splits, in eval mode */
    /* Of the mixtures on the edges of normal and reduction cells: the mean over the edges of the
     * softmax's entropy in nats; from ln(candidates) down to 0. NaN: there are no alphas. */
    double entropy[CELL_KINDS];
    double eigenvalue; /* NaN: not measured, or not finite */
    /* What the search would answer if it ended here. */
    Genotype genotype;
    bool early_stopped; /* it does end here, and answers an earlier epoch's: search_result() */
    double images_per_second;
} SearchEpoch;

typedef struct Search Search;

typedef struct SearchObserver {
    void *context;
    const atomic_int *stop; /* a StopRequest (core/train/trainer.h), polled at each step; NULL:
                               never */
    void (*step)(void *context, const SearchReport *report);
    /* At an epoch's end: write the checkpoint (search_save()), record the metrics. A failure ends
     * the run with it. */
    Status (*epoch)(void *context, Search *search, const SearchEpoch *report, Error *err);
    /* On STOP_DRAIN, in the middle of an epoch: write the checkpoint. */
    Status (*drain)(void *context, Search *search, uint64_t step, Error *err);
} SearchObserver;

/*
 * What a search has found. It stops early (Zela et al., "Understanding and Robustifying
 * Differentiable Architecture Search", ICLR 2020) where the mean of the last 5 eigenvalues exceeds
 * 1.3 times that mean 4 readings before, that one being above zero; the answer is then the genotype
 * of the epoch of 4 readings before. `random` answers the genotype whose network reached the
 * highest validation accuracy at an epoch's end, the earliest one on ties.
 */
typedef struct SearchResult {
    Genotype genotype;
    uint32_t epoch; /* at whose end it was the genotype so far */
    bool early_stopped;
} SearchResult;

/* The network in which the searcher searches: spec->train.model with what the searcher's parameters
 * say of it; of `random`: its first network. Errors as those of search_estimate(). */
CHECKED Status search_model(const SearchSpec *spec, Choice *ret, Error *err);

/* Plans without taking tensor memory. STATUS_INVALID or STATUS_BAD_SHAPE name the parameter by JSON
 * pointer: "/searcher/...", "/model/space", "/val_images", and those of trainer_estimate(). */
CHECKED Status search_estimate(const SearchSpec *spec, const Dataset *dataset, SearchEstimate *ret,
                               Error *err);

/* As trainer_print(), of each side. */
CHECKED Status search_print(const SearchSpec *spec, const Dataset *dataset, const Roofline *limits,
                            FILE *out, Error *err);

/* `dataset` and `pool` are borrowed until search_free(). All weights start as the seed says. */
CHECKED Status search_new(const SearchSpec *spec, const Dataset *dataset, Pool *pool, Search **ret,
                          Error *err);
void search_free(Search *search); /* NULL is fine */

/* Goes on from a checkpoint of the same spec. STATUS_CORRUPT or STATUS_INVALID leave the search as
 * it was new. */
CHECKED Status search_restore(Search *search, const char *path, Error *err);
/* Writes a checkpoint durably: the network under its own names (alphas_normal, betas_normal, ...),
 * the optimisers' state under "optimizer." and "alpha.", the position and the result so far in the
 * metadata. */
CHECKED Status search_save(Search *search, const char *path, Error *err);
uint64_t search_step(const Search *search); /* steps done */
/* As trainer_profile(); of both sides. */
const Profile *search_profile(const Search *search);
/* At an epoch's end, and in the epoch callback: the result if the search ended here. In the middle
 * of an epoch that of the last epoch's end, or, in the first epoch, of the weights as they are, as
 * epoch 0. */
void search_result(const Search *search, SearchResult *ret);

/* STATUS_OK: finished, or stopped early (search_result() tells). STATUS_DIVERGED: a loss is not
 * finite; the message names step and layer. STATUS_STOPPED: as asked. */
CHECKED Status search_run(Search *search, const SearchObserver *observer, Error *err);

/* ---- Of a checkpoint file ---- */

/* Alphas and betas as they are and as the network mixes by them. */
typedef struct SearchAlphas {
    Space space;                  /* whose columns they are; edges may have fewer than others */
    uint32_t columns[CELL_KINDS]; /* space_columns() */
    float alpha[CELL_KINDS][CELL_EDGES][SPACE_COLUMNS_MAX];
    float mixture[CELL_KINDS][CELL_EDGES][SPACE_COLUMNS_MAX]; /* softmax over an edge's candidates;
                                                                 0 beyond them */
    bool has_betas;
    float beta[CELL_KINDS][CELL_EDGES];
    float share[CELL_KINDS][CELL_EDGES]; /* softmax over a node's edges; 1 without betas */
} SearchAlphas;

/* Of any checkpoint of a supernet, a training job's, too. STATUS_INVALID: its model is another;
 * STATUS_CORRUPT names the tensor. */
CHECKED Status search_read_alphas(const char *path, SearchAlphas *ret, Error *err);
/* The mean over the edges of a kind of the mixture's entropy, in nats. */
double search_entropy(const SearchAlphas *alphas, CellKind kind);
/* The genotype that they say (genotype_derive()). */
void search_derive(const SearchAlphas *alphas, Genotype *ret);
/* The result of a search's checkpoint, as search_result() had it when it was written; of a training
 * job's supernet: search_derive() of its alphas, as epoch 0. */
CHECKED Status search_derive_file(const char *path, SearchResult *ret, Error *err);
