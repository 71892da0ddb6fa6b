/* A query is turned into a JSON object first, guided by the field's type, so that bodies and
 * queries are validated by one parser. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

Status api_list(Response *ret, json_t *items, Error *err)
{
    return response_json(ret, 200, json_pack("{sosn}", "items", items, "next"), err);
}

json_t *api_stored_json(const char *text)
{
    json_t *value = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

    return value != NULL ? value : json_null();
}
