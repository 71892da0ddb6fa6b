/*
 * direct: every family's convolution without OpenBLAS against the reference: strides, borders,
 * dilation, partial blocks, input channels in several parts, in parts of rows and channels and
 * whole; its input's gradient in the same way; and what normalises its output while it is in cache.
 * Buffers have exactly the size that a kernel may touch, so the sanitizer sees a step beyond.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/kernels/kernels.h"

static uint32_t drawn; /* every array is another one */

/* `count` numbers uniform in [-1,1); free() them. */
static real *uniform(size_t count)
{
    real *ret = malloc(count * sizeof *ret);
    Rng rng = rng_at(1, RNG_TEST, 0, drawn++);

    assert_non_null(ret);
    for (size_t i = 0; i < count; i++)
        ret[i] = (real)(2 * (double)rng_uniform(&rng) - 1);
    return ret;
}

static real *copy(const real *from, size_t count)
{
    real *ret = malloc(count * sizeof *ret);

    assert_non_null(ret);
    memcpy(ret, from, count * sizeof *ret);
    return ret;
}

#define EACH_FAMILY(k) \
    for (const Kernels *const *k##_ = kernels_available(), *k; (k = *k##_) != NULL; k##_++)

/* Rows [row0,row1) and channels [out0,out1) are the wanted ones, all others as they were. */
static void check_part(const Kernels *k, const ConvShape *s, const uint32_t part[4], const real *x,
                       const real *w, const real *bias, const real *want)
{
    size_t row = (size_t)s->ow * s->n, count = s->oh * row * s->out;
    real *before = uniform(count), *got = copy(before, count);
    double bound = 2e-6 * (1 + sqrt((double)s->kernel_h * s->kernel_w * s->in));

    k->direct_forward(s, part[0], part[1], part[2], part[3], x, w, bias, got);
    for (size_t i = 0; i < count; i++) {
        size_t r = i / s->out / row, o = i % s->out;
        bool inside = r >= part[0] && r < part[1] && o >= part[2] && o < part[3];

        if (inside ? !(fabs((double)got[i] - (double)want[i]) <= bound) : got[i] != before[i])
            fail_msg("%s: %u images of %ux%ux%u, kernel %ux%u, stride %u, row %zu, channel %zu: "
                     "%.9g, not %.9g",
                     k->name, s->n, s->h, s->w, s->in, s->kernel_h, s->kernel_w, s->stride, r, o,
                     (double)got[i], (double)(inside ? want : before)[i]);
    }
    free(before);
    free(got);
}

static void check(ConvShape s)
{
    real *x, *w, *bias, *want;

    s.oh = (s.h + 2 * s.padding_h - (s.kernel_h - 1) * s.dilation - 1) / s.stride + 1;
    s.ow = (s.w + 2 * s.padding_w - (s.kernel_w - 1) * s.dilation - 1) / s.stride + 1;
    s.groups = 1;
    x = uniform((size_t)s.n * s.h * s.w * s.in);
    w = uniform((size_t)s.kernel_h * s.kernel_w * s.in * s.out);
    bias = uniform(s.out);
    want = uniform((size_t)s.n * s.oh * s.ow * s.out);
    kernels_reference.conv_forward(&s, 0, s.oh, x, w, bias, want);
    EACH_FAMILY(k)
    {
        uint32_t first = s.out < DIRECT_CHANNELS_MAX ? s.out : DIRECT_CHANNELS_MAX;

        check_part(k, &s, (uint32_t[]){ 0, s.oh, 0, first }, x, w, bias, want);
        check_part(k, &s, (uint32_t[]){ s.oh / 3, s.oh - s.oh / 4, s.out - DIRECT_CHANNELS, s.out },
                   x, w, bias, want);
    }
    kernels_reference.conv_forward(&s, 0, s.oh, x, w, NULL, want);
    EACH_FAMILY(k)
    check_part(k, &s, (uint32_t[]){ 0, s.oh, 0, DIRECT_CHANNELS }, x, w, NULL, want);
    free(x);
    free(w);
    free(bias);
    free(want);
}

static void convolutions_agree(void **state)
{
    static const ConvShape rows[] = {
        { .n = 1, .h = 1, .w = 1, .in = 1, .out = 32, .padding_h = 1, .padding_w = 1 },
        { .n = 1, .h = 4, .w = 4, .in = 130, .out = 96, .padding_h = 1, .padding_w = 1 },
        { .n = 3, .h = 7, .w = 5, .in = 36, .out = 64, .padding_h = 1, .padding_w = 2 },
        { .n = 16, .h = 5, .w = 9, .in = 3, .out = 32, .padding_h = 0, .padding_w = 1 },
        { .n = 16, .h = 2, .w = 2, .in = 257, .out = 32, .padding_h = 1, .padding_w = 1 },
        { .n = 1, .h = 33, .w = 20, .in = 5, .out = 32, .padding_h = 2, .padding_w = 0 },
    };
    static const uint32_t kernels[][2] = { { 1, 1 }, { 3, 3 }, { 1, 3 }, { 3, 2 } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t j = 0; j < sizeof kernels / sizeof *kernels; j++)
            for (uint32_t stride = 1; stride <= 3; stride++) {
                ConvShape s = rows[i];

                s.kernel_h = kernels[j][0];
                s.kernel_w = kernels[j][1];
                s.stride = stride;
                s.dilation = 1;
                if (s.w + 2 * s.padding_w >= s.kernel_w && s.h + 2 * s.padding_h >= s.kernel_h)
                    check(s);
                s.dilation = 2;
                if (s.w + 2 * s.padding_w > 2 * (s.kernel_w - 1) &&
                    s.h + 2 * s.padding_h > 2 * (s.kernel_h - 1))
                    check(s);
            }
}

/* The same of the input's gradient: rows [part[0],part[1]) and channels [part[2],part[3]). */
static void check_data_part(const Kernels *k, const ConvShape *s, const uint32_t part[4],
                            const real *dy, const real *w, bool accumulate, const real *dx)
{
    size_t row = (size_t)s->w * s->n, count = s->h * row * s->in;
    real *before = uniform(count), *got = copy(before, count);
    double bound = 2e-6 * (1 + sqrt((double)s->kernel_h * s->kernel_w * s->out));

    k->direct_data(s, part[0], part[1], part[2], part[3], dy, w, got, accumulate);
    for (size_t i = 0; i < count; i++) {
        size_t r = i / s->in / row, c = i % s->in;
        bool inside = r >= part[0] && r < part[1] && c >= part[2] && c < part[3];
        double want =
            (inside ? (double)dx[i] : 0) + (accumulate || !inside ? (double)before[i] : 0);

        if (inside ? !(fabs((double)got[i] - want) <= bound) : got[i] != before[i])
            fail_msg("%s: gradient of %u images of %ux%ux%u, kernel %ux%u, stride %u, row %zu, "
                     "channel %zu: %.9g, not %.9g",
                     k->name, s->n, s->h, s->w, s->in, s->kernel_h, s->kernel_w, s->stride, r, c,
                     (double)got[i], want);
    }
    free(before);
    free(got);
}

static void check_data(ConvShape s)
{
    real *dy, *w, *dx;

    s.oh = (s.h + 2 * s.padding_h - (s.kernel_h - 1) * s.dilation - 1) / s.stride + 1;
    s.ow = (s.w + 2 * s.padding_w - (s.kernel_w - 1) * s.dilation - 1) / s.stride + 1;
    s.groups = 1;
    dy = uniform((size_t)s.n * s.oh * s.ow * s.out);
    w = uniform((size_t)s.kernel_h * s.kernel_w * s.in * s.out);
    dx = uniform((size_t)s.n * s.h * s.w * s.in);
    kernels_reference.conv_backward_data(&s, 0, s.h, dy, w, dx, false);
    EACH_FAMILY(k)
    {
        uint32_t first = s.in < DIRECT_CHANNELS_MAX ? s.in : DIRECT_CHANNELS_MAX;

        check_data_part(k, &s, (uint32_t[]){ 0, s.h, 0, first }, dy, w, false, dx);
        check_data_part(k, &s, (uint32_t[]){ s.h / 3, s.h - s.h / 4, s.in - DIRECT_CHANNELS, s.in },
                        dy, w, true, dx);
    }
    free(dy);
    free(w);
    free(dx);
}

static void gradients_of_inputs_agree(void **state)
{
    static const ConvShape rows[] = {
        { .n = 1, .h = 1, .w = 1, .in = 32, .out = 1, .padding_h = 1, .padding_w = 1 },
        { .n = 1, .h = 4, .w = 4, .in = 96, .out = 130, .padding_h = 1, .padding_w = 1 },
        { .n = 3, .h = 7, .w = 5, .in = 64, .out = 36, .padding_h = 1, .padding_w = 2 },
        { .n = 16, .h = 5, .w = 9, .in = 32, .out = 3, .padding_h = 0, .padding_w = 1 },
        { .n = 2, .h = 2, .w = 2, .in = 32, .out = 257, .padding_h = 1, .padding_w = 1 },
        { .n = 1, .h = 33, .w = 20, .in = 32, .out = 5, .padding_h = 2, .padding_w = 0 },
    };
    static const uint32_t kernels[][2] = { { 1, 1 }, { 3, 3 }, { 3, 2 } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t j = 0; j < sizeof kernels / sizeof *kernels; j++)
            for (uint32_t stride = 1; stride <= 3; stride++) {
                ConvShape s = rows[i];

                s.kernel_h = kernels[j][0];
                s.kernel_w = kernels[j][1];
                s.stride = stride;
                s.dilation = 1;
                if (s.w + 2 * s.padding_w >= s.kernel_w && s.h + 2 * s.padding_h >= s.kernel_h)
                    check_data(s);
                s.dilation = 2;
                if (s.w + 2 * s.padding_w > 2 * (s.kernel_w - 1) &&
                    s.h + 2 * s.padding_h > 2 * (s.kernel_h - 1))
                    check_data(s);
            }
}

/* Which product an output's last digit sees must not depend on how the work was cut. */
static void an_output_has_the_same_bits_in_any_part(void **state)
{
    ConvShape s = { 5, 6, 7, 40, 6, 7, 64, 3, 3, 1, 1, 1, 1, 1 };
    size_t row = (size_t)s.ow * s.n, count = s.oh * row * s.out;
    real *x = uniform((size_t)s.n * s.h * s.w * s.in), *w = uniform((size_t)9 * s.in * s.out),
         *whole = uniform(count), *parts = uniform(count);

    (void)state;
    EACH_FAMILY(k)
    {
        k->direct_forward(&s, 0, s.oh, 0, s.out, x, w, NULL, whole);
        for (uint32_t r = 0; r < s.oh; r++)
            for (uint32_t o = 0; o < s.out; o += DIRECT_CHANNELS)
                k->direct_forward(&s, r, r + 1, o, o + DIRECT_CHANNELS, x, w, NULL, parts);
        assert_memory_equal(whole, parts, count * sizeof *whole);
    }
    free(x);
    free(w);
    free(whole);
    free(parts);
}

static void a_gradient_has_the_same_bits_in_any_part(void **state)
{
    ConvShape s = { 5, 6, 7, 64, 3, 4, 40, 3, 3, 2, 1, 1, 1, 1 };
    size_t row = (size_t)s.w * s.n, count = s.h * row * s.in;
    real *dy = uniform((size_t)s.n * s.oh * s.ow * s.out), *w = uniform((size_t)9 * s.in * s.out),
         *whole = uniform(count), *parts = uniform(count);

    (void)state;
    EACH_FAMILY(k)
    {
        k->direct_data(&s, 0, s.h, 0, s.in, dy, w, whole, false);
        for (uint32_t r = 0; r < s.h; r++)
            for (uint32_t c = 0; c < s.in; c += DIRECT_CHANNELS)
                k->direct_data(&s, r, r + 1, c, c + DIRECT_CHANNELS, dy, w, parts, false);
        assert_memory_equal(whole, parts, count * sizeof *whole);
    }
    free(dy);
    free(w);
    free(whole);
    free(parts);
}

static void a_slice_is_normalised_with_the_bits_of_a_whole_row(void **state)
{
    enum { ROWS = 7, C = 96, FIRST = 32, SLICE = 37 };
    real *x = uniform(ROWS * C), *z = uniform(ROWS * C), *scale = uniform(C), *shift = uniform(C),
         *want = uniform(ROWS * C);

    (void)state;
    EACH_FAMILY(k)
    for (int kind = 0; kind < 4; kind++) {
        const real *added = kind / 2 != 0 ? z : NULL;
        real *got = copy(x, ROWS * C);

        k->norm_forward(ROWS, C, x, scale, shift, added, kind % 2 != 0, want);
        k->norm_slice(ROWS, SLICE, C, scale + FIRST, shift + FIRST,
                      added != NULL ? added + FIRST : NULL, kind % 2 != 0, got + FIRST);
        for (size_t i = 0; i < (size_t)ROWS * C; i++) {
            bool inside = i % C >= FIRST && i % C < FIRST + SLICE;

            assert_memory_equal(&got[i], inside ? &want[i] : &x[i], sizeof *got);
        }
        free(got);
    }
    free(x);
    free(z);
    free(scale);
    free(shift);
    free(want);
}

static void a_slice_keeps_nan(void **state)
{
    (void)state;
    EACH_FAMILY(k)
    {
        real y[] = { (real)NAN, -1, 2 }, scale[] = { 1, 1, 1 }, shift[] = { 0, 0, 0 };

        k->norm_slice(1, 3, 3, scale, shift, NULL, true, y);
        assert_true(isnan(y[0]) && y[1] == 0 && y[2] == 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_agree),
        cmocka_unit_test(an_output_has_the_same_bits_in_any_part),
        cmocka_unit_test(gradients_of_inputs_agree),
        cmocka_unit_test(a_gradient_has_the_same_bits_in_any_part),
        cmocka_unit_test(a_slice_is_normalised_with_the_bits_of_a_whole_row),
        cmocka_unit_test(a_slice_keeps_nan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
