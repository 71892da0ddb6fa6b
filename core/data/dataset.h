/*
 * dataset -- labelled images in memory, as bytes, with how to normalise them.
 *
 * A Dataset is immutable once opened and may be read by any number of threads. Pixels are 8-bit,
 * channels last: [images,H,W,C]. Opening reads everything and validates every record: a bad file is
 * refused here, with its name and the offset, and never later.
 */
#pragma once

#include <stdint.h>

#include "core/base/error.h"

enum { DATASET_NAME_MAX = 64, DATASET_CHANNELS_MAX = 4, DATASET_CLASSES_MAX = 1000 };

typedef struct ImageSet {
    uint32_t images;
    const uint8_t *pixels;  /* [images,H,W,C] */
    const uint16_t *labels; /* [images], below `classes` */
    const uint8_t *masks;   /* [images,H,W], 1 on the object; NULL where the truth is not known */
} ImageSet;

typedef struct Dataset {
    char name[DATASET_NAME_MAX]; /* the operator's word for it */
    const char *layout;          /* "shapes", "cifar10" or "cifar100": the format, static text */
    uint32_t height, width, channels, classes;
    const char *const *class_names;                              /* [classes] */
    float mean[DATASET_CHANNELS_MAX], std[DATASET_CHANNELS_MAX]; /* of pixels scaled to 0..1 */
    ImageSet train, test;
    void *storage; /* what the pointers above point into; owned */
} Dataset;

/* The generated data set "shapes" (shapes.h): no path, always there. */
CHECKED Status dataset_open_shapes(Dataset **ret, Error *err);

/*
 * A directory in the official CIFAR-10 or CIFAR-100 binary layout (data_batch_*.bin +
 * test_batch.bin, or train.bin + test.bin). Files may hold any number of whole records. `name` is a
 * label for messages. STATUS_INVALID: not such a directory, a truncated record, a label out of
 * range; the message names the file.
 */
CHECKED Status dataset_open(const char *name, const char *path, Dataset **ret, Error *err);

/* NULL is fine. */
void dataset_free(Dataset *dataset);
