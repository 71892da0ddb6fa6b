/* Data sets: the operator's words, and what stands behind them. One that does not open, or is being
 * read, is listed with the reason. */
#include <stdio.h>

#include "server/api/api.h"
#include "server/codec/json.h"

static json_t *numbers_json(const float *values, uint32_t count)
{
    json_t *out = json_array();

    for (uint32_t i = 0; i < count; i++)
        (void)json_array_append_new(out, json_number((double)values[i]));
    return out;
}

/* Why images were left out; null where none was. */
static json_t *note_json(const Dataset *d)
{
    char note[DATASET_SKIPPED_NAMES_MAX + 64];

    if (d->skipped == 0)
        return json_null();
    snprintf(note, sizeof note, "%u images are left out: %s", d->skipped, d->skipped_names);
    return json_text(note);
}

static json_t *dataset_json(const char *name, const Dataset *d)
{
    json_t *names = json_array();

    for (uint32_t i = 0; i < d->classes; i++)
        (void)json_array_append_new(names, json_text(d->class_names[i]));
    return json_pack("{sssssbsIsIsIsIsIsIsososbsosIsIsosn}", "name", name, "layout", d->layout,
                     "loading", 0, "train_images", (json_int_t)d->train.images, "test_images",
                     (json_int_t)d->test.images, "height", (json_int_t)d->height, "width",
                     (json_int_t)d->width, "channels", (json_int_t)d->channels, "classes",
                     (json_int_t)d->classes, "mean", numbers_json(d->mean, d->channels), "std",
                     numbers_json(d->std, d->channels), "masks", d->test.masks != NULL,
                     "class_names", names, "skipped_images", (json_int_t)d->skipped,
                     "foreign_files", (json_int_t)d->foreign, "note", note_json(d), "error");
}

/* GET /api/v1/datasets */
Status api_dataset_list(Api *api, const Request *req, Response *ret, Error *err)
{
    Datasets *datasets = queue_datasets(api->queue);
    json_t *items = json_array();
    const char *name;

    for (size_t i = 0; (name = datasets_name(datasets, i)) != NULL; i++) {
        DatasetLook look = datasets_look(datasets, i);

        if (look.dataset != NULL)
            (void)json_array_append_new(items, dataset_json(name, look.dataset));
        else
            (void)json_array_append_new(
                items, json_pack("{sssbsisis[]so}", "name", name, "loading", (int)look.loading,
                                 "train_images", 0, "test_images", 0, "class_names", "error",
                                 look.error[0] != '\0' ? json_text(look.error) : json_null()));
    }
    return api_list(ret, items, err);
}
