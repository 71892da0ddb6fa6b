/*
 * op_shapes: what operations say about shapes. Wrong ones are refused with a message that names
 * what is wrong; and whatever shapes and parameters in range come, a call is refused, or it writes
 * all of its output and of the gradients and nothing else (every array has exactly its size, which
 * the sanitizers watch).
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/ops/op.h"

typedef struct Wrong {
    const char *op;
    const char *name[2]; /* parameters, and their values */
    double value[2];
    Shape in[3];
    const char *says;
} Wrong;

#define IMAGES(n, h, w, c) \
    {                      \
        4,                 \
        {                  \
            n, h, w, c     \
        }                  \
    }
#define ROWS(n, c)     \
    {                  \
        2,             \
        {              \
            n, c, 1, 1 \
        }              \
    }
#define ONE(n)         \
    {                  \
        1,             \
        {              \
            n, 1, 1, 1 \
        }              \
    }

static const Wrong wrong[] = {
    { .op = "batch_norm", .in = { ONE(3) }, .says = "got rank 1" },
    { .op = "norm_relu", .in = { ONE(3) }, .says = "got rank 1" },
    { .op = "norm_add", .in = { ROWS(2, 3), ROWS(2, 4) }, .says = "one shape" },
    { .op = "norm_add_relu", .in = { ROWS(2, 3), ROWS(3, 3) }, .says = "one shape" },
    { .op = "add_relu", .in = { ROWS(2, 3), ROWS(2, 4) }, .says = "one shape" },
    { .op = "add", .in = { ROWS(2, 3), ROWS(2, 4) }, .says = "one shape" },
    { .op = "gate", .in = { IMAGES(2, 3, 3, 4), ROWS(2, 3) }, .says = "one factor for each image" },
    { .op = "gate", .in = { IMAGES(2, 3, 3, 4), ROWS(1, 4) }, .says = "one factor for each image" },
    { .op = "gate", .in = { ROWS(2, 4), ROWS(2, 4) }, .says = "[N,H,W,C]" },
    { .op = "concat", .in = { ONE(3), ONE(3) }, .says = "got rank 1" },
    { .op = "concat", .in = { IMAGES(2, 3, 3, 4), IMAGES(2, 3, 2, 4) }, .says = "input 1 differs" },
    { .op = "concat", .in = { ROWS(2, 3), ROWS(2, 1), ROWS(3, 3) }, .says = "input 2 differs" },
    { .op = "concat", .in = { ROWS(2, UINT32_MAX), ROWS(2, 1) }, .says = "too many channels" },
    { .op = "slice", .in = { ONE(3) }, .says = "got rank 1" },
    { .op = "slice", .name = { "left" }, .value = { 1 }, .in = { ROWS(2, 3) }, .says = "left" },
    { .op = "slice",
      .name = { "top", "height" },
      .value = { 2, 3 },
      .in = { IMAGES(1, 4, 4, 1) },
      .says = "rows 2 to 4 reach beyond the 4" },
    { .op = "slice",
      .name = { "left" },
      .value = { 4 },
      .in = { IMAGES(1, 4, 4, 1) },
      .says = "the 4 that there are" },
    { .op = "slice",
      .name = { "channel", "channels" },
      .value = { 1, 8 },
      .in = { ROWS(2, 8) },
      .says = "channels 1 to 8 reach beyond the 8" },
    { .op = "channel_shuffle",
      .name = { "groups" },
      .value = { 4 },
      .in = { IMAGES(1, 2, 2, 6) },
      .says = "6 channels are no multiple of 4 groups" },
    { .op = "channel_conv", .in = { IMAGES(1, 2, 2, 6) }, .says = "got rank 4" },
    { .op = "channel_conv",
      .name = { "kernel" },
      .value = { 4 },
      .in = { ROWS(2, 6) },
      .says = "4 is not odd" },
    { .op = "global_avg_pool", .in = { ROWS(2, 6) }, .says = "got rank 2" },
    { .op = "linear", .in = { IMAGES(1, 2, 1, 6) }, .says = "images of one pixel, got 2x1" },
    { .op = "linear", .in = { ONE(6) }, .says = "got rank 1" },
    { .op = "dropout", .in = { ONE(6) }, .says = "got rank 1" },
    { .op = "drop_path", .in = { ONE(6) }, .says = "got rank 1" },
    { .op = "noise", .in = { ROWS(6, 1) }, .says = "got rank 2" },
    { .op = "shake", .in = { ROWS(6, 1), ROWS(6, 2) }, .says = "one shape" },
    { .op = "weighted_sum", .in = { ONE(1), ROWS(1, 1) }, .says = "weights [R,K]" },
    { .op = "weighted_sum",
      .name = { "row" },
      .value = { 2 },
      .in = { ROWS(2, 1), ROWS(1, 1) },
      .says = "with a row 2" },
    { .op = "weighted_sum",
      .name = { "columns" },
      .value = { 5 },
      .in = { ROWS(2, 3), ROWS(1, 1) },
      .says = "1 tensors for 2 of 3 columns" },
    { .op = "weighted_sum",
      .name = { "columns" },
      .value = { 8 },
      .in = { ROWS(2, 3), ROWS(1, 1) },
      .says = "of 3 columns" },
    { .op = "weighted_sum",
      .name = { "columns" },
      .value = { 3 },
      .in = { ROWS(2, 3), ROWS(1, 1), ROWS(1, 2) },
      .says = "number 2 differs" },
    { .op = "conv_norm", .in = { ROWS(2, 3) }, .says = "conv2d wants [N,H,W,C]" },
    { .op = "conv_norm_add",
      .name = { "channels" },
      .value = { 4 },
      .in = { IMAGES(2, 3, 3, 4), IMAGES(2, 3, 3, 4) },
      .says = "the convolution's output" },
    { .op = "batch_statistics", .in = { ROWS(2, 3) }, .says = "got rank 2" },
    { .op = "mixed_separable", .in = { ROWS(2, 3), ROWS(1, 1) }, .says = "[N,H,W,C]" },
    { .op = "mixed_separable",
      .name = { "kernel" },
      .value = { 4 },
      .in = { IMAGES(2, 3, 3, 4), ROWS(1, 1) },
      .says = "odd kernel" },
    { .op = "mixed_separable",
      .name = { "column" },
      .value = { 2 },
      .in = { IMAGES(2, 3, 3, 4), ROWS(1, 2) },
      .says = "a row 0, column 2" },
    { .op = "mixed_separable_add",
      .name = { "stride" },
      .value = { 2 },
      .in = { IMAGES(2, 3, 3, 4), IMAGES(2, 3, 3, 4), ROWS(1, 1) },
      .says = "a base of the convolution's shape" },
    { .op = "mixed_gates", .in = { ROWS(2, 3), ROWS(1, 1) }, .says = "[N,H,W,C]" },
    { .op = "mixed_gates",
      .name = { "plain" },
      .value = { 4 },
      .in = { IMAGES(2, 3, 3, 4), ROWS(1, 2) },
      .says = "a column for each candidate" },
    { .op = "mixed_gates",
      .name = { "plain", "gated" },
      .value = { 1, 1 },
      .in = { IMAGES(2, 3, 3, 4), ROWS(1, 2), ROWS(2, 4) },
      .says = "a column for each candidate" },
    { .op = "mixed_gates",
      .name = { "gated" },
      .value = { 2 },
      .in = { IMAGES(2, 3, 3, 4), ROWS(1, 2) },
      .says = "2 inputs for 1 gates" },
    { .op = "mixed_gates",
      .name = { "gated" },
      .value = { 2 },
      .in = { IMAGES(2, 3, 3, 4), ROWS(1, 2), ROWS(2, 3) },
      .says = "gates [2,4]" },
    { .op = "mixed_gates_add",
      .in = { IMAGES(2, 3, 2, 4), IMAGES(2, 3, 3, 4), ROWS(1, 1) },
      .says = "a base of x's shape" },
    { .op = "mixed_sum", .in = { ROWS(1, 1), ROWS(2, 4) }, .says = "[N,H,W,C]" },
    { .op = "mixed_sum",
      .name = { "row" },
      .value = { 2 },
      .in = { ROWS(2, 1), IMAGES(2, 3, 3, 4) },
      .says = "a row 2" },
    { .op = "mixed_sum",
      .name = { "columns", "normed" },
      .value = { 1, 2 },
      .in = { ROWS(2, 1), IMAGES(2, 3, 3, 4), ROWS(2, 4) },
      .says = "3 inputs for 1 columns" },
    { .op = "mixed_sum",
      .name = { "normed" },
      .value = { 1 },
      .in = { ROWS(2, 1), IMAGES(2, 3, 3, 4), ROWS(2, 3) },
      .says = "statistics [2,4]" },
    { .op = "mixed_add",
      .in = { IMAGES(2, 3, 3, 3), ROWS(1, 1), IMAGES(2, 3, 3, 4) },
      .says = "base of the tensors' shape" },
    { .op = "cross_entropy", .in = { ROWS(2, 3), ROWS(2, 2) }, .says = "logits and targets" },
};

static void wrong_shapes_are_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const Wrong *w = &wrong[i];
        const Op *op = op_find(w->op);
        double value[PARAMS_MAX];
        uint32_t inputs = 0;
        OpShapes shapes;
        Error err = { 0 };

        assert_non_null(op);
        param_defaults(&op->described, value);
        for (int k = 0; k < 2 && w->name[k] != NULL; k++)
            value[param_find(&op->described, w->name[k])] = w->value[k];
        while (inputs < 3 && w->in[inputs].rank > 0)
            inputs++;
        if (op->shape(value, w->in, inputs, &shapes, &err) != STATUS_BAD_SHAPE ||
            strstr(error_message(&err), w->says) == NULL)
            fail_msg("%s should say \"%s\", but says \"%s\"", w->op, w->says, error_message(&err));
    }
}

enum { NUMBERS_MAX = 30000, TRIES = 300 };

/* One operation with parameters and shapes by chance. */
typedef struct Try {
    const Op *op;
    double value[PARAMS_MAX];
    Shape in[OP_INPUTS_MAX];
    uint32_t inputs;
    OpShapes shapes;
    Pool *pool;
} Try;

static double any_value(Rng *rng, const Param *p)
{
    double max = p->type == PARAM_BOOL ? 1 : p->max, least = p->type == PARAM_BOOL ? 0 : p->min;
    uint32_t choices = 0;

    if (p->type == PARAM_ENUM) {
        while (p->choices[choices] != NULL)
            choices++;
        return rng_below(rng, choices);
    }
    switch (rng_below(rng, 12)) {
    case 0:
        return max;
    case 1:
        return least;
    case 2:
    case 3:
    case 4:
        return p->fallback;
    default:
        if (p->type == PARAM_REAL)
            return least + (max - least) * (double)rng_uniform(rng);
        least = least < -3 ? -3 : least;
        return fmin(max, least + rng_below(rng, 8));
    }
}

static Shape any_shape(Rng *rng)
{
    uint32_t n = 1 + rng_below(rng, 18), h = 1 + rng_below(rng, 6), w = 1 + rng_below(rng, 6),
             c = 1 + rng_below(rng, 9);

    switch (rng_below(rng, 5)) {
    case 0:
        return shape2(n, c);
    case 1:
        return shape4(n, 1, 1, c);
    default:
        return shape4(n, h, w, c);
    }
}

/* Inputs beyond the first are often such that they fit. */
static void any_inputs(Rng *rng, Try *t)
{
    Shape one = any_shape(rng);

    t->inputs = t->op->inputs + (t->op->variadic ? rng_below(rng, 4) : 0);
    for (uint32_t k = 0; k < t->inputs; k++) {
        t->in[k] = rng_below(rng, 8) == 0 ? any_shape(rng) : one;
        if (rng_below(rng, 2) == 0)
            t->in[k].dim[t->in[k].rank - 1] = one.dim[one.rank - 1];
    }
    if (t->inputs == 2 && rng_below(rng, 3) == 0)
        t->in[1] = shape2(one.dim[0], one.dim[one.rank - 1]);
    if (t->inputs > 1 && rng_below(rng, 4) == 0) /* statistics */
        t->in[t->inputs - 1] = shape2(2, one.dim[one.rank - 1]);
    if (t->op->variadic && t->inputs > 1 && rng_below(rng, 2) == 0) /* weights */
        t->in[t->op->inputs > 2] = shape2(1 + rng_below(rng, 4), 1 + rng_below(rng, 4));
}

/* Often, what is added to a convolution's output has its shape. */
static void fit_sum(Rng *rng, Try *t)
{
    const Op *conv = op_find("conv2d");
    OpShapes shapes;

    if (t->inputs == 2 && t->op->described.params == op_find("conv_norm")->described.params &&
        rng_below(rng, 2) == 0 && conv->shape(t->value, &t->in[1], 1, &shapes, NULL) == STATUS_OK)
        t->in[0] = shapes.out;
}

/* Small enough to be run. */
static bool small(const OpShapes *s)
{
    double weights = 0;

    for (uint32_t w = 0; w < s->weights; w++) {
        double count = 1;

        for (uint32_t d = 0; d < s->weight[w].shape.rank; d++)
            count *= s->weight[w].shape.dim[d];
        weights += count;
    }
    return shape_count(&s->out) <= NUMBERS_MAX && weights <= NUMBERS_MAX && s->flops < 3e7;
}

static real *numbers(Rng *rng, size_t count)
{
    real *ret = malloc(count > 0 ? count * sizeof *ret : 1);

    assert_non_null(ret);
    for (size_t i = 0; i < count; i++)
        ret[i] = rng == NULL ? (real)NAN : (real)0.5 + rng_uniform(rng);
    return ret;
}

static void all_written(const Try *t, const char *what, const real *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i]))
            fail_msg("%s: %s %zu of %zu is %g", t->op->described.name, what, i, count,
                     (double)x[i]);
}

/* Forward and, unless it has none, backward. */
static void run(Try *t, Rng *rng, bool training)
{
    Tensor in[OP_INPUTS_MAX];
    real *weight[OP_WEIGHTS_MAX] = { NULL }, *dw[OP_WEIGHTS_MAX] = { NULL };
    size_t count = shape_count(&t->shapes.out);
    real *out = numbers(NULL, count), *upstream = numbers(rng, count);
    OpCall call = { .pool = t->pool,
                    .kernels = kernels_available()[0],
                    .value = t->value,
                    .training = training,
                    .progress = 0.5,
                    .inputs = t->inputs,
                    .in = in,
                    .out = { out, t->shapes.out },
                    .weight = weight,
                    .saved = numbers(NULL, t->shapes.saved),
                    .scratch = malloc(t->shapes.scratch_bytes + 1),
                    .out_gradient = upstream };

    assert_non_null(call.scratch);
    for (uint32_t k = 0; k < t->inputs; k++) {
        in[k] = (Tensor){ numbers(rng, shape_count(&t->in[k])), t->in[k] };
        call.in_gradient[k] = numbers(NULL, shape_count(&t->in[k]));
    }
    for (uint32_t w = 0; w < t->shapes.weights; w++) {
        weight[w] = numbers(rng, shape_count(&t->shapes.weight[w].shape));
        dw[w] = call.weight_gradient[w] = numbers(rng, shape_count(&t->shapes.weight[w].shape));
    }
    t->op->forward(&call);
    all_written(t, "output", out, count);
    if ((t->op->flags & OP_CONSTANT) == 0) {
        t->op->backward(&call);
        for (uint32_t k = 0; k < t->inputs; k++)
            all_written(t, "gradient", call.in_gradient[k], shape_count(&t->in[k]));
    }
    for (uint32_t k = 0; k < t->inputs; k++) {
        free(in[k].data);
        free(call.in_gradient[k]);
    }
    for (uint32_t w = 0; w < t->shapes.weights; w++) {
        free(weight[w]);
        free(dw[w]);
    }
    free(call.saved);
    free(call.scratch);
    free(out);
    free(upstream);
}

/* Some tries of one operation; how many ran. */
static uint32_t tries(const Op *op, uint32_t row, Pool *pool)
{
    uint32_t ran = 0;

    for (uint32_t i = 0; i < 100 * TRIES && ran < TRIES; i++) {
        Rng rng = rng_at(3, RNG_TEST, row, i);
        Try t = { .op = op, .pool = pool };
        Error err = { 0 };
        Status s;

        for (uint32_t p = 0; p < op->described.count; p++)
            t.value[p] = any_value(&rng, &op->described.params[p]);
        any_inputs(&rng, &t);
        fit_sum(&rng, &t);
        s = op->shape(t.value, t.in, t.inputs, &t.shapes, &err);
        if (s != STATUS_OK) {
            assert_int_equal(s, STATUS_BAD_SHAPE);
            assert_true(error_message(&err)[0] != '\0');
        } else if (small(&t.shapes)) {
            assert_true(shape_count(&t.shapes.out) > 0);
            run(&t, &rng, i % 2 == 0);
            ran++;
        }
    }
    return ran;
}

static void what_is_not_refused_runs_within_its_arrays(void **state)
{
    Pool *pool = NULL;

    (void)state;
    assert_int_equal(pool_new(2, &pool, NULL), STATUS_OK);
    for (uint32_t i = 0; op_table[i] != NULL; i++)
        if (tries(op_table[i], i, pool) < TRIES / 4)
            fail_msg("%s hardly ever ran", op_table[i]->described.name);
    pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_shapes_are_refused_with_a_reason),
        cmocka_unit_test(what_is_not_refused_runs_within_its_arrays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
