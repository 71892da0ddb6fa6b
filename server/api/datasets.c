/* Data sets: the operator's words, and what stands behind them. One that does not open is listed
 * with the reason. */
#include "server/api/api.h"
#include "server/codec/json.h"

static json_t *numbers_json(const float *values, uint32_t count)
{
    json_t *out = json_array();

    for (uint32_t i = 0; i < count; i++)
        (void)json_array_append_new(out, json_number((double)values[i]));
    return out;
}

static json_t *dataset_json(const char *name, const Dataset *d)
{
    json_t *names = json_array();

    for (uint32_t i = 0; i < d->classes; i++)
        (void)json_array_append_new(names, json_text(d->class_names[i]));
    return json_pack("{sssssIsIsIsIsIsIsososbsosn}", "name", name, "layout", d->layout,
                     "train_images", (json_int_t)d->train.images, "test_images",
                     (json_int_t)d->test.images, "height", (json_int_t)d->height, "width",
                     (json_int_t)d->width, "channels", (json_int_t)d->channels, "classes",
                     (json_int_t)d->classes, "mean", numbers_json(d->mean, d->channels), "std",
                     numbers_json(d->std, d->channels), "masks", d->test.masks != NULL,
                     "class_names", names, "error");
}

/* GET /api/v1/datasets -- opens what was not opened yet. */
Status api_dataset_list(Api *api, const Request *req, Response *ret, Error *err)
{
    Datasets *datasets = queue_datasets(api->queue);
    json_t *items = json_array();
    const char *name;

    for (size_t i = 0; (name = datasets_name(datasets, i)) != NULL; i++) {
        const Dataset *dataset = NULL;
        Error why = { 0 };

        if (datasets_get(datasets, name, &dataset, &why) == STATUS_OK)
            (void)json_array_append_new(items, dataset_json(name, dataset));
        else
            (void)json_array_append_new(
                items, json_pack("{sssisis[]so}", "name", name, "train_images", 0, "test_images", 0,
                                 "class_names", "error", json_text(error_message(&why))));
    }
    return api_list(ret, items, err);
}
