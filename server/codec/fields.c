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

#include "server/codec/architecture.h"

enum { LIST_BYTES = ERROR_MESSAGE_MAX - 26 }; /* what is left after its first words */

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

static void parse_optional(Parse *parse, const Field *field, const json_t *json, const char *at,
                           void *target)
{
    OptionalReal out = { 0 };

    if (json != NULL && parse_number(parse, &field->param, json, at, &out.value))
        out.set = true;
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

/* A text that may be one of `names`, where there are any: some of those may come as JSON, too. */
static bool parse_words(Parse *parse, const char *const *names, const json_t *json, const char *at,
                        size_t capacity, char *ret)
{
    TextReader read = names == NULL ? NULL : text_reader(names);
    char text[CHOICE_TEXT_MAX];
    Error why = { 0 };

    if (read == NULL)
        return parse_text(parse, json, at, capacity, ret);
    if (json_is_string(json) &&
        !parse_text(parse, json, at, capacity < sizeof text ? capacity : sizeof text, text))
        return false;
    if (read(json, text, &why) == STATUS_OK && strlen(text) >= capacity)
        (void)error_add(&why, STATUS_INVALID, "", "comes to more than %zu bytes", capacity - 1);
    for (uint32_t i = 0; i < why.details; i++) {
        Pointer there;

        snprintf(there.text, sizeof there.text, "%.60s%.60s", at, why.detail[i].pointer);
        bad_field(parse, there.text, "%s", why.detail[i].message);
    }
    if (why.status == STATUS_OK)
        snprintf(ret, capacity, "%s", text);
    return why.status == STATUS_OK;
}

static void parse_string(Parse *parse, const Field *field, const json_t *json, const char *at,
                         void *target)
{
    char *out = field_at(field, target);

    memset(out, 0, field->capacity);
    if (field->text != NULL)
        snprintf(out, field->capacity, "%s", field->text);
    if (json != NULL && parse_words(parse, field->param.choices, json, at, field->capacity, out) &&
        out[0] == '\0' && (field->flags & (FIELD_REQUIRED | FIELD_NULLABLE)))
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

/* Whether "betas" means the parameters "beta1", "beta2", ...: how many there are, from *ret_first
 * on. */
static size_t numbered_params(const Described *row, const char *key, uint32_t *ret_first)
{
    const size_t length = strlen(key);
    size_t count = 0;
    char name[64];
    int i;

    if (length < 2 || key[length - 1] != 's' || length + 8 > sizeof name)
        return 0;
    do {
        snprintf(name, sizeof name, "%.*s%zu", (int)length - 1, key, count + 1);
        i = param_find(row, name);
        if (i >= 0 && count == 0)
            *ret_first = (uint32_t)i;
        count += i >= 0;
    } while (i >= 0);
    return count;
}

/* "betas": [0.5, 0.999], another way to say "beta1": 0.5, "beta2": 0.999. */
static void parse_numbered(Parse *parse, const Described *row, uint32_t first, size_t count,
                           const json_t *list, const char *at, double *values)
{
    if (json_array_size(list) != count) {
        bad_field(parse, at, "must be a list of %zu numbers", count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        (void)parse_number(parse, &row->params[first + i], json_array_get(list, i),
                           pointer_at(at, i).text, &values[first + i]);
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
        uint32_t first = 0;
        size_t numbered = i < 0 ? numbered_params(row, key, &first) : 0;

        if (i >= 0 && row->params[i].type == PARAM_TEXT)
            (void)parse_words(parse, row->params[i].choices, value, there.text, sizeof ret->text,
                              ret->text);
        else if (i >= 0)
            (void)parse_number(parse, &row->params[i], value, there.text, &ret->value[i]);
        else if (numbered > 0)
            parse_numbered(parse, row, first, numbered, value, there.text, ret->value);
        else if (strcmp(key, "name") != 0)
            bad_field(parse, there.text, "unknown key; %s knows: %s", row->name, known.text);
    }
}

static void parse_choice(Parse *parse, const Field *field, const json_t *json, const char *at,
                         void *target)
{
    Choice out = field_default_choice(field);

    if (json == NULL && (field->flags & FIELD_NULLABLE) != 0)
        out.row = CHOICE_NONE;
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

static const Param id_param = {
    .name = "id", .type = PARAM_INT, .min = 1, .max = 9007199254740991.0
};

static void parse_which(Parse *parse, const json_t *json, const char *at, CheckpointRef *ret)
{
    static const Param number = {
        .name = "epoch", .type = PARAM_INT, .min = 1, .max = 4294967295.0
    };
    const char *text = json_string_value(json);
    double x = 0;

    ret->which = CHECKPOINT_LATEST;
    ret->epoch = 0;
    if (text != NULL && strcmp(text, "best") == 0) {
        ret->which = CHECKPOINT_BEST;
    } else if (json_is_number(json)) {
        ret->which = CHECKPOINT_EPOCH;
        if (parse_number(parse, &number, json, at, &x))
            ret->epoch = (uint32_t)x;
    } else if (json != NULL && (text == NULL || strcmp(text, "latest") != 0)) {
        bad_field(parse, at, "must be \"latest\", \"best\" or an epoch's number");
    }
}

static void parse_epoch(Parse *parse, const Field *field, const json_t *json, const char *at,
                        void *target)
{
    CheckpointRef *out = field_at(field, target);

    parse_which(parse, json, at, out);
}

static void parse_checkpoint(Parse *parse, const Field *field, const json_t *json, const char *at,
                             void *target)
{
    CheckpointRef *out = field_at(field, target);
    const json_t *job = json_object_get(json, "job");
    const char *key;
    json_t *value;
    double x = 0;

    *out = (CheckpointRef){ 0 };
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
    if (job == NULL)
        bad_field(parse, pointer_to(at, "job").text, "is required");
    else if (parse_number(parse, &id_param, job, pointer_to(at, "job").text, &x))
        out->job = (uint64_t)x;
    parse_which(parse, json_object_get(json, "epoch"), pointer_to(at, "epoch").text, out);
}

static void parse_reference(Parse *parse, const Field *field, const json_t *json, const char *at,
                            void *target)
{
    TextRef *out = field_at(field, target);
    double x = 0;

    memset(out, 0, sizeof *out);
    if (json_is_number(json)) {
        if (parse_number(parse, &id_param, json, at, &x))
            out->id = (uint64_t)x;
    } else if (json != NULL &&
               parse_words(parse, field->param.choices, json, at, sizeof out->text, out->text) &&
               out->text[0] == '\0') {
        bad_field(parse, at, "must not be empty");
    }
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

static void parse_numbers(Parse *parse, const Field *field, const json_t *json, const char *at,
                          void *target)
{
    double *out = field_at(field, target);
    uint32_t count = list_length(parse, field, json, at);

    memset(out, 0, field->capacity * sizeof *out);
    for (uint32_t i = 0; i < count; i++)
        (void)parse_number(parse, &field->param, json_array_get(json, i), pointer_at(at, i).text,
                           &out[i]);
    memcpy((char *)target + field->count_offset, &count, sizeof count);
}

typedef void (*ParseField)(Parse *parse, const Field *field, const json_t *json, const char *at,
                           void *target);

/* Each writes the field's default where `json` is NULL. */
static const ParseField parsers[] = {
    [FIELD_SCALAR] = parse_scalar,     [FIELD_UINT] = parse_uint,
    [FIELD_OPTIONAL] = parse_optional, [FIELD_STRING] = parse_string,
    [FIELD_OBJECT] = parse_nested,     [FIELD_CHOICE] = parse_choice,
    [FIELD_CHOICES] = parse_choices,   [FIELD_CHECKPOINT] = parse_checkpoint,
    [FIELD_EPOCH] = parse_epoch,       [FIELD_REFERENCE] = parse_reference,
    [FIELD_TAGS] = parse_tags,         [FIELD_LIST] = parse_list,
    [FIELD_NUMBERS] = parse_numbers,
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
