/*
 * cam_all: what holds of every heat-map method: fused layers, flips, on every kind of network, for
 * batches and single images, for any number of threads; and what is refused.
 */
#include "tests/unit/cam_rig.h"

#include "core/data/heatmap.h"

/* ---- Several layers, signs, flips ---- */

static void several_layers_are_fused_as_the_method_says(void **state)
{
    static const char *const layers[] = { "layer2", "layer4", "layer3" };
    static const uint32_t sides[] = { 8, 2, 4 };
    Rig *rig = *state;

    for (int with_sign = 0; with_sign < 2; with_sign++) {
        ExplanationSpec spec = spec_of("gradcam", "layer2,layer4,layer3");
        real want[CLASSES * 64] = { 0 };
        float *got;

        spec.signed_maps = with_sign != 0;
        got = maps_of(rig->pool, &rig->network, &spec, 1, rig->image, 0, NULL);
        for (int l = 0; l < 3; l++) {
            const size_t pixels = (size_t)sides[l] * sides[l];
            float *one, resized[64];

            spec = spec_of("gradcam", layers[l]);
            spec.signed_maps = with_sign != 0;
            one = maps_of(rig->pool, &rig->network, &spec, 1, rig->image, 0, NULL);
            for (size_t c = 0; c < CLASSES; c++) {
                float *map = one + c * pixels, most = 0;

                for (size_t p = 0; p < pixels; p++)
                    most = fmaxf(most, fabsf(map[p]));
                for (size_t p = 0; p < pixels && with_sign != 0; p++)
                    map[p] /= 1e-7f + most;
                if (with_sign == 0)
                    heatmap_normalise(pixels, map);
                heatmap_resize(sides[l], sides[l], map, 8, 8, 1, resized);
                for (size_t p = 0; p < 64; p++)
                    want[c * 64 + p] += resized[p] / 3;
            }
            free(one);
        }
        for (size_t c = 0; c < CLASSES; c++) {
            if (with_sign == 0)
                heatmap_normalise(64, want + c * 64);
            for (size_t p = 0; p < 64; p++)
                near("fused", (double)got[c * 64 + p], (double)want[c * 64 + p], 1e-5);
        }
        free(got);
    }
}

static void mirror(uint32_t h, uint32_t w, uint32_t c, const float *from, float *ret)
{
    for (uint32_t y = 0; y < h; y++)
        for (uint32_t x = 0; x < w; x++)
            memcpy(ret + (y * w + w - 1 - x) * c, from + (y * w + x) * c, c * sizeof *ret);
}

/* With flips a mirrored image has the mirrored map, to the bit. */
static void flips_make_every_method_symmetric(void **state)
{
    Rig *rig = *state;
    real mirrored[IMAGE];

    mirror(SIDE, SIDE, 3, rig->image, mirrored);
    for (uint32_t row = 0; cam_table[row] != NULL; row++) {
        const char *name = cam_table[row]->described.name;
        ExplanationSpec spec = spec_of(name, "");
        const MapShape shape = explanation_shape(&spec, &rig->network, 1);
        const size_t pixels = (size_t)shape.height * shape.width;
        float *plain, *a, *b, turned[SIDE * SIDE];

        spec.signed_maps = true;
        plain = maps_of(rig->pool, &rig->network, &spec, 1, rig->image, 0, NULL);
        spec.flips = true;
        a = maps_of(rig->pool, &rig->network, &spec, 1, rig->image, 0, NULL);
        b = maps_of(rig->pool, &rig->network, &spec, 1, mirrored, 0, NULL);
        assert_memory_not_equal(a, plain, CLASSES * pixels * sizeof *a);
        for (size_t c = 0; c < CLASSES; c++) {
            mirror(shape.height, shape.width, 1, b + c * pixels, turned);
            if (memcmp(a + c * pixels, turned, pixels * sizeof *a) != 0)
                fail_msg("%s: the map of the mirrored image is not the mirrored map", name);
        }
        free(plain);
        free(a);
        free(b);
    }
}

/* ---- All of them ---- */

static const struct {
    const char *model;
    Set set[4];
    uint32_t side;
    const char *refuses[3]; /* methods that it does not suit */
} models[] = {
    { "resnet18", { { "width", 4 } }, 8, { NULL } },
    { "resnet9", { { "width", 4 } }, 8, { "cam", NULL } },
    { "airbench94", { { "width", 4 } }, 16, { "cam", "guided_gradcam", NULL } },
    { "shake_shake", { { "width", 4 } }, 8, { NULL } },
    { "genotype", { { "channels", 4 }, { "cells", 3 }, { "auxiliary", 0 } }, 8, { NULL } },
    { "supernet", { { "channels", 4 }, { "cells", 3 } }, 8, { NULL } },
};

static bool refused(size_t m, const char *method)
{
    for (size_t i = 0; i < 3 && models[m].refuses[i] != NULL; i++)
        if (strcmp(models[m].refuses[i], method) == 0)
            return true;
    return false;
}

static void explains(Pool *pool, const Network *n, const char *model, const ExplanationSpec *spec,
                     const real *images)
{
    enum { N = 2 };
    float *all = maps_of(pool, n, spec, N, images, 0, NULL);
    const MapShape shape = explanation_shape(spec, n, N);
    const size_t numbers = mapset_image_numbers(&shape),
                 image = (size_t)n->input.height * n->input.width * 3;
    unsigned full = 0;

    for (uint32_t i = 0; i < N; i++) {
        float *one = maps_of(pool, n, spec, 1, images + i * image, i, NULL), most = 0;

        for (size_t k = 0; k < numbers; k++)
            most = fmaxf(most, fabsf(one[k]));
        for (size_t k = 0; k < numbers; k++) {
            const float x = all[i * numbers + k];

            if (!(isfinite(x) && fabsf(x - one[k]) <= 1e-3f * most))
                fail_msg("%s by %s, image %u, number %zu: %g in a batch, %g alone (of %g)", model,
                         explanation_sources[spec->source], i, k, (double)x, (double)one[k],
                         (double)most);
            full += x != 0;
        }
        free(one);
    }
    if (full == 0)
        fail_msg("%s by %s: all maps are empty", model, explanation_sources[spec->source]);
    free(all);
}

static void every_method_explains_every_network_or_says_why_not(void **state)
{
    Rig *rig = *state;

    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        const uint32_t side = models[m].side;
        const size_t count = 2 * (size_t)side * side * 3;
        Network n =
            network_of(models[m].model, models[m].set, (ModelInput){ side, side, 3, CLASSES });
        real *images = malloc(count * sizeof *images);

        assert_non_null(images);
        train(&n);
        draw(images, count, 60);
        for (uint32_t row = 0; cam_table[row] != NULL; row++) {
            const char *name = cam_table[row]->described.name;
            ExplanationSpec spec = spec_of(name, "");
            Error err = { 0 };

            spec.signed_maps = true; /* of untrained weights many a map has nothing positive */
            if (cam_table[row]->samples > 0)
                spec.classes = CLASSES_TARGET;
            if (!refused(m, name)) {
                ok(explanation_check(&spec, &n, &err), &err);
                explains(rig->pool, &n, models[m].model, &spec, images);
                continue;
            }
            assert_int_equal(explanation_check(&spec, &n, &err), STATUS_INVALID);
            assert_string_equal(err.detail[0].pointer,
                                strcmp(name, "cam") == 0 ? "/layer" : "/source");
            assert_non_null(strstr(error_message(&err), models[m].model));
        }
        free(images);
        network_clear(&n);
    }
}

static void threads_change_no_bit_of_any_method(void **state)
{
    enum { N = 17 };
    Rig *rig = *state;
    static real images[N * IMAGE];

    draw(images, N * IMAGE, 61);
    for (uint32_t row = 0; cam_table[row] != NULL; row++) {
        const bool layers = (cam_table[row]->needs & (CAM_PIXELS | CAM_HEAD)) == 0;
        ExplanationSpec spec =
            spec_of(cam_table[row]->described.name, layers ? "layer2,layer3" : "");
        MapShape shape;
        float *want = NULL;

        spec.flips = cam_table[row]->samples == 0;
        spec.classes = CLASSES_TARGET;
        shape = explanation_shape(&spec, &rig->network, N);
        for (unsigned threads = 1; threads < 4; threads += 2) {
            Pool *pool;
            float *got;

            assert_int_equal(pool_new(threads, &pool, NULL), STATUS_OK);
            got = maps_of(pool, &rig->network, &spec, N, images, 0, NULL);
            if (want == NULL)
                want = got;
            else
                assert_memory_equal(want, got, N * mapset_image_numbers(&shape) * sizeof *got);
            if (got != want)
                free(got);
            pool_free(pool);
        }
        free(want);
    }
}

/* A class by its number, by the prediction, and as one of all. */
static void a_class_s_map_does_not_depend_on_who_else_asks(void **state)
{
    enum { N = 3 };
    Rig *rig = *state;
    static real images[N * IMAGE];
    static const uint32_t classes[N] = { 2, 0, 1 };

    draw(images, N * IMAGE, 62);
    for (uint32_t row = 0; cam_table[row] != NULL; row++) {
        ExplanationSpec spec = spec_of(cam_table[row]->described.name, "");
        float *all = maps_of(rig->pool, &rig->network, &spec, N, images, 0, NULL), *one;
        size_t numbers;
        MapShape shape;

        spec.classes = CLASSES_TARGET;
        shape = explanation_shape(&spec, &rig->network, N);
        numbers = mapset_image_numbers(&shape);
        one = maps_of(rig->pool, &rig->network, &spec, N, images, 0, classes);
        for (uint32_t i = 0; i < N; i++)
            assert_memory_equal(one + i * numbers, all + (i * CLASSES + classes[i]) * numbers,
                                numbers * sizeof *one);
        free(all);
        free(one);
    }
}

static void changed_inputs_go_by_sixty_four_at_most(void **state)
{
    Network n = network_of("resnet18", SETS({ "width", 12 }), (ModelInput){ 8, 8, 3, CLASSES });
    static const struct {
        const char *layer;
        uint32_t lanes;
    } rows[] = { { "layer1", 12 }, { "layer4", CAM_LANES_MAX } }; /* of 96 channels */

    (void)state;
    for (size_t r = 0; r < 2; r++) {
        ExplanationSpec spec = spec_of("ablationcam", rows[r].layer);
        Explanation e;

        ok(explanation_init(&e, &n, &spec, 2, NULL), NULL);
        assert_int_equal(e.stage[0].passes.spec.images, rows[r].lanes);
        explanation_clear(&e);
    }
    network_clear(&n);
}

static void check_refused(const Network *n, const char *method, const char *layer,
                          const char *pointer, const char *says)
{
    ExplanationSpec spec = spec_of(method, layer);
    Error err = { 0 };

    assert_int_equal(explanation_check(&spec, n, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, pointer);
    if (strstr(error_message(&err), says) == NULL)
        fail_msg("\"%s\" does not say %s", error_message(&err), says);
}

static void layers_that_do_not_fit_are_refused(void **state)
{
    Rig *rig = *state;
    Network grouped = network_of("resnet18", SETS({ "width", 2 }), (ModelInput){ 8, 8, 12, 4 });
    char many[EXPLANATION_LAYER_MAX];

    check_refused(&rig->network, "gradcam", "layer3,layer9", "/layer", "layer4");
    check_refused(&rig->network, "gradcam", "layer3,", "/layer", "layer4");
    check_refused(&rig->network, "eigencam", ",layer3", "/layer", "layer4");
    check_refused(&rig->network, "scorecam", "avgpool", "/layer", "layer4");
    check_refused(&rig->network, "gradcam",
                  "layer1,layer1,layer1,layer1,layer1,layer1,layer1,"
                  "layer1,layer1",
                  "/layer", "at most 8");
    check_refused(&rig->network, "cam", "layer4,layer3", "/layer", "\"layer4\"");
    for (uint32_t row = 0; cam_table[row] != NULL; row++)
        if ((cam_table[row]->needs & (CAM_PIXELS | CAM_GUIDED)) == CAM_PIXELS)
            check_refused(&rig->network, cam_table[row]->described.name, "layer3", "/layer",
                          "takes no layer");
    memset(many, 'x', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    check_refused(&rig->network, "gradcam", many, "/layer", "layer4");
    /* Twelve channels are no pixels whose scale is known. */
    check_refused(&grouped, "smoothgrad", "", "/source", "12 channels");
    check_refused(&grouped, "delta", "", "/source", "12 channels");
    network_clear(&grouped);
}

/* An auxiliary head's layers do not lead to the logits; a map without a class is no matter. */
static void a_layer_beside_the_way_to_the_logits_is_refused(void **state)
{
    Network n = network_of("genotype", SETS({ "channels", 4 }, { "cells", 3 }),
                           (ModelInput){ 32, 32, 3, CLASSES });
    unsigned beside = 0;

    (void)state;
    for (uint32_t i = 0; i < n.graph.layers; i++) {
        const GraphLayer *l = &n.graph.layer[i];
        ExplanationSpec spec = spec_of("ablationcam", l->name);

        if (strncmp(l->name, "auxiliary_head", 14) != 0 ||
            graph_shape(&n.graph, l->node, 1).rank != 4)
            continue;
        check_refused(&n, "ablationcam", l->name, "/layer", "do not depend");
        check_refused(&n, "gradcam", l->name, "/layer", "do not depend");
        spec = spec_of("eigencam", l->name);
        ok(explanation_check(&spec, &n, NULL), NULL);
        beside++;
    }
    assert_true(beside > 0);
    network_clear(&n);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        RIG_TEST(several_layers_are_fused_as_the_method_says),
        RIG_TEST(flips_make_every_method_symmetric),
        RIG_TEST(every_method_explains_every_network_or_says_why_not),
        RIG_TEST(threads_change_no_bit_of_any_method),
        RIG_TEST(a_class_s_map_does_not_depend_on_who_else_asks),
        RIG_TEST(changed_inputs_go_by_sixty_four_at_most),
        RIG_TEST(layers_that_do_not_fit_are_refused),
        RIG_TEST(a_layer_beside_the_way_to_the_logits_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
