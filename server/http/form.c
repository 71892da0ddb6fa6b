/*
 * The whole body is in memory, so a form is read in one walk: boundary, header lines, an empty
 * line, bytes up to the next boundary. Every step says how far it may look, and what is not
 * expected ends the walk: there is no skipping ahead to something that looks right again. Parts are
 * borrowed from the body.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "server/http/parts.h"

enum { BOUNDARY_MAX = 70 };

/* What is left of the body. */
typedef struct Walk {
    const char *at, *end;
    char mark[2 + 2 + BOUNDARY_MAX + 1]; /* "\r\n--boundary" */
    size_t mark_size;
} Walk;

static Status bad(Error *err, const char *what)
{
    return error_set(err, STATUS_MALFORMED, "the body is no well-formed multipart/form-data: %s",
                     what);
}

/* RFC 2045's token characters, of which RFC 2046 takes boundaries. */
static bool is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

typedef struct Span {
    const char *start;
    size_t size;
} Span;

static bool span_is(Span span, const char *text)
{
    return span.size == strlen(text) && strncasecmp(span.start, text, span.size) == 0;
}

static void skip_spaces(const char **at, const char *end)
{
    while (*at < end && (**at == ' ' || **at == '\t'))
        (*at)++;
}

/* A token, or a quoted string, whose inside it is, with its backslashes. */
static bool take_value(const char **at, const char *end, Span *ret)
{
    const char *start = *at, *to = start;

    if (to < end && *to == '"') {
        for (start = ++to; to < end && *to != '"'; to++)
            if (*to == '\\' && ++to == end)
                return false;
        if (to == end)
            return false;
        *at = to + 1;
    } else {
        while (to < end && (is_token(*to) || (*to != '\0' && strchr("()/:?=,@<>[]", *to) != NULL)))
            to++;
        if (to == start)
            return false;
        *at = to;
    }
    *ret = (Span){ start, (size_t)(to - start) };
    return true;
}

/* The next "; name=value". 1: there is one; 0: the end; -1: neither. */
static int take_parameter(const char **at, const char *end, Span *ret_name, Span *ret_value)
{
    const char *start;

    skip_spaces(at, end);
    if (*at == end)
        return 0;
    if (**at != ';')
        return -1;
    (*at)++;
    skip_spaces(at, end);
    for (start = *at; *at < end && is_token(**at);)
        (*at)++;
    *ret_name = (Span){ start, (size_t)(*at - start) };
    if (ret_name->size == 0 || *at == end || **at != '=')
        return -1;
    (*at)++;
    return take_value(at, end, ret_value) ? 1 : -1;
}

static Status find_boundary(const char *type, Walk *walk, Error *err)
{
    static const char form[] = "multipart/form-data";
    const char *sent = type != NULL ? type : "", *at = sent + strcspn(sent, "; \t");
    const char *end = sent + strlen(sent);
    Span name, value, boundary = { NULL, 0 };
    int more;

    if (!span_is((Span){ sent, (size_t)(at - sent) }, form))
        return error_set(err, STATUS_MEDIA_TYPE, "Content-Type must be %s, not \"%.60s\"", form,
                         sent);
    while ((more = take_parameter(&at, end, &name, &value)) > 0)
        if (span_is(name, "boundary"))
            boundary = value;
    if (more < 0 || boundary.size == 0 || boundary.size > BOUNDARY_MAX ||
        memchr(boundary.start, '\\', boundary.size) != NULL)
        return bad(err, "its Content-Type names no boundary of 1 to 70 characters");
    walk->mark_size = (size_t)snprintf(walk->mark, sizeof walk->mark, "\r\n--%.*s",
                                       (int)boundary.size, boundary.start);
    return STATUS_OK;
}

/* True and past it, where `text` is next. */
static bool take(Walk *walk, const char *text, size_t size)
{
    if ((size_t)(walk->end - walk->at) < size || memcmp(walk->at, text, size) != 0)
        return false;
    walk->at += size;
    return true;
}

static bool is_name(Span span)
{
    if (span.size == 0 || span.size >= MULTIPART_NAME_MAX)
        return false;
    for (size_t i = 0; i < span.size; i++)
        if (!is_token(span.start[i]) || strchr("!#$%&'*+.^`|~", span.start[i]) != NULL)
            return false;
    return true;
}

/* Content-Disposition: form-data; name="image"; filename="cat.png" */
static Status read_disposition(const char *at, const char *end, FormPart *part, Error *err)
{
    static const char form[] = "form-data";
    Span name, value;
    int more;

    skip_spaces(&at, end);
    if ((size_t)(end - at) < sizeof form - 1 || strncasecmp(at, form, sizeof form - 1) != 0)
        return bad(err, "a part's Content-Disposition is not form-data");
    at += sizeof form - 1;
    while ((more = take_parameter(&at, end, &name, &value)) > 0) {
        if (!span_is(name, "name"))
            continue;
        if (part->name[0] != '\0' || !is_name(value))
            return bad(err, "a part's name is not 1 to 63 letters, digits, _ and -");
        memcpy(part->name, value.start, value.size);
    }
    return more < 0 ? bad(err, "a part's Content-Disposition") : STATUS_OK;
}

/* One header line, without its end. */
static Status read_header(const char *line, const char *end, FormPart *part, Error *err)
{
    const char *colon = memchr(line, ':', (size_t)(end - line)), *at;
    Span name, value;

    if (colon == NULL || colon == line)
        return bad(err, "a part's header has no name");
    for (at = line; at < colon; at++)
        if (!is_token(*at))
            return bad(err, "a part's header has no name");
    for (at = colon; at < end; at++)
        if ((unsigned char)*at < 0x20 && *at != '\t')
            return bad(err, "a part's header has a control character");
    name = (Span){ line, (size_t)(colon - line) };
    at = colon + 1;
    if (span_is(name, "Content-Disposition"))
        return read_disposition(at, end, part, err);
    skip_spaces(&at, end);
    if (span_is(name, "Content-Transfer-Encoding") &&
        (!take_value(&at, end, &value) ||
         !(span_is(value, "binary") || span_is(value, "8bit") || span_is(value, "7bit"))))
        return bad(err, "a part has a transfer encoding");
    return STATUS_OK;
}

static Status read_headers(Walk *walk, FormPart *part, Error *err)
{
    const char *start = walk->at;

    for (int lines = 0; !take(walk, "\r\n", 2); lines++) {
        const char *end = memmem(walk->at, (size_t)(walk->end - walk->at), "\r\n", 2);
        Status s;

        if (end == NULL)
            return bad(err, "it ends in a part's headers");
        if (lines == MULTIPART_HEADERS_MAX || end - start > MULTIPART_HEADER_BYTES)
            return bad(err, "a part's headers are too long");
        s = read_header(walk->at, end, part, err);
        if (s != STATUS_OK)
            return s;
        walk->at = end + 2;
    }
    return part->name[0] != '\0' ? STATUS_OK : bad(err, "a part has no name");
}

/* Behind its boundary: headers and bytes, up to the next one. */
static Status read_part(Walk *walk, FormPart *part, Error *err)
{
    const char *end;
    Status s = read_headers(walk, part, err);

    if (s != STATUS_OK)
        return s;
    part->bytes = walk->at;
    /* An empty part's line end may be the one that its headers ended with. */
    if (take(walk, walk->mark + 2, walk->mark_size - 2))
        return STATUS_OK;
    end = memmem(walk->at, (size_t)(walk->end - walk->at), walk->mark, walk->mark_size);
    if (end == NULL)
        return bad(err, "it ends in the middle of a part");
    part->size = (size_t)(end - part->bytes);
    walk->at = end + walk->mark_size;
    return STATUS_OK;
}

Status request_form(const Request *req, Form *ret, Error *err)
{
    const char *body = req->body != NULL ? req->body : "";
    Walk walk = { .at = body, .end = body + req->body_size };
    Form form = { .parts = 0 };
    Status s = find_boundary(req->content_type, &walk, err);

    if (s != STATUS_OK)
        return s;
    if (!take(&walk, walk.mark + 2, walk.mark_size - 2))
        return bad(err, "it does not begin with its boundary");
    while (take(&walk, "\r\n", 2)) {
        FormPart part = { .size = 0 };

        if (form.parts == MULTIPART_PARTS_MAX)
            return bad(err, "it has too many parts");
        s = read_part(&walk, &part, err);
        if (s != STATUS_OK)
            return s;
        if (form_part(&form, part.name) != NULL)
            return bad(err, "a part comes twice");
        form.part[form.parts++] = part;
    }
    if (!take(&walk, "--", 2))
        return bad(err, "a boundary ends in neither a line's end nor --");
    (void)take(&walk, "\r\n", 2);
    if (walk.at != walk.end)
        return bad(err, "there is something behind its last boundary");
    *ret = form;
    return STATUS_OK;
}

const FormPart *form_part(const Form *form, const char *name)
{
    for (uint32_t i = 0; i < form->parts; i++)
        if (strcmp(form->part[i].name, name) == 0)
            return &form->part[i];
    return NULL;
}
