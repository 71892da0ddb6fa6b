/*
 * sheet -- a batch as a picture: its images, augmented as a training step would see them, in a
 * grid, with their soft labels under each.
 */
#pragma once

#include "core/data/canvas.h"
#include "core/data/loader.h"

enum {
    SHEET_COLUMNS_MAX = 32,
    SHEET_SCALE_MAX = 16,
    SHEET_IMAGES_MAX = 256,
};

typedef struct SheetSpec {
    uint32_t columns; /* 1..SHEET_COLUMNS_MAX */
    uint32_t scale;   /* 1..SHEET_SCALE_MAX: sheet pixels an image pixel */
} SheetSpec;

/*
 * Draws loader_batch(batch), back as bytes; of 1 or 2 channels the first is shown in grey, of 4 the
 * first three. Under an image stand the (at most two) classes that have a share of its label beyond
 * smoothing, with their share, names cut to fit. batch->scratch is not used. STATUS_INVALID: no
 * images or more than SHEET_IMAGES_MAX, columns or scale out of range, or more pixels than
 * CANVAS_PIXELS_MAX, with the figure; STATUS_NO_MEMORY.
 */
CHECKED Status sheet_draw(const Loader *loader, const BatchSpec *batch, const SheetSpec *spec,
                          Canvas *ret, Error *err);
