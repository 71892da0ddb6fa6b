/*
 * Heat maps of every class at three layers, by the engine for batches, and inputs composed of
 * images and maps in every mode, against PyTorch (make_explain.py).
 */
#include "tests/golden/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/explain/explanation.h"
#include "tests/golden/closed_form.h"

static const double bound_map = 1e-4, bound_value = 1e-5, bound_input = 1e-5;

/* As in make_explain.py. */
static const float mean[3] = { 0.5f, 0.45f, 0.4f }, deviation[3] = { 0.25f, 0.2f, 0.15f };

/* ---- Heat maps ---- */

static const struct {
    const char *method, *layer;
} maps[] = {
    { "gradcam", "layer2" },  { "gradcam", "layer3" },  { "gradcam", "layer4" },
    { "hirescam", "layer2" }, { "hirescam", "layer3" }, { "hirescam", "layer4" },
    { "cam", "layer4" },
};

static void maps_agree(const Rig *rig, const StFile *file, const real *images, const char *method,
                       const char *layer)
{
    ExplanationSpec spec = explanation_default((uint32_t)explanation_find(method));
    Explanation e = { 0 };
    Arena memory = { 0 };
    uint32_t *items = calloc(rig->images, sizeof *items);
    Error err = { 0 };
    char name[64];
    size_t count;

    assert_non_null(items);
    spec.classes = CLASSES_ALL;
    snprintf(spec.layer, sizeof spec.layer, "%s", layer);
    rig_ok(explanation_init(&e, &rig->network, &spec, rig->images, &err), &err);
    rig_ok(arena_init(&memory, arena_round(e.work_bytes) + arena_round(e.state_bytes), &err), &err);
    explanation_bind(&e, memory.base, memory.base + arena_round(e.work_bytes));
    explanation_run(&e, &rig->context,
                    &(ExplanationBatch){ .images = images, .items = items, .split = SPLIT_TEST });
    snprintf(name, sizeof name, "%s/%s", method, layer);
    count = rig->images * mapset_image_numbers(&e.shape);
    golden_close(name, e.maps, golden_array(file, name, count), count, 1, bound_map);
    explanation_clear(&e);
    arena_clear(&memory);
    free(items);
}

static void heat_maps_of_every_class_are_pytorchs(void **state)
{
    StFile *file = golden_open("explain_maps");
    const Kernels *kernels;
    Choice model;
    Error err = { 0 };
    Plan plan = { 0 };
    Arena memory = { 0 };
    Tensor image, logits;
    Rig rig;

    (void)state;
    rig_model(file, &model);
    rig_ok(kernels_select(NULL, &kernels, &err), &err);
    rig_init(&rig, file, &model, golden_number(file, "seed"), kernels);
    rig_ok(plan_init(&plan, &rig.network.graph,
                     &(PlanSpec){ .images = rig.images,
                                  .output = rig.network.logits,
                                  .gradient_to = NODE_NONE,
                                  .keep = { rig.network.image, NODE_NONE } },
                     &err),
           &err);
    rig_ok(arena_init(&memory, plan.bytes, &err), &err);
    plan_bind(&plan, memory.base);
    rig_fill_batch(&rig, &plan, 0);
    image = plan_tensor(&plan, rig.network.image);
    run_forward(&plan, &rig.context);
    logits = plan_tensor(&plan, rig.network.logits);
    golden_close("logits", logits.data, golden_array(file, "logits", shape_count(&logits.shape)),
                 shape_count(&logits.shape), 1, bound_value);
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        maps_agree(&rig, file, image.data, maps[i].method, maps[i].layer);
    plan_clear(&plan);
    arena_clear(&memory);
    rig_clear(&rig);
    safetensors_close(file);
}

/* ---- Composed inputs ---- */

typedef struct Composed {
    StFile *file;
    uint32_t images, size, classes;
    Dataset data;
    uint8_t *pixels;
    uint16_t *labels;
    Loader loader;
} Composed;

static const char *const class_names[] = { "a", "b", "c" };

static void composed_init(Composed *c)
{
    size_t numbers;
    int32_t *drawn;
    Error err = { 0 };

    *c = (Composed){ .file = golden_open("explain_composed") };
    c->images = golden_number(c->file, "images");
    c->size = golden_number(c->file, "size");
    c->classes = golden_number(c->file, "classes");
    numbers = (size_t)c->images * c->size * c->size * 3;
    c->pixels = malloc(numbers);
    c->labels = calloc(c->images, sizeof *c->labels);
    drawn = malloc(numbers * sizeof *drawn);
    assert_true(c->pixels != NULL && c->labels != NULL && drawn != NULL);
    closed_form_labels(1, "pixels", numbers, 256, drawn);
    for (size_t i = 0; i < numbers; i++)
        c->pixels[i] = (uint8_t)drawn[i];
    free(drawn);
    c->data = (Dataset){ .name = "golden",
                         .layout = "shapes",
                         .height = c->size,
                         .width = c->size,
                         .channels = 3,
                         .classes = c->classes,
                         .class_names = class_names,
                         .train = { c->images, c->pixels, c->labels, NULL } };
    memcpy(c->data.mean, mean, sizeof mean);
    memcpy(c->data.std, deviation, sizeof deviation);
    rig_ok(loader_init(&c->loader, &c->data, &(DataSpec){ 0 }, &err), &err);
}

static void composed_clear(Composed *c)
{
    loader_clear(&c->loader);
    free(c->pixels);
    free(c->labels);
    safetensors_close(c->file);
}

/* The maps of make_explain.py; the half floats are compared on the way. */
static MapSet set_of(const Composed *c, bool delta)
{
    MapShape shape = { delta ? MAP_DELTA : MAP_HEAT, c->images, delta ? 3 : c->classes,
                       delta ? c->size : golden_number(c->file, "height"),
                       delta ? c->size : golden_number(c->file, "width") };
    size_t count = shape.images * mapset_image_numbers(&shape);
    float *raw = malloc(count * sizeof *raw);
    const float *halves = golden_array(c->file, delta ? "delta/half" : "heat/half", count);
    MapSet set = { 0 };
    Error err = { 0 };

    assert_non_null(raw);
    closed_form(1, delta ? "delta" : "heat", count, 0, delta ? 1 : 2, raw);
    for (size_t i = 0; i < count && !delta; i++)
        raw[i] = raw[i] > 0 ? raw[i] : 0;
    rig_ok(mapset_new(&shape, &set, &err), &err);
    for (uint32_t i = 0; i < shape.images; i++)
        mapset_put(&set, i, i, raw + i * mapset_image_numbers(&shape));
    for (size_t i = 0; i < count; i++)
        assert_true(float_from_half(set.values[i]) == halves[i]);
    free(raw);
    return set;
}

static void inputs_agree(Composed *c, const MapSet *set, uint32_t mode)
{
    bool delta = set->shape.kind == MAP_DELTA;
    ComposeSpec spec = { .reweight = { mode, 0.3 }, .maps = { [SPLIT_TRAIN] = set } };
    uint32_t items[16] = { 0, 1, 2 };
    uint16_t labels[16];
    Composer composer;
    Error err = { 0 };
    Shape shape;
    float *images, *plain;
    BatchSpec batch = { .split = SPLIT_TRAIN, .items = items, .count = c->images };
    char name[64];
    size_t count;

    rig_ok(composer_init(&composer, &c->loader, &spec, &err), &err);
    loader_set_composer(&c->loader, &composer);
    shape = shape4(c->images, c->size, c->size, loader_channels(&c->loader));
    count = shape_count(&shape);
    images = malloc(count * sizeof *images);
    plain = malloc(count * sizeof *plain);
    batch.scratch = aligned_alloc(64, loader_scratch_bytes(&c->loader, c->images));
    assert_true(images != NULL && plain != NULL && batch.scratch != NULL);
    loader_batch(&c->loader, NULL, &batch, images, labels, NULL);
    golden_from_blocked(&shape, images, plain);
    snprintf(name, sizeof name, "%s/%s", delta ? "delta" : "heat", reweight_names[mode]);
    golden_close(name, plain, golden_array(c->file, name, count), count, 1, bound_input);
    loader_set_composer(&c->loader, NULL);
    composer_clear(&composer);
    free(batch.scratch);
    free(images);
    free(plain);
}

static void composed_inputs_are_pytorchs_in_every_mode(void **state)
{
    Composed c;

    (void)state;
    composed_init(&c);
    for (int delta = 0; delta < 2; delta++) {
        MapSet set = set_of(&c, delta == 1);

        for (uint32_t mode = 0; reweight_table[mode] != NULL; mode++)
            inputs_agree(&c, &set, mode);
        mapset_clear(&set);
    }
    composed_clear(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heat_maps_of_every_class_are_pytorchs),
        cmocka_unit_test(composed_inputs_are_pytorchs_in_every_mode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
