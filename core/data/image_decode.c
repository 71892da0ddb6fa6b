/* A row a format; each reader lives in a file of its own, the only one that knows its library. */
#include "core/data/image_decode.h"

#include <stdlib.h>
#include <string.h>

extern const ImageFormat image_png, image_jpeg;

static const ImageFormat *const formats[] = { &image_png, &image_jpeg };

const ImageFormat *image_format(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (size >= formats[i]->magic_bytes &&
            memcmp(bytes, formats[i]->magic, formats[i]->magic_bytes) == 0)
            return formats[i];
    return NULL;
}

Status image_decode(const uint8_t *bytes, size_t size, Image *ret, Error *err)
{
    const ImageFormat *format = image_format(bytes, size);

    if (size == 0)
        return error_set(err, STATUS_INVALID, "is empty");
    if (format == NULL)
        return error_set(err, STATUS_INVALID, "is neither a PNG nor a JPEG");
    return format->decode(bytes, size, ret, err);
}

Status image_new(uint32_t height, uint32_t width, Image *ret, Error *err)
{
    uint64_t pixels = (uint64_t)height * width;
    Image image = { .height = height, .width = width };

    if (pixels == 0)
        return error_set(err, STATUS_INVALID, "has no pixels");
    if (pixels > IMAGE_PIXELS_MAX || height > IMAGE_SIDE_MAX || width > IMAGE_SIDE_MAX)
        return error_set(err, STATUS_INVALID,
                         "is too large: %u x %u pixels; at most %d million and %d a side", width,
                         height, IMAGE_PIXELS_MAX / 1000000, IMAGE_SIDE_MAX);
    image.pixels = malloc(pixels * 3);
    if (image.pixels == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate an image of %u x %u pixels", width,
                         height);
    *ret = image;
    return STATUS_OK;
}

void image_clear(Image *image)
{
    free(image->pixels);
    *image = (Image){ 0 };
}
