/*
 * loader -- which images a job uses, and batches of them: augmented, normalised, in the blocked
 * layout.
 *
 * Splits: `train` are the first train_images in file order, less the last val_images of a
 * permutation of them seeded by split_seed, which are `val`; `test` are the first test_images of
 * the test files. An image's augmentation is keyed by (seed, epoch, its index in the split), the
 * mixing of a batch by (seed, step): the same for any thread count and after a resume. A Loader is
 * immutable after loader_init() and what changes its normalisation, and may then be used by any
 * number of threads at once.
 */
#pragma once

#include <stdbool.h>

#include "core/base/parallel.h"
#include "core/base/param.h"
#include "core/data/dataset.h"

typedef struct Composer Composer; /* core/data/compose.h */

typedef enum Split { SPLIT_TRAIN, SPLIT_VAL, SPLIT_TEST, SPLIT_COUNT } Split;

/* "train", "val", "test". */
extern const char *const split_names[SPLIT_COUNT + 1];

enum {
    AUGMENTS_MAX = 8,
    IMAGE_BYTES_MAX =
        DATASET_IMAGE_SIZE_MAX * DATASET_IMAGE_SIZE_MAX * DATASET_CHANNELS_MAX, /* H*W*C */
};

typedef struct DataSpec {
    uint32_t train_images, test_images; /* 0: all there are */
    uint32_t val_images;
    uint64_t split_seed;
} DataSpec;

typedef struct Loader {
    const Dataset *dataset; /* borrowed */
    uint32_t images[SPLIT_COUNT];
    /* Position in the split -> position in the data set's files; owned. */
    uint32_t *index[SPLIT_COUNT];
    float mean[DATASET_CHANNELS_MAX], std[DATASET_CHANNELS_MAX]; /* of pixels scaled to 0..1 */
    float normal[DATASET_CHANNELS_MAX][256];                     /* byte -> (byte/255 - mean)/std */
    const Composer *composer; /* borrowed; what batches are composed by, or NULL */
} Loader;

/*
 * Normalises as the data set says. STATUS_INVALID, with pointers "/train_images", "/test_images",
 * "/val_images", where the data set has fewer images than asked for, or "/dataset" where its images
 * have more than IMAGE_BYTES_MAX.
 */
CHECKED Status loader_init(Loader *loader, const Dataset *dataset, const DataSpec *spec,
                           Error *err);
void loader_clear(Loader *loader);

/* Of a data set whose normalisation is no official one ("folder"): normalises with mean and
 * standard deviation of the split `train` from now on. Reads all its images. */
void loader_measure_normal(Loader *loader);
/* Normalises with a checkpoint's own `mean` and `std` [channels] from now on; std > 0. */
void loader_set_normal(Loader *loader, const float *mean, const float *std);

/* From now on batches hold composed inputs (NULL: images again). */
void loader_set_composer(Loader *loader, const Composer *composer);
/* The channels of what loader_batch() writes: the data set's own, or the composer's. */
uint32_t loader_channels(const Loader *loader);

/* How each image is looked at, for averaging over views of it: moved, then mirrored. Pixels that
 * move in are reflected at the border (without repeating the border itself). */
typedef struct View {
    bool flip;
    int32_t shift_x, shift_y; /* pixel (x, y) of the view is pixel (x+shift_x, y+shift_y) */
} View;

typedef struct BatchSpec {
    Split split;
    const uint32_t *items; /* [count] positions in the split */
    uint32_t count;
    const Choice *augment; /* [augments] rows of the augmentation table; none for evaluation */
    uint32_t augments;
    uint64_t seed;
    uint32_t epoch;
    uint32_t step;          /* keys the mixing; unused where no row mixes */
    double label_smoothing; /* 0..1, of ret_targets */
    View view;              /* of the bytes as augmented; zeros: as they are */
    uint32_t look;          /* a ComposeLook, where the loader has a composer; else unused */
    void *scratch; /* loader_scratch_bytes(), aligned to 64, for one call at a time; what it holds
                      does not matter */
} BatchSpec;

/* What a batch of `count` images needs to be made. */
size_t loader_scratch_bytes(const Loader *loader, uint32_t count);

/*
 * Writes `count` images to ret_images in the blocked layout [block][H][W][n][C]
 * (core/base/shape.h; C is loader_channels()), their own labels to ret_labels [count], and what a
 * network is to answer to ret_targets [count, classes] (NULL: not wanted): with e =
 * label_smoothing, one-hot * (1 - e) + e / classes, mixed as the images are; a row sums to 1.
 * `pool` NULL: the calling thread alone.
 */
void loader_batch(const Loader *loader, Pool *pool, const BatchSpec *batch, float *ret_images,
                  uint16_t *ret_labels, float *ret_targets);

/* The unaugmented bytes [H,W,C] of an image, its label and mask (NULL if unknown). */
const uint8_t *loader_pixels(const Loader *loader, Split split, uint32_t item);
uint16_t loader_label(const Loader *loader, Split split, uint32_t item);
const uint8_t *loader_mask(const Loader *loader, Split split, uint32_t item);

/* Bytes -> normalised floats [H,W,C], as loader_batch() does without augmentation. */
void loader_normalise(const Loader *loader, const uint8_t *pixels, float *ret);
