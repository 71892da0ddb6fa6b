/*
 * Any bytes as an image file: a whole picture within the limits, which can be made a square, or a
 * refusal with a reason. What claims to be too large is not decoded, but refused in the header.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/image_decode.h"
#include "core/data/image_resize.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static inline void fuzz_require(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_image: %s\n", what);
        abort();
    }
}

/* All bytes of the picture are there and say something about the square. */
static inline void fuzz_square(const Image *image)
{
    enum { SIDE = 8 };
    uint8_t square[SIDE * SIDE * 3];
    size_t size = (size_t)image->height * image->width * 3;
    uint8_t low = 255, high = 0;

    fuzz_require(size > 0 && size <= (size_t)IMAGE_PIXELS_MAX * 3, "a size out of bounds");
    for (size_t i = 0; i < size; i++) {
        low = image->pixels[i] < low ? image->pixels[i] : low;
        high = image->pixels[i] > high ? image->pixels[i] : high;
    }
    fuzz_require(image_square(image, SIDE, square, NULL) == STATUS_OK, "no square");
    for (size_t i = 0; i < sizeof square; i++)
        fuzz_require(square[i] >= low && square[i] <= high, "an average beyond its terms");
}

static inline int fuzz_image(const uint8_t *bytes, size_t size)
{
    Image image = { 0 };
    Error err = { 0 };

    if (image_decode(bytes, size, &image, &err) == STATUS_OK)
        fuzz_square(&image);
    else
        fuzz_require(err.status == STATUS_INVALID && error_message(&err)[0] != '\0' &&
                         image.pixels == NULL,
                     "refused without a reason");
    image_clear(&image);
    return 0;
}

/* A copy that begins with `magic`: most mutations of the first bytes are no news. */
static inline uint8_t *fuzz_copy(const uint8_t *bytes, size_t size, const char *magic,
                                 size_t magic_bytes)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    fuzz_require(copy != NULL, "out of memory");
    memcpy(copy, bytes, size);
    memcpy(copy, magic, size < magic_bytes ? size : magic_bytes);
    return copy;
}
