/* Spaces and genotypes in JSON: what becomes of them, and how what is wrong is named. */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "server/codec/architecture.h"
#include "server/codec/fields.h"

static json_t *parsed(const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

    assert_non_null(json);
    return json;
}

static void space_becomes(const char *json, const char *want)
{
    char text[CHOICE_TEXT_MAX];
    Space space;
    Error err = { 0 };
    json_t *value = parsed(json);

    if (space_from_json(value, text, &err) != STATUS_OK)
        fail_msg("%s: %s: %s", json, err.detail[0].pointer, error_message(&err));
    assert_string_equal(text, want);
    assert_int_equal(space_parse(text, &space, NULL), STATUS_OK);
    json_decref(value);
}

static void a_space_becomes_its_text(void **state)
{
    (void)state;
    space_becomes("\"s3\"", "s3");
    space_becomes("\"none,se;eca\"", "none,se;eca");
    space_becomes("{\"normal\": [[\"none\", \"skip_connect\"]]}", "none,skip_connect");
    space_becomes("{\"normal\": [[\"se\"]], \"reduce\": [[\"eca\", \"none\"]]}", "se;eca,none");
    space_becomes("{\"reduce\": [[\"eca\"],[\"se\"],[\"se\"],[\"se\"],[\"se\"],[\"se\"],[\"se\"],"
                  "[\"se\"],[\"se\"],[\"se\"],[\"se\"],[\"se\"],[\"se\"],[\"none\",\"noise\"]], "
                  "\"normal\": [[\"se\"]]}",
                  "se;eca|se|se|se|se|se|se|se|se|se|se|se|se|none,noise");
}

/* Every candidate there is on every edge: more than any search needs. */
static void the_largest_space_fits_its_text(void **state)
{
    json_t *edge = json_array(), *edges = json_array(), *space;
    char text[CHOICE_TEXT_MAX];
    Space back;

    (void)state;
    for (int i = 0; candidate_table[i] != NULL; i++)
        json_array_append_new(edge, json_string(candidate_table[i]->described.name));
    for (int i = 0; i < CELL_EDGES; i++)
        json_array_append(edges, edge);
    space = json_pack("{s:O, s:O}", "normal", edges, "reduce", edges);
    assert_int_equal(space_from_json(space, text, NULL), STATUS_OK);
    assert_true(strlen(text) > 2000);
    assert_int_equal(space_parse(text, &back, NULL), STATUS_OK);
    assert_int_equal(back.edge[CELL_REDUCE][CELL_EDGES - 1].count, json_array_size(edge));
    json_decref(edge);
    json_decref(edges);
    json_decref(space);
}

typedef struct Wrong {
    const char *json;
    const char *pointer, *says;
} Wrong;

static bool names_it(const Error *err, const Wrong *wrong)
{
    for (uint32_t i = 0; i < err->details; i++)
        if (strcmp(err->detail[i].pointer, wrong->pointer) == 0 &&
            strstr(err->detail[i].message, wrong->says) != NULL)
            return true;
    return false;
}

static void what_is_wrong_with_a_space_is_named_where_it_stands(void **state)
{
    static const Wrong rows[] = {
        { "3", "", "name" },
        { "\"s9\"", "", "\"s9\" is no candidate" },
        { "{}", "/normal", "14 lists" },
        { "{\"normal\": [[\"se\"]], \"normol\": 1}", "/normol", "normal, reduce" },
        { "{\"normal\": \"s3\"}", "/normal", "14 lists" },
        { "{\"normal\": [[\"se\"]], \"reduce\": null}", "/reduce", "14 lists" },
        { "{\"normal\": [[\"se\"], [\"se\"]]}", "/normal", "of 1 for all" },
        { "{\"normal\": [3]}", "/normal/0", "list of at most" },
        { "{\"normal\": [[]]}", "/normal/0", "besides none" },
        { "{\"normal\": [[\"none\"]]}", "/normal/0", "besides none" },
        { "{\"normal\": [[\"se\", \"se\"]]}", "/normal/0/1", "there already" },
        { "{\"normal\": [[\"se\", \"conv\"]], \"reduce\": [[7, \"se\"]]}", "/normal/0/1",
          "skip_connect" },
        { "{\"normal\": [[\"se\", \"conv\"]], \"reduce\": [[7, \"se\"]]}", "/reduce/0/0",
          "must be a candidate" },
        { "{\"normal\": [[\"se\"],[\"se\"],[\"se\"],[\"se\",\"x,y\"],[\"se\"],[\"se\"],[\"se\"],"
          "[\"se\"],[\"se\"],[\"se\"],[\"se\"],[\"se\"],[\"se\"],[\"se\"]]}",
          "/normal/3/1", "must be a candidate" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[CHOICE_TEXT_MAX] = "untouched";
        json_t *value = parsed(rows[i].json);
        Error err = { 0 };

        if (space_from_json(value, text, &err) != STATUS_INVALID || !names_it(&err, &rows[i]))
            fail_msg("row %zu: %s: %s", i, err.detail[0].pointer, error_message(&err));
        assert_string_equal(text, "untouched");
        json_decref(value);
    }
}

static void a_genotype_comes_back_from_json_as_it_went(void **state)
{
    (void)state;
    for (int i = 0; genotype_names[i] != NULL; i++) {
        char text[GENOTYPE_TEXT_MAX], again[GENOTYPE_TEXT_MAX];
        json_t *json, *name = json_string(genotype_names[i]);
        Genotype g, back;

        assert_int_equal(genotype_from_json(name, &g, NULL), STATUS_OK);
        json = genotype_json(&g);
        assert_int_equal(genotype_from_json(json, &back, NULL), STATUS_OK);
        genotype_print(&g, text);
        genotype_print(&back, again);
        assert_string_equal(again, text);
        json_object_del(json, "reduce_concat"); /* all four nodes, where it is not said */
        assert_int_equal(genotype_from_json(json, &back, NULL), STATUS_OK);
        genotype_print(&back, again);
        assert_string_equal(again, text);
        json_decref(json);
        json_decref(name);
    }
}

#define SEVEN                                                                                 \
    "[\"se\", 0], [\"se\", 1], [\"se\", 0], [\"se\", 1], [\"se\", 0], [\"se\", 1], [\"se\", " \
    "0]"
#define CELL(last) "[" SEVEN ", " last "]"
#define GOOD CELL("[\"se\", 1]")

static void what_is_wrong_with_a_genotype_is_named_where_it_stands(void **state)
{
    static const Wrong rows[] = {
        { "true", "", "name" },
        { "\"Genotype(\"", "", "at character 10" },
        { "{\"normal\": " GOOD "}", "/reduce", "list of 8" },
        { "{\"normal\": [" SEVEN "], \"reduce\": " GOOD "}", "/normal", "list of 8" },
        { "{\"normal\": " CELL("5") ", \"reduce\": " GOOD "}", "/normal/7", "[candidate, state]" },
        { "{\"normal\": " CELL("[\"conv_7x7\", 1]") ", \"reduce\": " GOOD "}", "/normal/7/0",
          "must be a candidate" },
        { "{\"normal\": " CELL("[\"none\", 1]") ", \"reduce\": " GOOD "}", "/normal/7/0",
          "must not be none" },
        { "{\"normal\": " GOOD ", \"reduce\": " CELL("[\"se\", 5]") "}", "/reduce/7/1",
          "from 0 to 4" },
        { "{\"normal\": " GOOD ", \"reduce\": " CELL("[\"se\", 1.5]") "}", "/reduce/7/1",
          "from 0 to 4" },
        { "{\"normal\": " GOOD ", \"reduce\": " CELL("[\"eca\", 0]") "}", "/reduce/7/1",
          "other edge" },
        { "{\"normal\": " GOOD ", \"reduce\": " GOOD ", \"reduce_concat\": []}", "/reduce_concat",
          "1 to 4" },
        { "{\"normal\": " GOOD ", \"reduce\": " GOOD ", \"reduce_concat\": [2, 2]}",
          "/reduce_concat/1", "from 3 to 5" },
        { "{\"normal\": " GOOD ", \"reduce\": " GOOD ", \"reduce_concat\": [5, 5]}",
          "/reduce_concat/1", "higher" },
        { "{\"normal\": " GOOD ", \"reduce\": " GOOD ", \"x\": 1}", "/x", "unknown key" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *value = parsed(rows[i].json);
        Genotype g;
        Error err = { 0 };

        if (genotype_from_json(value, &g, &err) != STATUS_INVALID || !names_it(&err, &rows[i]))
            fail_msg("row %zu: %s: %s", i, err.detail[0].pointer, error_message(&err));
        json_decref(value);
    }
}

/* ---- As fields ---- */

typedef struct Params {
    Choice model;
    char space[CHOICE_TEXT_MAX], tight[16];
} Params;

static const Param net_params[] = {
    { "space", PARAM_TEXT, 2, 0, 0, space_names, "" },
};
static const struct {
    Described described;
} net = { { "net", "", net_params, 1 } };
static const void *const nets[] = { &net, NULL };
static const Field fields[] = {
    FIELD_CHOICE_ROW(Params, model, "model", nets, "net", ""),
    FIELD_WORDS_ROW(Params, space, "space", space_names, "s3", ""),
    FIELD_WORDS_ROW(Params, tight, "tight", space_names, "s2", ""),
};

static Status read_fields(const char *json, Params *ret, Error *err)
{
    json_t *object = parsed(json);
    Status s = fields_parse(fields, sizeof fields / sizeof *fields, object, ret, err);

    json_decref(object);
    return s;
}

static void a_field_and_a_parameter_take_a_space_in_json(void **state)
{
    Params *p = calloc(1, sizeof *p);
    Error err = { 0 };

    (void)state;
    assert_int_equal(
        read_fields("{\"model\": {\"space\": {\"normal\": [[\"none\", \"se\"]]}}}", p, NULL),
        STATUS_OK);
    assert_string_equal(p->model.text, "none,se");
    assert_string_equal(p->space, "s3");
    assert_string_equal(p->tight, "s2");
    assert_int_equal(read_fields("{\"space\": {\"normal\": [[\"eca\"]]}, \"tight\": {\"normal\": "
                                 "[[\"sep_conv_3x3\", \"eca\"]]}}",
                                 p, &err),
                     STATUS_INVALID);
    assert_string_equal(p->model.text, "s3");
    assert_string_equal(p->space, "eca");
    assert_string_equal(err.detail[0].pointer, "/tight");
    free(p);
}

static void a_bad_space_in_a_field_is_named_below_it(void **state)
{
    Params *p = calloc(1, sizeof *p);
    Error err = { 0 };

    (void)state;
    assert_int_equal(read_fields("{\"space\": {\"normal\": [[\"se\", \"conv\"]]}, \"model\": "
                                 "{\"space\": {\"normal\": [[\"none\"]]}}}",
                                 p, &err),
                     STATUS_INVALID);
    assert_int_equal(err.details, 2);
    assert_string_equal(err.detail[0].pointer, "/model/space/normal/0");
    assert_string_equal(err.detail[1].pointer, "/space/normal/0/1");
    assert_string_equal(p->space, "s3");
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_space_becomes_its_text),
        cmocka_unit_test(the_largest_space_fits_its_text),
        cmocka_unit_test(what_is_wrong_with_a_space_is_named_where_it_stands),
        cmocka_unit_test(a_genotype_comes_back_from_json_as_it_went),
        cmocka_unit_test(what_is_wrong_with_a_genotype_is_named_where_it_stands),
        cmocka_unit_test(a_field_and_a_parameter_take_a_space_in_json),
        cmocka_unit_test(a_bad_space_in_a_field_is_named_below_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
