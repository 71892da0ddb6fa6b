/*
 * explainer: what it finds in a checkpoint, heat maps by their exact identities, and that no
 * weights whatever bring a NaN out. The networks are written here: 16x16 images, so that layer4 has
 * 2x2 pixels.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/explain/explainer.h"
#include "core/graph/run.h"
#include "core/nn/network.h"
#include "tests/unit/networks.h"
#include "tests/unit/scratch.h"

enum { SIDE = 16, CLASSES = 4, IMAGE = SIDE * SIDE * 3 };

typedef struct Rig {
    Scratch scratch;
    Network network;
    Pool *pool;
    Explainer *explainer; /* of the network as it was when opened */
    float image[IMAGE];
} Rig;

static void draw(float *ret, size_t count, float mean, float spread, uint32_t stream)
{
    Rng rng = rng_at(5, RNG_TEST, 0, stream);

    for (size_t i = 0; i < count; i++)
        ret[i] = mean + spread * (2 * rng_uniform(&rng) - 1);
}

static real *weight_of(Rig *rig, const char *name, size_t *ret_count)
{
    for (uint32_t i = 0; i < rig->network.graph.weights; i++)
        if (strcmp(rig->network.graph.weight[i].name, name) == 0) {
            *ret_count = rig->network.graph.weight[i].count;
            return rig->network.weights + rig->network.graph.weight[i].offset;
        }
    fail_msg("no weight %s", name);
    return NULL;
}

/* A network as after some training: no norm does nothing. */
static void rig_init(Rig *rig)
{
    int row = table_find(model_table, "resnet18");
    const Described *d = &model_table[row]->described;
    Choice model = { .row = (uint32_t)row };

    *rig = (Rig){ .scratch = scratch_new() };
    param_defaults(d, model.value);
    model.value[param_find(d, "width")] = 2;
    assert_int_equal(
        network_init(&rig->network, &model, &(ModelInput){ SIDE, SIDE, 3, CLASSES }, NULL),
        STATUS_OK);
    assert_int_equal(network_take_weights(&rig->network, NULL), STATUS_OK);
    network_randomise(&rig->network, 6);
    for (uint32_t i = 0; i < rig->network.graph.weights; i++) {
        const GraphWeight *w = &rig->network.graph.weight[i];

        if (w->spec.init != INIT_UNIFORM)
            draw(rig->network.weights + w->offset, w->count, w->spec.init == INIT_ONE ? 1 : 0, 0.3f,
                 i);
    }
    draw(rig->image, IMAGE, 0, 2, 1000);
    assert_int_equal(pool_new(2, &rig->pool, NULL), STATUS_OK);
}

/* Writes the network's weights as they are now; the path is scratch's. */
static const char *write_network(Rig *rig, const char *name)
{
    const char *path = scratch_path(&rig->scratch, name);

    network_write(&rig->network, path);
    return path;
}

static void rig_open(Rig *rig)
{
    Error err = { 0 };

    explainer_free(rig->explainer);
    rig->explainer = NULL;
    if (explainer_open(write_network(rig, "net"), rig->pool, &rig->explainer, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
}

static void rig_clear(Rig *rig)
{
    explainer_free(rig->explainer);
    network_clear(&rig->network);
    pool_free(rig->pool);
    scratch_remove(&rig->scratch);
}

static HeatMap map_by(Rig *rig, const char *cam, const char *layer, int64_t class_index,
                      bool signed_map)
{
    MapRequest request = { .image = rig->image,
                           .layer = { layer },
                           .layers = layer != NULL,
                           .method = (uint32_t)table_find(cam_table, cam),
                           .class_index = class_index,
                           .signed_map = signed_map };
    HeatMap map = { 0 };
    Error err = { 0 };

    if (explainer_map(rig->explainer, &request, &map, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    return map;
}

static HeatMap map_of(Rig *rig, const char *layer, int64_t class_index, bool signed_map)
{
    return map_by(rig, "gradcam", layer, class_index, signed_map);
}

static void near(double got, double want, double slack)
{
    if (!(fabs(got - want) <= slack))
        fail_msg("%.9g is not %.9g", got, want);
}

static void same_maps(const HeatMap *a, const HeatMap *b)
{
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->class_index, b->class_index);
    assert_int_equal(a->predicted, b->predicted);
    assert_int_equal(a->empty, b->empty);
    assert_true(a->score == b->score);
    assert_memory_equal(a->values, b->values, (size_t)a->height * a->width * sizeof *a->values);
}

static int setup(void **state)
{
    static Rig rig;

    rig_init(&rig);
    rig_open(&rig);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_clear(*state);
    return 0;
}

/* ---- What is in a checkpoint ---- */

static void layers_come_in_network_order_with_their_shapes(void **state)
{
    static const struct {
        const char *name;
        Shape shape;
    } want[] = {
        { "conv1", { 4, { 1, 16, 16, 2 } } },
        { "bn1", { 4, { 1, 16, 16, 2 } } },
        { "layer1.0.conv1", { 4, { 1, 16, 16, 2 } } },
        { "layer1.1.bn2", { 4, { 1, 16, 16, 2 } } },
        { "layer1.1", { 4, { 1, 16, 16, 2 } } },
        { "layer1", { 4, { 1, 16, 16, 2 } } },
        { "layer2.0.conv1", { 4, { 1, 8, 8, 4 } } },
        { "layer2.0.downsample.0", { 4, { 1, 8, 8, 4 } } },
        { "layer2", { 4, { 1, 8, 8, 4 } } },
        { "layer3", { 4, { 1, 4, 4, 8 } } },
        { "layer4.1.conv2", { 4, { 1, 2, 2, 16 } } },
        { "layer4", { 4, { 1, 2, 2, 16 } } },
        { "avgpool", { 2, { 1, 16, 1, 1 } } },
        { "fc", { 2, { 1, 4, 1, 1 } } },
    };
    Rig *rig = *state;
    Shape input = explainer_input(rig->explainer), image = shape4(1, SIDE, SIDE, 3);
    uint32_t count = 0, found = 0;
    const LayerInfo *layer = explainer_layers(rig->explainer, &count);

    for (uint32_t i = 0; i < count && found < sizeof want / sizeof *want; i++)
        if (strcmp(layer[i].name, want[found].name) == 0) {
            assert_true(shape_equal(&layer[i].output, &want[found].shape));
            found++;
        }
    assert_int_equal(found, sizeof want / sizeof *want);
    assert_string_equal(layer[0].name, "conv1");
    assert_string_equal(layer[count - 1].name, "fc");
    assert_true(shape_equal(&input, &image));
    assert_int_equal(explainer_classes(rig->explainer), CLASSES);
}

static void what_is_no_checkpoint_is_not_opened(void **state)
{
    Rig *rig = *state;
    Explainer *none = NULL;

    assert_int_equal(explainer_open(scratch_path(&rig->scratch, "missing"), rig->pool, &none, NULL),
                     STATUS_NOT_FOUND);
    scratch_write(scratch_path(&rig->scratch, "garbage"), "{\"this\": \"is JSON at best\"}");
    assert_int_equal(explainer_open(scratch_path(&rig->scratch, "garbage"), rig->pool, &none, NULL),
                     STATUS_CORRUPT);
    assert_null(none);
}

static void methods_are_found_by_name(void **state)
{
    (void)state;
    assert_int_equal(table_find(cam_table, "gradcam"), 0);
    assert_true(table_find(cam_table, "hirescam") > 0 && table_find(cam_table, "cam") > 0);
    assert_int_equal(table_find(cam_table, "guesswork"), -1);
}

/* ---- What a request may ask for ---- */

static void map_refused(Rig *rig, const char *layer, int64_t class_index, const char *pointer,
                        const char *const *says)
{
    MapRequest request = {
        .image = rig->image, .layer = { layer }, .layers = layer != NULL, .class_index = class_index
    };
    HeatMap map = { .height = 77 };
    Error err = { 0 };

    assert_int_equal(explainer_map(rig->explainer, &request, &map, &err), STATUS_INVALID);
    assert_int_equal(map.height, 77);
    assert_string_equal(err.detail[0].pointer, pointer);
    for (; *says != NULL; says++)
        if (strstr(error_message(&err), *says) == NULL)
            fail_msg("\"%s\" does not say %s", error_message(&err), *says);
}

static void a_layer_without_pixels_is_refused_and_the_stages_are_listed(void **state)
{
    static const char *const names[] = { "layer5", "", "fc", "avgpool", "layer3.", "LAYER3" };
    static const char *const says[] = {
        "conv1", "bn1", "layer1", "layer2", "layer3", "layer4", NULL
    };
    char longest[300];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        map_refused(*state, names[i], 0, "/layer", says);
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    map_refused(*state, longest, 0, "/layer", says);
}

static void a_class_that_is_not_there_is_refused(void **state)
{
    static const char *const says[] = { "4", NULL };

    map_refused(*state, NULL, CLASSES, "/class", says);
    map_refused(*state, NULL, INT64_MAX, "/class", says);
    map_refused(*state, NULL, (int64_t)1 << 32, "/class", says); /* not class 0 */
}

static void the_default_layer_is_layer3(void **state)
{
    HeatMap a = map_of(*state, NULL, 1, true), b = map_of(*state, "layer3", 1, true);

    assert_int_equal(a.height, 4);
    assert_int_equal(a.width, 4);
    same_maps(&a, &b);
    heatmap_clear(&a);
    heatmap_clear(&b);
    assert_null(a.values);
}

/* ---- What a map says ---- */

static void scores_are_a_softmax_and_the_prediction_its_maximum(void **state)
{
    HeatMap predicted = map_of(*state, NULL, -1, false);
    double sum = 0;

    assert_int_equal(predicted.class_index, predicted.predicted);
    for (int64_t c = 0; c < CLASSES; c++) {
        HeatMap map = map_of(*state, NULL, c, false);

        assert_int_equal(map.class_index, c);
        assert_int_equal(map.predicted, predicted.predicted);
        assert_true(map.score <= predicted.score);
        if (c == predicted.predicted)
            same_maps(&map, &predicted);
        sum += (double)map.score;
        heatmap_clear(&map);
    }
    near(sum, 1, 1e-6);
    heatmap_clear(&predicted);
}

static void an_unsigned_map_is_the_signed_one_without_its_negative_part(void **state)
{
    unsigned negative = 0, positive = 0;

    for (int64_t c = 0; c < CLASSES; c++) {
        HeatMap all = map_of(*state, "layer2", c, true), map = map_of(*state, "layer2", c, false);

        for (int i = 0; i < 64; i++) {
            assert_true(map.values[i] == (all.values[i] > 0 ? all.values[i] : 0));
            negative += all.values[i] < 0;
            positive += all.values[i] > 0;
        }
        heatmap_clear(&all);
        heatmap_clear(&map);
    }
    assert_true(negative > 0 && positive > 0);
}

/* One forward pass, done here: layer4 [2,2,16] and the logits. */
static void forward(Rig *rig, float *ret_layer, float *ret_logits)
{
    NodeId layer = graph_find_layer(&rig->network.graph, "layer4");
    PlanSpec spec = { .images = 1,
                      .output = rig->network.logits,
                      .gradient_to = NODE_NONE,
                      .keep = { layer, NODE_NONE } };
    RunContext context = { .pool = rig->pool,
                           .kernels = kernels_available()[0],
                           .weights = rig->network.weights };
    Plan plan;
    Arena memory;

    assert_int_equal(plan_init(&plan, &rig->network.graph, &spec, NULL), STATUS_OK);
    assert_int_equal(arena_init(&memory, plan.bytes, NULL), STATUS_OK);
    plan_bind(&plan, memory.base);
    memcpy(plan_tensor(&plan, rig->network.image).data, rig->image, sizeof rig->image);
    run_forward(&plan, &context);
    memcpy(ret_layer, plan_tensor(&plan, layer).data, 4 * 16 * sizeof *ret_layer);
    memcpy(ret_logits, plan_tensor(&plan, rig->network.logits).data, CLASSES * sizeof *ret_logits);
    plan_clear(&plan);
    arena_clear(&memory);
}

static void at_the_last_stage_gradcam_is_cam(void **state)
{
    Rig *rig = *state;
    float layer[4 * 16], logits[CLASSES];
    size_t count = 0;
    const real *w = weight_of(rig, "fc.weight", &count), *bias = weight_of(rig, "fc.bias", &count);

    assert_int_equal(count, CLASSES);
    forward(rig, layer, logits);
    for (int64_t c = 0; c < CLASSES; c++) {
        HeatMap all = map_of(rig, "layer4", c, true), map = map_of(rig, "layer4", c, false);
        double sum = 0;

        assert_int_equal(all.height * all.width, 4);
        for (int p = 0; p < 4; p++) {
            double cam = 0; /* sum_k w_k^c A_k, without the bias */

            for (int k = 0; k < 16; k++)
                cam += (double)w[k * CLASSES + c] * (double)layer[p * 16 + k];
            near((double)all.values[p], cam / 4, 1e-6 * (1 + fabs(cam)));
            near((double)map.values[p], cam > 0 ? cam / 4 : 0, 1e-6 * (1 + fabs(cam)));
            sum += (double)all.values[p];
        }
        near(sum, (double)logits[c] - (double)bias[c], 1e-5);
        heatmap_clear(&all);
        heatmap_clear(&map);
    }
}

/* The exact test of method.md: Grad-CAM = ReLU(HiResCAM) = ReLU(CAM)/(HW), and the pixels of
 * CAM/(HW) sum to the logit less its bias. */
static void at_the_last_stage_the_three_methods_are_one(void **state)
{
    Rig *rig = *state;
    float layer[4 * 16], logits[CLASSES];
    size_t count = 0;
    const real *bias = weight_of(rig, "fc.bias", &count);

    forward(rig, layer, logits);
    for (int64_t c = 0; c < CLASSES; c++) {
        HeatMap grad = map_by(rig, "gradcam", "layer4", c, true),
                hires = map_by(rig, "hirescam", "layer4", c, true),
                cam = map_by(rig, "cam", "layer4", c, true),
                chosen = map_by(rig, "cam", NULL, c, false);
        double sum = 0;

        for (int p = 0; p < 4; p++) {
            double want = (double)cam.values[p] / 4;

            near((double)grad.values[p], want, 1e-6 * (1 + fabs(want)));
            near((double)hires.values[p], want, 1e-6 * (1 + fabs(want)));
            near((double)chosen.values[p], want > 0 ? 4 * want : 0, 1e-12);
            sum += want;
        }
        near(sum, (double)logits[c] - (double)bias[c], 1e-5);
        heatmap_clear(&grad);
        heatmap_clear(&hires);
        heatmap_clear(&cam);
        heatmap_clear(&chosen);
    }
}

/* Below the last stage gradients differ from pixel to pixel, and so do the two methods. */
static void below_the_last_stage_they_are_not(void **state)
{
    HeatMap grad = map_by(*state, "gradcam", "layer3", 1, true),
            hires = map_by(*state, "hirescam", "layer3", 1, true);
    double gap = 0;

    for (int p = 0; p < 16; p++)
        gap = fmax(gap, fabs((double)grad.values[p] - (double)hires.values[p]));
    assert_true(gap > 1e-4);
    heatmap_clear(&grad);
    heatmap_clear(&hires);
}

static void cam_is_refused_where_no_linear_head_follows(void **state)
{
    Rig *rig = *state;
    MapRequest request = { .image = rig->image,
                           .layer = { "layer3" },
                           .layers = 1,
                           .method = (uint32_t)table_find(cam_table, "cam") };
    Network other =
        network_of("resnet9", SETS({ "width", 2 }), (ModelInput){ SIDE, SIDE, 3, CLASSES });
    Explainer *pooled = NULL;
    HeatMap map = { 0 };
    Error err = { 0 };

    assert_int_equal(explainer_map(rig->explainer, &request, &map, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/layer");
    assert_non_null(strstr(error_message(&err), "\"layer4\""));
    network_randomise(&other, 1);
    network_write(&other, scratch_path(&rig->scratch, "resnet9"));
    assert_int_equal(
        explainer_open(scratch_path(&rig->scratch, "resnet9"), rig->pool, &pooled, NULL),
        STATUS_OK);
    request.layers = 0;
    error_clear(&err);
    assert_int_equal(explainer_map(pooled, &request, &map, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/layer");
    assert_non_null(strstr(error_message(&err), "resnet9"));
    request.method = (uint32_t)table_find(cam_table, "hirescam");
    assert_int_equal(explainer_map(pooled, &request, &map, NULL), STATUS_OK);
    heatmap_clear(&map);
    explainer_free(pooled);
    network_clear(&other);
}

static void every_layer_with_pixels_has_a_map_whatever_was_asked_before(void **state)
{
    Rig *rig = *state;
    uint32_t count, maps = 0;
    const LayerInfo *layer = explainer_layers(rig->explainer, &count);

    for (uint32_t i = count; i-- > 0;) {
        Pool *pool;
        Rig fresh = *rig;
        HeatMap a, b;

        if (layer[i].output.rank != 4)
            continue;
        assert_int_equal(pool_new(1 + i % 3, &pool, NULL), STATUS_OK);
        assert_int_equal(
            explainer_open(scratch_path(&rig->scratch, "net"), pool, &fresh.explainer, NULL),
            STATUS_OK);
        a = map_of(rig, layer[i].name, 2, true);
        b = map_of(&fresh, layer[i].name, 2, true);
        assert_int_equal(a.height, layer[i].output.dim[1]);
        assert_int_equal(a.width, layer[i].output.dim[2]);
        same_maps(&a, &b); /* on 1, 2 and 3 threads, too */
        heatmap_clear(&a);
        heatmap_clear(&b);
        explainer_free(fresh.explainer);
        pool_free(pool);
        maps++;
    }
    assert_true(maps > 40);
}

static void a_map_of_zeros_is_said_to_be_empty(void **state)
{
    Rig *rig = *state;
    size_t count = 0;
    real *w = weight_of(rig, "fc.weight", &count);
    HeatMap map;

    for (size_t i = 0; i < count; i++)
        w[i] = -(real)fabs((double)w[i]); /* layer4 is never negative */
    rig_open(rig);
    map = map_of(rig, "layer4", 0, false);
    assert_true(map.empty);
    heatmap_clear(&map);
    map = map_of(rig, "layer4", 0, true);
    assert_false(map.empty);
    heatmap_clear(&map);
    memset(w, 0, count * sizeof *w);
    rig_open(rig);
    for (int with_sign = 0; with_sign < 2; with_sign++) {
        map = map_of(rig, NULL, -1, with_sign != 0);
        assert_true(map.empty);
        for (int i = 0; i < 16; i++)
            assert_true(map.values[i] == 0);
        heatmap_clear(&map);
    }
}

/* ---- Every method ---- */

static MapRequest request_of(Rig *rig, uint32_t method)
{
    return (MapRequest){ .image = rig->image, .method = method, .class_index = -1, .seed = 3 };
}

static void the_maps_of_all_classes_are_those_of_each(void **state)
{
    Rig *rig = *state;

    for (uint32_t method = 0; cam_table[method] != NULL; method++) {
        MapRequest request = request_of(rig, method);
        HeatMap all[CLASSES], one;

        assert_int_equal(explainer_maps(rig->explainer, &request, all, NULL), STATUS_OK);
        for (int64_t c = 0; c < CLASSES; c++) {
            request.class_index = c;
            assert_int_equal(explainer_map(rig->explainer, &request, &one, NULL), STATUS_OK);
            same_maps(&one, &all[c]);
            heatmap_clear(&one);
        }
        request.class_index = -1;
        assert_int_equal(explainer_map(rig->explainer, &request, &one, NULL), STATUS_OK);
        same_maps(&one, &all[one.predicted]);
        heatmap_clear(&one);
        for (int c = 0; c < CLASSES; c++)
            heatmap_clear(&all[c]);
    }
}

static void seed_and_item_key_what_a_method_draws(void **state)
{
    Rig *rig = *state;

    for (uint32_t method = 0; cam_table[method] != NULL; method++) {
        const bool draws = (cam_table[method]->needs & CAM_PIXEL_SCALE) != 0;
        MapRequest request = request_of(rig, method);
        HeatMap map[3];

        request.signed_map = true;
        for (int i = 0; i < 3; i++) {
            request.seed = 3 + (i == 1);
            request.item = i == 2;
            assert_int_equal(explainer_map(rig->explainer, &request, &map[i], NULL), STATUS_OK);
        }
        for (int i = 1; i < 3; i++) {
            const size_t bytes = (size_t)map[0].height * map[0].width * sizeof *map[0].values;

            if ((memcmp(map[0].values, map[i].values, bytes) != 0) != draws)
                fail_msg("%s with another %s", cam_table[method]->described.name,
                         i == 1 ? "seed" : "item");
        }
        for (int i = 0; i < 3; i++)
            heatmap_clear(&map[i]);
    }
}

static void layers_are_fused_and_a_fused_map_ends_at_one(void **state)
{
    Rig *rig = *state;
    MapRequest request = { .image = rig->image,
                           .layer = { "layer4", "layer2" },
                           .layers = 2,
                           .method = (uint32_t)table_find(cam_table, "layercam"),
                           .class_index = 2 };
    HeatMap map;
    float low = 1, high = 0;

    assert_int_equal(explainer_map(rig->explainer, &request, &map, NULL), STATUS_OK);
    assert_int_equal(map.height, 8); /* layer2's */
    assert_int_equal(map.width, 8);
    for (int i = 0; i < 64; i++) {
        low = fminf(low, map.values[i]);
        high = fmaxf(high, map.values[i]);
    }
    near((double)low, 0, 0);
    near((double)high, 1, 1e-5);
    heatmap_clear(&map);
}

static void what_a_method_cannot_do_is_refused(void **state)
{
    static const char *const nine[] = { "layer1", "layer2", "layer3", "layer4", "nothing" };
    Rig *rig = *state;
    MapRequest request = request_of(rig, (uint32_t)table_find(cam_table, "smoothgrad"));
    Network other =
        network_of("airbench94", SETS({ "width", 2 }), (ModelInput){ 32, 32, 3, CLASSES });
    Explainer *smooth = NULL;
    HeatMap map = { .height = 77 };
    Error err = { 0 };

    request.layer[0] = "layer3";
    request.layers = 1;
    assert_int_equal(explainer_map(rig->explainer, &request, &map, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/layer");
    assert_non_null(strstr(error_message(&err), "takes no layer"));
    request.method = 0;
    memcpy(request.layer, nine, sizeof nine);
    request.layers = 5; /* the last is unknown */
    error_clear(&err);
    assert_int_equal(explainer_map(rig->explainer, &request, &map, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/layer");
    assert_non_null(strstr(error_message(&err), "\"nothing\""));
    request.layers = MAP_LAYERS_MAX + 1;
    error_clear(&err);
    assert_int_equal(explainer_map(rig->explainer, &request, &map, &err), STATUS_INVALID);
    assert_non_null(strstr(error_message(&err), "at most 8"));

    network_randomise(&other, 1); /* has GELUs: there is no ReLU to guide */
    network_write(&other, scratch_path(&rig->scratch, "airbench94"));
    assert_int_equal(
        explainer_open(scratch_path(&rig->scratch, "airbench94"), rig->pool, &smooth, NULL),
        STATUS_OK);
    request = request_of(rig, (uint32_t)table_find(cam_table, "guided_gradcam"));
    error_clear(&err);
    assert_int_equal(explainer_map(smooth, &request, &map, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/method");
    assert_non_null(strstr(error_message(&err), "airbench94"));
    assert_int_equal(map.height, 77);
    explainer_free(smooth);
    network_clear(&other);
}

/* ---- Weights gone wild ---- */

static void check_finite(Rig *rig, const char *weight, double value)
{
    static const char *const layers[] = { "conv1", "layer1", "layer3", "layer4" };

    for (size_t l = 0; l < 4; l++)
        for (int64_t c = -1; c < CLASSES; c++)
            for (int with_sign = 0; with_sign < 2; with_sign++) {
                HeatMap map = map_of(rig, layers[l], c, with_sign != 0);

                for (uint32_t i = 0; i < map.height * map.width; i++)
                    if (!isfinite(map.values[i]))
                        fail_msg("%s = %g: pixel %u of %s is %g", weight, value, i, layers[l],
                                 (double)map.values[i]);
                if (!(map.score >= 0 && map.score <= 1))
                    fail_msg("%s = %g: the score is %g", weight, value, (double)map.score);
                assert_true(map.predicted < CLASSES);
                heatmap_clear(&map);
            }
}

static void no_weights_bring_a_nan_out(void **state)
{
    static const char *const names[] = { "conv1.weight",        "bn1.running_var",
                                         "layer3.0.bn1.weight", "layer4.1.bn2.bias",
                                         "fc.weight",           "fc.bias" };
    static const float values[] = { 3e38f, -3e38f, NAN, INFINITY, -INFINITY, 0, -1 };
    Rig *rig = *state;

    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            size_t count = 0;
            real *w = weight_of(rig, names[n], &count), *kept = malloc(count * sizeof *kept);

            assert_non_null(kept);
            memcpy(kept, w, count * sizeof *w);
            for (size_t i = 0; i < count; i += 2) /* one or more, not all */
                w[i] = values[v];
            rig_open(rig);
            check_finite(rig, names[n], (double)values[v]);
            memcpy(w, kept, count * sizeof *w);
            free(kept);
        }
}

static void no_method_brings_a_nan_out(void **state)
{
    static const char *const names[] = { "conv1.weight", "layer4.1.bn2.bias", "fc.weight" };
    static const float values[] = { 3e38f, NAN, -INFINITY };
    Rig *rig = *state;

    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            size_t count = 0;
            real *w = weight_of(rig, names[n], &count), kept = w[0];

            w[0] = values[v];
            rig_open(rig);
            for (uint32_t method = 0; cam_table[method] != NULL; method++) {
                MapRequest request = request_of(rig, method);
                const bool pixels = (cam_table[method]->needs & CAM_PIXELS) != 0;
                HeatMap map;

                request.flips = true;
                request.signed_map = n == 0;
                if (!pixels && method != (uint32_t)table_find(cam_table, "cam")) {
                    request.layer[0] = "layer3";
                    request.layer[1] = "layer4";
                    request.layers = 2;
                }
                assert_int_equal(explainer_map(rig->explainer, &request, &map, NULL), STATUS_OK);
                for (uint32_t i = 0; i < map.height * map.width; i++)
                    if (!isfinite(map.values[i]))
                        fail_msg("%s = %g: pixel %u of %s", names[n], (double)values[v], i,
                                 cam_table[method]->described.name);
                assert_true(map.score >= 0 && map.score <= 1);
                heatmap_clear(&map);
            }
            w[0] = kept;
        }
}

int main(void)
{
#define MAP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        MAP_TEST(layers_come_in_network_order_with_their_shapes),
        MAP_TEST(what_is_no_checkpoint_is_not_opened),
        MAP_TEST(methods_are_found_by_name),
        MAP_TEST(a_layer_without_pixels_is_refused_and_the_stages_are_listed),
        MAP_TEST(a_class_that_is_not_there_is_refused),
        MAP_TEST(the_default_layer_is_layer3),
        MAP_TEST(scores_are_a_softmax_and_the_prediction_its_maximum),
        MAP_TEST(an_unsigned_map_is_the_signed_one_without_its_negative_part),
        MAP_TEST(at_the_last_stage_gradcam_is_cam),
        MAP_TEST(at_the_last_stage_the_three_methods_are_one),
        MAP_TEST(below_the_last_stage_they_are_not),
        MAP_TEST(cam_is_refused_where_no_linear_head_follows),
        MAP_TEST(every_layer_with_pixels_has_a_map_whatever_was_asked_before),
        MAP_TEST(a_map_of_zeros_is_said_to_be_empty),
        MAP_TEST(the_maps_of_all_classes_are_those_of_each),
        MAP_TEST(seed_and_item_key_what_a_method_draws),
        MAP_TEST(layers_are_fused_and_a_fused_map_ends_at_one),
        MAP_TEST(what_a_method_cannot_do_is_refused),
        MAP_TEST(no_weights_bring_a_nan_out),
        MAP_TEST(no_method_brings_a_nan_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
