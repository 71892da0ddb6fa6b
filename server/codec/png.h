/* png -- RGB pixels to a PNG file in memory. Any thread. */
#pragma once

#include <stdint.h>

#include "core/base/error.h"
#include "server/codec/bytes.h"

/* pixels: [height,width,3], 8 bits each, row-major. STATUS_NO_MEMORY, STATUS_INTERNAL. */
CHECKED Status png_encode_rgb(const uint8_t *pixels, uint32_t height, uint32_t width, Bytes *ret,
                              Error *err);
