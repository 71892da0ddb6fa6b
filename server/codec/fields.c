/*
 * Parsing walks the table, not the object: each field takes its key or its default; then the
 * object's keys are looked at once more for those that no field has. One function a field type,
 * found by a table. Nothing stops at the first problem: every problem is added to the Error under
 * its own pointer.
 */
#include "server/codec/fields_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LIST_BYTES = 230 }; /* what an error message has room for after its first words */

/* Where the parser stands, and whether anything was wrong so far (err may be NULL). */
typedef struct Parse {
    Error *err;
    bool bad;
} Parse;

typedef struct Pointer {
    char text[ERROR_POINTER_MAX];
} Pointer;

/* prefix + "/" + key, escaped as RFC 6901 says. */
static Pointer pointer_to(const char *prefix, const char *key)
{
    Pointer p;
    size_t used = (size_t)snprintf(p.text, sizeof p.text, "%s/", prefix);

    for (; *key != '\0' && used + 2 < sizeof p.text; key++) {
        if (*key == '~' || *key == '/') {
            p.text[used++] = '~';
            p.text[used++] = *key == '~' ? '0' : '1';
        } else {
            p.text[used++] = *key;
        }
    }
    if (used < sizeof p.text)
        p.text[used] = '\0';
    return p;
}

static Pointer pointer_at(const char *prefix, size_t index)
{
    char text[24];

    snprintf(text, sizeof text, "%zu", index);
    return pointer_to(prefix, text);
}

#define bad_field(parse, at, ...)                                       \
    do {                                                                \
        (void)error_add((parse)->err, STATUS_INVALID, at, __VA_ARGS__); \
        (parse)->bad = true;                                            \
    } while (0)

/* "a, b, c", cut where it gets long. */
typedef struct List {
    char text[LIST_BYTES];
    size_t used;
} List;

static void list_add(List *list, const char *name)
{
    int wrote;

    if (list->used + 1 >= sizeof list->text)
        return;
    wrote = snprintf(list->text + list->used, sizeof list->text - list->used, "%s%s",
                     list->used > 0 ? ", " : "", name);
    list->used += (size_t)wrote;
}

static List list_choices(const char *const *names)
{
    List list = { 0 };

    for (; *names != NULL; names++)
        list_add(&list, *names);
    return list;
}

static List list_rows(Rows rows)
{
    List list = { 0 };

    for (; *rows != NULL; rows++)
        list_add(&list, (*rows)->name);
    return list;
}

static bool printable(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

/* One value of a Param. */
static bool parse_number(Parse *parse, const Param *param, const json_t *json, const char *at,
                         double *ret)
{
    Error why = { 0 };
    double value;

    if (param->type == PARAM_ENUM) {
        int index = json_is_string(json) ? param_choice(param, json_string_value(json)) : -1;

        if (index < 0)
            bad_field(parse, at, "must be one of: %s", list_choices(param->choices).text);
        else
            *ret = index;
        return index >= 0;
    }
    if (param->type == PARAM_BOOL) {
        if (!json_is_boolean(json))
            bad_field(parse, at, "must be true or false");
        else
            *ret = json_is_true(json);
        return json_is_boolean(json);
    }
    /* What is no number fails every range check, whose message says what is allowed. */
    value = json_is_number(json) ? json_number_value(json) : (double)NAN;
    if (param_check(param, value, &why) != STATUS_OK) {
        bad_field(parse, at, "%s", error_message(&why));
        return false;
    }
    *ret = value;
    return true;
}

static void store_scalar(const Field *field, void *target, double value)
{
    switch (field->store) {
    case STORE_BOOL:
        *(bool *)field_at(field, target) = value != 0;
        break;
    case STORE_U32:
        *(uint32_t *)field_at(field, target) = (uint32_t)value;
        break;
    case STORE_U64:
        *(uint64_t *)field_at(field, target) = (uint64_t)value;
        break;
    case STORE_DOUBLE:
        *(double *)field_at(field, target) = value;
        break;
    }
}

static void parse_scalar(Parse *parse, const Field *field, const json_t *json, const char *at,
                         void *target)
{
    double value = field->param.fallback;

    if (json != NULL)
        (void)parse_number(parse, &field->param, json, at, &value);
    store_scalar(field, target, value);
}

static void parse_uint(Parse *parse, const Field *field, const json_t *json, const char *at,
                       void *target)
{
    OptionalUint out = { 0 };
    double value = 0;

    if (json != NULL && parse_number(parse, &field->param, json, at, &value))
        out = (OptionalUint){ .set = true, .value = (uint64_t)value };
    memcpy(field_at(field, target), &out, sizeof out);
}

/* False where it is not a string that fits `capacity` bytes with its NUL. */
static bool parse_text(Parse *parse, const json_t *json, const char *at, size_t capacity, char *ret)
{
    if (!json_is_string(json))
        bad_field(parse, at, "must be a string");
    else if (json_string_length(json) >= capacity)
        bad_field(parse, at, "must have at most %zu bytes", capacity - 1);
    else if (!printable(json_string_value(json)))
        bad_field(parse, at, "must not contain control characters");
    else {
        memcpy(ret, json_string_value(json), json_string_length(json) + 1);
        return true;
    }
    return false;
}

static void parse_string(Parse *parse, const Field *field, const json_t *json, const char *at,
                         void *target)
{
    char *out = field_at(field, target);

    memset(out, 0, field->capacity);
    if (field->text != NULL)
        snprintf(out, field->capacity, "%s", field->text);
    if (json != NULL && parse_text(parse, json, at, field->capacity, out) && out[0] == '\0' &&
        (field->flags & (FIELD_REQUIRED | FIELD_NULLABLE)))
        bad_field(parse, at, "must not be empty");
}

static void parse_object(Parse *parse, const Field *fields, uint32_t count, const json_t *object,
                         const char *prefix, void *target);

static void parse_nested(Parse *parse, const Field *field, const json_t *json, const char *at,
                         void *target)
{
    parse_object(parse, field->fields, field->field_count, json, at, field_at(field, target));
}

Choice field_default_choice(const Field *field)
{
    int row = field->text != NULL ? table_find(field->table, field->text) : 0;
    Choice out = { 0 };

    if (field_rows(field)[0] != NULL)
        choice_init(field->table, row > 0 ? (uint32_t)row : 0, &out);
    return out;
}

/* Finds the row an object names; false (with the problem recorded) where there is none. */
static bool choice_row(Parse *parse, const Field *field, const json_t *json, const char *at,
                       uint32_t *ret)
{
    const json_t *name = json_object_get(json, "name");
    Rows rows = field_rows(field);

    if (!json_is_object(json)) {
        bad_field(parse, at, "must be an object with \"name\", one of: %s", list_rows(rows).text);
        return false;
    }
    if (name == NULL && field->type == FIELD_CHOICE && field->text != NULL)
        return true; /* the default row, with other parameters */
    for (uint32_t i = 0; json_is_string(name) && rows[i] != NULL; i++) {
        if (strcmp(rows[i]->name, json_string_value(name)) == 0) {
            *ret = i;
            return true;
        }
    }
    bad_field(parse, pointer_to(at, "name").text, "must be one of: %s", list_rows(rows).text);
    return false;
}

static void parse_one_choice(Parse *parse, const Field *field, const json_t *json, const char *at,
                             Choice *ret)
{
    const Described *row;
    List known = { 0 };
    const char *key;
    json_t *value;

    if (!choice_row(parse, field, json, at, &ret->row))
        return;
    row = field_rows(field)[ret->row];
    choice_init(field->table, ret->row, ret);
    list_add(&known, "name");
    for (uint32_t i = 0; i < row->count; i++)
        list_add(&known, row->params[i].name);
    json_object_foreach((json_t *)json, key, value)
    {
        int i = param_find(row, key);
        Pointer there = pointer_to(at, key);

        if (i >= 0 && row->params[i].type == PARAM_TEXT)
            (void)parse_text(parse, value, there.text, sizeof ret->text, ret->text);
        else if (i >= 0)
            (void)parse_number(parse, &row->params[i], value, there.text, &ret->value[i]);
        else if (strcmp(key, "name") != 0)
            bad_field(parse, there.text, "unknown key; %s knows: %s", row->name, known.text);
    }
}

static void parse_choice(Parse *parse, const Field *field, const json_t *json, const char *at,
                         void *target)
{
    Choice out = field_default_choice(field);

    if (json != NULL)
        parse_one_choice(parse, field, json, at, &out);
    memcpy(field_at(field, target), &out, sizeof out);
}

/* The list itself: its length, 0 where it is none or too long. */
static uint32_t list_length(Parse *parse, const Field *field, const json_t *json, const char *at)
{
    size_t given = json_array_size(json);

    if (json != NULL && !json_is_array(json))
        bad_field(parse, at, "must be a list");
    else if (given > field->capacity)
        bad_field(parse, at, "must have at most %zu items", field->capacity);
    else
        return (uint32_t)given;
    return 0;
}

static void parse_choices(Parse *parse, const Field *field, const json_t *json, const char *at,
                          void *target)
{
    Choice *out = field_at(field, target);
    uint32_t count = list_length(parse, field, json, at);

    memset(out, 0, field->capacity * sizeof *out);
    for (uint32_t i = 0; i < count; i++)
        parse_one_choice(parse, field, json_array_get(json, i), pointer_at(at, i).text, &out[i]);
    memcpy((char *)target + field->count_offset, &count, sizeof count);
}

static void parse_list(Parse *parse, const Field *field, const json_t *json, const char *at,
                       void *target)
{
    char *out = field_at(field, target);
    uint32_t count = list_length(parse, field, json, at);

    memset(out, 0, field->capacity * field->size);
    for (uint32_t i = 0; i < count; i++)
        parse_object(parse, field->fields, field->field_count, json_array_get(json, i),
                     pointer_at(at, i).text, out + i * field->size);
    memcpy((char *)target + field->count_offset, &count, sizeof count);
}

static void parse_checkpoint(Parse *parse, const Field *field, const json_t *json, const char *at,
                             void *target)
{
    static const Param job = {
        .name = "job", .type = PARAM_INT, .min = 1, .max = 9007199254740991.0
    };
    static const Param number = {
        .name = "epoch", .type = PARAM_INT, .min = 1, .max = 4294967295.0
    };
    const json_t *epoch = json_object_get(json, "epoch");
    CheckpointRef out = { 0 };
    const char *key;
    json_t *value;
    double x = 0;

    memcpy(field_at(field, target), &out, sizeof out);
    if (json == NULL)
        return;
    if (!json_is_object(json)) {
        bad_field(parse, at,
                  "must be an object {\"job\": id, \"epoch\": \"latest\", \"best\" or a number}");
        return;
    }
    json_object_foreach((json_t *)json, key,
                        value) if (strcmp(key, "job") != 0 && strcmp(key, "epoch") != 0)
        bad_field(parse, pointer_to(at, key).text, "unknown key; known are: job, epoch");
    value = json_object_get(json, "job");
    if (value == NULL)
        bad_field(parse, pointer_to(at, "job").text, "is required");
    else if (parse_number(parse, &job, value, pointer_to(at, "job").text, &x))
        out.job = (uint64_t)x;
    if (json_is_string(epoch) && strcmp(json_string_value(epoch), "best") == 0)
        out.which = CHECKPOINT_BEST;
    else if (json_is_number(epoch)) {
        out.which = CHECKPOINT_EPOCH;
        if (parse_number(parse, &number, epoch, pointer_to(at, "epoch").text, &x))
            out.epoch = (uint32_t)x;
    } else if (epoch != NULL &&
               !(json_is_string(epoch) && strcmp(json_string_value(epoch), "latest") == 0))
        bad_field(parse, pointer_to(at, "epoch").text,
                  "must be \"latest\", \"best\" or an epoch's number");
    memcpy(field_at(field, target), &out, sizeof out);
}

static void parse_tags(Parse *parse, const Field *field, const json_t *json, const char *at,
                       void *target)
{
    Tags *out = field_at(field, target);

    memset(out, 0, sizeof *out);
    if (json == NULL)
        return;
    if (!json_is_array(json))
        bad_field(parse, at, "must be a list of strings");
    else if (json_array_size(json) > TAGS_MAX)
        bad_field(parse, at, "must have at most %d items", TAGS_MAX);
    else
        for (size_t i = 0; i < json_array_size(json); i++)
            if (parse_text(parse, json_array_get(json, i), pointer_at(at, i).text, TAG_BYTES,
                           out->tag[out->count]))
                out->count++;
}

typedef void (*ParseField)(Parse *parse, const Field *field, const json_t *json, const char *at,
                           void *target);

/* Each writes the field's default where `json` is NULL. */
static const ParseField parsers[] = {
    [FIELD_SCALAR] = parse_scalar,
    [FIELD_UINT] = parse_uint,
    [FIELD_STRING] = parse_string,
    [FIELD_OBJECT] = parse_nested,
    [FIELD_CHOICE] = parse_choice,
    [FIELD_CHOICES] = parse_choices,
    [FIELD_CHECKPOINT] = parse_checkpoint,
    [FIELD_TAGS] = parse_tags,
    [FIELD_LIST] = parse_list,
};

static void refuse_unknown(Parse *parse, const Field *fields, uint32_t count, const json_t *object,
                           const char *prefix)
{
    List known = { 0 };
    const char *key;
    json_t *value;

    for (uint32_t i = 0; i < count; i++)
        list_add(&known, fields[i].param.name);
    json_object_foreach((json_t *)object, key, value)
    {
        uint32_t i = 0;

        while (i < count && strcmp(fields[i].param.name, key) != 0)
            i++;
        if (i == count)
            bad_field(parse, pointer_to(prefix, key).text, "unknown key; known are: %s",
                      known.text);
    }
}

static void parse_object(Parse *parse, const Field *fields, uint32_t count, const json_t *object,
                         const char *prefix, void *target)
{
    bool odd = object != NULL && !json_is_object(object); /* said once, not for each field */

    if (odd) {
        bad_field(parse, prefix, "must be an object");
        object = NULL;
    } else if (object != NULL) {
        refuse_unknown(parse, fields, count, object, prefix);
    }
    for (uint32_t i = 0; i < count; i++) {
        const Field *field = &fields[i];
        const json_t *json = json_object_get(object, field->param.name);
        Pointer at = pointer_to(prefix, field->param.name);

        if (json_is_null(json) && (field->flags & FIELD_NULLABLE))
            json = NULL;
        if (json == NULL && (field->flags & FIELD_REQUIRED) && !odd)
            bad_field(parse, at.text, "is required");
        parsers[field->type](parse, field, json, at.text, target);
    }
}

Status fields_parse(const Field *fields, uint32_t count, const json_t *object, void *target,
                    Error *err)
{
    Parse parse = { .err = err };

    parse_object(&parse, fields, count, object, "", target);
    return parse.bad ? STATUS_INVALID : STATUS_OK;
}
