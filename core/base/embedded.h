/* embedded -- files that tools/embed.c turned into C arrays at build time. */
#pragma once

#include <stddef.h>

typedef struct EmbeddedFile {
    const char *name;           /* base name; NULL ends a table */
    const unsigned char *bytes; /* followed by a NUL that `size` does not count */
    size_t size;
} EmbeddedFile;
