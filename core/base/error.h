/*
 * error -- why something failed, in words, and where in the input.
 *
 * The caller owns an Error (zero-initialised: `Error err = { 0 };`) and may pass NULL where it does
 * not care. The first error wins: once `status` is set, error_set() leaves it alone. Validation,
 * which wants to name every bad field at once, uses error_add(), which appends up to
 * ERROR_DETAILS_MAX details. An Error belongs to one thread at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

enum { ERROR_POINTER_MAX = 128, ERROR_MESSAGE_MAX = 512, ERROR_DETAILS_MAX = 16 };

typedef struct ErrorDetail {
    char
        pointer[ERROR_POINTER_MAX]; /* JSON pointer of the field at fault, "" where there is none */
    char message[ERROR_MESSAGE_MAX];
} ErrorDetail;

typedef struct Error {
    Status status;    /* STATUS_OK while nothing failed */
    uint32_t details; /* filled rows of `detail` */
    uint32_t dropped; /* details that did not fit */
    ErrorDetail detail[ERROR_DETAILS_MAX];
} Error;

/* Records the first failure; returns `status` so that `return error_set(...)` reads as one thought.
 */
Status error_set(Error *err, Status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set(), naming the field by JSON pointer. */
Status error_at(Error *err, Status status, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Appends one more detail; the status stays that of the first. Returns err's status (or `status`).
 */
Status error_add(Error *err, Status status, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* As error_set(), with the text of the current errno after a colon. ENOSPC and EDQUOT become
 * STATUS_NO_SPACE. */
Status error_errno(Error *err, Status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts `prefix` before the pointers of all details (a nested parser does not know where it stands).
 */
void error_prefix_pointers(Error *err, const char *prefix);

/* The first detail's message, or "" (never NULL). NULL is fine. */
const char *error_message(const Error *err);
void error_clear(Error *err);
