/* Steps 2 and 3 of LeaSE as jobs: explanations as files, and audiences that learn from them. */
#include "tests/unit/kinds_rig.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/explain/map_file.h"
#include "server/store/artefacts.h"
#include "server/store/profiles.h"

enum { TRAIN = 48, VAL = 16, TEST = 20 };

#define DATA \
    "\"dataset\": \"shapes\", \"train_images\": 64, \"val_images\": 16, \"test_images\": 20"
#define MODEL "\"model\": {\"name\": \"resnet18\", \"width\": 4}"
#define EXPLAIN_OF(more)                                      \
    "{\"kind\": \"explain\", \"seed\": 5, \"params\": {" DATA \
    ", \"checkpoint\": {\"job\": %lld}" more "}}"
#define AUDIENCE_OF(more)                                                                          \
    "{\"kind\": \"audience\", \"seed\": 7, \"threads\": 2, \"params\": {\"dataset\": \"shapes\", " \
    "\"maps\": {\"job\": %lld}, " MODEL ", \"batch_size\": 8, \"epochs\": 2, "                     \
    "\"augment\": [{\"name\": \"crop\"}, {\"name\": \"flip\"}]" more "}}"

static char with_text[1024];

#define with_id(format, id) \
    (snprintf(with_text, sizeof with_text, format, (long long)(id)), (const char *)with_text)

/* Finished explain jobs of the group: an attack's, all classes' heat maps. */
static int64_t deltas, heat;

static int64_t finished(Rig *rig, const char *text)
{
    int64_t id = submit(rig, text);
    Job job = succeeded(rig, id);

    job_clear(&job);
    return id;
}

static int setup(void **state)
{
    Rig *rig = rig_open();

    rig->trained = finished(rig, "{\"kind\": \"train\", \"seed\": 3, \"params\": {" DATA
                                 ", \"batch_size\": 8, \"epochs\": 1, " MODEL "}}");
    deltas = finished(rig, with_id(EXPLAIN_OF(""), rig->trained));
    heat = finished(rig, with_id(EXPLAIN_OF(", \"explanation\": {\"source\": \"gradcam\", "
                                            "\"classes\": \"all\"}"),
                                 rig->trained));
    *state = rig;
    return 0;
}

static void open_maps(Rig *rig, int64_t job, Split split, MapFile *ret)
{
    char name[ARTEFACT_NAME_MAX], *path;
    Artefact artefact;

    snprintf(name, sizeof name, "maps/%s", split_names[split]);
    assert_int_equal(store_artefact_find(rig->store, job, name, &artefact, NULL), STATUS_OK);
    assert_int_equal(store_artefact_verify(rig->store, &artefact, NULL), STATUS_OK);
    path = store_artefact_file(rig->store, &artefact);
    assert_int_equal(map_file_open(path, ret, NULL), STATUS_OK);
    free(path);
}

/* --- explain --- */

static void an_attack_leaves_a_file_of_deltas_for_each_split(void **state)
{
    static const uint32_t images[] = { TRAIN, VAL, TEST };
    Rig *rig = *state;
    Job job = succeeded(rig, deltas);
    json_t *result = json_loads(job.result, 0, NULL);

    assert_int_equal(job.progress.step, TRAIN + VAL + TEST);
    assert_int_equal(job.progress.steps, TRAIN + VAL + TEST);
    for (Split split = 0; split < SPLIT_COUNT; split++) {
        json_t *file = json_object_get(json_object_get(result, "maps"), split_names[split]);
        MapFile maps = { 0 };

        open_maps(rig, deltas, split, &maps);
        assert_int_equal(maps.split, split);
        assert_int_equal(maps.set.shape.kind, MAP_DELTA);
        assert_int_equal(maps.set.shape.images, images[split]);
        assert_int_equal(maps.set.shape.height, 32);
        assert_true(maps.set.max[0] > 0);
        assert_string_equal(map_file_metadata(&maps, "source"), "pgd_l2");
        assert_int_equal(json_integer_value(json_object_get(file, "images")), images[split]);
        assert_int_equal(json_string_length(json_object_get(file, "sha256")), 64);
        map_file_close(&maps);
    }
    json_decref(result);
    job_clear(&job);
}

static void what_is_left_out_is_what_suits_the_source(void **state)
{
    Rig *rig = *state;
    Job job = succeeded(rig, deltas);
    json_t *params = json_loads(job.params, 0, NULL);
    json_t *x = json_object_get(params, "explanation");

    assert_true(json_real_value(json_object_get(x, "eps")) == 0.5);
    assert_int_equal(json_integer_value(json_object_get(x, "steps")), 4);
    assert_true(json_is_null(json_object_get(x, "step_size")));
    assert_string_equal(json_string_value(json_object_get(x, "target")), "label");
    assert_string_equal(json_string_value(json_object_get(x, "reweight")), "absolute");
    json_decref(params);
    job_clear(&job);
    job = succeeded(rig, heat);
    params = json_loads(job.params, 0, NULL);
    x = json_object_get(params, "explanation");
    assert_string_equal(json_string_value(json_object_get(x, "reweight")), "mix");
    assert_true(json_real_value(json_object_get(x, "f")) == 0.3);
    json_decref(params);
    job_clear(&job);
}

static void heat_maps_of_all_classes_are_a_map_a_class(void **state)
{
    Rig *rig = *state;
    MapFile maps = { 0 };

    open_maps(rig, heat, SPLIT_VAL, &maps);
    assert_int_equal(maps.set.shape.kind, MAP_HEAT);
    assert_int_equal(maps.set.shape.maps, 10);
    assert_int_equal(maps.set.shape.height, 8); /* layer3 */
    map_file_close(&maps);
}

static void splits_may_be_chosen(void **state)
{
    Rig *rig = *state;
    int64_t id = finished(rig, with_id(EXPLAIN_OF(", \"splits\": [\"test\"]"), rig->trained));
    Artefact artefact;

    assert_int_equal(store_artefact_find(rig->store, id, "maps/test", &artefact, NULL), STATUS_OK);
    assert_int_equal(store_artefact_find(rig->store, id, "maps/train", &artefact, NULL),
                     STATUS_NOT_FOUND);
}

static void the_same_job_leaves_the_same_bytes_for_any_threads(void **state)
{
    Rig *rig = *state;
    char text[512];
    Artefact one, two;
    int64_t id;

    snprintf(text, sizeof text,
             "{\"kind\": \"explain\", \"seed\": 5, \"threads\": 3, \"params\": {" DATA
             ", \"checkpoint\": {\"job\": %lld}}}",
             (long long)rig->trained);
    id = finished(rig, text);
    assert_int_equal(store_artefact_find(rig->store, deltas, "maps/train", &one, NULL), STATUS_OK);
    assert_int_equal(store_artefact_find(rig->store, id, "maps/train", &two, NULL), STATUS_OK);
    assert_string_equal(one.sha256, two.sha256);
}

static void an_interrupted_job_keeps_the_splits_it_has(void **state)
{
    Rig *rig = *state;
    int64_t id =
        submit(rig, with_id(EXPLAIN_OF(", \"explanation\": {\"steps\": 20}"), rig->trained));
    Job job = wait_for(rig, id, TRAIN); /* the first split is there, or nearly */
    Artefact train, again;

    job_clear(&job);
    close_queue(rig);
    open_queue(rig);
    job = succeeded(rig, id);
    assert_int_equal(job.progress.step, TRAIN + VAL + TEST);
    job_clear(&job);
    assert_int_equal(store_artefact_find(rig->store, id, "maps/train", &train, NULL), STATUS_OK);
    id = finished(rig, with_id(EXPLAIN_OF(", \"explanation\": {\"steps\": 20}"), rig->trained));
    assert_int_equal(store_artefact_find(rig->store, id, "maps/train", &again, NULL), STATUS_OK);
    assert_string_equal(train.sha256, again.sha256);
}

static void a_bad_explanation_is_refused_by_field(void **state)
{
    Rig *rig = *state;
    const int64_t id = rig->trained;

    refused(rig, with_id(EXPLAIN_OF(", \"explanation\": {\"eps\": -1}"), id),
            "/params/explanation/eps");
    refused(rig, with_id(EXPLAIN_OF(", \"explanation\": {\"source\": \"lime\"}"), id),
            "/params/explanation/source");
    refused(rig,
            with_id(EXPLAIN_OF(", \"explanation\": {\"source\": \"gradcam\", \"layer\": "
                               "\"layer9\"}"),
                    id),
            "/params/explanation/layer");
    refused(rig, with_id(EXPLAIN_OF(", \"explanation\": {\"f\": 2}"), id), "/params/explanation/f");
    refused(rig, with_id(EXPLAIN_OF(", \"splits\": []"), id), "/params/splits");
    refused(rig, with_id(EXPLAIN_OF(", \"splits\": [\"test\", \"other\"]"), id),
            "/params/splits/1");
    refused(rig, with_id(EXPLAIN_OF(", \"split_seed\": 99"), id), "/params/split_seed");
    refused(rig, with_id(EXPLAIN_OF(""), 999), "/params/checkpoint");
    refused(rig, "{\"kind\": \"explain\", \"params\": {\"dataset\": \"shapes\"}}",
            "/params/checkpoint");
}

/* --- audience --- */

static void an_audience_reports_raw_and_reweighted_images(void **state)
{
    Rig *rig = *state;
    Job job = succeeded(rig, submit(rig, with_id(AUDIENCE_OF(""), deltas)));
    json_t *params = json_loads(job.params, 0, NULL);

    assert_true(latest(&job, "audience/val/raw/loss") > 0);
    assert_in_range((int)(latest(&job, "audience/val/raw/accuracy") * VAL), 0, VAL);
    assert_true(latest(&job, "audience/val/reweighted/accuracy") == latest(&job, "val/accuracy"));
    assert_in_range((int)(latest(&job, "test/accuracy") * TEST), 0, TEST);
    assert_int_equal(json_integer_value(json_object_get(params, "val_images")),
                     VAL); /* inherited */
    assert_int_equal(json_integer_value(json_object_get(params, "split_seed")), 3);
    assert_int_equal(json_integer_value(json_object_get(params, "test_images")), TEST);
    assert_string_equal(json_string_value(json_object_get(params, "reweight")), "absolute");
    json_decref(params);
    job_clear(&job);
}

static void grouped_images_and_controls_are_inputs_like_others(void **state)
{
    static const char *const jobs[] = {
        AUDIENCE_OF(", \"input\": \"image+maps\""),
        AUDIENCE_OF(", \"input\": \"image\""),
        AUDIENCE_OF(", \"control\": \"other\""),
        AUDIENCE_OF(", \"control\": \"random\""),
    };
    Rig *rig = *state;
    char digest[4][SHA256_HEX], text[1024];

    for (size_t i = 0; i < 4; i++) {
        const char *at = strstr(jobs[i], "%lld");

        snprintf(text, sizeof text, "%.*s%lld%s", (int)(at - jobs[i]), jobs[i], (long long)heat,
                 at + strlen("%lld"));
        the_digest(rig, finished(rig, text), digest[i]);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(digest[k], digest[i]);
    }
}

#define PROFILED AUDIENCE_OF(", \"profile\": 2")

static void an_audience_has_a_plan_and_a_profile(void **state)
{
    Rig *rig = *state;
    json_t *body = json_loads(with_id(PROFILED, heat), 0, NULL), *profile;
    JobPlan plan = { 0 };
    char *text = NULL;

    assert_int_equal(queue_print(rig->queue, body, &plan, &text, NULL), STATUS_OK);
    assert_non_null(strstr(text, "8 images, training"));
    json_decref(plan.params);
    json_decref(body);
    free(text);
    assert_int_equal(
        store_profile_get(rig->store, finished(rig, with_id(PROFILED, heat)), &text, NULL),
        STATUS_OK);
    profile = json_loads(text, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(profile, "steps")), 2);
    json_decref(profile);
    free(text);
}

static void a_drained_audience_ends_with_the_same_bits(void **state)
{
    Rig *rig = *state;
    char whole[SHA256_HEX], resumed[SHA256_HEX];
    int64_t id = finished(rig, with_id(AUDIENCE_OF(""), heat));
    Job job;

    the_digest(rig, id, whole);
    id = submit(rig, with_id(AUDIENCE_OF(""), heat));
    job = wait_for(rig, id, 2);
    job_clear(&job);
    close_queue(rig);
    open_queue(rig);
    job = succeeded(rig, id);
    assert_true(job.attempt == 1 || job.resumed_step > 0);
    job_clear(&job);
    the_digest(rig, id, resumed);
    assert_string_equal(whole, resumed);
}

static void a_bad_audience_is_refused_by_field(void **state)
{
    Rig *rig = *state;
    int64_t half = finished(rig, with_id(EXPLAIN_OF(", \"splits\": [\"test\"]"), rig->trained));

    refused(rig, "{\"kind\": \"audience\", \"params\": {\"dataset\": \"shapes\"}}",
            "/params/maps/job");
    refused(rig, with_id(AUDIENCE_OF(""), 999), "/params/maps");
    refused(rig, with_id(AUDIENCE_OF(""), rig->trained), "/params/maps"); /* leaves none */
    refused(rig, with_id(AUDIENCE_OF(""), half), "/params/maps");         /* of some splits */
    refused(rig, with_id(AUDIENCE_OF(", \"train_images\": 63"), heat), "/params/train_images");
    refused(rig, with_id(AUDIENCE_OF(", \"val_images\": 8"), heat), "/params/val_images");
    refused(rig, with_id(AUDIENCE_OF(", \"test_images\": 21"), heat), "/params/maps");
    refused(rig, with_id(AUDIENCE_OF(", \"control\": \"none at all\""), heat), "/params/control");
    refused(rig,
            with_id("{\"kind\": \"audience\", \"params\": {\"dataset\": \"gone\", \"maps\": "
                    "{\"job\": %lld}}}",
                    heat),
            "/params/dataset"); /* another data set */
}

static void a_maps_file_that_is_not_what_it_was_fails_the_job(void **state)
{
    Rig *rig = *state;
    int64_t id = finished(rig, with_id(EXPLAIN_OF(""), rig->trained));
    Artefact artefact;
    char *path, byte = 0;
    Job job;
    int fd;

    assert_int_equal(store_artefact_find(rig->store, id, "maps/train", &artefact, NULL), STATUS_OK);
    path = store_artefact_file(rig->store, &artefact);
    fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, (off_t)artefact.bytes - 5), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)artefact.bytes - 5), 1);
    close(fd);
    free(path);
    job = ended(rig, submit(rig, with_id(AUDIENCE_OF(""), id)), JOB_FAILED);
    assert_non_null(strstr(job.reason, "corrupt"));
    job_clear(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_attack_leaves_a_file_of_deltas_for_each_split),
        cmocka_unit_test(what_is_left_out_is_what_suits_the_source),
        cmocka_unit_test(heat_maps_of_all_classes_are_a_map_a_class),
        ALONE(splits_may_be_chosen),
        cmocka_unit_test(the_same_job_leaves_the_same_bytes_for_any_threads),
        ALONE(an_interrupted_job_keeps_the_splits_it_has),
        cmocka_unit_test(a_bad_explanation_is_refused_by_field),
        cmocka_unit_test(an_audience_reports_raw_and_reweighted_images),
        ALONE(grouped_images_and_controls_are_inputs_like_others),
        ALONE(an_audience_has_a_plan_and_a_profile),
        ALONE(a_drained_audience_ends_with_the_same_bits),
        cmocka_unit_test(a_bad_audience_is_refused_by_field),
        ALONE(a_maps_file_that_is_not_what_it_was_fails_the_job),
    };

    return cmocka_run_group_tests_name("explain_kinds", tests, setup, rig_teardown);
}
