/*
 * Describing is data, too: a table gives each field type its published name; what a Param knows is
 * added by one function, used for plain fields and for the parameters of a choice's rows alike.
 */
#include "server/codec/fields_private.h"

#include <string.h>

#include "server/codec/json.h"

static const char *const type_names[] = {
    [FIELD_SCALAR] = NULL,           [FIELD_UINT] = "integer",
    [FIELD_STRING] = "string",       [FIELD_OBJECT] = "object",
    [FIELD_LIST] = "list",           [FIELD_CHOICE] = "choice",
    [FIELD_CHOICES] = "choices",     [FIELD_CHECKPOINT] = "checkpoint",
    [FIELD_OPTIONAL] = NULL,         [FIELD_EPOCH] = "epoch",
    [FIELD_REFERENCE] = "reference", [FIELD_TAGS] = "tags",
    [FIELD_NUMBERS] = "numbers",
};

static const char *const param_names[] = {
    [PARAM_BOOL] = "boolean", [PARAM_INT] = "integer", [PARAM_REAL] = "number",
    [PARAM_ENUM] = "enum",    [PARAM_TEXT] = "text",
};

/* Sets key and value; remembers a failure. */
static void put(json_t *object, const char *key, json_t *value, bool *bad)
{
    *bad |= json_object_set_new(object, key, value) != 0;
}

static json_t *finish(json_t *value, bool bad)
{
    if (!bad)
        return value;
    json_decref(value);
    return NULL;
}

static json_t *bound(const Param *param, double value)
{
    return param->type == PARAM_INT ? json_integer((json_int_t)value) : json_number(value);
}

static json_t *names_json(const char *const *names)
{
    json_t *out = json_array();
    bool bad = false;

    for (; *names != NULL; names++)
        bad |= json_array_append_new(out, json_string(*names)) != 0;
    return finish(out, bad);
}

/* type, range and choices of a Param. */
static void put_param(json_t *out, const Param *param, bool *bad)
{
    put(out, "type", json_string(param_names[param->type]), bad);
    if (param->choices != NULL) /* of TEXT: names it knows, and others may do */
        put(out, "choices", names_json(param->choices), bad);
    if (param->type == PARAM_TEXT)
        put(out, "max_bytes", json_integer(CHOICE_TEXT_MAX - 1), bad);
    if (param->type == PARAM_INT || param->type == PARAM_REAL) {
        put(out, "min", bound(param, param->min), bad);
        put(out, "max", bound(param, param->max), bad);
    }
}

static json_t *default_json(const Param *param)
{
    switch (param->type) {
    case PARAM_BOOL:
        return json_boolean(param->fallback != 0);
    case PARAM_ENUM:
        return json_string(param->choices[(int)param->fallback]);
    case PARAM_TEXT:
        return json_string(param->choices != NULL ? param->choices[(int)param->fallback] : "");
    default:
        return bound(param, param->fallback);
    }
}

static json_t *param_json(const Param *param, const json_t *given)
{
    json_t *out = json_object();
    bool bad = false;

    put(out, "name", json_string(param->name), &bad);
    put_param(out, param, &bad);
    put(out, "default", given != NULL ? json_incref((json_t *)given) : default_json(param), &bad);
    put(out, "help", json_string(param->help != NULL ? param->help : ""), &bad);
    return finish(out, bad);
}

/* `given`: the default choice of somebody who has one of his own; NULL: nobody. */
static json_t *options_json(Rows rows, const json_t *given)
{
    const char *name = json_string_value(json_object_get(given, "name"));
    json_t *out = json_array();
    bool bad = false;

    for (; *rows != NULL; rows++) {
        json_t *params = json_array(), *row;
        const json_t *mine = name != NULL && strcmp(name, (*rows)->name) == 0 ? given : NULL;

        for (uint32_t i = 0; i < (*rows)->count; i++) {
            const Param *param = &(*rows)->params[i];

            bad |= json_array_append_new(
                       params, param_json(param, json_object_get(mine, param->name))) != 0;
        }
        row = json_pack("{ssssso}", "name", (*rows)->name, "summary",
                        (*rows)->summary != NULL ? (*rows)->summary : "", "params", params);
        bad |= json_array_append_new(out, row) != 0;
    }
    return finish(out, bad);
}

static json_t *field_default(const Field *field, const json_t *given)
{
    if (given != NULL && field->type == FIELD_CHOICE)
        given = json_object_get(given, "name"); /* the rest is in its options */
    if (given != NULL)
        return json_incref((json_t *)given);
    switch (field->type) {
    case FIELD_SCALAR:
        return default_json(&field->param);
    case FIELD_STRING:
        return field->text != NULL             ? json_string(field->text)
               : field->flags & FIELD_NULLABLE ? json_null()
                                               : json_string("");
    case FIELD_CHOICE:
        if ((field->flags & FIELD_NULLABLE) != 0)
            return json_null();
        return json_string(field_rows(field)[field_default_choice(field).row]->name);
    case FIELD_EPOCH:
        return json_string("latest");
    case FIELD_CHOICES:
    case FIELD_LIST:
    case FIELD_TAGS:
    case FIELD_NUMBERS:
        return json_array();
    default:
        return json_null();
    }
}

static json_t *field_json(const Field *field, const json_t *given)
{
    json_t *out = json_object();
    bool bad = false, required = (field->flags & FIELD_REQUIRED) != 0;

    put(out, "name", json_string(field->param.name), &bad);
    if (field->type == FIELD_SCALAR || field->type == FIELD_UINT || field->type == FIELD_OPTIONAL)
        put_param(out, &field->param, &bad);
    else
        put(out, "type", json_string(type_names[field->type]), &bad);
    if (!required && field->type != FIELD_OBJECT)
        put(out, "default", field_default(field, given), &bad);
    put(out, "required", json_boolean(required), &bad);
    put(out, "nullable", json_boolean(field->flags & FIELD_NULLABLE), &bad);
    put(out, "help", json_string(field->param.help != NULL ? field->param.help : ""), &bad);
    if ((field->type == FIELD_STRING || field->type == FIELD_REFERENCE) &&
        field->param.choices != NULL)
        put(out, "choices", names_json(field->param.choices), &bad);
    if (field->type == FIELD_STRING)
        put(out, "max_bytes", json_integer((json_int_t)field->capacity - 1), &bad);
    if (field->type == FIELD_NUMBERS) {
        put(out, "min", bound(&field->param, field->param.min), &bad);
        put(out, "max", bound(&field->param, field->param.max), &bad);
    }
    if (field->type == FIELD_CHOICES || field->type == FIELD_LIST || field->type == FIELD_TAGS ||
        field->type == FIELD_NUMBERS)
        put(out, "max_items",
            json_integer(field->type == FIELD_TAGS ? TAGS_MAX : (json_int_t)field->capacity), &bad);
    if (field->type == FIELD_OBJECT || field->type == FIELD_LIST)
        put(out, "fields",
            fields_describe(field->fields, field->field_count,
                            field->type == FIELD_OBJECT ? given : NULL),
            &bad);
    if (field->type == FIELD_CHOICE || field->type == FIELD_CHOICES)
        put(out, "options", options_json(field_rows(field), given), &bad);
    return finish(out, bad);
}

json_t *fields_describe(const Field *fields, uint32_t count, const json_t *defaults)
{
    json_t *out = json_array();
    bool bad = false;

    for (uint32_t i = 0; i < count; i++)
        bad |=
            json_array_append_new(
                out, field_json(&fields[i], json_object_get(defaults, fields[i].param.name))) != 0;
    return finish(out, bad);
}
