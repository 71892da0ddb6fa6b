/*
 * timelapse_file -- where a network looked at the end of one epoch: raw maps of a few test images,
 * as a safetensors file, an artefact of the job.
 *
 * Tensors: `maps` F32 [N,h,w] (after the ReLU, unscaled, as a heat map's .npy), `index`, `label`
 * and `predicted` I64 [N], `score` F32 [N] (the softmax probability of the predicted class, whose
 * map it is). Metadata: "format", "split", "epoch", "step", "method", "layer" (null: ""). Nothing
 * in a file depends on time, threads or attempt.
 */
#pragma once

#include <stdio.h>

#include "core/nn/safetensors.h"
#include "server/jobs/timelapse_params.h"
#include "server/store/artefacts.h"

enum { TIMELAPSE_VERSION = 1, TIMELAPSE_SIZE_MAX = DATASET_IMAGE_SIZE_MAX };

/* "timelapse/7"; of one of two networks "timelapse/explainer/7". part "": there is only one. */
void timelapse_artefact_name(const char *part, uint32_t epoch, char ret[ARTEFACT_NAME_MAX]);

typedef struct TimelapseEpoch {
    uint32_t epoch;
    uint64_t step;
    uint32_t images, height, width;
    int64_t index[TIMELAPSE_IMAGES_MAX], label[TIMELAPSE_IMAGES_MAX],
        predicted[TIMELAPSE_IMAGES_MAX];
    float score[TIMELAPSE_IMAGES_MAX];
    const float *maps; /* [images,height,width] */
    char layer[EXPLANATION_LAYER_MAX], method[TIMELAPSE_METHOD_MAX];
    StFile *file; /* what `maps` points into, of one that was opened */
} TimelapseEpoch;

/* Any stream: the caller makes it durable. */
CHECKED Status timelapse_file_write(FILE *file, const TimelapseEpoch *epoch, Error *err);
/* Checks everything: STATUS_CORRUPT names the tensor or the key that is wrong, STATUS_NOT_FOUND,
 * STATUS_IO. */
CHECKED Status timelapse_file_open(const char *path, TimelapseEpoch *ret, Error *err);
void timelapse_file_close(TimelapseEpoch *epoch); /* zeroed is fine */
