/* A query is turned into a JSON object first, guided by the field's type, so that bodies and
 * queries are validated by one parser. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/api/api.h"
#include "server/codec/json.h"

static const Field *find_field(const Field *fields, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(fields[i].param.name, name) == 0)
            return &fields[i];
    return NULL;
}

static bool is_number(const Field *field)
{
    if (field->type == FIELD_EPOCH) /* where it is no word */
        return true;
    return (field->type == FIELD_SCALAR || field->type == FIELD_UINT) &&
           (field->param.type == PARAM_INT || field->param.type == PARAM_REAL);
}

/* The value as the JSON that the field wants; what cannot be that stays a string, which the field
 * then refuses. */
static json_t *query_value(const Field *field, const char *text)
{
    char *end;

    if (field != NULL && is_number(field) && *text != '\0' &&
        strspn(text, "+-.eE0123456789") == strlen(text)) {
        double value = strtod(text, &end);

        if (*end == '\0' && value - value == 0) /* finite */
            return json_real(value);
    }
    if (field != NULL && field->type == FIELD_SCALAR && field->param.type == PARAM_BOOL) {
        if (strcmp(text, "1") == 0 || strcmp(text, "true") == 0)
            return json_true();
        if (strcmp(text, "0") == 0 || strcmp(text, "false") == 0)
            return json_false();
    }
    return json_text(text);
}

Status api_query(const Request *req, const Field *fields, uint32_t count, void *ret, Error *err)
{
    json_t *object = json_object();
    Status s = object != NULL ? STATUS_OK : STATUS_NO_MEMORY;

    for (uint32_t i = 0; i < req->queries && s == STATUS_OK; i++) {
        const Pair *pair = &req->query[i];
        json_t *value = query_value(find_field(fields, count, pair->name), pair->value);

        if (json_object_set_new(object, pair->name, value) != 0)
            s = error_set(err, STATUS_MALFORMED, "the query is not UTF-8");
    }
    if (s == STATUS_OK)
        s = fields_parse(fields, count, object, ret, err);
    json_decref(object);
    return s;
}

Status api_cursor(const char *text, int64_t *ret, Error *err)
{
    size_t digits = *text == 'b' ? strspn(text + 1, "0123456789") : 0;

    if (*text == '\0')
        return STATUS_OK;
    if (digits == 0 || digits > 15 || text[1 + digits] != '\0')
        return error_at(err, STATUS_INVALID, "/cursor", "must be the `next` of an earlier answer");
    *ret = strtoll(text + 1, NULL, 10);
    return STATUS_OK;
}

Status api_page(Response *ret, json_t *items, int64_t next, const char *path, uint32_t limit,
                const char *filter, Error *err)
{
    json_t *link = json_null();
    char cursor[32];

    if (next != 0) {
        snprintf(cursor, sizeof cursor, "b%lld", (long long)next);
        link = json_string(cursor);
        response_header(ret, "Link", "<%s?limit=%u&cursor=%s%s>; rel=\"next\"", path, limit, cursor,
                        filter);
    }
    return response_json(ret, 200, json_pack("{soso}", "items", items, "next", link), err);
}

Status api_list(Response *ret, json_t *items, Error *err)
{
    return response_json(ret, 200, json_pack("{sosn}", "items", items, "next"), err);
}

json_t *api_stored_json(const char *text)
{
    json_t *value = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

    return value != NULL ? value : json_null();
}

/* --- files --- */

bool api_unchanged(const Request *req, const char *digest, Response *ret)
{
    char etag[128];

    snprintf(etag, sizeof etag, "\"%s\"", digest);
    response_header(ret, "ETag", "%s", etag);
    if (req->if_none_match == NULL || strstr(req->if_none_match, etag) == NULL)
        return false;
    ret->code = 304;
    return true;
}

Status api_open_file(const char *path, int *ret_fd, Error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return error_set(err, STATUS_NOT_FOUND, "the file was removed a moment ago");
    if (fd < 0)
        return error_errno(err, STATUS_IO, "cannot open the file");
    *ret_fd = fd;
    return STATUS_OK;
}

Status api_send_file(Response *ret, int fd, const char *name, Error *err)
{
    struct stat info;

    if (fstat(fd, &info) != 0) {
        Status s = error_errno(err, STATUS_IO, "cannot look at the file");

        close(fd);
        return s;
    }
    response_file(ret, "application/octet-stream", fd, (uint64_t)info.st_size);
    response_header(ret, "Content-Disposition", "attachment; filename=\"%s\"", name);
    return STATUS_OK;
}
