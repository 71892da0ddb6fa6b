/* canvas -- RGB pixels to draw a picture on, white at first: squares, images, small text. */
#pragma once

#include <stdint.h>

#include "core/base/error.h"

enum { CANVAS_PIXELS_MAX = 1 << 23, CANVAS_ZOOM_MAX = 4 };

typedef struct Canvas {
    uint32_t height, width;
    uint8_t *pixels; /* [H,W,3]; canvas_clear() frees it */
} Canvas;

/* STATUS_NO_MEMORY. Who draws keeps to CANVAS_PIXELS_MAX. */
CHECKED Status canvas_new(uint32_t height, uint32_t width, Canvas *ret, Error *err);
void canvas_clear(Canvas *canvas);

/* A square; all of it, as of what follows, lies on the canvas. */
void canvas_fill(Canvas *canvas, uint32_t top, uint32_t left, uint32_t side, const uint8_t rgb[3]);
/* pixels: [h,w,3] */
void canvas_paste(Canvas *canvas, const uint8_t *pixels, uint32_t h, uint32_t w, uint32_t top,
                  uint32_t left);

/* How much the font is enlarged beside images of that width, 1..CANVAS_ZOOM_MAX. */
uint32_t canvas_zoom(uint32_t width);
/* Height of a line of text with its gap, and how many characters fit into `width`. */
uint32_t canvas_line(uint32_t zoom);
uint32_t canvas_room(uint32_t width, uint32_t zoom);
/* What is beyond `room` characters is cut; of a character of several bytes only the first is drawn,
 * as '?'. */
void canvas_text(Canvas *canvas, const char *text, uint32_t room, uint32_t top, uint32_t left,
                 uint32_t zoom);
