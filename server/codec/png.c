/*
 * libpng's simplified interface: it counts the bytes first, so one allocation of the right size is
 * made. The fast setting is used because heat maps are made on demand and thrown away.
 */
#include "server/codec/png.h"

#include <png.h>

Status png_encode_rgb(const uint8_t *pixels, uint32_t height, uint32_t width, Bytes *ret,
                      Error *err)
{
    png_image image = { .version = PNG_IMAGE_VERSION,
                        .width = width,
                        .height = height,
                        .format = PNG_FORMAT_RGB,
                        .flags = PNG_IMAGE_FLAG_FAST };
    Bytes out = { 0 };
    png_alloc_size_t size = 0;

    if (!png_image_write_to_memory(&image, NULL, &size, 0, pixels, 0, NULL))
        return error_set(err, STATUS_INTERNAL, "cannot encode a PNG: %s", image.message);
    out.data = malloc(size);
    if (out.data == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a PNG of %zu bytes", (size_t)size);
    image = (png_image){ .version = PNG_IMAGE_VERSION,
                         .width = width,
                         .height = height,
                         .format = PNG_FORMAT_RGB,
                         .flags = PNG_IMAGE_FLAG_FAST };
    if (!png_image_write_to_memory(&image, out.data, &size, 0, pixels, 0, NULL)) {
        bytes_clear(&out);
        return error_set(err, STATUS_INTERNAL, "cannot encode a PNG: %s", image.message);
    }
    out.size = size;
    *ret = out;
    return STATUS_OK;
}
