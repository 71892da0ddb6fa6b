/*
 * Writing mirrors parsing: one function a field type. Jansson's *_set_new and *_append_new take the
 * value even on failure and refuse NULL, so that running out of memory anywhere shows as one failed
 * call.
 */
#include "server/codec/fields_private.h"

#include <string.h>

#include "server/codec/json.h"

static json_t *number_json(const Param *param, double value)
{
    switch (param->type) {
    case PARAM_BOOL:
        return json_boolean(value != 0);
    case PARAM_INT:
        return json_integer((json_int_t)value);
    case PARAM_REAL:
        return json_number(value);
    case PARAM_ENUM:
        return json_string(param->choices[(int)value]);
    case PARAM_TEXT: /* lies in its Choice */
        break;
    }
    return NULL;
}

static json_t *scalar_json(const Field *field, const void *source)
{
    const void *at = field_in(field, source);
    double value = 0;

    switch (field->store) {
    case STORE_BOOL:
        value = *(const bool *)at;
        break;
    case STORE_U32:
        value = *(const uint32_t *)at;
        break;
    case STORE_U64:
        value = (double)*(const uint64_t *)at;
        break;
    case STORE_DOUBLE:
        value = *(const double *)at;
        break;
    }
    return number_json(&field->param, value);
}

static json_t *uint_json(const Field *field, const void *source)
{
    const OptionalUint *at = field_in(field, source);

    return at->set ? json_integer((json_int_t)at->value) : json_null();
}

static json_t *optional_json(const Field *field, const void *source)
{
    const OptionalReal *at = field_in(field, source);

    return at->set ? number_json(&field->param, at->value) : json_null();
}

static json_t *string_json(const Field *field, const void *source)
{
    const char *at = field_in(field, source);

    return at[0] == '\0' && (field->flags & FIELD_NULLABLE) ? json_null() : json_string(at);
}

static json_t *object_json(const Field *field, const void *source)
{
    return fields_json(field->fields, field->field_count, field_in(field, source));
}

static json_t *one_choice_json(const Field *field, const Choice *choice)
{
    const Described *row = field_rows(field)[choice->row];
    json_t *out = json_object();
    bool bad = json_object_set_new(out, "name", json_string(row->name)) != 0;

    for (uint32_t i = 0; i < row->count; i++) {
        const Param *param = &row->params[i];

        bad |= json_object_set_new(out, param->name,
                                   param->type == PARAM_TEXT
                                       ? json_string(choice->text)
                                       : number_json(param, choice->value[i])) != 0;
    }
    if (bad) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static json_t *choice_json(const Field *field, const void *source)
{
    const Choice *at = field_in(field, source);

    return at->row == CHOICE_NONE ? json_null() : one_choice_json(field, at);
}

static json_t *choices_json(const Field *field, const void *source)
{
    const Choice *at = field_in(field, source);
    json_t *out = json_array();
    uint32_t count;
    bool bad = false;

    memcpy(&count, (const char *)source + field->count_offset, sizeof count);
    for (uint32_t i = 0; i < count; i++)
        bad |= json_array_append_new(out, one_choice_json(field, &at[i])) != 0;
    if (bad) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static json_t *list_json(const Field *field, const void *source)
{
    const char *at = field_in(field, source);
    json_t *out = json_array();
    uint32_t count;
    bool bad = false;

    memcpy(&count, (const char *)source + field->count_offset, sizeof count);
    for (uint32_t i = 0; i < count; i++)
        bad |= json_array_append_new(
                   out, fields_json(field->fields, field->field_count, at + i * field->size)) != 0;
    if (bad) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static json_t *epoch_json(const Field *field, const void *source)
{
    const CheckpointRef *at = field_in(field, source);

    if (at->which == CHECKPOINT_EPOCH)
        return json_integer((json_int_t)at->epoch);
    return json_string(at->which == CHECKPOINT_BEST ? "best" : "latest");
}

static json_t *checkpoint_json(const Field *field, const void *source)
{
    const CheckpointRef *at = field_in(field, source);

    if (at->job == 0)
        return json_null();
    return json_pack("{sIso}", "job", (json_int_t)at->job, "epoch", epoch_json(field, source));
}

static json_t *reference_json(const Field *field, const void *source)
{
    const TextRef *at = field_in(field, source);

    if (at->id != 0)
        return json_integer((json_int_t)at->id);
    return at->text[0] == '\0' ? json_null() : json_string(at->text);
}

static json_t *tags_json(const Field *field, const void *source)
{
    const Tags *at = field_in(field, source);
    json_t *out = json_array();
    bool bad = false;

    for (uint32_t i = 0; i < at->count; i++)
        bad |= json_array_append_new(out, json_string(at->tag[i])) != 0;
    if (bad) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static json_t *numbers_json(const Field *field, const void *source)
{
    const double *at = field_in(field, source);
    bool whole = field->param.type == PARAM_INT, bad = false;
    json_t *out = json_array();
    uint32_t count;

    memcpy(&count, (const char *)source + field->count_offset, sizeof count);
    for (uint32_t i = 0; i < count; i++)
        bad |= json_array_append_new(out, whole ? json_integer((json_int_t)at[i])
                                                : json_number(at[i])) != 0;
    if (bad) {
        json_decref(out);
        return NULL;
    }
    return out;
}

typedef json_t *(*FieldJson)(const Field *field, const void *source);

static const FieldJson writers[] = {
    [FIELD_SCALAR] = scalar_json,     [FIELD_UINT] = uint_json,
    [FIELD_OPTIONAL] = optional_json, [FIELD_STRING] = string_json,
    [FIELD_OBJECT] = object_json,     [FIELD_CHOICE] = choice_json,
    [FIELD_CHOICES] = choices_json,   [FIELD_CHECKPOINT] = checkpoint_json,
    [FIELD_EPOCH] = epoch_json,       [FIELD_REFERENCE] = reference_json,
    [FIELD_TAGS] = tags_json,         [FIELD_LIST] = list_json,
    [FIELD_NUMBERS] = numbers_json,
};

json_t *fields_json(const Field *fields, uint32_t count, const void *source)
{
    json_t *out = json_object();
    bool bad = out == NULL;

    for (uint32_t i = 0; i < count; i++)
        bad |= json_object_set_new(out, fields[i].param.name,
                                   writers[fields[i].type](&fields[i], source)) != 0;
    if (bad) {
        json_decref(out);
        return NULL;
    }
    return out;
}
