/*
 * search_params -- the keys that say what is searched and how (S in the contract), and what every
 * kind that searches leaves after an epoch: the genotype so far and the alphas.
 */
#pragma once

#include "core/nn/cell.h"
#include "core/search/search.h"
#include "core/search/searcher.h"
#include "core/train/optimizer.h"
#include "server/jobs/run.h"

typedef struct SearchParams {
    char space[CHOICE_TEXT_MAX];
    Choice searcher, alpha_optimizer;
    uint32_t channels, cells, alpha_start_epoch;
    bool attention_in_reduction;
} SearchParams;

/* Rows of a kind's field table whose params struct S has a member `SearchParams m`. */
#define SEARCH_FIELD_ROWS(S, m)                                                            \
    FIELD_WORDS_ROW(S, m.space, "space", space_names, "s3",                                \
                    "a name, or candidates by \",\", the 14 edges by \"|\", normal and "   \
                    "reduction cells by \";\""),                                           \
        FIELD_CHOICE_ROW(S, m.searcher, "searcher", searcher_table, "pcdarts",             \
                         "how the architecture is found"),                                 \
        FIELD_U32_ROW(S, m.channels, "channels", 16, 1, 512,                               \
                      "channels of the first cell's nodes"),                               \
        FIELD_U32_ROW(S, m.cells, "cells", 8, CELLS_MIN, CELLS_MAX,                        \
                      "cells; two of them halve the image"),                               \
        FIELD_U32_ROW(S, m.alpha_start_epoch, "alpha_start_epoch", 0, 0, 100000,           \
                      "epochs in which the architecture does not move yet"),               \
        FIELD_CHOICE_ROW(S, m.alpha_optimizer, "alpha_optimizer", optimizer_table, "adam", \
                         "how the architecture follows its gradient"),                     \
        FIELD_BOOL_ROW(S, m.attention_in_reduction, "attention_in_reduction", 0,           \
                       "reduction cells have the space's se and eca, too")

/* The public defaults of S and T, members of a JSON object: PC-DARTS' public code. */
#define SEARCH_DEFAULTS                                                                         \
    "\"batch_size\": 64,"                                                                       \
    "\"optimizer\": {\"name\": \"sgd\", \"lr\": 0.025, \"momentum\": 0.9, \"nesterov\": false," \
    " \"weight_decay\": 3e-4, \"clip\": 5},"                                                    \
    "\"schedule\": {\"name\": \"cosine\", \"final\": 0.04}," /* 0.025 -> 0.001 */               \
    "\"alpha_optimizer\": {\"name\": \"adam\", \"lr\": 3e-4, \"beta1\": 0.5, \"beta2\": 0.999," \
    " \"weight_decay\": 1e-3}"

/* Fills in what S says of a SearchSpec: the supernet, the searcher, the architecture's optimiser.
 */
void search_params_spec(const SearchParams *params, SearchSpec *ret);

/* The last path segments of pointers that the core gives are this job's: "/model/space" is
 * "/space". Adds what `from` says to `into` below `prefix`; answers its status. */
Status search_params_blame(const Error *from, const char *prefix, Error *into);

/* Appends search/entropy/normal and /reduce of an epoch's end, those that are not NaN. */
void entropy_values(uint64_t step, const double entropy[CELL_KINDS], MetricValue *values,
                    size_t *count);
/* The genotype of a job's epoch, into the store; `ret_id` may be NULL. */
CHECKED Status run_genotype(JobRun *run, uint32_t epoch, const Genotype *genotype, int64_t *ret_id,
                            Error *err);
/* The alphas of a job's epoch, into the store. */
CHECKED Status run_alphas(JobRun *run, uint32_t epoch, uint64_t step, const SearchAlphas *alphas,
                          Error *err);
