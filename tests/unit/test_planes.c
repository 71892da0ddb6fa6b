/*
 * planes: the kernels of small maps, every family that this CPU runs against the naive reference.
 * Buffers have exactly the size that a kernel may touch.
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

/* g = k[0]*dy + k[1]*(x - k[2]) + k[3], out of rows of pixels that are `wide` numbers. */
static void gradients_are_blended_alike(void **state)
{
    (void)state;
    EACH_FAMILY(k)
    for (size_t i = 0; i < PLANES; i++) {
        const Plane *p = &planes[i];
        size_t wide = p->t + 3, in = p->rows * p->cols * wide - 3, out = p->rows * p->cols * p->t;
        PlaneWindow blend = { .t = p->t,
                              .rows = p->rows,
                              .cols = p->cols,
                              .dst_row = p->cols * p->t,
                              .dst_col = p->t,
                              .src_row = p->cols * wide,
                              .src_col = wide };
        real *x = uniform(in), *dy = uniform(in), *factors = uniform(4 * p->t), *got = uniform(out),
             *want = uniform(out);

        kernels_reference.plane_blend(&blend, factors, x, dy, want);
        k->plane_blend(&blend, factors, x, dy, got);
        near(k, "plane_blend", got, want, out, 2e-6);
        free(x);
        free(dy);
        free(factors);
        free(got);
        free(want);
    }
}

/* ---- Products ---- */

/* A product's moments, about the same numbers. */
static void moments_agree(const Kernels *k, const PlaneMoments *got, const PlaneMoments *want,
                          size_t rows, size_t n, size_t depth)
{
    near(k, "plane_product's first row", got->about, want->about, n, rounding(depth));
    near_double(k, "plane_product's sums", got->sum, want->sum, n, 10 * rounding(rows * depth));
    near_double(k, "plane_product's squares", got->square, want->square, n,
                10 * rounding(rows * depth));
}

static PlaneMoments moments_new(size_t n)
{
    return (PlaneMoments){
        .about = uniform(n), .sum = zeros(n), .square = zeros(n), .work = uniform(2 * n)
    };
}

static void moments_free(PlaneMoments *m)
{
    free(m->about);
    free(m->sum);
    free(m->square);
    free(m->work);
}

static void small_products_agree(void **state)
{
    static const size_t sizes[][4] = {
        { 1, 1, 1, 4 },    { 7, 3, 5, 4 },     { 16, 16, 16, 4 }, { 33, 64, 64, 4 },
        { 8, 36, 36, 4 },  { 300, 16, 40, 4 }, /* and rows of which several make a vector: */
        { 300, 1, 1, 33 }, { 300, 2, 2, 16 },  { 33, 2, 2, 13 },  { 300, 4, 4, 16 },
        { 300, 4, 4, 7 },  { 300, 8, 8, 8 },   { 33, 8, 8, 5 },   { 300, 2, 4, 16 },
    };

    (void)state;
    EACH_FAMILY(k)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t rows = sizes[i][0], depth = sizes[i][1], n = sizes[i][2];
        size_t group = sizes[i][3], all = (rows + group - 1) / group * (group * n + 5);
        RowSteps grouped = { group, group * n + 5, n };
        real *a = uniform(rows * depth), *b = uniform(depth * n), *got = uniform(all),
             *want = copy(got, all), *d = uniform(rows * n), *got_dw = uniform(depth * n),
             *want_dw = copy(got_dw, depth * n);
        PlaneMoments got_moments = moments_new(n), want_moments = moments_new(n);

        kernels_reference.plane_product(rows, depth, n, a, b, want, &grouped, &want_moments);
        k->plane_product(rows, depth, n, a, b, got, &grouped, &got_moments);
        near(k, "plane_product", got, want, all, rounding(depth));
        moments_agree(k, &got_moments, &want_moments, rows, n, depth);
        memset(got, 0, all * sizeof *got);
        memset(want, 0, all * sizeof *want);
        kernels_reference.plane_product(rows, depth, n, a, b, want, &grouped, NULL);
        k->plane_product(rows, depth, n, a, b, got, &grouped, NULL);
        near(k, "plane_product without moments", got, want, all, rounding(depth));
        kernels_reference.plane_outer(rows, depth, n, a, d, want_dw);
        k->plane_outer(rows, depth, n, a, d, got_dw);
        near(k, "plane_outer", got_dw, want_dw, depth * n, rounding(rows * depth));
        free(a);
        free(b);
        free(got);
        free(want);
        free(d);
        free(got_dw);
        free(want_dw);
        moments_free(&got_moments);
        moments_free(&want_moments);
    }
}

/* A plain sum of squares would lose all digits: here column j is 1000 and a little. */
static void moments_survive_a_mean_a_thousand_deviations_off(void **state)
{
    enum { ROWS = 2000, C = 16 };
    const RowSteps all = { SIZE_MAX, 0, C };

    (void)state;
    EACH_FAMILY(k)
    {
        real *a = uniform(2 * ROWS), *b = uniform(2 * C), *c = uniform(ROWS * C);
        PlaneMoments got = moments_new(C), want = moments_new(C);

        for (size_t i = 0; i < ROWS; i++)
            a[2 * i] = 1;
        for (size_t j = 0; j < C; j++)
            b[j] = 1000;
        kernels_reference.plane_product(ROWS, 2, C, a, b, c, &all, &want);
        k->plane_product(ROWS, 2, C, a, b, c, &all, &got);
        for (size_t j = 0; j < C; j++) {
            double m2 = got.square[j] - got.sum[j] * got.sum[j] / ROWS,
                   wanted = want.square[j] - want.sum[j] * want.sum[j] / ROWS;

            near_double(k, "plane_product's m2", &m2, &wanted, 1, 1e-3);
        }
        free(a);
        free(b);
        free(c);
        moments_free(&got);
        moments_free(&want);
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
        cmocka_unit_test(gradients_are_blended_alike),
        cmocka_unit_test(small_products_agree),
        cmocka_unit_test(moments_survive_a_mean_a_thousand_deviations_off),
        cmocka_unit_test(a_relu_keeps_nan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
