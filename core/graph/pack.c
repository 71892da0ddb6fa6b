/* Largest first, each at the lowest offset that is free for its whole life: simple, deterministic,
 * and near the optimum for networks that are mostly chains. */
#include "core/graph/pack.h"

#include <stdlib.h>

#include "core/base/arena.h"

static int larger_first(const void *a, const void *b)
{
    const Buffer *x = *(Buffer *const *)a, *y = *(Buffer *const *)b;

    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* A placed buffer, with what placing others asks about it side by side in memory. */
typedef struct Placed {
    size_t offset, end;
    uint32_t first, last;
} Placed;

/* The lowest offset where `size` bytes are free while `b` lives. `placed` is sorted by offset. */
static size_t free_offset(const Buffer *b, size_t size, const Placed *placed, size_t count)
{
    size_t offset = 0;

    for (size_t k = 0; k < count && placed[k].offset < offset + size; k++)
        if (placed[k].end > offset && placed[k].first <= b->last && b->first <= placed[k].last)
            offset = placed[k].end;
    return offset;
}

static void insert(Placed *placed, size_t count, const Placed *one)
{
    size_t at = count;

    for (; at > 0 && placed[at - 1].offset > one->offset; at--)
        placed[at] = placed[at - 1];
    placed[at] = *one;
}

static size_t place(Buffer *buffer, size_t count, Buffer **order, Placed *placed)
{
    size_t total = 0, used = 0;

    for (size_t i = 0; i < count; i++)
        if (buffer[i].bytes > 0)
            order[used++] = &buffer[i];
    qsort(order, used, sizeof *order, larger_first);
    for (size_t i = 0; i < used; i++) {
        Buffer *b = order[i];
        size_t size = arena_round(b->bytes);

        b->offset = free_offset(b, size, placed, i);
        insert(placed, i, &(Placed){ b->offset, b->offset + size, b->first, b->last });
        if (b->offset + size > total)
            total = b->offset + size;
    }
    return total;
}

Status pack_buffers(Buffer *buffer, size_t count, size_t *ret_bytes, Error *err)
{
    Buffer **order = calloc(count, sizeof *order);
    Placed *placed = calloc(count, sizeof *placed);
    Status s = STATUS_OK;

    if (order == NULL || placed == NULL)
        s = error_set(err, STATUS_NO_MEMORY, "cannot allocate a plan");
    else
        *ret_bytes = place(buffer, count, order, placed);
    free(placed);
    free(order);
    return s;
}
