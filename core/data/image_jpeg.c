/*
 * libjpeg reports an error by a function that must not return: ours jumps back to jpeg_read(). What
 * is changed between the setjmp() and the jump lives in JpegRead, not in local variables, and is
 * released by the caller in every case.
 *
 * A damaged JPEG is only a warning to libjpeg, which then makes up the rest of the picture; here
 * all warnings but a few harmless ones are errors. Two things keep a small file from costing
 * much: a limit on libjpeg's own memory (the coefficients of a progressive image) and one on the
 * number of scans, each of which goes over the whole picture.
 */
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <jerror.h>
#include <jpeglib.h>

#include "core/data/image_decode.h"

enum { MEMORY_BYTES_MAX = 512 << 20, SCANS_MAX = 100 };

typedef struct JpegRead {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    uint8_t *row; /* [width,4], of a CMYK image */
    Image image;  /* ret, once it is whole */
    Status status;
    Error *err;
    char message[JMSG_LENGTH_MAX];
    jmp_buf escape;
} JpegRead;

static void jpeg_failed(j_common_ptr info)
{
    JpegRead *read = info->client_data;

    info->err->format_message(info, read->message);
    longjmp(read->escape, 1);
}

/* level -1: a warning; 0 and above: chatter. */
static void jpeg_warned(j_common_ptr info, int level)
{
    int code = info->err->msg_code;

    if (level >= 0 || code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM ||
        code == JWRN_JFIF_MAJOR)
        return;
    jpeg_failed(info);
}

static void jpeg_silent(j_common_ptr info)
{
    (void)info;
}

static void jpeg_advanced(j_common_ptr info)
{
    JpegRead *read = info->client_data;

    if (read->info.input_scan_number <= SCANS_MAX)
        return;
    snprintf(read->message, sizeof read->message, "more than %d scans", SCANS_MAX);
    longjmp(read->escape, 1);
}

/* A row of ink -> RGB. Adobe's files hold 255 minus the ink. */
static void cmyk_row(const uint8_t *ink, size_t width, bool inverted, uint8_t *rgb)
{
    unsigned flip = inverted ? 0 : 255;

    for (size_t x = 0; x < width; x++, ink += 4, rgb += 3)
        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)(((ink[c] ^ flip) * (ink[3] ^ flip) + 127) / 255);
}

static bool jpeg_start(JpegRead *read)
{
    struct jpeg_decompress_struct *info = &read->info;
    bool cmyk;

    jpeg_read_header(info, TRUE);
    read->status = image_new(info->image_height, info->image_width, &read->image, read->err);
    if (read->status != STATUS_OK)
        return false;
    cmyk = info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK;
    info->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    if (cmyk)
        read->row = malloc((size_t)info->image_width * 4);
    if (cmyk && read->row == NULL) {
        read->status = error_set(read->err, STATUS_NO_MEMORY, "cannot allocate a row");
        return false;
    }
    jpeg_start_decompress(info);
    return true;
}

/* false: failed, with a message or a status. */
static bool jpeg_read(JpegRead *read, const uint8_t *bytes, size_t size)
{
    struct jpeg_decompress_struct *info = &read->info;

    if (setjmp(read->escape) != 0)
        return false;
    jpeg_create_decompress(info);
    info->mem->max_memory_to_use = MEMORY_BYTES_MAX;
    info->progress = &read->progress;
    jpeg_mem_src(info, bytes, size);
    if (!jpeg_start(read))
        return false;
    while (info->output_scanline < info->output_height) {
        uint8_t *out = read->image.pixels + (size_t)info->output_scanline * info->image_width * 3;
        JSAMPROW row = read->row != NULL ? read->row : out;

        jpeg_read_scanlines(info, &row, 1);
        if (read->row != NULL)
            cmyk_row(read->row, info->image_width, info->saw_Adobe_marker, out);
    }
    jpeg_finish_decompress(info);
    return true;
}

static Status jpeg_decode(const uint8_t *bytes, size_t size, Image *ret, Error *err)
{
    JpegRead read = { .err = err };
    bool whole;

    read.info.err = jpeg_std_error(&read.errors);
    read.info.client_data = &read;
    read.errors.error_exit = jpeg_failed;
    read.errors.emit_message = jpeg_warned;
    read.errors.output_message = jpeg_silent;
    read.progress.progress_monitor = jpeg_advanced;
    whole = jpeg_read(&read, bytes, size);
    jpeg_destroy_decompress(&read.info);
    free(read.row);
    if (whole) {
        *ret = read.image;
        return STATUS_OK;
    }
    image_clear(&read.image);
    if (read.status != STATUS_OK)
        return read.status;
    return error_set(err, STATUS_INVALID, "is a damaged JPEG (%s)", read.message);
}

static const uint8_t magic[] = { 0xff, 0xd8, 0xff };

extern const ImageFormat image_jpeg;
const ImageFormat image_jpeg = { "JPEG", magic, sizeof magic, jpeg_decode };
