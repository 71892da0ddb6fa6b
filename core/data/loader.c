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

#include "core/base/rng.h"
#include "core/data/compose.h"

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
        s = error_add(err, STATUS_INVALID, "/dataset",
                      "its images of %ux%u with %u channels are too large: width * height * "
                      "channels may be %d",
                      dataset->width, dataset->height, dataset->channels, IMAGE_BYTES_MAX);
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
    for (int c = 0; c < DATASET_CHANNELS_MAX; c++)
        made.std[c] =
            1; /* also of channels that the images do not have, but a composed input may */
    loader_set_normal(&made, dataset->mean, dataset->std);
    *loader = made;
    return STATUS_OK;
}

void loader_clear(Loader *loader)
{
    for (int i = 0; i < SPLIT_COUNT; i++)
        free(loader->index[i]);
    *loader = (Loader){ 0 };
}

void loader_set_normal(Loader *loader, const float *mean, const float *std)
{
    for (uint32_t c = 0; c < loader->dataset->channels; c++) {
        loader->mean[c] = mean[c];
        loader->std[c] = std[c];
        for (uint32_t v = 0; v < 256; v++)
            loader->normal[c][v] = ((float)v / 255.0f - mean[c]) / std[c];
    }
}

void loader_measure_normal(Loader *loader)
{
    uint32_t images = loader->images[SPLIT_TRAIN];
    float mean[DATASET_CHANNELS_MAX], std[DATASET_CHANNELS_MAX];

    if (strcmp(loader->dataset->layout, "folder") != 0 || images == 0)
        return;
    dataset_statistics(loader->dataset, loader->index[SPLIT_TRAIN], images, mean, std);
    loader_set_normal(loader, mean, std);
}

void loader_set_composer(Loader *loader, const Composer *composer)
{
    loader->composer = composer;
}

uint32_t loader_channels(const Loader *loader)
{
    return loader->composer != NULL ? loader->composer->channels : loader->dataset->channels;
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

void loader_normalise(const Loader *loader, const uint8_t *pixels, float *ret)
{
    const Dataset *d = loader->dataset;
    size_t area = (size_t)d->height * d->width;

    for (size_t p = 0; p < area; p++)
        for (uint32_t c = 0; c < d->channels; c++, pixels++, ret++)
            *ret = loader->normal[c][*pixels];
}
