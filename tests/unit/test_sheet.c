/* sheet: augmented images and their soft labels as a picture; the text is read back from its
 * pixels. */
#include "tests/unit/test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/augment.h"
#include "core/data/font.h"
#include "core/data/sheet.h"

/* ---- The font ---- */

static void every_character_looks_like_itself_alone(void **state)
{
    (void)state;
    for (int a = 33; a <= 126; a++) {
        assert_memory_not_equal(font_glyph((char)a), font_glyph(' '), FONT_HEIGHT);
        for (int row = 0; row < FONT_HEIGHT; row++)
            assert_true(font_glyph((char)a)[row] < 1 << FONT_WIDTH);
        for (int b = 33; b < a; b++)
            assert_memory_not_equal(font_glyph((char)a), font_glyph((char)b), FONT_HEIGHT);
    }
    for (int other = 1; other < 256; other++)
        if (other < 32 || other > 126)
            assert_ptr_equal(font_glyph((char)other), font_glyph('?'));
}

/* ---- 20 images of 16x16; image i has label i % 3 and holds the bytes i, i + 1, ... ---- */

enum { IMAGES = 20, SIDE = 16, IMAGE = SIDE * SIDE * 4, SCALE = 8, GAP = 6, CELL = SIDE * SCALE };

static uint8_t pixels[IMAGES * IMAGE];
static uint16_t labels[IMAGES];
static uint32_t items[IMAGES];
static const char *const names[] = { "cat", "a very long name of a class", "d\xc3\xb6g" };

static Dataset dataset_of(uint32_t channels)
{
    for (int i = 0; i < IMAGES; i++) {
        for (uint32_t p = 0; p < SIDE * SIDE * channels; p++)
            pixels[i * SIDE * SIDE * channels + p] = (uint8_t)(i + p);
        labels[i] = (uint16_t)(i % 3);
        items[i] = i;
    }
    return (Dataset){ .name = "small",
                      .layout = "shapes",
                      .height = SIDE,
                      .width = SIDE,
                      .channels = channels,
                      .classes = 3,
                      .class_names = names,
                      .mean = { .4914f, .4822f, .4465f, .1f },
                      .std = { .2470f, .2435f, .2616f, .9f },
                      .train = { IMAGES, pixels, labels, NULL } };
}

static Canvas draw(const Dataset *dataset, const BatchSpec *batch, uint32_t columns, uint32_t scale)
{
    Loader loader;
    Canvas sheet;

    assert_int_equal(loader_init(&loader, dataset, &(DataSpec){ 0 }, NULL), STATUS_OK);
    assert_int_equal(sheet_draw(&loader, batch, &(SheetSpec){ .columns = columns, .scale = scale },
                                &sheet, NULL),
                     STATUS_OK);
    loader_clear(&loader);
    return sheet;
}

static const uint8_t *at(const Canvas *sheet, uint32_t y, uint32_t x)
{
    assert_true(y < sheet->height && x < sheet->width);
    return sheet->pixels + ((size_t)y * sheet->width + x) * 3;
}

static bool glyph_is(const Canvas *sheet, uint32_t top, uint32_t left, char c)
{
    for (uint32_t y = 0; y < FONT_HEIGHT; y++)
        for (uint32_t x = 0; x < FONT_WIDTH; x++)
            if ((at(sheet, top + y, left + x)[0] < 128) !=
                ((font_glyph(c)[y] >> (FONT_WIDTH - 1 - x) & 1) != 0))
                return false;
    return true;
}

/* What line `line` under the cell at (row, column) says, without what is blank at its end. */
static void read_line(const Canvas *sheet, uint32_t row, uint32_t column, uint32_t line,
                      char ret[CELL / 6 + 1])
{
    uint32_t pitch = CELL + GAP + 2 * (FONT_HEIGHT + 1);
    uint32_t top = GAP + row * pitch + CELL + 1 + line * (FONT_HEIGHT + 1);
    uint32_t left = GAP + column * (CELL + GAP), length = 0;

    for (uint32_t i = 0; i < CELL / 6; i++) {
        char c = ' ';

        while (c <= '~' && !glyph_is(sheet, top, left + i * 6, c))
            c++;
        assert_true(c <= '~');
        ret[i] = c;
        length = c == ' ' ? length : i + 1;
    }
    ret[length] = '\0';
}

/* ---- The tests ---- */

static void every_pixel_comes_back_as_the_byte_it_was(void **state)
{
    (void)state;
    for (uint32_t channels = 1; channels <= 4; channels++) {
        const Dataset d = dataset_of(channels);
        const BatchSpec batch = { .items = items, .count = IMAGES };
        Canvas sheet = draw(&d, &batch, 6, SCALE);
        uint32_t pitch = CELL + GAP + 2 * (FONT_HEIGHT + 1);

        assert_int_equal(sheet.width, 6 * (CELL + GAP) + GAP);
        assert_int_equal(sheet.height, 4 * pitch + GAP);
        assert_int_equal(at(&sheet, 0, 0)[0], 255);
        for (uint32_t i = 0; i < IMAGES; i++)
            for (uint32_t y = 0; y < CELL; y++)
                for (uint32_t x = 0; x < CELL; x++) {
                    const uint8_t *pixel =
                        pixels + ((i * SIDE + y / SCALE) * SIDE + x / SCALE) * channels;
                    const uint8_t *rgb =
                        at(&sheet, GAP + i / 6 * pitch + y, GAP + i % 6 * (CELL + GAP) + x);

                    for (uint32_t c = 0; c < 3; c++)
                        assert_int_equal(rgb[c], pixel[channels < 3 ? 0 : c]);
                }
        canvas_clear(&sheet);
        assert_null(sheet.pixels);
    }
}

static void a_plain_image_has_one_label_and_long_names_are_cut(void **state)
{
    const Dataset d = dataset_of(3);
    const BatchSpec batch = { .items = items, .count = 4, .label_smoothing = 0.3 };
    Canvas sheet = draw(&d, &batch, 2, SCALE);
    char text[CELL / 6 + 1];

    (void)state;
    read_line(&sheet, 0, 0, 0, text);
    assert_string_equal(text, "cat 0.80"); /* 0.7 + 0.3 / 3 */
    read_line(&sheet, 0, 0, 1, text);
    assert_string_equal(text, "");
    read_line(&sheet, 0, 1, 0, text);
    assert_string_equal(text, "a very long name 0.80");
    read_line(&sheet, 1, 0, 0, text);
    assert_string_equal(text, "d?g 0.80"); /* what the font has not */
    canvas_clear(&sheet);
}

static void a_mixed_image_has_both_labels_the_larger_first(void **state)
{
    const Dataset d = dataset_of(3);
    Choice cutmix;
    BatchSpec batch = { .items = items, .count = IMAGES, .augment = &cutmix, .augments = 1 };
    char first[CELL / 6 + 1], second[CELL / 6 + 1];
    int mixed = 0;
    Canvas sheet;

    (void)state;
    choice_init(augmentation_table, (uint32_t)table_find(augmentation_table, "cutmix"), &cutmix);
    cutmix.value[0] = 1;
    batch.seed = 2; /* a box of about a third */
    sheet = draw(&d, &batch, 4, SCALE);
    for (uint32_t i = 0; i < IMAGES; i++) {
        double a, b;

        read_line(&sheet, i / 4, i % 4, 0, first);
        read_line(&sheet, i / 4, i % 4, 1, second);
        assert_non_null(strrchr(first, ' '));
        a = strtod(strrchr(first, ' '), NULL);
        if (second[0] == '\0') {
            assert_true(a == 1);
            continue;
        }
        mixed++;
        b = strtod(strrchr(second, ' '), NULL);
        assert_true(a >= b && b > 0 && a + b > 0.985 && a + b < 1.015);
    }
    assert_true(mixed > 5);
    canvas_clear(&sheet);
}

static void letters_grow_with_the_images(void **state)
{
    const Dataset d = dataset_of(1);
    const BatchSpec batch = { .items = items, .count = 1 };
    Canvas small = draw(&d, &batch, 1, 1), large = draw(&d, &batch, 1, SHEET_SCALE_MAX);

    (void)state;
    assert_int_equal(small.width, SIDE + 2 * GAP);
    assert_int_equal(small.height, SIDE + 2 * GAP + 2 * 10);
    assert_int_equal(large.width, 256 + 2 * GAP);
    assert_int_equal(large.height, 256 + 2 * GAP + 2 * 10);
    canvas_clear(&small);
    canvas_clear(&large);
}

static void assert_refused(const Dataset *dataset, uint32_t count, uint32_t columns, uint32_t scale,
                           const char *part)
{
    const BatchSpec batch = { .items = items, .count = count };
    Canvas sheet = { 0 };
    Error err = { 0 };
    Loader loader;

    assert_int_equal(loader_init(&loader, dataset, &(DataSpec){ 0 }, NULL), STATUS_OK);
    assert_int_equal(sheet_draw(&loader, &batch, &(SheetSpec){ columns, scale }, &sheet, &err),
                     STATUS_INVALID);
    assert_non_null(strstr(error_message(&err), part));
    assert_null(sheet.pixels);
    loader_clear(&loader);
}

static void sizes_are_bounded_and_the_bound_is_named(void **state)
{
    Dataset d = dataset_of(1);

    (void)state;
    assert_refused(&d, 0, 1, 1, "1 to 256 images, not 0");
    assert_refused(&d, 257, 1, 1, "not 257");
    assert_refused(&d, 1, 0, 1, "1 to 32, not 0");
    assert_refused(&d, 1, 33, 1, "not 33");
    assert_refused(&d, 1, 1, 0, "1 to 16, not 0");
    assert_refused(&d, 1, 1, 17, "not 17");
    d.height = d.width = 512; /* the pixels are never looked at */
    assert_refused(&d, 1, 1, 16, "8204 x 8284");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_looks_like_itself_alone),
        cmocka_unit_test(every_pixel_comes_back_as_the_byte_it_was),
        cmocka_unit_test(a_plain_image_has_one_label_and_long_names_are_cut),
        cmocka_unit_test(a_mixed_image_has_both_labels_the_larger_first),
        cmocka_unit_test(letters_grow_with_the_images),
        cmocka_unit_test(sizes_are_bounded_and_the_bound_is_named),
    };

    return cmocka_run_group_tests_name("sheet", tests, NULL, NULL);
}
