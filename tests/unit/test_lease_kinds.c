/* The four steps of LeaSE as one job, and the fourth alone. */
#include "tests/unit/kinds_rig.h"

#include "core/nn/safetensors.h"
#include "server/store/artefacts.h"
#include "server/store/genotypes.h"

#define SMALL "\"channels\": 4, \"cells\": 3, \"batch_size\": 8, \"epochs\": 1"
#define AUDIENCE                                                                            \
    "\"audience\": {\"model\": {\"name\": \"resnet18\", \"width\": 4}, \"batch_size\": 8, " \
    "\"epochs\": 1"
#define LEASE_OF(explainer, audience, more)                                                     \
    "{\"kind\": \"lease\", \"seed\": 3, \"threads\": 2, \"params\": {\"dataset\": \"shapes\", " \
    "\"train_images\": 16, \"test_images\": 8, \"rounds\": 2, \"epochs\": 2, \"explainer\": "   \
    "{" SMALL explainer "}, " AUDIENCE audience "}, \"explanation\": {\"steps\": 1}" more "}}"
#define STAGED LEASE_OF("", "", "")
#define JOINT LEASE_OF("", "", ", \"mode\": \"joint\"")

static char with_text[1024];

#define with_ids(format, ...) \
    (snprintf(with_text, sizeof with_text, format, __VA_ARGS__), (const char *)with_text)

static int setup(void **state)
{
    Rig *rig = rig_open();
    Job job;

    rig->trained = submit(rig, STAGED);
    job = succeeded(rig, rig->trained);
    job_clear(&job);
    *state = rig;
    return 0;
}

static json_int_t number_of(const char *json, const char *key)
{
    json_t *object = json_loads(json, 0, NULL);
    json_int_t out = json_integer_value(json_object_get(object, key));

    json_decref(object);
    return out;
}

static void reports_both_networks_on_raw_and_reweighted_images(const Job *job)
{
    assert_true(latest(job, "explainer/train/loss") > 0);
    assert_true(latest(job, "audience/train/loss") > 0);
    assert_true(latest(job, "explainer/val/raw/accuracy") == latest(job, "val/accuracy"));
    assert_true(latest(job, "explainer/test/raw/accuracy") == latest(job, "test/accuracy"));
    assert_in_range((int)(latest(job, "explainer/val/reweighted/accuracy") * 8), 0, 8);
    assert_in_range((int)(latest(job, "audience/val/raw/accuracy") * 8), 0, 8);
    assert_in_range((int)(latest(job, "audience/val/reweighted/accuracy") * 8), 0, 8);
    assert_true(latest(job, "search/entropy/normal") > 1);
}

static void every_epoch_is_there(Rig *rig, const Job *job)
{
    int64_t genotype = 0;

    assert_true(job->progress.epochs > 1);
    assert_int_equal(job->progress.epoch, job->progress.epochs);
    for (uint32_t epoch = 1; epoch <= job->progress.epochs; epoch++) {
        uint32_t found;
        uint64_t step;
        char *text = NULL;

        assert_int_equal(store_genotype_of(rig->store, job->id, epoch, &genotype, NULL), STATUS_OK);
        assert_int_equal(store_alphas_get(rig->store, job->id, epoch, &found, &step, &text, NULL),
                         STATUS_OK);
        free(text);
    }
    assert_int_equal(number_of(job->result, "genotype"), genotype);
    assert_int_equal(number_of(job->result, "epoch"), job->progress.epochs);
}

static void a_staged_lease_reports_and_finds(void **state)
{
    Rig *rig = *state;
    Job job = succeeded(rig, rig->trained);

    reports_both_networks_on_raw_and_reweighted_images(&job);
    every_epoch_is_there(rig, &job);
    job_clear(&job);
}

static void a_joint_lease_does_so_too(void **state)
{
    Rig *rig = *state;
    Job job = succeeded(rig, submit(rig, JOINT));

    reports_both_networks_on_raw_and_reweighted_images(&job);
    every_epoch_is_there(rig, &job);
    assert_int_equal(job.progress.epochs, 2);
    job_clear(&job);
}

static void has_checkpoint(Rig *rig, int64_t id, const char *tensor)
{
    StFile *file = NULL;
    Checkpoint c;
    char *path;

    assert_int_equal(queue_checkpoint(rig->queue, id, "latest", &c, NULL), STATUS_OK);
    path = store_checkpoint_file(rig->store, &c);
    assert_int_equal(safetensors_open(path, &file, NULL), STATUS_OK);
    assert_non_null(safetensors_find(file, tensor));
    safetensors_close(file);
    free(path);
}

static void a_checkpoint_holds_both_networks(void **state)
{
    Rig *rig = *state;

    has_checkpoint(rig, rig->trained, "explainer.alphas_normal");
    has_checkpoint(rig, rig->trained, "explainer.stem.0.weight");
    has_checkpoint(rig, rig->trained, "audience.conv1.weight");
}

static void a_drained_lease_ends_with_the_same_bits(void **state)
{
    drained_ends_alike(*state, STAGED, 3);
}

static void an_explainer_without_an_architecture_is_fine(void **state)
{
    Rig *rig = *state;
    Job job = succeeded(
        rig, submit(rig, LEASE_OF(", \"model\": {\"name\": \"resnet18\", \"width\": 4}", "", "")));

    assert_string_equal(job.result, "{}");
    assert_true(latest(&job, "audience/val/reweighted/accuracy") >= 0);
    assert_true(isnan(latest(&job, "search/entropy/normal")));
    job_clear(&job);
}

/* --- from and to other jobs --- */

static void two_networks_are_no_checkpoint_to_explain_with(void **state)
{
    Rig *rig = *state;

    refused(
        rig,
        with_ids("{\"kind\": \"explain\", \"params\": {\"dataset\": \"shapes\", \"checkpoint\": "
                 "{\"job\": %lld}}}",
                 (long long)rig->trained),
        "/params/checkpoint");
}

#define SUPERNET                                                                                  \
    "{\"kind\": \"train\", \"seed\": 3, \"params\": {\"dataset\": \"shapes\", \"train_images\": " \
    "64, "                                                                                        \
    "\"val_images\": 16, \"test_images\": 8, \"batch_size\": 8, \"epochs\": 1, \"model\": "       \
    "{\"name\": "                                                                                 \
    "\"supernet\", \"channels\": 4, \"cells\": 3}}}"

static int64_t finished(Rig *rig, const char *text)
{
    int64_t id = submit(rig, text);
    Job job = succeeded(rig, id);

    job_clear(&job);
    return id;
}

static void what_a_lease_found_can_be_derived(void **state)
{
    Rig *rig = *state;
    Job lease = succeeded(rig, rig->trained), job;
    Checkpoint best;
    int64_t id;

    job = succeeded(rig, submit(rig, with_ids("{\"kind\": \"derive\", \"params\": {\"job\": %lld}}",
                                              (long long)rig->trained)));
    assert_int_equal(number_of(job.result, "genotype"), number_of(lease.result, "genotype"));
    job_clear(&job);
    job_clear(&lease);
    assert_int_equal(queue_checkpoint(rig->queue, rig->trained, "best", &best, NULL), STATUS_OK);
    job = succeeded(rig, submit(rig, with_ids("{\"kind\": \"derive\", \"params\": {\"job\": %lld, "
                                              "\"epoch\": \"best\"}}",
                                              (long long)rig->trained)));
    assert_int_equal(store_genotype_of(rig->store, rig->trained, best.epoch, &id, NULL), STATUS_OK);
    assert_int_equal(number_of(job.result, "genotype"), id);
    job_clear(&job);
}

/* Fault 6 of the public code: the four steps cannot run alone. Here each is a job that reads what
 * others left, by its name, and leaves something by a name itself. */
static void fault_6_each_step_is_a_job_of_its_own(void **state)
{
    Rig *rig = *state;
    int64_t explainer = finished(rig, SUPERNET), maps, audience, search;
    Job job;

    has_checkpoint(rig, explainer, "alphas_normal");
    maps = finished(rig, with_ids("{\"kind\": \"explain\", \"params\": {\"dataset\": \"shapes\", "
                                  "\"test_images\": 8, \"checkpoint\": {\"job\": %lld}}}",
                                  (long long)explainer));
    for (Split split = 0; split < SPLIT_COUNT; split++) {
        Artefact file;
        char name[ARTEFACT_NAME_MAX];

        snprintf(name, sizeof name, "maps/%s", split_names[split]);
        assert_int_equal(store_artefact_find(rig->store, maps, name, &file, NULL), STATUS_OK);
        assert_int_equal(store_artefact_verify(rig->store, &file, NULL), STATUS_OK);
    }
    audience = finished(
        rig, with_ids("{\"kind\": \"audience\", \"params\": {\"dataset\": \"shapes\", \"maps\": "
                      "{\"job\": %lld}, \"model\": {\"name\": \"resnet18\", \"width\": 4}, "
                      "\"batch_size\": 8, \"epochs\": 1}}",
                      (long long)maps));
    has_checkpoint(rig, audience, "conv1.weight");
    refused(rig,
            with_ids("{\"kind\": \"search\", \"params\": {\"dataset\": \"shapes\", \"update\": "
                     "\"alphas\", \"epochs\": 1, \"batch_size\": 8, \"profile\": 2, "
                     "\"explainer\": {\"job\": %lld}, \"audience\": {\"job\": %lld}}}",
                     (long long)explainer, (long long)audience),
            "/params/profile");
    search = submit(
        rig, with_ids("{\"kind\": \"search\", \"params\": {\"dataset\": \"shapes\", \"update\": "
                      "\"alphas\", \"epochs\": 1, \"batch_size\": 8, \"test_images\": 8, "
                      "\"explainer\": {\"job\": %lld}, \"audience\": {\"job\": %lld}, "
                      "\"explanation\": {\"steps\": 1}}}",
                      (long long)explainer, (long long)audience));
    job = succeeded(rig, search);
    has_checkpoint(rig, search, "explainer.alphas_normal");
    assert_int_equal(job.progress.epoch, 1);
    assert_true(number_of(job.result, "genotype") > 0);
    assert_true(latest(&job, "explainer/val/raw/accuracy") >= 0);
    job_clear(&job);
}

/* Fault 8 of the public code: everything at once, by one small step (test_lease_faults.c). */
static void fault_8_the_defaults_are_stages_and_attacks_of_several_steps(void **state)
{
    Rig *rig = *state;
    json_t *body =
        json_loads("{\"kind\": \"lease\", \"params\": {\"dataset\": \"shapes\"}}", 0, NULL);
    json_t *explanation;
    JobPlan plan = { 0 };

    assert_int_equal(queue_dry_run(rig->queue, body, &plan, NULL), STATUS_OK);
    explanation = json_object_get(plan.params, "explanation");
    assert_string_equal(json_string_value(json_object_get(plan.params, "mode")), "staged");
    assert_string_equal(json_string_value(json_object_get(explanation, "source")), "pgd_l2");
    assert_int_equal(json_integer_value(json_object_get(explanation, "steps")), 4);
    json_decref(plan.params);
    json_decref(body);
}

static void a_bad_lease_is_refused_by_field(void **state)
{
    Rig *rig = *state;

    refused(rig, LEASE_OF(", \"space\": \"s9\"", "", ""), "/params/explainer/space");
    refused(rig, LEASE_OF(", \"searcher\": {\"name\": \"pcdarts\", \"k\": 3}", "", ""),
            "/params/explainer/searcher/k");
    refused(rig, LEASE_OF(", \"searcher\": {\"name\": \"random\"}", "", ""),
            "/params/explainer/searcher/name");
    refused(rig, LEASE_OF(", \"searcher\": {\"name\": \"darts\", \"order\": 2}", "", ""),
            "/params/explainer/searcher/order");
    refused(rig, LEASE_OF("", ", \"augment\": [{\"name\": \"cutout\"}]", ""),
            "/params/audience/augment/0");
    refused(rig, LEASE_OF(", \"checkpoint\": {\"job\": 999}", "", ""),
            "/params/explainer/checkpoint");
    refused(rig, LEASE_OF(", \"profile\": 2", "", ""), "/params/explainer/profile");
    refused(rig, LEASE_OF("", ", \"profile\": 2", ""), "/params/audience/profile");
    refused(rig, LEASE_OF("", "", ", \"lambda\": -1"), "/params/lambda");
    refused(rig, LEASE_OF("", "", ", \"mode\": \"both\""), "/params/mode");
    refused(rig, LEASE_OF("", "", ", \"val_images\": 0"), "/params/val_images");
    refused(rig,
            "{\"kind\": \"lease\", \"params\": {\"dataset\": \"shapes\", \"explanation\": "
            "{\"source\": \"gradcam\"}}}",
            "/params/hypergrad");
    refused(rig,
            "{\"kind\": \"search\", \"params\": {\"dataset\": \"shapes\", \"update\": \"alphas\"}}",
            "/params/explainer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_staged_lease_reports_and_finds),
        ALONE(a_joint_lease_does_so_too),
        cmocka_unit_test(a_checkpoint_holds_both_networks),
        ALONE(a_drained_lease_ends_with_the_same_bits),
        ALONE(an_explainer_without_an_architecture_is_fine),
        cmocka_unit_test(two_networks_are_no_checkpoint_to_explain_with),
        cmocka_unit_test(what_a_lease_found_can_be_derived),
        ALONE(fault_6_each_step_is_a_job_of_its_own),
        cmocka_unit_test(fault_8_the_defaults_are_stages_and_attacks_of_several_steps),
        cmocka_unit_test(a_bad_lease_is_refused_by_field),
    };

    return cmocka_run_group_tests_name("lease_kinds", tests, setup, rig_teardown);
}
