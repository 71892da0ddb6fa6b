/* Errors are plain values: nothing here allocates, so reporting that memory ran out cannot fail. */
#include "core/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void append(Error *err, const char *pointer, const char *format, va_list args)
{
    ErrorDetail *d;

    if (err->details == ERROR_DETAILS_MAX) {
        err->dropped++;
        return;
    }
    d = &err->detail[err->details++];
    snprintf(d->pointer, sizeof d->pointer, "%s", pointer);
    vsnprintf(d->message, sizeof d->message, format, args);
}

Status error_set(Error *err, Status status, const char *format, ...)
{
    va_list args;

    if (err == NULL || err->status != STATUS_OK)
        return status;
    va_start(args, format);
    append(err, "", format, args);
    va_end(args);
    err->status = status;
    return status;
}

Status error_at(Error *err, Status status, const char *pointer, const char *format, ...)
{
    va_list args;

    if (err == NULL || err->status != STATUS_OK)
        return status;
    va_start(args, format);
    append(err, pointer, format, args);
    va_end(args);
    err->status = status;
    return status;
}

Status error_add(Error *err, Status status, const char *pointer, const char *format, ...)
{
    va_list args;

    if (err == NULL)
        return status;
    va_start(args, format);
    append(err, pointer, format, args);
    va_end(args);
    if (err->status == STATUS_OK)
        err->status = status;
    return err->status;
}

Status error_errno(Error *err, Status status, const char *format, ...)
{
    int code = errno;
    char text[ERROR_MESSAGE_MAX];
    va_list args;

    if (code == ENOSPC || code == EDQUOT)
        status = STATUS_NO_SPACE;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return error_set(err, status, "%.150s: %s", text, strerror(code));
}

void error_prefix_pointers(Error *err, const char *prefix)
{
    if (err == NULL)
        return;
    for (uint32_t i = 0; i < err->details; i++) {
        char joined[2 * ERROR_POINTER_MAX];

        snprintf(joined, sizeof joined, "%.127s%s", prefix, err->detail[i].pointer);
        joined[ERROR_POINTER_MAX - 1] = '\0';
        memcpy(err->detail[i].pointer, joined, ERROR_POINTER_MAX);
    }
}

const char *error_message(const Error *err)
{
    return err != NULL && err->details > 0 ? err->detail[0].message : "";
}

void error_clear(Error *err)
{
    if (err != NULL)
        memset(err, 0, sizeof *err);
}
