/*
 * loader -- which images a job uses, and batches of them: augmented, normalised, in the blocked
 * layout.
 *
 * Splits: `train` are the first train_images in file order, less the last val_images of a
 * permutation of them seeded by split_seed, which are `val`; `test` are the first test_images of
 * the test files. An image's augmentation is keyed by (seed, epoch, its index in the split): the
 * same for any thread count and after a resume. A Loader is immutable after loader_init();
 * loader_batch() may be called from one thread at a time.
 */
#pragma once

#include "core/base/parallel.h"
#include "core/base/param.h"
#include "core/data/dataset.h"

typedef enum Split { SPLIT_TRAIN, SPLIT_VAL, SPLIT_TEST, SPLIT_COUNT } Split;

/* "train", "val", "test". */
extern const char *const split_names[SPLIT_COUNT + 1];

enum { AUGMENTS_MAX = 8 };

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
} Loader;

/*
 * STATUS_INVALID, with pointers "/train_images", "/test_images", "/val_images", where the data set
 * has fewer images than asked for.
 */
CHECKED Status loader_init(Loader *loader, const Dataset *dataset, const DataSpec *spec,
                           Error *err);
void loader_clear(Loader *loader);

typedef struct BatchSpec {
    Split split;
    const uint32_t *items; /* [count] positions in the split */
    uint32_t count;
    const Choice *augment; /* [augments] rows of the augmentation table; none for evaluation */
    uint32_t augments;
    uint64_t seed;
    uint32_t epoch;
} BatchSpec;

/*
 * Writes `count` images to ret_images in the blocked layout [block][H][W][n][C] (core/base/shape.h)
 * and their labels to ret_labels. One unit of work an image.
 */
void loader_batch(const Loader *loader, Pool *pool, const BatchSpec *batch, float *ret_images,
                  uint16_t *ret_labels);

/* The unaugmented bytes [H,W,C] of an image, its label and mask (NULL if unknown). */
const uint8_t *loader_pixels(const Loader *loader, Split split, uint32_t item);
uint16_t loader_label(const Loader *loader, Split split, uint32_t item);
const uint8_t *loader_mask(const Loader *loader, Split split, uint32_t item);

/* Bytes -> normalised floats [H,W,C], as loader_batch() does without augmentation. */
void loader_normalise(const Dataset *dataset, const uint8_t *pixels, float *ret);
