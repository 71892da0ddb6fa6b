/* PNG and JPEG files in memory, made with the libraries themselves. free() what they answer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <png.h>

typedef struct Picture {
    uint8_t *bytes;
    size_t size;
} Picture;

typedef struct PngKind {
    int color, depth; /* PNG_COLOR_TYPE_*, bits */
    bool interlaced;
    const png_color *palette; /* [palette_count], of a PNG_COLOR_TYPE_PALETTE */
    int palette_count;
    const uint8_t *palette_alpha; /* [palette_count], or NULL */
} PngKind;

/* `samples`: the rows as the file holds them, one after the other, `row_bytes` each. */
static inline Picture picture_png(PngKind kind, uint32_t width, uint32_t height,
                                  const uint8_t *samples, size_t row_bytes)
{
    Picture made = { 0 };
    FILE *file = open_memstream((char **)&made.bytes, &made.size);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);

    if (file == NULL || info == NULL || setjmp(png_jmpbuf(png)) != 0)
        abort();
    png_init_io(png, file);
    png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
    png_set_IHDR(png, info, width, height, kind.depth, kind.color,
                 kind.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (kind.palette != NULL)
        png_set_PLTE(png, info, kind.palette, kind.palette_count);
    if (kind.palette_alpha != NULL)
        png_set_tRNS(png, info, kind.palette_alpha, kind.palette_count, NULL);
    png_write_info(png, info);
    for (int passes = png_set_interlace_handling(png); passes > 0; passes--)
        for (uint32_t y = 0; y < height; y++)
            png_write_row(png, samples + y * row_bytes);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    fclose(file);
    return made;
}

static inline Picture picture_rgb(uint32_t width, uint32_t height, const uint8_t *rgb)
{
    return picture_png((PngKind){ .color = PNG_COLOR_TYPE_RGB, .depth = 8 }, width, height, rgb,
                       (size_t)width * 3);
}

/* One colour all over. */
static inline Picture picture_flat(uint32_t width, uint32_t height, uint8_t r, uint8_t g, uint8_t b)
{
    uint8_t *rgb = malloc((size_t)width * height * 3);
    Picture made;

    for (size_t p = 0; p < (size_t)width * height; p++) {
        rgb[3 * p] = r;
        rgb[3 * p + 1] = g;
        rgb[3 * p + 2] = b;
    }
    made = picture_rgb(width, height, rgb);
    free(rgb);
    return made;
}

typedef struct JpegKind {
    J_COLOR_SPACE in, file; /* of the samples, and in the file */
    int components;
    bool no_adobe_marker;
    const jpeg_scan_info *scans; /* NULL: one scan */
    int scan_count;
} JpegKind;

static inline Picture picture_jpeg(JpegKind kind, uint32_t width, uint32_t height,
                                   const uint8_t *samples)
{
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    unsigned long size = 0;
    Picture made = { 0 };

    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &made.bytes, &size);
    info.image_width = width;
    info.image_height = height;
    info.input_components = kind.components;
    info.in_color_space = kind.in;
    jpeg_set_defaults(&info);
    jpeg_set_colorspace(&info, kind.file);
    jpeg_set_quality(&info, 100, TRUE);
    if (kind.no_adobe_marker)
        info.write_Adobe_marker = FALSE;
    info.scan_info = kind.scans;
    info.num_scans = kind.scan_count;
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < height) {
        JSAMPROW row =
            (JSAMPROW)samples + (size_t)info.next_scanline * width * (size_t)kind.components;

        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    made.size = size;
    return made;
}
