/*
 * A split is a list of positions in the data set's files. Without validation images `train` is file
 * order; with them, the chosen ones are taken out and the rest stays in file order, so that image 0
 * of a run without validation and image 0 of the files are the same image.
 *
 * Normalising a byte is a look-up: 256 values a channel, computed with the float operations that
 * torchvision uses
 * ((byte / 255 - mean) / std), so that results match to the last bit.
 */
#include "core/data/loader.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/shape.h"
#include "core/data/augment.h"

enum { IMAGE_BYTES_MAX = 1 << 16 }; /* two of them lie on a pool thread's stack */

const char *const split_names[SPLIT_COUNT + 1] = { "train", "val", "test", NULL };

static const ImageSet *split_set(const Loader *loader, Split split)
{
    return split == SPLIT_TEST ? &loader->dataset->test : &loader->dataset->train;
}

/* Names everything that is wrong, not only the first thing. */
static Status spec_check(const Dataset *dataset, const DataSpec *spec, Error *err)
{
    uint32_t train = spec->train_images != 0 ? spec->train_images : dataset->train.images;
    Status s = STATUS_OK;

    if (spec->train_images > dataset->train.images)
        s = error_add(err, STATUS_INVALID, "/train_images",
                      "data set \"%s\" has %u training images, not %u", dataset->name,
                      dataset->train.images, spec->train_images);
    if (spec->test_images > dataset->test.images)
        s = error_add(err, STATUS_INVALID, "/test_images",
                      "data set \"%s\" has %u test images, not %u", dataset->name,
                      dataset->test.images, spec->test_images);
    if (spec->val_images > 0 && spec->val_images >= train)
        s = error_add(err, STATUS_INVALID, "/val_images",
                      "must be less than the %u training images, so that some are left to train on",
                      train);
    if ((size_t)dataset->height * dataset->width * dataset->channels > IMAGE_BYTES_MAX)
        s = error_add(err, STATUS_INVALID, "/dataset", "its images of %ux%u are too large",
                      dataset->width, dataset->height);
    return s;
}

/* val: the last of a seeded permutation, in its order. train: what is left, in file order. */
static void split_train(Loader *loader, uint32_t total, uint64_t seed, uint32_t *order)
{
    Rng rng = rng_at(seed, RNG_SPLIT, 0, 0);
    uint32_t left = loader->images[SPLIT_TRAIN], val = loader->images[SPLIT_VAL], next = 0;

    rng_permutation(&rng, total, order);
    memcpy(loader->index[SPLIT_VAL], order + left, val * sizeof *order);
    /* `order` is no longer needed as such: let it say who is in val. */
    memset(order, 0, total * sizeof *order);
    for (uint32_t i = 0; i < val; i++)
        order[loader->index[SPLIT_VAL][i]] = 1;
    for (uint32_t i = 0; i < total; i++)
        if (order[i] == 0)
            loader->index[SPLIT_TRAIN][next++] = i;
}

Status loader_init(Loader *loader, const Dataset *dataset, const DataSpec *spec, Error *err)
{
    Loader made = { .dataset = dataset };
    uint32_t train = spec->train_images != 0 ? spec->train_images : dataset->train.images;
    uint32_t test = spec->test_images != 0 ? spec->test_images : dataset->test.images;
    uint32_t *order;
    Status s = spec_check(dataset, spec, err);

    if (s != STATUS_OK)
        return s;
    made.images[SPLIT_TRAIN] = train - spec->val_images;
    made.images[SPLIT_VAL] = spec->val_images;
    made.images[SPLIT_TEST] = test;
    order = calloc((size_t)train + 1, sizeof *order);
    for (int i = 0; i < SPLIT_COUNT; i++) {
        made.index[i] = calloc((size_t)made.images[i] + 1, sizeof *made.index[i]);
        if (made.index[i] == NULL || order == NULL) {
            free(order);
            loader_clear(&made);
            return error_set(err, STATUS_NO_MEMORY, "cannot allocate the index of %u images",
                             train + test);
        }
    }
    split_train(&made, train, spec->split_seed, order);
    for (uint32_t i = 0; i < test; i++)
        made.index[SPLIT_TEST][i] = i;
    free(order);
    *loader = made;
    return STATUS_OK;
}

void loader_clear(Loader *loader)
{
    for (int i = 0; i < SPLIT_COUNT; i++)
        free(loader->index[i]);
    *loader = (Loader){ 0 };
}

typedef float Normal[DATASET_CHANNELS_MAX][256];

static void normal_fill(const Dataset *dataset, Normal normal)
{
    for (uint32_t c = 0; c < dataset->channels; c++)
        for (uint32_t v = 0; v < 256; v++)
            normal[c][v] = ((float)v / 255.0f - dataset->mean[c]) / dataset->std[c];
}

typedef struct BatchWork {
    const Loader *loader;
    const BatchSpec *spec;
    float *images;
    uint16_t *labels;
    Normal normal;
} BatchWork;

/* Image `unit` of the batch: bytes -> augmented bytes -> its lane of its block. */
static void batch_image(void *context, size_t unit)
{
    const BatchWork *work = context;
    const Dataset *dataset = work->loader->dataset;
    const BatchSpec *spec = work->spec;
    uint32_t item = spec->items[unit], channels = dataset->channels;
    ImageSize size = { dataset->height, dataset->width, channels };
    size_t area = (size_t)size.height * size.width;
    uint32_t block = (uint32_t)unit / BLOCK_IMAGES, lane = (uint32_t)unit % BLOCK_IMAGES;
    uint32_t lanes = block_images(spec->count, block);
    float *out = work->images + (size_t)block * BLOCK_IMAGES * area * channels;
    Rng rng = rng_at(spec->seed, RNG_AUGMENT, spec->epoch, item);
    uint8_t room[2][IMAGE_BYTES_MAX];
    const uint8_t *in = loader_pixels(work->loader, spec->split, item);

    for (uint32_t i = 0; i < spec->augments; i++) {
        const Choice *choice = &spec->augment[i];

        augmentation_table[choice->row]->apply(choice->value, &rng, size, in, room[i & 1]);
        in = room[i & 1];
    }
    for (size_t p = 0; p < area; p++)
        for (uint32_t c = 0; c < channels; c++)
            out[(p * lanes + lane) * channels + c] = work->normal[c][in[p * channels + c]];
    work->labels[unit] = loader_label(work->loader, spec->split, item);
}

void loader_batch(const Loader *loader, Pool *pool, const BatchSpec *batch, float *ret_images,
                  uint16_t *ret_labels)
{
    BatchWork work = {
        .loader = loader, .spec = batch, .images = ret_images, .labels = ret_labels
    };

    assert(batch->split < SPLIT_COUNT);
    normal_fill(loader->dataset, work.normal);
    pool_run(pool, batch->count, batch_image, &work);
}

static size_t position(const Loader *loader, Split split, uint32_t item)
{
    assert(item < loader->images[split]);
    return loader->index[split][item];
}

const uint8_t *loader_pixels(const Loader *loader, Split split, uint32_t item)
{
    const Dataset *d = loader->dataset;

    return split_set(loader, split)->pixels +
           position(loader, split, item) * d->height * d->width * d->channels;
}

uint16_t loader_label(const Loader *loader, Split split, uint32_t item)
{
    return split_set(loader, split)->labels[position(loader, split, item)];
}

const uint8_t *loader_mask(const Loader *loader, Split split, uint32_t item)
{
    const Dataset *d = loader->dataset;
    const uint8_t *masks = split_set(loader, split)->masks;

    return masks == NULL ? NULL : masks + position(loader, split, item) * d->height * d->width;
}

void loader_normalise(const Dataset *dataset, const uint8_t *pixels, float *ret)
{
    size_t area = (size_t)dataset->height * dataset->width;
    Normal normal;

    normal_fill(dataset, normal);
    for (size_t p = 0; p < area; p++)
        for (uint32_t c = 0; c < dataset->channels; c++, pixels++, ret++)
            *ret = normal[c][*pixels];
}
