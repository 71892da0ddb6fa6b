/*
 * random_ops: what dropout, drop_path, noise and shake draw. Rates and moments within five standard
 * errors, draws that are meant to be independent uncorrelated, the same numbers from the same
 * (seed, step, node, image), however many images there are. That gradients follow what was drawn is
 * shown in test_gradients.c and, against PyTorch, in tests/golden.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/ops/op.h"

static const char *const random_ops[] = { "dropout", "drop_path", "noise", "shake" };
enum { OPS = sizeof random_ops / sizeof *random_ops };

/* One call of an operation; out is the caller's to free. */
typedef struct Draw {
    const char *op;
    Shape in;
    const char *name[2]; /* parameters, and their values */
    double value[2];
    bool eval;
    uint64_t seed;
    uint32_t step, node;
    double progress;
    const real *x, *z; /* inputs; NULL: ones */
    real *dx[2];       /* not NULL: backward, from a gradient of ones */
    real *out;
    size_t count;
} Draw;

static real *numbers(size_t count, double value)
{
    real *ret = malloc(count * sizeof *ret);

    assert_non_null(ret);
    for (size_t i = 0; i < count; i++)
        ret[i] = (real)value;
    return ret;
}

static void run(Draw *d)
{
    const Op *op = op_find(d->op);
    double value[PARAMS_MAX];
    real *ones = numbers(shape_count(&d->in), 1);
    Tensor in[2] = { { (real *)(d->x ? d->x : ones), d->in },
                     { (real *)(d->z ? d->z : ones), d->in } };
    Shape shape[2] = { d->in, d->in };
    OpShapes shapes;
    OpCall call = { .kernels = kernels_available()[0],
                    .value = value,
                    .training = !d->eval,
                    .seed = d->seed,
                    .step = d->step,
                    .node = d->node,
                    .progress = d->progress,
                    .in = in };

    assert_non_null(op);
    param_defaults(&op->described, value);
    for (int i = 0; i < 2 && d->name[i] != NULL; i++)
        value[param_find(&op->described, d->name[i])] = d->value[i];
    assert_int_equal(op->shape(value, shape, op->inputs, &shapes, NULL), STATUS_OK);
    assert_int_equal(pool_new(2, &call.pool, NULL), STATUS_OK);
    d->count = shape_count(&shapes.out);
    d->out = numbers(d->count, NAN);
    call.inputs = op->inputs;
    call.out = (Tensor){ d->out, shapes.out };
    call.scratch = malloc(shapes.scratch_bytes + 1);
    assert_non_null(call.scratch);
    op->forward(&call);
    if (d->dx[0] != NULL) {
        call.out_gradient = ones;
        memcpy(call.in_gradient, d->dx, sizeof d->dx);
        op->backward(&call);
    }
    pool_free(call.pool);
    free(call.scratch);
    free(ones);
}

static real *ran(Draw d)
{
    run(&d);
    return d.out;
}

/* Mean and variance are as they should be, within five standard errors; `fourth` is the fourth
 * central moment over the variance's square. */
static void check_moments(const real *x, size_t count, double mean, double variance, double fourth)
{
    double sum = 0, squares = 0, n = (double)count;

    for (size_t i = 0; i < count; i++)
        sum += (double)x[i];
    for (size_t i = 0; i < count; i++)
        squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    assert_true(fabs(sum / n - mean) < 5 * sqrt(variance / n));
    assert_true(fabs(squares / n - variance) <= 5 * variance * sqrt((fourth - 1) / n) + 1e-6);
}

static double correlation(const real *x, const real *y, size_t count, double mean, double variance)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += ((double)x[i] - mean) * ((double)y[i] - mean);
    return sum / (double)count / variance;
}

static void check_unrelated(const real *x, const real *y, size_t count, double mean,
                            double variance)
{
    assert_true(fabs(correlation(x, y, count, mean, variance)) < 5 / sqrt((double)count));
}

static void dropout_zeroes_its_share_and_scales_up_the_rest(void **state)
{
    static const double probability[] = { 0.1, 0.5, 0.75 };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        double keep = 1 - probability[i], variance = (1 - keep) / keep,
               fourth = (1 - 3 * keep * (1 - keep)) / (keep * (1 - keep));
        Draw d = { .op = "dropout",
                   .in = shape4(33, 33, 33, 3),
                   .name = { "probability" },
                   .value = { probability[i] } };

        run(&d);
        for (size_t k = 0; k < d.count; k++)
            assert_true(d.out[k] == 0 || d.out[k] == (real)(1 / keep));
        check_moments(d.out, d.count, 1, variance, fourth);
        check_unrelated(d.out, d.out + 1, d.count - 1, 1, variance);   /* channels */
        check_unrelated(d.out, d.out + 3, d.count - 3, 1, variance);   /* images */
        check_unrelated(d.out, d.out + 48, d.count - 48, 1, variance); /* pixels */
        free(d.out);
    }
}

static void drop_path_drops_whole_images(void **state)
{
    enum { IMAGES = 20000, CHANNELS = 3 };
    double drop = 0.4 * 0.5;
    Draw d = { .op = "drop_path",
               .in = shape2(IMAGES, CHANNELS),
               .name = { "probability", "ramp" },
               .value = { 0.4, 1 },
               .progress = 0.5 };
    real *image = numbers(IMAGES, 0);

    (void)state;
    run(&d);
    for (size_t i = 0; i < IMAGES; i++) {
        image[i] = d.out[i * CHANNELS];
        assert_true(image[i] == 0 || image[i] == (real)(1 / (1 - drop)));
        for (size_t c = 1; c < CHANNELS; c++)
            assert_true(d.out[i * CHANNELS + c] == image[i]);
    }
    check_moments(image, IMAGES, 1, drop / (1 - drop),
                  (1 - 3 * drop * (1 - drop)) / (drop * (1 - drop)));
    check_unrelated(image, image + 1, IMAGES - 1, 1, drop / (1 - drop));
    free(image);
    free(d.out);
}

static void a_ramp_begins_with_nothing_dropped(void **state)
{
    Draw d = { .op = "drop_path",
               .in = shape4(33, 7, 5, 3),
               .name = { "probability", "ramp" },
               .value = { 0.9, 1 },
               .progress = 0 };

    (void)state;
    run(&d);
    for (size_t i = 0; i < d.count; i++)
        assert_true(d.out[i] == 1);
    free(d.out);
}

static void noise_is_standard_normal_in_training_and_in_eval_mode(void **state)
{
    (void)state;
    for (int eval = 0; eval < 2; eval++) {
        Draw d = { .op = "noise",
                   .in = shape4(33, 66, 33, 3),
                   .name = { "stride" },
                   .value = { 2 },
                   .eval = eval == 1,
                   .step = (uint32_t)eval };

        run(&d);
        assert_int_equal(d.count, 33 * 33 * 17 * 3);
        check_moments(d.out, d.count, 0, 1, 3);
        check_unrelated(d.out, d.out + 1, d.count - 1, 0, 1);
        check_unrelated(d.out, d.out + 3, d.count - 3, 0, 1);
        check_unrelated(d.out, d.out + 48, d.count - 48, 0, 1);
        free(d.out);
    }
}

/* With branches 1 and 0 and a gradient of 1 the coefficients themselves come out. */
static void shake_draws_its_two_coefficients_independently(void **state)
{
    enum { IMAGES = 20000 };
    real *zeros = numbers(IMAGES, 0), *b1 = numbers(IMAGES, NAN), *b2 = numbers(IMAGES, NAN);
    Draw d = { .op = "shake", .in = shape2(IMAGES, 1), .z = zeros, .dx = { b1, b2 } };

    (void)state;
    run(&d);
    check_moments(d.out, IMAGES, 0.5, 1.0 / 12, 1.8);
    check_moments(b1, IMAGES, 0.5, 1.0 / 12, 1.8);
    check_unrelated(d.out, b1, IMAGES, 0.5, 1.0 / 12);
    check_unrelated(d.out, d.out + 1, IMAGES - 1, 0.5, 1.0 / 12);
    for (size_t i = 0; i < IMAGES; i++) {
        assert_true(d.out[i] >= 0 && d.out[i] < 1);
        assert_true(b2[i] == 1 - b1[i]);
    }
    free(d.out);
    d.name[0] = "backward";
    d.value[0] = 1;
    run(&d);
    assert_memory_equal(d.out, b1, IMAGES * sizeof *b1);
    free(d.out);
    free(zeros);
    free(b1);
    free(b2);
}

static void eval_mode_draws_nothing_but_noise(void **state)
{
    Shape s = shape4(17, 7, 5, 3);
    size_t count = shape_count(&s);
    real *x = numbers(count, 0), *z = numbers(count, 0);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        x[i] = (real)i - 100;
        z[i] = (real)(i % 7);
    }
    for (size_t k = 0; k < OPS; k++) {
        real *out = ran((Draw){ .op = random_ops[k], .in = s, .eval = true, .x = x, .z = z });

        for (size_t i = 0; i < count && strcmp(random_ops[k], "noise") != 0; i++)
            assert_true(out[i] == (strcmp(random_ops[k], "shake") == 0 ? (x[i] + z[i]) / 2 : x[i]));
        free(out);
    }
    free(x);
    free(z);
}

static void draws_follow_seed_step_and_node_and_nothing_else(void **state)
{
    Shape s = shape4(33, 7, 5, 3);
    size_t bytes = shape_count(&s) * sizeof(real);
    real *zeros = numbers(shape_count(&s), 0);

    (void)state;
    for (size_t k = 0; k < OPS; k++) {
        Draw d = { .op = random_ops[k], .in = s, .z = zeros, .seed = 5, .step = 6, .node = 7 };
        real *first = ran(d), *again = ran(d), *other;

        assert_memory_equal(first, again, bytes);
        for (int i = 0; i < 4; i++) {
            Draw e = d;

            e.seed += i == 0 ? 1 : i == 1 ? (uint64_t)1 << 32 : 0;
            e.step += i == 2;
            e.node += i == 3;
            other = ran(e);
            assert_memory_not_equal(first, other, bytes);
            free(other);
        }
        free(first);
        free(again);
    }
    free(zeros);
}

enum { IMAGE = 47 * 31 * 3 };

/* Image `i`, from the blocked layout. */
static void take_image(const real *from, const Shape *s, uint32_t i, real *ret)
{
    uint32_t block = i / BLOCK_IMAGES;
    size_t n = block_images(s->dim[0], block), c = s->dim[3], pixels = s->dim[1] * s->dim[2];
    const real *at = from + block * BLOCK_IMAGES * pixels * c + i % BLOCK_IMAGES * c;

    for (size_t p = 0; p < pixels; p++)
        memcpy(ret + p * c, at + p * n * c, c * sizeof *ret);
}

/* What image `i` of a batch draws; several units of work unless it is alone. */
static real *drawn_by(const char *op, uint32_t images, uint32_t i)
{
    Shape s = shape4(images, 47, 31, 3);
    real *zeros = numbers(shape_count(&s), 0), *out = ran((Draw){ .op = op, .in = s, .z = zeros }),
         *ret = numbers(IMAGE, NAN);

    take_image(out, &s, i, ret);
    free(out);
    free(zeros);
    return ret;
}

static void an_image_draws_the_same_in_any_batch(void **state)
{
    static const struct {
        uint32_t image, images;
    } batches[] = { { 0, 1 }, { 0, 5 }, { 0, 17 }, { 16, 17 }, { 16, 18 }, { 16, 33 } };

    (void)state;
    for (size_t k = 0; k < OPS; k++)
        for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
            real *want = drawn_by(random_ops[k], batches[i].image + 1, batches[i].image),
                 *got = drawn_by(random_ops[k], batches[i].images, batches[i].image);

            assert_memory_equal(got, want, IMAGE * sizeof *got);
            free(want);
            free(got);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dropout_zeroes_its_share_and_scales_up_the_rest),
        cmocka_unit_test(drop_path_drops_whole_images),
        cmocka_unit_test(a_ramp_begins_with_nothing_dropped),
        cmocka_unit_test(noise_is_standard_normal_in_training_and_in_eval_mode),
        cmocka_unit_test(shake_draws_its_two_coefficients_independently),
        cmocka_unit_test(eval_mode_draws_nothing_but_noise),
        cmocka_unit_test(draws_follow_seed_step_and_node_and_nothing_else),
        cmocka_unit_test(an_image_draws_the_same_in_any_batch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
