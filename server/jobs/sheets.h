/* sheets -- what augmentation makes of training images, as a PNG. Computes: not on HTTP threads. */
#pragma once

#include "core/data/sheet.h"
#include "server/codec/bytes.h"
#include "server/jobs/datasets.h"

typedef struct SheetRequest {
    char dataset[DATASET_NAME_MAX];
    uint32_t image_size; /* 0: the default */
    Choice augment[AUGMENTS_MAX];
    uint32_t augments;
    uint32_t images; /* the first of the training images; the batch that is mixed */
    uint64_t seed;
    uint32_t epoch;
    SheetSpec spec;
} SheetRequest;

/*
 * STATUS_NOT_FOUND: no such data set; STATUS_BUSY: it is being read; STATUS_INVALID with pointers
 * "/image_size", "/images", "/columns" or "/scale".
 */
CHECKED Status sheet_png(const SheetRequest *request, Datasets *datasets, Bytes *ret, Error *err);
