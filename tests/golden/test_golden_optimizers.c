/*
 * Each optimiser against PyTorch's, ten steps with given gradients and a falling rate, two tensors
 * in groups of their own (the table optimizers.cases); and the whitening that airbench94 starts
 * with.
 */
#include "tests/golden/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/train/trainer_internal.h"
#include "tests/golden/closed_form.h"

enum { STEPS = 10, A = 203, B = 30, B_AT = 208, NUMBERS = B_AT + B };

typedef struct Case {
    char name[32];
    Choice optimizer;
    double lr_scale, decay_scale;
} Case;

static void start_case(Case *c, const char *name)
{
    char optimizer[32];
    int row;

    snprintf(optimizer, sizeof optimizer, "%.*s", (int)strcspn(name, "/"), name);
    row = table_find(optimizer_table, optimizer);
    if (row < 0)
        fail_msg("there is no optimiser %s", optimizer);
    *c = (Case){ .lr_scale = 1, .decay_scale = 1 };
    snprintf(c->name, sizeof c->name, "%s", name);
    choice_init(optimizer_table, (uint32_t)row, &c->optimizer);
}

static void parse_word(Case *c, const char *word)
{
    char key[32];
    const char *equals = strchr(word, '=');
    double value;
    int param;

    assert_non_null(equals);
    value = strtod(equals + 1, NULL);
    snprintf(key, sizeof key, "%.*s", (int)(equals - word), word);
    param = param_find(&optimizer_table[c->optimizer.row]->described, key);
    if (strcmp(key, "lr_scale") == 0)
        c->lr_scale = value;
    else if (strcmp(key, "decay_scale") == 0)
        c->decay_scale = value;
    else if (param >= 0)
        c->optimizer.value[param] = value;
    else
        fail_msg("%s: unknown parameter %s", c->name, key);
}

/* The next case of the table; false at its end. */
static bool next_case(FILE *table, Case *ret)
{
    char line[256], *rest = NULL;

    while (fgets(line, sizeof line, table) != NULL) {
        char *word;

        line[strcspn(line, "#\n")] = '\0';
        word = strtok_r(line, " ", &rest);
        if (word == NULL)
            continue;
        start_case(ret, word);
        while ((word = strtok_r(NULL, " ", &rest)) != NULL)
            parse_word(ret, word);
        return true;
    }
    return false;
}

/* The weights (step < 0) or the gradients of a step. */
static void fill(const Case *c, int step, real *ret)
{
    static const struct {
        const char *name;
        size_t at, count;
    } tensors[] = { { "a", 0, A }, { "b", B_AT, B } };
    float numbers[A];

    for (int i = 0; i < 2; i++) {
        char name[64];

        if (step < 0)
            snprintf(name, sizeof name, "%s/%s", c->name, tensors[i].name);
        else
            snprintf(name, sizeof name, "%s/%s/%d", c->name, tensors[i].name, step);
        closed_form(0, name, tensors[i].count, 0, 1, numbers);
        for (size_t k = 0; k < tensors[i].count; k++)
            ret[tensors[i].at + k] = (real)numbers[k];
    }
}

static void compare(const Case *c, const StFile *golden, int steps, const real *weights)
{
    char name[64];

    snprintf(name, sizeof name, "%s/a/after%d", c->name, steps);
    golden_close(name, weights, golden_array(golden, name, A), A, 1, 1e-6);
    snprintf(name, sizeof name, "%s/b/after%d", c->name, steps);
    golden_close(name, weights + B_AT, golden_array(golden, name, B), B, 1, 1e-6);
}

static void run_case(const Case *c, const StFile *golden, const Kernels *kernels, Pool *pool)
{
    static const WeightChunk chunks[] = { { 0, 100, 0 }, { 100, A - 100, 0 }, { B_AT, B, 1 } };
    const Optimizer *optimizer = optimizer_table[c->optimizer.row];
    real weights[NUMBERS] = { 0 }, gradients[NUMBERS] = { 0 }, buffer[2][NUMBERS] = { { 0 } };
    double sums[3];

    fill(c, -1, weights);
    for (int k = 0; k < STEPS; k++) {
        double rate = c->optimizer.value[optimizer->learning_rate] * (1 - k / 20.0);
        GroupStep group[] = { { true, rate, 1 }, { true, rate * c->lr_scale, c->decay_scale } };
        OptimizerStep step = { .pool = pool,
                               .kernels = kernels,
                               .chunk = chunks,
                               .chunks = 3,
                               .group = group,
                               .number = (uint64_t)k + 1,
                               .chunk_sum = sums,
                               .weights = weights,
                               .gradients = gradients,
                               .buffer = { buffer[0], buffer[1] } };

        fill(c, k, gradients);
        optimizer->step(c->optimizer.value, &step);
        if (k == 0 || k + 1 == STEPS)
            compare(c, golden, k + 1, weights);
    }
}

static void optimizers_step_as_pytorchs(void **state)
{
    StFile *golden = golden_open("optimizers");
    bool seen[16] = { false };
    Pool *pool = NULL;

    (void)state;
    assert_int_equal(pool_new(2, &pool, NULL), STATUS_OK);
    for (const Kernels *const *kernels = kernels_available(); *kernels != NULL; kernels++) {
        FILE *table = golden_text("optimizers.cases");
        Case c;

        while (next_case(table, &c)) {
            seen[c.optimizer.row] = true;
            run_case(&c, golden, *kernels, pool);
        }
        fclose(table);
    }
    for (size_t i = 0; optimizer_table[i] != NULL; i++)
        if (!seen[i])
            fail_msg("no case for the optimiser %s", optimizer_table[i]->described.name);
    pool_free(pool);
    safetensors_close(golden);
}

/* ---- Whitening ---- */

enum { IMAGES = 150, HEIGHT = 9, WIDTH = 7, CHANNELS = 3, PATCH = 2 * 2 * CHANNELS };

/* As in make_whiten.py. */
static void draw_images(uint8_t *ret)
{
    static int32_t raw[IMAGES * HEIGHT * WIDTH * CHANNELS];
    size_t row = WIDTH * CHANNELS;

    closed_form_labels(0, "pixels", sizeof raw / sizeof *raw, 256, raw);
    for (size_t i = 0; i < sizeof raw / sizeof *raw; i++)
        ret[i] = (uint8_t)(i % row < CHANNELS ? raw[i] : (3 * ret[i - CHANNELS] + raw[i]) / 4);
}

static void whitening_is_pytorchs(void **state)
{
    static uint8_t pixels[IMAGES * HEIGHT * WIDTH * CHANNELS];
    static const uint16_t labels[IMAGES];
    static const char *const classes[] = { "one", "two" };
    StFile *golden = golden_open("whiten");
    Dataset data = { .name = "noise",
                     .layout = "shapes",
                     .height = HEIGHT,
                     .width = WIDTH,
                     .channels = CHANNELS,
                     .classes = 2,
                     .class_names = classes,
                     .mean = { 0.5f, 0.5f, 0.5f },
                     .std = { 0.25f, 0.25f, 0.25f },
                     .train = { IMAGES, pixels, labels, NULL },
                     .test = { 1, pixels, labels, NULL } };
    Network network = { .input = { HEIGHT, WIDTH, CHANNELS, 2 } };
    Loader loader = { 0 };
    Pool *pool = NULL;
    float disk[2 * PATCH * PATCH];
    real gram[PATCH * PATCH];
    size_t bytes = 0;
    void *memory;

    (void)state;
    draw_images(pixels);
    graph_init(&network.graph);
    network.image = graph_input(&network.graph, "image", shape4(1, HEIGHT, WIDTH, CHANNELS));
    (void)graph_node(&network.graph, "conv2d", "whiten", network.image, NODE_NONE,
                     GRAPH_PARAMS({ "channels", 2 * PATCH }, { "kernel", 2 }, { "frozen", 1 }));
    assert_int_equal(graph_status(&network.graph, NULL), STATUS_OK);
    assert_int_equal(pool_new(3, &pool, NULL), STATUS_OK);
    assert_int_equal(loader_init(&loader, &data, &(DataSpec){ 0 }, NULL), STATUS_OK);
    assert_int_equal(network_take_weights(&network, NULL), STATUS_OK);
    assert_int_equal(whiten_plan(&network, &loader, &bytes, NULL), STATUS_OK);
    memory = malloc(bytes);
    assert_non_null(memory);
    whiten(&network, &loader, pool, memory);
    weight_to_disk(&network.graph.weight[0], network.weights, disk);
    for (size_t i = 0; i < PATCH * PATCH; i++) {
        double sum = 0;

        for (size_t o = 0; o < 2 * PATCH; o++)
            sum += (double)disk[o * PATCH + i / PATCH] * (double)disk[o * PATCH + i % PATCH];
        gram[i] = (real)sum;
        assert_true(disk[i] == -disk[PATCH * PATCH + i]);
    }
    golden_close("W^T W", gram, golden_array(golden, "gram", PATCH * PATCH), PATCH * PATCH, 1,
                 1e-5);
    free(memory);
    pool_free(pool);
    loader_clear(&loader);
    network_clear(&network);
    safetensors_close(golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimizers_step_as_pytorchs),
        cmocka_unit_test(whitening_is_pytorchs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
