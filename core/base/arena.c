/* One anonymous mapping. Pages come lazily, so an arena that is planned but not used costs address
 * space only. */
#include "core/base/arena.h"

#include <assert.h>
#include <sys/mman.h>

size_t arena_round(size_t bytes)
{
    return (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
}

Status arena_init(Arena *arena, size_t bytes, Error *err)
{
    void *base = NULL;

    if (bytes > 0) {
        base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (base == MAP_FAILED)
            return error_set(err, STATUS_NO_MEMORY, "cannot map %zu bytes of memory", bytes);
        (void)madvise(base, bytes,
                      MADV_HUGEPAGE); /* a wish: without huge pages everything still works */
    }
    *arena = (Arena){ .base = base, .size_bytes = bytes, .used_bytes = 0 };
    return STATUS_OK;
}

void arena_clear(Arena *arena)
{
    if (arena->base != NULL)
        munmap(arena->base, arena->size_bytes);
    *arena = (Arena){ 0 };
}

void *arena_take(Arena *arena, size_t bytes)
{
    size_t rounded = arena_round(bytes);
    char *p = arena->base + arena->used_bytes;

    assert(rounded <= arena->size_bytes - arena->used_bytes);
    arena->used_bytes += rounded;
    return p;
}
