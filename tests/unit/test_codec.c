/* codec: field tables both ways, hostile JSON, numbers JSON has no word for, PNG and NumPy files.
 */
#include "tests/unit/test.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/codec/fields.h"
#include "server/codec/json.h"
#include "server/codec/limits.h"
#include "server/codec/npy.h"
#include "server/codec/png.h"

static const char *const colours[] = { "red", "green", NULL };
static const Param crop_params[] = { { "padding", PARAM_INT, 4, 0, 16, NULL, "pixels" } };
static const Param flip_params[] = {
    { "probability", PARAM_REAL, 0.5, 0, 1, NULL, "how often" },
    { "colour", PARAM_ENUM, 1, 0, 0, colours, "" },
    { "vertical", PARAM_BOOL, 0, 0, 1, NULL, "" },
};
static const char *const known_plans[] = { "short", "long", NULL };
static const Param grow_params[] = {
    { "plan", PARAM_TEXT, 1, 0, 0, known_plans, "a known name or a text of one's own" },
    { "depth", PARAM_INT, 2, 1, 9, NULL, "" },
};
static const Param note_params[] = { { "text", PARAM_TEXT, 0, 0, 0, NULL, "anything" } };

typedef struct Row {
    Described described;
    int more;
} Row;

static const Row crop = { { "crop", "cuts", crop_params, 1 }, 1 },
                 flip = { { "flip", "mirrors", flip_params, 3 }, 2 },
                 grow = { { "grow", "grows", grow_params, 2 }, 3 },
                 note = { { "note", "says", note_params, 1 }, 4 };
static const Row *const rows[] = { &crop, &flip, &grow, &note, NULL };

typedef struct Inner {
    double rate;
    bool on;
} Inner;

typedef struct Group {
    char match[8];
    double scale;
    OptionalUint epochs;
} Group;

typedef struct Outer {
    char dataset[16], note[8];
    uint32_t size, colour;
    uint64_t seed;
    OptionalUint threads;
    Inner inner;
    Choice choice, list[2];
    uint32_t lists;
    CheckpointRef checkpoint;
    Tags tags;
    Group group[3];
    uint32_t groups;
    double sizes[3], years[2];
    uint32_t size_count, year_count;
} Outer;

static const Field inner_fields[] = {
    FIELD_REAL_ROW(Inner, rate, "rate", 0.1, 0, 10, "a rate"),
    FIELD_BOOL_ROW(Inner, on, "on", 1, "a switch"),
};
static const Field group_fields[] = {
    FIELD_STRING_ROW(Group, match, "match", FIELD_REQUIRED, NULL, ""),
    FIELD_REAL_ROW(Group, scale, "scale", 1, 0, 100, ""),
    FIELD_UINT_ROW(Group, epochs, "epochs", 0, 100, ""),
};
static const Field fields[] = {
    FIELD_STRING_ROW(Outer, dataset, "dataset", FIELD_REQUIRED, NULL, "a name"),
    FIELD_STRING_ROW(Outer, note, "note", FIELD_NULLABLE, NULL, ""),
    FIELD_U32_ROW(Outer, size, "size", 128, 1, 1024, "images"),
    FIELD_ENUM_ROW(Outer, colour, "colour", 0, colours, ""),
    FIELD_U64_ROW(Outer, seed, "seed", 0, 0, 9007199254740991.0, ""),
    FIELD_UINT_ROW(Outer, threads, "threads", 1, 64, ""),
    FIELD_OBJECT_ROW(Outer, inner, "inner", inner_fields, ""),
    FIELD_CHOICE_ROW(Outer, choice, "choice", rows, "flip", ""),
    FIELD_CHOICES_ROW(Outer, list, lists, "list", rows, ""),
    FIELD_CHECKPOINT_ROW(Outer, checkpoint, "checkpoint", FIELD_NULLABLE, ""),
    FIELD_TAGS_ROW(Outer, tags, "tags", ""),
    FIELD_LIST_ROW(Outer, group, groups, "groups", group_fields, ""),
    FIELD_NUMBERS_ROW(Outer, sizes, size_count, "sizes", PARAM_REAL, 0, 10, ""),
    FIELD_NUMBERS_ROW(Outer, years, year_count, "years", PARAM_INT, 1, 3000, ""),
};
enum { FIELDS = sizeof fields / sizeof fields[0] };

static Status parse(const char *text, Outer *out, Error *err)
{
    json_t *json = NULL;
    Status s = json_read(text, strlen(text), &json, err);

    if (s == STATUS_OK)
        s = fields_parse(fields, FIELDS, json, out, err);
    json_decref(json);
    return s;
}

/* One bad field: its pointer, and a word of its message. */
static void refuses(const char *text, const char *pointer, const char *word)
{
    Error err = { 0 };
    Outer out;

    assert_int_equal(parse(text, &out, &err), STATUS_INVALID);
    assert_int_equal(err.details, 1);
    assert_string_equal(err.detail[0].pointer, pointer);
    if (strstr(err.detail[0].message, word) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.detail[0].message, word);
}

static void what_is_absent_gets_its_default(void **state)
{
    Outer out;

    (void)state;
    memset(&out, 0xa5, sizeof out);
    assert_int_equal(parse("{\"dataset\":\"shapes\"}", &out, NULL), STATUS_OK);
    assert_string_equal(out.dataset, "shapes");
    assert_string_equal(out.note, "");
    assert_int_equal(out.size, 128);
    assert_int_equal(out.seed, 0);
    assert_false(out.threads.set);
    assert_true(out.inner.on);
    assert_true(out.inner.rate == 0.1);
    assert_int_equal(out.choice.row, 1);
    assert_true(out.choice.value[0] == 0.5 && out.choice.value[1] == 1);
    assert_int_equal(out.lists, 0);
    assert_int_equal(out.checkpoint.job, 0);
    assert_int_equal(out.tags.count, 0);
    assert_int_equal(out.groups, 0);
    assert_int_equal(out.size_count + out.year_count, 0);
    assert_int_equal(parse("{\"dataset\":\"d\",\"choice\":{\"name\":\"grow\"},\"list\":[{\"name\":"
                           "\"note\"}],\"groups\":[{\"match\":\"a\"}]}",
                           &out, NULL),
                     STATUS_OK);
    assert_string_equal(out.choice.text, "long");
    assert_true(out.choice.value[1] == 2);
    assert_string_equal(out.list[0].text, "");
    assert_int_equal(out.groups, 1);
    assert_true(out.group[0].scale == 1 && !out.group[0].epochs.set);
}

static void everything_given_comes_back_as_json(void **state)
{
    const char *text =
        "{\"dataset\":\"d\",\"note\":\"n\",\"size\":3,\"colour\":\"green\",\"seed\":"
        "9007199254740991,"
        "\"threads\":2,\"inner\":{\"rate\":0.02,\"on\":false},\"choice\":{\"name\":\"crop\","
        "\"padding\":2},"
        "\"list\":[{\"name\":\"flip\",\"probability\":1.0,\"colour\":\"red\",\"vertical\":true}],"
        "\"checkpoint\":{\"job\":7,\"epoch\":\"best\"},\"tags\":[\"a\",\"b\"],"
        "\"groups\":[{\"match\":\"*.bias\",\"scale\":64.0,\"epochs\":3},{\"match\":\"fc\","
        "\"scale\":0.5,"
        "\"epochs\":null}],\"sizes\":[0.5,10.0],\"years\":[1999]}";
    json_t *written, *sent = json_loads(text, 0, NULL);
    Outer out;

    (void)state;
    assert_int_equal(parse(text, &out, NULL), STATUS_OK);
    written = fields_json(fields, FIELDS, &out);
    assert_true(json_equal(written, sent));
    json_decref(written);
    json_decref(sent);
    assert_int_equal(
        parse("{\"dataset\":\"d\",\"checkpoint\":{\"job\":1,\"epoch\":12}}", &out, NULL),
        STATUS_OK);
    assert_int_equal(out.checkpoint.which, CHECKPOINT_EPOCH);
    assert_int_equal(out.checkpoint.epoch, 12);
}

static void each_bad_field_is_named(void **state)
{
    (void)state;
    refuses("{}", "/dataset", "required");
    refuses("{\"dataset\":\"\"}", "/dataset", "empty");
    refuses("{\"dataset\":7}", "/dataset", "string");
    refuses("{\"dataset\":\"a\\u0007b\"}", "/dataset", "control");
    refuses("{\"dataset\":\"0123456789abcdef\"}", "/dataset", "at most 15");
    refuses("{\"dataset\":\"d\",\"size\":0}", "/size", "1 to 1024");
    refuses("{\"dataset\":\"d\",\"size\":2.5}", "/size", "integer");
    refuses("{\"dataset\":\"d\",\"size\":\"2\"}", "/size", "integer");
    refuses("{\"dataset\":\"d\",\"size\":null}", "/size", "integer");
    refuses("{\"dataset\":\"d\",\"size\":1e300}", "/size", "integer");
    refuses("{\"dataset\":\"d\",\"seed\":9007199254740992}", "/seed", "9007199254740991");
    refuses("{\"dataset\":\"d\",\"seed\":-1}", "/seed", "from 0");
    refuses("{\"dataset\":\"d\",\"colour\":\"blue\"}", "/colour", "red, green");
    refuses("{\"dataset\":\"d\",\"threads\":65}", "/threads", "64");
    refuses("{\"dataset\":\"d\",\"inner\":[]}", "/inner", "object");
    refuses("{\"dataset\":\"d\",\"inner\":{\"on\":1}}", "/inner/on", "true or false");
    refuses("{\"dataset\":\"d\",\"inner\":{\"a/b~c\":1}}", "/inner/a~1b~0c", "unknown");
    refuses("{\"dataset\":\"d\",\"choice\":{\"name\":\"spin\"}}", "/choice/name", "crop, flip");
    refuses("{\"dataset\":\"d\",\"choice\":{\"name\":\"grow\",\"plan\":3}}", "/choice/plan",
            "string");
    refuses("{\"dataset\":\"d\",\"choice\":{\"name\":\"grow\",\"plan\":\"a\\nb\"}}", "/choice/plan",
            "control");
    refuses("{\"dataset\":\"d\",\"list\":[{\"name\":\"note\",\"words\":\"x\"}]}", "/list/0/words",
            "text");
    refuses("{\"dataset\":\"d\",\"groups\":{}}", "/groups", "list");
    refuses("{\"dataset\":\"d\",\"groups\":[1]}", "/groups/0", "object");
    refuses("{\"dataset\":\"d\",\"groups\":[{\"match\":\"a\"},{\"scale\":1}]}", "/groups/1/match",
            "required");
    refuses("{\"dataset\":\"d\",\"groups\":[{\"match\":\"a\",\"scale\":101}]}", "/groups/0/scale",
            "100");
    refuses("{\"dataset\":\"d\",\"groups\":[{\"match\":\"a\",\"what\":1}]}", "/groups/0/what",
            "match, scale, epochs");
    refuses("{\"dataset\":\"d\",\"groups\":[{},{},{},{}]}", "/groups", "at most 3");
    refuses("{\"dataset\":\"d\",\"choice\":{\"name\":\"crop\",\"colour\":\"red\"}}",
            "/choice/colour", "padding");
    refuses("{\"dataset\":\"d\",\"list\":{\"name\":\"crop\"}}", "/list", "list");
    refuses("{\"dataset\":\"d\",\"list\":[{\"padding\":1}]}", "/list/0/name", "crop");
    refuses("{\"dataset\":\"d\",\"list\":[{\"name\":\"crop\"},{\"name\":\"crop\",\"padding\":17}]}",
            "/list/1/padding", "16");
    refuses("{\"dataset\":\"d\",\"list\":[1,2,3]}", "/list", "at most 2");
    refuses("{\"dataset\":\"d\",\"checkpoint\":{\"epoch\":\"best\"}}", "/checkpoint/job",
            "required");
    refuses("{\"dataset\":\"d\",\"checkpoint\":{\"job\":1,\"epoch\":\"worst\"}}",
            "/checkpoint/epoch", "latest");
    refuses("{\"dataset\":\"d\",\"tags\":[\"a\",3]}", "/tags/1", "string");
    refuses("{\"dataset\":\"d\",\"sizes\":0.5}", "/sizes", "list");
    refuses("{\"dataset\":\"d\",\"sizes\":[1,-0.5]}", "/sizes/1", "from 0 to 10");
    refuses("{\"dataset\":\"d\",\"sizes\":[\"1\"]}", "/sizes/0", "number");
    refuses("{\"dataset\":\"d\",\"sizes\":[1,2,3,4]}", "/sizes", "at most 3");
    refuses("{\"dataset\":\"d\",\"years\":[0.5]}", "/years/0", "integer");
}

static Status parse_note(size_t length, Outer *ret)
{
    char *text = malloc(length + 1);
    json_t *json;
    Status s;

    assert_non_null(text);
    memset(text, 'x', length);
    text[length] = '\0';
    json = json_pack("{s:s, s:{s:s, s:s}}", "dataset", "d", "choice", "name", "note", "text", text);
    s = fields_parse(fields, FIELDS, json, ret, NULL);
    json_decref(json);
    free(text);
    return s;
}

static void a_text_has_a_longest_form(void **state)
{
    Outer out;

    (void)state;
    assert_int_equal(parse_note(CHOICE_TEXT_MAX - 1, &out), STATUS_OK);
    assert_int_equal(strlen(out.choice.text), CHOICE_TEXT_MAX - 1);
    assert_int_equal(parse_note(CHOICE_TEXT_MAX, &out), STATUS_INVALID);
}

static void a_text_and_a_list_come_back_as_they_were(void **state)
{
    const char *text =
        "{\"dataset\":\"d\",\"choice\":{\"name\":\"grow\",\"plan\":\"my own\"},\"list\":"
        "[{\"name\":\"note\",\"text\":\"\u00e9\"}]}";
    json_t *written, *choice;
    Outer out;

    (void)state;
    assert_int_equal(parse(text, &out, NULL), STATUS_OK);
    written = fields_json(fields, FIELDS, &out);
    choice = json_object_get(written, "choice");
    assert_string_equal(json_string_value(json_object_get(choice, "plan")), "my own");
    assert_int_equal(json_integer_value(json_object_get(choice, "depth")), 2);
    choice = json_array_get(json_object_get(written, "list"), 0);
    assert_string_equal(json_string_value(json_object_get(choice, "text")), "\xc3\xa9");
    json_decref(written);
}

static void all_bad_fields_are_named_at_once(void **state)
{
    Error err = { 0 };
    Outer out;

    (void)state;
    assert_int_equal(
        parse("{\"size\":0,\"colour\":3,\"what\":1,\"inner\":{\"rate\":11}}", &out, &err),
        STATUS_INVALID);
    assert_int_equal(err.details, 5);
    assert_int_equal(out.size, 128);
}

static void a_whole_number_may_be_written_as_a_real(void **state)
{
    Outer out;

    (void)state;
    assert_int_equal(
        parse("{\"dataset\":\"d\",\"size\":3.0,\"choice\":{\"vertical\":true}}", &out, NULL),
        STATUS_OK);
    assert_int_equal(out.size, 3);
    assert_true(out.choice.row == 1 && out.choice.value[2] == 1);
}

static void a_table_describes_itself(void **state)
{
    json_t *described = fields_describe(fields, FIELDS, NULL),
           *choice = json_array_get(described, 7);
    json_t *size = json_array_get(described, 2), *groups = json_array_get(described, 11), *plan;

    (void)state;
    assert_int_equal(json_array_size(described), FIELDS);
    assert_int_equal(json_integer_value(json_object_get(size, "default")), 128);
    assert_int_equal(json_integer_value(json_object_get(size, "max")), 1024);
    assert_string_equal(json_string_value(json_object_get(choice, "default")), "flip");
    assert_int_equal(json_array_size(json_object_get(choice, "options")), 4);
    plan = json_array_get(
        json_object_get(json_array_get(json_object_get(choice, "options"), 2), "params"), 0);
    assert_string_equal(json_string_value(json_object_get(plan, "type")), "text");
    assert_string_equal(json_string_value(json_object_get(plan, "default")), "long");
    assert_int_equal(json_array_size(json_object_get(plan, "choices")), 2);
    assert_int_equal(json_integer_value(json_object_get(plan, "max_bytes")), CHOICE_TEXT_MAX - 1);
    assert_string_equal(json_string_value(json_object_get(groups, "type")), "list");
    assert_int_equal(json_array_size(json_object_get(groups, "fields")), 3);
    assert_int_equal(json_integer_value(json_object_get(groups, "max_items")), 3);
    assert_int_equal(json_array_size(json_object_get(groups, "default")), 0);
    assert_true(json_is_true(json_object_get(json_array_get(described, 0), "required")));
    json_decref(described);
}

/* --- references, what may be left out, defaults of one's own --- */

typedef struct Wishes {
    TextRef thing;
    CheckpointRef of;
    OptionalReal rate, colour;
    Choice maybe, must;
} Wishes;

static const Param move_params[] = {
    { "beta1", PARAM_REAL, 0.9, 0, 1, NULL, "" },
    { "beta2", PARAM_REAL, 0.99, 0, 1, NULL, "" },
    { "steps", PARAM_INT, 3, 1, 9, NULL, "" },
};
static const Row move = { { "move", "moves", move_params, 3 }, 5 };
static const Row *const movers[] = { &crop, &move, NULL };

static const Field wish_fields[] = {
    FIELD_REFERENCE_ROW(Wishes, thing, "thing", NULL, FIELD_REQUIRED, ""),
    FIELD_ID_ROW(Wishes, of.job, "job", ""),
    FIELD_EPOCH_ROW(Wishes, of, "epoch", ""),
    FIELD_OPTIONAL_ROW(Wishes, rate, "rate", PARAM_REAL, 0, 1, NULL, ""),
    FIELD_OPTIONAL_ROW(Wishes, colour, "colour", PARAM_ENUM, 0, 0, colours, ""),
    FIELD_MAYBE_CHOICE_ROW(Wishes, maybe, "maybe", movers, ""),
    FIELD_CHOICE_ROW(Wishes, must, "must", movers, "move", ""),
};
enum { WISHES = sizeof wish_fields / sizeof *wish_fields };

static Status wish(const char *text, Wishes *out, Error *err)
{
    json_t *json = json_loads(text, 0, NULL);
    Status s;

    assert_non_null(json);
    s = fields_parse(wish_fields, WISHES, json, out, err);
    json_decref(json);
    return s;
}

static void wishes_come_back_as_they_were_said(void **state)
{
    static const char *const said[] = {
        "{\"thing\":3,\"job\":7,\"epoch\":\"best\",\"rate\":0.5,\"colour\":\"green\",\"maybe\":{"
        "\"name\":\"crop\",\"padding\":2},\"must\":{\"name\":\"crop\",\"padding\":4}}",
        "{\"thing\":\"a text\",\"job\":7,\"epoch\":12,\"rate\":null,\"colour\":null,\"maybe\":null,"
        "\"must\":{\"name\":\"move\",\"beta1\":0.25,\"beta2\":0.99,\"steps\":3}}",
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        Wishes out;
        json_t *json;
        char *text;

        assert_int_equal(wish(said[i], &out, NULL), STATUS_OK);
        json = fields_json(wish_fields, WISHES, &out);
        text = json_dumps(json, JSON_WRITE_FLAGS);
        assert_string_equal(text, said[i]);
        free(text);
        json_decref(json);
    }
}

static void what_is_left_out_is_known_to_be(void **state)
{
    Wishes out;

    (void)state;
    assert_int_equal(wish("{\"thing\": \"x\", \"job\": 1}", &out, NULL), STATUS_OK);
    assert_false(out.rate.set || out.colour.set);
    assert_int_equal(out.of.which, CHECKPOINT_LATEST);
    assert_int_equal(out.of.job, 1);
    assert_true(out.maybe.row == CHOICE_NONE);
    assert_int_equal(out.must.row, 1);
    assert_int_equal(out.thing.id, 0);
}

static void numbered_parameters_may_come_as_a_list(void **state)
{
    Error err = { 0 };
    Wishes out;

    (void)state;
    assert_int_equal(
        wish("{\"thing\": 1, \"job\": 1, \"must\": {\"betas\": [0.1, 0.2]}}", &out, NULL),
        STATUS_OK);
    assert_true(out.must.value[0] == 0.1 && out.must.value[1] == 0.2 && out.must.value[2] == 3);
    assert_int_equal(
        wish("{\"thing\": 1, \"job\": 1, \"must\": {\"betas\": [0.1, 2]}}", &out, &err),
        STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/must/betas/1");
    error_clear(&err);
    assert_int_equal(wish("{\"thing\": 1, \"job\": 1, \"must\": {\"betas\": 0.1}}", &out, &err),
                     STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/must/betas");
    error_clear(&err);
    assert_int_equal(wish("{\"thing\": 1, \"job\": 1, \"must\": {\"step\": [3]}}", &out, &err),
                     STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/must/step");
}

static void bad_wishes_are_named(void **state)
{
    static const struct {
        const char *text, *pointer;
    } bad[] = {
        { "{\"job\": 1}", "/thing" },
        { "{\"thing\": 0, \"job\": 1}", "/thing" },
        { "{\"thing\": \"\", \"job\": 1}", "/thing" },
        { "{\"thing\": [], \"job\": 1}", "/thing" },
        { "{\"thing\": 1}", "/job" },
        { "{\"thing\": 1, \"job\": 0}", "/job" },
        { "{\"thing\": 1, \"job\": 1, \"epoch\": \"first\"}", "/epoch" },
        { "{\"thing\": 1, \"job\": 1, \"epoch\": 0}", "/epoch" },
        { "{\"thing\": 1, \"job\": 1, \"rate\": 2}", "/rate" },
        { "{\"thing\": 1, \"job\": 1, \"colour\": \"blue\"}", "/colour" },
        { "{\"thing\": 1, \"job\": 1, \"maybe\": {\"name\": \"what\"}}", "/maybe/name" },
        { "{\"thing\": 1, \"job\": 1, \"maybe\": {}}", "/maybe/name" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Error err = { 0 };
        Wishes out;

        assert_int_equal(wish(bad[i].text, &out, &err), STATUS_INVALID);
        assert_int_equal(err.details, 1);
        assert_string_equal(err.detail[0].pointer, bad[i].pointer);
    }
}

static void an_object_is_laid_over_its_defaults(void **state)
{
    json_t *base =
        json_loads("{\"a\": 1, \"list\": [1, 2], \"in\": {\"x\": 1, \"y\": 2}, \"row\": "
                   "{\"name\": \"sgd\", \"lr\": 1}, \"same\": {\"name\": \"sgd\", \"lr\": 1}}",
                   0, NULL);
    json_t *over = json_loads("{\"list\": [], \"in\": {\"y\": 3}, \"row\": {\"name\": \"adam\"}, "
                              "\"same\": {\"clip\": 5}, \"b\": null}",
                              0, NULL);
    json_t *want =
        json_loads("{\"a\": 1, \"list\": [], \"in\": {\"x\": 1, \"y\": 3}, \"row\": {\"name\": "
                   "\"adam\"}, \"same\": {\"name\": \"sgd\", \"lr\": 1, \"clip\": 5}, \"b\": "
                   "null}",
                   0, NULL);

    (void)state;
    assert_true(json_lay_over(base, over));
    assert_true(json_equal(base, want));
    json_decref(base);
    json_decref(over);
    json_decref(want);
}

static void a_table_is_described_with_the_defaults_laid_under_it(void **state)
{
    json_t *defaults =
        json_loads("{\"rate\": 0.25, \"must\": {\"name\": \"move\", \"steps\": 7}}", 0, NULL);
    json_t *described = fields_describe(wish_fields, WISHES, defaults);
    json_t *must = json_array_get(described, 6), *params;

    (void)state;
    assert_true(json_real_value(json_object_get(json_array_get(described, 3), "default")) == 0.25);
    assert_string_equal(json_string_value(json_object_get(must, "default")), "move");
    params = json_object_get(json_array_get(json_object_get(must, "options"), 1), "params");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(params, 2), "default")), 7);
    assert_true(json_real_value(json_object_get(json_array_get(params, 0), "default")) == 0.9);
    assert_true(json_is_null(json_object_get(json_array_get(described, 5), "default")));
    assert_string_equal(json_string_value(json_object_get(json_array_get(described, 2), "default")),
                        "latest");
    json_decref(described);
    json_decref(defaults);
}

static Status read_status(const char *bytes, size_t size)
{
    json_t *json = NULL;
    Status s = json_read(bytes, size, &json, NULL);

    json_decref(json);
    return s;
}

static void hostile_json_is_refused_quickly(void **state)
{
    static const char *const bad[] = { "",
                                       "{",
                                       "kind=train",
                                       "\xff\xfe",
                                       "{\"a\":1,\"a\":2}",
                                       "[1e999]",
                                       "[NaN]",
                                       "\"\xed\xa0\x80\"",
                                       "[1] 2",
                                       "[01]",
                                       "[\"\\u0000\"]" };
    static const char quoted[] =
        "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"]";
    char *deep = malloc(LIMIT_BODY_BYTES + 2);

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(read_status(bad[i], strlen(bad[i])), STATUS_MALFORMED);
    assert_non_null(deep);
    memset(deep, '[', LIMIT_BODY_BYTES + 2);
    assert_int_equal(read_status(deep, LIMIT_BODY_BYTES), STATUS_MALFORMED);
    assert_int_equal(read_status(deep, LIMIT_BODY_BYTES + 1), STATUS_TOO_LARGE);
    memset(deep + LIMIT_JSON_DEPTH, ']', LIMIT_JSON_DEPTH);
    assert_int_equal(read_status(deep, 2 * LIMIT_JSON_DEPTH), STATUS_OK);
    free(deep);
    /* Brackets in strings are not nesting. */
    assert_int_equal(read_status(quoted, sizeof quoted - 1), STATUS_OK);
}

static void numbers_and_texts_that_json_lacks_have_words(void **state)
{
    json_t *out = json_pack("[oooooo]", json_number((double)NAN), json_number((double)-INFINITY),
                            json_number(0.1), json_time_ms(1769860800123), json_time_ms(0),
                            json_text("a\xff\xc3\xa9"));
    char *text = json_dumps(out, JSON_WRITE_FLAGS);

    (void)state;
    assert_string_equal(
        text, "[\"NaN\",\"-Infinity\",0.1,\"2026-01-31T12:00:00.123Z\",null,\"a?\xc3\xa9\"]");
    free(text);
    json_decref(out);
}

static void a_numpy_file_has_its_header_and_data(void **state)
{
    const float values[6] = { 1, 2, 3, 4, 5, 6 };
    Bytes npy = { 0 };

    (void)state;
    assert_int_equal(npy_encode_f32(values, 2, 3, &npy, NULL), STATUS_OK);
    assert_int_equal(npy.size, 128 + sizeof values);
    assert_memory_equal(
        npy.data,
        "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } ",
        70);
    assert_int_equal(npy.data[127], '\n');
    assert_memory_equal(npy.data + 128, values, sizeof values);
    bytes_clear(&npy);
}

static void a_png_has_its_signature_and_size(void **state)
{
    const uint8_t pixels[2 * 3 * 3] = { 255, 0, 0 };
    Bytes png = { 0 };

    (void)state;
    assert_int_equal(png_encode_rgb(pixels, 2, 3, &png, NULL), STATUS_OK);
    assert_true(png.size > 33);
    assert_memory_equal(png.data, "\x89PNG\r\n\x1a\n", 8);
    assert_int_equal(png.data[19], 3); /* width */
    assert_int_equal(png.data[23], 2); /* height */
    bytes_clear(&png);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_absent_gets_its_default),
        cmocka_unit_test(everything_given_comes_back_as_json),
        cmocka_unit_test(each_bad_field_is_named),
        cmocka_unit_test(a_text_has_a_longest_form),
        cmocka_unit_test(a_text_and_a_list_come_back_as_they_were),
        cmocka_unit_test(all_bad_fields_are_named_at_once),
        cmocka_unit_test(a_whole_number_may_be_written_as_a_real),
        cmocka_unit_test(wishes_come_back_as_they_were_said),
        cmocka_unit_test(what_is_left_out_is_known_to_be),
        cmocka_unit_test(numbered_parameters_may_come_as_a_list),
        cmocka_unit_test(bad_wishes_are_named),
        cmocka_unit_test(an_object_is_laid_over_its_defaults),
        cmocka_unit_test(a_table_is_described_with_the_defaults_laid_under_it),
        cmocka_unit_test(a_table_describes_itself),
        cmocka_unit_test(hostile_json_is_refused_quickly),
        cmocka_unit_test(numbers_and_texts_that_json_lacks_have_words),
        cmocka_unit_test(a_numpy_file_has_its_header_and_data),
        cmocka_unit_test(a_png_has_its_signature_and_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
