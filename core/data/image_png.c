/*
 * libpng does the conversions, a row at a time: palette and grey to RGB, 16 bits to 8, and a filler
 * or the file's own transparency as fourth channel, which is laid over white here. An interlaced
 * image needs all of its rows at once, so all images are read that way.
 *
 * libpng reports an error by a function that must not return: ours jumps back to png_read(). What
 * is changed between the setjmp() and the jump lives in PngRead, not in local variables, and is
 * released by the caller in every case. Warnings are about things that do not touch the pixels
 * (text, profiles, trailing data) and are not looked at.
 */
#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/image_decode.h"

enum { CHUNK_BYTES_MAX = 8 << 20, CHUNKS_CACHED_MAX = 128 };

typedef struct PngRead {
    png_structp png;
    png_infop info;
    const uint8_t *bytes; /* what is left to read */
    size_t size;
    uint8_t *rgba; /* [height,width,4] */
    png_bytep *rows;
    Image image; /* ret, once it is whole */
    Status status;
    Error *err;
    char message[128];
    jmp_buf escape;
} PngRead;

static void png_failed(png_structp png, png_const_charp message)
{
    PngRead *read = png_get_error_ptr(png);

    snprintf(read->message, sizeof read->message, "%s", message);
    longjmp(read->escape, 1);
}

static void png_warned(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void png_take(png_structp png, png_bytep out, size_t count)
{
    PngRead *read = png_get_io_ptr(png);

    if (count > read->size)
        png_error(png, "it ends too early");
    memcpy(out, read->bytes, count);
    read->bytes += count;
    read->size -= count;
}

/* RGBA over white -> RGB. */
static void flatten(const uint8_t *rgba, size_t pixels, uint8_t *rgb)
{
    for (size_t i = 0; i < pixels; i++, rgba += 4, rgb += 3) {
        unsigned alpha = rgba[3];

        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)((rgba[c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
}

static bool png_allocate(PngRead *read, uint32_t height, uint32_t width)
{
    read->status = image_new(height, width, &read->image, read->err);
    if (read->status != STATUS_OK)
        return false;
    read->rgba = malloc((size_t)height * width * 4);
    read->rows = malloc(height * sizeof *read->rows);
    if (read->rgba == NULL || read->rows == NULL) {
        read->status = error_set(read->err, STATUS_NO_MEMORY,
                                 "cannot allocate an image of %u x %u pixels", width, height);
        return false;
    }
    for (uint32_t y = 0; y < height; y++)
        read->rows[y] = read->rgba + (size_t)y * width * 4;
    return true;
}

/* false: failed, with a message or a status. */
static bool png_read(PngRead *read)
{
    if (setjmp(read->escape) != 0)
        return false;
    read->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, read, png_failed, png_warned);
    if (read->png == NULL)
        return false;
    read->info = png_create_info_struct(read->png);
    if (read->info == NULL)
        return false;
    /* image_new() has the limits and says so in words. */
    png_set_user_limits(read->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(read->png, CHUNK_BYTES_MAX);
    png_set_chunk_cache_max(read->png, CHUNKS_CACHED_MAX);
    png_set_read_fn(read->png, read, png_take);
    png_read_info(read->png, read->info);
    if (!png_allocate(read, png_get_image_height(read->png, read->info),
                      png_get_image_width(read->png, read->info)))
        return false;
    png_set_expand(read->png);
    png_set_scale_16(read->png);
    png_set_gray_to_rgb(read->png);
    png_set_add_alpha(read->png, 255, PNG_FILLER_AFTER);
    png_set_interlace_handling(read->png);
    png_read_update_info(read->png, read->info);
    if (png_get_rowbytes(read->png, read->info) != (size_t)read->image.width * 4)
        png_error(read->png, "its rows have another size than its header says");
    png_read_image(read->png, read->rows);
    png_read_end(read->png, NULL);
    return true;
}

static Status png_decode(const uint8_t *bytes, size_t size, Image *ret, Error *err)
{
    PngRead read = { .bytes = bytes, .size = size, .err = err };
    bool whole = png_read(&read);

    png_destroy_read_struct(&read.png, &read.info, NULL);
    if (whole) {
        flatten(read.rgba, (size_t)read.image.height * read.image.width, read.image.pixels);
        *ret = read.image;
    } else {
        image_clear(&read.image);
        if (read.status == STATUS_OK && read.message[0] == '\0')
            read.status = error_set(err, STATUS_NO_MEMORY, "cannot allocate a PNG reader");
        if (read.status == STATUS_OK)
            read.status = error_set(err, STATUS_INVALID, "is a damaged PNG (%s)", read.message);
    }
    free(read.rgba);
    free(read.rows);
    return read.status;
}

static const uint8_t magic[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };

extern const ImageFormat image_png;
const ImageFormat image_png = { "PNG", magic, sizeof magic, png_decode };
