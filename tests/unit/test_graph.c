/*
 * graph: building, planning, running. Planned runs, whose numbers share memory and lie in place,
 * are held bit by bit to a naive execution of the same graph that gives every array memory of its
 * own.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/rng.h"
#include "core/graph/run.h"
#include "core/nn/network.h"

enum { DRAW_SEED = 11, DRAW_STEP = 4 }; /* of operations that draw */

/* ---- Building ---- */

static Status first_error(Graph *g, Error *err)
{
    Status s;

    assert_int_equal(graph_input(g, "late", shape2(1, 3)), NODE_NONE);
    assert_int_equal(graph_node(g, "no_such_thing", "late", 0, NODE_NONE, NULL), NODE_NONE);
    graph_layer(g, "late", 0);
    assert_int_equal(graph_find_layer(g, "late"), NODE_NONE);
    s = graph_status(g, err);
    graph_clear(g);
    return s;
}

static void the_first_error_sticks(void **state)
{
    static const struct {
        const char *op;
        NodeId a, b; /* 0: [1,8,8,3]; 1: [1,12]; 2: [1,12] */
        const char *param;
        double value;
        Status status;
        const char *says;
    } rows[] = {
        { "conv3d", 0, NODE_NONE, NULL, 0, STATUS_INTERNAL, "conv3d" },
        { "conv2d", 0, NODE_NONE, "depth", 3, STATUS_INTERNAL, "\"depth\"" },
        { "conv2d", 0, NODE_NONE, "stride", 9, STATUS_INVALID, "stride" },
        { "conv2d", 0, NODE_NONE, "stride", 1.5, STATUS_INVALID, "stride" },
        { "conv2d", 0, NODE_NONE, "channels", NAN, STATUS_INVALID, "channels" },
        { "conv2d", 0, NODE_NONE, "kernel", 9, STATUS_BAD_SHAPE, "spans 9x9" },
        { "conv2d", 0, NODE_NONE, "groups", 2, STATUS_BAD_SHAPE, "groups" },
        { "conv2d", 1, NODE_NONE, NULL, 0, STATUS_BAD_SHAPE, "rank 2" },
        { "linear", 0, NODE_NONE, NULL, 0, STATUS_BAD_SHAPE, "one pixel" },
        { "global_avg_pool", 1, NODE_NONE, NULL, 0, STATUS_BAD_SHAPE, "rank 2" },
        { "cross_entropy", 0, 1, NULL, 0, STATUS_BAD_SHAPE, "cross_entropy" },
        { "add", 0, 1, NULL, 0, STATUS_BAD_SHAPE, "one shape" },
        { "add", 1, 1, NULL, 0, STATUS_INTERNAL, "inputs" },
        { "add", 1, NODE_NONE, NULL, 0, STATUS_INTERNAL, "inputs" },
        { "relu", 1, 2, NULL, 0, STATUS_INTERNAL, "inputs" },
        { "relu", 3, NODE_NONE, NULL, 0, STATUS_INTERNAL, "inputs" },
        { "relu", NODE_NONE, NODE_NONE, NULL, 0, STATUS_INTERNAL, "inputs" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        GraphParam params[] = { { rows[i].param, rows[i].value }, { NULL, 0 } };
        Graph g;
        Error err = { 0 };

        graph_init(&g);
        assert_int_equal(graph_input(&g, "image", shape4(1, 8, 8, 3)), 0);
        assert_int_equal(graph_input(&g, "p", shape2(1, 12)), 1);
        assert_int_equal(graph_input(&g, "q", shape2(1, 12)), 2);
        assert_int_equal(graph_node(&g, rows[i].op, "bad", rows[i].a, rows[i].b, params),
                         NODE_NONE);
        assert_int_equal(g.nodes, 3);
        if (first_error(&g, &err) != rows[i].status ||
            strstr(error_message(&err), rows[i].says) == NULL)
            fail_msg("row %zu: %s: %s", i, status_name(err.status), error_message(&err));
    }
}

static void a_layer_too_large_to_number_is_refused(void **state)
{
    Graph g;
    Error err = { 0 };

    (void)state;
    graph_init(&g);
    assert_int_equal(graph_input(&g, "image", shape4(1, 4096, 4096, 3)), 0);
    assert_int_equal(graph_node(&g, "conv2d", "wide", 0, NODE_NONE,
                                GRAPH_PARAMS({ "channels", 65536 }, { "kernel", 1 })),
                     NODE_NONE);
    assert_int_equal(first_error(&g, &err), STATUS_BAD_SHAPE);
    assert_non_null(strstr(error_message(&err), "\"wide\""));
}

static void nodes_weights_and_layers_keep_their_order_and_names(void **state)
{
    Graph g;
    NodeId image, conv, norm, act, pool, fc;

    (void)state;
    graph_init(&g);
    image = graph_input(&g, "image", shape4(1, 7, 5, 3));
    conv = graph_node(&g, "conv2d", "stem.conv", image, NODE_NONE,
                      GRAPH_PARAMS({ "channels", 6 }, { "kernel", 3 }, { "stride", 2 }));
    norm = graph_node(&g, "batch_norm", "stem.bn", conv, NODE_NONE, NULL);
    act = graph_node(&g, "relu", "", norm, NODE_NONE, NULL);
    graph_layer(&g, "stem", act);
    pool = graph_node(&g, "global_avg_pool", "pool", act, NODE_NONE, NULL);
    fc = graph_node(&g, "linear", "fc", pool, NODE_NONE, GRAPH_PARAMS({ "features", 4 }));
    assert_int_equal(graph_status(&g, NULL), STATUS_OK);
    {
        static const char *const weights[] = {
            "stem.conv.weight",    "stem.bn.weight", "stem.bn.bias", "stem.bn.running_mean",
            "stem.bn.running_var", "fc.weight",      "fc.bias"
        };
        static const size_t counts[] = { 3 * 3 * 3 * 6, 6, 6, 6, 6, 24, 4 };
        static const char *const layers[] = { "stem.conv", "stem.bn", "stem", "pool", "fc" };
        size_t end = 0;

        assert_int_equal(g.weights, 7);
        for (uint32_t i = 0; i < 7; i++) {
            assert_string_equal(g.weight[i].name, weights[i]);
            assert_int_equal(g.weight[i].count, counts[i]);
            assert_int_equal(g.weight[i].offset * sizeof(real) % ARENA_ALIGN, 0);
            assert_true(g.weight[i].offset >= end);
            end = g.weight[i].offset + g.weight[i].count;
        }
        assert_true(g.weight_numbers >= end && g.weight_numbers < end + 16);
        assert_int_equal(g.node[fc].first_weight, 5);
        assert_int_equal(g.weight[6].node, fc);
        assert_int_equal(g.layers, 5);
        for (uint32_t i = 0; i < 5; i++)
            assert_string_equal(g.layer[i].name, layers[i]);
    }
    assert_int_equal(graph_parameters(&g), 162 + 12 + 28); /* running statistics do not count */
    assert_int_equal(graph_find_layer(&g, "stem"), act);
    assert_int_equal(graph_find_layer(&g, "layer9"), NODE_NONE);
    assert_true(shape_equal(&(Shape){ 4, { 9, 3, 2, 6 } }, &(Shape){ 4, { 9, 3, 2, 6 } }));
    {
        Shape got = graph_shape(&g, act, 9), want = shape4(9, 3, 2, 6);

        assert_true(shape_equal(&got, &want));
    }
    graph_clear(&g);
}

/* ---- ResNet-18 ---- */

static Network resnet(uint32_t width, const char *act, ModelInput input)
{
    Network n = { 0 };
    int row = table_find(model_table, "resnet18"), param;
    const Described *d = &model_table[row]->described;
    Choice model = { .row = (uint32_t)row };

    param_defaults(d, model.value);
    model.value[param_find(d, "width")] = width;
    param = param_find(d, "activation");
    model.value[param] = param_choice(&d->params[param], act);
    assert_int_equal(network_init(&n, &model, &input, NULL), STATUS_OK);
    return n;
}

static void resnet18_has_the_published_size_and_cost(void **state)
{
    static const struct {
        uint32_t width, channels, classes;
        uint64_t parameters;
        double macs; /* millions; 0: not published */
    } rows[] = {
        { 64, 3, 10, 11173962, 555.4 }, { 64, 3, 100, 11220132, 0 }, { 64, 6, 10, 11175690, 0 },
        { 64, 30, 10, 11189514, 0 },    { 64, 33, 10, 11191242, 0 }, { 48, 3, 10, 6288442, 312.8 },
        { 32, 3, 10, 2797610, 139.3 },  { 16, 3, 10, 701466, 35.0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Network n = resnet(rows[i].width, "relu",
                           (ModelInput){ 32, 32, rows[i].channels, rows[i].classes });
        PlanSpec spec = {
            .images = 1, .output = n.logits, .gradient_to = NODE_NONE, .keep = { NODE_NONE }
        };
        Plan plan;

        assert_int_equal(graph_parameters(&n.graph), rows[i].parameters);
        assert_int_equal(plan_init(&plan, &n.graph, &spec, NULL), STATUS_OK);
        if (rows[i].macs > 0)
            assert_true(fabs(plan.forward_flops / 2e6 - rows[i].macs) <= 0.05);
        plan_clear(&plan);
        network_clear(&n);
    }
}

static void an_image_too_small_is_no_crash(void **state)
{
    Network n = resnet(2, "relu", (ModelInput){ 1, 1, 1, 2 });

    (void)state; /* padded 3x3 kernels fit one pixel, too */
    assert_int_equal(n.graph.error.status, STATUS_OK);
    network_clear(&n);
}

/* ---- A naive execution: every array has memory of its own ---- */

typedef struct Naive {
    const Graph *graph;
    uint32_t images;
    bool training;
    NodeId output;
    real **value, **gradient, **saved; /* [nodes] */
    bool *written;                     /* [nodes] its gradient */
    OpShapes *shapes;                  /* [nodes] */
    real *weights, *gradients;         /* [graph->weight_numbers] */
} Naive;

static void *zeroed(size_t count, size_t size)
{
    void *ret = calloc(count > 0 ? count : 1, size);

    assert_non_null(ret);
    return ret;
}

static void draw(real *ret, size_t count, uint32_t stream)
{
    Rng rng = rng_at(3, RNG_TEST, 0, stream);

    for (size_t i = 0; i < count; i++)
        ret[i] = 2 * rng_uniform(&rng) - 1;
}

/* Weights, the inputs' values and the output's gradient: the same for naive and planned runs. */
static real *random_weights(const Graph *g)
{
    real *ret = zeroed(g->weight_numbers, sizeof *ret);

    for (uint32_t i = 0; i < g->weights; i++) {
        real *w = ret + g->weight[i].offset;

        draw(w, g->weight[i].count, i);
        for (size_t k = 0; k < g->weight[i].count && g->weight[i].spec.init == INIT_ONE; k++)
            w[k] = 1 + w[k] / 4;
    }
    return ret;
}

static void draw_value(real *ret, const Shape *s, NodeId node)
{
    draw(ret, shape_count(s), 1000 + node);
}

static void naive_call(const Naive *n, NodeId i, Tensor in[OP_INPUTS_MAX], real *weight[4],
                       OpCall *ret)
{
    const Node *node = &n->graph->node[i];

    for (uint32_t k = 0; k < node->inputs; k++)
        in[k] = (Tensor){ n->value[node->input[k]], n->shapes[node->input[k]].out };
    for (uint32_t k = 0; k < n->shapes[i].weights; k++)
        weight[k] = n->weights + n->graph->weight[node->first_weight + k].offset;
    *ret = (OpCall){ .kernels = kernels_available()[0],
                     .value = node->value,
                     .training = n->training,
                     .seed = DRAW_SEED,
                     .step = DRAW_STEP,
                     .node = i,
                     .inputs = node->inputs,
                     .in = in,
                     .out = { n->value[i], n->shapes[i].out },
                     .weight = weight,
                     .saved = n->saved[i],
                     .scratch = zeroed(n->shapes[i].scratch_bytes, 1) };
}

static void naive_forward(Naive *n, Pool *pool)
{
    for (NodeId i = 0; i <= n->output; i++) {
        const Node *node = &n->graph->node[i];
        Tensor in[OP_INPUTS_MAX] = { { NULL } };
        real *weight[4];
        OpCall call = { 0 };

        if (node->op == NULL) {
            n->shapes[i].out = graph_shape(n->graph, i, n->images);
        } else {
            Shape shape[OP_INPUTS_MAX];

            for (uint32_t k = 0; k < node->inputs; k++)
                shape[k] = n->shapes[node->input[k]].out;
            assert_int_equal(node->op->shape(node->value, shape, node->inputs, &n->shapes[i], NULL),
                             STATUS_OK);
        }
        n->value[i] = zeroed(shape_count(&n->shapes[i].out), sizeof(real));
        n->gradient[i] = zeroed(shape_count(&n->shapes[i].out), sizeof(real));
        n->saved[i] = zeroed(n->shapes[i].saved, sizeof(real));
        if (node->op == NULL) {
            draw_value(n->value[i], &n->shapes[i].out, i);
            continue;
        }
        naive_call(n, i, in, weight, &call);
        call.pool = pool;
        node->op->forward(&call);
        free(call.scratch);
    }
}

/* Every gradient there is, of weights and of values. */
static void naive_backward(Naive *n, Pool *pool)
{
    draw_value(n->gradient[n->output], &n->shapes[n->output].out, 5000);
    n->written[n->output] = true;
    for (NodeId i = n->output + 1; i-- > 0;) {
        const Node *node = &n->graph->node[i];
        Tensor in[OP_INPUTS_MAX] = { { NULL } };
        real *weight[4];
        OpCall call = { 0 };

        if (node->op == NULL || !n->written[i] || (node->op->flags & OP_CONSTANT) != 0)
            continue;
        naive_call(n, i, in, weight, &call);
        call.pool = pool;
        call.out_gradient = n->gradient[i];
        for (uint32_t k = 0; k < node->inputs; k++) {
            call.in_gradient[k] = n->gradient[node->input[k]];
            call.accumulate[k] = n->written[node->input[k]];
            n->written[node->input[k]] = true;
        }
        for (uint32_t k = 0; k < n->shapes[i].weights; k++)
            if (((GRADIENT_TRAINED | GRADIENT_ARCHITECTURE) >> n->shapes[i].weight[k].role & 1) !=
                0)
                call.weight_gradient[k] =
                    n->gradients + n->graph->weight[node->first_weight + k].offset;
        node->op->backward(&call);
        free(call.scratch);
    }
}

static Naive naive_run(const Graph *g, uint32_t images, bool training, NodeId output)
{
    Naive n = { .graph = g,
                .images = images,
                .training = training,
                .output = output,
                .value = zeroed(g->nodes, sizeof(real *)),
                .gradient = zeroed(g->nodes, sizeof(real *)),
                .saved = zeroed(g->nodes, sizeof(real *)),
                .written = zeroed(g->nodes, sizeof(bool)),
                .shapes = zeroed(g->nodes, sizeof(OpShapes)),
                .weights = random_weights(g),
                .gradients = zeroed(g->weight_numbers, sizeof(real)) };
    Pool *pool;

    assert_int_equal(pool_new(1, &pool, NULL), STATUS_OK);
    naive_forward(&n, pool);
    naive_backward(&n, pool);
    pool_free(pool);
    return n;
}

static void naive_clear(Naive *n)
{
    for (NodeId i = 0; i < n->graph->nodes; i++) {
        free(n->value[i]);
        free(n->gradient[i]);
        free(n->saved[i]);
    }
    free(n->value);
    free(n->gradient);
    free(n->saved);
    free(n->written);
    free(n->shapes);
    free(n->weights);
    free(n->gradients);
}

/* ---- Planned runs against it ---- */

static void same(const char *what, NodeId node, const real *got, const real *want, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&got[i], &want[i], sizeof *got) != 0)
            fail_msg("%s of node %u: number %zu is %.9g, not %.9g", what, node, i, (double)got[i],
                     (double)want[i]);
}

static void same_values(const Plan *plan, const Naive *naive, NodeId node)
{
    Tensor t = plan_tensor(plan, node);

    same("value", node, t.data, naive->value[node], shape_count(&t.shape));
}

static void same_kept(const Plan *plan, const Naive *naive)
{
    same_values(plan, naive, plan->spec.output);
    for (int k = 0; k < PLAN_KEEP_MAX && plan->spec.keep[k] != NODE_NONE; k++)
        same_values(plan, naive, plan->spec.keep[k]);
    if (plan->spec.gradient_to != NODE_NONE)
        same_values(plan, naive, plan->spec.gradient_to);
}

/* The plan's figure is what its furthest array needs, and not a byte more. */
static void exact_bytes(const Plan *plan)
{
    size_t end = 0, scratch = 0;

    for (NodeId i = 0; i < plan->graph->nodes; i++) {
        const NodePlan *np = &plan->node[i];
        size_t numbers = arena_round(shape_count(&np->shapes.out) * sizeof(real)),
               saved = arena_round(np->shapes.saved * sizeof(real)),
               wants = op_scratch_bytes(&np->shapes, np->backward);

        if (!np->runs)
            continue;
        end = np->out + numbers > end ? np->out + numbers : end;
        end = saved > 0 && np->saved + saved > end ? np->saved + saved : end;
        end = np->wants && np->gradient + numbers > end ? np->gradient + numbers : end;
        scratch = wants > scratch ? wants : scratch;
    }
    assert_int_equal(plan->scratch, end);
    assert_int_equal(plan->bytes, end + arena_round(scratch));
}

/* What was asked for is there, and nothing else was touched. */
static void same_gradients(const Graph *g, unsigned wanted, const real *got, const real *want)
{
    for (uint32_t i = 0; i < g->weights; i++) {
        const GraphWeight *w = &g->weight[i];
        real *zeros = zeroed(w->count, sizeof *zeros);
        bool asked = (wanted >> w->spec.role & 1) != 0;

        same(w->name, w->node, got + w->offset, asked ? want + w->offset : zeros, w->count);
        free(zeros);
    }
}

static void check_plan(const Graph *g, const Naive *naive, const PlanSpec *spec, Pool *pool)
{
    real *weights = random_weights(g), *gradients = zeroed(g->weight_numbers, sizeof *gradients);
    RunContext context = { .pool = pool,
                           .kernels = kernels_available()[0],
                           .weights = weights,
                           .gradients = spec->gradients != 0 ? gradients : NULL,
                           .seed = DRAW_SEED,
                           .step = DRAW_STEP };
    Plan plan = { 0 };
    void *memory;

    assert_int_equal(plan_init(&plan, g, spec, NULL), STATUS_OK);
    exact_bytes(&plan);
    memory = aligned_alloc(ARENA_ALIGN, plan.bytes);
    assert_non_null(memory);
    memset(memory, 0xff, plan.bytes); /* NaNs: what was there before does not matter */
    plan_bind(&plan, memory);
    for (NodeId i = 0; i <= spec->output; i++)
        if (g->node[i].op == NULL && plan.node[i].runs)
            draw_value(plan_tensor(&plan, i).data, &plan.node[i].shapes.out, i);
    run_forward(&plan, &context);
    same_kept(&plan, naive);
    same("weights", 0, weights, naive->weights, g->weight_numbers); /* statistics moved as well */
    if (plan.node[spec->output].wants) {
        draw_value(plan_gradient(&plan, spec->output).data, &plan.node[spec->output].shapes.out,
                   5000);
        run_backward(&plan, &context);
        same_kept(&plan, naive);
    }
    same_gradients(g, spec->gradients, gradients, naive->gradients);
    if (spec->gradient_to != NODE_NONE) {
        Tensor t = plan_gradient(&plan, spec->gradient_to);

        same("gradient", spec->gradient_to, t.data, naive->gradient[spec->gradient_to],
             shape_count(&t.shape));
    }
    plan_clear(&plan);
    free(memory);
    free(gradients);
    free(weights);
}

/* Every node as the one that the gradient is asked for, with other nodes kept; and none. */
static void check_plans(const Graph *g, NodeId output, uint32_t images, bool training, Pool *pool)
{
    Naive naive = naive_run(g, images, training, output);

    for (uint32_t i = 0; i <= output + 1; i++) {
        NodeId to = i <= output ? i : NODE_NONE;
        PlanSpec spec = { .images = images,
                          .training = training,
                          .gradients = i % 2 == 1 || to == NODE_NONE ? GRADIENT_TRAINED : 0,
                          .output = output,
                          .gradient_to = to,
                          .keep = { (i * 5 + 1) % output, (i * 3 + 2) % output, NODE_NONE } };

        if (to != NODE_NONE && !naive.written[to])
            continue;
        check_plan(g, &naive, &spec, pool);
        spec.keep[0] = NODE_NONE;
        check_plan(g, &naive, &spec, pool);
        spec.gradients ^= GRADIENT_TRAINED;
        check_plan(g, &naive, &spec, pool);
        spec.gradients ^= GRADIENT_ARCHITECTURE;
        check_plan(g, &naive, &spec, pool);
    }
    naive_clear(&naive);
}

static void check_network(const char *act, uint32_t images, uint32_t side)
{
    Network n = resnet(2, act, (ModelInput){ side, side, 3, 3 });
    Pool *pool;

    assert_int_equal(pool_new(2, &pool, NULL), STATUS_OK);
    check_plans(&n.graph, n.loss, images, true, pool);
    check_plans(&n.graph, n.logits, images, false, pool);
    pool_free(pool);
    network_clear(&n);
}

static void a_planned_resnet18_computes_what_unshared_memory_does(void **state)
{
    (void)state;
    check_network("relu", 2, 4);
    check_network("gelu", 3, 4);
    check_network("relu", 17, 1); /* a block and a partial one */
}

/* Values with several readers, adds of adds, in-place candidates in a row, a branch to nowhere. */
static void build_knot(Graph *g, NodeId *ret_output)
{
    NodeId x, a, b, c, d, e, f;

    graph_init(g);
    x = graph_input(g, "x", shape4(1, 3, 4, 2));
    a = graph_node(g, "relu", "a", x, NODE_NONE, NULL); /* straight from an input */
    b = graph_node(g, "add", "b", x, a, NULL);
    c = graph_node(g, "relu", "c", b, NODE_NONE, NULL);
    c = graph_node(g, "relu", "c2", c, NODE_NONE, NULL);
    d = graph_node(g, "gelu", "d", b, NODE_NONE, NULL);
    e = graph_node(g, "conv2d", "e", c, NODE_NONE,
                   GRAPH_PARAMS({ "channels", 2 }, { "kernel", 3 }, { "padding", 1 }));
    graph_node(g, "gelu", "nowhere", e, NODE_NONE, NULL);
    e = graph_node(g, "batch_norm", "e2", e, NODE_NONE, NULL);
    f = graph_node(g, "add", "f", e, d, NULL);
    f = graph_node(g, "add", "f2", f, c, NULL);
    f = graph_node(g, "add", "f3", d, f, NULL);
    f = graph_node(g, "add", "f5", graph_node(g, "relu", "f4", f, NODE_NONE, NULL), f, NULL);
    f = graph_node(g, "add", "f6", f, e, NULL);
    f = graph_node(g, "add", "f7", f, graph_input(g, "late", shape4(1, 3, 4, 2)), NULL);
    f = graph_node(g, "batch_norm", "g", f, NODE_NONE, NULL);
    f = graph_node(g, "relu", "g2", f, NODE_NONE, NULL);
    f = graph_node(g, "global_avg_pool", "h", f, NODE_NONE, NULL);
    e = graph_node(g, "linear", "i", f, NODE_NONE, GRAPH_PARAMS({ "features", 2 }));
    e = graph_node(g, "relu", "i2", e, NODE_NONE, NULL);
    *ret_output = graph_node(g, "add", "j", f, e, NULL);
    assert_int_equal(graph_status(g, NULL), STATUS_OK);
}

static void a_planned_knot_computes_what_unshared_memory_does(void **state)
{
    Graph g;
    NodeId output;
    Pool *pool;

    (void)state;
    build_knot(&g, &output);
    assert_int_equal(pool_new(3, &pool, NULL), STATUS_OK);
    for (int training = 0; training < 2; training++)
        for (NodeId to = output; to > 2; to--) /* every node as the output, too */
            if (g.node[to].op != NULL)
                check_plans(&g, to, 18, training != 0, pool);
    pool_free(pool);
    graph_clear(&g);
}

/* A mixed edge: alphas that two sums share, operations of many inputs, draws, and a constant. */
static void build_mixture(Graph *g, NodeId *ret_output)
{
    NodeId image, alphas, mixed[4], sum, x;

    graph_init(g);
    image = graph_input(g, "image", shape4(1, 4, 3, 3));
    x = graph_node(g, "conv2d", "stem", image, NODE_NONE,
                   GRAPH_PARAMS({ "channels", 4 }, { "kernel", 3 }, { "padding", 1 }));
    x = graph_node(g, "batch_norm", "stem.bn", x, NODE_NONE, NULL);
    alphas = graph_node(g, "parameter", "alphas", NODE_NONE, NODE_NONE,
                        GRAPH_PARAMS({ "rows", 2 }, { "columns", 4 }));
    mixed[0] = graph_node(g, "softmax", "", alphas, NODE_NONE, NULL);
    mixed[1] = x;
    mixed[2] = graph_node(g, "noise", "noise", x, NODE_NONE, NULL);
    mixed[3] = graph_node(g, "drop_path", "", graph_node(g, "gelu", "", x, NODE_NONE, NULL),
                          NODE_NONE, GRAPH_PARAMS({ "probability", 0.5 }));
    sum = graph_node_of(g, "weighted_sum", "sum", mixed, 4,
                        GRAPH_PARAMS({ "row", 1 }, { "columns", 0x7 }));
    mixed[1] = sum;
    mixed[2] = graph_node(g, "dropout", "", sum, NODE_NONE, GRAPH_PARAMS({ "probability", 0.25 }));
    x = graph_node_of(g, "weighted_sum", "again", mixed, 3,
                      GRAPH_PARAMS({ "row", 0 }, { "columns", 0xa }));
    mixed[0] = sum;
    mixed[1] = x;
    mixed[2] = graph_node(g, "slice", "", image, NODE_NONE,
                          GRAPH_PARAMS({ "channel", 1 }, { "channels", 2 }));
    x = graph_node_of(g, "concat", "concat", mixed, 3, NULL);
    x = graph_node(g, "channel_shuffle", "", x, NODE_NONE, GRAPH_PARAMS({ "groups", 2 }));
    x = graph_node(g, "gate", "", x,
                   graph_node(g, "sigmoid", "",
                              graph_node(g, "global_avg_pool", "", x, NODE_NONE, NULL), NODE_NONE,
                              NULL),
                   NULL);
    *ret_output = graph_node(g, "scale", "out", x, NODE_NONE, GRAPH_PARAMS({ "factor", 0.5 }));
    assert_int_equal(graph_status(g, NULL), STATUS_OK);
}

static void a_planned_mixture_computes_what_unshared_memory_does(void **state)
{
    Graph g;
    NodeId output;
    Pool *pool;

    (void)state;
    build_mixture(&g, &output);
    assert_int_equal(pool_new(2, &pool, NULL), STATUS_OK);
    check_plans(&g, output, 18, true, pool);
    check_plans(&g, output, 3, false, pool);
    pool_free(pool);
    graph_clear(&g);
}

static void a_parameter_is_named_as_its_node_and_alphas_count_for_nothing(void **state)
{
    Graph g;
    NodeId output;

    (void)state;
    build_mixture(&g, &output);
    assert_string_equal(g.weight[5].name, "alphas");
    assert_int_equal(g.weight[5].spec.role, WEIGHT_ARCHITECTURE);
    assert_int_equal(graph_parameters(&g), 4 * 3 * 9 + 8);
    graph_clear(&g);
}

/* Weights whose product overflows in one layer only; the layers behind it see the infinity, too. */
static void the_first_layer_with_a_number_that_is_not_finite_is_named(void **state)
{
    Network n = resnet(2, "relu", (ModelInput){ 8, 8, 3, 3 });
    NodeId bad = graph_find_layer(&n.graph, "layer2.0.conv2");
    PlanSpec spec = { .images = 3, .training = true, .output = n.loss, .gradient_to = NODE_NONE };
    real *weights = random_weights(&n.graph), *before;
    RunContext context = { .kernels = kernels_available()[0], .weights = weights };
    Plan plan = { 0 };
    void *memory;

    (void)state;
    spec.keep[0] = NODE_NONE;
    assert_int_equal(pool_new(1, &context.pool, NULL), STATUS_OK);
    assert_int_equal(plan_init(&plan, &n.graph, &spec, NULL), STATUS_OK);
    memory = aligned_alloc(ARENA_ALIGN, plan.bytes);
    assert_non_null(memory);
    plan_bind(&plan, memory);
    for (int poisoned = 0; poisoned < 2; poisoned++) {
        if (poisoned)
            weights[n.graph.weight[n.graph.node[bad].first_weight].offset] = INFINITY;
        draw_value(plan_tensor(&plan, n.image).data, &plan.node[n.image].shapes.out, n.image);
        memset(plan_tensor(&plan, n.target).data, 0, 9 * sizeof(real));
        before = zeroed(n.graph.weight_numbers, sizeof *before);
        memcpy(before, weights, n.graph.weight_numbers * sizeof *before);
        assert_int_equal(run_first_nonfinite(&plan, &context), poisoned ? bad : NODE_NONE);
        assert_memory_equal(before, weights, n.graph.weight_numbers * sizeof *before);
        free(before);
    }
    free(memory);
    plan_clear(&plan);
    pool_free(context.pool);
    free(weights);
    network_clear(&n);
}

/* ---- Fusion ---- */

/* The operations of a plan's steps, in order, with blanks between. */
static void steps_of(const Graph *g, const PlanSpec *spec, size_t size, char *ret)
{
    Plan plan = { 0 };
    size_t used = 0;

    ret[0] = '\0';
    assert_int_equal(plan_init(&plan, g, spec, NULL), STATUS_OK);
    for (NodeId i = 0; i < g->nodes; i++) {
        assert_true(plan.node[i].step >= i && plan.node[i].step < g->nodes);
        if (plan.node[i].runs && plan.node[i].op != NULL)
            used += (size_t)snprintf(ret + used, size - used, "%s%s", used > 0 ? " " : "",
                                     plan.node[i].op->described.name);
    }
    assert_true(used < size);
    plan_clear(&plan);
}

static void nodes_that_nobody_looks_between_become_one_step(void **state)
{
    enum { X, NORM, RELU, CONV, TWICE, ONCE, ADD, END, SUM, OUT };
    static const struct {
        NodeId to, keep;
        const char *steps;
    } rows[] = {
        { NODE_NONE, NODE_NONE, "norm_relu conv2d batch_norm norm_add_relu add_relu" },
        { NORM, NODE_NONE, "batch_norm relu conv2d batch_norm norm_add_relu add_relu" },
        { RELU, TWICE, "norm_relu conv2d batch_norm norm_add_relu add_relu" },
        { NODE_NONE, ONCE, "norm_relu conv2d batch_norm batch_norm add_relu add_relu" },
        { NODE_NONE, ADD, "norm_relu conv2d batch_norm norm_add relu add_relu" },
        { ADD, SUM, "norm_relu conv2d batch_norm norm_add relu add relu" },
    };
    Graph g;
    Pool *pool;

    (void)state;
    graph_init(&g);
    graph_input(&g, "x", shape4(1, 4, 4, 3));
    graph_node(&g, "batch_norm", "norm", X, NODE_NONE, NULL);
    graph_node(&g, "relu", "relu", NORM, NODE_NONE, NULL);
    graph_node(&g, "conv2d", "conv", RELU, NODE_NONE,
               GRAPH_PARAMS({ "channels", 3 }, { "padding", 1 }));
    graph_node(&g, "batch_norm", "read twice", CONV, NODE_NONE, NULL);
    graph_node(&g, "batch_norm", "read once", RELU, NODE_NONE, NULL);
    graph_node(&g, "add", "add", TWICE, ONCE, NULL);
    graph_node(&g, "relu", "end", ADD, NODE_NONE, NULL);
    graph_node(&g, "add", "sum", END, TWICE, NULL);
    assert_int_equal(graph_node(&g, "relu", "out", SUM, NODE_NONE, NULL), OUT);
    assert_int_equal(graph_status(&g, NULL), STATUS_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        PlanSpec spec = { .images = 2,
                          .training = true,
                          .gradients = GRADIENT_TRAINED,
                          .output = OUT,
                          .gradient_to = rows[i].to,
                          .keep = { rows[i].keep, NODE_NONE } };
        char steps[256];

        steps_of(&g, &spec, sizeof steps, steps);
        assert_string_equal(steps, rows[i].steps);
    }
    assert_int_equal(pool_new(2, &pool, NULL), STATUS_OK);
    check_plans(&g, OUT, 17, true, pool);
    check_plans(&g, OUT, 3, false, pool);
    pool_free(pool);
    graph_clear(&g);
}

/* A convolution by each of the ways to compute one, and what follows it. */
static NodeId build_ways(Graph *g)
{
    NodeId x = graph_input(g, "x", shape4(1, 8, 8, 3)), y, z;

    x = graph_node(g, "conv2d", "conv", x, NODE_NONE,
                   GRAPH_PARAMS({ "channels", 32 }, { "padding", 1 }, { "bias", 1 }));
    x = graph_node(g, "batch_norm", "norm", x, NODE_NONE, NULL);
    x = graph_node(g, "relu", "relu", x, NODE_NONE, NULL);
    z = graph_node(g, "scale", "half", x, NODE_NONE, GRAPH_PARAMS({ "factor", 0.5 }));
    y = graph_node(g, "conv2d", "winograd", x, NODE_NONE,
                   GRAPH_PARAMS({ "channels", 32 }, { "padding", 1 }));
    y = graph_node(g, "batch_norm", "winograd's norm", y, NODE_NONE, NULL);
    x = graph_node(g, "relu", "", graph_node(g, "add", "sum", y, z, NULL), NODE_NONE, NULL);
    y = graph_node(g, "conv2d", "direct", x, NODE_NONE,
                   GRAPH_PARAMS({ "channels", 64 }, { "padding", 1 }, { "stride", 2 }));
    y = graph_node(g, "batch_norm", "direct's norm", y, NODE_NONE, GRAPH_PARAMS({ "affine", 0 }));
    z = graph_node(g, "conv2d", "short", x, NODE_NONE,
                   GRAPH_PARAMS({ "channels", 64 }, { "kernel", 1 }, { "stride", 2 }));
    z = graph_node(g, "batch_norm", "short norm", z, NODE_NONE, NULL);
    x = graph_node(g, "add", "ways", y, z, NULL);
    y = graph_node(g, "conv2d", "few tiles", x, NODE_NONE,
                   GRAPH_PARAMS({ "channels", 64 }, { "padding", 1 }));
    return graph_node(g, "batch_norm", "last norm", y, NODE_NONE, NULL);
}

static void inference_takes_convolutions_and_norms_as_one(void **state)
{
    static const struct {
        const char *keep;
        bool training;
        unsigned gradients;
        const char *steps;
    } rows[] = {
        { NULL, false, 0,
          "conv_norm_relu scale conv_norm_add_relu conv_norm conv_norm_add conv_norm" },
        { NULL, false, GRADIENT_ARCHITECTURE,
          "conv_norm_relu scale conv_norm_add_relu conv_norm conv_norm_add conv_norm" },
        { "winograd", false, 0,
          "conv_norm_relu scale conv2d norm_add_relu conv_norm conv_norm_add conv_norm" },
        { "sum", false, 0,
          "conv_norm_relu scale conv_norm_add relu conv_norm conv_norm_add conv_norm" },
        { NULL, false, GRADIENT_TRAINED,
          "conv2d norm_relu scale conv2d norm_add_relu conv2d conv2d batch_norm norm_add conv2d "
          "batch_norm" },
        { NULL, true, 0,
          "conv2d norm_relu scale conv2d norm_add_relu conv2d conv2d batch_norm norm_add conv2d "
          "batch_norm" },
    };
    static const uint32_t images[] = { 1, 3, 17 };
    Graph g;
    Pool *pool;
    NodeId output;

    (void)state;
    graph_init(&g);
    output = build_ways(&g);
    assert_int_equal(graph_status(&g, NULL), STATUS_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        PlanSpec spec = { .images = 2,
                          .training = rows[i].training,
                          .gradients = rows[i].gradients,
                          .output = output,
                          .gradient_to = NODE_NONE,
                          .keep = { NODE_NONE } };
        char steps[256];

        if (rows[i].keep != NULL) {
            spec.keep[0] = graph_find_layer(&g, rows[i].keep);
            spec.keep[1] = NODE_NONE;
        }
        steps_of(&g, &spec, sizeof steps, steps);
        assert_string_equal(steps, rows[i].steps);
    }
    assert_int_equal(pool_new(2, &pool, NULL), STATUS_OK);
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) /* the same bits */
        check_plans(&g, output, images[i], false, pool);
    pool_free(pool);
    graph_clear(&g);
}

static void a_norm_whose_weights_stand_elsewhere_stays_by_itself(void **state)
{
    PlanSpec spec = { .images = 2, .gradient_to = NODE_NONE, .keep = { NODE_NONE } };
    char steps[256];
    NodeId x, y;
    Graph g;

    (void)state;
    graph_init(&g);
    x = graph_input(&g, "x", shape4(1, 4, 4, 3));
    y = graph_node(&g, "conv2d", "conv", x, NODE_NONE,
                   GRAPH_PARAMS({ "channels", 3 }, { "padding", 1 }));
    x = graph_node(&g, "batch_norm", "other norm", x, NODE_NONE, NULL);
    y = graph_node(&g, "batch_norm", "norm", y, NODE_NONE, NULL);
    spec.output = graph_node(&g, "add", "sum", x, y, NULL);
    assert_int_equal(graph_status(&g, NULL), STATUS_OK);
    steps_of(&g, &spec, sizeof steps, steps);
    assert_string_equal(steps, "conv2d batch_norm norm_add");
    graph_clear(&g);
}

/* An edge's candidates are read again for the alphas' gradient only. */
static void what_only_an_unwanted_gradient_reads_is_not_kept(void **state)
{
    size_t bytes[2];

    (void)state;
    for (int alphas = 0; alphas < 2; alphas++) {
        PlanSpec spec = { .images = 4,
                          .training = true,
                          .gradients =
                              alphas ? GRADIENT_TRAINED | GRADIENT_ARCHITECTURE : GRADIENT_TRAINED,
                          .gradient_to = NODE_NONE,
                          .keep = { NODE_NONE } };
        Plan plan = { 0 };
        NodeId input[5], image;
        Graph g;

        graph_init(&g);
        image = graph_input(&g, "image", shape4(1, 8, 8, 4));
        image = graph_node(&g, "batch_norm", "norm", image, NODE_NONE, NULL);
        input[0] = graph_node(&g, "parameter", "alphas", NODE_NONE, NODE_NONE,
                              GRAPH_PARAMS({ "rows", 1 }, { "columns", 4 }));
        for (int k = 1; k < 5; k++)
            input[k] = graph_node(&g, "scale", "", image, NODE_NONE, GRAPH_PARAMS({ "factor", k }));
        spec.output =
            graph_node_of(&g, "weighted_sum", "sum", input, 5, GRAPH_PARAMS({ "columns", 15 }));
        spec.output = graph_node(&g, "gelu", "out", spec.output, NODE_NONE, NULL);
        assert_int_equal(graph_status(&g, NULL), STATUS_OK);
        assert_int_equal(plan_init(&plan, &g, &spec, NULL), STATUS_OK);
        bytes[alphas] = plan.bytes;
        plan_clear(&plan);
        graph_clear(&g);
    }
    assert_true(bytes[0] < bytes[1]);
}

static void a_plan_can_be_printed(void **state)
{
    Network n = resnet(4, "relu", (ModelInput){ 8, 8, 3, 3 });
    PlanSpec spec = { .images = 3,
                      .training = true,
                      .gradients = GRADIENT_TRAINED,
                      .output = n.training_loss,
                      .gradient_to = NODE_NONE,
                      .keep = { NODE_NONE } };
    Plan plan = { 0 };
    char *text = NULL;
    size_t size = 0, lines = 0;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    assert_non_null(out);
    assert_int_equal(plan_init(&plan, &n.graph, &spec, NULL), STATUS_OK);
    plan_print(&plan, NULL, out);
    fclose(out);
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    assert_int_equal(lines, 2 + 2 + 20 + 20 + 3); /* inputs, convolutions, norms and the end */
    assert_non_null(strstr(text, "3 images, training: 68 nodes in 43 steps"));
    assert_non_null(strstr(text, " layer1.0.bn2 + add + relu\n"));
    assert_non_null(strstr(text, "norm_relu       3x8x8x4 "));
    plan_clear(&plan);
    network_clear(&n);
    free(text);
}

static size_t bytes_of(const Network *n, bool training, uint32_t images)
{
    PlanSpec spec = { .images = images,
                      .training = training,
                      .gradients = training ? GRADIENT_TRAINED : 0,
                      .output = n->loss,
                      .gradient_to = NODE_NONE,
                      .keep = { n->logits, NODE_NONE } };
    Plan plan = { 0 }, again = { 0 };
    size_t bytes;

    assert_int_equal(plan_init(&plan, &n->graph, &spec, NULL), STATUS_OK);
    assert_int_equal(plan_init(&again, &n->graph, &spec, NULL), STATUS_OK);
    bytes = plan.bytes;
    assert_int_equal(again.bytes, bytes); /* from shapes alone */
    for (NodeId i = 0; i < n->graph.nodes; i++)
        assert_true(plan.node[i].out == again.node[i].out &&
                    plan.node[i].gradient == again.node[i].gradient &&
                    plan.node[i].saved == again.node[i].saved);
    plan_clear(&again);
    plan_clear(&plan);
    return bytes;
}

static void inference_needs_a_few_layers_of_memory_and_training_less_than_all(void **state)
{
    enum { IMAGES = 128 }; /* scratch, which does not grow with them, must not decide */
    Network n = resnet(16, "relu", (ModelInput){ 32, 32, 3, 10 });
    size_t layer = IMAGES * 16 * 32 * 32 * sizeof(real), all = 0;

    (void)state;
    for (NodeId i = 0; i < n.graph.nodes; i++) {
        Shape s = graph_shape(&n.graph, i, IMAGES);

        all += 2 * shape_count(&s) * sizeof(real); /* values and gradients */
    }
    assert_true(bytes_of(&n, false, IMAGES) < 4 * layer);
    assert_true(bytes_of(&n, false, IMAGES) < bytes_of(&n, true, IMAGES) / 4);
    assert_true(bytes_of(&n, true, IMAGES) < all / 2);
    network_clear(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_error_sticks),
        cmocka_unit_test(a_layer_too_large_to_number_is_refused),
        cmocka_unit_test(nodes_weights_and_layers_keep_their_order_and_names),
        cmocka_unit_test(resnet18_has_the_published_size_and_cost),
        cmocka_unit_test(an_image_too_small_is_no_crash),
        cmocka_unit_test(a_planned_resnet18_computes_what_unshared_memory_does),
        cmocka_unit_test(a_planned_knot_computes_what_unshared_memory_does),
        cmocka_unit_test(a_planned_mixture_computes_what_unshared_memory_does),
        cmocka_unit_test(a_parameter_is_named_as_its_node_and_alphas_count_for_nothing),
        cmocka_unit_test(the_first_layer_with_a_number_that_is_not_finite_is_named),
        cmocka_unit_test(nodes_that_nobody_looks_between_become_one_step),
        cmocka_unit_test(inference_takes_convolutions_and_norms_as_one),
        cmocka_unit_test(a_norm_whose_weights_stand_elsewhere_stays_by_itself),
        cmocka_unit_test(what_only_an_unwanted_gradient_reads_is_not_kept),
        cmocka_unit_test(a_plan_can_be_printed),
        cmocka_unit_test(inference_needs_a_few_layers_of_memory_and_training_less_than_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
