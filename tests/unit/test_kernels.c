/*
 * kernels: every family that this CPU runs against the naive reference, row by row of the table.
 * Buffers have exactly the size that a kernel may touch, so the sanitizer sees a step beyond.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/kernels/kernels.h"

static const size_t channels[] = { 1, 3, 5, 36, 64, 144 };
static const size_t row_counts[] = { 1, 2, 7, 255, 256, 257, 600 };
enum {
    CHANNELS = sizeof channels / sizeof *channels,
    ROWS = sizeof row_counts / sizeof *row_counts
};

/* A multiply out of place moves a sum by about 0.3; rounding moves one of `terms` terms by less
 * than this. */
static double rounding(size_t terms)
{
    return 2e-6 * (1 + sqrt((double)terms));
}

static uint32_t drawn; /* every array is another one */

/* `count` numbers uniform in [mean - spread, mean + spread); free() them. */
static real *numbers(size_t count, double mean, double spread)
{
    real *ret = malloc(count * sizeof *ret);
    Rng rng = rng_at(1, RNG_TEST, 0, drawn++);

    assert_non_null(ret);
    for (size_t i = 0; i < count; i++)
        ret[i] = (real)(mean + spread * (2 * (double)rng_uniform(&rng) - 1));
    return ret;
}

static real *uniform(size_t count)
{
    return numbers(count, 0, 1);
}

static real *copy(const real *from, size_t count)
{
    real *ret = malloc(count * sizeof *ret);

    assert_non_null(ret);
    memcpy(ret, from, count * sizeof *ret);
    return ret;
}

static void near(const Kernels *k, const char *row, const real *got, const real *want, size_t count,
                 double bound)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= bound * (1 + fabs((double)want[i]))))
            fail_msg("%s of %s: number %zu of %zu is %.9g, not %.9g", row, k->name, i, count,
                     (double)got[i], (double)want[i]);
}

static void near_double(const Kernels *k, const char *row, const double *got, const double *want,
                        size_t count, double bound)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabs(got[i] - want[i]) <= bound * (1 + fabs(want[i]))))
            fail_msg("%s of %s: channel %zu of %zu is %.9g, not %.9g", row, k->name, i, count,
                     got[i], want[i]);
}

#define EACH_FAMILY(k) \
    for (const Kernels *const *k##_ = kernels_available(), *k; (k = *k##_) != NULL; k##_++)

/* ---- The table ---- */

static void every_row_of_the_table_is_tested_here(void **state)
{
    (void)state; /* a name and 16 rows: whoever adds a row adds its test and counts it here */
    assert_int_equal(sizeof(Kernels) / sizeof(void *), 1 + 16);
    EACH_FAMILY(k)
    {
        void *row[sizeof(Kernels) / sizeof(void *)];

        memcpy(row, k, sizeof row);
        for (size_t i = 0; i < sizeof row / sizeof *row; i++)
            assert_non_null(row[i]);
    }
}

static void a_family_is_chosen_by_name_or_by_the_environment(void **state)
{
    const Kernels *chosen = NULL;
    Error err = { 0 };

    (void)state;
    unsetenv("LEASED_KERNELS");
    assert_int_equal(kernels_select(NULL, &chosen, NULL), STATUS_OK);
    assert_ptr_equal(chosen, kernels_available()[0]);
    assert_string_equal(kernels_family(), chosen->name);
    EACH_FAMILY(k)
    {
        assert_int_equal(kernels_select(k->name, &chosen, NULL), STATUS_OK);
        assert_ptr_equal(chosen, k);
        setenv("LEASED_KERNELS", k->name, 1);
        assert_int_equal(kernels_select(NULL, &chosen, NULL), STATUS_OK);
        assert_ptr_equal(chosen, k);
    }
    assert_ptr_equal(chosen, &kernels_reference); /* the last of the list */
    unsetenv("LEASED_KERNELS");
    assert_int_equal(kernels_select("mmx", &chosen, &err), STATUS_INVALID);
    assert_ptr_equal(chosen, &kernels_reference);
    EACH_FAMILY(k)
    assert_non_null(strstr(error_message(&err), k->name));
}

/* ---- Convolutions ---- */

typedef struct ConvCase {
    ConvShape s;
    size_t x, w, y; /* numbers in each */
    real *in, *weight, *dy, *before;
} ConvCase;

/* Computes rows [r0,r1) first, looks that nothing else moved, then the rest. */
typedef void RowsBody(const Kernels *k, const ConvCase *c, uint32_t row0, uint32_t row1, real *ret,
                      bool accumulate);

static void in_three_parts(const Kernels *k, const ConvCase *c, uint32_t rows, size_t row_numbers,
                           RowsBody *body, real *ret, bool accumulate)
{
    uint32_t r0 = rows / 3, r1 = rows - rows / 4;
    real *before = copy(ret, rows * row_numbers);

    body(k, c, r0, r1, ret, accumulate);
    assert_memory_equal(ret, before, r0 * row_numbers * sizeof *ret);
    assert_memory_equal(ret + r1 * row_numbers, before + r1 * row_numbers,
                        (rows - r1) * row_numbers * sizeof *ret);
    if (r1 < rows)
        body(k, c, r1, rows, ret, accumulate);
    if (r0 > 0)
        body(k, c, 0, r0, ret, accumulate);
    free(before);
}

static void forward_rows(const Kernels *k, const ConvCase *c, uint32_t row0, uint32_t row1,
                         real *ret, bool accumulate)
{
    (void)accumulate;
    k->conv_forward(&c->s, row0, row1, c->in, c->weight, ret);
}

static void data_rows(const Kernels *k, const ConvCase *c, uint32_t row0, uint32_t row1, real *ret,
                      bool accumulate)
{
    k->conv_backward_data(&c->s, row0, row1, c->dy, c->weight, ret, accumulate);
}

static void check_forward(const ConvCase *c)
{
    real *want = numbers(c->y, NAN, 0);

    kernels_reference.conv_forward(&c->s, 0, c->s.oh, c->in, c->weight, want);
    EACH_FAMILY(k)
    {
        real *got = numbers(c->y, NAN, 0); /* what was there before does not matter */

        in_three_parts(k, c, c->s.oh, c->y / c->s.oh, forward_rows, got, false);
        near(k, "conv_forward", got, want, c->y, rounding(c->s.kernel * c->s.kernel * c->s.in));
        free(got);
    }
    free(want);
}

static void check_data(const ConvCase *c, bool accumulate)
{
    real *want = accumulate ? copy(c->before, c->x) : numbers(c->x, NAN, 0);

    kernels_reference.conv_backward_data(&c->s, 0, c->s.h, c->dy, c->weight, want, accumulate);
    EACH_FAMILY(k)
    {
        real *got = accumulate ? copy(c->before, c->x) : numbers(c->x, NAN, 0);

        in_three_parts(k, c, c->s.h, c->x / c->s.h, data_rows, got, accumulate);
        near(k, "conv_backward_data", got, want, c->x,
             rounding(c->s.kernel * c->s.kernel * c->s.out));
        free(got);
    }
    free(want);
}

static void check_weights(const ConvCase *c)
{
    uint32_t half = c->s.out / 2;
    size_t tap_numbers = (size_t)c->s.in * c->s.out;
    real *before = uniform(c->w), *want = copy(before, c->w);

    for (uint32_t tap = 0; tap < c->s.kernel * c->s.kernel; tap++)
        kernels_reference.conv_backward_weights(&c->s, tap, 0, c->s.out, c->in, c->dy,
                                                want + tap * tap_numbers);
    EACH_FAMILY(k)
    {
        real *got = copy(before, c->w);

        for (uint32_t tap = 0; tap < c->s.kernel * c->s.kernel; tap++) {
            k->conv_backward_weights(&c->s, tap, half, c->s.out, c->in, c->dy,
                                     got + tap * tap_numbers);
            for (size_t i = 0; i < tap_numbers; i++)
                if (i % c->s.out < half)
                    assert_true(got[tap * tap_numbers + i] == before[tap * tap_numbers + i]);
            if (half > 0)
                k->conv_backward_weights(&c->s, tap, 0, half, c->in, c->dy,
                                         got + tap * tap_numbers);
        }
        near(k, "conv_backward_weights", got, want, c->w,
             rounding((size_t)c->s.n * c->s.oh * c->s.ow));
        free(got);
    }
    free(want);
    free(before);
}

static void check_conv(const ConvShape *s)
{
    ConvCase c = { .s = *s,
                   .x = (size_t)s->h * s->w * s->n * s->in,
                   .w = (size_t)s->kernel * s->kernel * s->in * s->out,
                   .y = (size_t)s->oh * s->ow * s->n * s->out };

    c.in = uniform(c.x);
    c.weight = uniform(c.w);
    c.dy = uniform(c.y);
    c.before = uniform(c.x);
    check_forward(&c);
    check_data(&c, false);
    check_data(&c, true);
    check_weights(&c);
    free(c.in);
    free(c.weight);
    free(c.dy);
    free(c.before);
}

/* Kernel 1, 3, 5; stride 1..3; padding 0..2, as far as there is an output; what costs too much is
 * left out. */
static unsigned convolve_all(uint32_t n, uint32_t h, uint32_t w, uint32_t in, uint32_t out)
{
    unsigned checked = 0;

    for (uint32_t kernel = 1; kernel <= 5; kernel += 2)
        for (uint32_t stride = 1; stride <= 3; stride++)
            for (uint32_t padding = 0; padding <= 2 && padding < kernel; padding++) {
                ConvShape s = { n, h, w, in, 0, 0, out, kernel, stride, padding };

                if (h + 2 * padding < kernel || w + 2 * padding < kernel)
                    continue;
                s.oh = (h + 2 * padding - kernel) / stride + 1;
                s.ow = (w + 2 * padding - kernel) / stride + 1;
                if ((double)s.oh * s.ow * kernel * kernel * n * in * out > 2.5e5)
                    continue;
                check_conv(&s);
                checked++;
            }
    return checked;
}

static void convolutions_agree(void **state)
{
    static const uint32_t images[] = { 1, 5, 16 };
    static const uint32_t planes[][2] = { { 1, 1 },   { 3, 5 },   { 5, 3 },  { 36, 64 },
                                          { 64, 36 }, { 144, 3 }, { 5, 144 } };
    unsigned checked = 0;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        for (size_t p = 0; p < sizeof planes / sizeof *planes; p++) {
            checked += convolve_all(images[i], 1, 1, planes[p][0], planes[p][1]);
            checked += convolve_all(images[i], 7, 5, planes[p][0], planes[p][1]);
        }
        checked += convolve_all(images[i], 33, 33, 1, 1);
    }
    assert_true(checked > 300);
}

/* ---- Matrix products ---- */

static void check_gemm(bool ta, bool tb, size_t m, size_t n, size_t k, real beta)
{
    size_t lda = (ta ? m : k) + 2, ldb = (tb ? k : n) + 1, ldc = n + 3;
    size_t a_count = ((ta ? k : m) - 1) * lda + (ta ? m : k),
           b_count = ((tb ? n : k) - 1) * ldb + (tb ? k : n), c_count = (m - 1) * ldc + n;
    real *a = uniform(a_count), *b = uniform(b_count);
    real *before = beta == 0 ? numbers(c_count, NAN, 0) : uniform(c_count),
         *want = copy(before, c_count);

    kernels_reference.gemm(ta, tb, m, n, k, a, lda, b, ldb, beta, want, ldc);
    EACH_FAMILY(f)
    {
        real *got = copy(before, c_count);

        f->gemm(ta, tb, m, n, k, a, lda, b, ldb, beta, got, ldc);
        for (size_t i = 0; i < m; i++) {
            near(f, "gemm", got + i * ldc, want + i * ldc, n, rounding(k));
            if (i + 1 < m) /* between the rows */
                assert_memory_equal(got + i * ldc + n, before + i * ldc + n,
                                    (ldc - n) * sizeof *got);
        }
        free(got);
    }
    free(want);
    free(before);
    free(b);
    free(a);
}

static void products_agree_for_all_transposes(void **state)
{
    static const size_t sizes[][3] = { { 1, 1, 1 },     { 5, 3, 7 },   { 16, 64, 36 },
                                       { 33, 10, 144 }, { 1, 144, 5 }, { 64, 1, 257 } };

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int t = 0; t < 8; t++)
            check_gemm((t & 1) != 0, (t & 2) != 0, sizes[i][0], sizes[i][1], sizes[i][2],
                       (t & 4) != 0);
}

/* ---- Number by number ---- */

static const size_t counts[] = { 1, 2, 3, 15, 16, 17, 63, 64, 65, 1001 };
enum { COUNTS = sizeof counts / sizeof *counts };

typedef void ForwardRow(size_t count, const real *x, real *y);
typedef void BackwardRow(size_t count, const real *at, const real *dy, real *dx, bool accumulate);

static void check_forward_row(const char *row, const Kernels *k, ForwardRow *got_row,
                              ForwardRow *want_row, double spread)
{
    for (size_t i = 0; i < COUNTS; i++) {
        size_t n = counts[i];
        real *x = numbers(n, 0, spread), *got = numbers(n, NAN, 0), *want = numbers(n, NAN, 0);

        want_row(n, x, want);
        got_row(n, x, got);
        near(k, row, got, want, n, 2e-6);
        got_row(n, x, x); /* in place */
        assert_memory_equal(x, got, n * sizeof *x);
        free(x);
        free(got);
        free(want);
    }
}

static void check_backward_row(const char *row, const Kernels *k, BackwardRow *got_row,
                               BackwardRow *want_row, double spread)
{
    for (size_t i = 0; i < 2 * COUNTS; i++) {
        size_t n = counts[i / 2];
        bool accumulate = i % 2 == 1;
        real *x = numbers(n, 0, spread), *dy = uniform(n),
             *got = accumulate ? uniform(n) : numbers(n, NAN, 0), *want = copy(got, n);

        want_row(n, x, dy, want, accumulate);
        got_row(n, x, dy, got, accumulate);
        near(k, row, got, want, n, 2e-6);
        free(x);
        free(dy);
        free(got);
        free(want);
    }
}

static void activations_agree(void **state)
{
    const Kernels *r = &kernels_reference;

    (void)state;
    EACH_FAMILY(k)
    {
        check_forward_row("relu_forward", k, k->relu_forward, r->relu_forward, 1);
        check_backward_row("relu_backward", k, k->relu_backward, r->relu_backward, 1);
        check_forward_row("gelu_forward", k, k->gelu_forward, r->gelu_forward, 6);
        check_backward_row("gelu_backward", k, k->gelu_backward, r->gelu_backward, 6);
    }
}

static void relu_keeps_nan_and_infinity_and_its_gradient_is_0_at_0(void **state)
{
    const real x[] = { NAN, INFINITY, -INFINITY, 0, (real)-0.0, 3, -3 };
    const real dy[] = { 1, 2, 3, 4, 5, 6, 7 }, want[] = { 0, 2, 0, 0, 0, 6, 0 };

    (void)state;
    EACH_FAMILY(k)
    for (size_t at = 0; at < 40; at++) { /* at the beginning of a vector and behind it */
        real many[64], y[64], dx[64], many_dy[64];

        for (size_t i = 0; i < 64; i++) {
            many[i] = -1;
            many_dy[i] = 9;
        }
        memcpy(many + at, x, sizeof x);
        memcpy(many_dy + at, dy, sizeof dy);
        k->relu_forward(64, many, y);
        assert_true(isnan(y[at]));
        assert_true(isinf(y[at + 1]) && y[at + 2] == 0 && y[at + 3] == 0 && y[at + 4] == 0);
        assert_true(y[at + 5] == 3 && y[at + 6] == 0 && y[63] == 0);
        k->relu_backward(64, y, many_dy, dx, false);
        assert_memory_equal(dx + at, want, sizeof want);
        k->relu_backward(64, y, many_dy, dx, true);
        for (size_t i = 0; i < 7; i++)
            assert_true(dx[at + i] == 2 * want[i]);
    }
}

static void sums_agree(void **state)
{
    (void)state;
    EACH_FAMILY(k)
    for (size_t i = 0; i < COUNTS; i++) {
        size_t n = counts[i];
        real *a = uniform(n), *b = uniform(n), *got = numbers(n, NAN, 0), *want = copy(got, n);

        kernels_reference.add(n, a, b, want);
        k->add(n, a, b, got);
        assert_memory_equal(got, want,
                            n * sizeof *got); /* one rounding: no room for a difference */
        k->add(n, a, b, a);                   /* as the residual does */
        assert_memory_equal(a, want, n * sizeof *a);
        free(a);
        free(b);
        free(got);
        free(want);
    }
}

static void sgd_agrees(void **state)
{
    static const SgdSpec specs[] = { { (real)0.1, (real)0.9, (real)5e-4, true },
                                     { (real)0.1, (real)0.9, (real)5e-4, false },
                                     { (real)0.5, 0, 0, true },
                                     { (real)0.5, 0, (real)0.1, false },
                                     { 0, (real)0.9, 0, true } };

    (void)state;
    EACH_FAMILY(k)
    for (size_t i = 0; i < COUNTS * 5; i++) {
        size_t n = counts[i / 5];
        real *g = uniform(n), *buf = uniform(n), *p = uniform(n), *want_buf = copy(buf, n),
             *want_p = copy(p, n);

        kernels_reference.sgd(n, &specs[i % 5], g, want_buf, want_p);
        k->sgd(n, &specs[i % 5], g, buf, p);
        near(k, "sgd's momentum", buf, want_buf, n, 1e-6);
        near(k, "sgd", p, want_p, n, 1e-6);
        free(g);
        free(buf);
        free(p);
        free(want_buf);
        free(want_p);
    }
}

/* ---- Per channel ---- */

static void check_moments(const Kernels *k, size_t rows, size_t c, double mean, double bound)
{
    real *x = numbers(rows * c, mean, 1);
    double got[2 * 144], want[2 * 144];

    kernels_reference.moments(rows, c, x, want, want + c);
    k->moments(rows, c, x, got, got + c);
    near_double(k, "moments' mean", got, want, c, bound);
    near_double(k, "moments' squares", got + c, want + c, c, bound);
    free(x);
}

static void check_norm(const Kernels *k, size_t rows, size_t c)
{
    size_t n = rows * c;
    real *x = numbers(n, 3, 1), *dy = uniform(n), *mean = numbers(c, 3, 0.1), *a = uniform(c),
         *b = uniform(c), *d = uniform(c), *got = numbers(n, NAN, 0), *want = copy(got, n);
    double got_sums[2 * 144], want_sums[2 * 144];

    kernels_reference.scale_shift(rows, c, x, a, b, want);
    k->scale_shift(rows, c, x, a, b, got);
    near(k, "scale_shift", got, want, n, 2e-6);
    kernels_reference.norm_sums(rows, c, x, dy, mean, want_sums, want_sums + c);
    k->norm_sums(rows, c, x, dy, mean, got_sums, got_sums + c);
    near_double(k, "norm_sums", got_sums, want_sums, 2 * c, rounding(rows));
    for (int accumulate = 0; accumulate < 2; accumulate++) { /* the second adds to the first */
        kernels_reference.norm_backward(rows, c, x, dy, mean, a, b, d, want, accumulate != 0);
        k->norm_backward(rows, c, x, dy, mean, a, b, d, got, accumulate != 0);
        near(k, "norm_backward", got, want, n, 4e-6);
    }
    free(x);
    free(dy);
    free(mean);
    free(a);
    free(b);
    free(d);
    free(got);
    free(want);
}

static void normalisation_agrees(void **state)
{
    (void)state;
    EACH_FAMILY(k)
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < CHANNELS; j++) {
            check_moments(k, row_counts[i], channels[j], 0, rounding(row_counts[i]));
            check_norm(k, row_counts[i], channels[j]);
        }
}

static void moments_survive_a_mean_a_thousand_deviations_off(void **state)
{
    (void)state; /* a float's plain sum of squares less the mean's would be off by a fifth */
    EACH_FAMILY(k)
    for (size_t i = 0; i < ROWS; i++)
        check_moments(k, row_counts[i], 5, 1000, 2e-4);
}

static void check_pool(const Kernels *k, size_t pixels, size_t n, size_t c)
{
    size_t count = n * c;
    real *x = uniform(pixels * count), *y = numbers(count, NAN, 0), *want_y = copy(y, count),
         *dx = numbers(pixels * count, NAN, 0), *want_dx = copy(dx, pixels * count);

    kernels_reference.mean_pool(pixels, n, c, x, want_y);
    k->mean_pool(pixels, n, c, x, y);
    near(k, "mean_pool", y, want_y, count, 2e-6);
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        kernels_reference.mean_pool_backward(pixels, n, c, want_y, want_dx, accumulate != 0);
        k->mean_pool_backward(pixels, n, c, want_y, dx, accumulate != 0);
        near(k, "mean_pool_backward", dx, want_dx, pixels * count, 2e-6);
    }
    free(x);
    free(y);
    free(want_y);
    free(dx);
    free(want_dx);
}

static void pooling_agrees(void **state)
{
    static const size_t pixels[] = { 1, 35, 64, 1089 }, images[] = { 1, 5, 16 };

    (void)state;
    EACH_FAMILY(k)
    for (size_t p = 0; p < 4; p++)
        for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < CHANNELS; j++)
                if (pixels[p] * images[i] * channels[j] < 40000)
                    check_pool(k, pixels[p], images[i], channels[j]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_table_is_tested_here),
        cmocka_unit_test(a_family_is_chosen_by_name_or_by_the_environment),
        cmocka_unit_test(convolutions_agree),
        cmocka_unit_test(products_agree_for_all_transposes),
        cmocka_unit_test(activations_agree),
        cmocka_unit_test(relu_keeps_nan_and_infinity_and_its_gradient_is_0_at_0),
        cmocka_unit_test(sums_agree),
        cmocka_unit_test(sgd_agrees),
        cmocka_unit_test(normalisation_agrees),
        cmocka_unit_test(moments_survive_a_mean_a_thousand_deviations_off),
        cmocka_unit_test(pooling_agrees),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
