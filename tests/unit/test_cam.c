/*
 * cam: each heat-map method by its formula, on numbers done by hand and, on a whole network, with
 * every pass done here one by one. What holds of all of them is test_cam_all.c's.
 */
#include "tests/unit/cam_rig.h"

#include "core/data/heatmap.h"
#include "core/kernels/eigen.h"

static const Cam *row_of(const char *name)
{
    int row = table_find(cam_table, name);

    assert_true(row >= 0);
    return cam_table[row];
}

/* ---- Formulas by hand ---- */

static void methods_follow_their_formulas(void **state)
{
    /* One channel, A = (1, 3), G = (2, -1). */
    static const real a[] = { 1, 3 }, g[] = { 2, -1 }, head[] = { 0.5f };
    static const float map[] = { 10, 100 };
    static const struct {
        const char *name;
        double map[2];
    } rows[] = {
        { "cam", { 0.5, 1.5 } },
        { "gradcam", { 0.5, 1.5 } },          /* mean G = 1/2 */
        { "hirescam", { 2, -3 } },            /* G A */
        { "gradcampp", { 0.2, 0.6 } },        /* a = 4/(2*4 + 4*8), w = 2 a */
        { "xgradcam", { -0.25, -0.75 } },     /* (2*1 - 1*3)/4 */
        { "layercam", { 2, 0 } },             /* ReLU(G) A */
        { "input_gradient", { 2, 1 } },       /* |G| */
        { "smoothgrad", { 2, 1 } },           /* the same of a mean */
        { "delta", { 2, 1 } },                /* the same of delta */
        { "integrated_gradients", { 2, 3 } }, /* |G A| */
        { "guided_gradcam", { 20, 100 } },    /* |G| map */
    };

    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        float got[2];

        row_of(rows[r].name)
            ->compute(&(CamInput){ .height = 1,
                                   .width = 2,
                                   .channels = 1,
                                   .activation = a,
                                   .gradient = g,
                                   .head = head,
                                   .map = map },
                      got);
        for (int p = 0; p < 2; p++)
            near(rows[r].name, (double)got[p], rows[r].map[p], 1e-6);
    }
}

static void scores_weigh_the_channels(void **state)
{
    /* Two channels, two pixels: A = (1, 3), (2, 0). */
    static const real a[] = { 1, 3, 2, 0 };
    const real by_softmax[] = { 7, 7 + (real)log(3) }, without[] = { 1, 3 };
    float got[2];

    (void)state;
    row_of("scorecam")
        ->compute(
            &(CamInput){
                .height = 2, .width = 1, .channels = 2, .activation = a, .scores = by_softmax },
            got); /* w = 1/4, 3/4 */
    near("scorecam", (double)got[0], 2.5, 1e-6);
    near("scorecam", (double)got[1], 0.5, 1e-6);
    row_of("ablationcam")
        ->compute(&(CamInput){ .height = 2,
                               .width = 1,
                               .channels = 2,
                               .activation = a,
                               .scores = without,
                               .score = 2 },
                  got); /* w = (2 - 1)/2, (2 - 3)/2 */
    near("ablationcam", (double)got[0], -1, 1e-6);
    near("ablationcam", (double)got[1], 1, 1e-6);
}

/* ---- Eigen-CAM ---- */

static void eigen_map(const real *a, uint32_t h, uint32_t w, uint32_t c, float *ret)
{
    const Cam *cam = row_of("eigencam");
    double *room = calloc(cam->room(h, w, c), sizeof *room);

    assert_non_null(room);
    cam->compute(
        &(CamInput){ .height = h, .width = w, .channels = c, .activation = a, .room = room }, ret);
    free(room);
}

static void an_activation_of_rank_one_is_its_own_map(void **state)
{
    static const double u[] = { 3, -1, 0, -1, -1, 0 }, v[] = { 2, -1, 2 }; /* |v| = 3; sum u = 0 */
    real a[18];
    float got[6];

    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) { /* the larger end is turned up */
        for (int p = 0; p < 6; p++)
            for (int k = 0; k < 3; k++)
                a[p * 3 + k] = (real)(sign * u[p] * v[k] + 5 * k);
        eigen_map(a, 2, 3, 3, got);
        for (int p = 0; p < 6; p++)
            near("rank one", (double)got[p], 3 * u[p], 1e-5);
    }
}

static void the_first_singular_vector_is_found_however_long_the_sides(void **state)
{
    static const struct {
        uint32_t h, w, c;
    } rows[] = { { 2, 3, 40 }, { 5, 4, 3 }, { 16, 16, 80 }, { 9, 9, 100 }, { 1, 1, 4 } };

    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        const uint32_t c = rows[r].c, pixels = rows[r].h * rows[r].w;
        const size_t n = (size_t)c * c;
        real *a = calloc((size_t)pixels * c, sizeof *a);
        double *x = calloc((size_t)pixels * c, sizeof *x), *gram = calloc(n, sizeof *gram),
               *values = calloc(c, sizeof *values), *vectors = calloc(n, sizeof *vectors),
               *want = calloc(pixels, sizeof *want), low = 0, high = 0;
        float *got = calloc(pixels, sizeof *got);

        assert_true(a != NULL && x != NULL && gram != NULL && values != NULL && vectors != NULL &&
                    want != NULL && got != NULL);
        draw(a, (size_t)pixels * c, (uint32_t)r);
        for (uint32_t k = 0; k < c; k++) {
            double mean = 0;

            for (uint32_t p = 0; p < pixels; p++)
                mean += (double)a[p * c + k] / pixels;
            for (uint32_t p = 0; p < pixels; p++)
                x[p * c + k] = (double)a[p * c + k] - mean;
        }
        for (uint32_t i = 0; i < c; i++)
            for (uint32_t j = 0; j < c; j++)
                for (uint32_t p = 0; p < pixels; p++)
                    gram[i * c + j] += x[p * c + i] * x[p * c + j];
        eigen_symmetric(c, gram, values, vectors);
        for (uint32_t p = 0; p < pixels; p++) {
            for (uint32_t k = 0; k < c; k++)
                want[p] += x[p * c + k] * vectors[k];
            low = fmin(low, want[p]);
            high = fmax(high, want[p]);
        }
        eigen_map(a, rows[r].h, rows[r].w, c, got);
        for (uint32_t p = 0; p < pixels; p++)
            near("eigencam", (double)got[p], -low > high ? -want[p] : want[p], 2e-5);
        free(got);
        free(want);
        free(vectors);
        free(values);
        free(gram);
        free(x);
        free(a);
    }
}

static void what_has_no_direction_has_an_empty_map(void **state)
{
    static const real values[] = { 7, NAN, INFINITY, 3e38f };

    (void)state;
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        real a[12];
        float got[4];

        for (int i = 0; i < 12; i++)
            a[i] = values[v];
        eigen_map(a, 2, 2, 3, got);
        for (int p = 0; p < 4; p++)
            assert_true(got[p] == 0);
    }
}

/* ---- A network, pass by pass ---- */

/* One image's logits, the values of `layer` and the gradient of one logit at it; NULL: not asked.
 */
static void ask(Rig *rig, const real *image, NodeId layer, uint32_t class_index, bool guided,
                real *ret_logits, real *ret_layer, real *ret_gradient)
{
    const Network *n = &rig->network;
    const RunContext context = context_of(rig->pool, n);
    Plan plan;
    Arena memory;
    Tensor t;

    assert_int_equal(plan_init(&plan, &n->graph,
                               &(PlanSpec){ .images = 1,
                                            .output = n->logits,
                                            .gradient_to = layer,
                                            .keep = { NODE_NONE },
                                            .guided = guided },
                               NULL),
                     STATUS_OK);
    assert_int_equal(arena_init(&memory, plan.bytes, NULL), STATUS_OK);
    plan_bind(&plan, memory.base);
    memcpy(plan_tensor(&plan, n->image).data, image, IMAGE * sizeof *image);
    run_forward(&plan, &context);
    if (ret_logits != NULL)
        memcpy(ret_logits, plan_tensor(&plan, n->logits).data, CLASSES * sizeof *ret_logits);
    t = plan_gradient(&plan, n->logits);
    memset(t.data, 0, CLASSES * sizeof *t.data);
    t.data[class_index] = 1;
    t = plan_tensor(&plan, layer);
    if (ret_layer != NULL)
        memcpy(ret_layer, t.data, shape_count(&t.shape) * sizeof *t.data);
    run_backward(&plan, &context);
    t = plan_gradient(&plan, layer);
    if (ret_gradient != NULL)
        memcpy(ret_gradient, t.data, shape_count(&t.shape) * sizeof *t.data);
    plan_clear(&plan);
    arena_clear(&memory);
}

/* Whether there is anything but zeros. */
static bool agree(const char *what, size_t count, const float *got, const double *want)
{
    double most = 0;

    for (size_t i = 0; i < count; i++)
        most = fmax(most, fabs(want[i]));
    for (size_t i = 0; i < count; i++)
        near(what, (double)got[i], want[i], 1e-4 * most);
    return most > 0;
}

static void scorecam_asks_about_the_image_behind_each_channel(void **state)
{
    enum { SIDE3 = 4, C3 = 16, PIXELS = SIDE3 * SIDE3 };
    Rig *rig = *state;
    const NodeId layer = graph_find_layer(&rig->network.graph, "layer3");
    real a[PIXELS * C3], scores[C3][CLASSES], masked[IMAGE], plane[PIXELS], mask[SIDE * SIDE];
    float *got = maps_of_one(rig, "scorecam", "layer3");

    ask(rig, rig->image, layer, 0, false, NULL, a, NULL);
    for (int k = 0; k < C3; k++) {
        for (int p = 0; p < PIXELS; p++)
            plane[p] = a[p * C3 + k];
        heatmap_resize(SIDE3, SIDE3, plane, SIDE, SIDE, 1, mask);
        heatmap_normalise(SIDE * SIDE, mask);
        for (int i = 0; i < IMAGE; i++)
            masked[i] = rig->image[i] * mask[i / 3];
        ask(rig, masked, layer, 0, false, scores[k], NULL, NULL);
    }
    for (int c = 0; c < CLASSES; c++) {
        double want[PIXELS] = { 0 }, sum = 0;

        for (int k = 0; k < C3; k++)
            sum += exp((double)scores[k][c]);
        for (int k = 0; k < C3; k++)
            for (int p = 0; p < PIXELS; p++)
                want[p] += exp((double)scores[k][c]) / sum * (double)a[p * C3 + k];
        assert_true(agree("scorecam", PIXELS, got + c * PIXELS, want)); /* A is never negative */
    }
    free(got);
}

/* Behind the last stage y_k = y - w_k mean(A_k); it has 32 channels. */
static void ablationcam_takes_one_channel_away_at_a_time(void **state)
{
    enum { C4 = 32, PIXELS = 4 };
    Rig *rig = *state;
    const NodeId layer = graph_find_layer(&rig->network.graph, "layer4");
    const CamHead head = cam_head(&rig->network);
    real a[PIXELS * C4], logits[CLASSES], w[C4];
    float *got = maps_of_one(rig, "ablationcam", "layer4");
    unsigned positive = 0;

    ask(rig, rig->image, layer, 0, false, logits, a, NULL);
    for (uint32_t c = 0; c < CLASSES; c++) {
        double want[PIXELS] = { 0 };

        cam_head_weights(&head, rig->network.weights, c, w);
        for (int k = 0; k < C4; k++) {
            double mean = 0;

            for (int p = 0; p < PIXELS; p++)
                mean += (double)a[p * C4 + k] / PIXELS;
            for (int p = 0; p < PIXELS; p++)
                want[p] += (double)w[k] * mean / (double)logits[c] * (double)a[p * C4 + k];
        }
        for (int p = 0; p < PIXELS; p++) {
            near("ablationcam", (double)got[c * PIXELS + (uint32_t)p], fmax(0, want[p]),
                 1e-4 * (1 + fabs(want[p])));
            positive += want[p] > 0;
        }
    }
    assert_true(positive > 0);
    free(got);
}

/* Inside of a block the shortcut passes the layer by: the image is needed beside it. */
static void what_passes_a_layer_by_is_not_taken_away(void **state)
{
    enum { C1 = 4, PIXELS = SIDE * SIDE };
    Rig *rig = *state;
    Network *n = &rig->network;
    const NodeId layer = graph_find_layer(&n->graph, "layer1.0.bn2");
    const RunContext context = context_of(rig->pool, n);
    static real a[PIXELS * C1];
    real logits[CLASSES], without[C1][CLASSES];
    float *got = maps_of_one(rig, "ablationcam", "layer1.0.bn2");
    Plan plan;
    Arena memory;

    ask(rig, rig->image, layer, 0, false, logits, a, NULL);
    ok(plan_init(&plan, &n->graph,
                 &(PlanSpec){ .images = 1,
                              .output = n->logits,
                              .gradient_to = NODE_NONE,
                              .keep = { NODE_NONE },
                              .from = layer },
                 NULL),
       NULL);
    assert_true(plan.node[n->image].runs);
    ok(arena_init(&memory, plan.bytes, NULL), NULL);
    plan_bind(&plan, memory.base);
    for (int k = 0; k < C1; k++) {
        real *x = plan_tensor(&plan, layer).data;

        memcpy(plan_tensor(&plan, n->image).data, rig->image, sizeof rig->image);
        memcpy(x, a, sizeof a);
        for (int p = 0; p < PIXELS; p++)
            x[p * C1 + k] = 0;
        run_forward(&plan, &context);
        memcpy(without[k], plan_tensor(&plan, n->logits).data, sizeof without[k]);
    }
    for (int c = 0; c < CLASSES; c++)
        for (int p = 0; p < PIXELS; p++) {
            double want = 0;

            for (int k = 0; k < C1; k++)
                want +=
                    (double)(logits[c] - without[k][c]) / (double)logits[c] * (double)a[p * C1 + k];
            near("beside the shortcut", (double)got[c * PIXELS + p], fmax(0, want), 1e-4);
        }
    plan_clear(&plan);
    arena_clear(&memory);
    free(got);
}

static void pixels_agree(Rig *rig, const char *method, const char *layer,
                         void (*naive)(Rig *rig, uint32_t class_index, double *ret))
{
    float *got = maps_of_one(rig, method, layer);
    unsigned full = 0;

    for (uint32_t c = 0; c < CLASSES; c++) {
        double want[SIDE * SIDE];

        naive(rig, c, want);
        full += agree(method, SIDE * SIDE, got + c * SIDE * SIDE, want);
    }
    assert_true(full > 0);
    free(got);
}

static void naive_gradient(Rig *rig, uint32_t c, double *ret)
{
    real g[IMAGE];

    ask(rig, rig->image, rig->network.image, c, false, NULL, NULL, g);
    for (int p = 0; p < SIDE * SIDE; p++)
        ret[p] = fabs((double)g[p * 3]) + fabs((double)g[p * 3 + 1]) + fabs((double)g[p * 3 + 2]);
}

static void naive_smooth(Rig *rig, uint32_t c, double *ret)
{
    double sum[IMAGE] = { 0 };

    for (uint32_t s = 0; s < 16; s++) {
        Rng rng = rng_at(SEED, RNG_EXPLAIN, s, 0);
        real x[IMAGE], g[IMAGE];

        for (int i = 0; i < IMAGE; i++)
            x[i] = rig->image[i] + 0.1f * rng_normal(&rng) / rig->network.std[i % 3];
        ask(rig, x, rig->network.image, c, false, NULL, NULL, g);
        for (int i = 0; i < IMAGE; i++)
            sum[i] += (double)g[i] / 16;
    }
    for (int p = 0; p < SIDE * SIDE; p++)
        ret[p] = fabs(sum[p * 3]) + fabs(sum[p * 3 + 1]) + fabs(sum[p * 3 + 2]);
}

static void naive_integral(Rig *rig, uint32_t c, double *ret)
{
    double sum[IMAGE] = { 0 }, total = 0;
    real zero[IMAGE] = { 0 }, logits[2][CLASSES];

    for (uint32_t s = 0; s < 32; s++) {
        real x[IMAGE], g[IMAGE];

        for (int i = 0; i < IMAGE; i++)
            x[i] = rig->image[i] * (((real)s + 0.5f) / 32);
        ask(rig, x, rig->network.image, c, false, NULL, NULL, g);
        for (int i = 0; i < IMAGE; i++)
            sum[i] += (double)g[i] * (double)rig->image[i] / 32;
    }
    for (int p = 0; p < SIDE * SIDE; p++)
        ret[p] = fabs(sum[p * 3]) + fabs(sum[p * 3 + 1]) + fabs(sum[p * 3 + 2]);
    /* Completeness: they sum to what the logit gains on the way. */
    ask(rig, rig->image, rig->network.image, c, false, logits[1], NULL, NULL);
    ask(rig, zero, rig->network.image, c, false, logits[0], NULL, NULL);
    for (int i = 0; i < IMAGE; i++)
        total += sum[i];
    near("completeness", total, (double)logits[1][c] - (double)logits[0][c],
         0.02 * (1 + fabs((double)logits[1][c])));
}

static void naive_guided(Rig *rig, uint32_t c, double *ret)
{
    float *cam = maps_of_one(rig, "gradcam", "layer3"), resized[SIDE * SIDE];
    real g[IMAGE];

    heatmap_resize(4, 4, cam + c * 16, SIDE, SIDE, 1, resized);
    ask(rig, rig->image, rig->network.image, c, true, NULL, NULL, g);
    for (int p = 0; p < SIDE * SIDE; p++)
        ret[p] = (double)resized[p] *
                 (fabs((double)g[p * 3]) + fabs((double)g[p * 3 + 1]) + fabs((double)g[p * 3 + 2]));
    free(cam);
}

static void maps_of_pixels_are_what_their_passes_add_up_to(void **state)
{
    pixels_agree(*state, "input_gradient", "", naive_gradient);
    pixels_agree(*state, "smoothgrad", "", naive_smooth);
    pixels_agree(*state, "integrated_gradients", "", naive_integral);
}

static void guided_gradcam_is_the_guided_gradient_times_gradcam(void **state)
{
    pixels_agree(*state, "guided_gradcam", "", naive_guided); /* layer3 is the default */
    pixels_agree(*state, "guided_gradcam", "layer3", naive_guided);
}

/* The source pgd_l2, of a training image with that label, is the same attack. */
static void delta_is_what_the_attack_changes(void **state)
{
    Rig *rig = *state;
    const RunContext context = context_of(rig->pool, &rig->network);
    ExplanationSpec attack = spec_of("pgd_l2", ""), delta = spec_of("delta", "");
    Engine a = engine_of(&rig->network, &attack, 1), d = engine_of(&rig->network, &delta, 1);
    const uint32_t item = 0;

    for (uint16_t c = 0; c < CLASSES; c++) {
        const ExplanationBatch batch = {
            .images = rig->image, .labels = &c, .items = &item, .split = SPLIT_TRAIN, .seed = SEED
        };

        explanation_run(&a.e, &context, &batch);
        explanation_run(&d.e, &context, &batch);
        for (int p = 0; p < SIDE * SIDE; p++) {
            const real *x = a.e.delta + p * 3;

            assert_true(d.e.maps[c * SIDE * SIDE + p] == fabsf(x[0]) + fabsf(x[1]) + fabsf(x[2]));
        }
    }
    engine_clear(&a);
    engine_clear(&d);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_follow_their_formulas),
        cmocka_unit_test(scores_weigh_the_channels),
        cmocka_unit_test(an_activation_of_rank_one_is_its_own_map),
        cmocka_unit_test(the_first_singular_vector_is_found_however_long_the_sides),
        cmocka_unit_test(what_has_no_direction_has_an_empty_map),
        RIG_TEST(scorecam_asks_about_the_image_behind_each_channel),
        RIG_TEST(ablationcam_takes_one_channel_away_at_a_time),
        RIG_TEST(what_passes_a_layer_by_is_not_taken_away),
        RIG_TEST(maps_of_pixels_are_what_their_passes_add_up_to),
        RIG_TEST(guided_gradcam_is_the_guided_gradient_times_gradcam),
        RIG_TEST(delta_is_what_the_attack_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
