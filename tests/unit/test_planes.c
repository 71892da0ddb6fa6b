/*
 * planes: the kernels of small maps and of passes over channels, every family that this CPU runs
 * against the naive reference. Buffers have exactly the size that a kernel may touch.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/kernels/kernels.h"

static uint32_t drawn; /* every array is another one */

static real *uniform(size_t count)
{
    real *ret = malloc(count * sizeof *ret);
    Rng rng = rng_at(1, RNG_TEST, 1, drawn++);

    assert_non_null(ret);
    for (size_t i = 0; i < count; i++)
        ret[i] = (real)(2 * (double)rng_uniform(&rng) - 1);
    return ret;
}

static double *zeros(size_t count)
{
    double *ret = calloc(count, sizeof *ret);

    assert_non_null(ret);
    return ret;
}

static real *copy(const real *from, size_t count)
{
    real *ret = malloc(count * sizeof *ret);

    assert_non_null(ret);
    memcpy(ret, from, count * sizeof *ret);
    return ret;
}

/* A term out of place moves a sum by about 0.3; rounding one of `terms` terms by less than this. */
static double rounding(size_t terms)
{
    return 2e-6 * (1 + sqrt((double)terms));
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
            fail_msg("%s of %s: sum %zu of %zu is %.9g, not %.9g", row, k->name, i, count, got[i],
                     want[i]);
}

#define EACH_FAMILY(k) \
    for (const Kernels *const *k##_ = kernels_available(), *k; (k = *k##_) != NULL; k##_++)

/* ---- Windows over planes ---- */

/* A window of `side` x `side` taps, `step` pixels apart, over a padded plane. */
typedef struct Plane {
    size_t t, rows, cols, side, step, stride;
} Plane;

static const Plane planes[] = {
    { 64, 8, 8, 3, 1, 1 }, { 64, 5, 9, 5, 2, 1 }, { 16, 3, 17, 3, 2, 2 }, { 5, 4, 3, 3, 1, 1 },
    { 72, 2, 1, 1, 1, 3 }, { 1, 1, 1, 5, 1, 1 },  { 300, 2, 9, 3, 1, 1 },
};
enum { PLANES = sizeof planes / sizeof *planes, TAPS_MAX = 25 };

static size_t source_width(const Plane *p)
{
    return (p->cols - 1) * p->stride + (p->side - 1) * p->step + 1;
}

static size_t source_numbers(const Plane *p)
{
    return ((p->rows - 1) * p->stride + (p->side - 1) * p->step + 1) * source_width(p) * p->t;
}

static PlaneWindow window_of(const Plane *p, PlaneTap *tap)
{
    for (size_t i = 0; i < p->side * p->side; i++)
        tap[i] =
            (PlaneTap){ (i / p->side * source_width(p) + i % p->side) * p->step * p->t, i * p->t };
    return (PlaneWindow){ .t = p->t,
                          .rows = p->rows,
                          .cols = p->cols,
                          .dst_row = p->cols * p->t,
                          .dst_col = p->t,
                          .src_row = p->stride * source_width(p) * p->t,
                          .src_col = p->stride * p->t,
                          .taps = p->side * p->side,
                          .tap = tap };
}

static void windows_agree(void **state)
{
    (void)state;
    EACH_FAMILY(k)
    for (size_t i = 0; i < PLANES; i++) {
        const Plane *p = &planes[i];
        size_t out = p->rows * p->cols * p->t, taps = p->side * p->side, sums = taps * p->t;
        PlaneTap tap[TAPS_MAX];
        PlaneWindow window = window_of(p, tap);
        real *src = uniform(source_numbers(p)), *w = uniform(sums), *got = uniform(out),
             *want = uniform(out);
        double *got_sums = zeros(sums), *want_sums = zeros(sums);

        kernels_reference.plane_gather(&window, w, src, want);
        k->plane_gather(&window, w, src, got);
        near(k, "plane_gather", got, want, out, rounding(taps));
        got_sums[0] = want_sums[0] = 3; /* they are added to */
        kernels_reference.plane_dots(&window, src, want, want_sums);
        k->plane_dots(&window, src, want, got_sums);
        near_double(k, "plane_dots", got_sums, want_sums, sums, rounding(p->rows * p->cols * taps));
        free(src);
        free(w);
        free(got);
        free(want);
        free(got_sums);
        free(want_sums);
    }
}

/* Both ways between a plane and rows of pixels that are `wide` numbers, of which it takes t. */
static void planes_come_in_and_go_out_alike(void **state)
{
    (void)state;
    EACH_FAMILY(k)
    for (size_t i = 0; i < 4 * PLANES; i++) {
        const Plane *p = &planes[i / 4];
        size_t wide = p->t + 3, in = p->rows * p->cols * wide - 3, out = p->rows * p->cols * p->t;
        PlaneWindow load = { .t = p->t,
                             .rows = p->rows,
                             .cols = p->cols,
                             .dst_row = p->cols * p->t,
                             .dst_col = p->t,
                             .src_row = p->cols * wide,
                             .src_col = wide },
                    store = load;
        bool normed = i % 2 == 1, accumulate = i % 4 >= 2;
        real *x = uniform(in), *scale = uniform(p->t), *shift = uniform(p->t), *got = uniform(out),
             *want = uniform(out), *g = uniform(out), *got_dx = uniform(in),
             *want_dx = copy(got_dx, in);
        double *got_sums = zeros(2 * p->t), *want_sums = zeros(2 * p->t);

        kernels_reference.plane_load(&load, normed ? scale : NULL, normed ? shift : NULL, x, want);
        k->plane_load(&load, normed ? scale : NULL, normed ? shift : NULL, x, got);
        near(k, "plane_load", got, want, out, 1e-6);
        store.dst_row = load.src_row;
        store.dst_col = load.src_col;
        store.src_row = load.dst_row;
        store.src_col = load.dst_col;
        normed = normed && !accumulate;
        kernels_reference.plane_store(&store, g, want, &store, want_dx, accumulate,
                                      normed ? want_sums : NULL, normed ? want_sums + p->t : NULL);
        k->plane_store(&store, g, want, &store, got_dx, accumulate, normed ? got_sums : NULL,
                       normed ? got_sums + p->t : NULL);
        near(k, "plane_store", got_dx, want_dx, in, 1e-6);
        near_double(k, "plane_store", got_sums, want_sums, 2 * p->t, rounding(p->rows * p->cols));
        free(x);
        free(scale);
        free(shift);
        free(got);
        free(want);
        free(g);
        free(got_dx);
        free(want_dx);
        free(got_sums);
        free(want_sums);
    }
}

/* ---- Products ---- */

static void small_products_agree(void **state)
{
    static const size_t sizes[][3] = { { 1, 1, 1 },    { 7, 3, 5 },   { 16, 16, 16 },
                                       { 33, 64, 64 }, { 8, 36, 36 }, { 300, 16, 40 } };

    (void)state;
    EACH_FAMILY(k)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t rows = sizes[i][0], depth = sizes[i][1], n = sizes[i][2];
        RowSteps dense = { SIZE_MAX, 0, depth }, grouped = { 4, 4 * n + 5, n };
        size_t all = (rows + 3) / 4 * (4 * n + 5);
        real *a = uniform(rows * depth), *b = uniform(depth * n), *got = uniform(all),
             *want = copy(got, all), *work = uniform(depth * n);
        double *got_dw = zeros(depth * n), *want_dw = zeros(depth * n);

        kernels_reference.plane_product(rows, depth, n, a, &dense, b, want, &grouped);
        k->plane_product(rows, depth, n, a, &dense, b, got, &grouped);
        near(k, "plane_product", got, want, all, rounding(depth));
        kernels_reference.plane_outer(rows, depth, n, a, &dense, want, &grouped, want_dw, work);
        k->plane_outer(rows, depth, n, a, &dense, want, &grouped, got_dw, work);
        near_double(k, "plane_outer", got_dw, want_dw, depth * n, rounding(rows * depth));
        free(a);
        free(b);
        free(got);
        free(want);
        free(work);
        free(got_dw);
        free(want_dw);
    }
}

/* ---- Passes over channels ---- */

static const size_t channel_counts[] = { 1, 3, 16, 36, 144, 300 };
static const size_t row_counts[] = { 1, 7, 256, 1029 };
enum { PASSES = sizeof channel_counts / sizeof *channel_counts * 4 };

static void passes_agree(const Kernels *k, size_t rows, size_t c, bool accumulate)
{
    real *x = uniform(rows * c), *dy = uniform(rows * c), *mean = uniform(c), *a = uniform(c),
         *b = uniform(c), *d = uniform(c), *got = uniform(rows * c), *want = copy(got, rows * c);
    double *got_sums = zeros(2 * c), *want_sums = zeros(2 * c);

    kernels_reference.channel_affine(rows, c, x, a, accumulate ? NULL : b, want, accumulate);
    k->channel_affine(rows, c, x, a, accumulate ? NULL : b, got, accumulate);
    near(k, "channel_affine", got, want, rows * c, 1e-6);
    kernels_reference.channel_affine(rows, c, x, a, accumulate ? b : NULL, want, accumulate);
    k->channel_affine(rows, c, x, a, accumulate ? b : NULL, got, accumulate);
    near(k, "channel_affine", got, want, rows * c, 1e-6);
    kernels_reference.channel_backward(rows, c, x, dy, mean, a, b, d, want, accumulate);
    k->channel_backward(rows, c, x, dy, mean, a, b, d, got, accumulate);
    near(k, "channel_backward", got, want, rows * c, 2e-6);
    kernels_reference.channel_dots(rows, c, x, dy, mean, want_sums, want_sums + c);
    k->channel_dots(rows, c, x, dy, mean, got_sums, got_sums + c);
    near_double(k, "channel_dots", got_sums, want_sums, 2 * c, rounding(rows));
    kernels_reference.channel_moments(rows, c, x, want_sums, want_sums + c);
    k->channel_moments(rows, c, x, got_sums, got_sums + c);
    near_double(k, "channel_moments", got_sums, want_sums, 2 * c, rounding(rows));
    free(x);
    free(dy);
    free(mean);
    free(a);
    free(b);
    free(d);
    free(got);
    free(want);
    free(got_sums);
    free(want_sums);
}

static void passes_over_channels_agree(void **state)
{
    (void)state;
    EACH_FAMILY(k)
    for (size_t i = 0; i < 2 * PASSES; i++)
        passes_agree(k, row_counts[i / 2 % 4], channel_counts[i / 8], i % 2 == 1);
}

/* A plain sum of squares would lose all digits. */
static void moments_survive_a_mean_a_thousand_deviations_off(void **state)
{
    enum { ROWS = 2000, C = 16 };

    (void)state;
    EACH_FAMILY(k)
    {
        real *x = uniform(ROWS * C);
        double got[2 * C], want[2 * C];

        for (size_t i = 0; i < ROWS * C; i++)
            x[i] += 1000;
        kernels_reference.channel_moments(ROWS, C, x, want, want + C);
        k->channel_moments(ROWS, C, x, got, got + C);
        near_double(k, "channel_moments", got, want, 2 * C, 1e-5);
        free(x);
    }
}

static void a_relu_keeps_nan(void **state)
{
    (void)state;
    EACH_FAMILY(k)
    {
        real x[] = { (real)NAN, -1, 2 }, y[3];
        PlaneWindow p = { .t = 3, .rows = 1, .cols = 1 };

        k->plane_load(&p, NULL, NULL, x, y);
        assert_true(isnan(y[0]) && y[1] == 0 && y[2] == 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_agree),
        cmocka_unit_test(planes_come_in_and_go_out_alike),
        cmocka_unit_test(small_products_agree),
        cmocka_unit_test(passes_over_channels_agree),
        cmocka_unit_test(moments_survive_a_mean_a_thousand_deviations_off),
        cmocka_unit_test(a_relu_keeps_nan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
