/*
 * search_alphas -- `search` with update "alphas", step 4 of LeaSE alone: the alphas of a finished
 * job's supernet move by what an audience reaches that another job has trained; the weights of both
 * stay.
 */
#pragma once

#include "server/jobs/hyper_params.h"
#include "server/jobs/job_reference.h"
#include "server/jobs/search_params.h"
#include "server/jobs/train_params.h"

typedef struct AlphasParams {
    CheckpointRef explainer, audience; /* job 0: left out */
    HyperParams hyper;
} AlphasParams;

/* Rows of a kind's field table whose params struct S has a member `AlphasParams m`. */
#define ALPHAS_FIELD_ROWS(S, m)                                                               \
    FIELD_CHECKPOINT_ROW(S, m.explainer, "explainer", FIELD_NULLABLE,                         \
                         "of \"alphas\": a finished job's supernet"),                         \
        FIELD_CHECKPOINT_ROW(S, m.audience, "audience", FIELD_NULLABLE,                       \
                             "of \"alphas\": a finished job's network that learned from it"), \
        HYPER_FIELD_ROWS(S, m.hyper)

/* What the whole job says of it; borrowed. */
typedef struct AlphasJob {
    DataParams *data;
    const SearchParams *search;
    const TrainParams *train;
    AlphasParams *alphas;
    const TimelapseParams *timelapse;
    uint64_t seed;
} AlphasJob;

/* The files of the two networks, and what the audience sees. */
typedef struct AlphasFiles {
    char *explainer, *audience;
    ComposeInput input;
} AlphasFiles;

/* Finds them, and takes over which images they are of. verify: reads the files' digests, too. What
 * it leaves alphas_files_clear() clears, on failure as well. */
CHECKED Status alphas_find(Store *store, const AlphasJob *job, bool verify, AlphasFiles *ret,
                           Error *err);
void alphas_files_clear(AlphasFiles *files);
CHECKED Status alphas_estimate(const AlphasJob *job, const AlphasFiles *files,
                               const Dataset *dataset, JobEstimate *ret, Error *err);
CHECKED Status alphas_run(JobRun *run, const AlphasJob *job, const Dataset *dataset, Error *err);
