/*
 * Fault 9, an audience that does not count: the hypergradient of LeaSE (core/lease/hypergrad.h)
 * against exact gradients of PyTorch in double precision, on tiny networks with GELU: through an
 * attack of one step and of several, inside the ball and on it, with clipped pixels; labels and the
 * explainer's own soft prediction; class maps of one class and grouped. Errors are shares of the
 * audience's own term. The second build of this file computes in double, as the exact one; the
 * first as the product does.
 *
 * Beside that: nothing moves, and an attack by the sign of the gradient adds exactly nothing.
 */
#include "tests/golden/rig.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/lease/hypergrad.h"
#include "tests/golden/closed_form.h"

/* In single precision the soft target's differences cancel to a few figures, of which a bound says
 * no more than that nothing is missing. */
#ifdef LEASED_REAL64
static const double bound = 5e-4, bound_predicted = 1e-3, bound_alone = 1e-4;
#else
static const double bound = 1e-2, bound_predicted = 0.5, bound_alone = 1e-4;
#endif

enum { ALPHAS = 6 };

static const float mean[] = { 0.5f, 0.45f, 0.4f, 0 }, std[] = { 0.25f, 0.3f, 0.275f, 1 };

typedef struct Case {
    const StFile *file;
    uint32_t seed, images, size, classes, width, channels;
    Network network[LEASE_NETWORKS];
    Choice attack;
    HyperSpec spec;
    HyperBatch batch;
    real *array[4]; /* images and one-hot targets of both batches */
    uint16_t *labels;
    uint32_t *items;
    Pool *pool;
    const Kernels *kernels;
} Case;

static double number(const StFile *file, const char *key)
{
    const char *text = safetensors_metadata(file, key);

    if (text == NULL)
        fail_msg("the golden file's metadata lacks %s", key);
    return strtod(text, NULL);
}

/* --- the networks of make_lease.py --- */

static NodeId norm(Graph *g, const char *name, NodeId x)
{
    return graph_node(g, "batch_norm", name, x, NODE_NONE, NULL);
}

static NodeId plain(Graph *g, const char *op, NodeId x)
{
    return graph_node(g, op, "", x, NODE_NONE, NULL);
}

static NodeId conv(Graph *g, const char *name, NodeId x, uint32_t channels, uint32_t kernel,
                   uint32_t stride)
{
    return graph_node(g, "conv2d", name, x, NODE_NONE,
                      GRAPH_PARAMS({ "channels", channels }, { "kernel", kernel },
                                   { "padding", kernel / 2 }, { "stride", stride }));
}

static NodeId mixture(Graph *g, uint32_t i, NodeId x, NodeId alphas, uint32_t width)
{
    char wide[16], point[16], normed[16];

    snprintf(wide, sizeof wide, "%u.wide", i);
    snprintf(point, sizeof point, "%u.point", i);
    snprintf(normed, sizeof normed, "%u.norm", i);
    return plain(g, "gelu",
                 graph_node_of(g, "weighted_sum", "",
                               (NodeId[]){ plain(g, "softmax", alphas),
                                           plain(g, "gelu", conv(g, wide, x, width, 3, 1)),
                                           norm(g, normed, conv(g, point, x, width, 1, 1)), x },
                               4, GRAPH_PARAMS({ "row", i }, { "columns", 7 })));
}

static void build(const Case *c, LeaseNetwork which, Network *n)
{
    const bool explains = which == LEASE_EXPLAINER;
    const uint32_t channels = explains ? 3 : c->channels;
    Graph *g = &n->graph;
    NodeId x, alphas;
    Error err = { 0 };

    *n = (Network){ .input = { c->size, c->size, channels, c->classes } };
    memcpy(n->mean, mean, sizeof n->mean);
    memcpy(n->std, std, sizeof n->std);
    graph_init(g);
    n->image = graph_input(g, "image", shape4(1, c->size, c->size, channels));
    n->target = graph_input(g, "target", shape2(1, c->classes));
    x = plain(g, "gelu", norm(g, "norm", conv(g, "stem", n->image, c->width, 3, 1)));
    if (explains) {
        alphas = graph_node(g, "parameter", "alphas", NODE_NONE, NODE_NONE,
                            GRAPH_PARAMS({ "rows", 2 }, { "columns", 3 }));
        for (uint32_t i = 0; i < 2; i++)
            x = mixture(g, i, x, alphas, c->width);
    } else {
        x = plain(g, "gelu", conv(g, "second", x, c->width, 3, 2));
    }
    n->map = x;
    n->logits = graph_node(g, "linear", "head", plain(g, "global_avg_pool", x), NODE_NONE,
                           GRAPH_PARAMS({ "features", c->classes }));
    n->loss = n->training_loss = graph_node(g, "cross_entropy", "", n->logits, n->target, NULL);
    rig_ok(graph_status(g, &err), &err);
    rig_ok(network_take_weights(n, &err), &err);
}

/* --- the batches --- */

static void make_batch(Case *c, uint32_t which)
{
    const Shape shape = shape4(c->images, c->size, c->size, 3);
    size_t count = shape_count(&shape);
    float *values = malloc(count * sizeof *values);
    int32_t *labels = malloc(c->images * sizeof *labels);
    char name[32];

    c->array[2 * which] = malloc(count * sizeof(real));
    c->array[2 * which + 1] = calloc((size_t)c->images * c->classes, sizeof(real));
    assert_true(values != NULL && labels != NULL && c->array[2 * which] != NULL &&
                c->array[2 * which + 1] != NULL);
    snprintf(name, sizeof name, "images/%u", which);
    closed_form(c->seed, name, count, 0, 1.4f, values);
    golden_to_blocked(&shape, values, c->array[2 * which]);
    snprintf(name, sizeof name, "labels/%u", which);
    closed_form_labels(c->seed, name, c->images, c->classes, labels);
    for (uint32_t i = 0; i < c->images; i++) {
        c->array[2 * which + 1][i * c->classes + (uint32_t)labels[i]] = 1;
        if (which == 0) {
            c->labels[i] = (uint16_t)labels[i];
            c->items[i] = i;
        }
    }
    free(labels);
    free(values);
}

static void choose_explanation(Case *c)
{
    const char *mode = safetensors_metadata(c->file, "reweight");

    c->spec.predicted = number(c->file, "predicted") != 0;
    c->spec.all_classes = number(c->file, "all") != 0;
    c->spec.input = number(c->file, "image") != 0 ? COMPOSE_IMAGE_MAPS : COMPOSE_MAPS;
    c->spec.reweight = (ReweightSpec){ (uint32_t)table_find(reweight_table, mode), 0.3 };
    if (safetensors_metadata(c->file, "steps") == NULL)
        return;
    c->attack = rig_choose(attack_table, "pgd_l2");
    rig_set(&c->attack, attack_table, "eps", number(c->file, "eps"));
    rig_set(&c->attack, attack_table, "steps", number(c->file, "steps"));
    rig_set(&c->attack, attack_table, "step_size", number(c->file, "step_size"));
    rig_set(&c->attack, attack_table, "start",
            number(c->file, "zero") != 0 ? ATTACK_START_ZERO : ATTACK_START_RANDOM);
    c->spec.attack = &c->attack;
}

static void case_init(Case *c, const StFile *file, const Kernels *kernels)
{
    Error err = { 0 };

    *c = (Case){ .file = file,
                 .seed = golden_number(file, "seed"),
                 .images = golden_number(file, "images"),
                 .size = golden_number(file, "size"),
                 .classes = golden_number(file, "classes"),
                 .width = golden_number(file, "width"),
                 .channels = golden_number(file, "channels"),
                 .kernels = kernels };
    rig_ok(pool_new(2, &c->pool, &err), &err);
    c->labels = malloc(c->images * sizeof *c->labels);
    c->items = malloc(c->images * sizeof *c->items);
    assert_true(c->labels != NULL && c->items != NULL);
    for (int i = 0; i < LEASE_NETWORKS; i++) {
        build(c, (LeaseNetwork)i, &c->network[i]);
        rig_fill_weights(&c->network[i], c->seed + (uint32_t)i);
        c->spec.network[i] = &c->network[i];
        make_batch(c, (uint32_t)i);
    }
    c->spec.images = c->images;
    c->spec.lambda = number(file, "lambda");
    choose_explanation(c);
    c->batch = (HyperBatch){ .train = c->array[0],
                             .train_targets = c->array[1],
                             .seen = c->array[0],
                             .seen_targets = c->array[1],
                             .labels = c->labels,
                             .items = c->items,
                             .seed = c->seed,
                             .val = c->array[2],
                             .val_targets = c->array[3],
                             .rate = { number(file, "rate_e"), number(file, "rate_w") } };
}

static void case_clear(Case *c)
{
    for (int i = 0; i < LEASE_NETWORKS; i++)
        network_clear(&c->network[i]);
    for (int i = 0; i < 4; i++)
        free(c->array[i]);
    free(c->items);
    free(c->labels);
    pool_free(c->pool);
}

/* dA of the case, in the alphas' order; nothing of the networks may move. */
static double compute(const Case *c, real ret[ALPHAS])
{
    const Network *e = &c->network[LEASE_EXPLAINER];
    real *gradient = malloc(e->graph.weight_numbers * sizeof *gradient), *before[LEASE_NETWORKS];
    RunContext context[LEASE_NETWORKS];
    Arena arena = { 0 };
    Hyper hyper;
    Error err = { 0 };
    double loss = 0;

    assert_non_null(gradient);
    for (int i = 0; i < LEASE_NETWORKS; i++) {
        size_t bytes = c->network[i].graph.weight_numbers * sizeof(real);

        before[i] = malloc(bytes);
        assert_non_null(before[i]);
        memcpy(before[i], c->network[i].weights, bytes);
        context[i] = (RunContext){ .pool = c->pool,
                                   .kernels = c->kernels,
                                   .weights = c->network[i].weights };
    }
    rig_ok(hyper_init(&hyper, &c->spec, &err), &err);
    rig_ok(arena_init(&arena, arena_round(hyper.work_bytes) + hyper.state_bytes, &err), &err);
    hyper_bind(&hyper, c->pool, arena_take(&arena, hyper.work_bytes),
               arena_take(&arena, hyper.state_bytes));
    rig_ok(hyper_gradient(&hyper, context, &c->batch, gradient, &loss, &err), &err);
    for (uint32_t i = 0; i < e->graph.weights; i++)
        if (strcmp(e->graph.weight[i].name, "alphas") == 0)
            memcpy(ret, gradient + e->graph.weight[i].offset, ALPHAS * sizeof *ret);
    for (int i = 0; i < LEASE_NETWORKS; i++) {
        assert_memory_equal(before[i], c->network[i].weights,
                            c->network[i].graph.weight_numbers * sizeof(real));
        free(before[i]);
    }
    hyper_clear(&hyper);
    arena_clear(&arena);
    free(gradient);
    return loss;
}

static double length(const real *x)
{
    double sum = 0;

    for (int i = 0; i < ALPHAS; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* |got - want| in shares of `unit`. */
static void shares(const char *what, const real *got, const float *want, const float *unit,
                   double most)
{
    real difference[ALPHAS], scale[ALPHAS];
    double share;

    for (int i = 0; i < ALPHAS; i++) {
        difference[i] = got[i] - (real)want[i];
        scale[i] = (real)unit[i];
    }
    share = length(difference) / length(scale);
    if (!(share <= most))
        fail_msg("%s: off by %.3g, allowed %.3g", what, share, most);
}

static void a_hypergradient_is_pytorchs(void **state)
{
    StFile *file = golden_open(*state);
    const float *term = golden_array(file, "term", ALPHAS);

    for (const Kernels *const *family = kernels_available(); *family != NULL; family++) {
        real alone[ALPHAS], both[ALPHAS];
        double loss;
        Case c;

        case_init(&c, file, *family);
        loss = compute(&c, both);
        rig_loss_close("loss", loss, *golden_array(file, "loss", 1), 1e-5);
        shares("dA", both, golden_array(file, "alphas", ALPHAS), term,
               c.spec.predicted && c.spec.attack != NULL ? bound_predicted : bound);
        c.spec.lambda = 0;
        (void)compute(&c, alone);
        shares("dA at lambda 0", alone, golden_array(file, "alone", ALPHAS),
               golden_array(file, "alone", ALPHAS), bound_alone);
        case_clear(&c);
    }
    safetensors_close(file);
}

static void an_attack_by_the_sign_adds_nothing(void **state)
{
    static const char *const rows[] = { "fgsm", "pgd_linf" };
    StFile *file = golden_open("lease_label");

    (void)state;
    for (int i = 0; i < 2; i++) {
        real alone[ALPHAS], both[ALPHAS], none[ALPHAS] = { 0 };
        Case c;

        case_init(&c, file, kernels_available()[0]);
        c.attack = rig_choose(attack_table, rows[i]);
        rig_set(&c.attack, attack_table, "eps", 0.1);
        (void)compute(&c, both);
        c.spec.lambda = 0;
        (void)compute(&c, alone);
        assert_memory_equal(both, alone, sizeof both);
        assert_memory_not_equal(both, none, sizeof both);
        case_clear(&c);
    }
    safetensors_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { "lease_label", a_hypergradient_is_pytorchs, NULL, NULL, "lease_label" },
        { "lease_steps", a_hypergradient_is_pytorchs, NULL, NULL, "lease_steps" },
        { "lease_inside", a_hypergradient_is_pytorchs, NULL, NULL, "lease_inside" },
        { "lease_predicted", a_hypergradient_is_pytorchs, NULL, NULL, "lease_predicted" },
        { "lease_cam", a_hypergradient_is_pytorchs, NULL, NULL, "lease_cam" },
        { "lease_cam_all", a_hypergradient_is_pytorchs, NULL, NULL, "lease_cam_all" },
        cmocka_unit_test(an_attack_by_the_sign_adds_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
