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
    /* Whoever adds a row adds its test and counts it here; five are in test_winograd.c, three
     * in test_direct.c, seven in test_planes.c, one in test_profile.c. */
    enum { TESTED = 44 };

    (void)state;
    assert_int_equal(sizeof(Kernels) / sizeof(void *), 1 + TESTED); /* and a name */
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
}

static void an_unknown_family_is_refused_with_the_names_there_are(void **state)
{
    static char long_name[5000];
    const char *const wrong[] = { "mmx", "AVX2", "generic ", "refer", "%s%n", long_name };

    (void)state;
    memset(long_name, 'x', sizeof long_name - 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (int environment = 0; environment < 2; environment++) {
            const Kernels *chosen = &kernels_reference;
            Error err = { 0 };

            if (environment != 0)
                setenv("LEASED_KERNELS", wrong[i], 1);
            assert_int_equal(kernels_select(environment != 0 ? NULL : wrong[i], &chosen, &err),
                             STATUS_INVALID);
            unsetenv("LEASED_KERNELS");
            assert_ptr_equal(chosen, &kernels_reference); /* untouched */
            EACH_FAMILY(k)
            assert_non_null(strstr(error_message(&err), k->name));
        }
}

static void an_empty_name_is_no_choice(void **state)
{
    const Kernels *chosen = NULL;

    (void)state;
    setenv("LEASED_KERNELS", "reference", 1);
    assert_int_equal(kernels_select("", &chosen, NULL), STATUS_OK); /* as NULL */
    assert_ptr_equal(chosen, &kernels_reference);
    setenv("LEASED_KERNELS", "", 1);
    assert_int_equal(kernels_select(NULL, &chosen, NULL), STATUS_OK);
    assert_ptr_equal(chosen, kernels_available()[0]);
    unsetenv("LEASED_KERNELS");
}

/* ---- Convolutions ---- */

typedef struct ConvCase {
    ConvShape s;
    uint32_t taps;
    size_t x, w, y; /* numbers in each */
    real *in, *weight, *bias, *dy, *before;
} ConvCase;

/* Computes rows [row0,row1) of ret. */
typedef void RowsBody(const Kernels *k, const void *c, uint32_t row0, uint32_t row1, real *ret,
                      bool accumulate);

/* Rows [r0,r1) first, with a look that nothing else moved, then the rest. */
static void in_three_parts(const Kernels *k, const void *c, uint32_t rows, size_t row_numbers,
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

static void forward_rows(const Kernels *k, const void *c, uint32_t row0, uint32_t row1, real *ret,
                         bool accumulate)
{
    const ConvCase *conv = c;

    (void)accumulate;
    k->conv_forward(&conv->s, row0, row1, conv->in, conv->weight, conv->bias, ret);
}

static void data_rows(const Kernels *k, const void *c, uint32_t row0, uint32_t row1, real *ret,
                      bool accumulate)
{
    const ConvCase *conv = c;

    k->conv_backward_data(&conv->s, row0, row1, conv->dy, conv->weight, ret, accumulate);
}

/* Every family against the reference: `rows` rows of ret, `count` numbers, sums of `terms`. */
static void check_rows(const char *row, const void *c, uint32_t rows, size_t count, RowsBody *body,
                       const real *before, double bound)
{
    real *want = before != NULL ? copy(before, count) : numbers(count, NAN, 0);

    body(&kernels_reference, c, 0, rows, want, before != NULL);
    EACH_FAMILY(k)
    { /* what was there before does not matter, or is added to */
        real *got = before != NULL ? copy(before, count) : numbers(count, NAN, 0);

        in_three_parts(k, c, rows, count / rows, body, got, before != NULL);
        near(k, row, got, want, count, bound);
        free(got);
    }
    free(want);
}

static void check_weights(const ConvCase *c)
{
    uint32_t half = c->s.out / 2, taps = c->taps, middle = taps / 2;
    size_t tap_numbers = c->w / taps;
    real *before = uniform(c->w), *want = copy(before, c->w);

    kernels_reference.conv_backward_weights(&c->s, 0, taps, 0, c->s.out, c->in, c->dy, want);
    EACH_FAMILY(k)
    {
        real *got = copy(before, c->w);

        /* The later taps' later channels, and a look that nothing else moved; then the rest. */
        k->conv_backward_weights(&c->s, middle, taps, half, c->s.out, c->in, c->dy, got);
        for (size_t i = 0; i < c->w; i++)
            if (i / tap_numbers < middle || i % c->s.out < half)
                assert_true(got[i] == before[i]);
        if (half > 0)
            k->conv_backward_weights(&c->s, middle, taps, 0, half, c->in, c->dy, got);
        if (middle > 0)
            k->conv_backward_weights(&c->s, 0, middle, 0, c->s.out, c->in, c->dy, got);
        near(k, "conv_backward_weights", got, want, c->w,
             rounding((size_t)c->s.n * c->s.oh * c->s.ow));
        free(got);
    }
    free(want);
    free(before);
}

static void check_conv(const ConvShape *s, bool bias)
{
    ConvCase c = { .s = *s,
                   .taps = s->kernel_h * s->kernel_w,
                   .x = (size_t)s->h * s->w * s->n * s->in,
                   .w = (size_t)s->kernel_h * s->kernel_w * (s->in / s->groups) * s->out,
                   .y = (size_t)s->oh * s->ow * s->n * s->out };

    c.in = uniform(c.x);
    c.weight = uniform(c.w);
    c.bias = bias ? uniform(s->out) : NULL;
    c.dy = uniform(c.y);
    c.before = uniform(c.x);
    check_rows("conv_forward", &c, s->oh, c.y, forward_rows, NULL,
               rounding(c.taps * s->in / s->groups));
    check_rows("conv_backward_data", &c, s->h, c.x, data_rows, NULL,
               rounding(c.taps * s->out / s->groups));
    check_rows("conv_backward_data", &c, s->h, c.x, data_rows, c.before,
               rounding(c.taps * s->out / s->groups));
    check_weights(&c);
    free(c.in);
    free(c.weight);
    free(c.bias);
    free(c.dy);
    free(c.before);
}

static uint32_t outputs(uint32_t size, uint32_t kernel, uint32_t stride, uint32_t padding,
                        uint32_t dilation)
{
    uint32_t padded = size + 2 * padding, span = (kernel - 1) * dilation + 1;

    return padded < span ? 0 : (padded - span) / stride + 1;
}

/* Checks s with oh and ow filled in; false where there is no output, or where it would cost too
 * much. */
static bool convolve(ConvShape s, double most)
{
    static unsigned count;

    s.oh = outputs(s.h, s.kernel_h, s.stride, s.padding_h, s.dilation);
    s.ow = outputs(s.w, s.kernel_w, s.stride, s.padding_w, s.dilation);
    if (s.oh == 0 || s.ow == 0 ||
        (double)s.oh * s.ow * s.kernel_h * s.kernel_w * s.n * s.in * s.out / s.groups > most)
        return false;
    check_conv(&s, count++ % 2 == 0);
    return true;
}

static const uint32_t images[] = { 1, 5, 16 };

/* Kernel 1, 3, 5; stride 1..3; padding 0..2. */
static unsigned convolve_all(uint32_t n, uint32_t h, uint32_t w, uint32_t in, uint32_t out)
{
    unsigned checked = 0;

    for (uint32_t kernel = 1; kernel <= 5; kernel += 2)
        for (uint32_t stride = 1; stride <= 3; stride++)
            for (uint32_t padding = 0; padding <= 2; padding++)
                checked += convolve((ConvShape){ .n = n,
                                                 .h = h,
                                                 .w = w,
                                                 .in = in,
                                                 .out = out,
                                                 .kernel_h = kernel,
                                                 .kernel_w = kernel,
                                                 .stride = stride,
                                                 .padding_h = padding,
                                                 .padding_w = padding,
                                                 .dilation = 1,
                                                 .groups = 1 },
                                    8e4);
    return checked;
}

static void convolutions_agree(void **state)
{
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

/* Every stride and dilation of 1..3 on kernels that are no squares, with unequal paddings, some of
 * them wider than the kernel; groups of 1, 2, 3 channels, and each channel by itself. */
static void convolutions_with_groups_and_dilation_agree(void **state)
{
    static const uint32_t planes[][3] = { { 3, 5, 1 },    { 4, 6, 2 },      { 6, 3, 3 },
                                          { 3, 6, 3 },    { 3, 3, 3 },      { 5, 5, 5 },
                                          { 36, 36, 36 }, { 144, 144, 144 } };
    static const uint32_t windows[][4] = { { 3, 3, 1, 1 }, { 1, 7, 0, 3 }, { 7, 1, 3, 0 },
                                           { 2, 2, 0, 0 }, { 5, 5, 4, 2 }, { 3, 2, 3, 5 },
                                           { 7, 7, 3, 6 } };
    static const uint32_t sizes[][2] = { { 1, 1 }, { 7, 5 }, { 12, 9 }, { 33, 33 } };
    unsigned checked = 0, at = 0;

    (void)state;
    for (size_t p = 0; p < sizeof planes / sizeof *planes; p++)
        for (size_t k = 0; k < sizeof windows / sizeof *windows; k++)
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
                for (uint32_t step = 0; step < 9; step++)
                    checked += convolve((ConvShape){ .n = images[at++ % 3],
                                                     .h = sizes[i][0],
                                                     .w = sizes[i][1],
                                                     .in = planes[p][0],
                                                     .out = planes[p][1],
                                                     .groups = planes[p][2],
                                                     .kernel_h = windows[k][0],
                                                     .kernel_w = windows[k][1],
                                                     .padding_h = windows[k][2],
                                                     .padding_w = windows[k][3],
                                                     .stride = 1 + step % 3,
                                                     .dilation = 1 + step / 3 },
                                        1.5e4);
    assert_true(checked > 500);
}

/* ---- Pools over windows ---- */

typedef struct WindowCase {
    PoolShape s;
    size_t x, y;
    real *in, *dy, *tap;
} WindowCase;

static void max_forward_rows(const Kernels *k, const void *c, uint32_t row0, uint32_t row1,
                             real *ret, bool accumulate)
{
    const WindowCase *w = c;

    (void)accumulate;
    k->max_pool_forward(&w->s, row0, row1, w->in, ret, w->tap);
}

static void max_backward_rows(const Kernels *k, const void *c, uint32_t row0, uint32_t row1,
                              real *ret, bool accumulate)
{
    const WindowCase *w = c;

    k->max_pool_backward(&w->s, row0, row1, w->dy, w->tap, ret, accumulate);
}

static void avg_forward_rows(const Kernels *k, const void *c, uint32_t row0, uint32_t row1,
                             real *ret, bool accumulate)
{
    const WindowCase *w = c;

    (void)accumulate;
    k->avg_pool_forward(&w->s, row0, row1, w->in, ret);
}

static void avg_backward_rows(const Kernels *k, const void *c, uint32_t row0, uint32_t row1,
                              real *ret, bool accumulate)
{
    const WindowCase *w = c;

    k->avg_pool_backward(&w->s, row0, row1, w->dy, ret, accumulate);
}

/* The same winners, also where inputs are equal: there is nothing to round. */
static void check_winners(const WindowCase *c)
{
    real *want = numbers(c->y, NAN, 0), *want_tap = numbers(c->y, NAN, 0);

    kernels_reference.max_pool_forward(&c->s, 0, c->s.oh, c->in, want, want_tap);
    EACH_FAMILY(k)
    {
        real *got = numbers(c->y, NAN, 0), *tap = numbers(c->y, NAN, 0);

        k->max_pool_forward(&c->s, 0, c->s.oh, c->in, got, tap);
        assert_memory_equal(got, want, c->y * sizeof *got);
        assert_memory_equal(tap, want_tap, c->y * sizeof *tap);
        free(got);
        free(tap);
    }
    free(want);
    free(want_tap);
}

static bool check_window(PoolShape s)
{
    WindowCase c = { .x = (size_t)s.h * s.w * s.n * s.c };
    real *before;

    s.oh = outputs(s.h, s.kernel, s.stride, s.padding, 1);
    s.ow = outputs(s.w, s.kernel, s.stride, s.padding, 1);
    c.y = (size_t)s.oh * s.ow * s.n * s.c;
    if (s.padding > s.kernel / 2 || c.y == 0 || c.y * s.kernel * s.kernel > 12000)
        return false;
    c.s = s;
    c.in = uniform(c.x);
    for (size_t i = 0; i < c.x; i++)
        c.in[i] = (real)round(3 * (double)c.in[i]); /* many are equal */
    c.dy = uniform(c.y);
    c.tap = numbers(c.y, NAN, 0);
    before = uniform(c.x);
    check_winners(&c);
    check_rows("max_pool_forward", &c, s.oh, c.y, max_forward_rows, NULL, 0);
    check_rows("max_pool_backward", &c, s.h, c.x, max_backward_rows, NULL, 1e-6);
    check_rows("max_pool_backward", &c, s.h, c.x, max_backward_rows, before, 1e-6);
    check_rows("avg_pool_forward", &c, s.oh, c.y, avg_forward_rows, NULL, 1e-6);
    check_rows("avg_pool_backward", &c, s.h, c.x, avg_backward_rows, NULL, 1e-6);
    check_rows("avg_pool_backward", &c, s.h, c.x, avg_backward_rows, before, 1e-6);
    free(before);
    free(c.in);
    free(c.dy);
    free(c.tap);
    return true;
}

static void pools_over_windows_agree(void **state)
{
    static const uint32_t sizes[][2] = { { 1, 1 }, { 7, 5 }, { 33, 33 } };
    static const uint32_t kernels[][2] = { { 1, 0 }, { 2, 0 }, { 2, 1 },
                                           { 3, 1 }, { 3, 0 }, { 5, 2 } };
    unsigned checked = 0;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (size_t z = 0; z < 3; z++)
            for (size_t c = 0; c < CHANNELS; c++)
                for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++)
                    for (uint32_t stride = 1; stride <= 3; stride++)
                        checked += check_window((PoolShape){ .n = images[i],
                                                             .h = sizes[z][0],
                                                             .w = sizes[z][1],
                                                             .c = (uint32_t)channels[c],
                                                             .kernel = kernels[k][0],
                                                             .padding = kernels[k][1],
                                                             .stride = stride });
    assert_true(checked > 400);
}

static void a_maximum_is_the_first_of_equals_and_nan_wins(void **state)
{
    enum { PIXELS = 4, N = 2, C = 37, NC = N * C };
    const real down = (real)-INFINITY;
    /* One window of 2x2 for each kind: its inputs in order, what comes out, from where. */
    const struct {
        real in[PIXELS], out, tap;
    } kinds[] = {
        { { 1, 1, 1, 1 }, 1, 0 },
        { { 0, 2, 2, 1 }, 2, 1 },
        { { -3, -3, -4, -2 }, -2, 3 },
        { { down, down, down, down }, down, 0 },
        { { down, down, -5, 0 }, 0, 3 },
        { { 0, (real)-0.0, 0, 0 }, 0, 0 },
        { { 9, (real)NAN, 3, 10 }, (real)NAN, 1 },
        { { (real)NAN, 3, (real)NAN, 1 }, (real)NAN, 2 },
    };
    PoolShape s = { .n = N, .h = 2, .w = 2, .c = C, .oh = 1, .ow = 1, .kernel = 2, .stride = 2 };

    (void)state;
    EACH_FAMILY(k)
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        real x[PIXELS * NC], y[NC], tap[NC];

        for (size_t p = 0; p < PIXELS; p++)
            for (size_t j = 0; j < NC; j++)
                x[p * NC + j] = kinds[i].in[p];
        k->max_pool_forward(&s, 0, 1, x, y, tap);
        for (size_t j = 0; j < NC; j++) {
            assert_true(y[j] == kinds[i].out || (isnan(y[j]) && isnan(kinds[i].out)));
            assert_true(tap[j] == kinds[i].tap);
        }
    }
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
        check_forward_row("sigmoid_forward", k, k->sigmoid_forward, r->sigmoid_forward, 20);
        check_backward_row("sigmoid_backward", k, k->sigmoid_backward, r->sigmoid_backward, 1);
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

static void sigmoid_saturates_without_nan(void **state)
{
    const real x[] = { 200, -200, INFINITY, -INFINITY, 0 };
    const real want[] = { 1, 0, 1, 0, (real)0.5 };

    (void)state;
    EACH_FAMILY(k)
    {
        real y[5];

        k->sigmoid_forward(5, x, y);
        for (size_t i = 0; i < 5; i++)
            assert_true(fabs((double)y[i] - (double)want[i]) < 1e-30);
    }
}

static void dot_products_agree(void **state)
{
    static const size_t lengths[] = { 1, 31, 32, 33, 1001, 8192, 20000 };

    (void)state;
    EACH_FAMILY(k)
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t n = lengths[i];
        real *a = uniform(n), *b = uniform(n);
        double got = k->dot(n, a, b), want = kernels_reference.dot(n, a, b);

        near_double(k, "dot", &got, &want, 1, rounding(n));
        free(a);
        free(b);
    }
}

static void scaled_sums_agree(void **state)
{
    (void)state;
    EACH_FAMILY(k)
    for (size_t i = 0; i < 2 * COUNTS; i++) {
        size_t n = counts[i / 2];
        bool accumulate = i % 2 == 1;
        real *x = uniform(n), *got = accumulate ? uniform(n) : numbers(n, NAN, 0),
             *want = copy(got, n);

        kernels_reference.axpy(n, (real)-1.7, x, want, accumulate);
        k->axpy(n, (real)-1.7, x, got, accumulate);
        near(k, "axpy", got, want, n, 1e-6);
        free(x);
        free(got);
        free(want);
    }
}

static void adam_agrees(void **state)
{
    static const AdamSpec specs[] = { { 1e-3, 0.9, 0.999, 1e-8, 0, false, 1 },
                                      { 3e-4, 0.5, 0.999, 1e-8, 1e-3, false, 7 },
                                      { 1e-2, 0.9, 0.999, 1e-8, 0.1, true, 1 },
                                      { 1e-2, 0.9, 0.99, 1e-2, 0.5, true, 3 },
                                      { 0.1, 0, 0, 1e-8, 0, false, 2 } };

    (void)state;
    EACH_FAMILY(k)
    for (size_t i = 0; i < COUNTS * 5; i++) {
        const AdamSpec *spec = &specs[i % 5];
        size_t n = counts[i / 5];
        real *g = uniform(n), *m = uniform(n), *v = numbers(n, 1, 0.9), *p = uniform(n),
             *want_m = copy(m, n), *want_v = copy(v, n), *want_p = copy(p, n);

        kernels_reference.adam(n, spec, g, want_m, want_v, want_p);
        k->adam(n, spec, g, m, v, p);
        near(k, "adam's mean", m, want_m, n, 1e-6);
        near(k, "adam's squares", v, want_v, n, 1e-6);
        near(k, "adam", p, want_p, n, 1e-6);
        free(g);
        free(m);
        free(v);
        free(p);
        free(want_m);
        free(want_v);
        free(want_p);
    }
}

/* Three steps of torch.optim.Adam and AdamW 1.13 in double precision: one parameter of 0.5 whose
 * gradients are 0.1, -0.3, 0.7; lr 0.01, betas 0.9 and 0.999, eps 1e-8, decay 0.1. */
static void adam_is_that_of_pytorch(void **state)
{
    static const double gradient[3] = { 0.1, -0.3, 0.7 };
    static const double want[2][3] = { { 0.490000000667, 0.492952449079, 0.487830136255 },
                                       { 0.489500001000, 0.493952399111, 0.489208245187 } };

    (void)state;
    EACH_FAMILY(k)
    for (int decoupled = 0; decoupled < 2; decoupled++) {
        real p = (real)0.5, m = 0, v = 0;

        for (unsigned step = 0; step < 3; step++) {
            AdamSpec spec = { 0.01, 0.9, 0.999, 1e-8, 0.1, decoupled != 0, step + 1 };
            real g = (real)gradient[step];

            k->adam(1, &spec, &g, &m, &v, &p);
            assert_true(fabs((double)p - want[decoupled][step]) < 1e-6);
        }
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
    kernels_reference.channel_sums(rows, c, x, want);
    k->channel_sums(rows, c, x, got);
    near_double(k, "channel_sums", got, want, c, bound);
    free(x);
}

static void check_norm(const Kernels *k, size_t rows, size_t c)
{
    size_t n = rows * c;
    real *x = numbers(n, 3, 1), *dy = uniform(n), *y = uniform(n), *mean = numbers(c, 3, 0.1),
         *a = uniform(c), *b = uniform(c), *d = uniform(c), *got = numbers(n, NAN, 0),
         *want = copy(got, n);
    double got_sums[2 * 144], want_sums[2 * 144];

    for (int add = 0; add < 2; add++)
        for (int relu = 0; relu < 2; relu++) {
            const real *z = add ? dy : NULL;

            kernels_reference.norm_forward(rows, c, x, a, b, z, relu != 0, want);
            k->norm_forward(rows, c, x, a, b, z, relu != 0, got);
            near(k, "norm_forward", got, want, n, 2e-6);
        }
    for (int kind = 0; kind < 3; kind++) {
        const NormMask mask = { kind == 1 ? y : NULL, kind == 2 ? a : NULL, kind == 2 ? b : NULL };

        kernels_reference.norm_sums(rows, c, x, dy, &mask, mean, want_sums, want_sums + c);
        k->norm_sums(rows, c, x, dy, &mask, mean, got_sums, got_sums + c);
        near_double(k, "norm_sums", got_sums, want_sums, 2 * c, rounding(rows));
        for (int accumulate = 0; accumulate < 2; accumulate++) { /* the second adds to the first */
            kernels_reference.norm_backward(rows, c, x, dy, &mask, mean, a, b, d, want,
                                            accumulate != 0);
            k->norm_backward(rows, c, x, dy, &mask, mean, a, b, d, got, accumulate != 0);
            near(k, "norm_backward", got, want, n, 4e-6);
        }
    }
    free(x);
    free(dy);
    free(y);
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

static void check_gate(const Kernels *k, size_t pixels, size_t nc)
{
    size_t count = pixels * nc;
    real *x = uniform(count), *g = uniform(nc), *dy = uniform(count), *y = numbers(count, NAN, 0);
    real *dx = numbers(count, NAN, 0), *dg = numbers(nc, NAN, 0);
    real *want_y = copy(y, count), *want_dx = copy(dx, count), *want_dg = copy(dg, nc);

    kernels_reference.gate_forward(pixels, nc, x, g, want_y);
    k->gate_forward(pixels, nc, x, g, y);
    near(k, "gate_forward", y, want_y, count, 1e-6);
    for (int accumulate = 0; accumulate < 4;
         accumulate++) { /* what comes later adds to the first */
        bool more_x = accumulate % 2 == 1, more_g = accumulate / 2 == 1;

        kernels_reference.gate_backward(pixels, nc, x, g, dy, want_dx, more_x, want_dg, more_g);
        k->gate_backward(pixels, nc, x, g, dy, dx, more_x, dg, more_g);
        near(k, "gate_backward's input", dx, want_dx, count, 2e-6);
        near(k, "gate_backward's gate", dg, want_dg, nc, rounding(pixels));
    }
    k->gate_backward(pixels, nc, x, g, dy, NULL, true, NULL, true); /* wants nothing */
    k->gate_backward(pixels, nc, x, g, dy, dx, false, NULL, false);
    k->gate_backward(pixels, nc, x, g, dy, NULL, false, dg, false);
    kernels_reference.gate_backward(pixels, nc, x, g, dy, want_dx, false, want_dg, false);
    near(k, "gate_backward's input alone", dx, want_dx, count, 2e-6);
    near(k, "gate_backward's gate alone", dg, want_dg, nc, rounding(pixels));
    free(x);
    free(g);
    free(dy);
    free(y);
    free(dx);
    free(dg);
    free(want_y);
    free(want_dx);
    free(want_dg);
}

static void gates_agree(void **state)
{
    static const size_t pixels[] = { 1, 35, 256, 600 };

    (void)state;
    EACH_FAMILY(k)
    for (size_t p = 0; p < 4; p++)
        for (size_t j = 0; j < CHANNELS; j++)
            check_gate(k, pixels[p], channels[j]);
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
    static const size_t pixels[] = { 1, 35, 64, 1089 };

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
        cmocka_unit_test(an_unknown_family_is_refused_with_the_names_there_are),
        cmocka_unit_test(an_empty_name_is_no_choice),
        cmocka_unit_test(convolutions_agree),
        cmocka_unit_test(convolutions_with_groups_and_dilation_agree),
        cmocka_unit_test(pools_over_windows_agree),
        cmocka_unit_test(a_maximum_is_the_first_of_equals_and_nan_wins),
        cmocka_unit_test(products_agree_for_all_transposes),
        cmocka_unit_test(activations_agree),
        cmocka_unit_test(relu_keeps_nan_and_infinity_and_its_gradient_is_0_at_0),
        cmocka_unit_test(sigmoid_saturates_without_nan),
        cmocka_unit_test(sums_agree),
        cmocka_unit_test(scaled_sums_agree),
        cmocka_unit_test(dot_products_agree),
        cmocka_unit_test(sgd_agrees),
        cmocka_unit_test(adam_agrees),
        cmocka_unit_test(adam_is_that_of_pytorch),
        cmocka_unit_test(normalisation_agrees),
        cmocka_unit_test(moments_survive_a_mean_a_thousand_deviations_off),
        cmocka_unit_test(gates_agree),
        cmocka_unit_test(pooling_agrees),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
