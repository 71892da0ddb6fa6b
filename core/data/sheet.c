/* The batch is made as for training, into one arena with everything that making it takes; the
 * sheet, white, is filled cell by cell. */
#include "core/data/sheet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/shape.h"

enum { GAP = 6, LINES = 2, LINE_MAX = 96 };

typedef struct Layout {
    uint32_t scale, columns, rows;
    uint32_t image_width, image_height, line; /* sheet pixels */
    uint32_t zoom;                            /* of the font: larger under larger images */
} Layout;

typedef struct Made {
    Arena arena;
    float *images, *targets;
    uint16_t *labels;
} Made;

static Layout layout_of(const Dataset *d, const SheetSpec *spec, uint32_t count)
{
    uint32_t zoom = canvas_zoom(d->width * spec->scale);

    return (Layout){ .scale = spec->scale,
                     .columns = count < spec->columns ? count : spec->columns,
                     .rows = (count + spec->columns - 1) / spec->columns,
                     .image_width = d->width * spec->scale,
                     .image_height = d->height * spec->scale,
                     .line = canvas_line(zoom),
                     .zoom = zoom };
}

static Status layout_check(const Dataset *d, const SheetSpec *spec, uint32_t count, Layout *ret,
                           Canvas *ret_sheet, Error *err)
{
    Layout l;
    uint64_t width, height;

    if (count < 1 || count > SHEET_IMAGES_MAX)
        return error_set(err, STATUS_INVALID, "a sheet shows 1 to %d images, not %u",
                         SHEET_IMAGES_MAX, count);
    if (spec->columns < 1 || spec->columns > SHEET_COLUMNS_MAX)
        return error_at(err, STATUS_INVALID, "/columns", "must be 1 to %d, not %u",
                        SHEET_COLUMNS_MAX, spec->columns);
    if (spec->scale < 1 || spec->scale > SHEET_SCALE_MAX)
        return error_at(err, STATUS_INVALID, "/scale", "must be 1 to %d, not %u", SHEET_SCALE_MAX,
                        spec->scale);
    l = layout_of(d, spec, count);
    width = (uint64_t)l.columns * (l.image_width + GAP) + GAP;
    height = (uint64_t)l.rows * (l.image_height + GAP + LINES * l.line) + GAP;
    if (width * height > CANVAS_PIXELS_MAX)
        return error_at(err, STATUS_INVALID, "/scale",
                        "the sheet would have %llu x %llu pixels: at most %d in all; ask for fewer "
                        "images or a smaller scale",
                        (unsigned long long)width, (unsigned long long)height, CANVAS_PIXELS_MAX);
    *ret = l;
    *ret_sheet = (Canvas){ .height = (uint32_t)height, .width = (uint32_t)width };
    return STATUS_OK;
}

static Status make(const Loader *loader, const BatchSpec *batch, Made *ret, Error *err)
{
    const Dataset *d = loader->dataset;
    size_t images = (size_t)batch->count * d->height * d->width * d->channels * sizeof(float);
    size_t targets = (size_t)batch->count * d->classes * sizeof(float);
    size_t labels = batch->count * sizeof(uint16_t);
    size_t scratch = loader_scratch_bytes(loader, batch->count);
    BatchSpec made = *batch;
    Status s = arena_init(&ret->arena,
                          arena_round(images) + arena_round(targets) + arena_round(labels) +
                              arena_round(scratch),
                          err);

    if (s != STATUS_OK)
        return s;
    ret->images = arena_take(&ret->arena, images);
    ret->targets = arena_take(&ret->arena, targets);
    ret->labels = arena_take(&ret->arena, labels);
    made.scratch = arena_take(&ret->arena, scratch);
    loader_batch(loader, NULL, &made, ret->images, ret->labels, ret->targets);
    return STATUS_OK;
}

static uint8_t byte_of(const Loader *loader, uint32_t channel, float value)
{
    float byte = roundf((value * loader->std[channel] + loader->mean[channel]) * 255.0f);

    return (uint8_t)(byte < 0 ? 0 : byte > 255 ? 255 : byte);
}

/* Image `at` of the batch, its corner at (top, left). */
static void draw_image(Canvas *sheet, const Loader *loader, const Made *made, uint32_t count,
                       uint32_t at, uint32_t top, uint32_t left, uint32_t scale)
{
    const Dataset *d = loader->dataset;
    uint32_t lanes = block_images(count, at / BLOCK_IMAGES);
    size_t block = (size_t)(at / BLOCK_IMAGES) * BLOCK_IMAGES * d->height * d->width * d->channels;
    const float *lane = made->images + block + (size_t)(at % BLOCK_IMAGES) * d->channels;

    for (uint32_t y = 0; y < d->height; y++)
        for (uint32_t x = 0; x < d->width; x++) {
            const float *pixel = lane + ((size_t)y * d->width + x) * lanes * d->channels;
            uint8_t rgb[3];

            for (uint32_t c = 0; c < 3; c++) {
                uint32_t from = d->channels < 3 ? 0 : c;

                rgb[c] = byte_of(loader, from, pixel[from]);
            }
            canvas_fill(sheet, top + y * scale, left + x * scale, scale, rgb);
        }
}

/* The class with the largest share but `except`, if that is more than smoothing gives each; -1. */
static int best_class(const float *target, uint32_t classes, float floor, int except)
{
    int best = -1;

    for (uint32_t k = 0; k < classes; k++)
        if ((int)k != except && target[k] > floor && (best < 0 || target[k] > target[best]))
            best = (int)k;
    return best;
}

static void draw_labels(Canvas *sheet, const Dataset *d, const Layout *l, const float *target,
                        float floor, uint32_t top, uint32_t left)
{
    uint32_t room = canvas_room(l->image_width, l->zoom);
    int k = -1;

    for (uint32_t i = 0; i < LINES; i++) {
        char text[LINE_MAX];

        k = best_class(target, d->classes, floor, k);
        if (k < 0)
            return;
        snprintf(text, sizeof text, "%.*s %.2f", room > 5 ? (int)room - 5 : 0, d->class_names[k],
                 (double)target[k]);
        canvas_text(sheet, text, room, top + i * l->line, left, l->zoom);
    }
}

Status sheet_draw(const Loader *loader, const BatchSpec *batch, const SheetSpec *spec, Canvas *ret,
                  Error *err)
{
    const Dataset *d = loader->dataset;
    /* A hundredth of a per cent above what smoothing gives, so that rounding is no share. */
    float floor = (float)(batch->label_smoothing / d->classes + 1e-4);
    Made made = { 0 };
    Canvas sheet = { 0 };
    Layout l = { 0 };
    Status s = layout_check(d, spec, batch->count, &l, &sheet, err);

    if (s == STATUS_OK)
        s = make(loader, batch, &made, err);
    if (s != STATUS_OK)
        return s;
    s = canvas_new(sheet.height, sheet.width, &sheet, err);
    if (s != STATUS_OK) {
        arena_clear(&made.arena);
        return s;
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        uint32_t top = GAP + i / l.columns * (l.image_height + GAP + LINES * l.line);
        uint32_t left = GAP + i % l.columns * (l.image_width + GAP);

        draw_image(&sheet, loader, &made, batch->count, i, top, left, l.scale);
        draw_labels(&sheet, d, &l, made.targets + (size_t)i * d->classes, floor,
                    top + l.image_height + l.zoom, left);
    }
    arena_clear(&made.arena);
    *ret = sheet;
    return STATUS_OK;
}
