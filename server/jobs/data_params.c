/* What is left out is filled in with what it comes to, so that the row says exactly which images
 * were used. */
#include "server/jobs/data_params.h"

#include <stdio.h>

static void fill(OptionalUint *value, uint64_t fallback)
{
    if (!value->set)
        *value = (OptionalUint){ true, fallback };
}

Status data_params_open(const DataParams *params, Datasets *datasets, const Dataset **ret,
                        Error *err)
{
    return datasets_find(datasets, params->dataset, (uint32_t)params->image_size.value, ret, err);
}

/* The data set that is named, or why not, at "/dataset" unless said otherwise. */
static Status find_dataset(const DataParams *params, Datasets *datasets, const Dataset **ret,
                           Error *err)
{
    Error why = { 0 };
    Status s = data_params_open(params, datasets, ret, &why);

    if (s == STATUS_OK)
        return s;
    return error_at(err, s, why.detail[0].pointer[0] != '\0' ? why.detail[0].pointer : "/dataset",
                    "%s", error_message(&why));
}

Status data_params_halve(DataParams *params, Datasets *datasets, Error *err)
{
    const Dataset *dataset = NULL;
    Status s = params->val_images.set ? STATUS_OK : find_dataset(params, datasets, &dataset, err);

    if (dataset != NULL)
        fill(&params->val_images,
             (params->train_images.set ? params->train_images.value : dataset->train.images) / 2);
    return s;
}

Status data_params_resolve(DataParams *params, Datasets *datasets, uint64_t seed,
                           const Dataset **ret, Error *err)
{
    const Dataset *dataset;
    Loader loader = { 0 };
    DataSpec spec;
    Status s = find_dataset(params, datasets, &dataset, err);

    if (s != STATUS_OK)
        return s;
    fill(&params->image_size, dataset->height);
    fill(&params->train_images, dataset->train.images);
    if (params->test_images.value == 0) /* not set, or all */
        params->test_images = (OptionalUint){ true, dataset->test.images };
    fill(&params->val_images, 0);
    fill(&params->split_seed, seed);
    spec = data_params_spec(params);
    s = loader_init(&loader, dataset, &spec, err);
    if (s != STATUS_OK)
        return s;
    loader_clear(&loader);
    *ret = dataset;
    return STATUS_OK;
}

static OptionalUint read_uint(const json_t *params, const char *key)
{
    const json_t *value = json_object_get(params, key);

    return (OptionalUint){ json_is_integer(value), (uint64_t)json_integer_value(value) };
}

Status data_params_of(const char *params_json, DataParams *ret, Error *err)
{
    json_t *params = json_loads(params_json, 0, NULL);
    const char *dataset = json_string_value(json_object_get(params, "dataset"));
    Status s = STATUS_OK;

    if (dataset == NULL) {
        s = error_set(err, STATUS_CONFLICT, "the job uses no data set");
    } else {
        *ret = (DataParams){ .image_size = read_uint(params, "image_size"),
                             .train_images = read_uint(params, "train_images"),
                             .test_images = read_uint(params, "test_images"),
                             .val_images = read_uint(params, "val_images"),
                             .split_seed = read_uint(params, "split_seed") };
        snprintf(ret->dataset, sizeof ret->dataset, "%s", dataset);
    }
    json_decref(params);
    return s;
}

DataSpec data_params_spec(const DataParams *params)
{
    return (DataSpec){ .train_images = (uint32_t)params->train_images.value,
                       .test_images = (uint32_t)params->test_images.value,
                       .val_images = (uint32_t)params->val_images.value,
                       .split_seed = params->split_seed.value };
}

void data_params_images(const DataParams *params, uint64_t ret[SPLIT_COUNT])
{
    ret[SPLIT_TRAIN] = params->train_images.value - params->val_images.value;
    ret[SPLIT_VAL] = params->val_images.value;
    ret[SPLIT_TEST] = params->test_images.value;
}
