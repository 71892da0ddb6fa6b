/*
 * models: the published sizes and costs of ResNet-18, Shake-Shake, ResNet-9 and airbench94, how
 * weights start, the same bits on any number of threads for every model of the table. Their numbers
 * against PyTorch are tests/golden/test_golden_models.c.
 */
#include "tests/unit/networks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph/run.h"
#include "core/nn/attention.h"

static const GraphWeight *weight_named(const Network *n, const char *name)
{
    for (uint32_t i = 0; i < n->graph.weights; i++)
        if (strcmp(n->graph.weight[i].name, name) == 0)
            return &n->graph.weight[i];
    fail_msg("there is no weight \"%s\"", name);
    return NULL;
}

/* ---- Sizes and costs ---- */

/* Millions of multiplies of one image's forward pass. */
static double macs_of(const Network *n)
{
    PlanSpec spec = {
        .images = 1, .output = n->logits, .gradient_to = NODE_NONE, .keep = { NODE_NONE }
    };
    Error err = { 0 };
    Plan plan = { 0 };
    double ret;

    ok(plan_init(&plan, &n->graph, &spec, &err), &err);
    ret = plan.forward_flops / 2e6;
    plan_clear(&plan);
    return ret;
}

static void networks_have_the_published_sizes_and_costs(void **state)
{
    enum { SE = 1, ECA = 2 };
    static const struct {
        const char *model;
        Set set[4];
        uint32_t channels, classes;
        uint64_t parameters;
        double macs, digit; /* millions, to half of `digit`; 0: not published */
    } rows[] = {
        { "resnet18", { { 0 } }, 3, 10, 11173962, 555.4, 0.1 },
        { "resnet18", { { 0 } }, 3, 100, 11220132, 0, 0 },
        { "resnet18", { { 0 } }, 6, 10, 11175690, 0, 0 },
        { "resnet18", { { 0 } }, 30, 10, 11189514, 0, 0 },
        { "resnet18", { { 0 } }, 33, 10, 11191242, 0, 0 },
        { "resnet18", { { "width", 48 } }, 3, 10, 6288442, 312.8, 0.1 },
        { "resnet18", { { "width", 32 } }, 3, 10, 2797610, 139.3, 0.1 },
        { "resnet18", { { "width", 16 } }, 3, 10, 701466, 35.0, 0.1 },
        { "resnet18", { { "attention", SE } }, 3, 10, 11261002, 0, 0 },
        { "resnet18", { { "attention", SE }, { "attention_bias", 1 } }, 3, 10, 11263042, 0, 0 },
        { "resnet18", { { "attention", ECA } }, 3, 10, 11173998, 0, 0 },
        { "shake_shake", { { 0 } }, 3, 10, 2923162, 0, 0 },
        { "shake_shake", { { "width", 64 } }, 3, 10, 11653978, 0, 0 },
        { "shake_shake", { { "width", 96 } }, 3, 10, 26192922, 0, 0 },
        { "resnet9", { { 0 } }, 3, 10, 6573120, 379, 1 },
        { "airbench94", { { 0 } }, 3, 10, 1972792, 118, 1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Choice choice = choose(rows[i].model, rows[i].set);
        Network n = { 0 };
        Error err = { 0 };

        ok(network_init(&n, &choice, &(ModelInput){ 32, 32, rows[i].channels, rows[i].classes },
                        &err),
           &err);
        if (graph_parameters(&n.graph) != rows[i].parameters)
            fail_msg("row %zu: %s has %llu parameters, not %llu", i, rows[i].model,
                     (unsigned long long)graph_parameters(&n.graph),
                     (unsigned long long)rows[i].parameters);
        if (rows[i].macs > 0 && !(fabs(macs_of(&n) - rows[i].macs) <= rows[i].digit / 2))
            fail_msg("row %zu: %s costs %.2f M multiplies, not %.1f M", i, rows[i].model,
                     macs_of(&n), rows[i].macs);
        network_clear(&n);
    }
}

static void ecas_kernel_grows_with_the_channels(void **state)
{
    static const uint32_t rows[][2] = { { 1, 1 },   { 4, 1 },   { 8, 3 },    { 16, 3 },
                                        { 36, 3 },  { 64, 3 },  { 127, 3 },  { 128, 5 },
                                        { 144, 5 }, { 512, 5 }, { 1024, 5 }, { 2048, 7 } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(attention_eca_kernel(rows[i][0]), rows[i][1]);
}

static void attention_has_its_documented_names_and_shapes(void **state)
{
    Network se = network_of("resnet18", SETS({ "attention", 1 }), (ModelInput){ 32, 32, 3, 10 });
    Network eca = network_of("resnet18", SETS({ "attention", 2 }), (ModelInput){ 32, 32, 3, 10 });

    (void)state;
    assert_true(shape_equal(&weight_named(&se, "layer1.0.se.fc1.weight")->spec.shape,
                            &(Shape){ 2, { 4, 64, 1, 1 } }));
    assert_true(shape_equal(&weight_named(&se, "layer4.1.se.fc2.weight")->spec.shape,
                            &(Shape){ 2, { 512, 32, 1, 1 } }));
    assert_true(shape_equal(&weight_named(&eca, "layer1.0.eca.conv.weight")->spec.shape,
                            &(Shape){ 3, { 1, 1, 3, 1 } }));
    assert_true(shape_equal(&weight_named(&eca, "layer2.1.eca.conv.weight")->spec.shape,
                            &(Shape){ 3, { 1, 1, 5, 1 } }));
    network_clear(&se);
    network_clear(&eca);
}

static void heat_maps_are_taken_at_a_named_layer_of_some_resolution(void **state)
{
    (void)state;
    for (uint32_t row = 0; model_table[row] != NULL; row++) {
        const char *name = model_table[row]->described.name;
        Network n = network_of(name, SETS({ NULL, 0 }), (ModelInput){ 32, 32, 3, 10 });
        Shape s = graph_shape(&n.graph, n.map, 1);
        bool named = false;

        for (uint32_t i = 0; i < n.graph.layers; i++)
            named = named || n.graph.layer[i].node == n.map;
        if (!named || s.rank != 4 || s.dim[1] < 7 || s.dim[1] > 8 || s.dim[2] != s.dim[1])
            fail_msg("%s: maps of %ux%u at a layer with%s name", name, s.dim[1], s.dim[2],
                     named ? "" : "out");
        network_clear(&n);
    }
}

static void images_at_the_limits_fit(void **state)
{
    static const struct {
        const char *model;
        uint32_t side;
    } rows[] = { { "resnet18", 1 },  { "shake_shake", 1 }, { "resnet9", 8 },
                 { "resnet9", 135 }, { "airbench94", 9 },  { "airbench94", 136 } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Choice choice = choose(rows[i].model, SETS({ "width", 2 }));
        ModelInput input = { rows[i].side, rows[i].side, 3, 10 };
        Network n = { 0 };
        Error err = { 0 };

        ok(network_init(&n, &choice, &input, &err), &err);
        assert_int_equal(graph_shape(&n.graph, n.logits, 1).rank, 2);
        network_clear(&n);
    }
}

static void images_that_do_not_fit_are_refused_with_what_does(void **state)
{
    static const struct {
        const char *model;
        ModelInput input;
        const char *says;
    } rows[] = {
        { "resnet9", { 32, 24, 3, 10 }, "square images of 8x8 to 135x135, not 24x32" },
        { "resnet9", { 7, 7, 3, 10 }, "not 7x7" },
        { "resnet9", { 136, 136, 3, 10 }, "not 136x136" },
        { "airbench94", { 24, 32, 3, 10 }, "square images of 9x9 to 136x136, not 32x24" },
        { "airbench94", { 8, 8, 3, 10 }, "not 8x8" },
        { "airbench94", { 137, 137, 3, 10 }, "not 137x137" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Choice choice = choose(rows[i].model, SETS({ NULL, 0 }));
        Network n = { 0 };
        Error err = { 0 };

        assert_int_equal(network_init(&n, &choice, &rows[i].input, &err), STATUS_BAD_SHAPE);
        if (strstr(error_message(&err), rows[i].says) == NULL)
            fail_msg("row %zu: %s", i, error_message(&err));
        assert_null(n.graph.node);
    }
}

/* ---- How weights start ---- */

/* `disk`: [O,I,3,3]. Outputs that have an input repeat it, others are drawn. */
static void repeats_its_inputs(const float *disk, uint32_t outputs, uint32_t inputs)
{
    float bound = 1 / sqrtf((float)(inputs * 9));
    uint32_t drawn = 0;

    for (uint32_t o = 0; o < outputs; o++)
        for (uint32_t i = 0; i < inputs * 9; i++) {
            float value = disk[o * inputs * 9 + i];

            if (o < inputs)
                assert_true(value == (float)(i == o * 9 + 4));
            else
                assert_true(fabsf(value) <= bound);
            drawn += o >= inputs && fabsf(value) > bound / 2;
        }
    if (outputs > inputs)
        assert_in_range(drawn, (outputs - inputs) * inputs * 4, (outputs - inputs) * inputs * 5);
}

static void identity_convolutions_repeat_their_inputs(void **state)
{
    static const struct {
        uint32_t width;
        const char *name;
        uint32_t outputs, inputs;
    } rows[] = { { 30, "group1.conv1.weight", 30, 24 },
                 { 30, "group2.conv1.weight", 120, 30 },
                 { 30, "group3.conv2.weight", 120, 120 },
                 { 5, "group1.conv1.weight", 5, 24 } };

    (void)state;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        Network n = network_of("airbench94", SETS({ "width", rows[k].width }),
                               (ModelInput){ 32, 32, 3, 10 });
        const GraphWeight *w = weight_named(&n, rows[k].name);
        float *disk = malloc(w->count * sizeof *disk);

        assert_non_null(disk);
        assert_int_equal(w->count, rows[k].outputs * rows[k].inputs * 9);
        network_randomise(&n, 5);
        weight_to_disk(w, n.weights + w->offset, disk);
        repeats_its_inputs(disk, rows[k].outputs, rows[k].inputs);
        free(disk);
        network_clear(&n);
    }
}

static void frozen_weights_start_and_are_counted_but_not_trained(void **state)
{
    Network n = network_of("airbench94", SETS({ "width", 8 }), (ModelInput){ 32, 32, 3, 10 });
    const GraphWeight *whiten = weight_named(&n, "whiten.weight"),
                      *norm = weight_named(&n, "group2.bn1.weight");

    (void)state;
    network_randomise(&n, 0);
    assert_int_equal(whiten->spec.role, WEIGHT_FROZEN);
    assert_int_equal(whiten->spec.init, INIT_WHITEN);
    assert_int_equal(weight_named(&n, "whiten.bias")->spec.role, WEIGHT_TRAINED);
    assert_int_equal(norm->spec.role, WEIGHT_FROZEN);
    assert_int_equal(weight_named(&n, "group2.bn1.bias")->spec.role, WEIGHT_TRAINED);
    for (size_t i = 0; i < norm->count; i++)
        assert_true(n.weights[norm->offset + i] == 1);
    network_clear(&n);
}

static void architectures_start_near_zero(void **state)
{
    Network n = { 0 };
    double sum = 0;
    Error err = { 0 };
    NodeId node;

    (void)state;
    node = graph_node(&n.graph, "parameter", "alphas", NODE_NONE, NODE_NONE,
                      GRAPH_PARAMS({ "rows", 100 }, { "columns", 100 }));
    assert_int_not_equal(node, NODE_NONE);
    ok(network_take_weights(&n, &err), &err);
    network_randomise(&n, 1);
    assert_int_equal(weight_named(&n, "alphas")->spec.role, WEIGHT_ARCHITECTURE);
    for (size_t i = 0; i < 10000; i++)
        sum += n.weights[i] * n.weights[i];
    assert_true(fabs(sqrt(sum / 10000) - 1e-3) < 3e-5); /* 4 standard errors */
    assert_int_equal(graph_parameters(&n.graph), 0);
    network_clear(&n);
}

/* ---- The same bits on any number of threads ---- */

/* Everything that one step leaves. */
typedef struct Step {
    real *loss, *logits, *gradients, *weights;
} Step;

static real *copy(const real *from, size_t count)
{
    real *ret = malloc(count * sizeof *ret);

    assert_non_null(ret);
    memcpy(ret, from, count * sizeof *ret);
    return ret;
}

static void draw(real *ret, size_t count, uint32_t stream)
{
    Rng rng = rng_at(3, RNG_TEST, 0, stream);

    for (size_t i = 0; i < count; i++)
        ret[i] = 2 * rng_uniform(&rng) - 1;
}

/* Forward and backward of one training step on random images. */
static Step step_on(Network *n, uint32_t images, unsigned threads)
{
    PlanSpec spec = { .images = images,
                      .training = true,
                      .gradients = GRADIENT_TRAINED | GRADIENT_ARCHITECTURE,
                      .output = n->training_loss,
                      .gradient_to = NODE_NONE,
                      .keep = { n->logits, NODE_NONE } };
    RunContext context = { .kernels = kernels_available()[0],
                           .weights = n->weights,
                           .seed = 7,
                           .step = 3,
                           .progress = 0.5 };
    size_t numbers = n->graph.weight_numbers;
    Error err = { 0 };
    Plan plan = { 0 };
    Arena memory = { 0 };
    Tensor image, target;
    Step ret;

    network_randomise(n, 11);
    ok(plan_init(&plan, &n->graph, &spec, &err), &err);
    ok(arena_init(&memory, arena_round(plan.bytes) + arena_round(numbers * sizeof(real)), &err),
       &err);
    plan_bind(&plan, arena_take(&memory, plan.bytes));
    context.gradients = arena_take(&memory, numbers * sizeof(real));
    ok(pool_new(threads, &context.pool, &err), &err);
    image = plan_tensor(&plan, n->image);
    target = plan_tensor(&plan, n->target);
    draw(image.data, shape_count(&image.shape), 0);
    memset(target.data, 0, shape_count(&target.shape) * sizeof(real));
    for (uint32_t i = 0; i < images; i++)
        target.data[i * n->input.classes + i % n->input.classes] = 1;
    run_forward(&plan, &context);
    ret.loss = copy(plan_tensor(&plan, n->training_loss).data, images);
    ret.logits = copy(plan_tensor(&plan, n->logits).data, images * n->input.classes);
    draw(plan_gradient(&plan, n->training_loss).data, images, 1);
    run_backward(&plan, &context);
    ret.gradients = copy(context.gradients, numbers);
    ret.weights = copy(n->weights, numbers);
    pool_free(context.pool);
    plan_clear(&plan);
    arena_clear(&memory);
    return ret;
}

static void step_clear(Step *s)
{
    free(s->loss);
    free(s->logits);
    free(s->gradients);
    free(s->weights);
}

static void same_bits(const Network *n, uint32_t images)
{
    size_t numbers = n->graph.weight_numbers;
    Network copy_of = *n;
    Step one = step_on(&copy_of, images, 1);

    for (unsigned threads = 2; threads <= 3; threads++) {
        Step other = step_on(&copy_of, images, threads);
        const char *what =
            memcmp(one.loss, other.loss, images * sizeof(real)) != 0 ? "losses"
            : memcmp(one.logits, other.logits, images * n->input.classes * sizeof(real)) != 0
                ? "logits"
            : memcmp(one.gradients, other.gradients, numbers * sizeof(real)) != 0 ? "gradients"
            : memcmp(one.weights, other.weights, numbers * sizeof(real)) != 0     ? "statistics"
                                                                                  : NULL;

        if (what != NULL)
            fail_msg("%s: other %s on %u threads", model_table[n->model.row]->described.name, what,
                     threads);
        step_clear(&other);
    }
    for (uint32_t i = 0; i < images; i++)
        assert_true(isfinite(one.loss[i]));
    step_clear(&one);
}

static void every_model_gives_the_same_bits_on_1_2_and_3_threads(void **state)
{
    static const Set smaller[] = { { "width", 4 }, { "channels", 4 }, { "cells", 3 } };

    (void)state;
    for (uint32_t row = 0; model_table[row] != NULL; row++) {
        const Described *d = &model_table[row]->described;
        Error err = { 0 };
        Network n = { 0 };
        Choice choice;

        choice_init(model_table, row, &choice);
        for (size_t i = 0; i < sizeof smaller / sizeof *smaller; i++) {
            int param = param_find(d, smaller[i].name);

            if (param >= 0)
                choice.value[param] = fmax(smaller[i].value, d->params[param].min);
        }
        ok(network_init(&n, &choice, &(ModelInput){ 32, 32, 3, 4 }, &err), &err);
        ok(network_take_weights(&n, &err), &err);
        same_bits(&n, 17);
        network_clear(&n);
    }
}

static void attention_gives_the_same_bits_on_1_2_and_3_threads(void **state)
{
    (void)state;
    for (int attention = 1; attention <= 2; attention++) {
        Network n = network_of("resnet18", SETS({ "width", 5 }, { "attention", attention }),
                               (ModelInput){ 9, 7, 3, 3 });

        same_bits(&n, 33);
        network_clear(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_have_the_published_sizes_and_costs),
        cmocka_unit_test(ecas_kernel_grows_with_the_channels),
        cmocka_unit_test(attention_has_its_documented_names_and_shapes),
        cmocka_unit_test(heat_maps_are_taken_at_a_named_layer_of_some_resolution),
        cmocka_unit_test(images_at_the_limits_fit),
        cmocka_unit_test(images_that_do_not_fit_are_refused_with_what_does),
        cmocka_unit_test(identity_convolutions_repeat_their_inputs),
        cmocka_unit_test(frozen_weights_start_and_are_counted_but_not_trained),
        cmocka_unit_test(architectures_start_near_zero),
        cmocka_unit_test(every_model_gives_the_same_bits_on_1_2_and_3_threads),
        cmocka_unit_test(attention_gives_the_same_bits_on_1_2_and_3_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
