/*
 * quality_run: every method measured on a network from a file; what depends on the weights and what
 * does not; the same bits for any threads, interrupted or not. And robustness likewise.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/quality/quality.h"
#include "core/quality/robustness.h"
#include "tests/unit/networks.h"
#include "tests/unit/scratch.h"

enum { SIDE = 16, CLASSES = 3, TRAIN = 6, TEST = 21, IMAGE = SIDE * SIDE * 3 };

static uint8_t train_pixels[TRAIN * IMAGE], test_pixels[TEST * IMAGE],
    test_masks[TEST * SIDE * SIDE];
static uint16_t train_labels[TRAIN], test_labels[TEST];
static const char *const class_names[] = { "a", "b", "c" };

static const Dataset data = { .name = "noise",
                              .layout = "shapes",
                              .height = SIDE,
                              .width = SIDE,
                              .channels = 3,
                              .classes = CLASSES,
                              .class_names = class_names,
                              .mean = { 0.5f, 0.4f, 0.6f },
                              .std = { 0.25f, 0.2f, 0.3f },
                              .train = { TRAIN, train_pixels, train_labels, NULL },
                              .test = { TEST, test_pixels, test_labels, test_masks } };

typedef struct Rig {
    Scratch scratch;
    char path[128];
    Pool *pool, *three;
} Rig;

/* Lets the mean logits of the test images be 0: no class is always the largest. */
static void balance(Network *n, Pool *pool)
{
    const GraphWeight *bias = &n->graph.weight[n->graph.weights - 1];
    const PlanSpec spec = {
        .images = TEST, .output = n->logits, .gradient_to = NODE_NONE, .keep = { NODE_NONE }
    };
    RunContext context = { .pool = pool, .weights = n->weights, .keep_statistics = true };
    uint32_t items[TEST];
    uint16_t labels[TEST];
    BatchSpec batch = { .split = SPLIT_TEST, .items = items, .count = TEST };
    Loader loader;
    Arena memory = { 0 };
    Plan plan;
    const real *logits;

    assert_string_equal(bias->name, "fc.bias");
    for (uint32_t i = 0; i < TEST; i++)
        items[i] = i;
    assert_int_equal(loader_init(&loader, &data, &(DataSpec){ 0 }, NULL), STATUS_OK);
    assert_int_equal(kernels_select(NULL, &context.kernels, NULL), STATUS_OK);
    assert_int_equal(plan_init(&plan, &n->graph, &spec, NULL), STATUS_OK);
    assert_int_equal(
        arena_init(&memory, arena_round(plan.bytes) + loader_scratch_bytes(&loader, TEST), NULL),
        STATUS_OK);
    plan_bind(&plan, arena_take(&memory, plan.bytes));
    batch.scratch = arena_take(&memory, loader_scratch_bytes(&loader, TEST));
    loader_batch(&loader, pool, &batch, plan_tensor(&plan, n->image).data, labels, NULL);
    run_forward(&plan, &context);
    logits = plan_tensor(&plan, n->logits).data;
    for (uint32_t i = 0; i < TEST * CLASSES; i++)
        n->weights[bias->offset + i % CLASSES] -= logits[i] / TEST;
    plan_clear(&plan);
    arena_clear(&memory);
    loader_clear(&loader);
}

/* A network as after some training: no norm does nothing. */
static void write_network(const char *path, Pool *pool)
{
    Network n =
        network_of("resnet18", SETS({ "width", 4 }), (ModelInput){ SIDE, SIDE, 3, CLASSES });
    Rng rng = rng_at(7, RNG_TEST, 0, 0);

    network_randomise(&n, 6);
    for (uint32_t i = 0; i < n.graph.weights; i++)
        for (size_t k = 0;
             n.graph.weight[i].spec.init != INIT_UNIFORM && k < n.graph.weight[i].count; k++)
            n.weights[n.graph.weight[i].offset + k] += 0.3f * (2 * rng_uniform(&rng) - 1);
    memcpy(n.mean, data.mean, sizeof n.mean);
    memcpy(n.std, data.std, 3 * sizeof *n.std);
    balance(&n, pool);
    network_write(&n, path);
    network_clear(&n);
}

static int setup(void **state)
{
    static Rig rig;
    Rng rng = rng_at(6, RNG_TEST, 0, 0);

    for (size_t i = 0; i < sizeof train_pixels; i++)
        train_pixels[i] = (uint8_t)rng_below(&rng, 256);
    for (size_t i = 0; i < sizeof test_pixels; i++)
        test_pixels[i] = (uint8_t)rng_below(&rng, 256);
    for (uint16_t i = 0; i < TEST; i++) {
        test_labels[i] = i % CLASSES;
        for (uint32_t p = 0; p < SIDE * SIDE; p++) /* the left half */
            test_masks[(size_t)i * SIDE * SIDE + p] = p % SIDE < SIDE / 2;
    }
    rig.scratch = scratch_new();
    snprintf(rig.path, sizeof rig.path, "%s", scratch_path(&rig.scratch, "network"));
    assert_int_equal(pool_new(1, &rig.pool, NULL), STATUS_OK);
    write_network(rig.path, rig.pool);
    assert_int_equal(pool_new(3, &rig.three, NULL), STATUS_OK);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    Rig *rig = *state;

    pool_free(rig->pool);
    pool_free(rig->three);
    scratch_remove(&rig->scratch);
    return 0;
}

static uint32_t method_of(const char *name)
{
    uint32_t i = 0;

    while (quality_methods[i] != NULL && strcmp(quality_methods[i], name) != 0)
        i++;
    assert_non_null(quality_methods[i]);
    return i;
}

static uint32_t row_of(const char *metric)
{
    int row = table_find(metric_table, metric);

    assert_true(row >= 0);
    return (uint32_t)row;
}

static QualitySpec spec_of(const Rig *rig, const char *method, uint32_t images)
{
    return (QualitySpec){ .subject = { .path = rig->path, .split = SPLIT_TEST, .images = images },
                          .method = method_of(method),
                          .metrics = metric_all(),
                          .seed = 5 };
}

static Quality *measured(const QualitySpec *spec, Pool *pool)
{
    Quality *q = NULL;
    Error err = { 0 };

    ok(quality_new(spec, &data, pool, &q, &err), &err);
    ok(quality_run(q, NULL, NULL, NULL, &err), &err);
    assert_int_equal(quality_samples(q)->done, spec->subject.images);
    return q;
}

static bool same_samples(const Samples *a, const Samples *b)
{
    assert_int_equal(a->columns, b->columns);
    assert_int_equal(a->images, b->images);
    return memcmp(a->value, b->value, (size_t)a->columns * a->images * sizeof *a->value) == 0;
}

/* --- quality --- */

static void every_method_is_measured_by_every_metric(void **state)
{
    Rig *rig = *state;

    for (uint32_t method = 0; quality_methods[method] != NULL; method++) {
        QualitySpec spec = spec_of(rig, quality_methods[method], 2);
        Quality *q;

        if (strcmp(quality_methods[method], "cam") == 0)
            snprintf(spec.layer, sizeof spec.layer, "layer4");
        q = measured(&spec, rig->three);
        for (uint32_t i = 0; metric_table[i] != NULL; i++) {
            Interval got = quality_result(q, i);

            if (i == row_of("pointing_game_off_centre"))
                continue; /* the object is in the middle of all */
            assert_int_equal(got.n, 2);
            if (!(got.mean >= -0.5 && got.mean <= 1 && got.low <= got.mean && got.mean <= got.high))
                fail_msg("%s of %s is %g, from %g to %g", metric_table[i]->described.name,
                         quality_methods[method], got.mean, got.low, got.high);
        }
        quality_free(q);
    }
}

static void a_method_that_ignores_the_weights_fails_the_sanity_check(void **state)
{
    static const char *const names[] = { "centre", "random", "edges" };
    Rig *rig = *state;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        QualitySpec spec = spec_of(rig, names[i], TEST);
        uint32_t row = row_of("sanity_randomisation");
        Quality *q;

        spec.metrics = 1U << row;
        q = measured(&spec, rig->pool);
        assert_true(quality_result(q, row).low == 1); /* not below metric_table[row]->passed */
        assert_int_equal(quality_levels(q), 7);
        for (uint32_t level = 0; level < quality_levels(q); level++)
            for (Likeness k = 0; k < LIKENESSES; k++)
                assert_true(quality_likeness(q, level, k).mean > 0.999999);
        quality_free(q);
    }
}

static void a_heat_map_changes_with_the_weights_block_by_block(void **state)
{
    Rig *rig = *state;
    QualitySpec spec = spec_of(rig, "gradcam", TEST);
    uint32_t row = row_of("sanity_randomisation");
    Quality *q;
    size_t length;

    spec.metrics = 1U << row;
    q = measured(&spec, rig->pool);
    assert_true(quality_result(q, row).mean < metric_table[row]->passed);
    assert_memory_equal(quality_level_name(q, 0, &length), "fc", 2);
    assert_memory_equal(quality_level_name(q, 6, &length), "conv1", 5);
    for (uint32_t level = 0; level < quality_levels(q); level++)
        assert_true(quality_likeness(q, level, LIKENESS_SSIM).mean < 0.99);
    quality_free(q);
}

static Status after_a_batch(void *context, uint32_t images, Error *err)
{
    (void)images;
    (void)err;
    atomic_store((atomic_int *)context, 1);
    return STATUS_OK;
}

static void the_bits_are_the_same_for_any_threads_interrupted_or_not(void **state)
{
    Rig *rig = *state;
    QualitySpec spec = spec_of(rig, "gradcam", TEST);
    const char *path = scratch_path(&rig->scratch, "samples");
    Quality *whole = measured(&spec, rig->pool), *other = measured(&spec, rig->three), *rest = NULL;
    atomic_int stop = 0;
    Error err = { 0 };

    assert_true(same_samples(quality_samples(whole), quality_samples(other)));
    quality_free(other);
    ok(quality_new(&spec, &data, rig->pool, &other, &err), &err);
    assert_int_equal(quality_run(other, &stop, after_a_batch, &stop, NULL), STATUS_STOPPED);
    assert_int_equal(quality_samples(other)->done, QUALITY_BATCH);
    ok(samples_save(quality_samples(other), "it", path, &err), &err);
    quality_free(other);
    ok(quality_new(&spec, &data, rig->three, &rest, &err), &err);
    ok(samples_restore(quality_samples(rest), "it", path, &err), &err);
    ok(quality_run(rest, NULL, NULL, NULL, &err), &err);
    assert_true(same_samples(quality_samples(whole), quality_samples(rest)));
    quality_free(rest);
    spec.seed = 6; /* what is drawn */
    rest = measured(&spec, rig->pool);
    assert_false(same_samples(quality_samples(whole), quality_samples(rest)));
    quality_free(rest);
    quality_free(whole);
}

static void more_images_leave_the_first_ones_as_they_are(void **state)
{
    Rig *rig = *state;
    QualitySpec some = spec_of(rig, "hirescam", QUALITY_BATCH),
                all = spec_of(rig, "hirescam", TEST);
    Quality *a = measured(&some, rig->pool), *b = measured(&all, rig->pool);

    for (uint32_t i = 0; i < quality_samples(a)->columns; i++)
        assert_memory_equal(quality_samples(a)->value + (size_t)i * QUALITY_BATCH,
                            quality_samples(b)->value + (size_t)i * TEST,
                            QUALITY_BATCH * sizeof(float));
    quality_free(a);
    quality_free(b);
}

static void refused(const QualitySpec *spec, const Dataset *dataset, const char *pointer,
                    const char *word)
{
    Error err = { 0 };
    uint64_t bytes;

    assert_int_equal(quality_estimate(spec, dataset, &bytes, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, pointer);
    if (strstr(error_message(&err), word) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error_message(&err), word);
}

static void what_cannot_be_measured_is_refused_by_field(void **state)
{
    Rig *rig = *state;
    QualitySpec spec = spec_of(rig, "gradcam", TEST);
    Dataset other = data;

    snprintf(spec.layer, sizeof spec.layer, "layer9");
    refused(&spec, &data, "/layer", "layer3");
    spec = spec_of(rig, "centre", TEST);
    snprintf(spec.layer, sizeof spec.layer, "layer3");
    refused(&spec, &data, "/layer", "takes no layer");
    spec = spec_of(rig, "gradcam", TEST + 1);
    refused(&spec, &data, "/images", "21");
    spec.subject.images = 0;
    refused(&spec, &data, "/images", "at least 1");
    spec.subject.images = TEST;
    other.test.masks = NULL;
    refused(&spec, &other, "/metrics", "pointing_game");
    other.classes = 4;
    refused(&spec, &other, "/checkpoint", "classes");
}

static void without_masks_the_other_metrics_stay(void **state)
{
    Rig *rig = *state;
    QualitySpec spec = spec_of(rig, "gradcam", 2);
    Dataset other = data;
    Quality *q = NULL;
    uint64_t bytes = 0;
    Error err = { 0 };

    other.test.masks = NULL;
    spec.metrics = metric_maskless();
    ok(quality_estimate(&spec, &other, &bytes, &err), &err);
    assert_true(bytes > 0);
    ok(quality_new(&spec, &other, rig->pool, &q, &err), &err);
    ok(quality_run(q, NULL, NULL, NULL, &err), &err);
    quality_free(q);
}

/* --- robustness --- */

static Choice attack(const char *name, double eps)
{
    int row = table_find(attack_table, name);
    Choice c;

    assert_true(row >= 0);
    choice_init(attack_table, (uint32_t)row, &c);
    c.value[ATTACK_EPS] = eps;
    return c;
}

static Robustness *attacked(const RobustnessSpec *spec, Pool *pool)
{
    Robustness *r = NULL;
    Error err = { 0 };

    ok(robustness_new(spec, &data, pool, &r, &err), &err);
    ok(robustness_run(r, NULL, NULL, NULL, &err), &err);
    return r;
}

static void stronger_attacks_leave_less_accuracy_and_none_leaves_all(void **state)
{
    Rig *rig = *state;
    const Choice attacks[] = { attack("fgsm", 0), attack("pgd_linf", 0), attack("fgsm", 0.02),
                               attack("pgd_linf", 0.02), attack("pgd_linf", 0.2) };
    const RobustnessSpec spec = {
        .subject = { .path = rig->path, .split = SPLIT_TEST, .images = TEST },
        .attack = attacks,
        .attacks = 5,
        .seed = 1
    };
    Robustness *r = attacked(&spec, rig->pool);
    double accuracy[6];

    for (uint32_t i = 0; i < 6; i++)
        accuracy[i] = samples_interval(robustness_samples(r), i).mean;
    assert_true(accuracy[0] > 0.1);
    assert_true(accuracy[1] == accuracy[0] && accuracy[2] == accuracy[0]);
    assert_true(accuracy[3] < accuracy[0]);
    assert_true(accuracy[4] <= accuracy[3]);
    assert_true(accuracy[5] == 0);
    robustness_free(r);
}

static void an_interrupted_attack_ends_with_the_same_bits(void **state)
{
    Rig *rig = *state;
    const Choice attacks[] = { attack("pgd_linf", 0.01), attack("pgd_l2", 0.3) };
    const RobustnessSpec spec = {
        .subject = { .path = rig->path, .split = SPLIT_TEST, .images = TEST },
        .attack = attacks,
        .attacks = 2,
        .seed = 1
    };
    Robustness *whole = attacked(&spec, rig->pool), *other = attacked(&spec, rig->three);
    atomic_int stop = 1;
    Error err = { 0 };

    assert_true(same_samples(robustness_samples(whole), robustness_samples(other)));
    robustness_free(other);
    ok(robustness_new(&spec, &data, rig->pool, &other, &err), &err);
    assert_int_equal(robustness_run(other, &stop, NULL, NULL, NULL), STATUS_STOPPED);
    assert_int_equal(robustness_samples(other)->done, 0);
    ok(robustness_run(other, NULL, NULL, NULL, &err), &err);
    assert_true(same_samples(robustness_samples(whole), robustness_samples(other)));
    robustness_free(other);
    robustness_free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_is_measured_by_every_metric),
        cmocka_unit_test(a_method_that_ignores_the_weights_fails_the_sanity_check),
        cmocka_unit_test(a_heat_map_changes_with_the_weights_block_by_block),
        cmocka_unit_test(the_bits_are_the_same_for_any_threads_interrupted_or_not),
        cmocka_unit_test(more_images_leave_the_first_ones_as_they_are),
        cmocka_unit_test(what_cannot_be_measured_is_refused_by_field),
        cmocka_unit_test(without_masks_the_other_metrics_stay),
        cmocka_unit_test(stronger_attacks_leave_less_accuracy_and_none_leaves_all),
        cmocka_unit_test(an_interrupted_attack_ends_with_the_same_bits),
    };

    return cmocka_run_group_tests_name("quality_run", tests, setup, teardown);
}
