/*
 * Previews: a sheet of augmented training images with their soft labels. Drawn by the thread that
 * draws heat maps; the query is checked here, `augment` by the table that checks a job's.
 */
#include <stdio.h>
#include <string.h>

#include "core/data/augment.h"
#include "server/api/api.h"
#include "server/codec/json.h"

enum { AUGMENT_BYTES = 4096 };

typedef struct PreviewQuery {
    char augment[AUGMENT_BYTES];
    OptionalUint image_size;
    uint32_t images, epoch, columns, scale;
    uint64_t seed;
} PreviewQuery;

static const Field preview_fields[] = {
    FIELD_STRING_ROW(PreviewQuery, augment, "augment", 0, "[]",
                     "JSON, as in a job: what is done to the images, in order"),
    FIELD_UINT_ROW(PreviewQuery, image_size, "image_size", 1, DATASET_IMAGE_SIZE_MAX,
                   "pixels a side; the data set's own where absent"),
    FIELD_U32_ROW(PreviewQuery, images, "images", 32, 1, SHEET_IMAGES_MAX,
                  "the first of the training images; they are mixed with each other"),
    FIELD_U64_ROW(PreviewQuery, seed, "seed", 0, 0, 9007199254740991.0, "as a job's"),
    FIELD_U32_ROW(PreviewQuery, epoch, "epoch", 0, 0, 1000000, "each draws anew"),
    FIELD_U32_ROW(PreviewQuery, columns, "columns", 8, 1, SHEET_COLUMNS_MAX, "images in a row"),
    FIELD_U32_ROW(PreviewQuery, scale, "scale", 3, 1, SHEET_SCALE_MAX,
                  "sheet pixels an image pixel"),
};

static const Field augment_fields[] = {
    FIELD_CHOICES_ROW(SheetRequest, augment, augments, "augment", augmentation_table, ""),
};

/* The text as a job's `augment`; errors are "/augment" or below it. */
static Status parse_augment(const char *text, SheetRequest *ret, Error *err)
{
    json_t *list = NULL, *object;
    Error why = { 0 };
    Status s = json_read(text, strlen(text), &list, &why);

    if (s != STATUS_OK)
        return error_at(err, STATUS_INVALID, "/augment", "%s", error_message(&why));
    object = json_pack("{s:o}", "augment", list);
    s = object == NULL ? error_set(err, STATUS_NO_MEMORY, "no memory for the query")
                       : fields_parse(augment_fields, 1, object, ret, err);
    json_decref(object);
    return s;
}

/* GET /api/v1/datasets/{name}/preview.png */
Status api_dataset_preview(Api *api, const Request *req, Response *ret, Error *err)
{
    const char *name = request_param(req, "name");
    MapsRequest request = { .what = MAPS_SHEET };
    SheetRequest *sheet = &request.sheet;
    PreviewQuery query;
    Status s =
        api_query(req, preview_fields, sizeof preview_fields / sizeof *preview_fields, &query, err);

    if (s == STATUS_OK)
        s = parse_augment(query.augment, sheet, err);
    if (s == STATUS_OK && strlen(name) >= sizeof sheet->dataset)
        s = error_set(err, STATUS_NOT_FOUND, "there is no data set of that name");
    if (s != STATUS_OK)
        return s;
    snprintf(sheet->dataset, sizeof sheet->dataset, "%s", name);
    sheet->image_size = (uint32_t)query.image_size.value;
    sheet->images = query.images;
    sheet->seed = query.seed;
    sheet->epoch = query.epoch;
    sheet->spec = (SheetSpec){ query.columns, query.scale };
    return api_maps_submit(api, &request, ret, err);
}
