/*
 * arena -- memory by lifetime: one mapping, handed out front to back, given back as a whole.
 *
 * The mapping asks for huge pages where the system gives them, is zero-filled, and is touched for
 * the first time by whoever uses it. An Arena belongs to one thread at a time; what is carved from
 * it may be shared.
 */
#pragma once

#include <stddef.h>

#include "core/base/error.h"

enum { ARENA_ALIGN = 64 };

typedef struct Arena {
    char *base; /* NULL: empty */
    size_t size_bytes;
    size_t used_bytes;
} Arena;

/* Maps `bytes` (0 is fine). STATUS_NO_MEMORY names the figure. */
CHECKED Status arena_init(Arena *arena, size_t bytes, Error *err);
/* Gives everything back; a cleared or zeroed arena is fine. */
void arena_clear(Arena *arena);
/* The next `bytes`, 64-byte aligned. What an arena must hold is known before it is made: running
 * out is a bug, and asserts. */
void *arena_take(Arena *arena, size_t bytes);
/* `bytes` rounded up to ARENA_ALIGN: what arena_take() uses of the arena. */
size_t arena_round(size_t bytes);
