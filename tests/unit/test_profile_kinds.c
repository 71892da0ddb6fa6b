/* Profiles and printed plans of real jobs. */
#include "tests/unit/kinds_rig.h"

#include "core/graph/profile.h"
#include "server/store/profiles.h"

/* 8 steps; `more`: further params. */
#define JOB_OF(more)                                                                            \
    "{\"kind\": \"train\", \"seed\": 3, \"threads\": 2, \"params\": {\"dataset\": \"shapes\", " \
    "\"train_images\": 64, \"test_images\": 16, \"batch_size\": 16, \"epochs\": 2, \"model\": " \
    "{\"name\": \"resnet18\", \"width\": 4}" more "}}"

/* Half of 128 images are 8 batches of 8. */
#define SEARCH_OF(more)                                                                           \
    "{\"kind\": \"search\", \"threads\": 2, \"params\": {\"dataset\": \"shapes\", "               \
    "\"train_images\": 128, \"test_images\": 16, \"channels\": 4, \"cells\": 3, \"batch_size\": " \
    "8, \"epochs\": 1" more "}}"

enum { STEPS = 8 };

static int setup(void **state)
{
    Rig *rig = rig_open();
    Job job;

    rig->trained = submit(rig, JOB_OF(""));
    job = succeeded(rig, rig->trained);
    job_clear(&job);
    *state = rig;
    return 0;
}

static json_t *profile_of(Rig *rig, int64_t id)
{
    char *text = NULL;
    json_t *out;

    assert_int_equal(store_profile_get(rig->store, id, &text, NULL), STATUS_OK);
    out = json_loads(text, 0, NULL);
    assert_non_null(out);
    free(text);
    return out;
}

static int64_t run(Rig *rig, const char *text)
{
    int64_t id = submit(rig, text);
    Job job = succeeded(rig, id);

    job_clear(&job);
    return id;
}

static double number(const json_t *object, const char *key)
{
    assert_true(json_is_number(json_object_get(object, key)));
    return json_number_value(json_object_get(object, key));
}

static void a_job_leaves_a_profile_where_it_is_asked_to(void **state)
{
    Rig *rig = *state;
    json_t *profile = profile_of(rig, run(rig, JOB_OF(", \"profile\": 2")));
    const json_t *items = json_object_get(profile, "items"), *limits;
    double share = 0, before = INFINITY;

    assert_true(number(profile, "steps") == 2 && number(profile, "threads") == 2);
    assert_string_equal(json_string_value(json_object_get(profile, "kernels")), kernels_family());
    limits = json_object_get(profile, "limits");
    assert_true(number(limits, "gflops") > 0.01 && number(limits, "gbs") > 0.01);
    assert_int_equal(json_array_size(items), 2 * 43); /* all steps have both directions */
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        double seconds = number(item, "seconds"), gflops = number(item, "gflops"),
               gbs = number(item, "gbs"), least = gbs / number(limits, "gbs");

        assert_true(seconds > 0 && seconds <= before); /* the slowest first */
        before = seconds;
        share += number(item, "share");
        assert_true(number(item, "calls") == 2);
        assert_true(json_array_size(json_object_get(item, "nodes")) >= 1);
        assert_true(gflops >= 0 && gbs > 0);
        if (gflops == 0) /* memory is its only limit */
            assert_true(fabs(number(item, "limit_share") / least - 1) < 1e-9);
        else
            assert_true(number(item, "limit_share") >= least * (1 - 1e-9));
    }
    assert_true(share > 0.1 && share <= 1 + 1e-9);
    json_decref(profile);
}

/* Both sides of a step: the architecture's has its own gradients only. */
static void a_search_is_profiled_on_both_sides(void **state)
{
    json_t *profile = profile_of(*state, run(*state, SEARCH_OF(", \"profile\": 2")));
    const json_t *items = json_object_get(profile, "items");
    unsigned convolutions = 0;

    assert_true(number(profile, "steps") == 2);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const char *operation = json_string_value(json_object_get(item, "operation")),
                   *direction = json_string_value(json_object_get(item, "direction"));

        if (strcmp(operation, "conv2d") == 0 && strcmp(direction, "forward") == 0) {
            assert_true(number(item, "calls") == 4);
            convolutions++;
        }
    }
    assert_true(convolutions > 3);
    json_decref(profile);
}

static void without_that_there_is_none(void **state)
{
    Rig *rig = *state;
    char *text = NULL;

    assert_int_equal(store_profile_get(rig->store, rig->trained, &text, NULL), STATUS_NOT_FOUND);
    assert_null(text);
}

static void a_short_job_profiles_what_it_has(void **state)
{
    json_t *profile = profile_of(*state, run(*state, JOB_OF(", \"profile\": 1000")));

    assert_true(number(profile, "steps") == STEPS - PROFILE_SKIP);
    json_decref(profile);
}

static void a_profiled_job_computes_the_same_bits(void **state)
{
    Rig *rig = *state;
    char plain[SHA256_HEX], profiled[SHA256_HEX];

    the_digest(rig, rig->trained, plain);
    the_digest(rig, run(rig, JOB_OF(", \"profile\": 3")), profiled);
    assert_string_equal(plain, profiled);
}

static void a_newer_profile_takes_the_place_of_an_older_one(void **state)
{
    Rig *rig = *state;
    int64_t id = run(rig, JOB_OF(", \"profile\": 1"));
    json_t *profile;

    assert_int_equal(store_profile_put(rig->store, id, "{\"steps\": 77}", NULL), STATUS_OK);
    profile = profile_of(rig, id);
    assert_true(number(profile, "steps") == 77);
    json_decref(profile);
    assert_int_not_equal(store_profile_put(rig->store, 999, "{}", NULL), STATUS_OK); /* no job */
}

static Status print(Rig *rig, const char *text, char **ret, Error *err)
{
    json_t *body = json_loads(text, 0, NULL);
    JobPlan plan = { 0 };
    Status s = queue_print(rig->queue, body, &plan, ret, err);

    if (s == STATUS_OK) {
        assert_true(plan.estimate.steps == STEPS);
        assert_true(json_is_object(plan.params));
    }
    json_decref(plan.params);
    json_decref(body);
    return s;
}

static void a_job_s_plan_is_printed_with_what_to_expect(void **state)
{
    char *text = NULL;

    assert_int_equal(print(*state, JOB_OF(""), &text, NULL), STATUS_OK);
    assert_non_null(strstr(text, "16 images, training: 68 nodes in 43 steps"));
    assert_non_null(strstr(text, "\nexpected: "));
    assert_non_null(strstr(text, "layer4.1.bn2 + add + relu\n"));
    free(text);
    assert_int_equal(print(*state, SEARCH_OF(""), &text, NULL), STATUS_OK);
    assert_non_null(strstr(text, "the architecture's side: 8 images, training"));
    assert_non_null(strstr(text, "\nthe weights' side: 8 images, training"));
    free(text);
}

static void what_has_no_plan_says_so(void **state)
{
    Rig *rig = *state;
    Error err = { 0 };
    char body[256], *text = NULL;

    snprintf(body, sizeof body,
             "{\"kind\": \"evaluate\", \"params\": {\"dataset\": \"shapes\", \"checkpoint\": "
             "{\"job\": %lld}}}",
             (long long)rig->trained);
    assert_int_equal(print(rig, body, &text, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/kind");
    error_clear(&err);
    assert_int_equal(print(rig, JOB_OF(", \"epochs\": 0"), &text, &err), STATUS_INVALID);
    assert_null(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_leaves_a_profile_where_it_is_asked_to),
        cmocka_unit_test(a_search_is_profiled_on_both_sides),
        cmocka_unit_test(without_that_there_is_none),
        ALONE(a_short_job_profiles_what_it_has),
        ALONE(a_profiled_job_computes_the_same_bits),
        ALONE(a_newer_profile_takes_the_place_of_an_older_one),
        cmocka_unit_test(a_job_s_plan_is_printed_with_what_to_expect),
        cmocka_unit_test(what_has_no_plan_says_so),
    };

    return cmocka_run_group_tests(tests, setup, rig_teardown);
}
