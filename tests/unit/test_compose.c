/*
 * compose: inputs made of images and their maps. Maps go where their images go, mixing and cutout
 * see the whole input, and controls are what they say.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/compose.h"

enum { SIDE = 8, TRAIN = 20, TEST = 5, VAL = 6, CLASSES = 3, IMAGE = SIDE * SIDE * 3, BATCH = 14 };

static uint8_t train_pixels[TRAIN * IMAGE], test_pixels[TEST * IMAGE];
static uint16_t train_labels[TRAIN], test_labels[TEST];
static const char *const names[] = { "a", "b", "c" };

static const Dataset data = { .name = "noise",
                              .layout = "shapes",
                              .height = SIDE,
                              .width = SIDE,
                              .channels = 3,
                              .classes = CLASSES,
                              .class_names = names,
                              .std = { 1, 1, 1 }, /* so that a black pixel is 0 */
                              .train = { TRAIN, train_pixels, train_labels, NULL },
                              .test = { TEST, test_pixels, test_labels, NULL } };

typedef struct Rig {
    Loader loader;
    Composer composer;
    MapSet set[SPLIT_COUNT];
    ComposeSpec spec;
} Rig;

/* The map of class k of the image in `pixels`: its channel k, which goes from 0 to 1. */
static void put_image(MapSet *set, const Rig *rig, Split split, uint32_t item)
{
    const uint8_t *pixels = loader_pixels(&rig->loader, split, item);
    float maps[IMAGE];

    for (uint32_t k = 0; k < set->shape.maps; k++)
        for (int p = 0; p < SIDE * SIDE; p++)
            maps[k * SIDE * SIDE + (uint32_t)p] =
                (set->shape.kind == MAP_DELTA && p % 2 == 0 ? -1.0f : 1.0f) *
                (float)pixels[p * 3 + (int)k] / 255;
    mapset_put(set, item, rig->loader.index[split][item], maps);
}

static void rig_init(Rig *rig, MapKind kind, uint32_t maps)
{
    Rng rng = rng_at(6, RNG_TEST, 0, 0);

    *rig = (Rig){ .spec = { .reweight = { 2 /* H */, 0.3 }, .seed = 11 } };
    for (size_t i = 0; i < sizeof train_pixels + sizeof test_pixels; i++) {
        uint8_t *to =
            i < sizeof train_pixels ? &train_pixels[i] : &test_pixels[i - sizeof train_pixels];
        size_t p = i % IMAGE / 3;

        *to = p < 2 ? (uint8_t)(p * 255) : (uint8_t)rng_below(&rng, 256); /* the whole range */
    }
    for (uint16_t i = 0; i < TRAIN; i++)
        train_labels[i] = i % CLASSES;
    assert_int_equal(
        loader_init(&rig->loader, &data, &(DataSpec){ .val_images = VAL, .split_seed = 3 }, NULL),
        STATUS_OK);
    for (Split split = 0; split < SPLIT_COUNT; split++) {
        MapShape shape = { kind, rig->loader.images[split], maps, SIDE, SIDE };

        assert_int_equal(mapset_new(&shape, &rig->set[split], NULL), STATUS_OK);
        for (uint32_t i = 0; i < shape.images; i++)
            put_image(&rig->set[split], rig, split, i);
        rig->spec.maps[split] = &rig->set[split];
    }
}

static void rig_clear(Rig *rig)
{
    loader_clear(&rig->loader);
    composer_clear(&rig->composer);
    for (int split = 0; split < SPLIT_COUNT; split++)
        mapset_clear(&rig->set[split]);
}

static void rig_compose(Rig *rig)
{
    Error err = { 0 };

    composer_clear(&rig->composer);
    if (composer_init(&rig->composer, &rig->loader, &rig->spec, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    loader_set_composer(&rig->loader, &rig->composer);
}

static Choice row(const char *name)
{
    Choice choice;

    choice_init(augmentation_table, (uint32_t)table_find(augmentation_table, name), &choice);
    return choice;
}

static View view; /* how batches are looked at */

/* A training batch in plain order [N][pixel][channel]; the caller frees it. */
static float *batch_of(const Rig *rig, const Choice *augment, uint32_t augments, ComposeLook look,
                       Pool *pool)
{
    static uint32_t items[BATCH];
    static uint16_t labels[BATCH];
    uint32_t channels = loader_channels(&rig->loader);
    size_t numbers = (size_t)SIDE * SIDE * channels;
    float *blocked = malloc(BATCH * numbers * sizeof *blocked),
          *plain = malloc(BATCH * numbers * sizeof *plain);
    BatchSpec spec = { .split = SPLIT_TRAIN,
                       .items = items,
                       .count = BATCH,
                       .augment = augment,
                       .augments = augments,
                       .seed = 4,
                       .epoch = 2,
                       .step = 7,
                       .view = view,
                       .look = look,
                       .scratch = aligned_alloc(64, loader_scratch_bytes(&rig->loader, BATCH)) };

    assert_true(blocked != NULL && plain != NULL && spec.scratch != NULL);
    for (uint32_t i = 0; i < BATCH; i++)
        items[i] = (i * 5) % BATCH;
    loader_batch(&rig->loader, pool, &spec, blocked, labels, NULL);
    for (size_t p = 0; p < SIDE * SIDE; p++)
        for (size_t i = 0; i < BATCH; i++)
            memcpy(plain + i * numbers + p * channels, blocked + (p * BATCH + i) * channels,
                   channels * sizeof *plain);
    free(blocked);
    free(spec.scratch);
    return plain;
}

/* What the images alone would have been. */
static float *images_of(Rig *rig, const Choice *augment, uint32_t augments)
{
    const Composer *composer = rig->loader.composer;
    float *ret;

    loader_set_composer(&rig->loader, NULL);
    ret = batch_of(rig, augment, augments, LOOK_TRAINED, NULL);
    loader_set_composer(&rig->loader, composer);
    return ret;
}

static void near(double got, double want, double slack)
{
    if (!(fabs(got - want) <= slack))
        fail_msg("%.9g is not %.9g", got, want);
}

/* ---- Where maps go ---- */

static void crop_flip_shift_and_views_move_image_and_maps_alike(void **state)
{
    const Choice augment[] = { row("crop"), row("flip"), row("shift") };
    unsigned zeros = 0;
    Rig rig;

    (void)state;
    for (int round = 0; round < 4; round++) {
        bool delta = round % 2 == 1;
        float *images, *inputs;

        view = round < 2 ? (View){ 0 } : (View){ true, 1, -2 };
        rig_init(&rig, delta ? MAP_DELTA : MAP_HEAT, CLASSES);
        rig_compose(&rig);
        images = images_of(&rig, augment, 3);
        inputs = batch_of(&rig, augment, 3, LOOK_TRAINED, NULL);
        for (size_t p = 0; p < (size_t)BATCH * SIDE * SIDE; p++)
            for (size_t c = 0; c < 3; c++)
                for (size_t k = 0; k < 3; k++) {
                    float x = images[p * 3 + c], map = images[p * 3 + (delta ? c : k)];

                    zeros += x == 0;
                    near((double)inputs[delta ? p * 3 + c : p * 9 + k * 3 + c],
                         (double)x * (double)map, 1e-3);
                }
        free(images);
        free(inputs);
        rig_clear(&rig);
    }
    view = (View){ 0 };
    assert_true(zeros > 100); /* some moved in */
}

static void cutout_and_mixing_act_on_the_whole_input(void **state)
{
    static const char *const mixes[] = { "cutmix", "mixup" };
    Rig rig;

    (void)state;
    rig_init(&rig, MAP_HEAT, CLASSES);
    rig.spec.input = COMPOSE_IMAGE_MAPS;
    rig.spec.reweight.mode = 4; /* mix: no weight is 0 */
    rig_compose(&rig);
    for (int m = 0; m < 2; m++) {
        Choice augment[] = { row("crop"), row("cutout"), row(mixes[m]) };
        float *images, *inputs;
        unsigned holes = 0;

        augment[0].value[0] = 2;
        augment[1].value[0] = 5;
        augment[2].value[0] = 1; /* always */
        images = images_of(&rig, augment, 3);
        inputs = batch_of(&rig, augment, 3, LOOK_TRAINED, NULL);
        for (size_t p = 0; p < (size_t)BATCH * SIDE * SIDE; p++) {
            const float *in = inputs + p * 12, *x = images + p * 3;

            assert_memory_equal(in, x, 3 * sizeof *x); /* the same draws as without maps */
            holes += x[0] == 0 && x[1] == 0 && x[2] == 0;
            for (int c = 0; c < 12; c++)
                assert_true(x[c % 3] != 0 || in[c] == 0);
        }
        assert_true(holes > BATCH);
        free(images);
        free(inputs);
    }
    rig_clear(&rig);
}

static void a_pool_makes_the_same_inputs(void **state)
{
    const Choice augment[] = { row("crop"), row("flip"), row("cutmix") };
    Rig rig;
    Pool *pool;
    float *alone, *together;

    (void)state;
    rig_init(&rig, MAP_HEAT, CLASSES);
    rig.spec.control = CONTROL_RANDOM;
    rig_compose(&rig);
    assert_int_equal(pool_new(3, &pool, NULL), STATUS_OK);
    alone = batch_of(&rig, augment, 3, LOOK_TRAINED, NULL);
    together = batch_of(&rig, augment, 3, LOOK_TRAINED, pool);
    assert_memory_equal(alone, together, sizeof(float) * BATCH * SIDE * SIDE * 9);
    free(alone);
    free(together);
    pool_free(pool);
    rig_clear(&rig);
}

/* ---- Ways to look ---- */

static void the_image_alone_is_the_image(void **state)
{
    const Choice augment[] = { row("crop"), row("cutout") };
    Rig rig;
    float *images, *inputs;

    (void)state;
    rig_init(&rig, MAP_HEAT, 1);
    rig.spec.input = COMPOSE_IMAGE;
    rig_compose(&rig);
    images = images_of(&rig, augment, 2);
    for (int look = LOOK_TRAINED; look <= LOOK_RAW; look++) {
        inputs = batch_of(&rig, augment, 2, (ComposeLook)look, NULL);
        assert_memory_equal(images, inputs, sizeof(float) * BATCH * IMAGE);
        free(inputs);
    }
    assert_true(composer_can(&rig.composer, LOOK_REWEIGHTED));
    inputs = batch_of(&rig, NULL, 0, LOOK_REWEIGHTED, NULL);
    free(images);
    images = images_of(&rig, NULL, 0);
    for (size_t p = 0; p < (size_t)BATCH * SIDE * SIDE; p++)
        for (size_t c = 0; c < 3; c++)
            near((double)inputs[p * 3 + c], (double)images[p * 3 + c] * (double)images[p * 3],
                 1e-3);
    free(images);
    free(inputs);
    rig_clear(&rig);
    rig_init(&rig, MAP_HEAT, CLASSES);
    rig.spec.input = COMPOSE_IMAGE;
    rig_compose(&rig);
    assert_false(composer_can(&rig.composer, LOOK_REWEIGHTED)); /* nine channels into three */
    rig_clear(&rig);
}

static void raw_inputs_have_maps_of_ones(void **state)
{
    static const double weight[] = { 1, 1, 1, 2, 1 }; /* of a map of ones, by mode */
    Rig rig;

    (void)state;
    for (uint32_t mode = 0; mode < 5; mode++)
        for (uint32_t maps = 1; maps <= CLASSES; maps += 2) {
            float *images, *inputs;
            uint32_t channels = 3 * maps;

            rig_init(&rig, MAP_HEAT, maps);
            rig.spec.reweight.mode = mode;
            rig_compose(&rig);
            images = images_of(&rig, NULL, 0);
            inputs = batch_of(&rig, NULL, 0, LOOK_RAW, NULL);
            for (size_t p = 0; p < (size_t)BATCH * SIDE * SIDE; p++)
                for (uint32_t c = 0; c < channels; c++)
                    near((double)inputs[p * channels + c],
                         (double)images[p * 3 + c % 3] * (maps == 1 ? 1 : weight[mode]), 1e-6);
            free(images);
            free(inputs);
            rig_clear(&rig);
        }
}

/* ---- Controls ---- */

static void others_maps_are_never_the_images_own(void **state)
{
    Rig rig;

    (void)state;
    rig_init(&rig, MAP_HEAT, CLASSES);
    rig.spec.control = CONTROL_OTHER;
    rig_compose(&rig);
    for (Split split = 0; split < SPLIT_COUNT; split++) {
        uint32_t images = rig.loader.images[split], seen[TRAIN] = { 0 };

        for (uint32_t i = 0; i < images; i++) {
            float scratch[IMAGE], got[IMAGE], want[IMAGE];
            uint32_t other = rig.composer.other[split][i];

            assert_true(other < images && other != i);
            seen[other]++;
            composer_maps(&rig.composer, split, i, scratch, got);
            mapset_get(&rig.set[split], other, want);
            for (int p = 0; p < SIDE * SIDE; p++)
                for (int k = 0; k < CLASSES; k++)
                    near((double)got[p * CLASSES + k], (double)want[k * SIDE * SIDE + p], 1e-6);
        }
        for (uint32_t i = 0; i < images; i++)
            assert_int_equal(seen[i], 1);
    }
    rig_clear(&rig);
}

static void random_maps_belong_to_seed_image_and_class(void **state)
{
    float scratch[IMAGE], first[IMAGE], got[IMAGE];
    Rig rig;

    (void)state;
    rig_init(&rig, MAP_HEAT, CLASSES);
    rig.spec.control = CONTROL_RANDOM;
    rig_compose(&rig);
    composer_maps(&rig.composer, SPLIT_TRAIN, 4, scratch, first);
    for (int p = 0; p < SIDE * SIDE; p++) {
        for (int k = 0; k < CLASSES; k++)
            assert_true(first[p * CLASSES + k] >= 0 && first[p * CLASSES + k] <= 1);
        assert_true(first[p * CLASSES] != first[p * CLASSES + 1]);
    }
    composer_maps(&rig.composer, SPLIT_TRAIN, 4, scratch, got);
    assert_memory_equal(first, got, sizeof got);
    composer_maps(&rig.composer, SPLIT_TRAIN, 5, scratch, got);
    assert_memory_not_equal(first, got, sizeof got);
    composer_maps(&rig.composer, SPLIT_VAL, 4, scratch, got);
    assert_memory_not_equal(first, got, sizeof got);
    rig.spec.seed++;
    rig_compose(&rig);
    composer_maps(&rig.composer, SPLIT_TRAIN, 4, scratch, got);
    assert_memory_not_equal(first, got, sizeof got);
    rig_clear(&rig);
}

/* ---- What does not fit ---- */

static void refused(Rig *rig, const char *pointer, const char *says)
{
    Composer none = { .channels = 77 };
    Error err = { 0 };

    assert_int_equal(composer_init(&none, &rig->loader, &rig->spec, &err), STATUS_INVALID);
    assert_int_equal(none.channels, 77);
    assert_string_equal(err.detail[0].pointer, pointer);
    if (strstr(error_message(&err), says) == NULL)
        fail_msg("\"%s\" does not say %s", error_message(&err), says);
}

static void maps_of_other_images_are_refused(void **state)
{
    const MapShape shape = { MAP_HEAT, TRAIN - VAL, CLASSES, SIDE, SIDE };
    MapSet wrong = { 0 };
    Loader other = { 0 };
    Rig rig;

    (void)state;
    rig_init(&rig, MAP_HEAT, CLASSES);
    rig.spec.maps[SPLIT_TEST] = NULL;
    refused(&rig, "/maps", "\"test\"");
    rig.spec.maps[SPLIT_TEST] = &rig.set[SPLIT_VAL];
    refused(&rig, "/maps", "6 test images");
    rig.spec.maps[SPLIT_TEST] = &rig.set[SPLIT_TEST];
    rig.set[SPLIT_TEST].shape.maps = 2;
    refused(&rig, "/maps", "2 classes");
    rig.set[SPLIT_TEST].shape.maps = 1;
    refused(&rig, "/maps", "another shape");
    rig.set[SPLIT_TEST].shape.maps = CLASSES;
    assert_int_equal(mapset_new(&shape, &wrong, NULL), STATUS_OK);
    rig.spec.maps[SPLIT_TRAIN] = &wrong; /* every position is 0 */
    refused(&rig, "/maps", "other images");
    mapset_clear(&wrong);
    rig.spec.maps[SPLIT_TRAIN] = &rig.set[SPLIT_TRAIN];
    assert_int_equal(
        loader_init(&other, &data, &(DataSpec){ .val_images = VAL, .split_seed = 4 }, NULL),
        STATUS_OK);
    loader_clear(&rig.loader);
    rig.loader = other;
    refused(&rig, "/maps", "other images"); /* another split_seed */
    rig_clear(&rig);
}

static void deltas_of_another_size_are_refused(void **state)
{
    Rig rig;

    (void)state;
    rig_init(&rig, MAP_DELTA, 3);
    for (int split = 0; split < SPLIT_COUNT; split++)
        rig.set[split].shape.height = SIDE / 2;
    refused(&rig, "/maps", "8x4");
    rig_clear(&rig);
}

static void a_single_image_has_no_other_ones_map(void **state)
{
    Rig rig;

    (void)state;
    rig_init(&rig, MAP_HEAT, 1);
    rig.loader.images[SPLIT_TEST] = rig.set[SPLIT_TEST].shape.images = 1;
    rig.spec.control = CONTROL_OTHER;
    refused(&rig, "/control", "\"test\"");
    rig_clear(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crop_flip_shift_and_views_move_image_and_maps_alike),
        cmocka_unit_test(cutout_and_mixing_act_on_the_whole_input),
        cmocka_unit_test(a_pool_makes_the_same_inputs),
        cmocka_unit_test(the_image_alone_is_the_image),
        cmocka_unit_test(raw_inputs_have_maps_of_ones),
        cmocka_unit_test(others_maps_are_never_the_images_own),
        cmocka_unit_test(random_maps_belong_to_seed_image_and_class),
        cmocka_unit_test(maps_of_other_images_are_refused),
        cmocka_unit_test(deltas_of_another_size_are_refused),
        cmocka_unit_test(a_single_image_has_no_other_ones_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
