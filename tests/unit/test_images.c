/* images: PNG and JPEG files -> RGB, and RGB -> a square. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/data/image_decode.h"
#include "core/data/image_resize.h"
#include "tests/unit/pictures.h"

/* ---- Helpers ---- */

/* Decodes and frees the picture. */
static Image decoded(Picture picture)
{
    Image image = { 0 };
    Error err = { 0 };

    if (image_decode(picture.bytes, picture.size, &image, &err) != STATUS_OK)
        fail_msg("not decoded: %s", error_message(&err));
    free(picture.bytes);
    return image;
}

static void assert_refused(const uint8_t *bytes, size_t size, const char *part)
{
    Image image = { 0 };
    Error err = { 0 };

    assert_int_equal(image_decode(bytes, size, &image, &err), STATUS_INVALID);
    assert_null(image.pixels);
    if (strstr(error_message(&err), part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error_message(&err), part);
}

/* All pixels are this colour, give or take. */
static void assert_flat(Image image, int r, int g, int b, int tolerance)
{
    const int want[3] = { r, g, b };

    for (size_t i = 0; i < (size_t)image.height * image.width * 3; i++)
        if (abs(image.pixels[i] - want[i % 3]) > tolerance)
            fail_msg("channel %zu is %u, not %d", i % 3, image.pixels[i], want[i % 3]);
    image_clear(&image);
}

/* width x height pixels of something with edges. */
static void pattern(uint8_t *samples, size_t count)
{
    for (size_t i = 0; i < count; i++)
        samples[i] = (uint8_t)(i * 37 + i / 7 * 11);
}

/* ---- Formats ---- */

static void the_first_bytes_tell_the_format(void **state)
{
    Picture png = picture_flat(1, 1, 1, 2, 3);
    uint8_t grey = 7;
    Picture jpeg = picture_jpeg(
        (JpegKind){ .in = JCS_GRAYSCALE, .file = JCS_GRAYSCALE, .components = 1 }, 1, 1, &grey);

    (void)state;
    assert_string_equal(image_format(png.bytes, IMAGE_MAGIC_BYTES)->name, "PNG");
    assert_string_equal(image_format(jpeg.bytes, IMAGE_MAGIC_BYTES)->name, "JPEG");
    assert_null(image_format(png.bytes, 7));
    assert_null(image_format((const uint8_t *)"GIF89a..", 8));
    assert_refused((const uint8_t *)"hello, world", 12, "neither a PNG nor a JPEG");
    assert_refused((const uint8_t *)"", 0, "is empty");
    free(png.bytes);
    free(jpeg.bytes);
}

static void a_png_keeps_its_pixels_interlaced_or_not(void **state)
{
    uint8_t rgb[13 * 11 * 3];

    (void)state;
    pattern(rgb, sizeof rgb);
    for (int interlaced = 0; interlaced < 2; interlaced++) {
        PngKind kind = { PNG_COLOR_TYPE_RGB, 8, interlaced, NULL, 0, NULL };
        Image image = decoded(picture_png(kind, 13, 11, rgb, 39));

        assert_int_equal(image.width, 13);
        assert_int_equal(image.height, 11);
        assert_memory_equal(image.pixels, rgb, sizeof rgb);
        image_clear(&image);
    }
}

static void grey_palette_and_16_bit_pngs_become_rgb(void **state)
{
    static const png_color palette[] = { { 10, 20, 30 }, { 200, 100, 50 } };
    const uint8_t bits = 0x80, deep[2] = { 0x80, 0x80 }, grey = 77;
    const uint8_t deep_rgb[6] = { 0x12, 0x12, 0xff, 0xff, 0, 0 };
    PngKind kind = { .color = PNG_COLOR_TYPE_GRAY, .depth = 8 };

    (void)state;
    assert_flat(decoded(picture_png(kind, 1, 1, &grey, 1)), 77, 77, 77, 0);
    kind.depth = 1;
    assert_flat(decoded(picture_png(kind, 1, 1, &bits, 1)), 255, 255, 255, 0);
    kind.depth = 16;
    assert_flat(decoded(picture_png(kind, 1, 1, deep, 2)), 0x80, 0x80, 0x80, 0);
    kind.color = PNG_COLOR_TYPE_RGB;
    assert_flat(decoded(picture_png(kind, 1, 1, deep_rgb, 6)), 0x12, 255, 0, 0);
    kind = (PngKind){ PNG_COLOR_TYPE_PALETTE, 1, false, palette, 2, NULL };
    assert_flat(decoded(picture_png(kind, 1, 1, &bits, 1)), 200, 100, 50, 0);
}

static void what_is_transparent_lies_over_white(void **state)
{
    static const png_color palette[] = { { 0, 100, 200 } };
    static const uint8_t clear = 0;
    const uint8_t rgba[4] = { 100, 0, 250, 51 }, grey_alpha[2] = { 40, 255 }, index = 0;
    PngKind kind = { .color = PNG_COLOR_TYPE_RGB_ALPHA, .depth = 8 };

    (void)state;
    /* 51/255 = 1/5 of the colour and 4/5 white */
    assert_flat(decoded(picture_png(kind, 1, 1, rgba, 4)), 224, 204, 254, 0);
    kind.color = PNG_COLOR_TYPE_GRAY_ALPHA;
    assert_flat(decoded(picture_png(kind, 1, 1, grey_alpha, 2)), 40, 40, 40, 0);
    kind = (PngKind){ PNG_COLOR_TYPE_PALETTE, 8, false, palette, 1, &clear };
    assert_flat(decoded(picture_png(kind, 1, 1, &index, 1)), 255, 255, 255, 0);
}

/* A flat JPEG of `components` samples a pixel. */
static Image flat_jpeg(JpegKind kind, const uint8_t *sample)
{
    uint8_t samples[9 * 9 * 4];

    for (int i = 0; i < 81 * kind.components; i++)
        samples[i] = sample[i % kind.components];
    return decoded(picture_jpeg(kind, 9, 9, samples));
}

static void jpegs_of_every_colour_space_become_rgb(void **state)
{
    const uint8_t rgb[3] = { 200, 90, 30 }, grey = 140, ink[4] = { 200, 0, 100, 51 };
    uint8_t inverted[4];
    JpegKind kind = { .in = JCS_RGB, .file = JCS_YCbCr, .components = 3 };

    (void)state;
    assert_flat(flat_jpeg(kind, rgb), 200, 90, 30, 2);
    kind.file = JCS_RGB;
    assert_flat(flat_jpeg(kind, rgb), 200, 90, 30, 1);
    kind = (JpegKind){ .in = JCS_GRAYSCALE, .file = JCS_GRAYSCALE, .components = 1 };
    assert_flat(flat_jpeg(kind, &grey), 140, 140, 140, 1);
    /* (255 - ink) (255 - black) / 255, with black a fifth */
    kind = (JpegKind){ .in = JCS_CMYK, .file = JCS_CMYK, .components = 4, .no_adobe_marker = true };
    assert_flat(flat_jpeg(kind, ink), 44, 204, 124, 2);
    for (int i = 0; i < 4; i++)
        inverted[i] = (uint8_t)(255 - ink[i]);
    kind.no_adobe_marker = false;
    assert_flat(flat_jpeg(kind, inverted), 44, 204, 124, 2);
    kind.file = JCS_YCCK;
    assert_flat(flat_jpeg(kind, inverted), 44, 204, 124, 3);
}

/* ---- Bad input ---- */

/* Runs with stderr going to a file, and fails if anything came out there. */
static void quietly(void (*run)(Picture), Picture picture)
{
    FILE *log = tmpfile();
    int before = dup(STDERR_FILENO);

    assert_non_null(log);
    fflush(stderr);
    dup2(fileno(log), STDERR_FILENO);
    run(picture);
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    assert_int_equal(lseek(fileno(log), 0, SEEK_END), 0);
    fclose(log);
}

/* At its exact size, so that the sanitizer sees the first byte read past the end. */
static void cut_everywhere(Picture whole)
{
    for (size_t size = IMAGE_MAGIC_BYTES; size < whole.size; size++) {
        uint8_t *cut = malloc(size);

        memcpy(cut, whole.bytes, size);
        assert_refused(cut, size, "is a damaged");
        free(cut);
    }
}

static void an_image_that_is_cut_anywhere_is_refused_without_a_word(void **state)
{
    uint8_t rgb[8 * 8 * 3];
    Picture picture;

    (void)state;
    pattern(rgb, sizeof rgb);
    picture = picture_rgb(8, 8, rgb);
    quietly(cut_everywhere, picture);
    free(picture.bytes);
    picture =
        picture_jpeg((JpegKind){ .in = JCS_RGB, .file = JCS_YCbCr, .components = 3 }, 8, 8, rgb);
    quietly(cut_everywhere, picture);
    free(picture.bytes);
}

static void damage_is_refused_or_decoded(Picture whole)
{
    for (size_t at = 0; at < whole.size; at++) {
        Image image = { 0 };
        Status s;

        whole.bytes[at] ^= 0x55;
        s = image_decode(whole.bytes, whole.size, &image, NULL);
        assert_true(s == STATUS_OK || s == STATUS_INVALID);
        assert_true((s == STATUS_OK) == (image.pixels != NULL));
        image_clear(&image);
        whole.bytes[at] ^= 0x55;
    }
}

static void a_wrong_byte_anywhere_does_no_harm(void **state)
{
    uint8_t cmyk[16 * 8 * 4];
    Picture picture;

    (void)state;
    pattern(cmyk, sizeof cmyk);
    picture =
        picture_jpeg((JpegKind){ .in = JCS_CMYK, .file = JCS_YCCK, .components = 4 }, 16, 8, cmyk);
    quietly(damage_is_refused_or_decoded, picture);
    free(picture.bytes);
    picture =
        picture_png((PngKind){ .color = PNG_COLOR_TYPE_RGB_ALPHA, .depth = 8 }, 16, 8, cmyk, 64);
    quietly(damage_is_refused_or_decoded, picture);
    free(picture.bytes);
}

static void a_png_with_a_wrong_checksum_is_damaged(void **state)
{
    Picture picture = picture_flat(3, 3, 1, 2, 3);

    (void)state;
    /* The last bytes: 4 of IDAT's checksum, then IEND, which has 12. */
    picture.bytes[picture.size - 13] ^= 1;
    assert_refused(picture.bytes, picture.size, "is a damaged PNG (IDAT: CRC error)");
    free(picture.bytes);
}

/* CRC-32 as PNG has it. */
static uint32_t crc32_of(const uint8_t *bytes, size_t size)
{
    uint32_t crc = ~0u;

    while (size-- > 0) {
        crc ^= *bytes++;
        for (int i = 0; i < 8; i++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void a_header_that_promises_too_much_is_refused(void **state)
{
    static const uint32_t sides[][2] = { { 65500, 65500 }, { 10000, 4001 }, { 65500, 611 } };
    Picture png = picture_flat(2, 2, 1, 2, 3);
    uint8_t rgb[12] = { 0 };
    Picture jpeg =
        picture_jpeg((JpegKind){ .in = JCS_RGB, .file = JCS_YCbCr, .components = 3 }, 2, 2, rgb);
    uint8_t *frame = jpeg.bytes; /* SOF0: marker, length, depth, height, width */

    (void)state;
    while (!(frame[0] == 0xff && frame[1] == 0xc0))
        frame++;
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        put32(png.bytes + 16, sides[i][0]);
        put32(png.bytes + 20, sides[i][1]);
        put32(png.bytes + 29, crc32_of(png.bytes + 12, 17));
        assert_refused(png.bytes, png.size, "is too large");
        put32(frame + 5, sides[i][1] << 16 | sides[i][0]);
        assert_refused(jpeg.bytes, jpeg.size, "is too large");
    }
    put32(png.bytes + 16, 70000);
    put32(png.bytes + 20, 1);
    put32(png.bytes + 29, crc32_of(png.bytes + 12, 17));
    assert_refused(png.bytes, png.size, "is too large: 70000 x 1 pixels");
    free(png.bytes);
    free(jpeg.bytes);
}

static void a_jpeg_of_very_many_scans_is_refused(void **state)
{
    jpeg_scan_info scans[1 + 3 * 63] = { { 3, { 0, 1, 2 }, 0, 0, 0, 0 } };
    JpegKind kind = { JCS_RGB, JCS_YCbCr, 3, false, scans, 1 };
    uint8_t rgb[8 * 8 * 3];
    Picture picture;

    (void)state;
    pattern(rgb, sizeof rgb);
    for (int component = 0; component < 3; component++)
        for (int k = 1; k < 64; k++)
            scans[kind.scan_count++] = (jpeg_scan_info){ 1, { component }, k, k, 0, 0 };
    picture = picture_jpeg(kind, 8, 8, rgb);
    assert_refused(picture.bytes, picture.size, "more than 100 scans");
    free(picture.bytes);
    /* Fewer will do: the same coefficients in one scan a component. */
    kind.scan_count = 1;
    for (int component = 0; component < 3; component++)
        scans[kind.scan_count++] = (jpeg_scan_info){ 1, { component }, 1, 63, 0, 0 };
    {
        Image image = decoded(picture_jpeg(kind, 8, 8, rgb));

        assert_int_equal(image.width, 8);
        image_clear(&image);
    }
}

/* ---- Squares ---- */

/* A grey image -> the red channel of its square. */
static void square(uint32_t width, uint32_t height, const uint8_t *grey, uint32_t size,
                   uint8_t *ret)
{
    uint8_t rgb[64 * 3], out[64 * 3];
    Image image = { height, width, rgb };

    for (size_t i = 0; i < (size_t)width * height * 3; i++)
        rgb[i] = grey[i / 3];
    assert_int_equal(image_square(&image, size, out, NULL), STATUS_OK);
    for (size_t i = 0; i < (size_t)size * size; i++) {
        ret[i] = out[3 * i];
        assert_int_equal(out[3 * i + 1], out[3 * i]);
        assert_int_equal(out[3 * i + 2], out[3 * i]);
    }
}

static void an_image_of_the_right_size_is_left_alone(void **state)
{
    const uint8_t grey[9] = { 1, 2, 3, 250, 5, 60, 7, 8, 255 };
    uint8_t out[9];

    (void)state;
    square(3, 3, grey, 3, out);
    assert_memory_equal(out, grey, 9);
}

/* Two of four: the triangles reach two pixels, so that the weights are 3:3:1 and 1:3:3 of 7. */
static void shrinking_averages_under_a_triangle(void **state)
{
    const uint8_t across[16] = {
        0, 70, 140, 210, 0, 70, 140, 210, 0, 70, 140, 210, 0, 70, 140, 210
    };
    const uint8_t down[16] = { 0, 0, 0, 0, 70, 70, 70, 70, 140, 140, 140, 140, 210, 210, 210, 210 };
    uint8_t out[4];

    (void)state;
    square(4, 4, across, 2, out);
    assert_memory_equal(out, ((const uint8_t[]){ 50, 160, 50, 160 }), 4);
    square(4, 4, down, 2, out);
    assert_memory_equal(out, ((const uint8_t[]){ 50, 50, 160, 160 }), 4);
}

static void enlarging_interpolates_and_repeats_the_border(void **state)
{
    const uint8_t two[4] = { 0, 100, 0, 100 }, one = 42;
    uint8_t out[16];

    (void)state;
    square(2, 2, two, 4, out);
    for (int y = 0; y < 4; y++)
        assert_memory_equal(out + 4 * y, ((const uint8_t[]){ 0, 25, 75, 100 }), 4);
    square(1, 1, &one, 4, out);
    for (int i = 0; i < 16; i++)
        assert_int_equal(out[i], 42);
}

static void the_middle_square_of_the_longer_side_stays(void **state)
{
    const uint8_t wide[14] = { 1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7 };
    const uint8_t tall[8] = { 1, 1, 2, 2, 3, 3, 4, 4 };
    uint8_t out[4];

    (void)state;
    square(7, 2, wide, 2, out); /* 2.5 pixels to the left of it: rounds to 2, as in Python */
    assert_memory_equal(out, ((const uint8_t[]){ 3, 4, 3, 4 }), 4);
    square(2, 4, tall, 2, out);
    assert_memory_equal(out, ((const uint8_t[]){ 2, 2, 3, 3 }), 4);
}

/* Scaled as a whole, these would be two million pixels long. */
static void a_thin_image_costs_no_more_than_a_square_one(void **state)
{
    Image image;
    uint8_t out[32 * 32 * 3];

    (void)state;
    assert_int_equal(image_new(IMAGE_SIDE_MAX, 1, &image, NULL), STATUS_OK);
    memset(image.pixels, 9, (size_t)IMAGE_SIDE_MAX * 3);
    image.pixels[IMAGE_SIDE_MAX / 2 * 3] = 200; /* the red of the middle pixel */
    assert_int_equal(image_square(&image, 32, out, NULL), STATUS_OK);
    assert_in_range(out[(16 * 32 + 5) * 3], 195, 200);
    assert_int_equal(out[(16 * 32 + 5) * 3 + 1], 9);
    image_clear(&image);
    assert_int_equal(image_new(1, IMAGE_SIDE_MAX + 1, &image, NULL), STATUS_INVALID);
    assert_int_equal(image_new(0, 5, &image, NULL), STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_bytes_tell_the_format),
        cmocka_unit_test(a_png_keeps_its_pixels_interlaced_or_not),
        cmocka_unit_test(grey_palette_and_16_bit_pngs_become_rgb),
        cmocka_unit_test(what_is_transparent_lies_over_white),
        cmocka_unit_test(jpegs_of_every_colour_space_become_rgb),
        cmocka_unit_test(an_image_that_is_cut_anywhere_is_refused_without_a_word),
        cmocka_unit_test(a_wrong_byte_anywhere_does_no_harm),
        cmocka_unit_test(a_png_with_a_wrong_checksum_is_damaged),
        cmocka_unit_test(a_header_that_promises_too_much_is_refused),
        cmocka_unit_test(a_jpeg_of_very_many_scans_is_refused),
        cmocka_unit_test(an_image_of_the_right_size_is_left_alone),
        cmocka_unit_test(shrinking_averages_under_a_triangle),
        cmocka_unit_test(enlarging_interpolates_and_repeats_the_border),
        cmocka_unit_test(the_middle_square_of_the_longer_side_stays),
        cmocka_unit_test(a_thin_image_costs_no_more_than_a_square_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
