/*
 * timelapse_params -- the key by which every kind that trains is asked for a time-lapse: where its
 * networks look in a few test images, epoch by epoch (timelapse.h).
 */
#pragma once

#include "core/data/dataset.h"
#include "core/explain/explanation.h"
#include "core/nn/model.h"
#include "server/codec/fields.h"
#include "server/jobs/kind.h"

enum { TIMELAPSE_IMAGES_MAX = 16, TIMELAPSE_EPOCHS_MAX = 200, TIMELAPSE_METHOD_MAX = 32 };

typedef struct TimelapseParams {
    double image[TIMELAPSE_IMAGES_MAX]; /* whole numbers: positions in the split `test` */
    uint32_t images;                    /* 0: no time-lapse is asked for */
    char layer[EXPLANATION_LAYER_MAX];  /* with commas between several; "": the model's default */
    char method[TIMELAPSE_METHOD_MAX];
} TimelapseParams;

extern const Field timelapse_fields[3];

/* A row of a kind's field table whose params struct S has a member `TimelapseParams m`. */
#define TIMELAPSE_FIELD_ROW(S, m)                               \
    FIELD_MAYBE_OBJECT_ROW(S, m, "timelapse", timelapse_fields, \
                           "maps of a few test images, kept of each epoch; null: none")

/* Its method's row of cam_table. */
CHECKED Status timelapse_params_method(const TimelapseParams *params, uint32_t *ret, Error *err);
/* What a submitted job's params say; no images where they say nothing. */
CHECKED Status timelapse_params_of(const char *params_json, TimelapseParams *ret, Error *err);
/*
 * Whether the maps of an epoch are kept: each epoch's, and where there are more than
 * TIMELAPSE_EPOCHS_MAX, evenly so many of them, the first and the last included.
 */
bool timelapse_keeps(uint32_t epoch, uint32_t epochs);

/* A network that is to be watched. */
typedef struct TimelapseNetwork {
    const char *path; /* of its file; NULL: by the next two */
    const Choice *model;
    ModelInput input;
} TimelapseNetwork;

/*
 * Checks it against the networks of a job and the test images it uses, and adds the memory it takes
 * to *estimate. STATUS_INVALID: "/timelapse/images/N", "/timelapse/layer" (no network has it; the
 * message lists the layers), "/timelapse/method". Where there are two networks, one that has no
 * such layer takes its default.
 */
CHECKED Status timelapse_check(const TimelapseParams *params, uint64_t test_images,
                               const TimelapseNetwork *networks, uint32_t count,
                               JobEstimate *estimate, Error *err);
