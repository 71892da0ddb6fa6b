/*
 * image_decode -- PNG and JPEG files in memory -> 8-bit RGB.
 *
 * The format is told by the first bytes, never by a name. Grey, palette and 16-bit images become
 * RGB; what is transparent is laid over white; CMYK and YCCK JPEGs are converted, inverted ones
 * (Adobe's) as well. Colour profiles and EXIF orientation are not looked at, as in torchvision's
 * folder data sets.
 *
 * Bytes come from strangers: dimensions are checked before anything of their size is allocated, and
 * an image that is cut short or damaged is refused as a whole. Any thread; no static state; nothing
 * is printed.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

enum {
    IMAGE_PIXELS_MAX = 40 * 1000 * 1000,
    IMAGE_SIDE_MAX = 65535,
    IMAGE_MAGIC_BYTES = 8 /* as many of a file tell its format */
};

typedef struct Image {
    uint32_t height, width;
    uint8_t *pixels; /* [height,width,3]; owned */
} Image;

typedef struct ImageFormat {
    const char *name; /* "PNG" */
    const uint8_t *magic;
    size_t magic_bytes;
    Status (*decode)(const uint8_t *bytes, size_t size, Image *ret, Error *err);
} ImageFormat;

/* The format that these bytes begin like, or NULL. IMAGE_MAGIC_BYTES of them are enough. */
const ImageFormat *image_format(const uint8_t *bytes, size_t size);

/*
 * STATUS_INVALID: neither format, damaged, cut short, or larger than IMAGE_PIXELS_MAX and
 * IMAGE_SIDE_MAX allow; the message is to follow a file's name: "is a damaged JPEG (Premature end
 * of JPEG file)". STATUS_NO_MEMORY. The caller clears *ret.
 */
CHECKED Status image_decode(const uint8_t *bytes, size_t size, Image *ret, Error *err);

/* Allocates the pixels, if the size is one that image_decode() allows; for the formats' readers. */
CHECKED Status image_new(uint32_t height, uint32_t width, Image *ret, Error *err);

/* A zeroed or cleared Image is fine. */
void image_clear(Image *image);
