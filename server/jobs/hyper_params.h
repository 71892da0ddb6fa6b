/*
 * hyper_params -- the keys that say how the audience reaches the explainer's architecture (H in the
 * contract), and what every kind that runs a Lease (core/lease/lease.h) has in common.
 */
#pragma once

#include "core/lease/lease.h"
#include "server/jobs/explanation_params.h"
#include "server/jobs/run.h"
#include "server/jobs/timelapse_params.h"

typedef struct HyperParams {
    uint32_t hypergrad;
    double lambda;
    ExplanationParams explanation;
} HyperParams;

/* Rows of a kind's field table whose params struct S has a member `HyperParams m`. */
#define HYPER_FIELD_ROWS(S, m)                                                                   \
    FIELD_ENUM_ROW(S, m.hypergrad, "hypergrad", HYPERGRAD_FULL, hypergrad_names,                 \
                   "whether the audience's loss moves the architecture, too"),                   \
        FIELD_REAL_ROW(S, m.lambda, "lambda", 1, 0, 1e6, "weight of the audience's loss in it"), \
        FIELD_OBJECT_ROW(S, m.explanation, "explanation", explanation_fields,                    \
                         "how the explainer explains")

/* Resolves the explanation, and fills in what H says of a LeaseSpec. */
void hyper_params_spec(HyperParams *params, LeaseSpec *ret);

/* What a lease will need, the time-lapse of its networks included (which is checked). */
CHECKED Status lease_job_estimate(const LeaseSpec *spec, const Dataset *dataset,
                                  const TimelapseParams *timelapse, JobEstimate *ret, Error *err);
/*
 * Plans, begins (goes on from the newest checkpoint), runs, reports, and leaves the result
 * {"genotype", "epoch"}, {} where there is no architecture. Metrics, key at step:
 * explainer/train/loss and accuracy and the audience's of each batch; at each epoch's end
 * {explainer,audience}/{val,test}/{raw,reweighted}/{loss,accuracy} of what can be measured;
 * val/ and test/ loss and accuracy are the explainer's on raw images, and search/entropy/ is
 * that of its alphas. "best" goes by val/accuracy.
 */
CHECKED Status lease_job_run(JobRun *run, const LeaseSpec *spec, const Dataset *dataset,
                             uint32_t checkpoint_every, Error *err);
