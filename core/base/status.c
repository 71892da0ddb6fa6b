/* The table of status.h, expanded once. */
#include "core/base/status.h"

#include <assert.h>

typedef struct StatusRow {
    const char *name;
    int http;
    LogLevel level;
} StatusRow;

static const StatusRow status_rows[STATUS_COUNT] = {
#define X(symbol, text, code, severity) \
    [symbol] = { .name = (text), .http = (code), .level = (severity) },
    STATUS_TABLE(X)
#undef X
};

const char *status_name(Status status)
{
    assert(status < STATUS_COUNT);
    return status_rows[status].name;
}

int status_http(Status status)
{
    assert(status < STATUS_COUNT);
    return status_rows[status].http;
}

LogLevel status_level(Status status)
{
    assert(status < STATUS_COUNT);
    return status_rows[status].level;
}
