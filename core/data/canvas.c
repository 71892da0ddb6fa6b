/* Plain loops: a picture is drawn once, for a person. */
#include "core/data/canvas.h"

#include <stdlib.h>
#include <string.h>

#include "core/data/font.h"

enum { WHITE = 255, INK = 24, ZOOM_PIXELS = 160 };

Status canvas_new(uint32_t height, uint32_t width, Canvas *ret, Error *err)
{
    size_t bytes = (size_t)height * width * 3;
    uint8_t *pixels = malloc(bytes);

    if (pixels == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a sheet of %u x %u pixels", width,
                         height);
    memset(pixels, WHITE, bytes);
    *ret = (Canvas){ height, width, pixels };
    return STATUS_OK;
}

void canvas_clear(Canvas *canvas)
{
    free(canvas->pixels);
    *canvas = (Canvas){ 0 };
}

static uint8_t *pixel_at(Canvas *canvas, uint32_t y, uint32_t x)
{
    return canvas->pixels + ((size_t)y * canvas->width + x) * 3;
}

void canvas_fill(Canvas *canvas, uint32_t top, uint32_t left, uint32_t side, const uint8_t rgb[3])
{
    for (uint32_t y = 0; y < side; y++)
        for (uint32_t x = 0; x < side; x++)
            memcpy(pixel_at(canvas, top + y, left + x), rgb, 3);
}

void canvas_paste(Canvas *canvas, const uint8_t *pixels, uint32_t h, uint32_t w, uint32_t top,
                  uint32_t left)
{
    for (uint32_t y = 0; y < h; y++)
        memcpy(pixel_at(canvas, top + y, left), pixels + (size_t)y * w * 3, (size_t)w * 3);
}

uint32_t canvas_zoom(uint32_t width)
{
    uint32_t zoom = width / ZOOM_PIXELS;

    return zoom < 1 ? 1 : zoom > CANVAS_ZOOM_MAX ? CANVAS_ZOOM_MAX : zoom;
}

uint32_t canvas_line(uint32_t zoom)
{
    return (FONT_HEIGHT + 1) * zoom;
}

uint32_t canvas_room(uint32_t width, uint32_t zoom)
{
    return width / ((FONT_WIDTH + 1) * zoom);
}

void canvas_text(Canvas *canvas, const char *text, uint32_t room, uint32_t top, uint32_t left,
                 uint32_t zoom)
{
    static const uint8_t ink[3] = { INK, INK, INK };

    for (; *text != '\0' && room > 0; text++) {
        const uint8_t *glyph = font_glyph(*text);

        if (((uint8_t)*text & 0xc0) == 0x80)
            continue;
        for (uint32_t y = 0; y < FONT_HEIGHT; y++)
            for (uint32_t x = 0; x < FONT_WIDTH; x++)
                if ((glyph[y] >> (FONT_WIDTH - 1 - x) & 1) != 0)
                    canvas_fill(canvas, top + y * zoom, left + x * zoom, zoom, ink);
        left += (FONT_WIDTH + 1) * zoom;
        room--;
    }
}
