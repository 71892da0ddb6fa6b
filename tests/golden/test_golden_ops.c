/*
 * Each operation by itself against PyTorch: outputs, gradients and running statistics of the table
 * ops.cases, on every family of kernels that this CPU runs. Random operations draw from one seed,
 * node and step, and PyTorch was handed what they draw. Built twice: in double precision only the
 * rounding of the committed arrays remains.
 */
#include "tests/golden/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "tests/golden/closed_form.h"

#ifdef LEASED_REAL64
static const double bound = 2e-7;
#else
static const double bound = 1e-5;
#endif

/* As in make_ops.py: larger arrays keep every 31st number. */
enum { WHOLE = 1000, EVERY = 31 };
static const char *const input_names[] = { "x", "y", "z", "u", "v" };
enum { INPUTS = sizeof input_names / sizeof *input_names };
enum { ARENA_BYTES = 256 << 20 }; /* untouched pages cost nothing */

typedef struct Case {
    char name[64];
    const Op *op;
    double value[PARAMS_MAX];
    Shape in[INPUTS];
    uint32_t inputs;
    float offset, scale;
    double progress, smoothing;
    bool train, soft; /* soft: input y is probabilities, not labels */
} Case;

/* "8,3,7,5" in PyTorch's order, as our shape. */
static Shape parse_shape(const char *text)
{
    uint32_t dim[4] = { 0 }, rank = 0;

    for (char *end = NULL; rank < 4; text = end + 1) {
        dim[rank++] = (uint32_t)strtoul(text, &end, 10);
        if (*end != ',')
            break;
    }
    return rank == 4 ? shape4(dim[0], dim[2], dim[3], dim[1]) : shape2(dim[0], dim[1]);
}

static double parse_value(const Case *c, const Param *param, const char *text)
{
    double value = param->type == PARAM_ENUM ? param_choice(param, text) : strtod(text, NULL);
    Error err = { 0 };

    if (param_check(param, value, &err) != STATUS_OK)
        fail_msg("%s: %s %s", c->name, param->name, error_message(&err));
    return value;
}

static bool parse_input(Case *c, const char *key, const char *text)
{
    for (uint32_t i = 0; i < INPUTS; i++)
        if (strcmp(key, input_names[i]) == 0) {
            c->in[i] = parse_shape(text);
            c->inputs = i + 1;
            return true;
        }
    return false;
}

static void parse_word(Case *c, const char *word)
{
    const char *equals = strchr(word, '=');
    char key[32];
    int param;

    assert_non_null(equals);
    snprintf(key, sizeof(key), "%.*s", (int)(equals - word), word);
    param = param_find(&c->op->described, key);
    if (parse_input(c, key, equals + 1))
        return;
    if (strcmp(key, "offset") == 0)
        c->offset = strtof(equals + 1, NULL);
    else if (strcmp(key, "scale") == 0)
        c->scale = strtof(equals + 1, NULL);
    else if (strcmp(key, "progress") == 0)
        c->progress = strtod(equals + 1, NULL);
    else if (strcmp(key, "smoothing") == 0)
        c->smoothing = strtod(equals + 1, NULL);
    else if (strcmp(key, "soft") == 0)
        c->soft = equals[1] == '1';
    else if (strcmp(key, "train") == 0)
        c->train = equals[1] == '1';
    else if (param >= 0)
        c->value[param] = parse_value(c, &c->op->described.params[param], equals + 1);
    else
        fail_msg("%s: unknown parameter %s", c->name, key);
}

static void start_case(Case *c, const char *name)
{
    char op[32];

    snprintf(op, sizeof(op), "%.*s", (int)strcspn(name, "/"), name);
    *c = (Case){ .op = op_find(op), .scale = 1 };
    snprintf(c->name, sizeof(c->name), "%s", name);
    if (!c->op)
        fail_msg("there is no operation %s", op);
    param_defaults(&c->op->described, c->value);
}

/* What a line does not say: a second input is shaped as the first. */
static void end_case(Case *c)
{
    for (; c->inputs < c->op->inputs; c->inputs++)
        c->in[c->inputs] = c->in[0];
}

/* The next case of the table; false at its end. */
static bool next_case(FILE *table, Case *ret)
{
    char line[256];

    while (fgets(line, sizeof(line), table)) {
        int words = 0;

        line[strcspn(line, "#\n")] = '\0';
        for (char *at = line + strspn(line, " "); *at != '\0'; words++) {
            char word[64];
            size_t length = strcspn(at, " ");

            snprintf(word, sizeof(word), "%.*s", (int)length, at);
            if (words == 0)
                start_case(ret, word);
            else
                parse_word(ret, word);
            at += length;
            at += strspn(at, " ");
        }
        if (words > 0) {
            end_case(ret);
            return true;
        }
    }
    return false;
}

static void array_name(const Case *c, const char *name, char ret[128])
{
    snprintf(ret, 128, "%s/%s", c->name, name);
}

/* The closed form CASE/NAME, in PyTorch's order; lives in the arena. */
static float *closed(Arena *arena, const Case *c, const char *name, size_t count, float offset,
                     float scale)
{
    float *ret = arena_take(arena, count * sizeof(*ret));
    char full[128];

    array_name(c, name, full);
    closed_form(0, full, count, offset, scale, ret);
    return ret;
}

static real *reals(Arena *arena, size_t count)
{
    return arena_take(arena, count * sizeof(real));
}

/* An output that has not been written. */
static real *poisoned(Arena *arena, size_t count)
{
    real *ret = reals(arena, count);

    for (size_t i = 0; i < count; i++)
        ret[i] = (real)NAN;
    return ret;
}

/* As PyTorch's label_smoothing: (1 - s) one-hot + s/K. */
static void fill_targets(Arena *arena, const Case *c, real *ret)
{
    uint32_t n = c->in[0].dim[0], classes = c->in[0].dim[1];
    int32_t *labels = arena_take(arena, n * sizeof(*labels));
    char full[128];

    array_name(c, "labels", full);
    closed_form_labels(0, full, n, classes, labels);
    for (size_t i = 0; i < (size_t)n * classes; i++)
        ret[i] = (real)(c->smoothing / classes);
    for (uint32_t i = 0; i < n; i++)
        ret[i * classes + (uint32_t)labels[i]] += (real)(1 - c->smoothing);
}

static void fill_inputs(Arena *arena, const Case *c, OpCall *call, Tensor *in)
{
    bool entropy = strcmp(c->op->described.name, "cross_entropy") == 0;

    for (uint32_t i = 0; i < c->inputs; i++) {
        size_t count = shape_count(&c->in[i]);
        bool soft = c->soft && i == 1;

        in[i] = (Tensor){ reals(arena, count), c->in[i] };
        if (entropy && i == 1 && !soft) {
            fill_targets(arena, c, in[i].data);
            continue;
        }
        golden_to_blocked(&c->in[i],
                          closed(arena, c, input_names[i], count, soft ? 0.5f : c->offset,
                                 soft ? 0.5f : c->scale),
                          in[i].data);
        if ((c->op->flags & OP_CONSTANT) == 0)
            call->in_gradient[i] = poisoned(arena, count);
    }
    call->inputs = c->inputs;
    call->in = in;
}

static bool learned(const OpWeight *w)
{
    return w->role == WEIGHT_TRAINED || w->role == WEIGHT_ARCHITECTURE;
}

static void fill_weights(Arena *arena, const Case *c, const OpShapes *shapes, OpCall *call,
                         real **weight)
{
    for (uint32_t i = 0; i < shapes->weights; i++) {
        const OpWeight *w = &shapes->weight[i];
        size_t count = shape_count(&w->shape);
        uint64_t dim[SHAPE_RANK_MAX];
        float offset, scale;

        for (int d = 0; d < SHAPE_RANK_MAX; d++)
            dim[d] = w->shape.dim[d];
        closed_form_state(w->name, w->shape.rank, dim, &offset, &scale);
        weight[i] = reals(arena, count);
        golden_to_memory(w, closed(arena, c, w->name, count, offset, scale), weight[i]);
        if (learned(w))
            call->weight_gradient[i] = reals(arena, count); /* zero, as the arena is */
    }
    call->weight = weight;
}

static void close_to_array(const StFile *file, const Case *c, const char *prefix, const char *name,
                           const real *got, size_t count)
{
    size_t every = count <= WHOLE ? 1 : EVERY, kept = (count + every - 1) / every;
    char array[40], full[128];

    snprintf(array, sizeof(array), "%s%s", prefix, name);
    array_name(c, array, full);
    golden_close(full, got, golden_array(file, full, kept), kept, every, bound);
}

static void close_to_activation(Arena *arena, const StFile *file, const Case *c, const char *name,
                                const Shape *s, const real *got)
{
    real *ordered = reals(arena, shape_count(s));

    golden_from_blocked(s, got, ordered);
    close_to_array(file, c, "", name, ordered, shape_count(s));
}

static void check_results(Arena *arena, const StFile *file, const Case *c, const OpShapes *shapes,
                          const OpCall *call)
{
    close_to_activation(arena, file, c, "out", &shapes->out, call->out.data);
    for (uint32_t i = 0; i < c->inputs; i++) {
        char name[8];

        snprintf(name, sizeof(name), "d_%s", input_names[i]);
        if (call->in_gradient[i])
            close_to_activation(arena, file, c, name, &c->in[i], call->in_gradient[i]);
    }
    for (uint32_t i = 0; i < shapes->weights; i++) {
        const OpWeight *w = &shapes->weight[i];
        bool gradient = learned(w);
        real *ordered = reals(arena, shape_count(&w->shape));

        golden_from_memory(w, gradient ? call->weight_gradient[i] : call->weight[i], ordered);
        close_to_array(file, c, gradient ? "d_" : "", w->name, ordered, shape_count(&w->shape));
    }
}

static void run_case(const StFile *file, const Case *c, const Kernels *kernels, Pool *pool)
{
    OpCall call = { .pool = pool,
                    .kernels = kernels,
                    .value = c->value,
                    .training = c->train,
                    .seed = ((uint64_t)1 << 33) + 5, /* as in make_ops.py */
                    .node = 70000,
                    .step = 9,
                    .progress = c->progress };
    Tensor in[OP_INPUTS_MAX];
    real *weight[OP_WEIGHTS_MAX], *gradient;
    Arena arena = { 0 };
    OpShapes shapes;
    Error err = { 0 };
    size_t count;

    if (c->op->shape(c->value, c->in, c->inputs, &shapes, &err) != STATUS_OK)
        fail_msg("%s: %s", c->name, error_message(&err));
    assert_int_equal(arena_init(&arena, ARENA_BYTES, NULL), STATUS_OK);
    count = shape_count(&shapes.out);
    fill_inputs(&arena, c, &call, in);
    fill_weights(&arena, c, &shapes, &call, weight);
    call.out = (Tensor){ poisoned(&arena, count), shapes.out };
    call.saved = reals(&arena, shapes.saved);
    call.scratch = arena_take(&arena, shapes.scratch_bytes);
    gradient = reals(&arena, count);
    golden_to_blocked(&shapes.out, closed(&arena, c, "grad", count, 0, 1), gradient);
    call.out_gradient = gradient;
    c->op->forward(&call);
    if ((c->op->flags & OP_CONSTANT) == 0)
        c->op->backward(&call);
    check_results(&arena, file, c, &shapes, &call);
    arena_clear(&arena);
}

/* Each operation's arrays are a file. */
static StFile *open_arrays(const Op *op)
{
    char name[64];

    snprintf(name, sizeof(name), "ops_%s", op->described.name);
    return golden_open(name);
}

/* All cases of the table on one family; the count, so that an empty table is seen. */
static int run_table(const Kernels *kernels)
{
    StFile *file = NULL;
    const Op *of = NULL;
    FILE *table = golden_text("ops.cases");
    Pool *pool = NULL;
    int cases = 0;
    Case c;

    assert_int_equal(pool_new(2, &pool, NULL), STATUS_OK);
    for (; next_case(table, &c); cases++) {
        if (c.op != of) {
            safetensors_close(file);
            file = open_arrays(c.op);
            of = c.op;
        }
        run_case(file, &c, kernels, pool);
    }
    pool_free(pool);
    fclose(table);
    safetensors_close(file);
    return cases;
}

static void every_operation_agrees_with_pytorch_on_every_family(void **state)
{
    const Kernels *const *families = kernels_available();

    assert_non_null(families[0]);
    for (; *families; families++) {
        print_message("# %s\n", (*families)->name);
        assert_true(run_table(*families) >= 164);
    }
}

static void every_operation_of_the_table_has_a_case(void **state)
{
    for (const Op *const *op = op_table; *op; op++) {
        FILE *table = golden_text("ops.cases");
        bool found = false;
        Case c;

        while (next_case(table, &c))
            found |= c.op == *op;
        fclose(table);
        if (!found)
            fail_msg("ops.cases has no case for %s", (*op)->described.name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_agrees_with_pytorch_on_every_family),
        cmocka_unit_test(every_operation_of_the_table_has_a_case),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
