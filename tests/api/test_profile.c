/* Profiles and plans as their users ask for them. */
#include "tests/unit/test.h"

#include <string.h>

#include "server/store/profiles.h"
#include "tests/api/rig.h"

#define JOB_OF(more)                                                                            \
    "{\"kind\":\"train\",\"threads\":2,\"params\":{\"dataset\":\"shapes\",\"train_images\":64," \
    "\"test_images\":16,\"epochs\":1,\"model\":{\"name\":\"resnet18\",\"width\":4}" more "}}"

static void submit(ApiRig *rig, const char *body)
{
    Reply r = api_rig_post(rig, "/api/v1/jobs", body);

    assert_int_equal(r.code, 201);
    reply_end(&r);
}

static void assert_answer(ApiRig *rig, const char *target, int code, const char *words)
{
    Reply r = api_rig_get(rig, target);

    if (r.code != code || strstr(reply_text(&r, "/detail"), words) == NULL)
        fail_msg("%s: %d %s", target, r.code, r.body);
    reply_end(&r);
}

static void why_there_is_no_profile_is_said(void **state)
{
    ApiRig *rig = *state;
    Reply r;

    submit(rig, JOB_OF(""));
    submit(rig, JOB_OF(",\"profile\":5"));
    assert_answer(rig, "/api/v1/jobs/1/profile", 404, "\"profile\": 20");
    assert_answer(rig, "/api/v1/jobs/2/profile", 409, "not measured its steps yet: it is queued");
    assert_answer(rig, "/api/v1/jobs/3/profile", 404, "no job 3");
    assert_answer(rig, "/api/v1/jobs/x/profile", 404, "");
    r = api_rig_post(rig, "/api/v1/jobs/2/cancel", NULL);
    assert_int_equal(r.code, 202);
    reply_end(&r);
    assert_answer(rig, "/api/v1/jobs/2/profile", 404, "ended before");
}

static void a_profile_comes_back_as_it_was_written(void **state)
{
    static const char written[] =
        "{\"steps\":2,\"seconds\":1.5,\"threads\":2,\"kernels\":\"avx2\",\"limits\":{\"gflops\":9,"
        "\"gbs\":3},\"items\":[{\"step\":4,\"operation\":\"relu\",\"nodes\":[\"relu\"],"
        "\"direction\":\"forward\",\"calls\":2,\"seconds\":0.5,\"share\":0.33,\"gflops\":0,\"gbs\":"
        "1,\"limit_share\":0.3}]}";
    ApiRig *rig = *state;
    json_t *expected = json_loads(written, 0, NULL);
    Reply r;

    submit(rig, JOB_OF(",\"profile\":2"));
    assert_int_equal(store_profile_put(rig->store, 1, written, NULL), STATUS_OK);
    r = api_rig_get(rig, "/api/v1/jobs/1/profile");
    assert_int_equal(r.code, 200);
    assert_true(json_equal(r.json, expected));
    assert_keys(rig, r.json, "Profile");
    assert_keys(rig, reply_at(&r, "/limits"), "ProfileLimits");
    assert_keys(rig, reply_at(&r, "/items/0"), "ProfileItem");
    json_decref(expected);
    reply_end(&r);
}

static void a_dry_run_prints_the_plan_where_it_is_asked_to(void **state)
{
    Reply r = api_rig_post(*state, "/api/v1/jobs?dry_run=1&plan=1", JOB_OF("")), list;

    assert_int_equal(r.code, 200);
    assert_keys(*state, r.json, "DryRun");
    assert_non_null(strstr(reply_text(&r, "/plan"), "64 images, training"));
    assert_non_null(strstr(reply_text(&r, "/plan"), "GFLOP/s"));
    reply_end(&r);
    r = api_rig_post(*state, "/api/v1/jobs?dry_run=1", JOB_OF(""));
    assert_int_equal(r.code, 200);
    assert_true(json_is_null(reply_at(&r, "/plan")));
    reply_end(&r);
    list = api_rig_get(*state, "/api/v1/jobs");
    assert_int_equal(json_array_size(reply_at(&list, "/items")), 0); /* nothing was queued */
    reply_end(&list);
}

static void a_plan_is_of_a_dry_run(void **state)
{
    Reply r = api_rig_post(*state, "/api/v1/jobs?plan=1", JOB_OF(""));

    assert_int_equal(r.code, 422);
    assert_true(reply_names(&r, "/plan"));
    reply_end(&r);
    r = api_rig_post(*state, "/api/v1/jobs?dry_run=1&plan=1", JOB_OF(",\"batch_size\":0"));
    assert_int_equal(r.code, 422);
    assert_true(reply_names(&r, "/params/batch_size"));
    reply_end(&r);
    r = api_rig_post(*state, "/api/v1/jobs?dry_run=1&plan=1", JOB_OF(",\"profile\":-1"));
    assert_int_equal(r.code, 422);
    assert_true(reply_names(&r, "/params/profile"));
    reply_end(&r);
}

#define with_rig(test) cmocka_unit_test_setup_teardown(test, api_rig_setup, api_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_rig(why_there_is_no_profile_is_said),
        with_rig(a_profile_comes_back_as_it_was_written),
        with_rig(a_dry_run_prints_the_plan_where_it_is_asked_to),
        with_rig(a_plan_is_of_a_dry_run),
    };

    return cmocka_run_group_tests(tests, api_rig_open, api_rig_close);
}
