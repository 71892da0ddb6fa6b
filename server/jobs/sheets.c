/* The loader draws as it would for a training step of that epoch; the mixing's step, which a
 * picture has not, is the epoch's number. */
#include "server/jobs/sheets.h"

#include <string.h>

#include "server/codec/png.h"

static Status find_dataset(const SheetRequest *r, Datasets *datasets, const Dataset **ret,
                           Error *err)
{
    const char *name;

    for (size_t i = 0; (name = datasets_name(datasets, i)) != NULL; i++) {
        DatasetLook look = datasets_look(datasets, i);

        if (strcmp(name, r->dataset) != 0)
            continue;
        if (look.error[0] != '\0') /* a picture is no reason to try again */
            return error_set(err, STATUS_INVALID, "%s", look.error);
        return datasets_find_pictures(datasets, r->dataset, r->image_size, ret, err);
    }
    return error_set(err, STATUS_NOT_FOUND, "there is no data set \"%s\"", r->dataset);
}

static Status draw(const SheetRequest *r, const Loader *loader, Bytes *ret, Error *err)
{
    uint32_t items[SHEET_IMAGES_MAX];
    Canvas sheet = { 0 };
    BatchSpec batch = { .split = SPLIT_TRAIN,
                        .items = items,
                        .count = r->images,
                        .augment = r->augment,
                        .augments = r->augments,
                        .seed = r->seed,
                        .epoch = r->epoch,
                        .step = r->epoch };
    Status s;

    if (r->images > loader->images[SPLIT_TRAIN])
        return error_at(err, STATUS_INVALID, "/images", "there are %u training images",
                        loader->images[SPLIT_TRAIN]);
    for (uint32_t i = 0; i < r->images; i++)
        items[i] = i;
    s = sheet_draw(loader, &batch, &r->spec, &sheet, err);
    if (s == STATUS_OK)
        s = png_encode_rgb(sheet.pixels, sheet.height, sheet.width, ret, err);
    canvas_clear(&sheet);
    return s;
}

Status sheet_png(const SheetRequest *request, Datasets *datasets, Bytes *ret, Error *err)
{
    const Dataset *dataset;
    Loader loader = { 0 };
    Status s = find_dataset(request, datasets, &dataset, err);

    if (s == STATUS_OK)
        s = loader_init(&loader, dataset, &(const DataSpec){ 0 }, err);
    if (s == STATUS_OK)
        s = draw(request, &loader, ret, err);
    loader_clear(&loader);
    return s;
}
