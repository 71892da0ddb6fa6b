/*
 * plan_from: plans that begin at a node whose value is given, and guided backward passes: held to
 * the whole network, to arithmetic written out here, and to the same candidate by single nodes.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/graph/run.h"
#include "tests/unit/networks.h"

enum { CLASSES = 3, IMAGES = 3 };

static void draw(real *ret, size_t count, uint32_t stream)
{
    Rng rng = rng_at(3, RNG_TEST, 1, stream);

    for (size_t i = 0; i < count; i++)
        ret[i] = 2 * rng_uniform(&rng) - 1;
}

/* As after some training: no norm does nothing. */
static void train(Network *n)
{
    network_randomise(n, 5);
    for (uint32_t i = 0; i < n->graph.weights; i++) {
        const GraphWeight *w = &n->graph.weight[i];
        Rng rng = rng_at(4, RNG_TEST, 2, i);

        for (size_t k = 0; w->spec.init != INIT_UNIFORM && k < w->count; k++)
            n->weights[w->offset + k] += 0.3f * (2 * rng_uniform(&rng) - 1);
    }
}

static const struct {
    const char *model;
    Set set[4];
    uint32_t side;
} models[] = {
    { "resnet18", { { "width", 4 } }, 16 },
    { "resnet9", { { "width", 4 } }, 16 },
    { "airbench94", { { "width", 4 } }, 16 },
    { "shake_shake", { { "width", 4 } }, 16 },
    { "genotype", { { "channels", 4 }, { "cells", 3 }, { "auxiliary", 0 } }, 16 },
    { "supernet", { { "channels", 4 }, { "cells", 3 } }, 16 },
};

static Network model_of(size_t m)
{
    Network n = network_of(models[m].model, models[m].set,
                           (ModelInput){ models[m].side, models[m].side, 3, CLASSES });

    train(&n);
    return n;
}

/* A bound plan. */
typedef struct Run {
    Plan plan;
    Arena memory;
    RunContext context;
} Run;

static Run run_of(Pool *pool, const Network *n, const PlanSpec *spec)
{
    Run r = { .context = { .pool = pool,
                           .kernels = kernels_available()[0],
                           .weights = n->weights,
                           .keep_statistics = true } };
    Error err = { 0 };

    ok(plan_init(&r.plan, &n->graph, spec, &err), &err);
    ok(arena_init(&r.memory, r.plan.bytes, &err), &err);
    plan_bind(&r.plan, r.memory.base);
    return r;
}

static void run_clear(Run *r)
{
    plan_clear(&r->plan);
    arena_clear(&r->memory);
}

static void put(const Run *r, NodeId node, const real *values)
{
    Tensor t = plan_tensor(&r->plan, node);

    memcpy(t.data, values, shape_count(&t.shape) * sizeof *values);
}

static void back(const Run *r, const Network *n)
{
    Tensor seed = plan_gradient(&r->plan, n->logits);

    draw(seed.data, shape_count(&seed.shape), 77);
    run_backward(&r->plan, &r->context);
}

static void same_bits(const char *what, const char *layer, Tensor a, Tensor b)
{
    if (memcmp(a.data, b.data, shape_count(&a.shape) * sizeof *a.data) != 0)
        fail_msg("%s from %s on are others than in the whole network", what, layer);
}

/* ---- From a node on ---- */

/* Whether the network's image is still needed. */
static bool from_layer(Pool *pool, const Network *n, const real *image, const GraphLayer *layer)
{
    PlanSpec spec = { .images = IMAGES,
                      .output = n->logits,
                      .gradient_to = layer->node,
                      .keep = { layer->node, NODE_NONE } };
    Run whole = run_of(pool, n, &spec), part;
    bool needed;

    spec.from = layer->node;
    part = run_of(pool, n, &spec);
    needed = part.plan.node[n->image].runs;
    put(&whole, n->image, image);
    run_forward(&whole.plan, &whole.context);
    if (needed)
        put(&part, n->image, image);
    put(&part, layer->node, plan_tensor(&whole.plan, layer->node).data);
    run_forward(&part.plan, &part.context);
    same_bits("logits", layer->name, plan_tensor(&whole.plan, n->logits),
              plan_tensor(&part.plan, n->logits));
    assert_true(part.plan.forward_flops < whole.plan.forward_flops);
    assert_int_equal(part.plan.node[layer->node].wants, whole.plan.node[layer->node].wants);
    if (whole.plan.node[layer->node].wants) {
        back(&whole, n);
        back(&part, n);
        same_bits("gradients", layer->name, plan_gradient(&whole.plan, layer->node),
                  plan_gradient(&part.plan, layer->node));
    }
    run_clear(&whole);
    run_clear(&part);
    return needed;
}

static void what_follows_a_given_node_is_what_follows_it_in_the_whole_network(void **state)
{
    Pool *pool;

    (void)state;
    assert_int_equal(pool_new(2, &pool, NULL), STATUS_OK);
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        Network n = model_of(m);
        size_t count = (size_t)IMAGES * models[m].side * models[m].side * 3;
        real *image = malloc(count * sizeof *image);
        unsigned alone = 0, beside = 0;

        assert_non_null(image);
        draw(image, count, 1);
        for (uint32_t i = 0; i < n.graph.layers; i += 1 + n.graph.layers / 16) /* that will do */
            if (graph_shape(&n.graph, n.graph.layer[i].node, 1).rank == 4 &&
                n.graph.layer[i].node < n.logits && n.graph.layer[i].node > n.image) {
                bool needed = from_layer(pool, &n, image, &n.graph.layer[i]);

                alone += !needed;
                beside += needed;
            }
        if (alone == 0) /* a stem at least has nothing beside it */
            fail_msg("%s: the image is needed behind every one of %u layers", models[m].model,
                     beside);
        free(image);
        network_clear(&n);
    }
    pool_free(pool);
}

static void nothing_in_front_of_a_given_node_runs(void **state)
{
    Network n = model_of(0);
    NodeId from = graph_find_layer(&n.graph, "layer3");
    PlanSpec spec = { .images = 1,
                      .output = n.logits,
                      .gradient_to = NODE_NONE,
                      .keep = { NODE_NONE },
                      .from = from };
    Plan plan;

    (void)state;
    assert_int_equal(plan_init(&plan, &n.graph, &spec, NULL), STATUS_OK);
    for (NodeId i = 0; i < n.graph.nodes; i++)
        assert_true(i >= from || !plan.node[i].runs);
    assert_true(plan.node[from].runs && plan.node[from].op == NULL);
    plan_clear(&plan);
    network_clear(&n);
}

/* ---- Guided ---- */

/*
 * One pixel: a = relu(n(P x)), b = relu(Q a + a), y = R b, with a batch norm n that scales by s and
 * shifts by t. Backward, a guided ReLU passes what is positive where its output is.
 */
enum { WIDE = 6 };

typedef struct Small {
    Graph graph;
    NodeId x, y;
    real *weights;
} Small;

static NodeId point(Graph *g, const char *name, NodeId x, uint32_t channels)
{
    return graph_node(g, "conv2d", name, x, NODE_NONE,
                      GRAPH_PARAMS({ "channels", channels }, { "kernel", 1 }));
}

static void small_init(Small *s)
{
    Graph *g = &s->graph;
    NodeId a, b;

    graph_init(g);
    s->x = graph_input(g, "x", shape4(1, 1, 1, WIDE));
    a = graph_node(g, "batch_norm", "n", point(g, "p", s->x, WIDE), NODE_NONE, NULL);
    a = graph_node(g, "relu", "", a, NODE_NONE, NULL);
    b = graph_node(g, "add", "", point(g, "q", a, WIDE), a, NULL);
    b = graph_node(g, "relu", "", b, NODE_NONE, NULL);
    s->y = point(g, "r", b, 1);
    assert_int_equal(graph_status(g, NULL), STATUS_OK);
    s->weights = calloc(g->weight_numbers, sizeof *s->weights);
    assert_non_null(s->weights);
    for (uint32_t i = 0; i < g->weights; i++)
        draw(s->weights + g->weight[i].offset, g->weight[i].count, 20 + i);
    for (uint32_t i = 0; i < g->weights; i++) /* variances are positive */
        if (strcmp(g->weight[i].name, "n.running_var") == 0)
            for (size_t k = 0; k < WIDE; k++)
                s->weights[g->weight[i].offset + k] = 1 + 0.1f * (real)k;
}

static const real *small_weight(const Small *s, const char *name)
{
    for (uint32_t i = 0; i < s->graph.weights; i++)
        if (strcmp(s->graph.weight[i].name, name) == 0)
            return s->weights + s->graph.weight[i].offset;
    fail_msg("no weight %s", name);
    return NULL;
}

static double rectified(bool guided, double output, double gradient)
{
    return output > 0 && !(guided && gradient < 0) ? gradient : 0;
}

/* The gradient of y at x, by hand. 1x1 kernels lie [I,O]. */
static void small_gradient(const Small *s, const real *x, bool guided, double *ret)
{
    const real *p = small_weight(s, "p.weight"), *q = small_weight(s, "q.weight"),
               *r = small_weight(s, "r.weight"), *scale = small_weight(s, "n.weight"),
               *shift = small_weight(s, "n.bias"), *mean = small_weight(s, "n.running_mean"),
               *var = small_weight(s, "n.running_var");
    double a[WIDE], b[WIDE], da[WIDE], db[WIDE];

    for (int o = 0; o < WIDE; o++) {
        double sum = 0, slope = (double)scale[o] / sqrt((double)var[o] + 1e-5);

        for (int i = 0; i < WIDE; i++)
            sum += (double)p[i * WIDE + o] * (double)x[i];
        a[o] = fmax(0, (sum - (double)mean[o]) * slope + (double)shift[o]);
    }
    for (int o = 0; o < WIDE; o++) {
        b[o] = a[o];
        for (int i = 0; i < WIDE; i++)
            b[o] += (double)q[i * WIDE + o] * a[i];
        db[o] = rectified(guided, b[o], (double)r[o]);
    }
    for (int i = 0; i < WIDE; i++) {
        double slope = (double)scale[i] / sqrt((double)var[i] + 1e-5);

        da[i] = db[i];
        for (int o = 0; o < WIDE; o++)
            da[i] += (double)q[i * WIDE + o] * db[o];
        da[i] = rectified(guided, a[i], da[i]) * slope;
    }
    for (int i = 0; i < WIDE; i++) {
        ret[i] = 0;
        for (int o = 0; o < WIDE; o++)
            ret[i] += (double)p[i * WIDE + o] * da[o];
    }
}

static void a_guided_relu_passes_what_is_positive_of_the_gradient(void **state)
{
    unsigned differ = 0;
    Pool *pool;
    Small s;

    (void)state;
    small_init(&s);
    assert_int_equal(pool_new(1, &pool, NULL), STATUS_OK);
    for (uint32_t draw_of = 0; draw_of < 20; draw_of++) {
        real x[WIDE];
        double want[2][WIDE];

        draw(x, WIDE, 100 + draw_of);
        for (int guided = 0; guided < 2; guided++) {
            const Network none = { .graph = s.graph, .weights = s.weights };
            Run r = run_of(pool, &none,
                           &(PlanSpec){ .images = 1,
                                        .output = s.y,
                                        .gradient_to = s.x,
                                        .keep = { NODE_NONE },
                                        .guided = guided != 0 });

            put(&r, s.x, x);
            run_forward(&r.plan, &r.context);
            *plan_gradient(&r.plan, s.y).data = 1;
            run_backward(&r.plan, &r.context);
            small_gradient(&s, x, guided != 0, want[guided]);
            for (int i = 0; i < WIDE; i++)
                assert_true(fabs((double)plan_gradient(&r.plan, s.x).data[i] - want[guided][i]) <
                            1e-5);
            run_clear(&r);
        }
        for (int i = 0; i < WIDE; i++)
            differ += fabs(want[0][i] - want[1][i]) > 1e-3;
    }
    assert_true(differ > 20);
    pool_free(pool);
    free(s.weights);
    graph_clear(&s.graph);
}

/* The gradient of some sum of the logits at the image. */
static void image_gradient(Pool *pool, const Network *n, const real *image, bool guided, real *ret)
{
    Run r = run_of(pool, n,
                   &(PlanSpec){ .images = IMAGES,
                                .output = n->logits,
                                .gradient_to = n->image,
                                .keep = { NODE_NONE },
                                .guided = guided });
    Tensor g;

    put(&r, n->image, image);
    run_forward(&r.plan, &r.context);
    back(&r, n);
    g = plan_gradient(&r.plan, n->image);
    memcpy(ret, g.data, shape_count(&g.shape) * sizeof *ret);
    run_clear(&r);
}

static void networks_with_relus_are_guided_and_others_are_not(void **state)
{
    (void)state;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        Network n = model_of(m);
        size_t count = (size_t)IMAGES * models[m].side * models[m].side * 3;
        real *image = malloc(count * sizeof *image), *got[3];
        bool rectifies = strcmp(models[m].model, "airbench94") != 0; /* has GELUs */

        assert_non_null(image);
        draw(image, count, 1);
        for (int i = 0; i < 3; i++) {
            Pool *pool;

            got[i] = malloc(count * sizeof **got);
            assert_non_null(got[i]);
            assert_int_equal(pool_new(i == 2 ? 3 : 1, &pool, NULL), STATUS_OK);
            image_gradient(pool, &n, image, i > 0, got[i]);
            pool_free(pool);
        }
        assert_memory_equal(got[1], got[2], count * sizeof **got); /* whatever the threads */
        if ((memcmp(got[0], got[1], count * sizeof **got) != 0) != rectifies)
            fail_msg("%s: guided gradients are %s", models[m].model,
                     rectifies ? "the plain ones" : "others");
        for (int i = 0; i < 3; i++)
            free(got[i]);
        free(image);
        network_clear(&n);
    }
}

/* A mixed candidate has its ReLUs inside; the same candidate by single nodes has them outside. */
static void relus_inside_of_an_operation_are_guided_as_those_outside(void **state)
{
    enum { SIDE = 5, CHANNELS = 4 };
    Graph g[2];
    NodeId x[2], y[2];
    real image[2 * SIDE * SIDE * CHANNELS], got[2][2 * SIDE * SIDE * CHANNELS], *weights[2];
    Pool *pool;

    (void)state;
    assert_int_equal(pool_new(2, &pool, NULL), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        graph_init(&g[i]);
        x[i] = graph_input(&g[i], "x", shape4(1, SIDE, SIDE, CHANNELS));
        y[i] = x[i];
    }
    {
        NodeId one = graph_node(&g[0], "parameter", "mixture", NODE_NONE, NODE_NONE,
                                GRAPH_PARAMS({ "rows", 1 }, { "columns", 1 }));

        y[0] = graph_node(&g[0], "mixed_separable", "op", x[0], one, GRAPH_PARAMS({ "twice", 1 }));
    }
    for (int stage = 0; stage < 2; stage++) {
        y[1] = graph_node(&g[1], "relu", "", y[1], NODE_NONE, NULL);
        y[1] = graph_node(&g[1], "conv2d", stage == 0 ? "d0" : "d1", y[1], NODE_NONE,
                          GRAPH_PARAMS({ "channels", CHANNELS }, { "kernel", 3 }, { "padding", 1 },
                                       { "groups", CHANNELS }));
        y[1] = point(&g[1], stage == 0 ? "p0" : "p1", y[1], CHANNELS);
        y[1] = graph_node(&g[1], "batch_norm", stage == 0 ? "n0" : "n1", y[1], NODE_NONE,
                          GRAPH_PARAMS({ "affine", 0 }));
    }
    draw(image, sizeof image / sizeof *image, 8);
    for (int i = 0; i < 2; i++) {
        Network none = { .graph = g[i] };
        uint32_t drawn = 0;
        Run r;
        Tensor seed;

        assert_int_equal(graph_status(&g[i], NULL), STATUS_OK);
        weights[i] = calloc(g[i].weight_numbers, sizeof **weights);
        assert_non_null(weights[i]);
        for (uint32_t w = 0; w < g[i].weights; w++) {
            const GraphWeight *weight = &g[i].weight[w];
            bool one =
                strcmp(weight->name, "mixture") == 0 || strstr(weight->name, "running_var") != NULL;

            if (strstr(weight->name, "weight") != NULL)
                draw(weights[i] + weight->offset, weight->count, 40 + drawn++);
            for (size_t k = 0; one && k < weight->count; k++)
                weights[i][weight->offset + k] = 1;
        }
        assert_int_equal(drawn, 4);
        none.weights = weights[i];
        r = run_of(pool, &none,
                   &(PlanSpec){ .images = 2,
                                .output = y[i],
                                .gradient_to = x[i],
                                .keep = { NODE_NONE },
                                .guided = true });
        put(&r, x[i], image);
        run_forward(&r.plan, &r.context);
        seed = plan_gradient(&r.plan, y[i]);
        draw(seed.data, shape_count(&seed.shape), 9);
        run_backward(&r.plan, &r.context);
        memcpy(got[i], plan_gradient(&r.plan, x[i]).data, sizeof got[i]);
        run_clear(&r);
    }
    for (size_t k = 0; k < sizeof image / sizeof *image; k++)
        if (!(fabs((double)got[0][k] - (double)got[1][k]) < 1e-5))
            fail_msg("number %zu: %g inside, %g outside", k, (double)got[0][k], (double)got[1][k]);
    for (int i = 0; i < 2; i++) {
        free(weights[i]);
        graph_clear(&g[i]);
    }
    pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_follows_a_given_node_is_what_follows_it_in_the_whole_network),
        cmocka_unit_test(nothing_in_front_of_a_given_node_runs),
        cmocka_unit_test(a_guided_relu_passes_what_is_positive_of_the_gradient),
        cmocka_unit_test(networks_with_relus_are_guided_and_others_are_not),
        cmocka_unit_test(relus_inside_of_an_operation_are_guided_as_those_outside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
