/* The kinds quality and robustness as jobs: what they report, how they go on, what they refuse. */
#include "tests/unit/kinds_rig.h"

#include "core/quality/metric.h"
#include "server/store/artefacts.h"

enum { TEST = 40 };

#define DATA \
    "\"dataset\": \"shapes\", \"train_images\": 160, \"val_images\": 16, \"test_images\": 40"
#define QUALITY_OF(more)                                      \
    "{\"kind\": \"quality\", \"seed\": 5, \"params\": {" DATA \
    ", \"checkpoint\": {\"job\": %lld}" more "}}"
#define ROBUSTNESS_OF(more)                                      \
    "{\"kind\": \"robustness\", \"seed\": 5, \"params\": {" DATA \
    ", \"checkpoint\": {\"job\": %lld}" more "}}"

static char with_text[1024];

#define with_id(format, id) \
    (snprintf(with_text, sizeof with_text, format, (long long)(id)), (const char *)with_text)

static Scratch folder; /* of a data set without masks */

/* Records of CIFAR-10's binary layout. */
static void write_records(const char *name, uint32_t images)
{
    FILE *file = fopen(scratch_path(&folder, name), "wb");

    assert_non_null(file);
    for (uint32_t i = 0; i < images; i++) {
        assert_int_equal(fputc((int)(i % 10), file), i % 10);
        for (uint32_t k = 0; k < 3072; k++)
            assert_int_equal(fputc((int)((i * 31 + k * 7) % 256), file), (i * 31 + k * 7) % 256);
    }
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    char spec[96];
    const char *const specs[] = { spec };
    Rig *rig;
    Job job;

    folder = scratch_new();
    write_records("data_batch_1.bin", 10);
    write_records("test_batch.bin", 10);
    snprintf(spec, sizeof spec, "plain=%s", folder.path);
    rig = rig_open_with(specs, 1);

    rig->trained = submit(rig, "{\"kind\": \"train\", \"seed\": 3, \"params\": {" DATA
                               ", \"batch_size\": 16, \"epochs\": 2, \"model\": {\"name\": "
                               "\"resnet18\", \"width\": 4}}}");
    job = succeeded(rig, rig->trained);
    job_clear(&job);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    scratch_remove(&folder);
    return rig_teardown(state);
}

/* The finished job's result, to be freed. */
static json_t *result_of(Rig *rig, const char *text, Job *ret)
{
    json_t *result;

    *ret = succeeded(rig, submit(rig, text));
    result = json_loads(ret->result, 0, NULL);
    assert_non_null(result);
    return result;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    assert_true(json_is_number(value));
    return json_number_value(value);
}

/* --- quality --- */

/* As JSON has it. */
static void same_number(double a, double b)
{
    if (!(fabs(a - b) <= 1e-14 * fabs(b)))
        fail_msg("%.17g is not %.17g", a, b);
}

static void all_metrics_are_reported_with_their_intervals(void **state)
{
    Rig *rig = *state;
    Job job, trained;
    json_t *result = result_of(rig, with_id(QUALITY_OF(", \"images\": 8"), rig->trained), &job);
    json_t *quality = json_object_get(result, "quality");
    char key[METRIC_KEY_MAX];

    trained = succeeded(rig, rig->trained);
    assert_int_equal(number(result, "images"), 8);
    assert_int_equal(job.progress.step, 8);
    assert_int_equal(job.progress.steps, 8);
    assert_int_equal(json_object_size(json_object_get(result, "left_out")), 0);
    for (uint32_t i = 0; metric_table[i] != NULL; i++) {
        const char *name = metric_table[i]->described.name;
        json_t *row = json_object_get(quality, name);

        if (strcmp(name, "pointing_game_off_centre") == 0) { /* some of them, or none */
            assert_true(number(row, "n") < 8);
            continue;
        }
        assert_int_equal(number(row, "n"), 8);
        snprintf(key, sizeof key, "quality/%s", name);
        same_number(latest(&job, key), number(row, "mean"));
        snprintf(key, sizeof key, "quality/%s/low", name);
        same_number(latest(&job, key), number(row, "low"));
        snprintf(key, sizeof key, "quality/%s/high", name);
        same_number(latest(&job, key), number(row, "high"));
        assert_true(number(row, "low") <= number(row, "mean"));
    }
    for (uint32_t i = 0; i < job.latest_count; i++) /* beside the numbers of the job it is about */
        assert_int_equal(job.latest[i].step, trained.progress.step);
    job_clear(&trained);
    job_clear(&job);
    json_decref(result);
}

static json_t *sanity_of(Rig *rig, const char *text)
{
    Job job;
    json_t *result = result_of(rig, text, &job), *sanity;

    sanity =
        json_incref(json_object_get(json_object_get(result, "quality"), "sanity_randomisation"));
    json_decref(result);
    job_clear(&job);
    return sanity;
}

static void grad_cam_passes_the_sanity_check_and_what_ignores_the_weights_fails(void **state)
{
    Rig *rig = *state;
    json_t *sanity = sanity_of(
        rig, with_id(QUALITY_OF(", \"images\": 10, \"metrics\": [\"sanity_randomisation\"]"),
                     rig->trained));
    json_t *cascade = json_object_get(sanity, "cascade");

    assert_true(json_is_true(json_object_get(sanity, "passed")));
    assert_int_equal(json_array_size(cascade), 7);
    assert_string_equal(json_string_value(json_object_get(json_array_get(cascade, 0), "block")),
                        "fc");
    assert_true(json_is_object(json_object_get(json_array_get(cascade, 6), "ssim")));
    json_decref(sanity);
    sanity = sanity_of(
        rig, with_id(QUALITY_OF(", \"metrics\": [\"sanity_randomisation\"], \"method\": \"edges\""),
                     rig->trained));
    assert_true(json_is_false(json_object_get(sanity, "passed")));
    assert_true(number(sanity, "mean") == 1);
    json_decref(sanity);
}

static void an_attack_and_a_baseline_are_methods_too(void **state)
{
    Rig *rig = *state;

    for (int i = 0; i < 2; i++) {
        Job job;
        json_t *result = result_of(
            rig,
            with_id(i == 0 ? QUALITY_OF(", \"method\": \"pgd_l2\", \"images\": 3, \"metrics\": "
                                        "[\"pointing_game\", \"road\"]")
                           : QUALITY_OF(", \"method\": \"centre\", \"images\": 3, \"metrics\": "
                                        "[\"pointing_game\", \"road\"]"),
                    rig->trained),
            &job);

        assert_int_equal(json_object_size(json_object_get(result, "quality")), 2);
        assert_int_equal(number(result, "images"), 3);
        json_decref(result);
        job_clear(&job);
    }
}

#define PLAIN_OF(more)                                                                        \
    "{\"kind\": \"quality\", \"params\": {\"dataset\": \"plain\", \"checkpoint\": {\"job\": " \
    "%lld}" more "}}"

static void without_masks_what_needs_them_is_refused_by_name_or_left_out(void **state)
{
    Rig *rig = *state;
    Job job;
    json_t *result, *left_out;

    refused(rig, with_id(PLAIN_OF(", \"metrics\": [\"road\", \"energy_in_mask\"]"), rig->trained),
            "/params/metrics/1");
    result = result_of(rig, with_id(PLAIN_OF(", \"images\": 2"), rig->trained), &job);
    left_out = json_object_get(result, "left_out");
    assert_int_equal(json_object_size(left_out), 3);
    assert_true(json_is_string(json_object_get(left_out, "pointing_game")));
    assert_null(json_object_get(json_object_get(result, "quality"), "pointing_game"));
    assert_non_null(json_object_get(json_object_get(result, "quality"), "road"));
    json_decref(result);
    job_clear(&job);
    result = result_of(rig, with_id(PLAIN_OF(", \"metrics\": [\"increase\"]"), rig->trained), &job);
    assert_int_equal(json_object_size(json_object_get(result, "left_out")), 0);
    json_decref(result);
    job_clear(&job);
}

static char *result_text(Rig *rig, int64_t id)
{
    Job job = succeeded(rig, id);
    char *text = strdup(job.result);

    assert_non_null(text);
    job_clear(&job);
    return text;
}

/* Stopped from step `step` on and started again, a job ends as one that was not. */
static void ends_alike(Rig *rig, const char *text, uint64_t step)
{
    int64_t whole = submit(rig, text), id;
    char *one = result_text(rig, whole), *two;
    Artefact artefact;
    Job job;

    id = submit(rig, text);
    job = wait_for(rig, id, step);
    job_clear(&job);
    close_queue(rig);
    open_queue(rig);
    two = result_text(rig, id);
    assert_string_equal(one, two);
    if (store_artefact_find(rig->store, id, "samples", &artefact, NULL) == STATUS_OK)
        assert_int_equal(store_artefact_verify(rig->store, &artefact, NULL), STATUS_OK);
    free(one);
    free(two);
}

static void a_drained_measurement_ends_with_the_same_numbers(void **state)
{
    Rig *rig = *state;

    ends_alike(rig, with_id(QUALITY_OF(", \"metrics\": [\"road\"]"), rig->trained), 16);
}

static void what_is_left_out_is_filled_in(void **state)
{
    Rig *rig = *state;
    Job job;
    json_t *params;
    int64_t id = submit(rig, with_id(QUALITY_OF(", \"metrics\": [\"increase\"]"), rig->trained));

    job = succeeded(rig, id);
    params = json_loads(job.params, 0, NULL);
    assert_int_equal(number(params, "images"), TEST); /* all there are, below 1000 */
    assert_string_equal(json_string_value(json_object_get(params, "method")), "gradcam");
    assert_string_equal(json_string_value(json_object_get(params, "split")), "test");
    json_decref(params);
    job_clear(&job);
}

static void a_bad_measurement_is_refused_by_field(void **state)
{
    Rig *rig = *state;
    const int64_t id = rig->trained;

    refused(rig, with_id(QUALITY_OF(", \"metrics\": [\"road\", \"beauty\"]"), id),
            "/params/metrics/1");
    refused(rig, with_id(QUALITY_OF(", \"metrics\": [\"road\", \"road\"]"), id),
            "/params/metrics/1");
    refused(rig, with_id(QUALITY_OF(", \"method\": \"lime\""), id), "/params/method");
    refused(rig, with_id(QUALITY_OF(", \"layer\": \"layer9\""), id), "/params/layer");
    refused(rig, with_id(QUALITY_OF(", \"method\": \"centre\", \"layer\": \"layer3\""), id),
            "/params/layer");
    refused(rig, with_id(QUALITY_OF(", \"images\": 41"), id), "/params/images");
    refused(rig, with_id(QUALITY_OF(", \"images\": 0"), id), "/params/images");
    refused(rig, with_id(QUALITY_OF(", \"split\": \"all\""), id), "/params/split");
    refused(rig, with_id(QUALITY_OF(", \"split_seed\": 99"), id), "/params/split_seed");
    refused(rig, with_id(QUALITY_OF(""), 999), "/params/checkpoint");
    refused(rig, "{\"kind\": \"quality\", \"params\": {\"dataset\": \"shapes\"}}",
            "/params/checkpoint");
}

/* --- robustness --- */

static void accuracy_falls_under_attack_and_no_budget_changes_nothing(void **state)
{
    Rig *rig = *state;
    Job job;
    json_t *result = result_of(
        rig,
        with_id(ROBUSTNESS_OF(", \"attacks\": [{\"name\": \"fgsm\", \"eps\": [0, 0.02, 0.5]}, "
                              "{\"name\": \"pgd_l2\", \"eps\": [8], \"steps\": 4}]"),
                rig->trained),
        &job);
    json_t *fgsm = json_object_get(json_object_get(result, "robustness"), "fgsm");
    double clean = number(json_object_get(result, "clean"), "mean");

    assert_int_equal(job.progress.step, TEST);
    same_number(latest(&job, "robustness/clean/accuracy"), clean);
    assert_true(number(json_object_get(fgsm, "0"), "mean") == clean);
    assert_true(number(json_object_get(fgsm, "0.02"), "mean") <= clean);
    same_number(latest(&job, "robustness/fgsm/0.02/accuracy"),
                number(json_object_get(fgsm, "0.02"), "mean"));
    assert_true(isfinite(latest(&job, "robustness/fgsm/0.02/accuracy/low")));
    assert_true(isfinite(latest(&job, "robustness/fgsm/0.02/accuracy/high")));
    assert_true(latest(&job, "robustness/pgd_l2/8/accuracy") < clean);
    json_decref(result);
    job_clear(&job);
}

static void attacks_and_budgets_have_defaults(void **state)
{
    Rig *rig = *state;
    Job job;
    json_t *result = result_of(rig, with_id(ROBUSTNESS_OF(", \"images\": 3"), rig->trained), &job);
    json_t *attacks = json_object_get(result, "robustness");

    assert_int_equal(json_object_size(attacks), 2);
    assert_int_equal(json_object_size(json_object_get(attacks, "pgd_linf")), 3);
    json_decref(result);
    job_clear(&job);
    result = result_of(rig,
                       with_id(ROBUSTNESS_OF(", \"images\": 3, \"attacks\": [{\"name\": "
                                             "\"pgd_l2\"}]"),
                               rig->trained),
                       &job);
    attacks = json_object_get(result, "robustness");
    assert_true(json_is_object(json_object_get(json_object_get(attacks, "pgd_l2"), "0.5")));
    json_decref(result);
    job_clear(&job);
}

static void a_drained_attack_ends_with_the_same_numbers(void **state)
{
    Rig *rig = *state;

    ends_alike(rig,
               with_id(ROBUSTNESS_OF(", \"attacks\": [{\"name\": \"pgd_linf\", \"eps\": [0.01, "
                                     "0.02]}]"),
                       rig->trained),
               32);
}

static void a_bad_attack_is_refused_by_field(void **state)
{
    Rig *rig = *state;
    const int64_t id = rig->trained;

    refused(rig, with_id(ROBUSTNESS_OF(", \"attacks\": []"), id), "/params/attacks");
    refused(rig, with_id(ROBUSTNESS_OF(", \"attacks\": [{\"name\": \"magic\"}]"), id),
            "/params/attacks/0/name");
    refused(
        rig,
        with_id(ROBUSTNESS_OF(", \"attacks\": [{\"name\": \"fgsm\", \"eps\": [0.1, -0.1]}]"), id),
        "/params/attacks/0/eps/1");
    refused(
        rig,
        with_id(ROBUSTNESS_OF(", \"attacks\": [{\"name\": \"fgsm\", \"eps\": [0.1, 0.1]}]"), id),
        "/params/attacks/0/eps/1");
    refused(rig, with_id(ROBUSTNESS_OF(", \"attacks\": [{\"name\": \"fgsm\", \"steps\": 3}]"), id),
            "/params/attacks/0/steps");
    refused(rig, with_id(ROBUSTNESS_OF(", \"images\": 41"), id), "/params/images");
    refused(rig, with_id(ROBUSTNESS_OF(""), 999), "/params/checkpoint");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_metrics_are_reported_with_their_intervals),
        cmocka_unit_test(grad_cam_passes_the_sanity_check_and_what_ignores_the_weights_fails),
        cmocka_unit_test(an_attack_and_a_baseline_are_methods_too),
        cmocka_unit_test(without_masks_what_needs_them_is_refused_by_name_or_left_out),
        cmocka_unit_test(a_drained_measurement_ends_with_the_same_numbers),
        cmocka_unit_test(what_is_left_out_is_filled_in),
        cmocka_unit_test(a_bad_measurement_is_refused_by_field),
        cmocka_unit_test(accuracy_falls_under_attack_and_no_budget_changes_nothing),
        cmocka_unit_test(attacks_and_budgets_have_defaults),
        cmocka_unit_test(a_drained_attack_ends_with_the_same_numbers),
        cmocka_unit_test(a_bad_attack_is_refused_by_field),
    };

    return cmocka_run_group_tests_name("quality_kinds", tests, setup, teardown);
}
