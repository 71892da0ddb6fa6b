/*
 * Networks made of cells: published sizes and costs, names, what is refused, what is shared, and
 * that threads change no bit.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph/run.h"
#include "core/nn/cell.h"
#include "core/nn/genotype.h"
#include "core/nn/network.h"

/* A parameter that is not left at its default. */
typedef struct Setting {
    const char *name;
    double value;
} Setting;

enum { SETTINGS_MAX = 5 };

typedef struct Spec {
    const char *model, *text;
    Setting setting[SETTINGS_MAX];
    uint32_t classes, side; /* 0: 10 and 32 */
} Spec;

static Status build(const Spec *spec, Network *ret, Error *err)
{
    int row = table_find(model_table, spec->model);
    const Described *d = &model_table[row]->described;
    uint32_t side = spec->side > 0 ? spec->side : 32;
    Choice choice;

    assert_true(row >= 0);
    choice_init(model_table, (uint32_t)row, &choice);
    snprintf(choice.text, sizeof choice.text, "%s", spec->text);
    for (int i = 0; i < SETTINGS_MAX && spec->setting[i].name != NULL; i++) {
        int p = param_find(d, spec->setting[i].name);

        assert_true(p >= 0);
        assert_int_equal(param_check(&d->params[p], spec->setting[i].value, NULL), STATUS_OK);
        choice.value[p] = spec->setting[i].value;
    }
    return network_init(
        ret, &choice, &(ModelInput){ side, side, 3, spec->classes > 0 ? spec->classes : 10 }, err);
}

static Network built(const Spec *spec)
{
    Network n = { 0 };
    Error err = { 0 };

    if (build(spec, &n, &err) != STATUS_OK)
        fail_msg("%s %s: %s", spec->model, spec->text, error_message(&err));
    return n;
}

#define C36_ALONE          \
    {                      \
        {                  \
            "auxiliary", 0 \
        }                  \
    }

static void networks_have_the_published_size_and_cost(void **state)
{
    static const struct {
        Spec spec;
        uint64_t parameters;
        double macs; /* millions; 0: not published */
    } rows[] = {
        { { .model = "supernet", .text = "s5" }, 1930618, 300.3 },
        { { .model = "supernet", .text = "s5", .classes = 100 }, 1953748, 0 },
        { { .model = "supernet", .text = "s1" }, 405146, 68.4 },
        { { .model = "supernet", .text = "s2" }, 665466, 100.9 },
        { { .model = "supernet", .text = "s3" }, 665466, 100.9 },
        { { .model = "supernet", .text = "s3", .setting = { { "partial", 4 } } }, 149946, 28.8 },
        { { .model = "supernet", .text = "s5", .setting = { { "partial", 4 } } }, 299578, 56.6 },
        { { .model = "supernet", .text = "s3_se" }, 684282, 0 },
        { { .model = "supernet", .text = "s3_se_eca" }, 684534, 101.0 },
        { { .model = "supernet", .text = "s3_se_eca", .setting = { { "partial", 4 } } },
          151710,
          0 },
        { { .model = "genotype", .text = "darts_v1", .setting = C36_ALONE }, 3169414, 501.0 },
        { { .model = "genotype", .text = "darts_v2", .setting = C36_ALONE }, 3349342, 528.4 },
        { { .model = "genotype", .text = "pdarts", .setting = C36_ALONE }, 3433798, 532.2 },
        { { .model = "genotype", .text = "darts_v2" }, 3349342 + 476426, 528.4 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Network n = built(&rows[i].spec);
        PlanSpec spec = {
            .images = 1, .output = n.logits, .gradient_to = NODE_NONE, .keep = { NODE_NONE }
        };
        Plan plan;

        if (graph_parameters(&n.graph) != rows[i].parameters)
            fail_msg("row %zu: %llu parameters, not %llu", i,
                     (unsigned long long)graph_parameters(&n.graph),
                     (unsigned long long)rows[i].parameters);
        assert_int_equal(plan_init(&plan, &n.graph, &spec, NULL), STATUS_OK);
        if (rows[i].macs > 0 && !(fabs(plan.forward_flops / 2e6 - rows[i].macs) <= 0.05))
            fail_msg("row %zu: %.2f million multiplies, not %.1f", i, plan.forward_flops / 2e6,
                     rows[i].macs);
        plan_clear(&plan);
        network_clear(&n);
    }
}

static void the_auxiliary_head_of_100_classes_has_the_published_size(void **state)
{
    Network with = built(&(Spec){ .model = "genotype", .text = "darts_v1", .classes = 100 });
    Network without = built(
        &(Spec){ .model = "genotype", .text = "darts_v1", .setting = C36_ALONE, .classes = 100 });

    (void)state;
    assert_int_equal(graph_parameters(&with.graph) - graph_parameters(&without.graph), 545636);
    assert_int_not_equal(with.training_loss, with.loss);
    assert_int_equal(without.training_loss, without.loss);
    network_clear(&with);
    network_clear(&without);
}

/* ---- Names ---- */

static void has_weight(const Network *n, const char *name, uint32_t a, uint32_t b)
{
    for (uint32_t i = 0; i < n->graph.weights; i++) {
        const Shape *s = &n->graph.weight[i].spec.shape;

        if (strcmp(n->graph.weight[i].name, name) != 0)
            continue;
        if (s->dim[0] != a || (s->rank > 1 ? s->dim[1] : 0) != b)
            fail_msg("%s is [%u,%u..]", name, s->dim[0], s->dim[1]);
        return;
    }
    fail_msg("no weight is called %s", name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Nothing is cut off, nothing is there twice. */
static void names_are_whole_and_unique(const Network *n)
{
    const char **name = calloc(n->graph.weights, sizeof *name);

    assert_non_null(name);
    for (NodeId i = 0; i < n->graph.nodes; i++)
        assert_true(strlen(n->graph.node[i].name) < GRAPH_NAME_MAX - 1);
    for (uint32_t i = 0; i < n->graph.weights; i++)
        name[i] = n->graph.weight[i].name;
    qsort(name, n->graph.weights, sizeof *name, compare_names);
    for (uint32_t i = 1; i < n->graph.weights; i++)
        assert_string_not_equal(name[i - 1], name[i]);
    free(name);
}

static void a_genotype_network_has_the_public_codes_names(void **state)
{
    Network n = built(&(Spec){ .model = "genotype",
                               .text = "darts_v2",
                               .setting = { { "channels", 4 }, { "cells", 5 } } });
    Shape map;

    (void)state;
    has_weight(&n, "stem.0.weight", 12, 3);
    has_weight(&n, "stem.1.bias", 12, 0);
    has_weight(&n, "cells.0.preprocess0.op.1.weight", 4, 12);
    has_weight(&n, "cells.0.preprocess1.op.2.running_mean", 4, 0);
    has_weight(&n, "cells.0._ops.0.op.1.weight", 4, 1);
    has_weight(&n, "cells.0._ops.7.op.3.weight", 4, 0);
    network_clear(&n);
    n = built(&(Spec){ .model = "genotype",
                       .text = "pc_darts",
                       .setting = { { "channels", 4 }, { "cells", 5 } } });
    has_weight(&n, "cells.1._ops.2.op.1.weight", 8, 1);
    has_weight(&n, "cells.1._ops.2.op.7.weight", 8, 0);
    has_weight(&n, "cells.2.preprocess0.conv_1.weight", 4, 16);
    has_weight(&n, "cells.2.preprocess0.bn.weight", 8, 0);
    has_weight(&n, "auxiliary_head.features.2.weight", 128, 64);
    has_weight(&n, "auxiliary_head.features.5.weight", 768, 128);
    has_weight(&n, "auxiliary_head.features.6.running_var", 768, 0);
    has_weight(&n, "auxiliary_head.classifier.weight", 10, 768);
    has_weight(&n, "classifier.bias", 10, 0);
    names_are_whole_and_unique(&n);
    map = graph_shape(&n.graph, n.map, 1);
    assert_int_equal(graph_find_layer(&n.graph, "cells.4"), n.map);
    assert_int_equal(map.dim[1], 8);
    assert_int_equal(map.dim[3], 64);
    assert_int_not_equal(graph_find_layer(&n.graph, "stem"), NODE_NONE);
    network_clear(&n);
}

static void a_supernet_has_the_public_codes_names(void **state)
{
    Network n = built(&(Spec){ .model = "supernet", .text = "s5" });
    Shape map;

    (void)state;
    has_weight(&n, "alphas_normal", 14, 8);
    has_weight(&n, "alphas_reduce", 14, 8);
    has_weight(&n, "cells.0._ops.0._ops.1.1.running_mean", 16,
               0); /* of the max-pool's batch norm */
    has_weight(&n, "cells.2._ops.1._ops.3.conv_2.weight", 16, 32); /* skip_connect at stride 2 */
    has_weight(&n, "cells.7._ops.13._ops.5.op.5.weight", 64, 1);
    has_weight(&n, "cells.7._ops.13._ops.7.op.2.weight", 64, 64);
    has_weight(&n, "cells.3.preprocess0.bn.running_var", 32, 0);
    names_are_whole_and_unique(&n);
    map = graph_shape(&n.graph, n.map, 1);
    assert_int_equal(graph_find_layer(&n.graph, "cells.7"), n.map);
    assert_int_equal(map.dim[1], 8);
    for (uint32_t i = 0; i < n.graph.weights; i++) /* batch norms do not scale, but the stem's */
        if (n.graph.weight[i].spec.shape.rank == 1)
            assert_true(strstr(n.graph.weight[i].name, "running_") != NULL ||
                        strncmp(n.graph.weight[i].name, "stem.1.", 7) == 0 ||
                        strcmp(n.graph.weight[i].name, "classifier.bias") == 0);
    network_clear(&n);

    n = built(&(Spec){ .model = "supernet",
                       .text = "s3_se_eca",
                       .setting = { { "partial", 4 }, { "attention_in_reduction", 1 } } });
    has_weight(&n, "alphas_reduce", 14, 5);
    has_weight(&n, "betas_normal", 1, 14);
    has_weight(&n, "cells.0._ops.0._ops.3.se.fc1.weight", 1, 4);
    has_weight(&n, "cells.0._ops.0._ops.4.eca.conv.weight", 1, 1);
    has_weight(&n, "cells.2._ops.0._ops.3.reduce.conv_1.weight", 4, 8);
    has_weight(&n, "cells.2._ops.0._ops.3.se.fc2.weight", 8, 1);
    has_weight(&n, "cells.2._ops.13._ops.4.eca.conv.weight", 1, 1);
    names_are_whole_and_unique(&n);
    network_clear(&n);
}

/* ---- What is refused ---- */

static void what_cannot_be_built_is_refused_in_words(void **state)
{
    static const struct {
        Spec spec;
        Status status;
        const char *says;
    } rows[] = {
        { { .model = "supernet", .text = "s9" }, STATUS_INVALID, "\"s9\" is no candidate" },
        { { .model = "supernet", .text = "se,eca" }, STATUS_INVALID, "attention_in_reduction" },
        { { .model = "supernet", .text = "s3", .setting = { { "partial", 3 } } },
          STATUS_INVALID,
          "16 channels are no multiple of partial, 3" },
        { { .model = "supernet", .text = "s3", .side = 30 },
          STATUS_BAD_SHAPE,
          "cells.5._ops.0._ops.1 halves a map of 15x15" },
        { { .model = "supernet", .text = "s3", .side = 1 }, STATUS_BAD_SHAPE, "multiples of 4" },
        { { .model = "supernet", .text = "s3", .side = 2 }, STATUS_BAD_SHAPE, "multiples of 4" },
        { { .model = "genotype", .text = "darts_v9" }, STATUS_INVALID, "darts_v1" },
        { { .model = "genotype", .text = "darts_v1", .side = 28 },
          STATUS_BAD_SHAPE,
          "wants a map of 8x8 or larger and finds 7x7" },
        { { .model = "genotype", .text = "darts_v1", .setting = C36_ALONE, .side = 17 },
          STATUS_BAD_SHAPE,
          "17x17" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Network n;
        Error err = { 0 };

        if (build(&rows[i].spec, &n, &err) != rows[i].status ||
            strstr(error_message(&err), rows[i].says) == NULL)
            fail_msg("row %zu: %s: %s", i, status_name(err.status), error_message(&err));
    }
}

static void the_smallest_and_the_longest_networks_are_built(void **state)
{
    static const Spec rows[] = {
        { .model = "supernet",
          .text = "s5",
          .setting = { { "channels", 1 }, { "cells", 3 } },
          .side = 4 },
        { .model = "supernet",
          .text = "s3_se_eca",
          .setting = { { "channels", 4 }, { "cells", 4 }, { "partial", 4 } },
          .side = 8 },
        { .model = "supernet", .text = "s4", .setting = { { "channels", 8 }, { "cells", 5 } } },
        { .model = "genotype",
          .text = "pdarts",
          .setting = { { "channels", 1 }, { "cells", 3 }, { "auxiliary", 0 } },
          .side = 4 },
        { .model = "genotype",
          .text = "pc_darts",
          .setting = { { "channels", 1 }, { "cells", 40 } },
          .side = 64 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Network n = built(&rows[i]);

        network_clear(&n);
    }
}

/* ---- What is shared, what is left out ---- */

static uint32_t count_of(const Network *n, const char *op)
{
    uint32_t count = 0;

    for (NodeId i = 0; i < n->graph.nodes; i++)
        count += n->graph.node[i].op == op_find(op);
    return count;
}

static void edges_from_one_state_share_what_has_no_weights(void **state)
{
    Network n = built(&(Spec){ .model = "supernet",
                               .text = "s5",
                               .setting = { { "channels", 2 }, { "cells", 3 } },
                               .side = 8 });

    (void)state;
    /* Of each cell: its inputs, which the two reduction cells reduce; of the chain: the outputs of
     * the stem and of the first two cells. Separable convolutions have their own. */
    assert_int_equal(count_of(&n, "relu"), 3 + 2 * 2);
    assert_int_equal(count_of(&n, "max_pool"), 3 * 5);
    assert_int_equal(count_of(&n, "avg_pool"), 3 * 5);
    assert_int_equal(count_of(&n, "softmax"), 2);
    network_clear(&n);
}

static void none_has_a_weight_but_no_node(void **state)
{
    Network with = built(&(Spec){ .model = "supernet", .text = "s3" }),
            without = built(&(Spec){ .model = "supernet", .text = "s2" });

    (void)state;
    assert_int_equal(with.graph.nodes, without.graph.nodes);
    has_weight(&with, "alphas_normal", 14, 3);
    has_weight(&without, "alphas_normal", 14, 2);
    network_clear(&with);
    network_clear(&without);
}

static void paths_drop_everywhere_but_on_identities(void **state)
{
    Spec spec = { .model = "genotype",
                  .text = "darts_v1",
                  .setting = { { "channels", 2 }, { "cells", 3 }, { "drop_path", 0.3 } } };
    Network n = built(&spec);

    (void)state;
    /* normal: 5 of 8; each of the two reductions: 5 of 8, the skips from state 2 have stride 1 */
    assert_int_equal(count_of(&n, "drop_path"), 5 + 2 * 5);
    for (NodeId i = 0; i < n.graph.nodes; i++)
        if (n.graph.node[i].op == op_find("drop_path")) {
            const Described *d = &op_find("drop_path")->described;

            assert_true(n.graph.node[i].value[param_find(d, "probability")] == 0.3);
            assert_true(n.graph.node[i].value[param_find(d, "ramp")] == 1);
        }
    network_clear(&n);
    spec.setting[2].value = 0;
    n = built(&spec);
    assert_int_equal(count_of(&n, "drop_path"), 0);
    network_clear(&n);
}

/* ---- Running ---- */

/* One training step on made-up images; `bits`: the weights' gradients and then each image's loss.
 */
typedef struct Step {
    real *bits, *weights;
    size_t count;
    double loss;
} Step;

static void draw(real *ret, size_t count, uint32_t stream)
{
    Rng rng = rng_at(5, RNG_TEST, 0, stream);

    for (size_t i = 0; i < count; i++)
        ret[i] = 2 * (real)rng_uniform(&rng) - 1;
}

static void fill_inputs(const Network *n, const Plan *plan)
{
    Tensor image = plan_tensor(plan, n->image), target = plan_tensor(plan, n->target);

    draw(image.data, shape_count(&image.shape), 0);
    memset(target.data, 0, shape_count(&target.shape) * sizeof(real));
    for (uint32_t i = 0; i < plan->spec.images; i++)
        target.data[i * n->input.classes + i % n->input.classes] = 1;
}

static Step step_of(Network *n, uint32_t images, uint32_t threads)
{
    PlanSpec spec = { .images = images,
                      .training = true,
                      .gradients = GRADIENT_TRAINED | GRADIENT_ARCHITECTURE,
                      .output = n->training_loss,
                      .gradient_to = NODE_NONE,
                      .keep = { NODE_NONE } };
    size_t numbers = n->graph.weight_numbers;
    Step step = { .bits = calloc(numbers + images, sizeof(real)), .count = numbers + images };
    RunContext context = { .gradients = step.bits, .seed = 3, .step = 7, .progress = 0.5 };
    Plan plan = { 0 };
    void *memory;

    assert_int_equal(network_take_weights(n, NULL), STATUS_OK);
    network_randomise(n, 1);
    for (uint32_t i = 0; i < n->graph.weights; i++) /* alphas that matter */
        if (n->graph.weight[i].spec.role == WEIGHT_ARCHITECTURE)
            draw(n->weights + n->graph.weight[i].offset, n->graph.weight[i].count, 100 + i);
    assert_int_equal(plan_init(&plan, &n->graph, &spec, NULL), STATUS_OK);
    memory = aligned_alloc(64, plan.bytes);
    assert_non_null(memory);
    memset(memory, 0xff, plan.bytes);
    plan_bind(&plan, memory);
    assert_int_equal(pool_new(threads, &context.pool, NULL), STATUS_OK);
    assert_int_equal(kernels_select(NULL, &context.kernels, NULL), STATUS_OK);
    context.weights = n->weights;
    fill_inputs(n, &plan);
    run_forward(&plan, &context);
    memcpy(step.bits + numbers, plan_tensor(&plan, n->training_loss).data, images * sizeof(real));
    for (uint32_t i = 0; i < images; i++)
        plan_gradient(&plan, n->training_loss).data[i] = 1;
    run_backward(&plan, &context);
    step.weights = n->weights;
    pool_free(context.pool);
    plan_clear(&plan);
    free(memory);
    return step;
}

static void same_bits_with_any_number_of_threads(const Spec *spec, uint32_t images)
{
    Network first = built(spec);
    Step want = step_of(&first, images, 1);

    for (size_t i = 0; i < want.count; i++)
        assert_true(isfinite(want.bits[i]));
    for (uint32_t threads = 2; threads <= 3; threads++) {
        Network again = built(spec);
        Step got = step_of(&again, images, threads);

        assert_memory_equal(got.bits, want.bits, want.count * sizeof(real));
        assert_memory_equal(got.weights, want.weights,
                            first.graph.weight_numbers * sizeof(real)); /* running statistics */
        free(got.bits);
        network_clear(&again);
    }
    free(want.bits);
    network_clear(&first);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    same_bits_with_any_number_of_threads(
        &(Spec){ .model = "genotype",
                 .text = "darts_v2",
                 .setting = { { "channels", 3 }, { "cells", 3 }, { "drop_path", 0.5 } } },
        5);
    same_bits_with_any_number_of_threads(&(Spec){ .model = "supernet",
                                                  .text = "s5",
                                                  .setting = { { "channels", 3 }, { "cells", 3 } },
                                                  .side = 8 },
                                         18);
    same_bits_with_any_number_of_threads(&(Spec){ .model = "supernet",
                                                  .text = "none,se,eca,noise,sep_conv_3x3",
                                                  .setting = { { "channels", 8 },
                                                               { "cells", 4 },
                                                               { "partial", 4 },
                                                               { "attention_in_reduction", 1 } },
                                                  .side = 8 },
                                         17);
}

/* Edges with fewer candidates than others have a softmax of their own: the columns that they lack
 * say nothing and learn nothing. */
static void lists_of_different_lengths_leave_the_missing_columns_alone(void **state)
{
    Network n =
        built(&(Spec){ .model = "supernet",
                       .text = "skip_connect,sep_conv_3x3|avg_pool_3x3|none,skip_connect,eca|"
                               "se|se|se|se|se|se|se|se|se|se|eca;"
                               "skip_connect,none,dil_conv_3x3",
                       .setting = { { "channels", 4 }, { "cells", 3 } },
                       .side = 8 });
    Step step = step_of(&n, 4, 2);
    const GraphWeight *alpha = &n.graph.weight[0];
    const real *g = step.bits + alpha->offset;

    (void)state;
    assert_string_equal(alpha->name, "alphas_normal");
    assert_int_equal(alpha->count, CELL_EDGES * 3);
    assert_true(g[0] != 0 && fabs((double)(g[0] + g[1])) < 1e-5 * fabs((double)g[0]));
    assert_true(g[2] == 0);
    for (int c = 6; c < 9; c++)
        assert_true(g[c] != 0);
    for (uint32_t i = 0; i < alpha->count; i++)
        if (i > 1 && (i < 6 || i > 8))
            assert_true(g[i] == 0); /* nothing to choose */
    free(step.bits);
    network_clear(&n);
}

/* ---- Checkpoints ---- */

static void comes_back_from_a_checkpoint(const Spec *spec)
{
    Network n = built(spec), again = { 0 };
    NetworkMeta *meta = calloc(1, sizeof *meta);
    uint32_t count = network_tensor_count(&n);
    float *disk = calloc(n.graph.weight_numbers, sizeof *disk);
    StTensor *tensors = calloc(count, sizeof *tensors);
    char(*names)[GRAPH_WEIGHT_NAME_MAX] = calloc(count, sizeof *names);
    char *bytes = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&bytes, &size);
    StFile *st = NULL;
    Error err = { 0 };

    assert_true(meta != NULL && disk != NULL && tensors != NULL && names != NULL && file != NULL);
    assert_int_equal(network_take_weights(&n, NULL), STATUS_OK);
    network_randomise(&n, 4);
    network_meta(&n, meta);
    assert_int_equal(network_tensors(&n, disk, tensors, names), count);
    assert_int_equal(safetensors_write(file, tensors, count, meta->row, meta->count, &err),
                     STATUS_OK);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(safetensors_parse(bytes, size, &st, &err), STATUS_OK);
    if (network_read(&again, st, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    assert_string_equal(again.model.text, spec->text);
    assert_int_equal(again.graph.nodes, n.graph.nodes);
    assert_int_equal(again.graph.weight_numbers, n.graph.weight_numbers);
    assert_memory_equal(again.weights, n.weights, n.graph.weight_numbers * sizeof(real));
    safetensors_close(st);
    free(bytes);
    free(names);
    free(tensors);
    free(disk);
    free(meta);
    network_clear(&again);
    network_clear(&n);
}

static void a_checkpoint_alone_rebuilds_the_network(void **state)
{
    char text[GENOTYPE_TEXT_MAX];
    Genotype genotype;

    (void)state;
    assert_int_equal(genotype_parse("pdarts", &genotype, NULL), STATUS_OK);
    genotype_print(&genotype, text);
    comes_back_from_a_checkpoint(
        &(Spec){ .model = "genotype",
                 .text = text,
                 .setting = { { "channels", 2 }, { "cells", 5 }, { "drop_path", 0.25 } } });
    comes_back_from_a_checkpoint(&(Spec){ .model = "genotype",
                                          .text = "darts_v1",
                                          .setting = { { "channels", 2 }, { "auxiliary", 0 } } });
    comes_back_from_a_checkpoint(&(Spec){ .model = "supernet",
                                          .text = "s3_se_eca",
                                          .setting = { { "channels", 4 }, { "partial", 4 } } });
    comes_back_from_a_checkpoint(&(Spec){ .model = "supernet",
                                          .text = "none,sep_conv_5x5 , noise;max_pool_3x3",
                                          .setting = { { "channels", 2 }, { "cells", 3 } },
                                          .side = 16 });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_have_the_published_size_and_cost),
        cmocka_unit_test(the_auxiliary_head_of_100_classes_has_the_published_size),
        cmocka_unit_test(a_genotype_network_has_the_public_codes_names),
        cmocka_unit_test(a_supernet_has_the_public_codes_names),
        cmocka_unit_test(what_cannot_be_built_is_refused_in_words),
        cmocka_unit_test(the_smallest_and_the_longest_networks_are_built),
        cmocka_unit_test(edges_from_one_state_share_what_has_no_weights),
        cmocka_unit_test(none_has_a_weight_but_no_node),
        cmocka_unit_test(paths_drop_everywhere_but_on_identities),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(lists_of_different_lengths_leave_the_missing_columns_alone),
        cmocka_unit_test(a_checkpoint_alone_rebuilds_the_network),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
