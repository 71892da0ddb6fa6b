/*
 * explanation: what a network says of a batch, a split, a data set: who may look at a label, what
 * does not change, and that the bits depend on nothing but the images.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/explain/explanation.h"
#include "tests/unit/allocations.h"
#include "tests/unit/networks.h"
#include "tests/unit/scratch.h"

enum { SIDE = 16, CLASSES = 3, TRAIN = 30, TEST = 9, VAL = 10, IMAGE = SIDE * SIDE * 3, BATCH = 8 };

static uint8_t train_pixels[TRAIN * IMAGE], test_pixels[TEST * IMAGE];
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
                              .test = { TEST, test_pixels, test_labels, NULL } };

static const DataSpec split_as = { .val_images = VAL, .split_seed = 2 };

typedef struct Rig {
    Network network;
    Loader loader;
    Pool *pool;
    RunContext context;
} Rig;

/* A network as after some training: no norm does nothing. */
static Network trained(const char *model)
{
    Network network =
        network_of(model, SETS({ "width", 4 }), (ModelInput){ SIDE, SIDE, 3, CLASSES });
    Rng rng = rng_at(7, RNG_TEST, 0, 0);

    network_randomise(&network, 6);
    for (uint32_t i = 0; i < network.graph.weights; i++) {
        const GraphWeight *w = &network.graph.weight[i];

        for (size_t k = 0; w->spec.init != INIT_UNIFORM && k < w->count; k++)
            network.weights[w->offset + k] += 0.3f * (2 * rng_uniform(&rng) - 1);
    }
    memcpy(network.mean, data.mean, sizeof network.mean);
    memcpy(network.std, data.std, 3 * sizeof *network.std);
    return network;
}

static void rig_init(Rig *rig, unsigned threads)
{
    Rng rng = rng_at(6, RNG_TEST, 0, 0);

    for (size_t i = 0; i < sizeof train_pixels; i++)
        train_pixels[i] = (uint8_t)rng_below(&rng, 256);
    for (size_t i = 0; i < sizeof test_pixels; i++)
        test_pixels[i] = (uint8_t)rng_below(&rng, 256);
    for (uint16_t i = 0; i < TRAIN; i++)
        train_labels[i] = i % CLASSES;
    *rig = (Rig){ .network = trained("resnet18") };
    assert_int_equal(loader_init(&rig->loader, &data, &split_as, NULL), STATUS_OK);
    assert_int_equal(pool_new(threads, &rig->pool, NULL), STATUS_OK);
    rig->context = (RunContext){ .pool = rig->pool, .weights = rig->network.weights };
    assert_int_equal(kernels_select(NULL, &rig->context.kernels, NULL), STATUS_OK);
}

static void rig_clear(Rig *rig)
{
    network_clear(&rig->network);
    loader_clear(&rig->loader);
    pool_free(rig->pool);
}

static int setup(void **state)
{
    static Rig rig;

    rig_init(&rig, 2);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_clear(*state);
    return 0;
}

static ExplanationSpec spec_of(const char *source)
{
    int i = explanation_find(source);

    assert_true(i >= 0);
    return explanation_default((uint32_t)i);
}

/* What `first` on of a split looks like; mapset_clear() it. */
static MapSet explain(const Rig *rig, const ExplanationSpec *spec, Split split, uint32_t batch,
                      uint32_t first)
{
    SplitExplainer x;
    Arena arena = { 0 };
    MapSet set = { 0 };
    MapShape shape;
    Error err = { 0 };

    ok(split_explainer_init(&x, &rig->network, &rig->loader, split, spec, batch, &err), &err);
    shape = explanation_shape(spec, &rig->network, x.images);
    ok(mapset_new(&shape, &set, &err), &err);
    ok(arena_init(&arena, x.bytes, &err), &err);
    ok(split_explainer_run(&x, &rig->context, 9, 0, first, arena.base, NULL, NULL, NULL, &set,
                           &err),
       &err);
    arena_clear(&arena);
    split_explainer_clear(&x);
    return set;
}

static bool same_sets(const MapSet *a, const MapSet *b)
{
    size_t values = a->shape.images * mapset_image_numbers(&a->shape),
           maxima = a->shape.images * mapset_image_maxima(&a->shape);

    assert_memory_equal(&a->shape, &b->shape, sizeof a->shape);
    return memcmp(a->values, b->values, values * sizeof *a->values) == 0 &&
           memcmp(a->max, b->max, maxima * sizeof *a->max) == 0;
}

/* ---- Labels ---- */

static MapSet with_labels(const Rig *rig, const ExplanationSpec *spec, Split split, bool others)
{
    MapSet set;

    for (uint16_t i = 0; i < TRAIN && others; i++)
        train_labels[i] = (uint16_t)((train_labels[i] + 1) % CLASSES);
    for (uint16_t i = 0; i < TEST; i++)
        test_labels[i] = others;
    set = explain(rig, spec, split, BATCH, 0);
    for (uint16_t i = 0; i < TRAIN; i++)
        train_labels[i] = i % CLASSES;
    return set;
}

/* Takes its time. */
static bool has_samples(uint32_t source)
{
    return !explanation_is_attack(source) && explanation_cam(source)->samples > 0;
}

static bool has_class(uint32_t source)
{
    return explanation_is_attack(source) || (explanation_cam(source)->needs & CAM_CLASSLESS) == 0;
}

static void explanations_of_validation_and_test_images_carry_no_label(void **state)
{
    Rig *rig = *state;

    for (uint32_t source = 0; explanation_sources[source] != NULL; source++)
        for (uint32_t target = 0; target < (has_samples(source) ? 1 : 2); target++)
            for (Split split = 0; split < SPLIT_COUNT; split++) {
                ExplanationSpec spec = explanation_default(source);
                bool told = split == SPLIT_TRAIN && target == TARGET_LABEL && has_class(source);
                MapSet a, b;

                spec.target = target;
                a = with_labels(rig, &spec, split, false);
                b = with_labels(rig, &spec, split, true);
                if (same_sets(&a, &b) == told)
                    fail_msg("%s with target %s: labels of the split %s %s",
                             explanation_sources[source], explanation_targets[target],
                             split_names[split], told ? "change nothing" : "are looked at");
                mapset_clear(&a);
                mapset_clear(&b);
            }
}

/* Fault 12: the attack was run in train mode and polluted batch norm's statistics. */
static void fault_12_explaining_changes_nothing_of_the_network(void **state)
{
    Rig *rig = *state;
    size_t bytes = rig->network.graph.weight_numbers * sizeof(real);
    real *before = malloc(bytes);

    assert_non_null(before);
    memcpy(before, rig->network.weights, bytes);
    for (uint32_t source = 0; explanation_sources[source] != NULL; source++) {
        ExplanationSpec spec = explanation_default(source);
        MapSet set = explain(rig, &spec, SPLIT_TRAIN, BATCH, 0);

        assert_memory_equal(before, rig->network.weights, bytes);
        mapset_clear(&set);
    }
    free(before);
}

/* ---- What comes out ---- */

static void sources_are_found_by_name_attacks_first(void **state)
{
    static const char *const names[] = { "pgd_l2",         "pgd_linf",
                                         "fgsm",           "gradcam",
                                         "hirescam",       "cam",
                                         "gradcampp",      "xgradcam",
                                         "layercam",       "scorecam",
                                         "ablationcam",    "eigencam",
                                         "guided_gradcam", "input_gradient",
                                         "smoothgrad",     "integrated_gradients",
                                         "delta",          NULL };

    (void)state;
    for (int i = 0; names[i] != NULL; i++) {
        assert_string_equal(explanation_sources[i], names[i]);
        assert_int_equal(explanation_find(names[i]), i);
        assert_int_equal(explanation_is_attack((uint32_t)i), i < 3);
        assert_string_equal(reweight_names[explanation_default((uint32_t)i).reweight.mode],
                            i < 3 ? "absolute" : "mix");
        if (i < 3)
            continue;
        assert_ptr_equal(explanation_cam((uint32_t)i), cam_table[i - 3]);
        assert_int_equal(explanation_of_cam((uint32_t)i - 3), i);
    }
    assert_null(explanation_sources[17]);
    assert_int_equal(explanation_find("nonsense"), -1);
}

static void deltas_keep_their_budget_and_maps_are_not_negative(void **state)
{
    Rig *rig = *state;

    for (uint32_t source = 0; explanation_sources[source] != NULL; source++) {
        ExplanationSpec spec = explanation_default(source);
        bool l2 = strcmp(explanation_sources[source], "pgd_l2") == 0;
        float numbers[IMAGE];
        MapSet set;

        spec.classes = CLASSES_ALL;
        set = explain(rig, &spec, SPLIT_TEST, BATCH, 0);
        assert_int_equal(set.shape.images, TEST);
        for (uint32_t i = 0; i < TEST; i++) {
            double norm = 0;

            mapset_get(&set, i, numbers);
            assert_int_equal(set.index[i], i);
            for (size_t k = 0; k < mapset_image_numbers(&set.shape); k++) {
                norm = l2 ? norm + (double)numbers[k] * (double)numbers[k]
                          : fmax(norm, fabs((double)numbers[k]));
                assert_true(explanation_is_attack(source) || numbers[k] >= 0);
            }
            norm = l2 ? sqrt(norm) : norm;
            assert_true(!explanation_is_attack(source) || norm <= spec.eps * 1.001);
            assert_true(!explanation_is_attack(source) || norm > spec.eps / 2);
        }
        mapset_clear(&set);
    }
}

static void maps_of_all_classes_hold_the_target_s(void **state)
{
    static const char *const rows[][2] = {
        { "gradcam", "layer3" }, { "hirescam", "layer2" }, { "cam", "" }, { "gradcam", "layer4" }
    };
    Rig *rig = *state;

    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        ExplanationSpec spec = spec_of(rows[r][0]);
        MapSet one, all;
        float a[256], b[CLASSES * 256];

        snprintf(spec.layer, sizeof spec.layer, "%s", rows[r][1]);
        one = explain(rig, &spec, SPLIT_TRAIN, BATCH, 0);
        spec.classes = CLASSES_ALL;
        all = explain(rig, &spec, SPLIT_TRAIN, BATCH, 0);
        assert_int_equal(one.shape.maps, 1);
        assert_int_equal(all.shape.maps, CLASSES);
        for (uint32_t i = 0; i < one.shape.images; i++) {
            size_t numbers = mapset_image_numbers(&one.shape);

            mapset_get(&one, i, a);
            mapset_get(&all, i, b);
            assert_memory_equal(a, b + loader_label(&rig->loader, SPLIT_TRAIN, i) * numbers,
                                numbers * sizeof *a);
        }
        mapset_clear(&one);
        mapset_clear(&all);
    }
}

/* ---- Bits ---- */

static void threads_and_where_a_run_begins_do_not_change_a_bit(void **state)
{
    Rig *rig = *state, other;

    rig_init(&other, 1);
    for (uint32_t source = 0; explanation_sources[source] != NULL; source++) {
        ExplanationSpec spec = explanation_default(source);
        MapSet whole = explain(rig, &spec, SPLIT_TRAIN, BATCH, 0);
        MapSet again = explain(&other, &spec, SPLIT_TRAIN, BATCH, 0);
        MapSet rest = explain(rig, &spec, SPLIT_TRAIN, BATCH, BATCH);
        size_t numbers = mapset_image_numbers(&whole.shape);

        assert_true(same_sets(&whole, &again));
        assert_int_equal(rest.values[0], 0);
        assert_memory_equal(whole.values + BATCH * numbers, rest.values + BATCH * numbers,
                            (TRAIN - VAL - BATCH) * numbers * sizeof *rest.values);
        for (uint32_t i = 0; i < whole.shape.images; i++)
            assert_int_equal(whole.index[i], rig->loader.index[SPLIT_TRAIN][i]);
        mapset_clear(&whole);
        mapset_clear(&again);
        mapset_clear(&rest);
    }
    rig_clear(&other);
}

static void a_batch_allocates_nothing(void **state)
{
    Rig *rig = *state;
    real *images = calloc(BATCH * IMAGE, sizeof *images);
    uint16_t labels[BATCH] = { 0 };
    uint32_t items[BATCH] = { 0 };

    assert_non_null(images);
    for (uint32_t source = 0; explanation_sources[source] != NULL; source++) {
        ExplanationSpec spec = explanation_default(source);
        Explanation e;
        Arena arena = { 0 };
        Error err = { 0 };
        unsigned before;

        spec.classes = CLASSES_ALL;
        ok(explanation_init(&e, &rig->network, &spec, BATCH, &err), &err);
        ok(arena_init(&arena, arena_round(e.work_bytes) + e.state_bytes, &err), &err);
        explanation_bind(&e, arena.base, arena.base + arena_round(e.work_bytes));
        before = atomic_load(&allocations);
        explanation_run(
            &e, &rig->context,
            &(ExplanationBatch){ .images = images, .labels = labels, .items = items, .split = 0 });
        assert_int_equal(atomic_load(&allocations), before);
        explanation_clear(&e);
        arena_clear(&arena);
    }
    free(images);
}

/* ---- Checkpoints ---- */

static unsigned told;

static void tell(void *context, uint32_t images)
{
    atomic_int *stop = context;

    told = images;
    if (stop != NULL)
        atomic_store(stop, 1);
}

static void a_checkpoint_explains_a_split_as_its_network_does(void **state)
{
    Rig *rig = *state;
    Scratch scratch = scratch_new();
    ExplainSpec spec = { .path = scratch_path(&scratch, "net"),
                         .data = split_as,
                         .explanation = spec_of("pgd_l2"),
                         .batch_size = BATCH,
                         .seed = 9 };
    uint64_t bytes = 0;
    atomic_int stop = 0;
    MapSet want = explain(rig, &spec.explanation, SPLIT_VAL, BATCH, 0), got = { 0 };
    Error err = { 0 };
    size_t before;

    network_write(&rig->network, spec.path);
    ok(explain_estimate(&spec, &data, &bytes, &err), &err);
    before = atomic_load(&mapped);
    ok(explain_checkpoint(&spec, &data, SPLIT_VAL, rig->pool, NULL, tell, NULL, &got, &err), &err);
    assert_true(atomic_load(&mapped) - before <= bytes);
    assert_int_equal(told, VAL);
    assert_true(same_sets(&want, &got));
    mapset_clear(&want);
    mapset_clear(&got);
    assert_int_equal(
        explain_checkpoint(&spec, &data, SPLIT_VAL, rig->pool, &stop, tell, &stop, &got, NULL),
        STATUS_STOPPED);
    assert_int_equal(told, BATCH);
    assert_null(got.values);
    scratch_remove(&scratch);
}

static void estimate_refused(const ExplainSpec *spec, const Dataset *dataset, const char *pointer,
                             const char *says)
{
    uint64_t bytes = 77;
    Error err = { 0 };

    assert_int_equal(explain_estimate(spec, dataset, &bytes, &err), STATUS_INVALID);
    assert_int_equal(bytes, 77);
    assert_string_equal(err.detail[0].pointer, pointer);
    if (strstr(error_message(&err), says) == NULL)
        fail_msg("\"%s\" does not say %s", error_message(&err), says);
}

static void what_cannot_be_explained_is_refused_by_its_field(void **state)
{
    Rig *rig = *state;
    Scratch scratch = scratch_new();
    ExplainSpec spec = { .path = scratch_path(&scratch, "net"), .data = split_as };
    Dataset four = data;

    network_write(&rig->network, spec.path);
    spec.explanation = spec_of("pgd_l2");
    spec.explanation.eps = -0.1;
    estimate_refused(&spec, &data, "/explanation/eps", "0");
    spec.explanation = spec_of("pgd_linf");
    spec.explanation.steps = 0;
    estimate_refused(&spec, &data, "/explanation/steps", "1");
    spec.explanation = spec_of("pgd_linf");
    spec.explanation.step_size = -1;
    estimate_refused(&spec, &data, "/explanation/step_size", "0");
    spec.explanation = spec_of("fgsm");
    spec.explanation.start = ATTACK_START_ZERO;
    estimate_refused(&spec, &data, "/explanation/start", "random");
    spec.explanation = spec_of("gradcam");
    spec.explanation.reweight.f = 1.5;
    estimate_refused(&spec, &data, "/explanation/f", "0 to 1");
    spec.explanation = spec_of("gradcam");
    snprintf(spec.explanation.layer, sizeof spec.explanation.layer, "layer9");
    estimate_refused(&spec, &data, "/explanation/layer", "layer4");
    spec.explanation = spec_of("cam");
    snprintf(spec.explanation.layer, sizeof spec.explanation.layer, "layer2");
    estimate_refused(&spec, &data, "/explanation/layer", "\"layer4\"");
    spec.explanation = spec_of("gradcam");
    spec.explanation.source = 99;
    estimate_refused(&spec, &data, "/explanation/source", "source");
    spec.explanation = spec_of("gradcam");
    four.classes = 4;
    estimate_refused(&spec, &four, "/checkpoint", "classes");
    spec.data.val_images = TRAIN;
    estimate_refused(&spec, &data, "/val_images", "less");
    scratch_remove(&scratch);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        RIG_TEST(explanations_of_validation_and_test_images_carry_no_label),
        RIG_TEST(fault_12_explaining_changes_nothing_of_the_network),
        RIG_TEST(sources_are_found_by_name_attacks_first),
        RIG_TEST(deltas_keep_their_budget_and_maps_are_not_negative),
        RIG_TEST(maps_of_all_classes_hold_the_target_s),
        RIG_TEST(threads_and_where_a_run_begins_do_not_change_a_bit),
        RIG_TEST(a_batch_allocates_nothing),
        RIG_TEST(a_checkpoint_explains_a_split_as_its_network_does),
        RIG_TEST(what_cannot_be_explained_is_refused_by_its_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
