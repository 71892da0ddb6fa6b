/*
 * maps: half floats to the last bit, sets and files that come back, and files that are not read.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/explain/map_file.h"

/* ---- Half floats ---- */

static void every_half_comes_back(void **state)
{
    (void)state;
    for (uint32_t h = 0; h <= 0xffff; h++) {
        float x = float_from_half((uint16_t)h);

        if (isnan(x))
            assert_true((h & 0x7fff) > 0x7c00 && isnan(float_from_half(half_from_float(x))));
        else
            assert_int_equal(half_from_float(x), h);
    }
}

static void rounding_is_to_the_nearest_and_halves_go_to_even(void **state)
{
    static const struct {
        float x;
        uint16_t half;
    } rows[] = {
        { 1, 0x3c00 },
        { -2, 0xc000 },
        { 0x1.ffcp15f, 0x7bff }, /* the largest */
        { 65519.996f, 0x7bff },
        { 65520, 0x7c00 },
        { INFINITY, 0x7c00 },
        { 0x1p-14f, 0x0400 }, /* the smallest normal */
        { 0x1p-24f, 0x0001 },
        { 0x1p-25f, 0x0000 },
        { 0x1.000002p-25f, 0x0001 },
        { 0x1.8p-24f, 0x0002 },
        { 0x1.002p0f, 0x3c00 },    /* a tie, down to even */
        { 0x1.006p0f, 0x3c02 },    /* a tie, up to even */
        { 0x1.002002p0f, 0x3c01 }, /* above a tie */
        { 0x1.ffep0f, 0x4000 },    /* a tie that carries */
        { 0x1.ff8p-15f, 0x03ff },
        { 0x1.ffep-15f, 0x0400 }, /* from subnormal to normal */
        { -0.0f, 0x8000 },
        { 1e-30f, 0x0000 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (half_from_float(rows[i].x) != rows[i].half)
            fail_msg("%a becomes %04x, not %04x", (double)rows[i].x, half_from_float(rows[i].x),
                     rows[i].half);
}

/* ---- Sets ---- */

static const MapShape heat = { MAP_HEAT, 5, 3, 4, 2 }, delta = { MAP_DELTA, 4, 3, 6, 5 };

/* Image i of a set: numbers of very different sizes, zero maps among them. */
static void draw(const MapShape *shape, uint32_t image, float *ret)
{
    size_t numbers = mapset_image_numbers(shape), run = numbers / mapset_image_maxima(shape);
    Rng rng = rng_at(1, RNG_TEST, shape->kind, image);

    for (size_t i = 0; i < numbers; i++) {
        float scale = powf(10, (float)(4 * (int)(i / run)) - 6);

        ret[i] = scale * (2 * rng_uniform(&rng) - (shape->kind == MAP_HEAT ? 0 : 1));
        if (image == 2 && i / run == 0)
            ret[i] = 0;
    }
}

static MapSet set_of(const MapShape *shape)
{
    MapSet set = { 0 };
    float numbers[200];

    assert_int_equal(mapset_new(shape, &set, NULL), STATUS_OK);
    for (uint32_t i = 0; i < shape->images; i++) {
        draw(shape, i, numbers);
        mapset_put(&set, i, 1000 + 7 * i, numbers);
    }
    return set;
}

/* A half's 11 digits of what is within 2^-14 of the maximum, and absolutely below. */
static void check_set(const MapSet *set)
{
    size_t numbers = mapset_image_numbers(&set->shape);
    size_t run = numbers / mapset_image_maxima(&set->shape);
    float want[200], got[200];

    for (uint32_t i = 0; i < set->shape.images; i++) {
        draw(&set->shape, i, want);
        mapset_get(set, i, got);
        assert_int_equal(set->index[i], 1000 + 7 * i);
        for (size_t k = 0; k < numbers; k++) {
            float max = set->max[i * mapset_image_maxima(&set->shape) + k / run];
            float slack = fmaxf(fabsf(want[k]) * 0x1p-11f, max * 0x1p-25f);

            if (!(fabsf(got[k] - want[k]) <= slack * 1.001f))
                fail_msg("number %zu of image %u is %g, not %g", k, i, (double)got[k],
                         (double)want[k]);
            assert_true(max > 0 || got[k] == 0);
        }
    }
}

static void what_is_put_comes_back_with_eleven_digits(void **state)
{
    const MapShape *shapes[] = { &heat, &delta };

    (void)state;
    for (int i = 0; i < 2; i++) {
        MapSet set = set_of(shapes[i]);

        check_set(&set);
        mapset_clear(&set);
        assert_null(set.values);
    }
}

static void what_is_not_finite_becomes_zero(void **state)
{
    static const float wild[8] = { NAN, INFINITY, -INFINITY, 1, 0.5f, -0.25f, 0, 3e38f };
    const MapShape shape = { MAP_HEAT, 1, 2, 2, 2 };
    MapSet set = { 0 };
    float got[8];

    (void)state;
    assert_int_equal(mapset_new(&shape, &set, NULL), STATUS_OK);
    mapset_put(&set, 0, 3, wild);
    mapset_get(&set, 0, got);
    for (int i = 0; i < 8; i++)
        assert_true(isfinite(got[i]));
    assert_true(got[0] == 0 && got[1] == 0 && got[2] == 0 && got[3] == 1 && got[7] == 3e38f);
    mapset_clear(&set);
}

/* ---- Files ---- */

/* The written bytes; the caller frees them. */
static char *written(const MapSet *set, size_t *ret_size)
{
    char *bytes = NULL;
    FILE *stream = open_memstream(&bytes, ret_size);

    assert_non_null(stream);
    assert_int_equal(
        map_file_write(stream, set, SPLIT_VAL, &(StMeta){ "source", "pgd_l2" }, 1, NULL),
        STATUS_OK);
    fclose(stream);
    return bytes;
}

static void a_file_holds_the_set_and_says_what_it_is(void **state)
{
    const MapShape *shapes[] = { &heat, &delta };

    (void)state;
    for (int i = 0; i < 2; i++) {
        MapSet set = set_of(shapes[i]);
        size_t size, again_size;
        char *bytes = written(&set, &size), *again = written(&set, &again_size);
        MapFile file = { 0 };

        assert_int_equal(size, again_size);
        assert_memory_equal(bytes, again, size);
        assert_int_equal(map_file_parse(bytes, size, &file, NULL), STATUS_OK);
        assert_int_equal(file.split, SPLIT_VAL);
        assert_string_equal(map_file_metadata(&file, "source"), "pgd_l2");
        assert_memory_equal(&file.set.shape, shapes[i], sizeof *shapes[i]);
        check_set(&file.set);
        map_file_close(&file);
        mapset_clear(&set);
        free(bytes);
        free(again);
    }
}

static void a_set_without_images_is_a_file_like_any(void **state)
{
    const MapShape none = { MAP_HEAT, 0, 3, 4, 2 };
    MapSet set = set_of(&none);
    size_t size;
    char *bytes = written(&set, &size);
    MapFile file = { 0 };

    (void)state;
    assert_int_equal(map_file_parse(bytes, size, &file, NULL), STATUS_OK);
    assert_int_equal(file.set.shape.images, 0);
    map_file_close(&file);
    mapset_clear(&set);
    free(bytes);
}

static const uint16_t values[24] = { 0x3c00, 0xbc00 }, large[24] = { 0x3c01 },
                      nan16[24] = { 0x7e00 };
static const float maxima[6] = { 1, 2 }, negative[6] = { -1 }, infinite[6] = { INFINITY };
static const int64_t positions[2] = { 4, 5 };

#define VALUES(data)                                \
    {                                               \
        "maps", ST_F16, 4, { 2, 3, 2, 2 }, data, 24 \
    }
#define MAXIMA(data)                        \
    {                                       \
        "max", ST_F32, 2, { 2, 3 }, data, 6 \
    }
#define POSITIONS                               \
    {                                           \
        "index", ST_I64, 1, { 2 }, positions, 2 \
    }

static const struct Broken {
    const char *names; /* what the message has to say */
    StTensor tensor[4];
    uint32_t count;
    const char *format, *split;
} broken[] = {
    { "\"maps\"", { VALUES(large), MAXIMA(maxima), POSITIONS }, 3, "leased-maps/1", "test" },
    { "\"maps\"", { VALUES(nan16), MAXIMA(maxima), POSITIONS }, 3, "leased-maps/1", "test" },
    { "\"max\"", { VALUES(values), MAXIMA(negative), POSITIONS }, 3, "leased-maps/1", "test" },
    { "\"max\"", { VALUES(values), MAXIMA(infinite), POSITIONS }, 3, "leased-maps/1", "test" },
    { "\"max\"",
      { VALUES(values), { "max", ST_F32, 2, { 3, 2 }, maxima, 6 }, POSITIONS },
      3,
      "leased-maps/1",
      "test" },
    { "\"max\"",
      { VALUES(values), { "max", ST_F32, 1, { 2 }, maxima, 2 }, POSITIONS },
      3,
      "leased-maps/1",
      "test" },
    { "\"max\"",
      { VALUES(values), { "max", ST_F32, 2, { 2, 2 }, maxima, 4 }, POSITIONS },
      3,
      "leased-maps/1",
      "test" },
    { "\"index\"",
      { VALUES(values), MAXIMA(maxima), { "index", ST_I64, 1, { 1 }, positions, 1 } },
      3,
      "leased-maps/1",
      "test" },
    { "\"index\"",
      { VALUES(values), MAXIMA(maxima), { "index", ST_F32, 1, { 2 }, maxima, 2 } },
      3,
      "leased-maps/1",
      "test" },
    { "\"index\"", { VALUES(values), MAXIMA(maxima) }, 2, "leased-maps/1", "test" },
    { "\"index\"",
      { VALUES(values), MAXIMA(maxima), POSITIONS, { "more", ST_I64, 1, { 2 }, positions, 2 } },
      4,
      "leased-maps/1",
      "test" },
    { "\"maps\"",
      { { "maps", ST_F32, 2, { 2, 3 }, maxima, 6 }, MAXIMA(maxima), POSITIONS },
      3,
      "leased-maps/1",
      "test" },
    { "\"maps\"",
      { { "maps", ST_F16, 4, { 2, 3, 0, 2 }, NULL, 0 }, MAXIMA(maxima), POSITIONS },
      3,
      "leased-maps/1",
      "test" },
    { "\"delta\"", { MAXIMA(maxima), POSITIONS }, 2, "leased-maps/1", "test" },
    { "\"format\"", { VALUES(values), MAXIMA(maxima), POSITIONS }, 3, "leased/1", "test" },
    { "\"split\"", { VALUES(values), MAXIMA(maxima), POSITIONS }, 3, "leased-maps/1", "all" },
};

static void what_is_wrong_with_a_file_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        const struct Broken *b = &broken[i];
        const StMeta meta[] = { { "format", b->format }, { "split", b->split } };
        size_t size;
        char *bytes = NULL;
        FILE *stream = open_memstream(&bytes, &size);
        MapFile file = { 0 };
        Error err = { 0 };

        assert_non_null(stream);
        assert_int_equal(safetensors_write(stream, b->tensor, b->count, meta, 2, NULL), STATUS_OK);
        fclose(stream);
        assert_int_equal(map_file_parse(bytes, size, &file, &err), STATUS_CORRUPT);
        assert_null(file.file);
        if (strstr(error_message(&err), b->names) == NULL)
            fail_msg("case %zu: \"%s\" does not name %s", i, error_message(&err), b->names);
        free(bytes);
    }
}

static void a_cut_file_is_refused_wherever_it_is_cut(void **state)
{
    MapSet set = set_of(&heat);
    size_t size;
    char *bytes = written(&set, &size);

    (void)state;
    for (size_t cut = 0; cut < size; cut++) {
        char *part = malloc(cut + 1); /* of its own size, so that reading past it is seen */
        MapFile file = { 0 };

        assert_non_null(part);
        memcpy(part, bytes, cut);
        assert_int_equal(map_file_parse(part, cut, &file, NULL), STATUS_CORRUPT);
        free(part);
    }
    mapset_clear(&set);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_comes_back),
        cmocka_unit_test(rounding_is_to_the_nearest_and_halves_go_to_even),
        cmocka_unit_test(what_is_put_comes_back_with_eleven_digits),
        cmocka_unit_test(what_is_not_finite_becomes_zero),
        cmocka_unit_test(a_file_holds_the_set_and_says_what_it_is),
        cmocka_unit_test(a_set_without_images_is_a_file_like_any),
        cmocka_unit_test(what_is_wrong_with_a_file_is_named),
        cmocka_unit_test(a_cut_file_is_refused_wherever_it_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
