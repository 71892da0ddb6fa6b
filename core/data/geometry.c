/* Whole rows are copied, but for the columns that come from beyond the border. */
#include "core/data/geometry.h"

#include <string.h>

/* Position `at` of an endless line that goes to and fro between 0 and count - 1. */
static size_t reflect(int64_t at, int64_t count)
{
    int64_t period = 2 * (count - 1);

    if (period == 0)
        return 0;
    at %= period;
    if (at < 0)
        at += period;
    return (size_t)(at < count ? at : period - at);
}

void image_shift(ImageSize size, int64_t down, int64_t right, const uint8_t *in, uint8_t *out)
{
    int64_t width = size.width, pixel = size.channels;
    /* Columns of `out` that lie in `in`. */
    int64_t from = right < 0 ? -right : 0, to = right > 0 ? width - right : width;

    if (to <= from)
        from = to = 0;
    for (int64_t y = 0; y < size.height; y++) {
        const uint8_t *line = in + reflect(y + down, size.height) * (size_t)(width * pixel);
        uint8_t *row = out + y * width * pixel;

        memcpy(row + from * pixel, line + (to > from ? (from + right) * pixel : 0),
               (size_t)((to - from) * pixel));
        for (int64_t x = 0; x < width; x++)
            if (x < from || x >= to)
                memcpy(row + x * pixel, line + reflect(x + right, width) * (size_t)pixel,
                       (size_t)pixel);
    }
}

void image_flip(ImageSize size, const uint8_t *in, uint8_t *out)
{
    size_t pixel = size.channels;

    for (size_t y = 0; y < size.height; y++)
        for (size_t x = 0; x < size.width; x++)
            memcpy(out + (y * size.width + x) * pixel,
                   in + (y * size.width + size.width - 1 - x) * pixel, pixel);
}
