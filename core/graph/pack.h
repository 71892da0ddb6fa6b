/*
 * pack -- arrays that live for a while, in one block of memory.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

typedef struct Buffer {
    size_t bytes; /* 0: none */
    size_t offset;
    uint32_t first, last; /* moments of use */
} Buffer;

/* Gives every buffer an offset, a multiple of ARENA_ALIGN, such that no two meet; answers the size
 * of it all. */
CHECKED Status pack_buffers(Buffer *buffer, size_t count, size_t *ret_bytes, Error *err);
