/* render: resizing as PyTorch does, colours, blending, and what a map may hold. */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>

#include "core/explain/render.h"

static void resizing_matches_pytorch(void **state)
{
    /* torch.nn.functional.interpolate(mode="bilinear", align_corners=False) */
    static const float in[6] = { 0, 1, 4, 9, -2, 0.5f };
    static const struct {
        uint32_t h, w;
        float want[21];
    } cases[] = {
        { 4, 5, { 0.0f,  0.4f,  1.0f,   2.8f,   4.0f,   2.25f, 1.45f, 0.25f, 1.975f,      3.125f,
                  6.75f, 3.55f, -1.25f, 0.325f, 1.375f, 9.0f,  4.6f,  -2.0f, -0.4999998f, 0.5f } },
        { 2, 3, { 0, 1, 4, 9, -2, 0.5f } },
        { 1, 2, { 3.25f, 1.5625f } },
        { 3, 7, { 0.0f, 0.1428571f, 0.5714286f, 1.0f,  2.285714f,   3.571429f,  4.0f,
                  4.5f, 3.785714f,  1.642857f,  -0.5f, 0.6785715f,  1.857143f,  2.25f,
                  9.0f, 7.428572f,  2.714285f,  -2.0f, -0.9285713f, 0.1428572f, 0.5f } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float out[21];

        resize_bilinear(in, 2, 3, out, cases[i].h, cases[i].w);
        for (uint32_t k = 0; k < cases[i].h * cases[i].w; k++)
            assert_float_equal(out[k], cases[i].want[k], 2e-6);
    }
}

static const uint8_t image[4] = { 0, 80, 160, 240 }; /* 2x2, grey */

static Rgb draw(const float *map, uint32_t h, uint32_t w, RenderSpec spec)
{
    Rgb rgb;

    assert_int_equal(render_heatmap(map, h, w, image, 2, 2, 1, &spec, &rgb, NULL), STATUS_OK);
    return rgb;
}

static void assert_near(const Rgb *rgb, uint32_t y, uint32_t x, const uint8_t want[3], int slack)
{
    for (uint32_t k = 0; k < 3; k++)
        if (abs(rgb->pixels[(y * rgb->width + x) * 3 + k] - want[k]) > slack)
            fail_msg("pixel (%u, %u), channel %u: %d, not %d", y, x, k,
                     rgb->pixels[(y * rgb->width + x) * 3 + k], want[k]);
}

static void assert_pixel(const Rgb *rgb, uint32_t y, uint32_t x, uint8_t r, uint8_t g, uint8_t b)
{
    assert_near(rgb, y, x, (const uint8_t[3]){ r, g, b }, 0);
}

static void blend_0_is_the_image_enlarged_by_whole_pixels(void **state)
{
    const float map[4] = { 1, 2, 3, 4 };
    Rgb rgb = draw(map, 2, 2, (RenderSpec){ 3, 0, COLORMAP_VIRIDIS });

    (void)state;
    assert_int_equal(rgb.height, 6);
    assert_int_equal(rgb.width, 6);
    for (uint32_t y = 0; y < 6; y++)
        for (uint32_t x = 0; x < 6; x++) {
            uint8_t v = image[y / 3 * 2 + x / 3];

            assert_pixel(&rgb, y, x, v, v, v);
        }
    rgb_clear(&rgb);
    assert_null(rgb.pixels);
}

static void the_ends_and_the_middle_of_the_colours_are_known(void **state)
{
    const float map[4] = { -1, 0, 0, 1 };
    Rgb v = draw(map, 2, 2, (RenderSpec){ 1, 1, COLORMAP_VIRIDIS });
    Rgb j = draw(map, 2, 2, (RenderSpec){ 1, 1, COLORMAP_JET });

    (void)state;
    assert_pixel(&v, 0, 0, 68, 1, 84);
    assert_near(&v, 0, 1, (const uint8_t[]){ 33, 145, 140 }, 1); /* the published table */
    assert_pixel(&v, 1, 1, 253, 231, 37);
    assert_pixel(&j, 0, 0, 0, 0, 128);
    assert_near(&j, 0, 1, (const uint8_t[]){ 128, 255, 128 }, 1);
    assert_pixel(&j, 1, 1, 128, 0, 0);
    rgb_clear(&v);
    rgb_clear(&j);
}

static void blending_mixes_image_and_colour(void **state)
{
    const float map[4] = { 0, 1, 1, 1 };
    Rgb rgb = draw(map, 2, 2, (RenderSpec){ 1, 0.25f, COLORMAP_JET });

    (void)state;
    assert_pixel(&rgb, 0, 0, 0, 0, 32);   /* 3/4 black + 1/4 (0, 0, 127.5) */
    assert_pixel(&rgb, 0, 1, 92, 60, 60); /* 3/4 80 + 1/4 (127.5, 0, 0) */
    rgb_clear(&rgb);
}

static void channels_keep_their_places(void **state)
{
    const uint8_t colored[3] = { 10, 20, 30 };
    const float map = 5;
    Rgb rgb;

    (void)state;
    assert_int_equal(render_heatmap(&map, 1, 1, colored, 1, 1, 3,
                                    &(RenderSpec){ 1, 0, COLORMAP_JET }, &rgb, NULL),
                     STATUS_OK);
    assert_pixel(&rgb, 0, 0, 10, 20, 30);
    rgb_clear(&rgb);
}

/* What a map may hold, and still every pixel is the colour of 0 or of something sensible. */
static void no_map_gives_anything_but_an_image(void **state)
{
    const float constant[4] = { 7, 7, 7, 7 }, huge[4] = { -3e38f, 3e38f, 0, 0 };
    const float wild[4] = { NAN, INFINITY, -INFINITY, 2 };
    const RenderSpec spec = { 1, 1, COLORMAP_JET };
    Rgb c = draw(constant, 2, 2, spec), w = draw(wild, 2, 2, spec), h = draw(huge, 2, 2, spec);
    float resized[9];

    (void)state;
    for (uint32_t i = 0; i < 4; i++)
        assert_pixel(&c, i / 2, i % 2, 0, 0, 128);
    for (uint32_t i = 0; i < 3; i++)
        assert_pixel(&w, i / 2, i % 2, 0, 0, 128);
    assert_pixel(&w, 1, 1, 128, 0, 0);
    assert_pixel(&h, 0, 0, 0, 0, 128);
    assert_pixel(&h, 0, 1, 128, 0, 0);
    assert_pixel(&h, 1, 0, 128, 255, 128);
    resize_bilinear(wild, 2, 2, resized, 3, 3);
    for (int i = 0; i < 9; i++)
        assert_true(isfinite(resized[i]));
    rgb_clear(&c);
    rgb_clear(&w);
    rgb_clear(&h);
}

static void what_cannot_be_drawn_is_named(void **state)
{
    const float map = 1;
    const RenderSpec wrong = { 33, NAN, COLORMAP_COUNT }, fine = { 1, 1, COLORMAP_JET };
    Rgb rgb;
    Error err = { 0 };

    (void)state;
    assert_int_equal(render_heatmap(&map, 1, 1, image, 2, 2, 1, &wrong, &rgb, &err),
                     STATUS_INVALID);
    assert_int_equal(err.details, 3);
    assert_string_equal(err.detail[0].pointer, "/scale");
    assert_string_equal(err.detail[1].pointer, "/blend");
    assert_string_equal(err.detail[2].pointer, "/colormap");
    assert_int_equal(render_heatmap(&map, 1, 1, image, 1, 1, 2, &fine, &rgb, NULL),
                     STATUS_BAD_SHAPE);
    assert_int_equal(render_heatmap(&map, 0, 1, image, 2, 2, 1, &fine, &rgb, NULL),
                     STATUS_BAD_SHAPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resizing_matches_pytorch),
        cmocka_unit_test(blend_0_is_the_image_enlarged_by_whole_pixels),
        cmocka_unit_test(the_ends_and_the_middle_of_the_colours_are_known),
        cmocka_unit_test(blending_mixes_image_and_colour),
        cmocka_unit_test(channels_keep_their_places),
        cmocka_unit_test(no_map_gives_anything_but_an_image),
        cmocka_unit_test(what_cannot_be_drawn_is_named),
    };

    return cmocka_run_group_tests_name("render", tests, NULL, NULL);
}
