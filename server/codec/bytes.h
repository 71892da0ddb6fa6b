/* bytes -- a buffer on the heap; its owner ends it with bytes_clear(). */
#pragma once

#include <stddef.h>
#include <stdlib.h>

typedef struct Bytes {
    unsigned char *data; /* malloc'd; NULL: empty */
    size_t size;
} Bytes;

static inline void bytes_clear(Bytes *bytes)
{
    free(bytes->data);
    *bytes = (Bytes){ 0 };
}
