/*
 * limits -- every limit on what a client may send or ask for, in one table that GET /api/v1/system
 * publishes.
 */
#pragma once

#include <stdint.h>

/*    symbol                   published name            value       what it limits */
#define LIMITS_TABLE(X)                                                                         \
    X(LIMIT_BODY_BYTES, "body_bytes", 1 << 20, "a request's body")                              \
    X(LIMIT_DISCARD_BYTES, "discard_bytes", 32 << 20,                                           \
      "a body read to its end so that the 413 is seen")                                         \
    X(LIMIT_UPLOAD_BYTES, "upload_bytes", 16 << 20, "a request's body that brings a picture")   \
    X(LIMIT_UPLOADS_BYTES, "uploads_bytes", 64 << 20, "such bodies at the same time")           \
    X(LIMIT_PICTURE_BYTES, "picture_cache_bytes", 32 << 20, "pictures kept in memory")          \
    X(LIMIT_CELLS, "sheet_cells", 256, "maps on one contact sheet")                             \
    X(LIMIT_EXPLANATIONS, "explanations", 256, "explanations of pictures sent that are kept")   \
    X(LIMIT_JSON_DEPTH, "json_depth", 64, "nesting of arrays and objects")                      \
    X(LIMIT_PAGE_ITEMS, "page_items", 200, "items of one page of a list")                       \
    X(LIMIT_PAGE_DEFAULT, "page_items_default", 50, "items of a page where ?limit= is absent")  \
    X(LIMIT_SERIES_POINTS, "series_points", 2000, "points of one metric series in one answer")  \
    X(LIMIT_SERIES, "series", 64, "metric series in one answer")                                \
    X(LIMIT_CONNECTIONS, "connections", 256, "open connections")                                \
    X(LIMIT_IDLE_SECONDS, "idle_seconds", 60, "how long a silent connection is kept")           \
    X(LIMIT_DEFERRED, "deferred_answers", 128, "answers being computed at the same time")       \
    X(LIMIT_DEFERRED_SECONDS, "deferred_seconds", 30, "how long an answer may take to compute") \
    X(LIMIT_SWEEP_CELLS, "sweep_cells", 256, "jobs of one sweep")                               \
    X(LIMIT_KEY_BYTES, "idempotency_key_bytes", 128, "an Idempotency-Key")                      \
    X(LIMIT_READY_FREE_BYTES, "ready_free_bytes", 16 << 20, "disk that must be free to be ready")

enum {
#define X(symbol, name, value, help) symbol = (value),
    LIMITS_TABLE(X)
#undef X
};
