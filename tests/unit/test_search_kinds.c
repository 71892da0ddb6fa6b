/* Searches through the queue, and what follows from them: derive, evalarch. */
#include "tests/unit/kinds_rig.h"

#include "core/nn/genotype.h"
#include "server/store/artefacts.h"
#include "server/store/genotypes.h"

#define SEARCH_OF(more)                                                                          \
    "{\"kind\": \"search\", \"seed\": 3, \"threads\": 2, \"params\": {\"dataset\": \"shapes\", " \
    "\"train_images\": 64, \"test_images\": 16, \"channels\": 4, \"cells\": 3, \"batch_size\": " \
    "8, "                                                                                        \
    "\"epochs\": 2" more "}}"

/* Half of 64 images are 4 batches of 8. */
enum { EPOCHS = 2, STEPS = 8 };

static int setup(void **state)
{
    Rig *rig = rig_open();
    Job job;

    rig->trained = submit(rig, SEARCH_OF(""));
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

/* A job's text with one %lld filled in; the next call writes over it. */
static char with_text[512];

#define with_id(format, id) \
    (snprintf(with_text, sizeof with_text, format, (long long)(id)), (const char *)with_text)

/* --- search --- */

static void a_search_leaves_a_genotype_of_each_epoch(void **state)
{
    Rig *rig = *state;
    Job job = succeeded(rig, rig->trained);
    Genotype genotype;
    GenotypeRow row = { 0 };
    int64_t id = 0;

    assert_int_equal(job.progress.step, STEPS);
    for (uint32_t epoch = 1; epoch <= EPOCHS; epoch++)
        assert_int_equal(store_genotype_of(rig->store, rig->trained, epoch, &id, NULL), STATUS_OK);
    assert_int_equal(store_genotype_of(rig->store, rig->trained, EPOCHS + 1, &id, NULL),
                     STATUS_NOT_FOUND);
    assert_int_equal(store_genotype_of(rig->store, rig->trained, EPOCHS, &id, NULL), STATUS_OK);
    assert_int_equal(number_of(job.result, "genotype"), id);
    assert_int_equal(number_of(job.result, "epoch"), EPOCHS);
    assert_int_equal(store_genotype_get(rig->store, id, &row, NULL), STATUS_OK);
    assert_int_equal(genotype_parse(row.text, &genotype, NULL), STATUS_OK);
    genotype_row_clear(&row);
    job_clear(&job);
}

static void a_search_leaves_the_alphas_of_each_epoch(void **state)
{
    Rig *rig = *state;

    for (uint32_t epoch = 0; epoch <= EPOCHS; epoch++) {
        uint32_t found = 0;
        uint64_t step = 0;
        char *text = NULL;
        json_t *cells, *edge, *weights;
        double sum = 0;
        size_t i;
        json_t *value;

        assert_int_equal(
            store_alphas_get(rig->store, rig->trained, epoch, &found, &step, &text, NULL),
            STATUS_OK);
        assert_int_equal(found, epoch == 0 ? EPOCHS : epoch); /* 0: the newest */
        assert_int_equal(step, found * STEPS / EPOCHS);
        cells = json_loads(text, 0, NULL);
        assert_int_equal(
            json_array_size(json_object_get(json_object_get(cells, "reduce"), "edges")),
            CELL_EDGES);
        edge = json_array_get(json_object_get(json_object_get(cells, "normal"), "edges"), 2);
        assert_int_equal(json_integer_value(json_object_get(edge, "node")), 3);
        assert_int_equal(json_integer_value(json_object_get(edge, "input")), 0);
        assert_int_equal(json_array_size(json_object_get(edge, "candidates")), 3);
        weights = json_object_get(edge, "weights");
        json_array_foreach(weights, i, value) sum += json_real_value(value);
        assert_true(fabs(sum - 1) < 1e-6);
        assert_true(json_is_real(json_object_get(edge, "beta"))); /* PC-DARTS' */
        json_decref(cells);
        free(text);
    }
}

static void a_search_reports_scores_and_entropies(void **state)
{
    Rig *rig = *state;
    Job job = succeeded(rig, rig->trained);
    MetricList list = { 0 };

    assert_in_range((int)(latest(&job, "val/accuracy") * 32), 0, 32);
    assert_in_range((int)(latest(&job, "test/accuracy") * 16), 0, 16);
    assert_true(latest(&job, "train/loss") > 0);
    assert_true(latest(&job, "search/entropy/normal") < log(3) + 1e-6);
    assert_true(latest(&job, "search/entropy/normal") > 1); /* they have hardly moved yet */
    assert_true(latest(&job, "search/entropy/reduce") > 1);
    assert_true(isnan(latest(&job, "search/eigenvalue"))); /* nobody asked for it */
    assert_int_equal(
        store_metric_query(rig->store, rig->trained,
                           (const char *const[]){ "search/entropy/normal", "train/loss", NULL },
                           100, &list, NULL),
        STATUS_OK);
    assert_int_equal(list.series[0].total, EPOCHS);
    assert_int_equal(list.series[1].total, STEPS);
    metric_list_clear(&list);
    job_clear(&job);
}

static void a_search_has_the_public_defaults(void **state)
{
    Rig *rig = *state;
    json_t *body = json_loads("{\"kind\": \"search\", \"params\": {\"dataset\": \"shapes\", "
                              "\"alpha_optimizer\": {\"betas\": [0.25, 0.75]}}}",
                              0, NULL);
    JobPlan plan = { 0 };
    json_t *optimizer, *alpha;

    assert_int_equal(queue_dry_run(rig->queue, body, &plan, NULL), STATUS_OK);
    optimizer = json_object_get(plan.params, "optimizer");
    alpha = json_object_get(plan.params, "alpha_optimizer");
    assert_string_equal(json_string_value(json_object_get(plan.params, "space")), "s3");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(plan.params, "searcher"), "name")),
        "pcdarts");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(plan.params, "searcher"), "k")), 4);
    assert_int_equal(json_integer_value(json_object_get(plan.params, "channels")), 16);
    assert_int_equal(json_integer_value(json_object_get(plan.params, "cells")), 8);
    assert_int_equal(json_integer_value(json_object_get(plan.params, "batch_size")), 64);
    assert_int_equal(plan.estimate.epochs, 50);
    assert_int_equal(json_integer_value(json_object_get(plan.params, "val_images")), 4000);
    assert_true(json_real_value(json_object_get(optimizer, "lr")) == 0.025);
    assert_true(json_real_value(json_object_get(optimizer, "weight_decay")) == 3e-4);
    assert_true(json_real_value(json_object_get(optimizer, "clip")) == 5);
    assert_false(json_is_true(json_object_get(optimizer, "nesterov")));
    assert_true(fabs(0.025 * json_real_value(json_object_get(
                                 json_object_get(plan.params, "schedule"), "final")) -
                     0.001) < 1e-12);
    assert_true(json_real_value(json_object_get(alpha, "lr")) == 3e-4);
    assert_true(json_real_value(json_object_get(alpha, "beta1")) == 0.25); /* as it was said */
    assert_true(json_real_value(json_object_get(alpha, "beta2")) == 0.75);
    assert_true(json_real_value(json_object_get(alpha, "weight_decay")) == 1e-3);
    assert_true(plan.estimate.memory_bytes > 0);
    json_decref(plan.params);
    json_decref(body);
}

static void a_bad_search_is_refused_by_field(void **state)
{
    Rig *rig = *state;

    refused(rig, SEARCH_OF(", \"space\": \"s9\""), "/params/space");
    refused(rig, SEARCH_OF(", \"space\": \"none\""), "/params/space");
    refused(rig, SEARCH_OF(", \"space\": {\"normal\": [[\"none\", \"magic\"]]}"),
            "/params/space/normal/0/1");
    refused(rig, SEARCH_OF(", \"searcher\": {\"name\": \"pcdarts\", \"k\": 3}"),
            "/params/searcher/k");
    refused(rig, SEARCH_OF(", \"searcher\": {\"name\": \"darts\", \"k\": 2}"),
            "/params/searcher/k");
    refused(rig, SEARCH_OF(", \"searcher\": {\"name\": \"guess\"}"), "/params/searcher/name");
    refused(rig, SEARCH_OF(", \"alpha_optimizer\": {\"betas\": [0.5]}"),
            "/params/alpha_optimizer/betas");
    refused(rig, SEARCH_OF(", \"val_images\": 0"), "/params/val_images");
    refused(rig, SEARCH_OF(", \"model\": {\"name\": \"resnet18\"}"), "/params/model");
}

static void a_drained_search_ends_with_the_same_bits(void **state)
{
    drained_ends_alike(*state, SEARCH_OF(""), 2);
}

static void a_random_search_answers_the_best_of_its_samples(void **state)
{
    Rig *rig = *state;
    int64_t id = submit(rig, SEARCH_OF(", \"searcher\": {\"name\": \"random\", \"samples\": 2}")),
            found;
    Job job = succeeded(rig, id);
    uint32_t epoch;
    uint64_t step;
    char *text;

    assert_int_equal(
        store_genotype_of(rig->store, id, (uint32_t)number_of(job.result, "epoch"), &found, NULL),
        STATUS_OK);
    assert_int_equal(number_of(job.result, "genotype"), found);
    assert_int_equal(store_alphas_get(rig->store, id, 0, &epoch, &step, &text, NULL),
                     STATUS_NOT_FOUND);
    job_clear(&job);
}

static void the_eigenvalue_is_measured_where_it_is_asked_for(void **state)
{
    Rig *rig = *state;
    int64_t id = submit(rig, SEARCH_OF(", \"eigenvalue\": true, \"epochs\": 1"));
    Job job = succeeded(rig, id);

    assert_true(isfinite(latest(&job, "search/eigenvalue")));
    job_clear(&job);
}

/* One step an epoch, of few images: the curvature is all over the place. */
#define RESTLESS                                                                                   \
    "{\"kind\": \"search\", \"seed\": 1, \"threads\": 1, \"params\": {\"dataset\": \"shapes\", "   \
    "\"train_images\": 8, \"test_images\": 1, \"searcher\": {\"name\": \"darts\"}, \"channels\": " \
    "2, "                                                                                          \
    "\"cells\": 3, \"batch_size\": 4, \"epochs\": 60, \"early_stop\": true, \"optimizer\": "       \
    "{\"lr\": "                                                                                    \
    "0.05}, \"alpha_optimizer\": {\"lr\": 0.05}}}"

static double mean_of_five(const MetricPoint *point)
{
    double sum = 0;

    for (int i = 0; i < 5; i++)
        sum += point[i].value;
    return sum / 5;
}

/* The readings that it has left say when it had to stop: at the first epoch where the mean of five
 * is 1.3 times that of four readings before. */
static void the_eigenvalue_stops_a_search_and_derive_takes_the_epoch_before_it_grew(void **state)
{
    Rig *rig = *state;
    const int64_t id = submit(rig, RESTLESS);
    Job job = ended(rig, id, JOB_EARLY_STOPPED), derived;
    MetricList list = { 0 };
    const MetricPoint *point;
    int64_t found = 0;

    assert_int_equal(store_metric_query(rig->store, id,
                                        (const char *const[]){ "search/eigenvalue", NULL }, 100,
                                        &list, NULL),
                     STATUS_OK);
    assert_int_equal(list.series[0].total, job.progress.epoch);
    assert_in_range(job.progress.epoch, 9, 59);
    point = list.series[0].points;
    for (uint32_t epoch = 9; epoch <= job.progress.epoch; epoch++) {
        const double before = mean_of_five(point + epoch - 9),
                     now = mean_of_five(point + epoch - 5);

        assert_int_equal(before > 0 && now > 1.3 * before, epoch == job.progress.epoch);
    }
    metric_list_clear(&list);
    assert_non_null(strstr(job.reason, "eigenvalue"));
    assert_int_equal(number_of(job.result, "epoch"), job.progress.epoch - 4);
    assert_int_equal(store_genotype_of(rig->store, id, job.progress.epoch - 4, &found, NULL),
                     STATUS_OK);
    assert_int_equal(number_of(job.result, "genotype"), found);
    derived = succeeded(
        rig, submit(rig, with_id("{\"kind\": \"derive\", \"params\": {\"job\": %lld}}", id)));
    assert_int_equal(number_of(derived.result, "epoch"), job.progress.epoch - 4);
    assert_int_equal(number_of(derived.result, "genotype"), found);
    job_clear(&derived);
    job_clear(&job);
}

/* --- derive --- */

static void deriving_answers_what_the_search_found(void **state)
{
    static const char *const epochs[] = { "\"latest\"", "\"best\"", "1" };
    Rig *rig = *state;
    Checkpoint best;

    assert_int_equal(queue_checkpoint(rig->queue, rig->trained, "best", &best, NULL), STATUS_OK);
    for (uint32_t i = 0; i < 3; i++) {
        const uint32_t want[] = { EPOCHS, best.epoch, 1 };
        char text[256];
        int64_t found = 0;
        Job job;

        snprintf(text, sizeof text,
                 "{\"kind\": \"derive\", \"params\": {\"job\": %lld, \"epoch\": %s}}",
                 (long long)rig->trained, epochs[i]);
        job = succeeded(rig, submit(rig, text));
        assert_int_equal(store_genotype_of(rig->store, rig->trained, want[i], &found, NULL),
                         STATUS_OK);
        assert_int_equal(number_of(job.result, "epoch"), want[i]);
        assert_int_equal(number_of(job.result, "genotype"), found);
        job_clear(&job);
    }
}

static void the_checkpoint_of_a_trained_supernet_can_be_derived(void **state)
{
    Rig *rig = *state;
    int64_t id = submit(rig, "{\"kind\": \"train\", \"params\": {\"dataset\": \"shapes\", "
                             "\"train_images\": 16, \"test_images\": 8, \"batch_size\": 8, "
                             "\"epochs\": 1, \"model\": {\"name\": \"supernet\", \"channels\": 4, "
                             "\"cells\": 3}}}");
    Job job = succeeded(rig, id);
    GenotypeRow row = { 0 };

    job_clear(&job);
    job = succeeded(
        rig, submit(rig, with_id("{\"kind\": \"derive\", \"params\": {\"job\": %lld}}", id)));
    assert_int_equal(store_genotype_get(rig->store, number_of(job.result, "genotype"), &row, NULL),
                     STATUS_OK);
    assert_true(row.sources > 0);
    genotype_row_clear(&row);
    job_clear(&job);
}

static void a_bad_derivation_is_refused_by_field(void **state)
{
    Rig *rig = *state;
    Job job = { 0 };
    int64_t id;

    refused(rig, "{\"kind\": \"derive\"}", "/params/job");
    refused(rig, "{\"kind\": \"derive\", \"params\": {\"job\": 999}}", "/params/job");
    refused(rig, "{\"kind\": \"derive\", \"params\": {\"job\": 1, \"epoch\": \"first\"}}",
            "/params/epoch");
    refused(
        rig,
        with_id("{\"kind\": \"derive\", \"params\": {\"job\": %lld, \"epoch\": 77}}", rig->trained),
        "/params/epoch");
    id = submit(rig, SEARCH_OF(", \"epochs\": 1000"));
    refused(rig, with_id("{\"kind\": \"derive\", \"params\": {\"job\": %lld}}", id), "/params/job");
    assert_int_equal(queue_cancel(rig->queue, id, &job, NULL), STATUS_OK);
    job_clear(&job);
    job = ended(rig, id, JOB_CANCELLED);
    job_clear(&job);
    refused(rig, with_id("{\"kind\": \"derive\", \"params\": {\"job\": %lld}}", id), "/params/job");
}

/* --- evalarch --- */

#define EVALARCH_OF(genotype)                                                                      \
    "{\"kind\": \"evalarch\", \"params\": {\"dataset\": \"shapes\", \"train_images\": 32, "        \
    "\"val_images\": 16, \"test_images\": 16, \"batch_size\": 8, \"epochs\": 2, \"channels\": 4, " \
    "\"cells\": 3, \"genotype\": " genotype "}}"

static void a_genotype_is_scored_in_its_row(void **state)
{
    Rig *rig = *state;
    Job search = succeeded(rig, rig->trained), job;
    int64_t genotype = number_of(search.result, "genotype"), id;
    GenotypeRow row = { 0 };

    id = submit(rig, with_id(EVALARCH_OF("%lld"), genotype));
    job = succeeded(rig, id);
    assert_int_equal(number_of(job.result, "genotype"), genotype);
    assert_int_equal(store_genotype_get(rig->store, genotype, &row, NULL), STATUS_OK);
    assert_int_equal(row.score_count, 1);
    assert_int_equal(row.score[0].job, id);
    assert_int_equal(row.score[0].epochs, 2);
    assert_true(row.score[0].accuracy == latest(&job, "test/accuracy"));
    assert_true(row.score[0].val_accuracy >= latest(&job, "val/accuracy"));
    assert_int_equal(row.score[0].parameters, number_of(job.result, "parameters"));
    assert_in_range(row.score[0].parameters, 1000, 100000); /* no auxiliary head of 2x2x128x768 */
    genotype_row_clear(&row);
    job_clear(&search);
    job_clear(&job);
}

static void a_genotype_may_be_said(void **state)
{
    Rig *rig = *state;
    Job job = succeeded(rig, submit(rig, EVALARCH_OF("\"darts_v2\"")));
    GenotypeRow row = { 0 };

    assert_int_equal(store_genotype_get(rig->store, number_of(job.result, "genotype"), &row, NULL),
                     STATUS_OK);
    assert_non_null(strstr(row.text, "dil_conv_3x3"));
    assert_int_equal(row.score_count, 1);
    genotype_row_clear(&row);
    job_clear(&job);
}

static void a_bad_genotype_is_refused(void **state)
{
    Rig *rig = *state;

    refused(rig, EVALARCH_OF("999"), "/params/genotype");
    refused(rig, EVALARCH_OF("true"), "/params/genotype");
    refused(rig, EVALARCH_OF("\"Genotype(normal=[('magic', 1)])\""), "/params/genotype");
    refused(rig, EVALARCH_OF("\"darts_v2\", \"cells\": 2"), "/params/cells");
    refused(rig, EVALARCH_OF("\"darts_v2\", \"drop_path\": -1"), "/params/drop_path");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_search_leaves_a_genotype_of_each_epoch),
        cmocka_unit_test(a_search_leaves_the_alphas_of_each_epoch),
        cmocka_unit_test(a_search_reports_scores_and_entropies),
        cmocka_unit_test(a_search_has_the_public_defaults),
        cmocka_unit_test(a_bad_search_is_refused_by_field),
        cmocka_unit_test(a_drained_search_ends_with_the_same_bits),
        ALONE(a_random_search_answers_the_best_of_its_samples),
        ALONE(the_eigenvalue_is_measured_where_it_is_asked_for),
        ALONE(the_eigenvalue_stops_a_search_and_derive_takes_the_epoch_before_it_grew),
        cmocka_unit_test(deriving_answers_what_the_search_found),
        ALONE(the_checkpoint_of_a_trained_supernet_can_be_derived),
        cmocka_unit_test(a_bad_derivation_is_refused_by_field),
        ALONE(a_genotype_is_scored_in_its_row),
        ALONE(a_genotype_may_be_said),
        cmocka_unit_test(a_bad_genotype_is_refused),
    };

    return cmocka_run_group_tests_name("search_kinds", tests, setup, rig_teardown);
}
