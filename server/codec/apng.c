/*
 * libpng knows no animation, but every frame of one is a PNG but for its wrapping: libpng writes
 * each frame as a file (png.h), and the chunks of that file are taken over. Of the first frame all
 * are, in their order, with acTL in front of the pixels; of the others only the pixels, as fdAT. A
 * frame's fcTL says where it lies: everywhere.
 */
#include "server/codec/apng.h"

#include <assert.h>
#include <string.h>

#include "core/base/checked.h"
#include "server/codec/png.h"

enum { SIGNATURE = 8, CHUNK_FRAME = 12 /* length, type, CRC */, CHUNK_MAX = INT32_MAX };

/* --- bytes --- */

static void put32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The CRC of PNG (and zlib), half a byte at a time. */
static uint32_t crc_of(const uint8_t *bytes, size_t size)
{
    static const uint32_t half[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = ~0u;

    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ half[crc & 15];
        crc = crc >> 4 ^ half[crc & 15];
    }
    return ~crc;
}

/* Room for `size` more bytes at the end; NULL: there is no memory. */
static uint8_t *grow(Apng *a, size_t size)
{
    size_t need;
    uint8_t *at;

    if (!checked_add(a->out.size, size, &need))
        return NULL;
    if (need > a->capacity) {
        size_t capacity =
            need > a->capacity + a->capacity / 2 ? need : a->capacity + a->capacity / 2;
        uint8_t *data = realloc(a->out.data, capacity);

        if (data == NULL)
            return NULL;
        a->out.data = data;
        a->capacity = capacity;
    }
    at = a->out.data + a->out.size;
    a->out.size = need;
    return at;
}

/* --- chunks --- */

/* A chunk of two pieces; the first may be empty. */
static Status put_chunk(Apng *a, const char type[5], const uint8_t *head, size_t head_size,
                        const uint8_t *body, size_t body_size, Error *err)
{
    size_t size = head_size + body_size;
    uint8_t *at;

    if (size > CHUNK_MAX)
        return error_set(err, STATUS_TOO_LARGE, "a frame of %zu bytes is too large for a PNG",
                         size);
    at = grow(a, size + CHUNK_FRAME);
    if (at == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an animation of %zu bytes",
                         a->out.size + size);
    put32(at, (uint32_t)size);
    memcpy(at + 4, type, 4);
    if (head_size > 0)
        memcpy(at + 8, head, head_size);
    if (body_size > 0)
        memcpy(at + 8 + head_size, body, body_size);
    put32(at + 8 + size, crc_of(at + 4, 4 + size));
    return STATUS_OK;
}

static Status put_animation(Apng *a, Error *err)
{
    uint8_t body[8];

    put32(body, a->frames);
    put32(body + 4, 0); /* plays: for ever */
    return put_chunk(a, "acTL", NULL, 0, body, sizeof body, err);
}

static Status put_frame(Apng *a, Error *err)
{
    uint8_t body[26] = { 0 }; /* offsets, disposal and blending: 0, each frame replaces the last */

    put32(body, a->sequence++);
    put32(body + 4, a->width);
    put32(body + 8, a->height);
    body[21] = 1; /* shown for 1/fps seconds: a 16-bit numerator, a 16-bit denominator */
    body[22] = (uint8_t)(a->fps >> 8);
    body[23] = (uint8_t)a->fps;
    return put_chunk(a, "fcTL", NULL, 0, body, sizeof body, err);
}

static Status put_pixels(Apng *a, const uint8_t *body, size_t size, Error *err)
{
    uint8_t sequence[4];

    if (a->added == 0)
        return put_chunk(a, "IDAT", NULL, 0, body, size, err);
    put32(sequence, a->sequence++);
    return put_chunk(a, "fdAT", sequence, sizeof sequence, body, size, err);
}

/* What of a chunk of a frame's own file belongs into the animation's; the end comes later. */
static Status take_chunk(Apng *a, const uint8_t *chunk, size_t size, bool *pixels, Error *err)
{
    const char *type = (const char *)chunk + 4;
    char name[5] = { type[0], type[1], type[2], type[3], '\0' };
    Status s = STATUS_OK;

    if (strcmp(name, "IDAT") == 0) {
        if (!*pixels && a->added == 0)
            s = put_animation(a, err);
        if (s == STATUS_OK && !*pixels)
            s = put_frame(a, err);
        *pixels = true;
        return s == STATUS_OK ? put_pixels(a, chunk + 8, size, err) : s;
    }
    if (a->added > 0 || strcmp(name, "IEND") == 0)
        return STATUS_OK;
    return put_chunk(a, name, NULL, 0, chunk + 8, size, err);
}

/* --- the animation --- */

Status apng_begin(Apng *a, uint32_t height, uint32_t width, uint32_t frames, uint32_t fps,
                  Error *err)
{
    static const uint8_t signature[SIGNATURE] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
    uint8_t *at;

    if (frames < 1 || frames > APNG_FRAMES_MAX || fps < 1 || fps > UINT16_MAX)
        return error_set(err, STATUS_INVALID, "cannot animate %u frames, %u a second", frames, fps);
    *a = (Apng){ .height = height, .width = width, .frames = frames, .fps = fps };
    at = grow(a, SIGNATURE);
    if (at == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an animation");
    memcpy(at, signature, SIGNATURE);
    return STATUS_OK;
}

Status apng_add(Apng *a, const uint8_t *pixels, Error *err)
{
    Bytes png = { 0 };
    bool started = false;
    Status s;

    assert(a->added < a->frames);
    s = png_encode_rgb(pixels, a->height, a->width, &png, err);
    for (size_t at = SIGNATURE; s == STATUS_OK && at + CHUNK_FRAME <= png.size;) {
        size_t size = get32(png.data + at);

        if (size > png.size - at - CHUNK_FRAME)
            s = error_set(err, STATUS_INTERNAL, "libpng has written a chunk that has no end");
        else
            s = take_chunk(a, png.data + at, size, &started, err);
        at += size + CHUNK_FRAME;
    }
    if (s == STATUS_OK && !started)
        s = error_set(err, STATUS_INTERNAL, "libpng has written a picture without pixels");
    bytes_clear(&png);
    if (s == STATUS_OK)
        a->added++;
    return s;
}

Status apng_end(Apng *a, Bytes *ret, Error *err)
{
    Status s;

    assert(a->added == a->frames);
    s = put_chunk(a, "IEND", NULL, 0, NULL, 0, err);
    if (s == STATUS_OK) {
        *ret = a->out;
        *a = (Apng){ 0 };
    }
    return s;
}

void apng_clear(Apng *a)
{
    bytes_clear(&a->out);
    *a = (Apng){ 0 };
}
