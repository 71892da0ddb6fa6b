/*
 * safetensors -- named arrays in one file (https://github.com/huggingface/safetensors): 8 bytes
 * little-endian header length, a JSON header, then the data. Reads and writes F32 and I64, as
 * checkpoints use, and F16, as maps do; the header is the one place where core/ knows JSON
 * (Jansson).
 *
 * Files are deterministic: names sorted, no padding but spaces after the header to a multiple of 8,
 * metadata sorted.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "core/base/error.h"

typedef enum StDtype { ST_F32, ST_I64, ST_F16 } StDtype;

enum { ST_NAME_MAX = 256, ST_RANK_MAX = 8, ST_HEADER_BYTES_MAX = 16 << 20, ST_TENSORS_MAX = 65536 };

typedef struct StTensor {
    const char *name;
    StDtype dtype;
    uint32_t rank;
    uint64_t dim[ST_RANK_MAX];
    const void *data; /* row-major, count * (4, 8 or 2) bytes */
    uint64_t count;   /* elements; a scalar (rank 0) has 1 */
} StTensor;

typedef struct StMeta {
    const char *key, *value;
} StMeta;

/* "F32", "I64", "F16". */
const char *safetensors_dtype(StDtype dtype);

/* Writes to an open stream; `tensors` and `metadata` may come in any order. Names must be distinct
 * and not "__metadata__". */
CHECKED Status safetensors_write(FILE *file, const StTensor *tensors, size_t count,
                                 const StMeta *metadata, size_t metadata_count, Error *err);

typedef struct StFile StFile;

/*
 * Opens and validates everything: header size, JSON, dtypes, offsets (within the data, in order,
 * without holes or overlap, size = product of dims, no overflow), duplicate names.
 * STATUS_NOT_FOUND, STATUS_CORRUPT, STATUS_IO.
 */
CHECKED Status safetensors_open(const char *path, StFile **ret, Error *err);
/* The same on bytes in memory (borrowed until close), for tests and fuzzing. */
CHECKED Status safetensors_parse(const void *bytes, size_t size, StFile **ret, Error *err);
void safetensors_close(StFile *file); /* NULL is fine */

size_t safetensors_count(const StFile *file);
const StTensor *safetensors_at(const StFile *file, size_t i);
/* By name; NULL where absent. */
const StTensor *safetensors_find(const StFile *file, const char *name);
const char *safetensors_metadata(const StFile *file, const char *key); /* NULL where absent */
/* Every key and its value, for whoever writes a file anew; they live as long as the file is open.
 */
size_t safetensors_metadata_count(const StFile *file);
StMeta safetensors_metadata_at(const StFile *file, size_t i);
