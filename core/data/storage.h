/* storage -- how a Dataset is put together; only for the readers in this folder. */
#pragma once

#include <stdbool.h>

#include "core/data/dataset.h"

enum { CLASS_NAME_MAX = 64 };

/* What a reader knows before it reads. */
typedef struct DatasetPlan {
    const char *name;   /* copied; cut to DATASET_NAME_MAX - 1 */
    const char *layout; /* static text */
    uint32_t height, width, channels, classes;
    uint32_t images[2]; /* train, test; `test` may be 0 */
    bool masks;
} DatasetPlan;

/* What it fills in afterwards: the same memory that the Dataset shows as const. */
typedef struct ImageRoom {
    uint8_t *pixels;
    uint16_t *labels;
    uint8_t *masks; /* NULL without masks */
} ImageRoom;

typedef struct DatasetRoom {
    ImageRoom set[2];                    /* train, test */
    char (*class_names)[CLASS_NAME_MAX]; /* [classes], "" at first */
} DatasetRoom;

/* One allocation for all of it; `mean` and `std` are left to the caller. dataset_free() undoes it.
 * STATUS_NO_MEMORY. */
CHECKED Status dataset_new(const DatasetPlan *plan, Dataset **ret, DatasetRoom *ret_room,
                           Error *err);
