/*
 * The target is taken apart here and not by the adapter, so that tests, the fuzzer and the daemon
 * share one reading of it: the path is split first and decoded by segment, so that an encoded slash
 * never becomes a separator.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/codec/json.h"
#include "server/codec/limits.h"
#include "server/http/parts.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes text..end in place and ends it with a NUL (at `end` at the latest). False: a bad escape,
 * or an encoded NUL. */
static bool decode(char *text, const char *end, bool query)
{
    char *out = text;

    for (const char *in = text; in < end; in++) {
        char c = *in;

        if (c == '%') {
            int high = end - in > 2 ? hex_digit(in[1]) : -1,
                low = end - in > 2 ? hex_digit(in[2]) : -1;

            if (high < 0 || low < 0 || high + low == 0)
                return false;
            c = (char)(high * 16 + low);
            in += 2;
        } else if (c == '+' && query) {
            c = ' ';
        }
        *out++ = c;
    }
    *out = '\0';
    return true;
}

/* Cuts `text` at `separator`; returns what follows, or NULL; *ret_end is where the first part ends.
 */
static char *cut(char *text, char separator, char **ret_end)
{
    char *at = strchr(text, separator);

    *ret_end = at != NULL ? at : text + strlen(text);
    return at != NULL ? at + 1 : NULL;
}

static bool parse_path(Request *req, char *next)
{
    while (next != NULL) {
        char *segment = next, *end;

        next = cut(segment, '/', &end);
        if (req->segments == REQUEST_SEGMENTS_MAX || !decode(segment, end, false))
            return false;
        req->segment[req->segments++] = segment;
    }
    return true;
}

static bool parse_query(Request *req, char *next)
{
    while (next != NULL) {
        char *name = next, *name_end, *value, *end;

        next = cut(name, '&', &end);
        if (end == name)
            continue;
        *end = '\0';
        value = cut(name, '=', &name_end);
        if (req->queries == REQUEST_QUERY_MAX || (value != NULL && !decode(value, end, true)) ||
            !decode(name, name_end, true))
            return false;
        req->query[req->queries++] = (Pair){ name, value != NULL ? value : "" };
    }
    return true;
}

Status request_parse_target(Request *req, Error *err)
{
    char *query, *end;

    req->path = strdup(req->target);
    req->decoded = strdup(req->target);
    if (req->path == NULL || req->decoded == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the request");
    req->path[strcspn(req->path, "?")] = '\0';
    query = cut(req->decoded, '?', &end);
    *end = '\0';
    if (req->decoded[0] != '/' || !parse_path(req, req->decoded + 1) || !parse_query(req, query))
        return error_set(err, STATUS_MALFORMED,
                         "the request's target is not a well-formed path and query");
    return STATUS_OK;
}

/* The name in "name", "name:port", "[name]:port". */
static bool loopback_name(const char *host)
{
    static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i]);

        if (strncasecmp(host, names[i], length) == 0 &&
            (host[length] == '\0' || host[length] == ':'))
            return strspn(host + length, ":0123456789") == strlen(host + length);
    }
    return false;
}

Status request_check_host(const Request *req, Error *err)
{
    if (req->host != NULL && !loopback_name(req->host))
        return error_set(err, STATUS_FORBIDDEN,
                         "Host must be localhost, 127.0.0.1 or [::1], with a port or without");
    if (req->origin != NULL && req->method != METHOD_GET) {
        const char *scheme_end = strstr(req->origin, "://");

        if (scheme_end == NULL || req->host == NULL || strcasecmp(scheme_end + 3, req->host) != 0)
            return error_set(err, STATUS_FORBIDDEN, "other sites may not send requests here");
    }
    return STATUS_OK;
}

const char *request_param(const Request *req, const char *name)
{
    size_t length = strlen(name);

    for (uint32_t i = 0; i < req->params; i++)
        if (strncmp(req->param[i].name, name, length) == 0 && req->param[i].name[length] == '}')
            return req->param[i].value;
    assert(!"the route has no such parameter");
    return "";
}

Status request_id_param(const Request *req, const char *name, const char *what, int64_t *ret,
                        Error *err)
{
    const char *text = request_param(req, name);
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 15 || text[digits] != '\0')
        return error_set(err, STATUS_NOT_FOUND, "no %s \"%.40s\"", what, text);
    *ret = strtoll(text, NULL, 10);
    return STATUS_OK;
}

const char *request_query(const Request *req, const char *name)
{
    for (uint32_t i = 0; i < req->queries; i++)
        if (strcmp(req->query[i].name, name) == 0)
            return req->query[i].value;
    return NULL;
}

Status request_json(const Request *req, json_t **ret, Error *err)
{
    static const char type[] = "application/json";
    const char *sent = req->content_type != NULL ? req->content_type : "";
    size_t length = strcspn(sent, "; \t");

    if (length != sizeof type - 1 || strncasecmp(sent, type, length) != 0)
        return error_set(err, STATUS_MEDIA_TYPE,
                         "Content-Type must be application/json, not \"%.60s\"", sent);
    return json_read(req->body != NULL ? req->body : "", req->body_size, ret, err);
}

void request_clear(Request *req)
{
    free(req->path);
    free(req->decoded);
    *req = (Request){ 0 };
}
