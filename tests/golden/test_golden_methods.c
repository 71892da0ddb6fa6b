/*
 * Every row of the table of heat-map methods against PyTorch (make_methods.py): three images, of a
 * method with layers at three layers, signed and behind the ReLU; fused layers; flips; CAM's exact
 * identity. A row without an array of its own fails.
 *
 * Maps may be apart by a share of the largest number of the map, pixel by pixel.
 */
#include "tests/golden/rig.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/explain/explainer.h"
#include "tests/golden/closed_form.h"
#include "tests/unit/networks.h"
#include "tests/unit/scratch.h"

/* As in make_methods.py. */
enum { IMAGES = 3, ITEM = 11, ROWS_MAX = 64 };
static const float mean[3] = { 0.5f, 0.45f, 0.4f }, deviation[3] = { 0.25f, 0.2f, 0.15f };
static const char *const layers[] = { "layer2", "layer3", "layer4" };

static const double bound = 1e-4, bound_identity = 1e-6;

typedef struct Bench {
    StFile *file[2]; /* of methods with layers, of methods of pixels */
    Scratch scratch;
    Rig rig;
    Explainer *explainer;
    float *image; /* [H,W,C] */
} Bench;

static Bench bench;

/* ---- The network, as a checkpoint ---- */

/* Running statistics are the file's. */
static void take_state(const Rig *rig, const StFile *file)
{
    const Graph *g = &rig->network.graph;

    for (uint32_t i = 0; i < g->weights; i++) {
        const GraphWeight *w = &g->weight[i];
        char name[GRAPH_WEIGHT_NAME_MAX + 8];

        if (w->spec.role != WEIGHT_STATISTIC)
            continue;
        snprintf(name, sizeof name, "state/%s", w->name);
        weight_from_disk(w, golden_array(file, name, w->count), rig->network.weights + w->offset);
    }
}

static int set_up(void **state)
{
    Bench *b = &bench;
    const Kernels *kernels;
    const char *path;
    Choice model;
    Error err = { 0 };

    (void)state;
    b->file[0] = golden_open("methods_layers");
    b->file[1] = golden_open("methods_pixels");
    b->scratch = scratch_new();
    rig_model(b->file[0], &model);
    rig_ok(kernels_select(NULL, &kernels, &err), &err);
    rig_init(&b->rig, b->file[0], &model, golden_number(b->file[0], "seed"), kernels);
    memcpy(b->rig.network.mean, mean, sizeof mean);
    memcpy(b->rig.network.std, deviation, sizeof deviation);
    take_state(&b->rig, b->file[0]);
    path = scratch_path(&b->scratch, "network");
    network_write(&b->rig.network, path);
    rig_ok(explainer_open(path, b->rig.pool, &b->explainer, &err), &err);
    b->image = malloc((size_t)b->rig.size * b->rig.size * 3 * sizeof *b->image);
    return b->image == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    free(bench.image);
    explainer_free(bench.explainer);
    rig_clear(&bench.rig);
    scratch_remove(&bench.scratch);
    safetensors_close(bench.file[0]);
    safetensors_close(bench.file[1]);
    return 0;
}

/* ---- Maps ---- */

static uint32_t class_of(uint32_t number)
{
    return (3 * number + 1) % bench.rig.classes;
}

/* Image `number` of the closed forms. */
static const float *image_of(uint32_t number)
{
    const size_t pixels = (size_t)bench.rig.size * bench.rig.size;
    float *planes = malloc(3 * pixels * sizeof *planes);
    char name[32];

    assert_non_null(planes);
    snprintf(name, sizeof name, "images/%u", number);
    closed_form(bench.rig.seed, name, 3 * pixels, 0, 2, planes);
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < 3; c++)
            bench.image[p * 3 + c] = planes[c * pixels + p];
    free(planes);
    return bench.image;
}

static MapRequest request_of(const char *method, uint32_t number)
{
    int row = table_find(cam_table, method);

    assert_true(row >= 0);
    return (MapRequest){ .image = image_of(number),
                         .method = (uint32_t)row,
                         .class_index = class_of(number),
                         .signed_map = true,
                         .seed = golden_number(bench.file[0], "draws"),
                         .item = ITEM };
}

static HeatMap map_of(const MapRequest *request)
{
    HeatMap map = { 0 };
    Error err = { 0 };

    rig_ok(explainer_map(bench.explainer, request, &map, &err), &err);
    return map;
}

/* The file that has the array. */
static const StFile *file_with(const char *key)
{
    return bench.file[safetensors_find(bench.file[0], key) == NULL];
}

static uint32_t number_of(const char *key, int i)
{
    char name[128];

    snprintf(name, sizeof name, "%s/images", key);
    return (uint32_t)golden_array(file_with(key), name, IMAGES)[i];
}

/* want, or what a ReLU leaves of it. */
static void map_close(const char *key, int i, const HeatMap *map, const float *want, bool rectified)
{
    size_t count = (size_t)map->height * map->width;
    double top = 0, most = 0;

    for (size_t p = 0; p < count; p++) {
        double to = rectified && want[p] < 0 ? 0 : (double)want[p];

        top = fmax(top, fabs(to));
        most = fmax(most, fabs((double)map->values[p] - to));
    }
    if (!(most <= bound * top))
        fail_msg("%s, image %d%s: %.3g of its maximum away from PyTorch's, allowed %.3g", key, i,
                 rectified ? ", behind the ReLU" : "", most / top, bound);
}

/* The request, of each of the three images of an array, against it. */
static void maps_close(const char *key, const char *method, const char *const *names,
                       uint32_t count, bool signed_map, bool flips)
{
    const size_t pixels = safetensors_find(file_with(key), key) == NULL
                              ? 0
                              : safetensors_find(file_with(key), key)->count / IMAGES;
    const float *want = golden_array(file_with(key), key, IMAGES * pixels);

    for (int i = 0; i < IMAGES; i++, want += pixels) {
        MapRequest request = request_of(method, number_of(key, i));
        HeatMap map;

        memcpy(request.layer, names, count * sizeof *names);
        request.layers = count;
        request.signed_map = signed_map;
        request.flips = flips;
        map = map_of(&request);
        assert_int_equal((size_t)map.height * map.width, pixels);
        assert_int_equal(map.class_index, class_of(number_of(key, i)));
        assert_false(map.empty);
        map_close(key, i, &map, want, !signed_map);
        heatmap_clear(&map);
    }
}

/* ---- The tests ---- */

static void a_method_is_pytorchs(void **state)
{
    const Cam *cam = *state;
    const char *method = cam->described.name;
    const bool layered = (cam->needs & CAM_PIXELS) == 0 || (cam->needs & CAM_GUIDED) != 0;

    for (size_t i = 0; i < (layered ? sizeof layers / sizeof *layers : 1); i++) {
        char key[64];

        if ((cam->needs & CAM_HEAD) != 0 && i < sizeof layers / sizeof *layers - 1)
            continue; /* at the last one only */
        snprintf(key, sizeof key, "%s%s%s", method, layered ? "/" : "", layered ? layers[i] : "");
        maps_close(key, method, &layers[i], layered, true, false);
        maps_close(key, method, &layers[i], layered, false, false);
    }
}

static void fused_layers_are_pytorchs(void **state)
{
    static const struct {
        const char *key, *method, *layer[3];
        uint32_t count;
    } rows[] = {
        { "fused/gradcam/layer3,layer4", "gradcam", { "layer3", "layer4" }, 2 },
        { "fused/layercam/layer2,layer3,layer4", "layercam", { "layer2", "layer3", "layer4" }, 3 },
        { "fused/eigencam/layer4,layer2", "eigencam", { "layer4", "layer2" }, 2 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        maps_close(rows[i].key, rows[i].method, rows[i].layer, rows[i].count, false, false);
}

static void flipped_maps_are_pytorchs(void **state)
{
    static const char *const rows[][2] = { { "gradcam", "layer3" }, { "scorecam", "layer4" } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int with_sign = 0; with_sign < 2; with_sign++) {
            char key[64];

            snprintf(key, sizeof key, "flips/%s/%s/%s", rows[i][0], rows[i][1],
                     with_sign ? "signed" : "rectified");
            maps_close(key, rows[i][0], &rows[i][1], 1, with_sign, true);
        }
}

/* In front of global average pooling and a linear head Grad-CAM and HiResCAM are CAM/(h w): what
 * our own say of all classes, and what PyTorch's CAM says. */
static void maps_of_the_last_stage_are_one(void **state)
{
    enum { CLASSES = 10 };
    static const char *const methods[] = { "cam", "gradcam", "hirescam" };
    const float *want = golden_array(bench.file[0], "cam/layer4", IMAGES * 16);

    (void)state;
    for (int i = 0; i < IMAGES; i++) {
        const uint32_t number = number_of("cam/layer4", i);
        HeatMap map[3][CLASSES];
        Error err = { 0 };

        for (int m = 0; m < 3; m++) {
            MapRequest request = request_of(methods[m], number);

            request.layer[0] = "layer4";
            request.layers = 1;
            rig_ok(explainer_maps(bench.explainer, &request, map[m], &err), &err);
        }
        for (uint32_t k = 0; k < CLASSES; k++) {
            const float *cam = map[0][k].values;
            double top = 0;

            for (size_t p = 0; p < 16; p++)
                top = fmax(top, fabs((double)cam[p]) / 16);
            for (int m = 1; m < 3; m++)
                for (size_t p = 0; p < 16; p++)
                    assert_true(fabs((double)map[m][k].values[p] - (double)cam[p] / 16) <=
                                bound_identity * top);
        }
        map_close("cam/layer4", i, &map[0][class_of(number)], want + (size_t)i * 16, false);
        for (int m = 0; m < 3; m++)
            for (uint32_t k = 0; k < CLASSES; k++)
                heatmap_clear(&map[m][k]);
    }
}

static void predictions_are_pytorchs(void **state)
{
    const float *want =
        golden_array(bench.file[0], "probabilities", IMAGES * (size_t)bench.rig.classes);

    (void)state;
    for (int i = 0; i < IMAGES; i++, want += bench.rig.classes) {
        MapRequest request = request_of("gradcam", number_of("gradcam/layer3", i));
        uint32_t top = 0;
        HeatMap map;

        for (uint32_t k = 1; k < bench.rig.classes; k++)
            top = want[k] > want[top] ? k : top;
        request.class_index = -1;
        map = map_of(&request);
        assert_int_equal(map.predicted, top);
        assert_int_equal(map.class_index, top);
        assert_true(fabs((double)map.score - (double)want[top]) <= 1e-5);
        heatmap_clear(&map);
    }
}

int main(void)
{
    struct CMUnitTest tests[ROWS_MAX + 4] = {
        cmocka_unit_test(fused_layers_are_pytorchs),
        cmocka_unit_test(flipped_maps_are_pytorchs),
        cmocka_unit_test(maps_of_the_last_stage_are_one),
        cmocka_unit_test(predictions_are_pytorchs),
    };
    size_t count = 4;

    for (int row = 0; cam_table[row] != NULL && row < ROWS_MAX; row++)
        tests[count++] = (struct CMUnitTest){ .name = cam_table[row]->described.name,
                                              .test_func = a_method_is_pytorchs,
                                              .initial_state = (void *)cam_table[row] };
    return _cmocka_run_group_tests("methods", tests, count, set_up, tear_down);
}
