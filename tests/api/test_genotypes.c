/* Genotypes over HTTP: sent, looked at in every form, compared; and user-defined spaces in jobs. */
#include "tests/unit/test.h"

#include <math.h>
#include <string.h>

#include "server/store/genotypes.h"
#include "tests/api/rig.h"

#define DARTS_V2                                                                           \
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "     \
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), " \
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "      \
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), " \
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"

static int64_t import(ApiRig *rig, const char *name)
{
    char body[64];
    Reply r;
    int64_t id;

    snprintf(body, sizeof body, "{\"text\": \"%s\"}", name);
    r = api_rig_post(rig, "/api/v1/genotypes", body);
    id = json_integer_value(reply_at(&r, "/id"));
    if (r.code != 201 && r.code != 200)
        fail_msg("%d: %s", r.code, r.body);
    reply_end(&r);
    return id;
}

static Reply get_one(ApiRig *rig, int64_t id, const char *rest)
{
    char target[80];

    snprintf(target, sizeof target, "/api/v1/genotypes/%lld%s", (long long)id, rest);
    return api_rig_get(rig, target);
}

static void a_genotype_is_sent_once_and_looked_at(void **state)
{
    ApiRig *rig = *state;
    Reply r = api_rig_post(rig, "/api/v1/genotypes", "{\"text\": \"darts_v2\"}"), again;
    char location[64];

    if (r.code != 201)
        fail_msg("%d: %s", r.code, r.body);
    snprintf(location, sizeof location, "/api/v1/genotypes/%lld",
             json_integer_value(reply_at(&r, "/id")));
    assert_string_equal(reply_header(&r, "Location"), location);
    assert_string_equal(reply_text(&r, "/text"), DARTS_V2);
    assert_string_equal(reply_text(&r, "/normal/7/0"), "dil_conv_3x3");
    assert_int_equal(json_integer_value(reply_at(&r, "/normal/7/1")), 2);
    assert_int_equal(json_integer_value(reply_at(&r, "/network/parameters")), 3349342);
    assert_true(fabs((double)json_integer_value(reply_at(&r, "/network/macs")) / 1e6 - 528.4) <
                0.05);
    assert_true(json_is_string(reply_at(&r, "/imported_at")));
    assert_keys(rig, r.json, "Genotype");

    again = api_rig_get(rig, location);
    assert_int_equal(again.code, 200);
    assert_true(json_equal(again.json, r.json));
    reply_end(&again);
    /* The same in another spelling. */
    again = api_rig_post(rig, "/api/v1/genotypes",
                         "{\"normal\": [[\"sep_conv_3x3\", 0], [\"sep_conv_3x3\", 1], "
                         "[\"sep_conv_3x3\", 0], [\"sep_conv_3x3\", 1], [\"sep_conv_3x3\", 1], "
                         "[\"skip_connect\", 0], [\"skip_connect\", 0], [\"dil_conv_3x3\", 2]], "
                         "\"reduce\": [[\"max_pool_3x3\", 0], [\"max_pool_3x3\", 1], "
                         "[\"skip_connect\", 2], [\"max_pool_3x3\", 1], [\"max_pool_3x3\", 0], "
                         "[\"skip_connect\", 2], [\"skip_connect\", 2], [\"max_pool_3x3\", 1]]}");
    assert_int_equal(again.code, 200);
    assert_string_equal(reply_header(&again, "Location"), location);
    reply_end(&again);
    reply_end(&r);
}

static void its_text_goes_out_and_comes_in_again(void **state)
{
    ApiRig *rig = *state;
    int64_t id = import(rig, "darts_v2");
    Reply r = get_one(rig, id, "?format=darts"), back;

    assert_int_equal(r.code, 200);
    assert_string_equal(r.response.content_type, "text/plain; charset=utf-8");
    assert_string_equal(r.body, DARTS_V2 "\n");
    back = api_rig_send(rig, (Request){ .method = METHOD_POST,
                                        .target = "/api/v1/genotypes",
                                        .body = r.body,
                                        .body_size = r.size,
                                        .content_type = "text/plain" });
    assert_int_equal(back.code, 200);
    assert_int_equal(json_integer_value(reply_at(&back, "/id")), id);
    reply_end(&back);
    reply_end(&r);
}

static void it_is_drawn(void **state)
{
    ApiRig *rig = *state;
    int64_t id = import(rig, "pc_darts");
    Reply r = get_one(rig, id, "?format=svg");

    assert_int_equal(r.code, 200);
    assert_string_equal(r.response.content_type, "image/svg+xml");
    assert_int_equal(strncmp(r.body, "<svg ", 5), 0);
    reply_end(&r);
    r = get_one(rig, id, "?format=dot");
    assert_int_equal(r.code, 200);
    assert_string_equal(r.response.content_type, "text/vnd.graphviz");
    assert_int_equal(strncmp(r.body, "digraph ", 8), 0);
    reply_end(&r);
}

static void lists_are_paged_and_say_what_each_scored(void **state)
{
    ApiRig *rig = *state;
    int64_t first = import(rig, "darts_v1"), second = import(rig, "pdarts");
    JobInsert job = { .kind = "search", .name = "", .tags = "[]", .params = "{}", .threads = 1 };
    GenotypeScore score = { .accuracy = 0.75, .val_accuracy = (double)NAN, .epochs = 2 };
    char target[64];
    int64_t id;
    Reply r;

    assert_int_equal(store_job_insert(rig->store, &job, &score.job, NULL), STATUS_OK);
    assert_int_equal(store_genotype_score(rig->store, first, &score, NULL), STATUS_OK);
    assert_int_equal(store_genotype_put(rig->store, "x", score.job, 1, &id, NULL, NULL), STATUS_OK);

    r = api_rig_get(rig, "/api/v1/genotypes?limit=2");
    assert_int_equal(r.code, 200);
    assert_int_equal(json_array_size(reply_at(&r, "/items")), 2);
    assert_int_equal(json_integer_value(reply_at(&r, "/items/1/id")), second);
    assert_true(json_is_null(reply_at(&r, "/items/1/accuracy")));
    assert_keys(rig, reply_at(&r, "/items/0"), "GenotypeItem");
    snprintf(target, sizeof target, "/api/v1/genotypes?limit=2&cursor=%s", reply_text(&r, "/next"));
    assert_non_null(strstr(reply_header(&r, "Link"), target));
    reply_end(&r);
    r = api_rig_get(rig, target);
    assert_int_equal(json_array_size(reply_at(&r, "/items")), 1);
    assert_true(json_real_value(reply_at(&r, "/items/0/accuracy")) == 0.75);
    assert_true(json_is_null(reply_at(&r, "/next")));
    reply_end(&r);
    snprintf(target, sizeof target, "/api/v1/genotypes?job=%lld", (long long)score.job);
    r = api_rig_get(rig, target);
    assert_int_equal(json_array_size(reply_at(&r, "/items")), 2);
    assert_int_equal(json_integer_value(reply_at(&r, "/items/0/id")), id);
    reply_end(&r);
    r = get_one(rig, first, "");
    assert_int_equal(json_integer_value(reply_at(&r, "/scores/0/job")), score.job);
    assert_true(json_is_null(reply_at(&r, "/scores/0/val_accuracy")));
    reply_end(&r);
}

static void two_are_compared_edge_by_edge(void **state)
{
    ApiRig *rig = *state;
    char target[80];
    Reply r;

    snprintf(target, sizeof target, "/api/v1/genotypes/compare?a=%lld&b=%lld",
             (long long)import(rig, "darts_v1"), (long long)import(rig, "darts_v2"));
    r = api_rig_get(rig, target);
    assert_int_equal(r.code, 200);
    assert_keys(rig, r.json, "GenotypeComparison");
    assert_int_equal(json_integer_value(reply_at(&r, "/common")), 11);
    assert_int_equal(json_integer_value(reply_at(&r, "/edges")), 16);
    assert_int_equal(json_array_size(reply_at(&r, "/normal/common")), 5);
    assert_int_equal(json_array_size(reply_at(&r, "/reduce/only_a")), 2);
    assert_int_equal(json_array_size(reply_at(&r, "/reduce/only_b")), 2);
    assert_string_equal(reply_text(&r, "/normal/only_b/2/candidate"), "dil_conv_3x3");
    assert_int_equal(json_integer_value(reply_at(&r, "/normal/only_b/2/from")), 2);
    assert_int_equal(json_integer_value(reply_at(&r, "/normal/only_b/2/to")), 5);
    reply_end(&r);
}

typedef struct Wrong {
    const char *target, *body;
    int code;
    const char *pointer, *says;
} Wrong;

static void what_is_wrong_is_named(void **state)
{
    static const Wrong rows[] = {
        { "/api/v1/genotypes", "{\"text\": \"darts_v3\"}", 422, "/text", "at character 1:" },
        { "/api/v1/genotypes", "{\"text\": \"Genotype(normal=[('conv_7x7', 0)\"}", 422, "/text",
          "at character 20: a candidate is wanted here" },
        { "/api/v1/genotypes", "{\"text\": 3}", 422, "/text", "string" },
        { "/api/v1/genotypes", "{\"text\": \"darts_v2\", \"normal\": []}", 422, "/text", "beside" },
        { "/api/v1/genotypes", "{\"normal\": 3}", 422, "/normal", "list of 8" },
        { "/api/v1/genotypes", "[]", 422, "", "object" },
        { "/api/v1/genotypes", "{", 400, NULL, "not JSON" },
        { "/api/v1/genotypes?format=png", NULL, 422, "/format", "unknown" },
        { "/api/v1/genotypes?cursor=x", NULL, 422, "/cursor", "earlier" },
        { "/api/v1/genotypes/7", NULL, 404, NULL, "no genotype 7" },
        { "/api/v1/genotypes/x", NULL, 404, NULL, "no genotype" },
        { "/api/v1/genotypes/compare?a=1", NULL, 422, "/b", "required" },
        { "/api/v1/genotypes/compare?a=1&b=2", NULL, 404, NULL, "no genotype 1" },
    };
    ApiRig *rig = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Reply r = rows[i].body == NULL ? api_rig_get(rig, rows[i].target)
                                       : api_rig_post(rig, rows[i].target, rows[i].body);

        if (r.code != rows[i].code || strstr(r.body, rows[i].says) == NULL ||
            (rows[i].pointer != NULL && !reply_names(&r, rows[i].pointer)))
            fail_msg("row %zu: %d: %s", i, r.code, r.body);
        reply_end(&r);
    }
}

/* ---- spaces of one's own ---- */

#define JOB(space)                                                                          \
    "{\"kind\":\"train\",\"params\":{\"dataset\":\"shapes\",\"train_images\":64,\"model\":" \
    "{\"name\":\"supernet\",\"channels\":4,\"cells\":3,\"partial\":2,\"space\":" space "}}}"

static void a_job_takes_a_space_in_json(void **state)
{
    ApiRig *rig = *state;
    Reply r = api_rig_post(rig, "/api/v1/jobs",
                           JOB("{\"normal\": [[\"none\", \"se\", \"sep_conv_3x3\"]], \"reduce\": "
                               "[[\"skip_connect\", \"noise\"]]}"));

    if (r.code != 201)
        fail_msg("%d: %s", r.code, r.body);
    assert_string_equal(reply_text(&r, "/params/model/space"),
                        "none,se,sep_conv_3x3;skip_connect,noise");
    reply_end(&r);
}

static void an_impossible_space_is_named_where_it_stands(void **state)
{
    static const struct {
        const char *body, *pointer;
    } rows[] = {
        { JOB("\"s9\""), "/params/model/space" },
        { JOB("7"), "/params/model/space" },
        { JOB("{\"normal\": [[\"none\"]]}"), "/params/model/space/normal/0" },
        { JOB("{\"normal\": [[\"se\"]], \"reduce\": [[\"se\", \"sep_conv_7x7\"]]}"),
          "/params/model/space/reduce/0/1" },
        { JOB("{\"normal\": [[\"se\"], [\"eca\"]]}"), "/params/model/space/normal" },
    };
    ApiRig *rig = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Reply r = api_rig_post(rig, "/api/v1/jobs", rows[i].body);

        if (r.code != 422 || !reply_names(&r, rows[i].pointer))
            fail_msg("row %zu: %d: %s", i, r.code, r.body);
        reply_end(&r);
    }
}

#define with_rig(test) cmocka_unit_test_setup_teardown(test, api_rig_setup, api_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_rig(a_genotype_is_sent_once_and_looked_at),
        with_rig(its_text_goes_out_and_comes_in_again),
        with_rig(it_is_drawn),
        with_rig(lists_are_paged_and_say_what_each_scored),
        with_rig(two_are_compared_edge_by_edge),
        with_rig(what_is_wrong_is_named),
        with_rig(a_job_takes_a_space_in_json),
        with_rig(an_impossible_space_is_named_where_it_stands),
    };

    return cmocka_run_group_tests(tests, api_rig_open, api_rig_close);
}
