/* The API as its users see it: submit, look, cancel, fetch; and every bad input a problem that
 * names the field. */
#include "tests/unit/test.h"

#include <math.h>
#include <string.h>

#include "core/nn/safetensors.h"
#include "server/codec/limits.h"
#include "tests/api/rig.h"

static const char small_job[] =
    "{\"kind\":\"train\",\"name\":\"small\",\"tags\":[\"a\"],\"seed\":3,\"threads\":1,\"params\":"
    "{\"dataset\":\"shapes\",\"train_images\":64,\"test_images\":16,\"epochs\":1,"
    "\"model\":{\"name\":\"resnet18\",\"width\":4}}}";

static int64_t submit(ApiRig *rig)
{
    Reply r = api_rig_post(rig, "/api/v1/jobs", small_job);
    int64_t id = json_integer_value(reply_at(&r, "/id"));

    if (r.code != 201)
        fail_msg("%d: %s", r.code, r.body);
    reply_end(&r);
    return id;
}

/* ---- the contract ---- */

static const char *method_name(Method method)
{
    return method == METHOD_GET ? "get" : "post";
}

static void every_route_is_an_operation_of_the_document(void **state)
{
    Reply r = api_rig_get(*state, "/api/v1/openapi.json");
    const json_t *paths = reply_at(&r, "/paths");

    assert_int_equal(r.code, 200);
    assert_string_equal(reply_text(&r, "/openapi"), "3.1.0");
    for (const Route *route = api_routes; route->path != NULL; route++) {
        const json_t *op =
            json_object_get(json_object_get(paths, route->path), method_name(route->method));
        const char *id = json_string_value(json_object_get(op, "operationId"));

        if (id == NULL || strcmp(id, route->operation) != 0)
            fail_msg("schema/openapi.json has no operation %s at %s", route->operation,
                     route->path);
    }
    reply_end(&r);
}

static void every_operation_of_the_document_is_a_route(void **state)
{
    Reply r = api_rig_get(*state, "/api/v1/openapi.json");
    const char *path, *method;
    json_t *item, *op;

    json_object_foreach((json_t *)reply_at(&r, "/paths"), path, item)
    {
        json_object_foreach(item, method, op)
        {
            const Route *route = api_routes;

            while (route->path != NULL && (strcmp(route->path, path) != 0 ||
                                           strcmp(method_name(route->method), method) != 0))
                route++;
            if (route->path == NULL)
                fail_msg("no route %s %s", method, path);
        }
    }
    reply_end(&r);
}

/* Every "$ref" below `value` names something that is there. */
static void assert_references(const Reply *document, const json_t *value)
{
    const char *key, *ref = json_string_value(json_object_get(value, "$ref"));
    json_t *inner;
    size_t i;

    if (ref != NULL && (ref[0] != '#' || reply_at(document, ref + 1) == NULL))
        fail_msg("%s is not there", ref);
    json_object_foreach((json_t *)value, key, inner) assert_references(document, inner);
    json_array_foreach(value, i, inner) assert_references(document, inner);
}

static void the_document_refers_only_to_what_it_holds(void **state)
{
    Reply r = api_rig_get(*state, "/api/v1/openapi.json");

    assert_references(&r, r.json);
    reply_end(&r);
}

/* ---- jobs ---- */

static void a_submitted_job_comes_back_with_every_default(void **state)
{
    Reply r = api_rig_post(*state, "/api/v1/jobs", small_job), again;

    assert_int_equal(r.code, 201);
    assert_string_equal(reply_header(&r, "Location"), "/api/v1/jobs/1");
    assert_string_equal(reply_text(&r, "/state"), "queued");
    assert_string_equal(reply_text(&r, "/name"), "small");
    assert_string_equal(reply_text(&r, "/tags/0"), "a");
    assert_int_equal(json_integer_value(reply_at(&r, "/seed")), 3);
    assert_true(json_is_null(reply_at(&r, "/started_at")));
    assert_string_equal(reply_text(&r, "/params/optimizer/name"), "sgd");
    assert_true(json_number_value(reply_at(&r, "/params/optimizer/lr")) == 0.1);
    assert_int_equal(json_number_value(reply_at(&r, "/params/batch_size")), 128);
    assert_string_equal(reply_text(&r, "/params/schedule/name"), "cosine");
    assert_keys(*state, r.json, "Job");
    again = api_rig_get(*state, reply_header(&r, "Location"));
    assert_int_equal(again.code, 200);
    assert_true(json_equal(again.json, r.json));
    reply_end(&again);
    reply_end(&r);
}

static void a_list_is_paged_newest_first(void **state)
{
    char target[96] = "/api/v1/jobs?limit=2";
    int64_t expect = 5;

    for (int i = 0; i < 5; i++)
        (void)submit(*state);
    while (*target != '\0') {
        Reply r = api_rig_get(*state, target);
        const json_t *items = reply_at(&r, "/items");

        assert_int_equal(r.code, 200);
        assert_true(json_array_size(items) >= 1 && json_array_size(items) <= 2);
        for (size_t i = 0; i < json_array_size(items); i++)
            assert_int_equal(json_integer_value(json_object_get(json_array_get(items, i), "id")),
                             expect--);
        if (json_is_null(reply_at(&r, "/next")))
            target[0] = '\0';
        else
            snprintf(target, sizeof target, "/api/v1/jobs?limit=2&cursor=%s",
                     reply_text(&r, "/next"));
        reply_end(&r);
    }
    assert_int_equal(expect, 0);
}

static size_t listed(ApiRig *rig, const char *target)
{
    Reply r = api_rig_get(rig, target);
    size_t count = json_array_size(reply_at(&r, "/items"));

    assert_int_equal(r.code, 200);
    reply_end(&r);
    return count;
}

static void a_list_is_filtered_by_state_and_kind(void **state)
{
    Reply r;

    (void)submit(*state);
    (void)submit(*state);
    r = api_rig_post(*state, "/api/v1/jobs/1/cancel", NULL);
    assert_int_equal(r.code, 202);
    reply_end(&r);
    assert_int_equal(listed(*state, "/api/v1/jobs?state=queued"), 1);
    assert_int_equal(listed(*state, "/api/v1/jobs?state=queued,cancelled"), 2);
    assert_int_equal(listed(*state, "/api/v1/jobs?state=failed"), 0);
    assert_int_equal(listed(*state, "/api/v1/jobs?kind=train"), 2);
    assert_int_equal(listed(*state, "/api/v1/jobs?kind=evaluate"), 0);
}

static void a_job_is_cancelled_once(void **state)
{
    Reply r;

    (void)submit(*state);
    r = api_rig_post(*state, "/api/v1/jobs/1/cancel", NULL);
    assert_int_equal(r.code, 202);
    assert_string_equal(reply_text(&r, "/state"), "cancelled");
    reply_end(&r);
    r = api_rig_post(*state, "/api/v1/jobs/1/cancel", NULL);
    assert_int_equal(r.code, 409);
    assert_string_equal(reply_text(&r, "/code"), "conflict");
    reply_end(&r);
}

/* ---- bad input ---- */

typedef struct Bad {
    const char *body;
    int code;
    const char *pointer; /* NULL: no field is at fault */
} Bad;

#define PARAMS(extra) "{\"kind\":\"train\",\"params\":{\"dataset\":\"shapes\"" extra "}}"

static const Bad bad_jobs[] = {
    { "{\"kind\":\"levitate\",\"params\":{\"dataset\":\"shapes\"}}", 422, "/kind" },
    { "{\"params\":{\"dataset\":\"shapes\"}}", 422, "/kind" },
    { "{\"kind\":\"train\",\"params\":{}}", 422, "/params/dataset" },
    { "{\"kind\":\"train\",\"colour\":1,\"params\":{\"dataset\":\"shapes\"}}", 422, "/colour" },
    { "{\"kind\":\"train\",\"seed\":-1,\"params\":{\"dataset\":\"shapes\"}}", 422, "/seed" },
    { "{\"kind\":\"train\",\"seed\":9007199254740992,\"params\":{\"dataset\":\"shapes\"}}", 422,
      "/seed" },
    { "{\"kind\":\"train\",\"threads\":65,\"params\":{\"dataset\":\"shapes\"}}", 422, "/threads" },
    { "{\"kind\":\"train\",\"params\":[]}", 422, "/params" },
    { "{\"kind\":\"train\",\"params\":{\"dataset\":\"imagenet\"}}", 422, "/params/dataset" },
    { "{\"kind\":\"train\",\"params\":{\"dataset\":\"../../etc/passwd\"}}", 422,
      "/params/dataset" },
    { PARAMS(",\"bach_size\":32"), 422, "/params/bach_size" },
    { PARAMS(",\"batch_size\":\"32\""), 422, "/params/batch_size" },
    { PARAMS(",\"batch_size\":0"), 422, "/params/batch_size" },
    { PARAMS(",\"batch_size\":1.5"), 422, "/params/batch_size" },
    { PARAMS(",\"epochs\":-1"), 422, "/params/epochs" },
    { PARAMS(",\"train_images\":1000000000"), 422, "/params/train_images" },
    { PARAMS(",\"model\":{\"name\":\"resnet19\"}"), 422, "/params/model/name" },
    { PARAMS(",\"model\":\"resnet18\""), 422, "/params/model" },
    { PARAMS(",\"optimizer\":{\"name\":\"sgd\",\"lrr\":1}"), 422, "/params/optimizer/lrr" },
    { PARAMS(",\"optimizer\":{\"name\":\"sgd\",\"lr\":-1}"), 422, "/params/optimizer/lr" },
    { PARAMS(",\"augment\":[{\"name\":\"flip\",\"padding\":4}]"), 422,
      "/params/augment/0/padding" },
    { "{\"kind\":\"evaluate\",\"params\":{\"dataset\":\"shapes\",\"checkpoint\":{\"job\":99}}}",
      422, "/params/checkpoint" },
    { "{\"kind\":\"train\",\"params\":{\"dataset\":\"gone\"}}", 422, "/params/dataset" },
    { PARAMS(",\"image_size\":64"), 422, "/params/image_size" },
    { PARAMS(",\"image_size\":0"), 422, "/params/image_size" },
    { PARAMS(",\"image_size\":513"), 422, "/params/image_size" },
    { PARAMS(",\"label_smoothing\":1.5"), 422, "/params/label_smoothing" },
    { PARAMS(",\"test_views\":\"upside_down\""), 422, "/params/test_views" },
    { PARAMS(",\"lookahead\":{\"every\":-1}"), 422, "/params/lookahead/every" },
    { PARAMS(",\"lookahead\":5"), 422, "/params/lookahead" },
    { PARAMS(",\"lookahead\":{\"decay\":2}"), 422, "/params/lookahead/decay" },
    { PARAMS(",\"groups\":{}"), 422, "/params/groups" },
    { PARAMS(",\"groups\":[{}]"), 422, "/params/groups/0/match" },
    { PARAMS(",\"groups\":[{\"match\":\"fc.*\",\"lr_scale\":-1}]"), 422,
      "/params/groups/0/lr_scale" },
    { PARAMS(",\"groups\":[{\"match\":\"fc.*\"},{\"match\":\"no_such_weight\"}]"), 422,
      "/params/groups/1/match" },
    { PARAMS(",\"groups\":[{},{},{},{},{},{},{},{},{}]"), 422, "/params/groups" },
    { "{\"preset\":\"huge\"}", 422, "/preset" },
    { "{\"preset\":3,\"kind\":\"train\",\"params\":{\"dataset\":\"shapes\"}}", 422, "/preset" },
    { "{\"preset\":\"../presets/tiny\"}", 422, "/preset" },
    { "{\"preset\":\"tiny\",\"kind\":\"evaluate\"}", 422, "/kind" },
    { "{\"preset\":\"tiny\",\"kind\":7}", 422, "/kind" },
    { "{\"preset\":\"tiny\",\"params\":[]}", 422, "/params" },
    { "{\"preset\":\"tiny\",\"params\":{\"model\":{\"wdith\":4}}}", 422, "/params/model/wdith" },
    { "{\"preset\":\"resnet9\"}", 422, "/params/dataset" },
    { PARAMS(
          ",\"batch_size\":8192,\"train_images\":8000,\"model\":{\"name\":\"resnet18\",\"width\":"
          "1024}"),
      422, "/params" },
    { "[]", 422, "" },
    { "", 400, NULL },
    { "{", 400, NULL },
    { "kind=train", 400, NULL },
    { "\xff\xfe", 400, NULL },
    { "{\"kind\":\"train\",\"kind\":\"train\"}", 400, NULL },
    { "{\"seed\":1e999}", 400, NULL },
};

static void every_bad_job_is_a_problem_that_names_the_field(void **state)
{
    for (size_t i = 0; i < sizeof bad_jobs / sizeof *bad_jobs; i++) {
        const Bad *bad = &bad_jobs[i];
        Reply r = api_rig_post(*state, "/api/v1/jobs", bad->body);

        if (r.code != bad->code ||
            strcmp(r.response.content_type, "application/problem+json") != 0 ||
            (bad->pointer != NULL && !reply_names(&r, bad->pointer)))
            fail_msg("%s -> %d %s", bad->body, r.code, r.body);
        reply_end(&r);
    }
    assert_int_equal(listed(*state, "/api/v1/jobs"), 0);
    (void)submit(*state);
}

static void all_bad_fields_come_in_one_answer(void **state)
{
    Reply r = api_rig_post(*state, "/api/v1/jobs",
                           "{\"kind\":\"train\",\"seed\":-1,\"params\":{\"dataset\":\"shapes\","
                           "\"batch_size\":0,\"epochs\":\"many\"}}");

    assert_int_equal(r.code, 422);
    assert_true(reply_names(&r, "/seed"));
    assert_true(reply_names(&r, "/params/batch_size"));
    assert_true(reply_names(&r, "/params/epochs"));
    assert_keys(*state, r.json, "Problem");
    reply_end(&r);
}

static void deep_large_and_foreign_bodies_are_refused(void **state)
{
    const size_t size = 500000;
    char *deep = malloc(size);
    Request req = { .method = METHOD_POST,
                    .target = "/api/v1/jobs",
                    .content_type = "application/json",
                    .body = deep,
                    .body_size = size };
    Reply r;

    assert_non_null(deep);
    memset(deep, '[', size);
    r = api_rig_send(*state, req);
    assert_int_equal(r.code, 400);
    reply_end(&r);
    req.body_too_large = true;
    r = api_rig_send(*state, req);
    assert_int_equal(r.code, 413);
    reply_end(&r);
    req.body_too_large = false;
    req.content_type = "application/x-www-form-urlencoded";
    r = api_rig_send(*state, req);
    assert_int_equal(r.code, 415);
    reply_end(&r);
    free(deep);
}

#define LONG_NAME \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void bad_addresses_and_queries_are_named(void **state)
{
    static const Bad bad[] = {
        { "/api/v1/nowhere", 404, NULL },
        { "/api/v1/jobs/7", 404, NULL },
        { "/api/v1/jobs/-1", 404, NULL },
        { "/api/v1/jobs/99999999999999999999", 404, NULL },
        { "/api/v1/jobs/7/metrics", 404, NULL },
        { "/api/v1/jobs/7/checkpoints", 404, NULL },
        { "/api/v1/jobs/7/checkpoints/latest", 404, NULL },
        { "/api/v1/jobs/7/layers", 404, NULL },
        { "/api/v1/jobs/7/heatmaps/0.png", 404, NULL },
        { "/api/v1/jobs?limit=0", 422, "/limit" },
        { "/api/v1/jobs?limit=many", 422, "/limit" },
        { "/api/v1/jobs?state=asleep", 422, "/state" },
        { "/api/v1/jobs?cursor=x", 422, "/cursor" },
        { "/api/v1/jobs?sweep=0", 422, "/sweep" },
        { "/api/v1/jobs?sweep=all", 422, "/sweep" },
        { "/api/v1/jobs?colour=red", 422, "/colour" },
        { "/api/v1/jobs/1/metrics?max_points=1", 422, "/max_points" },
        { "/api/v1/jobs/1/checkpoints/latest", 404, NULL },
        { "/api/v1/jobs/1/checkpoints/newest", 422, NULL },
        { "/api/v1/jobs/1/checkpoints/latest?weights=yes", 422, "/weights" },
        { "/api/v1/jobs/1/layers", 409, NULL },
        { "/api/v1/jobs/1/heatmaps/0.png", 409, NULL },
        { "/api/v1/jobs/1/heatmaps/x.png", 404, NULL },
        { "/api/v1/jobs/1/heatmaps/0.gif", 404, NULL },
        { "/api/v1/jobs/1/heatmaps/0.png?scale=0", 422, "/scale" },
        { "/api/v1/jobs/1/heatmaps/0.png?scale=33", 422, "/scale" },
        { "/api/v1/jobs/1/heatmaps/0.png?blend=1.5", 422, "/blend" },
        { "/api/v1/jobs/1/heatmaps/0.png?blend=nan", 422, "/blend" },
        { "/api/v1/jobs/1/heatmaps/0.npy?class=-1", 422, "/class" },
        { "/api/v1/jobs/1/heatmaps/0.npy?method=guess", 422, "/method" },
        { "/api/v1/jobs/1/heatmaps/0.npy?colormap=grey", 422, "/colormap" },
        { "/api/v1/jobs/1/heatmaps/0.npy?split=all", 422, "/split" },
        { "/api/v1/jobs/1/heatmaps/0.npy?signed=maybe", 422, "/signed" },
        { "/api/v1/jobs/1/heatmaps/0.npy?what=1", 422, "/what" },
        { "/api/v1/datasets/nope/preview.png", 404, NULL },
        { "/api/v1/datasets/" LONG_NAME "/preview.png", 404, NULL },
        { "/api/v1/datasets/gone/preview.png", 422, NULL },
        { "/api/v1/datasets/shapes/preview.gif", 404, NULL },
        { "/api/v1/datasets/shapes/preview.png?images=0", 422, "/images" },
        { "/api/v1/datasets/shapes/preview.png?images=257", 422, "/images" },
        { "/api/v1/datasets/shapes/preview.png?columns=33", 422, "/columns" },
        { "/api/v1/datasets/shapes/preview.png?scale=17", 422, "/scale" },
        { "/api/v1/datasets/shapes/preview.png?scale=16&images=256", 422, "/scale" },
        { "/api/v1/datasets/shapes/preview.png?seed=-1", 422, "/seed" },
        { "/api/v1/datasets/shapes/preview.png?epoch=x", 422, "/epoch" },
        { "/api/v1/datasets/shapes/preview.png?image_size=64", 422, "/image_size" },
        { "/api/v1/datasets/shapes/preview.png?colour=red", 422, "/colour" },
        { "/api/v1/datasets/shapes/preview.png?augment=", 422, "/augment" },
        { "/api/v1/datasets/shapes/preview.png?augment=cutmix", 422, "/augment" },
        { "/api/v1/datasets/shapes/preview.png?augment=%7B%7D", 422, "/augment" },
        { "/api/v1/datasets/shapes/preview.png?augment=%5B%7B%22name%22:%22spin%22%7D%5D", 422,
          "/augment/0/name" },
        { "/api/v1/datasets/shapes/"
          "preview.png?augment=%5B%7B%22name%22:%22cutmix%22,%22beta%22:0%7D"
          "%5D",
          422, "/augment/0/beta" },
    };

    (void)submit(*state);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Reply r = api_rig_get(*state, bad[i].body);

        if (r.code != bad[i].code || (bad[i].pointer != NULL && !reply_names(&r, bad[i].pointer)))
            fail_msg("%s -> %d %s", bad[i].body, r.code, r.body);
        reply_end(&r);
    }
}

/* ---- presets, dry runs, data sets ---- */

static double number_at(const Reply *r, const char *pointer)
{
    const json_t *value = reply_at(r, pointer);

    if (!json_is_number(value))
        fail_msg("no number at %s of %s", pointer, r->body);
    return json_number_value(value);
}

/* The settings of the method's table, as a job gets them. */
static void every_preset_is_a_job_with_the_settings_of_its_recipe(void **state)
{
    static const struct {
        const char *preset, *pointer;
        double value;
    } settings[] = {
        { "resnet18", "/params/epochs", 200 },
        { "resnet18", "/params/batch_size", 128 },
        { "resnet18", "/params/optimizer/lr", 0.1 },
        { "resnet18", "/params/optimizer/momentum", 0.9 },
        { "resnet18", "/params/optimizer/weight_decay", 5e-4 },
        { "resnet9", "/params/epochs", 24 },
        { "resnet9", "/params/batch_size", 512 },
        { "resnet9", "/params/optimizer/lr", 0.4 },
        { "resnet9", "/params/schedule/peak", 5.0 / 24 },
        { "resnet9", "/params/augment/2/length", 8 },
        { "airbench94", "/params/epochs", 9.9 },
        { "airbench94", "/params/batch_size", 1024 },
        { "airbench94", "/params/optimizer/lr", 1.5 },
        { "airbench94", "/params/optimizer/momentum", 0.85 },
        { "airbench94", "/params/optimizer/weight_decay", 1.3304e-3 },
        { "airbench94", "/params/groups/0/lr_scale", 64 },
        { "airbench94", "/params/groups/0/decay_scale", 1.0 / 64 },
        { "airbench94", "/params/groups/1/epochs", 3 },
        { "airbench94", "/params/schedule/start", 0.2 },
        { "airbench94", "/params/schedule/peak", 0.23 },
        { "airbench94", "/params/schedule/final", 0.07 },
        { "airbench94", "/params/lookahead/every", 5 },
        { "airbench94", "/params/lookahead/decay", 0.95 * 0.95 * 0.95 * 0.95 * 0.95 },
        { "airbench94", "/params/lookahead/ramp", 3 },
        { "airbench94", "/params/lookahead/start_epoch", 3 },
        { "airbench94", "/params/label_smoothing", 0.2 },
        { "airbench94", "/params/augment/1/padding", 2 },
    };
    Reply list = api_rig_get(*state, "/api/v1/presets");
    size_t checked = 0;

    assert_int_equal(list.code, 200);
    assert_int_equal(json_array_size(reply_at(&list, "/items")), 4);
    for (size_t i = 0; i < json_array_size(reply_at(&list, "/items")); i++) {
        const json_t *preset = json_array_get(reply_at(&list, "/items"), i);
        const char *name = json_string_value(json_object_get(preset, "name"));
        char body[128];
        Reply r;

        assert_keys(*state, preset, "Preset");
        snprintf(body, sizeof body, "{\"preset\":\"%s\",\"params\":{\"dataset\":\"shapes\"}}",
                 name);
        r = api_rig_post(*state, "/api/v1/jobs?dry_run=1", body);
        if (r.code != 200)
            fail_msg("%s: %s", name, r.body);
        assert_keys(*state, r.json, "DryRun");
        assert_true(number_at(&r, "/memory_bytes") > 1e6 && number_at(&r, "/steps") > 10);
        assert_string_equal(reply_text(&r, "/params/model/name"),
                            strcmp(name, "tiny") == 0 ? "resnet9" : name);
        for (size_t j = 0; j < sizeof settings / sizeof *settings; j++) {
            if (strcmp(settings[j].preset, name) != 0)
                continue;
            checked++;
            if (fabs(number_at(&r, settings[j].pointer) - settings[j].value) > 1e-12)
                fail_msg("%s%s is %g", name, settings[j].pointer,
                         number_at(&r, settings[j].pointer));
        }
        if (strcmp(name, "airbench94") == 0) {
            assert_true(json_is_true(reply_at(&r, "/params/drop_last")));
            assert_true(json_is_true(reply_at(&r, "/params/optimizer/nesterov")));
            assert_string_equal(reply_text(&r, "/params/test_views"), "flip_shift");
            assert_string_equal(reply_text(&r, "/params/augment/0/mode"), "alternating");
        }
        reply_end(&r);
    }
    assert_int_equal(checked, sizeof settings / sizeof *settings);
    assert_int_equal(listed(*state, "/api/v1/jobs"), 0); /* nothing was queued */
    reply_end(&list);
}

static void a_job_is_laid_over_its_preset(void **state)
{
    Reply r = api_rig_post(*state, "/api/v1/jobs",
                           "{\"preset\":\"airbench94\",\"name\":\"mine\",\"params\":{\"dataset\":"
                           "\"shapes\",\"epochs\":2,"
                           "\"optimizer\":{\"lr\":1},\"schedule\":{\"name\":\"cosine\"},"
                           "\"augment\":[{\"name\":\"flip\"}],"
                           "\"lookahead\":{\"every\":7}}}");

    assert_int_equal(r.code, 201);
    assert_string_equal(reply_text(&r, "/preset"), "airbench94");
    assert_string_equal(reply_text(&r, "/kind"), "train");
    assert_string_equal(reply_text(&r, "/name"), "mine");
    assert_string_equal(reply_text(&r, "/params/model/name"), "airbench94");
    assert_true(number_at(&r, "/params/epochs") == 2);
    assert_true(number_at(&r, "/params/optimizer/lr") == 1); /* merged key by key */
    assert_true(number_at(&r, "/params/optimizer/momentum") == 0.85);
    assert_true(number_at(&r, "/params/lookahead/every") == 7);
    assert_true(number_at(&r, "/params/lookahead/ramp") == 3);
    assert_string_equal(reply_text(&r, "/params/schedule/name"), "cosine"); /* another: whole */
    assert_null(reply_at(&r, "/params/schedule/peak"));
    assert_int_equal(json_array_size(reply_at(&r, "/params/augment")), 1); /* a list: whole */
    assert_string_equal(reply_text(&r, "/params/augment/0/mode"), "random");
    assert_keys(*state, r.json, "Job");
    reply_end(&r);
    r = api_rig_get(*state, "/api/v1/jobs/1");
    assert_string_equal(reply_text(&r, "/preset"), "airbench94");
    reply_end(&r);
    r = api_rig_post(*state, "/api/v1/jobs", small_job);
    assert_true(json_is_null(reply_at(&r, "/preset")));
    reply_end(&r);
}

static void what_the_preset_is_to_blame_for_is_said(void **state)
{
    /* Its groups name weights that this model has not. */
    Reply r = api_rig_post(*state, "/api/v1/jobs",
                           "{\"preset\":\"airbench94\",\"params\":{\"dataset\":\"shapes\","
                           "\"model\":{\"name\":\"resnet18\",\"width\":4}}}");

    assert_int_equal(r.code, 422);
    assert_true(reply_names(&r, "/params/groups/0/match"));
    assert_non_null(strstr(r.body, "(of preset \\\"airbench94\\\")"));
    reply_end(&r);
    r = api_rig_post(*state, "/api/v1/jobs", "{\"preset\":\"nothing\"}");
    assert_non_null(strstr(r.body, "tiny, resnet9, airbench94, resnet18"));
    reply_end(&r);
    r = api_rig_post(
        *state, "/api/v1/jobs",
        "{\"preset\":\"airbench94\",\"params\":{\"dataset\":\"shapes\",\"epochs\":0}}");
    assert_true(reply_names(&r, "/params/epochs"));
    assert_null(strstr(r.body, "of preset"));
    reply_end(&r);
}

/* The field of that name in a list of descriptions. */
static const json_t *described(const json_t *fields, const char *name)
{
    for (size_t i = 0; i < json_array_size(fields); i++) {
        const json_t *field = json_array_get(fields, i);

        if (strcmp(json_string_value(json_object_get(field, "name")), name) == 0)
            return field;
    }
    fail_msg("no field %s is described", name);
    return NULL;
}

/* A name that is known, a text of one's own, and a text that makes no sense. */
static void a_text_parameter_is_kept_as_it_was_said(void **state)
{
    static const char own[] = "none,skip_connect,sep_conv_3x3";
    char body[256];
    Reply r = api_rig_post(*state, "/api/v1/jobs?dry_run=1",
                           PARAMS(",\"model\":{\"name\":\"supernet\",\"channels\":4,\"cells\":3}")),
          kinds = api_rig_get(*state, "/api/v1/kinds");
    const json_t *model = described(reply_at(&kinds, "/items/0/params"), "model");
    const json_t *options = json_object_get(model, "options"), *space;

    assert_string_equal(reply_text(&r, "/params/model/space"), "s3"); /* the default */
    reply_end(&r);
    snprintf(
        body, sizeof body,
        PARAMS(",\"model\":{\"name\":\"supernet\",\"channels\":4,\"cells\":3,\"space\":\"%s\"}"),
        own);
    r = api_rig_post(*state, "/api/v1/jobs", body);
    if (r.code != 201)
        fail_msg("%s", r.body);
    assert_string_equal(reply_text(&r, "/params/model/space"), own);
    reply_end(&r);
    r = api_rig_post(*state, "/api/v1/jobs",
                     PARAMS(",\"model\":{\"name\":\"supernet\",\"space\":\"s99\"}"));
    assert_int_equal(r.code, 422);
    assert_true(reply_names(&r, "/params/model") || reply_names(&r, "/params/model/space"));
    reply_end(&r);
    space = described(json_object_get(described(options, "supernet"), "params"), "space");
    assert_string_equal(json_string_value(json_object_get(space, "type")), "text");
    assert_true(json_array_size(json_object_get(space, "choices")) >= 5);
    reply_end(&kinds);
}

static void new_parameters_change_nothing_by_default(void **state)
{
    Reply r = api_rig_post(*state, "/api/v1/jobs?dry_run=1", small_job);

    assert_int_equal(json_array_size(reply_at(&r, "/params/groups")), 0);
    assert_true(json_is_array(reply_at(&r, "/params/groups")));
    assert_true(number_at(&r, "/params/lookahead/every") == 0);
    assert_true(number_at(&r, "/params/label_smoothing") == 0);
    assert_string_equal(reply_text(&r, "/params/test_views"), "none");
    assert_true(number_at(&r, "/params/image_size") == 32);
    reply_end(&r);
    r = api_rig_post(*state, "/api/v1/jobs?dry_run=maybe", small_job);
    assert_int_equal(r.code, 422);
    assert_true(reply_names(&r, "/dry_run"));
    reply_end(&r);
}

static void every_parameter_is_described(void **state)
{
    static const char *const names[] = { "image_size", "groups", "lookahead", "test_views",
                                         "label_smoothing" };
    Reply r = api_rig_get(*state, "/api/v1/kinds");
    const json_t *params = reply_at(&r, "/items/0/params");

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_true(json_string_length(json_object_get(described(params, names[i]), "help")) > 0);
    assert_string_equal(json_string_value(json_object_get(described(params, "groups"), "type")),
                        "list");
    (void)described(json_object_get(described(params, "groups"), "fields"), "decay_scale");
    (void)described(json_object_get(described(params, "lookahead"), "fields"), "start_epoch");
    (void)described(reply_at(&r, "/job"), "preset");
    reply_end(&r);
}

static void a_job_too_large_is_told_both_figures(void **state)
{
    Reply r = api_rig_post(*state, "/api/v1/jobs?dry_run=1",
                           PARAMS(",\"batch_size\":8192,\"train_images\":8000,\"model\":{\"name\":"
                                  "\"resnet18\",\"width\":1024}")),
          system = api_rig_get(*state, "/api/v1/system");
    char limit[32];

    assert_int_equal(r.code, 422);
    assert_string_equal(reply_text(&r, "/code"), "invalid");
    snprintf(limit, sizeof limit, "%.0f bytes", number_at(&system, "/limits/memory_bytes"));
    assert_non_null(strstr(r.body, limit));
    assert_non_null(strstr(r.body, "the job needs "));
    reply_end(&system);
    reply_end(&r);
}

static void a_preview_is_a_picture_of_a_sheet(void **state)
{
    static const char mixed[] =
        "/api/v1/datasets/shapes/preview.png?images=16&columns=4&scale=2&"
        "seed=5&augment=%5B%7B%22name%22:%22cutmix%22,%22probability%22:1%7D%5D";
    Reply plain = api_rig_get(*state, "/api/v1/datasets/shapes/preview.png"),
          first = api_rig_get(*state, mixed), again = api_rig_get(*state, mixed), later;
    char target[256];

    assert_int_equal(plain.code, 200);
    assert_string_equal(plain.response.content_type, "image/png");
    assert_memory_equal(plain.body, "\x89PNG", 4);
    assert_int_equal(first.code, 200);
    assert_int_equal(first.size, again.size);
    assert_memory_equal(first.body, again.body, first.size);
    snprintf(target, sizeof target, "%s&epoch=1", mixed);
    later = api_rig_get(*state, target);
    assert_int_equal(later.code, 200);
    assert_true(later.size != first.size || memcmp(later.body, first.body, first.size) != 0);
    reply_end(&plain);
    reply_end(&first);
    reply_end(&again);
    reply_end(&later);
}

/* What is being read is waited for, but no thread waits with it. */
static void a_job_whose_data_set_is_being_read_is_answered_later(void **state)
{
    ApiRig *rig = *state;
    Request req = { .method = METHOD_POST,
                    .target = "/api/v1/jobs",
                    .host = "127.0.0.1:8080",
                    .content_type = "application/json",
                    .body = small_job,
                    .body_size = sizeof small_job - 1 };
    Response response = { 0 };
    Reply r = api_rig_get(rig, "/api/v1/datasets");

    assert_true(json_is_false(reply_at(&r, "/items/0/loading"))); /* nobody asked for it */
    reply_end(&r);
    router_dispatch(&rig->router, &req, &response);
    assert_non_null(response.deferral);
    r = api_rig_get(rig, "/readyz");
    assert_int_equal(r.code, 503);
    assert_non_null(strstr(r.body, "loading"));
    assert_true(reply_header(&r, "Retry-After")[0] != '\0');
    reply_end(&r);
    r = api_rig_get(rig, "/api/v1/datasets");
    assert_true(json_is_true(reply_at(&r, "/items/0/loading")));
    reply_end(&r);
    r = api_rig_get(rig, "/api/v1/datasets/shapes/preview.png");
    assert_int_equal(r.code, 503);
    reply_end(&r);
    assert_true(deferral_wait(response.deferral, 30000));
    router_finish(&rig->router, &req, &response, true);
    assert_int_equal(response.code, 201);
    response_clear(&response);
    request_clear(&req);
    assert_int_equal(listed(rig, "/api/v1/jobs"), 1);
    r = api_rig_get(rig, "/readyz");
    assert_int_equal(r.code, 200);
    reply_end(&r);
}

static void whoever_gives_up_waiting_gets_no_job(void **state)
{
    ApiRig *rig = *state;
    Request req = { .method = METHOD_POST,
                    .target = "/api/v1/jobs",
                    .host = "127.0.0.1:8080",
                    .content_type = "application/json",
                    .body = small_job,
                    .body_size = sizeof small_job - 1 };
    Response response = { 0 };

    router_dispatch(&rig->router, &req, &response);
    assert_non_null(response.deferral);
    router_finish(&rig->router, &req, &response, false);
    assert_int_equal(response.code, 503);
    response_clear(&response);
    request_clear(&req);
    while (datasets_loading(rig->datasets))
        datasets_wait(rig->datasets, datasets_generation(rig->datasets), 100);
    usleep(50000); /* time in which it would have been queued */
    assert_int_equal(listed(rig, "/api/v1/jobs"), 0);
}

/* ---- metrics and checkpoints ---- */

static void metrics_come_back_as_series(void **state)
{
    ApiRig *rig = *state;
    int64_t id = submit(rig);
    Reply r;

    for (uint64_t step = 1; step <= 100; step++) {
        MetricValue values[] = { { "train/loss", step,
                                   step == 50 ? (double)NAN : 1.0 / (double)step },
                                 { "train/accuracy", step, 0.5 } };

        store_metric_append(rig->store, id, values, 2);
    }
    assert_int_equal(store_metric_flush(rig->store, NULL), STATUS_OK);
    r = api_rig_get(rig, "/api/v1/jobs/1/metrics?keys=train/loss,unknown");
    assert_int_equal(r.code, 200);
    assert_int_equal(json_array_size(reply_at(&r, "/series")), 1);
    assert_string_equal(reply_text(&r, "/series/0/key"), "train/loss");
    assert_int_equal(json_array_size(reply_at(&r, "/series/0/points")), 100);
    assert_int_equal(json_integer_value(reply_at(&r, "/series/0/points/0/0")), 1);
    assert_string_equal(reply_text(&r, "/series/0/points/49/1"), "NaN");
    reply_end(&r);
    r = api_rig_get(rig, "/api/v1/jobs/1/metrics?max_points=10");
    assert_int_equal(json_array_size(reply_at(&r, "/series")), 2);
    assert_int_equal(json_integer_value(reply_at(&r, "/series/1/total")), 100);
    assert_true(json_array_size(reply_at(&r, "/series/1/points")) <= 10);
    reply_end(&r);
    r = api_rig_get(rig, "/api/v1/jobs/1");
    assert_true(json_number_value(reply_at(&r, "/latest/train~1loss")) == 0.01);
    reply_end(&r);
}

/* A checkpoint of two tensors, one of them the optimiser's. */
static void add_checkpoint(ApiRig *rig, int64_t id)
{
    const float weight[2] = { 1, 2 };
    const StTensor tensors[] = { { "fc.weight", ST_F32, 1, { 2 }, weight, 2 },
                                 { "optimizer.momentum.fc.weight", ST_F32, 1, { 2 }, weight, 2 } };
    const StMeta meta[] = { { "model", "{}" }, { "format", "1" } };
    JobProgress progress = { .epoch = 1, .epochs = 1, .step = 9, .steps = 9, .eta_seconds = 0 };
    Checkpoint c;
    char *path;
    FILE *out;

    assert_int_equal(store_checkpoint_prepare(rig->store, id, 9, &c, NULL), STATUS_OK);
    c.epoch = 1;
    c.score = (double)NAN;
    path = store_checkpoint_file(rig->store, &c);
    out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(safetensors_write(out, tensors, 2, meta, 2, NULL), STATUS_OK);
    assert_int_equal(fclose(out), 0);
    free(path);
    assert_int_equal(store_checkpoint_add(rig->store, &c, NULL, 0, &progress, NULL), STATUS_OK);
}

static void a_checkpoint_is_a_file_with_its_digest_as_etag(void **state)
{
    ApiRig *rig = *state;
    char etag[128];
    Reply r;

    add_checkpoint(rig, submit(rig));
    r = api_rig_get(rig, "/api/v1/jobs/1/checkpoints");
    assert_int_equal(json_array_size(reply_at(&r, "/items")), 1);
    assert_keys(rig, reply_at(&r, "/items/0"), "Checkpoint");
    snprintf(etag, sizeof etag, "\"%s\"", reply_text(&r, "/items/0/sha256"));
    reply_end(&r);
    r = api_rig_get(rig, "/api/v1/jobs/1/checkpoints/latest");
    assert_int_equal(r.code, 200);
    assert_string_equal(reply_header(&r, "ETag"), etag);
    assert_int_equal(r.response.kind, BODY_FILE);
    reply_end(&r);
    r = api_rig_send(rig,
                     (Request){ .target = "/api/v1/jobs/1/checkpoints/1", .if_none_match = etag });
    assert_int_equal(r.code, 304);
    reply_end(&r);
    r = api_rig_get(rig, "/api/v1/jobs/1/checkpoints/2");
    assert_int_equal(r.code, 404);
    reply_end(&r);
}

static void weights_alone_leave_out_the_optimiser(void **state)
{
    StFile *file = NULL;
    Reply r;

    add_checkpoint(*state, submit(*state));
    r = api_rig_get(*state, "/api/v1/jobs/1/checkpoints/latest?weights=1");
    assert_int_equal(r.code, 200);
    assert_int_equal(safetensors_parse(r.body, r.size, &file, NULL), STATUS_OK);
    assert_int_equal(safetensors_count(file), 1);
    assert_non_null(safetensors_find(file, "fc.weight"));
    assert_string_equal(safetensors_metadata(file, "format"), "1");
    assert_string_equal(safetensors_metadata(file, "model"), "{}");
    safetensors_close(file);
    reply_end(&r);
}

static void a_checkpoint_that_is_no_network_is_a_problem(void **state)
{
    Reply r;

    add_checkpoint(*state, submit(*state));
    r = api_rig_get(*state, "/api/v1/jobs/1/heatmaps/0.png?layer=layer3");
    assert_true(r.code >= 400);
    assert_string_equal(r.response.content_type, "application/problem+json");
    reply_end(&r);
}

/* ---- the daemon about itself ---- */

static void the_daemon_describes_itself(void **state)
{
    Reply r = api_rig_get(*state, "/api/v1/system");

    assert_int_equal(r.code, 200);
    assert_keys(*state, r.json, "System");
    assert_int_equal(json_integer_value(reply_at(&r, "/limits/body_bytes")), LIMIT_BODY_BYTES);
    assert_true(reply_text(&r, "/cpu/kernels")[0] != '\0' &&
                reply_text(&r, "/cpu/blas")[0] != '\0');
    reply_end(&r);
    r = api_rig_get(*state, "/api/v1/kinds");
    assert_int_equal(r.code, 200);
    assert_keys(*state, r.json, "KindList");
    assert_string_equal(reply_text(&r, "/items/0/name"), "train");
    assert_true(json_array_size(reply_at(&r, "/items/0/params")) > 5);
    reply_end(&r);
    r = api_rig_get(*state, "/api/v1/datasets");
    assert_string_equal(reply_text(&r, "/items/0/name"), "shapes");
    assert_int_equal(json_array_size(reply_at(&r, "/items/0/class_names")), 10);
    assert_keys(*state, reply_at(&r, "/items/0"), "Dataset");
    reply_end(&r);
}

static void health_and_counters_are_there_for_monitors(void **state)
{
    ApiRig *rig = *state;
    Reply r = api_rig_get(rig, "/readyz");

    assert_int_equal(r.code, 200);
    reply_end(&r);
    (void)submit(rig);
    r = api_rig_get(rig, "/metrics");
    assert_string_equal(r.response.content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert_non_null(strstr(r.body, "leased_jobs{state=\"queued\"} 1\n"));
    assert_non_null(strstr(r.body, "leased_dropped_total 0\n"));
    assert_non_null(strstr(r.body, "leased_http_requests_total{code=\"200\"} 1\n"));
    assert_non_null(strstr(r.body, "leased_http_requests_total{code=\"201\"} 1\n"));
    reply_end(&r);
    assert_int_equal(queue_drain(rig->queue, NULL), STATUS_OK);
    r = api_rig_get(rig, "/readyz");
    assert_int_equal(r.code, 503);
    assert_string_equal(reply_header(&r, "Retry-After"), "2");
    reply_end(&r);
    r = api_rig_get(rig, "/livez");
    assert_int_equal(r.code, 200);
    reply_end(&r);
}

#define with_rig(test) cmocka_unit_test_setup_teardown(test, api_rig_setup, api_rig_teardown)

#define with_unread(test) \
    cmocka_unit_test_setup_teardown(test, api_rig_setup_unread, api_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_rig(every_route_is_an_operation_of_the_document),
        with_rig(every_operation_of_the_document_is_a_route),
        with_rig(the_document_refers_only_to_what_it_holds),
        with_rig(a_submitted_job_comes_back_with_every_default),
        with_rig(a_list_is_paged_newest_first),
        with_rig(a_list_is_filtered_by_state_and_kind),
        with_rig(a_job_is_cancelled_once),
        with_rig(every_bad_job_is_a_problem_that_names_the_field),
        with_rig(all_bad_fields_come_in_one_answer),
        with_rig(deep_large_and_foreign_bodies_are_refused),
        with_rig(bad_addresses_and_queries_are_named),
        with_rig(every_preset_is_a_job_with_the_settings_of_its_recipe),
        with_rig(a_job_is_laid_over_its_preset),
        with_rig(what_the_preset_is_to_blame_for_is_said),
        with_rig(a_text_parameter_is_kept_as_it_was_said),
        with_rig(new_parameters_change_nothing_by_default),
        with_rig(every_parameter_is_described),
        with_rig(a_job_too_large_is_told_both_figures),
        with_rig(a_preview_is_a_picture_of_a_sheet),
        with_unread(a_job_whose_data_set_is_being_read_is_answered_later),
        with_unread(whoever_gives_up_waiting_gets_no_job),
        with_rig(metrics_come_back_as_series),
        with_rig(a_checkpoint_is_a_file_with_its_digest_as_etag),
        with_rig(weights_alone_leave_out_the_optimiser),
        with_rig(a_checkpoint_that_is_no_network_is_a_problem),
        with_rig(the_daemon_describes_itself),
        with_rig(health_and_counters_are_there_for_monitors),
    };

    return cmocka_run_group_tests(tests, api_rig_open, api_rig_close);
}
