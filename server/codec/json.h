/*
 * json -- reading JSON that comes from outside, and writing numbers that JSON has no word for. Any
 * thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

/* How JSON is written everywhere: compact, numbers to 15 digits, so that what was sent as 0.1 comes
 * back as 0.1. */
#define JSON_WRITE_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(15))

/*
 * Parses one JSON text of `size` bytes. STATUS_TOO_LARGE above LIMIT_BODY_BYTES; STATUS_MALFORMED
 * where it is not JSON (with line and column), is nested deeper than LIMIT_JSON_DEPTH, repeats a
 * key, or is not UTF-8. The caller owns *ret.
 */
CHECKED Status json_read(const char *bytes, size_t size, json_t **ret, Error *err);

/* A number; NaN and the infinities become "NaN", "Infinity", "-Infinity". NULL when out of memory.
 */
json_t *json_number(double value);
/* RFC 3339 UTC with milliseconds; null for 0. */
json_t *json_time_ms(int64_t unix_ms);
/* Text that may not be UTF-8 (a path, a cut message): each bad byte becomes "?". NULL when out of
 * memory. */
json_t *json_text(const char *text);

/*
 * Lays `over` on `base`, in place: objects are merged key by key, everything else replaces, and so
 * does an object that names another row (its "name" differs). As deep as `base` is. False: out of
 * memory.
 */
bool json_lay_over(json_t *base, const json_t *over);
