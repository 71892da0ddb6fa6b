/* A Response is filled by exactly one body; the setters end what was there before, so that a
 * problem can replace a half-made answer. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/codec/json.h"
#include "server/http/parts.h"

enum { RETRY_SECONDS = 2 };

static void clear_body(Response *ret)
{
    if (ret->kind == BODY_FILE)
        close(ret->fd);
    bytes_clear(&ret->bytes);
    ret->kind = BODY_NONE;
}

void response_clear(Response *ret)
{
    clear_body(ret);
    deferral_release(ret->deferral);
    memset(ret, 0, sizeof *ret);
}

void response_header(Response *ret, const char *name, const char *format, ...)
{
    Header *h;
    va_list args;

    if (ret->headers == RESPONSE_HEADERS_MAX)
        return;
    h = &ret->header[ret->headers++];
    h->name = name;
    va_start(args, format);
    vsnprintf(h->value, sizeof h->value, format, args);
    va_end(args);
    for (char *c = h->value; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
            *c = '?';
}

void response_bytes(Response *ret, const char *content_type, Bytes *bytes)
{
    clear_body(ret);
    ret->kind = BODY_BYTES;
    ret->content_type = content_type;
    ret->bytes = *bytes;
    *bytes = (Bytes){ 0 };
}

static Status json_body(Response *ret, const char *content_type, json_t *json, Error *err)
{
    char *text = json != NULL ? json_dumps(json, JSON_WRITE_FLAGS | JSON_ENCODE_ANY) : NULL;
    Bytes bytes = { .data = (unsigned char *)text, .size = text != NULL ? strlen(text) : 0 };

    json_decref(json);
    if (text == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the answer");
    response_bytes(ret, content_type, &bytes);
    return STATUS_OK;
}

Status response_json(Response *ret, int code, json_t *json, Error *err)
{
    ret->code = code;
    return json_body(ret, "application/json", json, err);
}

void response_static(Response *ret, const char *content_type, const void *bytes, size_t size)
{
    clear_body(ret);
    ret->kind = BODY_STATIC;
    ret->content_type = content_type;
    ret->fixed = bytes;
    ret->fixed_size = size;
}

void response_file(Response *ret, const char *content_type, int fd, uint64_t size)
{
    clear_body(ret);
    ret->kind = BODY_FILE;
    ret->content_type = content_type;
    ret->fd = fd;
    ret->fd_size = size;
}

/* What RFC 9457 asks of "about:blank": the title is the phrase of the HTTP code. */
static const char *http_phrase(int code)
{
    static const struct {
        int code;
        const char *phrase;
    } phrases[] = {
        { 400, "Bad Request" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 409, "Conflict" },
        { 413, "Content Too Large" },
        { 415, "Unsupported Media Type" },
        { 422, "Unprocessable Content" },
        { 500, "Internal Server Error" },
        { 503, "Service Unavailable" },
        { 507, "Insufficient Storage" },
    };

    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (phrases[i].code == code)
            return phrases[i].phrase;
    return "Error";
}

/* [{pointer, detail}] of everything that names a field. */
static json_t *errors_json(Status status, const Error *err)
{
    json_t *out = json_array();

    for (uint32_t i = 0; err != NULL && i < err->details; i++) {
        const ErrorDetail *d = &err->detail[i];

        if (d->pointer[0] != '\0' || status == STATUS_INVALID)
            (void)json_array_append_new(out, json_pack("{soso}", "pointer", json_text(d->pointer),
                                                       "detail", json_text(d->message)));
    }
    return out;
}

/* One sentence: the first problem with its field, and how many more there are. */
static void detail_text(Status status, const Error *err, char *ret, size_t size)
{
    uint32_t more = err != NULL && err->details > 0 ? err->details + err->dropped - 1 : 0;
    const char *pointer = err != NULL && err->details > 0 ? err->detail[0].pointer : "";
    const char *message = error_message(err);
    char tail[40] = "";

    if (more > 0)
        snprintf(tail, sizeof tail, " (and %u more)", more);
    snprintf(ret, size, "%s%s%s%s", pointer, pointer[0] != '\0' ? ": " : "",
             message[0] != '\0' ? message : status_name(status), tail);
}

void response_problem(Response *ret, const Request *req, Status status, const Error *err)
{
    char detail[ERROR_POINTER_MAX + ERROR_MESSAGE_MAX + 48];
    json_t *json;
    Header allow = { 0 };

    for (uint32_t i = 0; i < ret->headers; i++)
        if (strcmp(ret->header[i].name, "Allow") == 0)
            allow = ret->header[i];
    response_clear(ret);
    if (allow.name != NULL)
        ret->header[ret->headers++] = allow;
    ret->code = status_http(status);
    detail_text(status, err, detail, sizeof detail);
    json = json_pack("{sssssisososssoss}", "type", "about:blank", "title", http_phrase(ret->code),
                     "status", ret->code, "detail", json_text(detail), "instance",
                     json_text(req->path != NULL ? req->path : "/"), "code", status_name(status),
                     "errors", errors_json(status, err), "request_id", req->id);
    if (json_body(ret, "application/problem+json", json, NULL) != STATUS_OK) {
        static const char nothing[] =
            "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,"
            "\"code\":\"no_memory\",\"errors\":[]}";

        ret->code = 503;
        response_static(ret, "application/problem+json", nothing, sizeof nothing - 1);
    }
    if (ret->code == 503)
        response_header(ret, "Retry-After", "%d", RETRY_SECONDS);
}
