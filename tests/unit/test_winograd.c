/*
 * winograd: every family's Winograd kernels against the reference, which knows no Winograd: odd
 * sizes, one pixel, cut tiles, partial blocks, all paddings, in parts and whole. Buffers have
 * exactly the size that a kernel may touch, so the sanitizer sees a step beyond.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/kernels/kernels.h"

/* Relative L2: direct convolution in float has 2e-7. A number out of place is 1e-2 and more. */
static const double bound = 2e-6;

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

static void near(const Kernels *k, const WinogradShape *s, const char *what, const real *got,
                 const real *want, size_t count)
{
    double difference = 0, norm = 0;

    for (size_t i = 0; i < count; i++) {
        difference += pow((double)got[i] - (double)want[i], 2);
        norm += pow((double)want[i], 2);
    }
    if (!(sqrt(difference) <= bound * sqrt(norm)))
        fail_msg("%s of %s: %u images of %ux%ux%u to %u channels, padding %u and %u: off by %.2g",
                 what, k->name, s->images, s->h, s->w, s->in, s->out, s->padding_h, s->padding_w,
                 sqrt(difference / norm));
}

/* Every family of this CPU but the reference. */
#define EACH_FAMILY(k)                                                                            \
    for (const Kernels *const *k##_ = kernels_available(), *k; (k = *k##_) != &kernels_reference; \
         k##_++)

typedef struct Case {
    WinogradShape s;
    size_t x, y, w, tiles; /* numbers in each; all tiles */
    real *in, *weight, *bias, *dy, *before;
} Case;

static Case case_of(const WinogradShape *s)
{
    Case c = { .s = *s,
               .x = (size_t)s->images * s->h * s->w * s->in,
               .y = (size_t)s->images * s->oh * s->ow * s->out,
               .w = (size_t)9 * s->in * s->out,
               .tiles = winograd_all_tiles(s) };

    c.in = uniform(c.x);
    c.weight = uniform(c.w);
    c.bias = uniform(s->out);
    c.dy = uniform(c.y);
    c.before = uniform(c.y);
    return c;
}

static void case_clear(Case *c)
{
    free(c->in);
    free(c->weight);
    free(c->bias);
    free(c->dy);
    free(c->before);
}

/* The transformed weights, made in two parts, the later first. */
static real *weights_of(const Kernels *k, const Case *c, bool flipped)
{
    real *u = malloc(winograd_weight_numbers(&c->s) * sizeof *u);

    assert_non_null(u);
    if (c->s.in > WINOGRAD_CHANNELS)
        k->winograd_weights(&c->s, flipped, WINOGRAD_CHANNELS, c->s.in, c->weight, u);
    k->winograd_weights(&c->s, flipped, 0, WINOGRAD_CHANNELS, c->weight, u);
    return u;
}

static void run_tiles(const Kernels *k, const Case *c, size_t tile0, size_t tile1, const real *u,
                      const real *bias, bool accumulate, real *y)
{
    real *work = malloc(winograd_tiles_numbers(&c->s, tile1 - tile0) * sizeof *work);

    assert_non_null(work);
    k->winograd_tiles(&c->s, tile0, tile1, c->in, u, bias, accumulate, y, work);
    free(work);
}

/* Which numbers of y tiles [tile0,tile1) are: the reference answers NaN there. */
static bool *touched(const Case *c, size_t tile0, size_t tile1)
{
    real *u = weights_of(&kernels_reference, c, false), *y = copy(c->before, c->y);
    bool *ret = malloc(c->y * sizeof *ret);

    assert_non_null(ret);
    for (size_t i = 0; i < c->w; i++)
        u[i] = (real)NAN;
    run_tiles(&kernels_reference, c, tile0, tile1, u, NULL, false, y);
    for (size_t i = 0; i < c->y; i++)
        ret[i] = isnan(y[i]);
    free(u);
    free(y);
    return ret;
}

/* All tiles from the `flipped` weights or not, overwritten or added to; the middle ones first, with
 * a look that nothing else moved. */
static void check_tiles(const Case *c, bool flipped, bool bias, bool accumulate)
{
    size_t tile0 = c->tiles / 3, tile1 = c->tiles - c->tiles / 4;
    bool *middle = touched(c, tile0, tile1);
    real *u = weights_of(&kernels_reference, c, flipped), *want = copy(c->before, c->y);

    run_tiles(&kernels_reference, c, 0, c->tiles, u, bias ? c->bias : NULL, accumulate, want);
    free(u);
    EACH_FAMILY(k)
    {
        real *got = copy(c->before, c->y);

        u = weights_of(k, c, flipped);
        run_tiles(k, c, tile0, tile1, u, bias ? c->bias : NULL, accumulate, got);
        for (size_t i = 0; i < c->y; i++)
            assert_true(middle[i] || got[i] == c->before[i]);
        if (tile1 < c->tiles)
            run_tiles(k, c, tile1, c->tiles, u, bias ? c->bias : NULL, accumulate, got);
        if (tile0 > 0)
            run_tiles(k, c, 0, tile0, u, bias ? c->bias : NULL, accumulate, got);
        near(k, &c->s, flipped ? "winograd_tiles, flipped" : "winograd_tiles", got, want, c->y);
        free(got);
        free(u);
    }
    free(want);
    free(middle);
}

/* The transformed input, the later tiles first. */
static real *input_of(const Kernels *k, const Case *c)
{
    real *v = malloc(winograd_input_numbers(&c->s) * sizeof *v);
    size_t half = c->tiles / 2;

    assert_non_null(v);
    k->winograd_inputs(&c->s, half, c->tiles, c->in, v);
    if (half > 0)
        k->winograd_inputs(&c->s, 0, half, c->in, v);
    return v;
}

static void run_channels(const Kernels *k, const Case *c, uint32_t out0, uint32_t out1,
                         const real *v, bool flipped, bool accumulate, real *y)
{
    real *work = malloc(winograd_channels_numbers(&c->s, out1 - out0) * sizeof *work);

    assert_non_null(work);
    k->winograd_channels(&c->s, flipped, out0, out1, v, c->weight, c->bias, accumulate, y, work);
    free(work);
}

/* The same as check_tiles(), cut by channels: the last ones first. */
static void check_channels(const Case *c, bool flipped, bool accumulate)
{
    uint32_t out = c->s.out - WINOGRAD_CHANNELS;
    real *u = weights_of(&kernels_reference, c, flipped), *want = copy(c->before, c->y);

    run_tiles(&kernels_reference, c, 0, c->tiles, u, c->bias, accumulate, want);
    free(u);
    for (const Kernels *const *k = kernels_available(); *k != NULL; k++) {
        real *got = copy(c->before, c->y), *v = input_of(*k, c);

        run_channels(*k, c, out, c->s.out, v, flipped, accumulate, got);
        for (size_t i = 0; i < c->y; i++)
            assert_true(i % c->s.out >= out || got[i] == c->before[i]);
        if (out > 0)
            run_channels(*k, c, 0, out, v, flipped, accumulate, got);
        near(*k, &c->s, flipped ? "winograd_channels, flipped" : "winograd_channels", got, want,
             c->y);
        free(got);
        free(v);
    }
    free(want);
}

static void run_part(const Kernels *k, const Case *c, const WinogradPart *p, bool accumulate,
                     real *dw)
{
    real *work =
        malloc(winograd_gradient_numbers(p->in1 - p->in0, p->out1 - p->out0) * sizeof *work);

    assert_non_null(work);
    k->winograd_gradient(&c->s, p, c->in, c->dy, accumulate, dw, work);
    free(work);
}

/* The last channels first, with a look that nothing else moved; each part's later tiles are added
 * to its first. */
static void check_gradient(const Case *c)
{
    uint32_t in = c->s.in - WINOGRAD_CHANNELS, out = c->s.out - WINOGRAD_CHANNELS;
    size_t half = (c->tiles + 1) / 2;
    const WinogradPart parts[] = {
        { 0, half, in, c->s.in, out, c->s.out }, { half, c->tiles, in, c->s.in, out, c->s.out },
        { 0, half, 0, in, 0, c->s.out },         { half, c->tiles, 0, in, 0, c->s.out },
        { 0, half, in, c->s.in, 0, out },        { half, c->tiles, in, c->s.in, 0, out },
    };
    real *want = copy(c->weight, c->w);

    run_part(&kernels_reference, c, &(WinogradPart){ 0, c->tiles, 0, c->s.in, 0, c->s.out }, false,
             want);
    EACH_FAMILY(k)
    {
        real *got = copy(c->weight, c->w);

        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            const WinogradPart *p = &parts[i];

            if (p->tile0 < p->tile1 && p->in0 < p->in1 && p->out0 < p->out1)
                run_part(k, c, p, i % 2 != 0, got);
            for (size_t j = 0; j < c->w && i == 0; j++)
                if (j / c->s.out % c->s.in < in || j % c->s.out < out)
                    assert_true(got[j] == c->weight[j]);
        }
        near(k, &c->s, "winograd_gradient", got, want, c->w);
        free(got);
    }
    free(want);
}

static WinogradShape shape_of(uint32_t images, uint32_t h, uint32_t w, uint32_t in, uint32_t out,
                              uint32_t padding_h, uint32_t padding_w)
{
    return (WinogradShape){
        images, h, w, in, h + 2 * padding_h - 2, w + 2 * padding_w - 2, out, padding_h, padding_w
    };
}

static const WinogradShape *shapes(size_t *ret_count)
{
    static WinogradShape all[32];
    size_t count = 0;

    for (uint32_t padding = 0; padding <= 2; padding++) {
        all[count++] = shape_of(3, 7, 5, 32, 32, padding, padding);
        all[count++] = shape_of(17, 4, 3, 32, 32, padding, 2 - padding);
        all[count++] = shape_of(1, 8, 8, 64, 96, padding, padding);
    }
    for (uint32_t padding = 1; padding <= 2; padding++) {
        all[count++] = shape_of(17, 1, 1, 32, 64, padding, padding);
        all[count++] = shape_of(5, 2, 2, 96, 32, padding, padding);
    }
    all[count++] = shape_of(16, 3, 3, 160, 64, 1, 1); /* more terms than are summed at a time */
    all[count++] = shape_of(33, 4, 4, 32, 32, 1, 1);
    all[count++] = shape_of(16, 3, 9, 32, 32, 1, 1);
    all[count++] = shape_of(1, 33, 33, 32, 32, 1, 1);
    *ret_count = count;
    return all;
}

static void tiles_agree(void **state)
{
    size_t count;
    const WinogradShape *all = shapes(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        Case c = case_of(&all[i]);

        check_tiles(&c, false, i % 2 != 0, i % 3 == 0);
        check_tiles(&c, true, i % 3 != 0, i % 2 == 0);
        case_clear(&c);
    }
}

static void channels_agree(void **state)
{
    size_t count;
    const WinogradShape *all = shapes(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        Case c = case_of(&all[i]);

        check_channels(&c, i % 2 == 0, i % 3 == 0);
        case_clear(&c);
    }
}

static void gradients_of_weights_agree(void **state)
{
    size_t count;
    const WinogradShape *all = shapes(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        Case c = case_of(&all[i]);

        check_gradient(&c);
        case_clear(&c);
    }
}

static void rows_are_the_images_of_the_tiles(void **state)
{
    WinogradShape s = shape_of(35, 8, 4, 32, 32, 1, 1); /* blocks of 16, 16, 3; two tiles each */

    (void)state;
    assert_int_equal(winograd_all_tiles(&s), 6);
    assert_int_equal(winograd_rows(&s, 0, 6), 70);
    assert_int_equal(winograd_rows(&s, 1, 5), 51);
    assert_int_equal(winograd_rows(&s, 4, 5), 3);
    assert_int_equal(winograd_rows(&s, 5, 6), 3);
    assert_int_equal(winograd_rows(&s, 2, 4), 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_the_images_of_the_tiles),
        cmocka_unit_test(tiles_agree),
        cmocka_unit_test(channels_agree),
        cmocka_unit_test(gradients_of_weights_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
