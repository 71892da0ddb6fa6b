/*
 * dataset -- labelled images in memory, as bytes, with how to normalise them.
 *
 * A Dataset is immutable once opened and may be read by any number of threads. Pixels are 8-bit,
 * channels last: [images,H,W,C]. Opening reads everything and validates every record: what is bad
 * is refused or left out here, with its name, and never later.
 */
#pragma once

#include <stdint.h>

#include "core/base/error.h"

enum {
    DATASET_NAME_MAX = 64,
    DATASET_CHANNELS_MAX = 4,
    DATASET_CLASSES_MAX = 1000,
    DATASET_IMAGE_SIZE_DEFAULT = 32, /* of folder data sets */
    DATASET_IMAGE_SIZE_MAX = 512,
    DATASET_SKIPPED_NAMES_MAX = 512,
};

typedef struct ImageSet {
    uint32_t images;
    const uint8_t *pixels;  /* [images,H,W,C] */
    const uint16_t *labels; /* [images], below `classes` */
    const uint8_t *masks;   /* [images,H,W], 1 on the object; NULL where the truth is not known */
} ImageSet;

typedef struct Dataset {
    char name[DATASET_NAME_MAX]; /* the operator's word for it */
    const char *layout; /* "shapes", "cifar10", "cifar100" or "folder": the format, static text */
    uint32_t height, width, channels, classes;
    const char *const *class_names;                              /* [classes] */
    float mean[DATASET_CHANNELS_MAX], std[DATASET_CHANNELS_MAX]; /* of pixels scaled to 0..1 */
    ImageSet train, test;                                        /* test may have no images */
    /* Of "folder": images left out (damaged, unusable), the first of them with the reasons
     * ("cat/1.png (is empty), ..."; UTF-8), and files that are no images. */
    uint32_t skipped, foreign;
    char skipped_names[DATASET_SKIPPED_NAMES_MAX];
    void *storage; /* what the pointers above point into; owned */
} Dataset;

/* The generated data set "shapes" (shapes.h): no path, always there. */
CHECKED Status dataset_open_shapes(Dataset **ret, Error *err);

typedef struct DatasetOptions {
    uint32_t image_size; /* 0: the layout's own, DATASET_IMAGE_SIZE_DEFAULT for "folder" */
    const char *cache;   /* an existing directory for decoded images; NULL: decode every time */
} DatasetOptions;

/*
 * What lies at `path` decides. A directory, or an archive of one (tar, zip, 7z, ..., compressed or
 * not), in
 *
 *   the official CIFAR-10 or CIFAR-100 binary layout: data_batch_*.bin + test_batch.bin, or
 *   train.bin + test.bin; in an archive in any folder. Files may hold any number of whole records.
 *
 *   a folder per class: train/CLASS/... and test/CLASS/... (`val` where there is no `test`), or
 *   CLASS/... alone: then all are training images and there are no test images. One or more folders
 *   around all of it do not matter, nor do folders below a class. Images are PNG or JPEG by content
 *   (core/data/image_decode.h). Classes are the sorted names, image order is a fixed shuffle of the
 *   sorted paths. Each image is scaled until its shorter side is image_size (antialiased bilinear)
 *   and cropped to the middle square; mean and std are those of all its training images.
 *
 * Names that begin with "." and links are not followed. Damaged images are left out and counted.
 * `name` is a label for messages, `options` may be NULL. STATUS_INVALID: none of these, a truncated
 * record, a label out of range, fewer than two classes, a class without a readable training image;
 * the message names the file or class. With the pointer "/image_size": a size that the layout does
 * not have, or out of range. A cache that cannot be read or written is only slower.
 */
CHECKED Status dataset_open(const char *name, const char *path, const DatasetOptions *options,
                            Dataset **ret, Error *err);

/*
 * Mean and standard deviation (of the population) of each channel, of pixels scaled to 0..1, over
 * `count` > 0 training images: those at `positions` in the file order, or the first where that is
 * NULL. From exact integer sums. A channel without any variation gets 1 as its deviation.
 * Writes `channels` values each.
 */
void dataset_statistics(const Dataset *dataset, const uint32_t *positions, uint32_t count,
                        float *ret_mean, float *ret_std);

/* STATUS_INVALID unless a network of these sizes is one for these images; says what differs. */
CHECKED Status dataset_fits(const Dataset *dataset, uint32_t height, uint32_t width,
                            uint32_t channels, uint32_t classes, Error *err);

/* NULL is fine. */
void dataset_free(Dataset *dataset);
