/* data_params -- the keys by which every kind says which images it uses (D in the contract). */
#pragma once

#include "core/data/loader.h"
#include "server/jobs/datasets.h"
#include "server/jobs/spec.h"

typedef struct DataParams {
    char dataset[DATASET_NAME_MAX];
    /* All set after data_params_resolve(). */
    OptionalUint image_size, train_images, test_images, val_images, split_seed;
} DataParams;

/* Rows of a kind's field table whose params struct S has a member `DataParams data`. */
#define DATA_FIELD_ROWS(S)                                                                     \
    FIELD_STRING_ROW(S, data.dataset, "dataset", FIELD_REQUIRED, NULL, "name of a data set"),  \
        FIELD_UINT_ROW(S, data.image_size, "image_size", 1, DATASET_IMAGE_SIZE_MAX,            \
                       "pixels a side; null: 32 for folders of images, what the others have"), \
        FIELD_UINT_ROW(S, data.train_images, "train_images", 1, 1e9,                           \
                       "the first N training images; null: all"),                              \
        FIELD_UINT_ROW(S, data.test_images, "test_images", 0, 1e9,                             \
                       "the first N test images; null or 0: all there are"),                   \
        FIELD_UINT_ROW(S, data.val_images, "val_images", 0, 1e9,                               \
                       "training images set apart for validation; null: 0"),                   \
        FIELD_UINT_ROW(S, data.split_seed, "split_seed", 0, 9007199254740991.0,                \
                       "seed of the permutation that sets them apart; null: the job's seed")

/*
 * Fills in what was left out (all images, no validation, the job's seed) and checks it against the
 * data set. STATUS_INVALID with pointers "/dataset", "/image_size", "/train_images" and so on;
 * STATUS_BUSY: the data set is being read (datasets_find()).
 */
CHECKED Status data_params_resolve(DataParams *params, Datasets *datasets, uint64_t seed,
                                   const Dataset **ret, Error *err);
/* Before that, for kinds that search: where val_images was left out, it is half of the training
 * images. Errors as above. */
CHECKED Status data_params_halve(DataParams *params, Datasets *datasets, Error *err);
/* The data set of resolved params, as `check` found it. */
CHECKED Status data_params_open(const DataParams *params, Datasets *datasets, const Dataset **ret,
                                Error *err);
/* What a submitted job's params say, all filled in; STATUS_CONFLICT: its kind uses no data set. */
CHECKED Status data_params_of(const char *params_json, DataParams *ret, Error *err);
/* Of resolved params. */
DataSpec data_params_spec(const DataParams *params);
/* How many images each split has. */
void data_params_images(const DataParams *params, uint64_t ret[SPLIT_COUNT]);
