/*
 * Animated PNGs, read back by a strict reader of chunks and, frame by frame, by libpng: an fdAT's
 * bytes behind the header of the file are a PNG of that frame.
 */
#include "tests/unit/test.h"

#include <png.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/codec/apng.h"
#include "server/codec/png.h"

enum { WIDTH = 9, HEIGHT = 5, FRAMES = 3, BYTES = WIDTH * HEIGHT * 3, FILE_MAX = 1 << 16 };

static const uint8_t signature[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put32(uint8_t *at, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(x >> (24 - 8 * i));
}

/* Bit by bit, as the specification defines it. */
static uint32_t crc32_of(const uint8_t *bytes, size_t size)
{
    uint32_t crc = ~0u;

    while (size-- > 0) {
        crc ^= *bytes++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* A picture that no other frame is like. */
static void paint(uint32_t frame, uint8_t pixels[BYTES])
{
    for (uint32_t i = 0; i < BYTES; i++)
        pixels[i] = (uint8_t)(i * 7 + frame * 85);
}

static Bytes animate(uint32_t frames, uint32_t fps)
{
    uint8_t pixels[BYTES];
    Apng apng;
    Bytes out = { 0 };

    assert_int_equal(apng_begin(&apng, HEIGHT, WIDTH, frames, fps, NULL), STATUS_OK);
    for (uint32_t i = 0; i < frames; i++) {
        paint(i, pixels);
        assert_int_equal(apng_add(&apng, pixels, NULL), STATUS_OK);
    }
    assert_int_equal(apng_end(&apng, &out, NULL), STATUS_OK);
    return out;
}

/* --- a reader --- */

typedef struct Chunk {
    char type[5];
    const uint8_t *body;
    uint32_t size;
} Chunk;

/* The next chunk, whole and with the right sum; fails otherwise. */
static Chunk next_chunk(const Bytes *file, size_t *at)
{
    Chunk c = { .type = "" };

    assert_true(file->size - *at >= 12);
    c.size = get32(file->data + *at);
    assert_true(c.size <= file->size - *at - 12);
    memcpy(c.type, file->data + *at + 4, 4);
    c.body = file->data + *at + 8;
    assert_int_equal(get32(c.body + c.size), crc32_of(c.body - 4, c.size + 4));
    *at += c.size + 12;
    return c;
}

/* Appends a chunk to a file of FILE_MAX bytes. */
static void append(Bytes *file, const char *type, const uint8_t *body, uint32_t size)
{
    uint8_t *at = file->data + file->size;

    assert_true(file->size + size + 12 <= FILE_MAX);
    put32(at, size);
    memcpy(at + 4, type, 4);
    if (size > 0)
        memcpy(at + 8, body, size);
    put32(at + 8 + size, crc32_of(at + 4, size + 4));
    file->size += size + 12;
}

static void shows(const Bytes *file, uint32_t frame)
{
    png_image image = { .version = PNG_IMAGE_VERSION };
    uint8_t read[BYTES], painted[BYTES];

    assert_true(png_image_begin_read_from_memory(&image, file->data, file->size));
    assert_int_equal(image.width, WIDTH);
    assert_int_equal(image.height, HEIGHT);
    image.format = PNG_FORMAT_RGB;
    assert_true(png_image_finish_read(&image, NULL, read, 0, NULL));
    paint(frame, painted);
    assert_memory_equal(read, painted, BYTES);
}

/* --- */

static void who_knows_no_animation_sees_the_first_frame(void **state)
{
    Bytes file = animate(FRAMES, 4);

    (void)state;
    shows(&file, 0);
    bytes_clear(&file);
}

/* What a player goes by: each frame's fcTL and its pixels, numbered in one row from 0 on. */
static void check_control(const Chunk *c, uint32_t sequence, uint32_t fps)
{
    static const uint8_t zeros[8] = { 0 };

    assert_int_equal(c->size, 26);
    assert_int_equal(get32(c->body), sequence);
    assert_int_equal(get32(c->body + 4), WIDTH);
    assert_int_equal(get32(c->body + 8), HEIGHT);
    assert_memory_equal(c->body + 12, zeros, 8);
    assert_int_equal(c->body[20] << 8 | c->body[21], 1);
    assert_int_equal(c->body[22] << 8 | c->body[23], fps);
    assert_int_equal(c->body[24], 0);
    assert_int_equal(c->body[25], 0);
}

static void every_chunk_is_where_a_player_expects_it(void **state)
{
    Bytes file = animate(FRAMES, 300), frame = { .data = malloc(FILE_MAX) };
    uint32_t sequence = 0, shown = 0;
    bool animated = false, ended = false;
    size_t at = sizeof signature;
    Chunk header, c;

    (void)state;
    assert_non_null(frame.data);
    assert_memory_equal(file.data, signature, sizeof signature);
    header = next_chunk(&file, &at);
    assert_string_equal(header.type, "IHDR");
    while (!ended) {
        c = next_chunk(&file, &at);
        if (strcmp(c.type, "acTL") == 0) {
            assert_true(!animated && shown == 0);
            assert_int_equal(c.size, 8);
            assert_int_equal(get32(c.body), FRAMES);
            assert_int_equal(get32(c.body + 4), 0); /* for ever */
            animated = true;
        } else if (strcmp(c.type, "fcTL") == 0) {
            assert_true(animated);
            if (shown > 1) { /* the frame before is whole */
                append(&frame, "IEND", NULL, 0);
                shows(&frame, shown - 1);
            }
            check_control(&c, sequence++, 300);
            memcpy(frame.data, signature, sizeof signature);
            frame.size = sizeof signature;
            append(&frame, "IHDR", header.body, header.size);
            shown++;
        } else if (strcmp(c.type, "IDAT") == 0) {
            assert_int_equal(shown, 1);
        } else if (strcmp(c.type, "fdAT") == 0) {
            assert_true(shown > 1 && c.size > 4);
            assert_int_equal(get32(c.body), sequence++);
            append(&frame, "IDAT", c.body + 4, c.size - 4);
        }
        ended = strcmp(c.type, "IEND") == 0;
    }
    append(&frame, "IEND", NULL, 0);
    shows(&frame, FRAMES - 1);
    assert_int_equal(at, file.size);
    assert_int_equal(shown, FRAMES);
    bytes_clear(&frame);
    bytes_clear(&file);
}

static void one_frame_is_an_animation_too(void **state)
{
    Bytes file = animate(1, 1);

    (void)state;
    shows(&file, 0);
    assert_non_null(memmem(file.data, file.size, "acTL", 4));
    assert_null(memmem(file.data, file.size, "fdAT", 4));
    bytes_clear(&file);
}

/* A picture that fills more than one of libpng's IDATs. */
static void large_frames_are_whole(void **state)
{
    enum { SIDE = 512 };
    uint8_t *pixels = malloc(SIDE * SIDE * 3), *read = malloc(SIDE * SIDE * 3);
    png_image image = { .version = PNG_IMAGE_VERSION };
    uint32_t noise = 1;
    size_t at = sizeof signature, data = 0;
    Bytes file = { 0 };
    Apng apng;
    Chunk c = { .type = "" };

    (void)state;
    assert_true(pixels != NULL && read != NULL);
    for (size_t i = 0; i < SIDE * SIDE * 3; i++)
        pixels[i] = (uint8_t)((noise = noise * 1664525u + 1013904223u) >> 24);
    assert_int_equal(apng_begin(&apng, SIDE, SIDE, 2, 4, NULL), STATUS_OK);
    assert_int_equal(apng_add(&apng, pixels, NULL), STATUS_OK);
    assert_int_equal(apng_add(&apng, pixels, NULL), STATUS_OK);
    assert_int_equal(apng_end(&apng, &file, NULL), STATUS_OK);
    while (strcmp(c.type, "IEND") != 0) {
        c = next_chunk(&file, &at);
        data += strcmp(c.type, "fdAT") == 0 ? c.size - 4 : 0;
    }
    assert_true(data > SIDE * SIDE * 3 * 9 / 10); /* noise is not compressed */
    assert_true(png_image_begin_read_from_memory(&image, file.data, file.size));
    image.format = PNG_FORMAT_RGB;
    assert_true(png_image_finish_read(&image, NULL, read, 0, NULL));
    assert_memory_equal(read, pixels, SIDE * SIDE * 3);
    bytes_clear(&file);
    free(pixels);
    free(read);
}

static void what_cannot_be_played_is_refused(void **state)
{
    Apng apng;

    (void)state;
    assert_int_equal(apng_begin(&apng, HEIGHT, WIDTH, 0, 4, NULL), STATUS_INVALID);
    assert_int_equal(apng_begin(&apng, HEIGHT, WIDTH, APNG_FRAMES_MAX + 1, 4, NULL),
                     STATUS_INVALID);
    assert_int_equal(apng_begin(&apng, HEIGHT, WIDTH, 1, 0, NULL), STATUS_INVALID);
    assert_int_equal(apng_begin(&apng, HEIGHT, WIDTH, 1, 65536, NULL), STATUS_INVALID);
}

static void an_animation_can_be_given_up(void **state)
{
    uint8_t pixels[BYTES];
    Apng apng;

    (void)state;
    paint(0, pixels);
    assert_int_equal(apng_begin(&apng, HEIGHT, WIDTH, 2, 4, NULL), STATUS_OK);
    assert_int_equal(apng_add(&apng, pixels, NULL), STATUS_OK);
    apng_clear(&apng);
    apng_clear(&apng);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_knows_no_animation_sees_the_first_frame),
        cmocka_unit_test(every_chunk_is_where_a_player_expects_it),
        cmocka_unit_test(one_frame_is_an_animation_too),
        cmocka_unit_test(large_frames_are_whole),
        cmocka_unit_test(what_cannot_be_played_is_refused),
        cmocka_unit_test(an_animation_can_be_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
