/*
 * windows: what conv2d, max_pool and avg_pool answer before anything is computed: output, weights,
 * work, and what they refuse. Their numbers are held in test_kernels.c, test_gradients.c and the
 * golden tests.
 */
#include "tests/unit/test.h"

#include <string.h>

#include "core/ops/op.h"

enum { VALUES_MAX = 9 };

typedef struct Value {
    const char *name;
    double value;
} Value;

static Status ask(const char *name, Shape in, const Value *values, OpShapes *ret, Error *err)
{
    const Op *op = op_find(name);
    double value[PARAMS_MAX];

    assert_non_null(op);
    param_defaults(&op->described, value);
    for (; values->name != NULL; values++) {
        int at = param_find(&op->described, values->name);

        assert_in_range(at, 0, PARAMS_MAX - 1);
        assert_int_equal(param_check(&op->described.params[at], values->value, NULL), STATUS_OK);
        value[at] = values->value;
    }
    return op->shape(value, &in, 1, ret, err);
}

static void outputs_are_as_large_as_pytorchs(void **state)
{
    static const struct {
        const char *op;
        uint32_t h, w;
        Value values[VALUES_MAX];
        uint32_t oh, ow;
    } cases[] = {
        { "conv2d", 32, 32, { { "padding", 1 } }, 32, 32 },
        { "conv2d", 33, 32, { { "padding", 1 }, { "stride", 2 } }, 17, 16 },
        { "conv2d", 7, 5, { { "padding", 2 }, { "dilation", 2 } }, 7, 5 },
        { "conv2d", 33, 33, { { "kernel", 5 }, { "stride", 3 }, { "dilation", 3 } }, 7, 7 },
        { "conv2d",
          9,
          9,
          { { "kernel", 1 }, { "kernel_width", 7 }, { "padding_width", 3 } },
          9,
          9 },
        { "conv2d", 9, 9, { { "kernel", 7 }, { "kernel_width", 1 }, { "padding", 3 } }, 9, 15 },
        { "conv2d", 1, 1, { { "kernel", 1 }, { "padding", 4 }, { "stride", 8 } }, 2, 2 },
        { "max_pool", 32, 33, { { NULL, 0 } }, 16, 16 },
        { "max_pool", 7, 5, { { "kernel", 3 }, { "stride", 2 }, { "padding", 1 } }, 4, 3 },
        { "avg_pool", 8, 8, { { "kernel", 5 }, { "stride", 3 } }, 2, 2 },
        { "avg_pool", 7, 6, { { "kernel", 1 }, { "stride", 2 } }, 4, 3 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OpShapes shapes;
        Error err = { 0 };

        if (ask(cases[i].op, shape4(17, cases[i].h, cases[i].w, 5), cases[i].values, &shapes,
                &err) != STATUS_OK)
            fail_msg("case %zu: %s", i, error_message(&err));
        assert_int_equal(shapes.out.dim[0], 17);
        assert_int_equal(shapes.out.dim[1], cases[i].oh);
        assert_int_equal(shapes.out.dim[2], cases[i].ow);
        assert_int_equal(shapes.out.dim[3], strcmp(cases[i].op, "conv2d") == 0 ? 64 : 5);
    }
}

static void a_convolution_names_its_weights(void **state)
{
    const Value plain[] = {
        { "channels", 6 }, { "kernel", 5 }, { "kernel_width", 3 }, { NULL, 0 }
    };
    const Value all[] = {
        { "channels", 6 }, { "bias", 1 }, { "frozen", 1 }, { "dirac", 1 }, { NULL, 0 }
    };
    const Value grouped[] = { { "channels", 6 }, { "groups", 2 }, { "bias", 1 }, { NULL, 0 } };
    const Shape in = shape4(2, 9, 9, 4), kernel = shape4(6, 4, 5, 3), square = shape4(6, 4, 3, 3),
                half = shape4(6, 2, 3, 3), six = shape1(6);
    OpShapes s;

    (void)state;
    assert_int_equal(ask("conv2d", in, plain, &s, NULL), STATUS_OK);
    assert_int_equal(s.weights, 1);
    assert_true(shape_equal(&s.weight[0].shape, &kernel));
    assert_int_equal(s.weight[0].role, WEIGHT_TRAINED);
    assert_int_equal(s.weight[0].init, INIT_UNIFORM);
    assert_int_equal(s.weight[0].fan_in, 4 * 5 * 3);
    assert_int_equal(ask("conv2d", in, all, &s, NULL), STATUS_OK);
    assert_int_equal(s.weights, 2);
    assert_true(shape_equal(&s.weight[0].shape, &square));
    assert_int_equal(s.weight[0].role, WEIGHT_FROZEN);
    assert_int_equal(s.weight[0].init, INIT_DIRAC);
    assert_true(shape_equal(&s.weight[1].shape, &six));
    assert_string_equal(s.weight[1].name, "bias");
    assert_int_equal(s.weight[1].role, WEIGHT_TRAINED); /* a frozen weight's bias still learns */
    assert_int_equal(s.weight[1].init, INIT_UNIFORM);
    assert_int_equal(s.weight[1].fan_in, 4 * 9);
    assert_int_equal(ask("conv2d", in, grouped, &s, NULL), STATUS_OK);
    assert_true(shape_equal(&s.weight[0].shape, &half));
    assert_int_equal(s.weight[0].fan_in, 2 * 9);
    assert_int_equal(s.weight[1].fan_in, 2 * 9);
}

static void work_is_counted_by_groups(void **state)
{
    const Value dense[] = { { "channels", 36 }, { "padding", 1 }, { NULL, 0 } };
    const Value groups[] = {
        { "channels", 36 }, { "padding", 1 }, { "groups", 3 }, { "bias", 1 }, { NULL, 0 }
    };
    const Value depthwise[] = {
        { "channels", 36 }, { "padding", 1 }, { "groups", 36 }, { NULL, 0 }
    };
    const Value none[] = { { NULL, 0 } };
    const double pixels = 5 * 7 * 5;
    OpShapes s;

    (void)state;
    assert_int_equal(ask("conv2d", shape4(5, 7, 5, 36), dense, &s, NULL), STATUS_OK);
    assert_true(s.flops == 2 * pixels * 9 * 36 * 36);
    assert_int_equal(ask("conv2d", shape4(5, 7, 5, 36), groups, &s, NULL), STATUS_OK);
    assert_true(s.flops == 2 * pixels * 9 * 12 * 36); /* a bias multiplies nothing */
    assert_int_equal(ask("conv2d", shape4(5, 7, 5, 36), depthwise, &s, NULL), STATUS_OK);
    assert_true(s.flops == 2 * pixels * 9 * 36);
    assert_int_equal(ask("max_pool", shape4(5, 7, 5, 36), none, &s, NULL), STATUS_OK);
    assert_true(s.flops == 0);
    assert_int_equal(s.saved, shape_count(&s.out));
}

static void what_does_not_fit_is_refused_in_words(void **state)
{
    static const struct {
        const char *op;
        Shape in;
        Value values[VALUES_MAX];
        const char *words[3];
    } cases[] = {
        { "conv2d", { 2, { 3, 4, 1, 1 } }, { { NULL, 0 } }, { "[N,H,W,C]", "rank 2", "" } },
        { "conv2d", { 4, { 1, 2, 9, 3 } }, { { NULL, 0 } }, { "3x3", "2x9", "0x0" } },
        { "conv2d",
          { 4, { 1, 9, 4, 3 } },
          { { "dilation", 3 }, { "padding", 1 } },
          { "7x7", "9x4", "1x1" } },
        { "conv2d", { 4, { 1, 9, 9, 5 } }, { { "groups", 2 } }, { "groups", "5 input", "64" } },
        { "conv2d",
          { 4, { 1, 9, 9, 6 } },
          { { "groups", 3 }, { "channels", 8 } },
          { "groups", "6 input", "8 output" } },
        { "conv2d",
          { 4, { 1, 9, 9, 4 } },
          { { "groups", 2 }, { "dirac", 1 } },
          { "dirac", "groups 1", "2" } },
        { "max_pool", { 2, { 3, 4, 1, 1 } }, { { NULL, 0 } }, { "max_pool", "[N,H,W,C]", "2" } },
        { "max_pool", { 4, { 1, 1, 5, 3 } }, { { NULL, 0 } }, { "2", "1x5", "padding 0" } },
        { "avg_pool",
          { 4, { 1, 9, 9, 3 } },
          { { "kernel", 3 }, { "padding", 2 } },
          { "avg_pool", "at most half", "not 2" } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OpShapes shapes = { .weights = 99 };
        Error err = { 0 };

        assert_int_equal(ask(cases[i].op, cases[i].in, cases[i].values, &shapes, &err),
                         STATUS_BAD_SHAPE);
        assert_int_equal(shapes.weights, 99); /* untouched */
        for (int w = 0; w < 3; w++)
            if (strstr(error_message(&err), cases[i].words[w]) == NULL)
                fail_msg("case %zu: \"%s\" is not in \"%s\"", i, cases[i].words[w],
                         error_message(&err));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_are_as_large_as_pytorchs),
        cmocka_unit_test(a_convolution_names_its_weights),
        cmocka_unit_test(work_is_counted_by_groups),
        cmocka_unit_test(what_does_not_fit_is_refused_in_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
