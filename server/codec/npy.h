/* npy -- an array to a NumPy file in memory: version 1.0, '<f4', C order. Any thread. */
#pragma once

#include <stdint.h>

#include "core/base/error.h"
#include "server/codec/bytes.h"

/* values: [height,width], row-major. STATUS_NO_MEMORY. */
CHECKED Status npy_encode_f32(const float *values, uint32_t height, uint32_t width, Bytes *ret,
                              Error *err);
