/*
 * The metrics of heat maps, and what they are made of, against numpy and PyTorch (make_quality.py):
 * maps as they are looked at, altered pictures, and the numbers that a network's scores make.
 */
#include "tests/golden/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/quality/impute.h"
#include "core/quality/likeness.h"
#include "core/quality/metric.h"
#include "core/quality/saliency.h"
#include "core/quality/subject.h"
#include "tests/golden/closed_form.h"

static const double bound_picture = 1e-6, bound_score = 1e-5;

enum { SIDE_MAX = 16, PIXELS_MAX = SIDE_MAX * SIDE_MAX, NUMBERS_MAX = 3 * PIXELS_MAX, PASSES = 32 };

typedef struct Golden {
    StFile *file;
    Rig rig;
    Plan plan; /* to the logits */
    Arena memory;
    uint32_t pixels;
    float *plain;         /* [N][H,W,C] */
    float *map;           /* [N][H,W] */
    uint32_t *order;      /* [N][H*W] */
    uint8_t *mask;        /* [N][H,W] */
    uint32_t classes[16]; /* [N] that are predicted */
    double score[16];     /* [N] */
    double room[METRIC_ROOM * PIXELS_MAX];
} Golden;

static void *taken(size_t bytes)
{
    void *ret = calloc(1, bytes);

    assert_non_null(ret);
    return ret;
}

/* Scores of what `plain` [N][H,W,C] holds, of the predicted classes; or predicts. */
static void run(Golden *g, const float *plain, bool predict, double *ret)
{
    const Rig *rig = &g->rig;
    Tensor image = plan_tensor(&g->plan, rig->network.image);
    const real *logits;

    for (uint32_t i = 0; i < rig->images; i++)
        lane_write(g->pixels, 3, rig->images, i, plain + (size_t)i * g->pixels * 3, image.data);
    run_forward(&g->plan, &rig->context);
    logits = plan_tensor(&g->plan, rig->network.logits).data;
    for (uint32_t i = 0; i < rig->images; i++, logits += rig->classes) {
        if (predict)
            g->classes[i] = largest_logit(logits, rig->classes);
        ret[i] = probability_of(logits, rig->classes, g->classes[i]);
    }
}

static void open_network(Golden *g)
{
    const Kernels *kernels;
    Choice model;
    Error err = { 0 };

    rig_model(g->file, &model);
    rig_ok(kernels_select(NULL, &kernels, &err), &err);
    rig_init(&g->rig, g->file, &model, golden_number(g->file, "seed"), kernels);
    rig_ok(plan_init(&g->plan, &g->rig.network.graph,
                     &(PlanSpec){ .images = g->rig.images,
                                  .output = g->rig.network.logits,
                                  .gradient_to = NODE_NONE,
                                  .keep = { g->rig.network.image, NODE_NONE } },
                     &err),
           &err);
    rig_ok(arena_init(&g->memory, g->plan.bytes, &err), &err);
    plan_bind(&g->plan, g->memory.base);
    assert_true(g->rig.size <= SIDE_MAX && g->rig.images <= 16);
    g->pixels = g->rig.size * g->rig.size;
}

static void make_maps(Golden *g)
{
    const Rig *rig = &g->rig;
    uint32_t raw = golden_number(g->file, "raw");
    const float *order = golden_array(g->file, "order", (size_t)rig->images * g->pixels);
    float *numbers = taken((size_t)rig->images * raw * raw * sizeof *numbers);

    closed_form(rig->seed, "maps", (size_t)rig->images * raw * raw, 0.3f, 1, numbers);
    for (uint32_t i = 0; i < rig->images; i++) {
        saliency_of(raw, raw, numbers + (size_t)i * raw * raw, rig->size, rig->size,
                    g->map + (size_t)i * g->pixels);
        for (uint32_t p = 0; p < g->pixels; p++)
            g->order[(size_t)i * g->pixels + p] = (uint32_t)order[(size_t)i * g->pixels + p];
    }
    free(numbers);
}

static int setup(void **state)
{
    static Golden g;
    int32_t *drawn;
    size_t all;

    g.file = golden_open("quality");
    open_network(&g);
    all = (size_t)g.rig.images * g.pixels;
    g.plain = taken(all * 3 * sizeof *g.plain);
    g.map = taken(all * sizeof *g.map);
    g.order = taken(all * sizeof *g.order);
    g.mask = taken(all);
    drawn = taken(all * sizeof *drawn);
    closed_form_labels(g.rig.seed, "masks", all, 2, drawn);
    for (size_t i = 0; i < all; i++)
        g.mask[i] = (uint8_t)drawn[i];
    free(drawn);
    rig_fill_batch(&g.rig, &g.plan, 0);
    for (uint32_t i = 0; i < g.rig.images; i++)
        lane_read(g.pixels, 3, g.rig.images, i, plan_tensor(&g.plan, g.rig.network.image).data,
                  g.plain + (size_t)i * g.pixels * 3);
    run(&g, g.plain, true, g.score);
    make_maps(&g);
    *state = &g;
    return 0;
}

static int teardown(void **state)
{
    Golden *g = *state;

    free(g->plain);
    free(g->map);
    free(g->order);
    free(g->mask);
    plan_clear(&g->plan);
    arena_clear(&g->memory);
    rig_clear(&g->rig);
    safetensors_close(g->file);
    return 0;
}

static Picture picture_of(const Golden *g, uint32_t i)
{
    return (
        Picture){ .height = g->rig.size,
                  .width = g->rig.size,
                  .channels = 3,
                  .pixels = g->plain + (size_t)i * g->pixels * 3,
                  .saliency = { g->map + (size_t)i * g->pixels, g->map + (size_t)i * g->pixels },
                  .order = g->order + (size_t)i * g->pixels,
                  .mask = g->mask + (size_t)i * g->pixels,
                  .score = g->score[i] };
}

/* [N][H,W,C] against PyTorch's [N,C,H,W]. */
static void pictures_close(const Golden *g, const char *name, const float *got)
{
    size_t count = (size_t)g->rig.images * g->pixels * 3;
    const float *want = golden_array(g->file, name, count);
    real *turned = taken(count * sizeof *turned);

    for (uint32_t i = 0; i < g->rig.images; i++)
        for (uint32_t p = 0; p < g->pixels; p++)
            for (uint32_t c = 0; c < 3; c++)
                turned[(i * 3 + c) * g->pixels + p] = got[((size_t)i * g->pixels + p) * 3 + c];
    golden_close(name, turned, want, count, 1, bound_picture);
    free(turned);
}

static void numbers_close(const Golden *g, const char *name, const double *got)
{
    const float *want = golden_array(g->file, name, g->rig.images);

    for (uint32_t i = 0; i < g->rig.images; i++)
        if (!(fabs(got[i] - (double)want[i]) <= bound_score))
            fail_msg("%s of image %u is %.9g, not %.9g", name, i, got[i], (double)want[i]);
}

/* Without noise, which no other program draws as we do. */
static void road_picture(Golden *g, const Picture *p, uint32_t pass, float *ret)
{
    uint32_t count = (g->pixels * (pass / 2 + 1) + 5) / 10;

    memcpy(ret, p->pixels, g->pixels * 3 * sizeof *ret);
    impute(p->height, p->width, 3, pass % 2 == 0 ? p->order : p->order + (g->pixels - count), count,
           g->room, ret);
}

/* Every image's number, from pictures that `metric` or road_picture() makes. */
static void measured(Golden *g, const char *name, bool road)
{
    int row = table_find(metric_table, name);
    const Metric *metric = metric_table[row];
    uint32_t passes = metric->passes == NULL ? 0 : metric->passes(g->pixels);
    float *altered = taken((size_t)g->rig.images * g->pixels * 3 * sizeof *altered);
    double scores[16][PASSES], score[16], got[16];

    assert_true(row >= 0 && passes <= PASSES);
    for (uint32_t pass = 0; pass < passes; pass++) {
        for (uint32_t i = 0; i < g->rig.images; i++) {
            Picture p = picture_of(g, i);
            float *to = altered + (size_t)i * g->pixels * 3;

            if (road)
                road_picture(g, &p, pass, to);
            else
                metric->alter(&p, pass, g->room, to);
        }
        run(g, altered, false, score);
        for (uint32_t i = 0; i < g->rig.images; i++)
            scores[i][pass] = score[i];
    }
    for (uint32_t i = 0; i < g->rig.images; i++) {
        Picture p = picture_of(g, i);

        got[i] = metric->value(&p, scores[i]);
    }
    numbers_close(g, name, got);
    free(altered);
}

static void maps_and_scores_are_pytorchs(void **state)
{
    Golden *g = *state;
    size_t count = (size_t)g->rig.images * g->pixels;

    golden_close("map", g->map, golden_array(g->file, "map", count), count, 1, bound_picture);
    numbers_close(g, "score", g->score);
}

/* Where rounding alone decides, either order is right. */
static void the_order_of_pixels_is_numpys(void **state)
{
    Golden *g = *state;
    uint64_t keys[PIXELS_MAX];
    uint32_t mine[PIXELS_MAX];

    for (uint32_t i = 0; i < g->rig.images; i++) {
        const float *map = g->map + (size_t)i * g->pixels;

        saliency_order(map, g->pixels, keys, mine);
        for (uint32_t k = 0; k < g->pixels; k++)
            assert_true(fabsf(map[mine[k]] - map[g->order[(size_t)i * g->pixels + k]]) < 1e-6f);
    }
}

static void a_blurred_image_is_pytorchs(void **state)
{
    Golden *g = *state;
    const Metric *insertion = metric_table[table_find(metric_table, "insertion_auc")];
    float *got = taken((size_t)g->rig.images * g->pixels * 3 * sizeof *got);

    for (uint32_t i = 0; i < g->rig.images; i++) {
        Picture p = picture_of(g, i);

        insertion->alter(&p, 0, g->room, got + (size_t)i * g->pixels * 3);
    }
    pictures_close(g, "blurred", got);
    free(got);
}

static void what_is_filled_in_is_the_dense_solution(void **state)
{
    static const uint32_t shown[] = { 0, 8, 16, 9, 17 };
    Golden *g = *state;
    float *got = taken((size_t)g->rig.images * g->pixels * 3 * sizeof *got);

    for (size_t k = 0; k < sizeof shown / sizeof *shown; k++) {
        char name[16];

        for (uint32_t i = 0; i < g->rig.images; i++) {
            Picture p = picture_of(g, i);

            road_picture(g, &p, shown[k], got + (size_t)i * g->pixels * 3);
        }
        snprintf(name, sizeof name, "road/%u", shown[k]);
        pictures_close(g, name, got);
    }
    free(got);
}

static void metrics_are_those_of_numpy_and_pytorch(void **state)
{
    Golden *g = *state;

    measured(g, "deletion_auc", false);
    measured(g, "insertion_auc", false);
    measured(g, "average_drop", false);
    measured(g, "increase", false);
    measured(g, "energy_in_mask", false);
    measured(g, "road", true);
}

/* As in make_quality.py: with many equal numbers. */
static void likenesses_are_those_of_numpy_and_pytorch(void **state)
{
    Golden *g = *state;
    size_t all = (size_t)g->rig.images * g->pixels;
    int32_t *left = taken(all * sizeof *left), *right = taken(all * sizeof *right);
    double spearman[16], ssim[16];
    float a[PIXELS_MAX], b[PIXELS_MAX];

    closed_form_labels(g->rig.seed, "left", all, 64, left);
    closed_form_labels(g->rig.seed, "right", all, 64, right);
    for (uint32_t i = 0; i < g->rig.images; i++) {
        for (uint32_t p = 0; p < g->pixels; p++) {
            a[p] = (float)left[i * g->pixels + p] / 64;
            b[p] = (float)(left[i * g->pixels + p] + right[i * g->pixels + p]) / 128;
        }
        spearman[i] = likeness_spearman(a, b, g->pixels, g->room);
        ssim[i] = likeness_ssim(g->rig.size, g->rig.size, a, b);
    }
    numbers_close(g, "spearman", spearman);
    numbers_close(g, "ssim", ssim);
    free(left);
    free(right);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_and_scores_are_pytorchs),
        cmocka_unit_test(the_order_of_pixels_is_numpys),
        cmocka_unit_test(a_blurred_image_is_pytorchs),
        cmocka_unit_test(what_is_filled_in_is_the_dense_solution),
        cmocka_unit_test(metrics_are_those_of_numpy_and_pytorch),
        cmocka_unit_test(likenesses_are_those_of_numpy_and_pytorch),
    };

    return cmocka_run_group_tests_name("golden_quality", tests, setup, teardown);
}
