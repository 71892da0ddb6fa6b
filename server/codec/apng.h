/*
 * apng -- RGB frames to an animated PNG in memory (APNG 1.0,
 * https://wiki.mozilla.org/APNG_Specification; PNG, third edition, 4.7): it plays for ever; who
 * does not know APNG sees the first frame.
 *
 * Frames are added one at a time, so that only the file is kept. An Apng belongs to one thread.
 */
#pragma once

#include <stdint.h>

#include "core/base/error.h"
#include "server/codec/bytes.h"

enum { APNG_FRAMES_MAX = 100000 }; /* far from where a sequence number would not fit */

typedef struct Apng {
    uint32_t height, width, frames; /* frames: as announced */
    uint32_t fps;
    /* What is written so far. */
    Bytes out; /* `size` of `capacity` bytes are used */
    size_t capacity;
    uint32_t added, sequence;
} Apng;

/* Of `frames` pictures of [height,width,3], 8 bits each, `fps` of them a second, 1..65535.
 * STATUS_INVALID: no frame, or too many. */
CHECKED Status apng_begin(Apng *apng, uint32_t height, uint32_t width, uint32_t frames,
                          uint32_t fps, Error *err);
/* pixels: the next frame, row-major; at most as many as were announced. STATUS_NO_MEMORY,
 * STATUS_TOO_LARGE (a chunk of 2 GiB), STATUS_INTERNAL. */
CHECKED Status apng_add(Apng *apng, const uint8_t *pixels, Error *err);
/* All frames are there: the file, and the end of the Apng. */
CHECKED Status apng_end(Apng *apng, Bytes *ret, Error *err);
/* Gives up. A zeroed or ended Apng is fine. */
void apng_clear(Apng *apng);
