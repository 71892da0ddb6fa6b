/* augment: every row's geometry and statistics; mixing, its labels, and what it is keyed by. Seeds
 * are fixed, so a bound holds or fails for good. */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/shape.h"
#include "core/data/augment.h"
#include "core/data/loader.h"
#include "core/data/mix.h"

static const Augmentation *row(const char *name)
{
    int at = table_find(augmentation_table, name);

    assert_true(at >= 0);
    return augmentation_table[at];
}

static Choice choose(const char *name, double first, double second)
{
    Choice c;

    choice_init(augmentation_table, (uint32_t)table_find(augmentation_table, name), &c);
    c.value[0] = first;
    c.value[1] = second;
    return c;
}

static ImageDraw draw_at(uint32_t epoch, uint32_t image)
{
    return (ImageDraw){
        .rng = rng_at(7, RNG_AUGMENT, epoch, image), .seed = 7, .epoch = epoch, .image = image
    };
}

/* The chi-square statistic of `count` bins that expect `share[i]` (NULL: all the same) of
 * `total`. */
static double chi_square(const unsigned *seen, const double *share, size_t count, unsigned total)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++) {
        double expected = total * (share != NULL ? share[i] : 1.0 / (double)count);

        sum += (seen[i] - expected) * (seen[i] - expected) / expected;
    }
    return sum;
}

/* ---- Bytes to bytes ---- */

static void crop_shifts_evenly_and_moves_zeros_in(void **state)
{
    const ImageSize size = { 7, 7, 1 };
    const double padding = 2;
    uint8_t in[49], out[49];
    unsigned count[25] = { 0 };

    (void)state;
    for (int p = 0; p < 49; p++)
        in[p] = (uint8_t)(p + 1);
    for (uint32_t i = 0; i < 5000; i++) {
        ImageDraw draw = draw_at(0, i);
        int dy, dx;

        row("crop")->pixels(&padding, &draw, size, in, out);
        /* The middle is never cropped away from the middle, so it tells the shift. */
        dy = (out[3 * 7 + 3] - 1) / 7 - 3;
        dx = (out[3 * 7 + 3] - 1) % 7 - 3;
        count[(dy + 2) * 5 + dx + 2]++;
        for (int y = 0; y < 7; y++)
            for (int x = 0; x < 7; x++) {
                bool inside = y + dy >= 0 && y + dy < 7 && x + dx >= 0 && x + dx < 7;

                assert_int_equal(out[y * 7 + x], inside ? in[(y + dy) * 7 + x + dx] : 0);
            }
    }
    assert_true(chi_square(count, NULL, 25, 5000) < 51.2); /* 24 degrees of freedom, p = 0.001 */
}

static void crop_survives_a_padding_wider_than_the_image(void **state)
{
    const ImageSize size = { 3, 5, 2 };
    const double none = 0, most = 16;
    uint8_t in[30], out[30];
    int empty = 0;

    (void)state;
    memset(in, 9, sizeof in);
    for (uint32_t i = 0; i < 500; i++) {
        ImageDraw draw = draw_at(1, i);

        row("crop")->pixels(&most, &draw, size, in, out);
        empty += memchr(out, 9, sizeof out) == NULL;
        row("crop")->pixels(&none, &draw, size, in, out);
        assert_memory_equal(in, out, sizeof in);
    }
    assert_true(empty > 250 && empty < 500);
}

static const ImageSize strip = { 1, 3, 2 };
static const uint8_t strip_in[6] = { 1, 2, 3, 4, 5, 6 }, strip_mirrored[6] = { 5, 6, 3, 4, 1, 2 };

/* Is the strip mirrored in this epoch? It must be whole either way. */
static bool flips(double mode, uint64_t seed, uint32_t epoch, uint32_t image)
{
    ImageDraw draw = draw_at(epoch, image);
    uint8_t out[6];

    draw.seed = seed;
    draw.rng = rng_at(seed, RNG_AUGMENT, epoch, image);
    row("flip")->pixels(&mode, &draw, strip, strip_in, out);
    assert_memory_equal(out, out[0] == 5 ? strip_mirrored : strip_in, sizeof out);
    return out[0] == 5;
}

static void random_flip_mirrors_every_second_image_anew_each_epoch(void **state)
{
    int flipped = 0, changed = 0;

    (void)state;
    for (uint32_t i = 0; i < 2000; i++) {
        flipped += flips(0, 1, 2, i);
        changed += flips(0, 1, 2, i) != flips(0, 1, 3, i);
    }
    assert_in_range(flipped, 910, 1090); /* 1000 expected, sd 22 */
    assert_in_range(changed, 910, 1090);
}

static void alternating_flip_shows_each_image_once_each_way_in_two_epochs(void **state)
{
    int flipped = 0, changed = 0;

    (void)state;
    for (uint32_t i = 0; i < 2000; i++) {
        bool first = flips(1, 1, 0, i);

        flipped += first;
        for (uint32_t epoch = 1; epoch < 5; epoch++)
            assert_int_equal(flips(1, 1, epoch, i), first != (epoch % 2 == 1));
        changed += first != flips(1, 2, 0, i); /* another seed, other images first */
    }
    assert_in_range(flipped, 910, 1090);
    assert_in_range(changed, 910, 1090);
}

static void alternating_flip_is_not_tied_to_the_other_draws(void **state)
{
    int agree = 0;

    (void)state;
    for (uint32_t i = 0; i < 2000; i++) { /* the first draw of the image's stream in that epoch */
        ImageDraw draw = draw_at(0, i);

        agree += flips(1, 7, 0, i) == (rng_below(&draw.rng, 2) == 1);
    }
    assert_in_range(agree, 910, 1090);
}

/* Where a walk of |steps| from `at` ends on a line of `count`, turning round at its ends. */
static int walk(int at, int steps, int count)
{
    int way = steps < 0 ? -1 : 1;

    for (int i = 0; i < abs(steps) && count > 1; i++) {
        if (at + way < 0 || at + way >= count)
            way = -way;
        at += way;
    }
    return at;
}

/* Which of the (2p+1)^2 offsets gives this image? The pixels of `in` are all different. */
static int shift_of(ImageSize size, int padding, const uint8_t *in, const uint8_t *out)
{
    for (int dy = -padding; dy <= padding; dy++)
        for (int dx = -padding; dx <= padding; dx++) {
            bool same = true;

            for (int y = 0; y < (int)size.height && same; y++)
                for (int x = 0; x < (int)size.width && same; x++)
                    for (int c = 0; c < (int)size.channels && same; c++) {
                        int from = walk(y, dy, (int)size.height) * (int)size.width +
                                   walk(x, dx, (int)size.width);

                        same = out[(y * (int)size.width + x) * (int)size.channels + c] ==
                               in[from * (int)size.channels + c];
                    }
            if (same)
                return (dy + padding) * (2 * padding + 1) + dx + padding;
        }
    return -1;
}

static void shift_is_even_over_its_offsets_and_reflects_at_the_border(void **state)
{
    const ImageSize size = { 6, 7, 2 };
    const double padding = 2;
    uint8_t in[84], out[84];
    unsigned count[25] = { 0 };

    (void)state;
    for (int i = 0; i < 84; i++)
        in[i] = (uint8_t)i;
    for (uint32_t i = 0; i < 5000; i++) {
        ImageDraw draw = draw_at(0, i);
        int offset;

        row("shift")->pixels(&padding, &draw, size, in, out);
        offset = shift_of(size, 2, in, out);
        assert_true(offset >= 0);
        count[offset]++;
    }
    assert_true(chi_square(count, NULL, 25, 5000) < 51.2);
}

static void shift_reflects_again_and_again_where_the_image_is_small(void **state)
{
    const ImageSize sizes[] = { { 1, 1, 3 }, { 1, 5, 1 }, { 2, 2, 4 }, { 3, 1, 1 }, { 4, 3, 2 } };
    const double padding = 16;
    uint8_t in[24], out[24];

    (void)state;
    for (int i = 0; i < 24; i++)
        in[i] = (uint8_t)(i * 5 + 1);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (uint32_t i = 0; i < 50; i++) {
            ImageDraw draw = draw_at((uint32_t)s, i);

            row("shift")->pixels(&padding, &draw, sizes[s], in, out);
            assert_true(shift_of(sizes[s], 16, in, out) >= 0);
        }
}

/* ---- Cutout ---- */

typedef struct Hole {
    uint32_t top, left, bottom, right;
} Hole;

/* Cuts an image of ones; what is left must be ones around one rectangle of zeros. */
static Hole cut(double length, ImageSize size, uint32_t image)
{
    ImageDraw draw = draw_at(0, image);
    size_t numbers = (size_t)size.height * size.width * size.channels, zeros = 0;
    Hole hole = { size.height, size.width, 0, 0 };
    float *pixels = malloc(numbers * sizeof *pixels);

    assert_non_null(pixels);
    for (size_t i = 0; i < numbers; i++)
        pixels[i] = 1;
    row("cutout")->normal(&length, &draw, size, pixels);
    for (uint32_t y = 0; y < size.height; y++)
        for (uint32_t x = 0; x < size.width; x++)
            for (uint32_t c = 0; c < size.channels; c++) {
                float v = pixels[(y * size.width + x) * size.channels + c];

                assert_true(v == 0 || v == 1);
                if (v != 0)
                    continue;
                zeros++;
                hole.top = y < hole.top ? y : hole.top;
                hole.left = x < hole.left ? x : hole.left;
                hole.bottom = y + 1 > hole.bottom ? y + 1 : hole.bottom;
                hole.right = x + 1 > hole.right ? x + 1 : hole.right;
            }
    free(pixels);
    assert_true(zeros > 0);
    assert_int_equal(zeros, (hole.bottom - hole.top) * (hole.right - hole.left) * size.channels);
    return hole;
}

/* The only centre whose interval of `length` < size, clipped, is this one. */
static uint32_t centre_of(uint32_t from, uint32_t to, uint32_t length, uint32_t size)
{
    if (from > 0)
        return from + length / 2;
    assert_true(to < size || length >= size);
    return to + length / 2 - length;
}

static void cutout_is_centred_on_every_pixel_evenly(void **state)
{
    const ImageSize size = { 9, 11, 2 };

    (void)state;
    for (uint32_t length = 3; length <= 4; length++) {
        unsigned count[99] = { 0 };

        for (uint32_t i = 0; i < 9900; i++) {
            Hole h = cut(length, size, i);
            uint32_t y = centre_of(h.top, h.bottom, length, 9);
            uint32_t x = centre_of(h.left, h.right, length, 11);

            assert_true(y < 9 && x < 11);
            if (y >= 2 && y < 7 && x >= 2 && x < 9) { /* nothing clipped */
                assert_int_equal(h.bottom - h.top, length);
                assert_int_equal(h.right - h.left, length);
            }
            count[y * 11 + x]++;
        }
        assert_true(chi_square(count, NULL, 99, 9900) < 148.2); /* 98 degrees, p = 0.001 */
    }
}

static void cutout_of_16_leaves_the_area_that_clipping_leaves(void **state)
{
    const ImageSize size = { 32, 32, 1 };
    double side = 0, sum = 0;

    (void)state;
    for (int c = 0; c < 32; c++)
        side += ((c + 8 > 32 ? 32 : c + 8) - (c < 8 ? 0 : c - 8)) / 32.0;
    for (uint32_t i = 0; i < 4000; i++) {
        Hole h = cut(16, size, i);

        sum += (h.bottom - h.top) * (h.right - h.left);
    }
    assert_true(side * side > 190 && side * side < 199);
    assert_true(fabs(sum / 4000 - side * side) < 4); /* sd of one 52, of the mean 0.8 */
}

static void cutout_larger_than_the_image_takes_all_of_it(void **state)
{
    const ImageSize sizes[] = { { 1, 1, 3 }, { 7, 5, 1 }, { 1, 9, 4 } };

    (void)state;
    for (size_t s = 0; s < 3; s++)
        for (uint32_t i = 0; i < 50; i++) {
            Hole h = cut(512, sizes[s], i);

            assert_int_equal(h.bottom, sizes[s].height);
            assert_int_equal(h.right, sizes[s].width);
            assert_int_equal(h.top + h.left, 0);
        }
}

/* ---- Beta ---- */

static double cdf_uniform(double x)
{
    return x;
}

static double cdf_arcsine(double x)
{
    return 2 / 3.141592653589793 * asin(sqrt(x));
}

static double cdf_two(double x)
{
    return x * x * (3 - 2 * x);
}

static double cdf_three(double x)
{
    return x * x * x * (10 - 15 * x + 6 * x * x);
}

static void beta_has_the_distribution_of_its_name(void **state)
{
    static const struct {
        double a, (*cdf)(double x);
    } cases[] = { { 0.5, cdf_arcsine }, { 1, cdf_uniform }, { 2, cdf_two }, { 3, cdf_three } };

    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        Rng rng = rng_at(3, RNG_TEST, 0, (uint32_t)k);
        unsigned seen[20] = { 0 };
        double share[20];

        for (int i = 0; i < 20000; i++)
            seen[(int)(20 * mix_beta(&rng, cases[k].a) * (1 - 1e-12))]++;
        for (int i = 0; i < 20; i++)
            share[i] = cases[k].cdf((i + 1) / 20.0) - cases[k].cdf(i / 20.0);
        assert_true(chi_square(seen, share, 20, 20000) < 43.8); /* 19 degrees, p = 0.001 */
    }
}

static void beta_has_mean_and_variance_for_any_parameter(void **state)
{
    const double parameters[] = { 0.01, 0.1, 0.2, 0.99, 1.01, 8, 100 };

    (void)state;
    for (size_t k = 0; k < sizeof parameters / sizeof *parameters; k++) {
        Rng rng = rng_at(4, RNG_TEST, 0, (uint32_t)k);
        double a = parameters[k], variance = 1 / (4 * (2 * a + 1)), sum = 0, squares = 0;

        for (int i = 0; i < 20000; i++) {
            double x = mix_beta(&rng, a);

            assert_true(x >= 0 && x <= 1);
            sum += x - 0.5;
            squares += (x - 0.5) * (x - 0.5);
        }
        assert_true(fabs(sum / 20000) < 4 * sqrt(variance / 20000));
        assert_true(fabs(squares / 20000 / variance - 1) < 4 * sqrt(2.0 / 20000));
    }
}

/* ---- Mixing: what is drawn ---- */

enum { STEPS = 4000 };

static const ImageSize cifar = { 32, 32, 3 };

static bool mix_of(const Choice *augment, uint32_t augments, uint32_t step, Mix *ret)
{
    uint32_t partner[9];
    bool seen[9] = { false };

    if (!mix_draw(augment, augments, 11, step, cifar, 9, ret, partner))
        return false;
    for (int i = 0; i < 9; i++) {
        assert_true(partner[i] < 9);
        assert_false(seen[partner[i]]);
        seen[partner[i]] = true;
    }
    return true;
}

static void mixup_draws_lambda_from_beta_in_its_share_of_the_steps(void **state)
{
    const Choice mixup = choose("mixup", 0.3, 0.4);
    double sum = 0, squares = 0, variance = 1 / (4 * 1.8);
    int active = 0;
    Mix mix;

    (void)state;
    for (uint32_t step = 0; step < STEPS; step++)
        if (mix_of(&mixup, 1, step, &mix)) {
            assert_false(mix.paste);
            active++;
            sum += mix.own - 0.5;
            squares += (mix.own - 0.5) * (mix.own - 0.5);
        }
    assert_in_range(active, 1085, 1315); /* 1200 expected, sd 29 */
    assert_true(fabs(sum / active) < 4 * sqrt(variance / active));
    assert_true(fabs(squares / active / variance - 1) < 0.1);
}

static void a_probability_of_one_always_mixes_and_of_zero_never(void **state)
{
    Mix mix;

    (void)state;
    for (uint32_t step = 0; step < 500; step++) {
        assert_true(mix_of(&(const Choice[]){ choose("mixup", 1, 1) }[0], 1, step, &mix));
        assert_true(mix_of(&(const Choice[]){ choose("cutmix", 1, 1) }[0], 1, step, &mix));
        assert_false(mix_of(&(const Choice[]){ choose("mixup", 0, 1) }[0], 1, step, &mix));
        assert_false(mix_of(&(const Choice[]){ choose("cutmix", 0, 1) }[0], 1, step, &mix));
    }
}

static void the_defaults_are_those_of_the_method(void **state)
{
    (void)state;
    assert_true(row("mixup")->described.params[0].fallback == 1);
    assert_true(row("mixup")->described.params[1].fallback == 1);
    assert_true(row("cutmix")->described.params[0].fallback == 0.5);
    assert_true(row("cutmix")->described.params[1].fallback == 1);
    assert_true(row("cutout")->described.params[0].fallback == 16);
    assert_true(row("shift")->described.params[0].fallback == 2);
    assert_true(row("crop")->described.params[0].fallback == 4);
    assert_true(row("flip")->described.params[0].fallback == 0);
}

/* The mean clipped length of a box of side `side` on a line of 32. */
static double mean_length(int side)
{
    double sum = 0;

    for (int c = 0; c < 32; c++)
        sum += (c + side / 2 > 32 ? 32 : c + side / 2) - (c < side / 2 ? 0 : c - side / 2);
    return sum / 32;
}

static void cutmix_boxes_have_the_area_and_the_places_of_the_method(void **state)
{
    const Choice cutmix = choose("cutmix", 0.5, 1);
    double expected = 0, sum = 0, squares = 0;
    int active = 0, empty = 0;
    Mix mix;

    (void)state;
    /* lambda is uniform, so side k has the probability that 32 sqrt(u) lies in k..k+1. */
    for (int k = 0; k < 32; k++)
        expected += (2 * k + 1) / 1024.0 * mean_length(k) * mean_length(k);
    for (uint32_t step = 0; step < STEPS; step++) {
        double area;

        if (!mix_of(&cutmix, 1, step, &mix))
            continue;
        assert_true(mix.paste);
        assert_true(mix.top <= mix.bottom && mix.bottom <= 32);
        assert_true(mix.left <= mix.right && mix.right <= 32);
        area = (double)(mix.bottom - mix.top) * (mix.right - mix.left);
        assert_true(mix.own == 1 - area / 1024);
        active++;
        empty += area == 0;
        sum += area;
        squares += area * area;
    }
    assert_in_range(active, 1880, 2120); /* 2000 expected, sd 32 */
    assert_in_range(empty, 1, 20);       /* sides 0 and 1: 4 of 1024 */
    squares = sqrt(squares / active - sum / active * (sum / active));
    assert_true(fabs(sum / active - expected) < 4 * squares / sqrt(active));
}

static void cutmix_follows_the_shape_of_the_image(void **state)
{
    const Choice cutmix = choose("cutmix", 1, 100); /* lambda is about a half */
    const ImageSize wide = { 10, 100, 1 };
    uint32_t partner[1], height = 0, width = 0;
    Mix mix;

    (void)state;
    for (uint32_t step = 0; step < 200; step++) {
        assert_true(mix_draw(&cutmix, 1, 1, step, wide, 1, &mix, partner));
        assert_int_equal(partner[0], 0);
        height = mix.bottom - mix.top > height ? mix.bottom - mix.top : height;
        width = mix.right - mix.left > width ? mix.right - mix.left : width;
    }
    assert_in_range(height, 6, 8);
    assert_in_range(width, 70, 82);
}

static void the_first_row_that_is_active_mixes(void **state)
{
    const Choice either[] = { choose("flip", 0, 0), choose("mixup", 0.5, 1),
                              choose("cutmix", 1, 1) };
    Choice first[3], second[3];
    int blends = 0;
    Mix mix, alone;

    (void)state;
    memcpy(first, either, sizeof either);
    memcpy(second, either, sizeof either);
    first[2].value[0] = 0;
    second[1].value[0] = 0;
    for (uint32_t step = 0; step < 1000; step++) {
        assert_true(mix_of(either, 3, step, &mix));
        blends += !mix.paste;
        assert_int_equal(mix_of(first, 3, step, &alone), !mix.paste);
        /* What a row draws does not depend on the rows before it. */
        if (mix.paste)
            assert_true(mix_of(second, 3, step, &alone));
        assert_true(alone.own == mix.own && alone.paste == mix.paste);
        assert_true(alone.top == mix.top && alone.right == mix.right);
    }
    assert_in_range(blends, 440, 560);
}

static void rows_that_mix_draw_independently(void **state)
{
    const Choice both[] = { choose("mixup", 0.5, 1), choose("cutmix", 0.5, 1) };
    int none = 0;
    Mix mix;

    (void)state;
    for (uint32_t step = 0; step < STEPS; step++)
        none += !mix_of(both, 2, step, &mix);
    assert_in_range(none, 890, 1110); /* a quarter, sd 27 */
}

static void every_partner_is_as_likely_as_any_other(void **state)
{
    const Choice mixup = choose("mixup", 1, 1);
    unsigned seen[81] = { 0 };
    uint32_t partner[9];
    int next = 0;
    Mix mix;

    (void)state;
    for (uint32_t step = 0; step < STEPS; step++) {
        assert_true(mix_draw(&mixup, 1, 11, step, cifar, 9, &mix, partner));
        for (int i = 0; i < 9; i++)
            seen[i * 9 + partner[i]]++;
        next += partner[1] == (partner[0] + 1) % 9;
    }
    /* 64 degrees of freedom, p = 0.001: rows and columns have the same sums. */
    assert_true(chi_square(seen, NULL, 81, 9 * STEPS) < 104.7);
    assert_in_range(next, 415, 585); /* one in eight: no mere rotation */
}

/* ---- Mixing: what comes out ---- */

static void blending_and_pasting_are_what_a_hand_computes(void **state)
{
    const ImageSize size = { 2, 3, 1 };
    const float partner[6] = { 10, 20, 30, 40, 50, 60 };
    float blended[6] = { 1, 2, 3, 4, 5, 6 }, pasted[6] = { 1, 2, 3, 4, 5, 6 };
    const float want_blended[6] = { 3.25f, 6.5f, 9.75f, 13, 16.25f, 19.5f };
    const float want_pasted[6] = { 1, 20, 30, 4, 50, 60 };

    (void)state;
    mix_images(&(Mix){ .own = 0.75 }, size, blended, partner);
    assert_memory_equal(blended, want_blended, sizeof blended);
    mix_images(&(Mix){ .own = 1.0 / 3, .paste = true, .left = 1, .bottom = 2, .right = 3 }, size,
               pasted, partner);
    assert_memory_equal(pasted, want_pasted, sizeof pasted);
    mix_images(&(Mix){ .own = 1, .paste = true, .top = 1, .left = 2, .bottom = 1, .right = 2 },
               size, pasted, partner);
    assert_memory_equal(pasted, want_pasted, sizeof pasted);
}

/* A data set in memory: noise, but no pixel of image i has the red of any pixel of another image;
 * label i % 5. */
enum { H = 7, W = 6, C = 3, IMAGES = 40, IMAGE = H * W * C, CLASSES = 5, BATCH = 21 };

static uint8_t pixels[IMAGES * IMAGE];
static uint16_t labels[IMAGES];
static const Dataset dataset = {
    .name = "small",
    .layout = "shapes",
    .height = H,
    .width = W,
    .channels = C,
    .classes = CLASSES,
    .mean = { 0.5f, 0.25f, 0.4f },
    .std = { 0.25f, 0.5f, 0.3f },
    .train = { IMAGES, pixels, labels, NULL },
};

static int fill_pixels(void **state)
{
    Rng rng = rng_at(0, RNG_TEST, 9, 0);

    (void)state;
    for (int i = 0; i < IMAGES; i++) {
        for (int p = 0; p < IMAGE; p++)
            pixels[i * IMAGE + p] =
                (uint8_t)(p % C == 0 ? 6 * i + rng_below(&rng, 6) : rng_below(&rng, 256));
        labels[i] = (uint16_t)(i % CLASSES);
    }
    return 0;
}

typedef struct Out {
    float images[BATCH * IMAGE], targets[BATCH * CLASSES];
    uint16_t labels[BATCH];
} Out;

static const uint32_t items[BATCH] = { 3,  17, 0,  39, 22, 8,  11, 30, 31, 5, 6,
                                       20, 25, 33, 38, 2,  14, 19, 27, 9,  1 };

/* `threads` 0: without a pool. */
static void run(const BatchSpec *spec, unsigned threads, Out *ret)
{
    Loader loader;
    BatchSpec batch = *spec;
    Pool *pool = NULL;

    assert_int_equal(loader_init(&loader, &dataset, &(DataSpec){ 0 }, NULL), STATUS_OK);
    batch.scratch = aligned_alloc(64, loader_scratch_bytes(&loader, BATCH));
    assert_non_null(batch.scratch);
    if (threads > 0)
        assert_int_equal(pool_new(threads, &pool, NULL), STATUS_OK);
    loader_batch(&loader, pool, &batch, ret->images, ret->labels, ret->targets);
    pool_free(pool);
    free(batch.scratch);
    loader_clear(&loader);
}

static const float *number(const Out *out, uint32_t image, uint32_t at)
{
    uint32_t block = image / BLOCK_IMAGES, lanes = block_images(BATCH, block);

    return &out->images[block * BLOCK_IMAGES * IMAGE + (at / C * lanes + image % BLOCK_IMAGES) * C +
                        at % C];
}

static BatchSpec batch_of(const Choice *augment, uint32_t augments, uint32_t step)
{
    return (BatchSpec){ .items = items,
                        .count = BATCH,
                        .augment = augment,
                        .augments = augments,
                        .seed = 5,
                        .epoch = 3,
                        .step = step };
}

static void rows_run_one_after_another_on_the_stream_of_their_image(void **state)
{
    static const char *const chain[] = { "cutout", "shift", "flip", "crop" };
    const ImageSize size = { H, W, C };
    Choice augment[] = { choose("cutout", 3, 0), choose("shift", 2, 0), choose("flip", 1, 0),
                         choose("crop", 1, 0) };
    BatchSpec spec = batch_of(augment, 4, 0);
    Loader loader;
    static Out out;

    (void)state;
    assert_int_equal(loader_init(&loader, &dataset, &(DataSpec){ 0 }, NULL), STATUS_OK);
    run(&spec, 0, &out);
    for (uint32_t i = 0; i < BATCH; i++) {
        ImageDraw draw = { rng_at(5, RNG_AUGMENT, 3, items[i]), 5, 3, items[i] };
        uint8_t byte[4][IMAGE];
        float image[IMAGE];

        memcpy(byte[0], pixels + items[i] * IMAGE, IMAGE);
        for (int k = 1; k < 4; k++)
            row(chain[k])->pixels(augment[k].value, &draw, size, byte[k - 1], byte[k]);
        loader_normalise(&loader, byte[3], image);
        row(chain[0])->normal(augment[0].value, &draw, size, image);
        for (uint32_t p = 0; p < IMAGE; p++)
            assert_true(*number(&out, i, p) == image[p]);
    }
    loader_clear(&loader);
}

static void a_mixed_batch_is_the_plain_batch_with_itself_in_another_order(void **state)
{
    static const char *const rows[] = { "mixup", "cutmix" };
    static Out plain, mixed;

    (void)state;
    for (uint32_t k = 0; k < 2; k++)
        for (uint32_t step = 0; step < 4; step++) {
            const Choice augment[] = { choose("crop", 2, 0), choose("flip", 1, 0),
                                       choose("cutout", 3, 0), choose(rows[k], 1, 1) };
            BatchSpec without = batch_of(augment, 3, step), with = batch_of(augment, 4, step);
            uint32_t partner[BATCH];
            Mix mix;

            run(&without, 0, &plain);
            run(&with, 0, &mixed);
            assert_true(
                mix_draw(augment, 4, 5, step, (ImageSize){ H, W, C }, BATCH, &mix, partner));
            for (uint32_t i = 0; i < BATCH; i++) {
                float own[IMAGE], other[IMAGE];

                assert_int_equal(mixed.labels[i], items[i] % CLASSES);
                for (uint32_t p = 0; p < IMAGE; p++) {
                    own[p] = *number(&plain, i, p);
                    other[p] = *number(&plain, partner[i], p);
                }
                mix_images(&mix, (ImageSize){ H, W, C }, own, other);
                for (uint32_t p = 0; p < IMAGE; p++)
                    assert_true(*number(&mixed, i, p) == own[p]);
            }
        }
}

/* Checks the soft labels of a batch against what was mixed. */
static void check_targets(const Out *out, const Choice *augment, uint32_t step, double smoothing)
{
    uint32_t partner[BATCH];
    Mix mix = { .own = 1 };
    bool mixed = mix_draw(augment, 1, 5, step, (ImageSize){ H, W, C }, BATCH, &mix, partner);

    for (uint32_t i = 0; i < BATCH; i++) {
        double sum = 0;

        for (uint32_t k = 0; k < CLASSES; k++) {
            double hot = mix.own * (k == items[i] % CLASSES);

            if (mixed)
                hot += (1 - mix.own) * (k == items[partner[i]] % CLASSES);
            assert_true(fabs((double)out->targets[i * CLASSES + k] -
                             (hot * (1 - smoothing) + smoothing / CLASSES)) < 1e-7);
            sum += (double)out->targets[i * CLASSES + k];
        }
        assert_true(fabs(sum - 1) < 1e-6);
    }
}

static void soft_labels_sum_to_one_and_follow_the_shares(void **state)
{
    static const char *const rows[] = { "mixup", "cutmix" };
    static Out out;

    (void)state;
    for (uint32_t k = 0; k < 2; k++)
        for (uint32_t step = 0; step < 40; step++) {
            const Choice augment = choose(rows[k], 0.7, 1);
            BatchSpec spec = batch_of(&augment, 1, step);

            spec.label_smoothing = step % 2 == 0 ? 0 : 0.2;
            run(&spec, 0, &out);
            check_targets(&out, &augment, step, spec.label_smoothing);
        }
}

static void the_share_of_a_cutmix_label_is_the_area_counted_from_the_pixels(void **state)
{
    const Choice augment = choose("cutmix", 1, 1);
    static Out out, plain;
    int clipped = 0;

    (void)state;
    for (uint32_t step = 0; step < 60; step++) {
        BatchSpec spec = batch_of(&augment, 1, step), none = batch_of(NULL, 0, step);

        run(&spec, 0, &out);
        run(&none, 0, &plain);
        for (uint32_t i = 0; i < BATCH; i++) {
            uint32_t own = 0;
            double share = (double)out.targets[i * CLASSES + items[i] % CLASSES];

            for (uint32_t p = 0; p < IMAGE; p += C)
                own += memcmp(number(&out, i, p), number(&plain, i, p), C * sizeof(float)) == 0;
            /* Two of one class, or an image with itself. */
            if (share > 0.999999)
                continue;
            clipped++;
            assert_true(fabs(share - (double)own / (H * W)) < 1e-6);
        }
    }
    assert_true(clipped > 300);
}

/* ---- What it is keyed by ---- */

static const char *const all_rows[] = { "crop", "shift", "flip", "cutout", "mixup", "cutmix" };

static void choose_all(Choice ret[6])
{
    for (int i = 0; i < 6; i++)
        choice_init(augmentation_table, (uint32_t)table_find(augmentation_table, all_rows[i]),
                    &ret[i]);
    ret[3].value[0] = 3;
    ret[4].value[0] = 0.5;
}

static void any_number_of_threads_makes_the_same_bits(void **state)
{
    static Out alone, out;
    Choice augment[6];

    (void)state;
    choose_all(augment);
    for (uint32_t step = 0; step < 6; step++) {
        BatchSpec spec = batch_of(augment, 6, step);

        run(&spec, 0, &alone);
        for (unsigned threads = 1; threads <= 3; threads++) {
            memset(&out, 0, sizeof out);
            run(&spec, threads, &out);
            assert_memory_equal(out.images, alone.images, sizeof out.images);
            assert_memory_equal(out.targets, alone.targets, sizeof out.targets);
            assert_memory_equal(out.labels, alone.labels, sizeof out.labels);
        }
    }
}

static void another_seed_epoch_or_step_makes_another_batch(void **state)
{
    static Out one, other;
    Choice augment[6];
    BatchSpec spec;

    (void)state;
    choose_all(augment);
    augment[4].value[0] = 1;
    spec = batch_of(augment, 6, 8);
    run(&spec, 1, &one);
    for (int k = 0; k < 3; k++) {
        BatchSpec changed = spec;

        changed.seed += k == 0;
        changed.epoch += k == 1;
        changed.step += k == 2;
        run(&changed, 1, &other);
        assert_memory_not_equal(one.images, other.images, sizeof one.images);
        /* The epoch alone does not change the mixing, nor the step the augmentation. */
        if (k == 1)
            assert_memory_equal(one.targets, other.targets, sizeof one.targets);
        else
            assert_memory_not_equal(one.targets, other.targets, sizeof one.targets);
    }
}

static void a_row_has_a_stage_and_help_for_every_parameter(void **state)
{
    (void)state;
    assert_int_equal(table_find(augmentation_table, "nope"), -1);
    for (size_t i = 0; augmentation_table[i] != NULL; i++) {
        const Augmentation *a = augmentation_table[i];

        assert_true(a->pixels != NULL || a->normal != NULL || a->mix != NULL);
        assert_non_null(a->described.summary);
        for (uint32_t k = 0; k < a->described.count; k++) {
            assert_non_null(a->described.params[k].help);
            assert_int_equal(
                param_check(&a->described.params[k], a->described.params[k].fallback, NULL),
                STATUS_OK);
        }
    }
    assert_int_equal(param_choice(&row("flip")->described.params[0], "alternating"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crop_shifts_evenly_and_moves_zeros_in),
        cmocka_unit_test(crop_survives_a_padding_wider_than_the_image),
        cmocka_unit_test(random_flip_mirrors_every_second_image_anew_each_epoch),
        cmocka_unit_test(alternating_flip_shows_each_image_once_each_way_in_two_epochs),
        cmocka_unit_test(alternating_flip_is_not_tied_to_the_other_draws),
        cmocka_unit_test(shift_is_even_over_its_offsets_and_reflects_at_the_border),
        cmocka_unit_test(shift_reflects_again_and_again_where_the_image_is_small),
        cmocka_unit_test(cutout_is_centred_on_every_pixel_evenly),
        cmocka_unit_test(cutout_of_16_leaves_the_area_that_clipping_leaves),
        cmocka_unit_test(cutout_larger_than_the_image_takes_all_of_it),
        cmocka_unit_test(beta_has_the_distribution_of_its_name),
        cmocka_unit_test(beta_has_mean_and_variance_for_any_parameter),
        cmocka_unit_test(mixup_draws_lambda_from_beta_in_its_share_of_the_steps),
        cmocka_unit_test(a_probability_of_one_always_mixes_and_of_zero_never),
        cmocka_unit_test(the_defaults_are_those_of_the_method),
        cmocka_unit_test(cutmix_boxes_have_the_area_and_the_places_of_the_method),
        cmocka_unit_test(cutmix_follows_the_shape_of_the_image),
        cmocka_unit_test(the_first_row_that_is_active_mixes),
        cmocka_unit_test(rows_that_mix_draw_independently),
        cmocka_unit_test(every_partner_is_as_likely_as_any_other),
        cmocka_unit_test(blending_and_pasting_are_what_a_hand_computes),
        cmocka_unit_test(rows_run_one_after_another_on_the_stream_of_their_image),
        cmocka_unit_test(a_mixed_batch_is_the_plain_batch_with_itself_in_another_order),
        cmocka_unit_test(soft_labels_sum_to_one_and_follow_the_shares),
        cmocka_unit_test(the_share_of_a_cutmix_label_is_the_area_counted_from_the_pixels),
        cmocka_unit_test(any_number_of_threads_makes_the_same_bits),
        cmocka_unit_test(another_seed_epoch_or_step_makes_another_batch),
        cmocka_unit_test(a_row_has_a_stage_and_help_for_every_parameter),
    };

    return cmocka_run_group_tests_name("augment", tests, fill_pixels, NULL);
}
