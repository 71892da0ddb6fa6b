/*
 * status -- what a function that can fail answers.
 *
 * Everything that can fail returns a Status and takes an `Error *err` last (error.h). The one table
 * below gives each status its name (the `code` of a problem document), the HTTP code that the
 * server answers with, and the level it is logged at; nothing else in the tree maps a status to any
 * of them.
 */
#pragma once

/* Marks a function whose answer must be looked at. */
#define CHECKED __attribute__((warn_unused_result))

typedef enum LogLevel { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR } LogLevel;

/*    symbol                     name                 http  level */
#define STATUS_TABLE(X)                                               \
    X(STATUS_OK, "ok", 200, LOG_DEBUG)                                \
    X(STATUS_MALFORMED, "malformed", 400, LOG_INFO)                   \
    X(STATUS_FORBIDDEN, "forbidden", 403, LOG_INFO)                   \
    X(STATUS_NOT_FOUND, "not_found", 404, LOG_INFO)                   \
    X(STATUS_METHOD_NOT_ALLOWED, "method_not_allowed", 405, LOG_INFO) \
    X(STATUS_CONFLICT, "conflict", 409, LOG_INFO)                     \
    X(STATUS_TOO_LARGE, "too_large", 413, LOG_INFO)                   \
    X(STATUS_MEDIA_TYPE, "media_type", 415, LOG_INFO)                 \
    X(STATUS_INVALID, "invalid", 422, LOG_INFO)                       \
    X(STATUS_BAD_SHAPE, "bad_shape", 422, LOG_INFO)                   \
    X(STATUS_NO_MEMORY, "no_memory", 503, LOG_ERROR)                  \
    X(STATUS_BUSY, "busy", 503, LOG_WARNING)                          \
    X(STATUS_NO_SPACE, "no_space", 507, LOG_ERROR)                    \
    X(STATUS_CORRUPT, "corrupt", 500, LOG_ERROR)                      \
    X(STATUS_IO, "io", 500, LOG_ERROR)                                \
    X(STATUS_DIVERGED, "diverged", 500, LOG_WARNING)                  \
    X(STATUS_STOPPED, "stopped", 503, LOG_INFO)                       \
    X(STATUS_INTERNAL, "internal", 500, LOG_ERROR)

typedef enum Status {
#define X(symbol, name, http, level) symbol,
    STATUS_TABLE(X)
#undef X
        STATUS_COUNT
} Status;

/* The row of a status: its stable name, HTTP code and log level. Any thread. */
const char *status_name(Status status);
int status_http(Status status);
LogLevel status_level(Status status);
