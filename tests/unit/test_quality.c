/* quality: what each metric makes of a map whose answer is known by hand, and the parts below. */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/safetensors.h"
#include "core/quality/baseline.h"
#include "core/quality/cascade.h"
#include "core/quality/impute.h"
#include "core/quality/likeness.h"
#include "core/quality/metric.h"
#include "core/quality/saliency.h"
#include "core/quality/samples.h"
#include "core/quality/steps.h"
#include "tests/unit/networks.h"
#include "tests/unit/scratch.h"

enum { SIDE = 10, PIXELS = SIDE * SIDE, CHANNELS = 3, NUMBERS = PIXELS * CHANNELS };

/* A picture with a map of its own, and room to work in. */
typedef struct Rig {
    Picture picture;
    float pixels[NUMBERS], map[PIXELS], signed_map[PIXELS], altered[NUMBERS];
    uint32_t order[PIXELS];
    uint8_t mask[PIXELS];
    uint64_t keys[PIXELS];
    double room[METRIC_ROOM * PIXELS];
} Rig;

static Rig rig;

/* Pixel i has the values i + 1 + c/4, so that no number is 0. */
static void new_picture(void)
{
    rig = (Rig){ .picture = { .height = SIDE, .width = SIDE, .channels = CHANNELS, .seed = 3 } };
    for (size_t i = 0; i < NUMBERS; i++)
        rig.pixels[i] = (float)(i / CHANNELS + 1) + 0.25f * (float)(i % CHANNELS);
    rig.picture.pixels = rig.pixels;
    rig.picture.saliency = (Saliency){ rig.map, rig.signed_map };
    rig.picture.order = rig.order;
    rig.picture.mask = rig.mask;
}

static void order_map(void)
{
    saliency_order(rig.map, PIXELS, rig.keys, rig.order);
}

static const Metric *metric(const char *name)
{
    int row = table_find(metric_table, name);

    assert_true(row >= 0);
    return metric_table[row];
}

static double value(const char *name, const double *scores)
{
    return metric(name)->value(&rig.picture, scores);
}

static const float *altered(const char *name, uint32_t pass)
{
    memset(rig.altered, 0x55, sizeof rig.altered);
    metric(name)->alter(&rig.picture, pass, rig.room, rig.altered);
    return rig.altered;
}

static void near(double a, double b)
{
    if (!(fabs(a - b) < 1e-6))
        fail_msg("%.9g is not %.9g", a, b);
}

/* --- the map and its order --- */

static void a_map_becomes_0_to_1_at_the_images_size(void **state)
{
    float raw[4] = { -3, 1, 3, NAN }, ret[16];

    (void)state;
    saliency_of(2, 2, raw, 4, 4, ret); /* 0 1/3; 1 0 */
    near((double)ret[12], 1);          /* the corner below the largest */
    near((double)ret[0], 0);
    near((double)ret[3], 1.0 / 3);
    near((double)ret[15], 0);
    near((double)ret[13], 0.75);
    for (int i = 0; i < 16; i++)
        assert_true(ret[i] >= 0 && ret[i] <= 1);
}

static void a_constant_map_becomes_nothing(void **state)
{
    float raw[4] = { 2, 2, 2, 2 }, ret[9];

    (void)state;
    saliency_of(2, 2, raw, 3, 3, ret);
    for (int i = 0; i < 9; i++)
        assert_true(ret[i] == 0);
}

static void pixels_stand_by_falling_saliency_and_equal_ones_by_index(void **state)
{
    const float map[] = { 0.5f, -0.0f, 1, 0.5f, 0, 1, -2 };
    const uint32_t want[] = { 2, 5, 0, 3, 1, 4, 6 };
    uint64_t keys[7];
    uint32_t got[7];

    (void)state;
    saliency_order(map, 7, keys, got);
    assert_memory_equal(got, want, sizeof want);
}

/* --- deletion and insertion --- */

static void deletion_takes_32_pixels_more_each_time(void **state)
{
    (void)state;
    new_picture();
    for (uint32_t i = 0; i < PIXELS; i++)
        rig.map[i] = (float)i / PIXELS; /* the last are the most salient */
    order_map();
    assert_int_equal(metric("deletion_auc")->passes(PIXELS), 5); /* 0, 32, 64, 96, 100 */
    for (uint32_t pass = 0; pass < 5; pass++) {
        uint32_t left = pass < 4 ? PIXELS - 32 * pass : 0;
        const float *got = altered("deletion_auc", pass);

        assert_memory_equal(got, rig.pixels, left * CHANNELS * sizeof *got);
        for (size_t i = left * CHANNELS; i < NUMBERS; i++)
            assert_true(got[i] == 0);
    }
}

static void insertion_puts_pixels_into_a_blurred_image(void **state)
{
    (void)state;
    new_picture();
    order_map(); /* of nothing: by index */
    for (uint32_t pass = 1; pass < 5; pass++) {
        uint32_t there = pass < 4 ? 32 * pass : PIXELS;
        const float *got = altered("insertion_auc", pass);

        assert_memory_equal(got, rig.pixels, there * CHANNELS * sizeof *got);
        for (size_t i = there * CHANNELS; i < NUMBERS; i++)
            assert_true(isfinite(got[i]));
    }
}

static void a_blurred_point_is_a_gaussian_of_7_pixels_and_sigma_2(void **state)
{
    double gauss[4], sum = 0;
    const float *got;

    (void)state;
    new_picture();
    order_map();
    memset(rig.pixels, 0, sizeof rig.pixels);
    rig.pixels[(5 * SIDE + 4) * CHANNELS + 1] = 1;
    for (int d = 0; d < 4; d++)
        sum += (d == 0 ? 1 : 2) * (gauss[d] = exp(-d * d / 8.0));
    got = altered("insertion_auc", 0);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            int dy = abs(y - 5), dx = abs(x - 4);
            double want = dy > 3 || dx > 3 ? 0 : gauss[dy] * gauss[dx] / (sum * sum);

            near((double)got[(y * SIDE + x) * CHANNELS + 1], want);
            assert_true(got[(y * SIDE + x) * CHANNELS] == 0);
        }
}

static void a_blur_keeps_what_is_constant_up_to_the_border(void **state)
{
    const float *got;

    (void)state;
    new_picture();
    order_map();
    for (size_t i = 0; i < NUMBERS; i++)
        rig.pixels[i] = 3;
    got = altered("insertion_auc", 0);
    for (size_t i = 0; i < NUMBERS; i++)
        near((double)got[i], 3);
}

static void an_area_is_that_of_trapezoids(void **state)
{
    const double scores[] = { 1, 0.5, 0.25, 0, 0 };

    (void)state;
    new_picture();
    near(value("deletion_auc", scores), (1.75 - 0.5) / 4);
    near(value("insertion_auc", scores), (1.75 - 0.5) / 4);
}

/* --- the map against the truth --- */

static void fill_mask(uint32_t top, uint32_t left, uint32_t side)
{
    for (uint32_t y = top; y < top + side; y++)
        for (uint32_t x = left; x < left + side; x++)
            rig.mask[y * SIDE + x] = 1;
}

static void a_map_that_is_the_mask_points_at_it_and_lies_in_it(void **state)
{
    (void)state;
    new_picture();
    fill_mask(4, 4, 3);
    for (int i = 0; i < PIXELS; i++)
        rig.map[i] = rig.mask[i];
    order_map();
    near(value("pointing_game", NULL), 1);
    near(value("energy_in_mask", NULL), 1);
}

static double points_from(uint32_t y, uint32_t x)
{
    new_picture();
    fill_mask(4, 4, 3);
    rig.map[y * SIDE + x] = 1;
    order_map();
    return value("pointing_game", NULL);
}

static void two_pixels_beside_is_a_hit_and_a_knights_move_is_none(void **state)
{
    (void)state;
    near(points_from(4, 2), 1);
    near(points_from(8, 5), 1);
    near(points_from(3, 3), 1); /* diagonal, sqrt 2 */
    near(points_from(2, 3), 0); /* sqrt 5 */
    near(points_from(4, 1), 0);
    near(points_from(0, 9), 0);
}

static void a_map_without_contrast_points_nowhere_and_has_no_energy(void **state)
{
    (void)state;
    new_picture();
    fill_mask(0, 0, 3); /* where the first of equal pixels is */
    order_map();
    near(value("pointing_game", NULL), 0);
    near(value("energy_in_mask", NULL), 0);
}

static void off_centre_only_images_count_whose_object_the_middle_misses(void **state)
{
    (void)state;
    near(points_from(4, 2), 1);
    assert_true(isnan(value("pointing_game_off_centre", NULL))); /* the object is in the middle */
    for (int hit = 0; hit < 2; hit++) {
        new_picture();
        fill_mask(7, 7, 3); /* the middle is at 4, 4 */
        rig.map[hit ? 8 * SIDE + 8 : 4 * SIDE + 4] = 1;
        order_map();
        near(value("pointing_game_off_centre", NULL), hit);
        near(value("pointing_game", NULL), hit);
    }
    new_picture();
    fill_mask(4, 6, 3); /* 2 pixels from it */
    order_map();
    assert_true(isnan(value("pointing_game_off_centre", NULL)));
}

static void energy_is_the_share_of_the_sum(void **state)
{
    (void)state;
    new_picture();
    fill_mask(0, 0, 2);
    rig.map[0] = 1;
    rig.map[1] = 0.5f;
    rig.map[55] = 0.5f;
    near(value("energy_in_mask", NULL), 0.75);
}

/* --- average drop and increase --- */

static void a_drop_is_the_share_that_is_lost_and_a_rise_is_an_increase(void **state)
{
    (void)state;
    new_picture();
    rig.picture.score = 0.8;
    near(value("average_drop", (double[]){ 0.2 }), 0.75);
    near(value("increase", (double[]){ 0.2 }), 0);
    near(value("average_drop", (double[]){ 0.9 }), 0);
    near(value("increase", (double[]){ 0.9 }), 1);
    near(value("increase", (double[]){ 0.8 }), 0);
    rig.picture.score = 0; /* of logits that are not finite */
    near(value("average_drop", (double[]){ 0 }), 0);
}

static void what_is_scored_is_the_image_times_its_map(void **state)
{
    (void)state;
    new_picture();
    for (int i = 0; i < PIXELS; i++)
        rig.map[i] = (float)(i % 3) / 2;
    altered("average_drop", 0);
    for (int i = 0; i < NUMBERS; i++)
        assert_true(rig.altered[i] == rig.pixels[i] * (float)(i / CHANNELS % 3) / 2);
    assert_int_equal(metric("average_drop")->passes(PIXELS), 1);
    assert_int_equal(metric("increase")->passes(PIXELS), 1);
}

/* --- ROAD --- */

static void one_missing_pixel_is_the_weighted_mean_of_its_neighbours(void **state)
{
    float image[9] = { 1, 2, 3, 4, 100, 6, 7, 8, 9 };
    double room[IMPUTE_ROOM * 9];

    (void)state;
    impute(3, 3, 1, (uint32_t[]){ 4 }, 1, room, image);
    near((double)image[4], (2 + 4 + 6 + 8) / 6.0 + (1 + 3 + 7 + 9) / 12.0);
}

static void at_a_corner_the_weights_of_what_is_missing_are_dropped(void **state)
{
    float image[9] = { 100, 2, 3, 4, 5, 6, 7, 8, 9 };
    double room[IMPUTE_ROOM * 9];

    (void)state;
    impute(3, 3, 1, (uint32_t[]){ 0 }, 1, room, image);
    near((double)image[0], ((2 + 4) / 6.0 + 5 / 12.0) / (5 / 12.0));
}

static void what_is_filled_in_satisfies_its_equations(void **state)
{
    uint32_t out[PIXELS - 1];
    uint8_t is_out[PIXELS] = { 0 };
    double room[IMPUTE_ROOM * PIXELS];
    uint32_t count = 0;

    (void)state;
    new_picture();
    for (uint32_t i = 0; i < PIXELS; i++)
        if (i * 7 % 10 != 3) /* nine in ten are out */
            is_out[out[count++] = i] = 1;
    memcpy(rig.altered, rig.pixels, sizeof rig.altered);
    impute(SIDE, SIDE, CHANNELS, out, count, room, rig.altered);
    for (int i = 0; i < NUMBERS; i++) {
        int y = i / CHANNELS / SIDE, x = i / CHANNELS % SIDE;
        double sum = 0, weights = 0;

        if (!is_out[i / CHANNELS]) {
            assert_true(rig.altered[i] == rig.pixels[i]);
            continue;
        }
        for (int yy = y - 1; yy <= y + 1; yy++)
            for (int xx = x - 1; xx <= x + 1; xx++) {
                double w = yy != y && xx != x ? 1.0 / 12 : 1.0 / 6;

                if ((yy == y && xx == x) || yy < 0 || xx < 0 || yy >= SIDE || xx >= SIDE)
                    continue;
                weights += w;
                sum += w * (double)rig.altered[(yy * SIDE + xx) * CHANNELS + i % CHANNELS];
            }
        assert_true(fabs(sum / weights - (double)rig.altered[i]) < 1e-4);
    }
}

/* Pixels whose numbers are not the picture's. */
static uint32_t changed(const float *got, uint32_t *ret_first)
{
    uint32_t count = 0;

    *ret_first = PIXELS;
    for (uint32_t i = PIXELS; i-- > 0;)
        if (memcmp(got + i * CHANNELS, rig.pixels + i * CHANNELS, CHANNELS * sizeof *got) != 0) {
            *ret_first = i;
            count++;
        }
    return count;
}

static void road_takes_exact_shares_out_from_either_end(void **state)
{
    uint32_t first;

    (void)state;
    new_picture();
    order_map(); /* the most relevant are the first */
    assert_int_equal(metric("road")->passes(PIXELS), 18);
    for (uint32_t share = 1; share <= 9; share++) {
        assert_int_equal(changed(altered("road", 2 * share - 2), &first), 10 * share);
        assert_int_equal(first, 0);
        assert_int_equal(changed(altered("road", 2 * share - 1), &first), 10 * share);
        assert_int_equal(first, PIXELS - 10 * share);
    }
}

static void what_road_fills_in_has_a_little_noise_that_the_seed_says(void **state)
{
    float before[NUMBERS];
    double squares = 0;

    (void)state;
    new_picture();
    order_map();
    for (size_t i = 0; i < NUMBERS; i++)
        rig.pixels[i] = 1; /* filled in: 1 */
    memcpy(before, altered("road", 16), sizeof before);
    for (size_t i = 0; i < 90 * CHANNELS; i++)
        squares += pow((double)before[i] - 1, 2);
    assert_true(sqrt(squares / (90 * CHANNELS)) > 0.008 && sqrt(squares / (90 * CHANNELS)) < 0.012);
    assert_memory_equal(before, altered("road", 16), sizeof before);
    rig.picture.item = 1;
    assert_memory_not_equal(before, altered("road", 16), sizeof before);
}

static void road_is_half_the_mean_difference(void **state)
{
    double scores[18];

    (void)state;
    new_picture();
    for (int i = 0; i < 9; i++) {
        scores[2 * i] = 0.1; /* MoRF */
        scores[2 * i + 1] = 0.1 + 0.1 * i;
    }
    near(value("road", scores), 0.2);
}

/* --- likeness and the sanity check --- */

static void spearman_is_the_correlation_of_ranks(void **state)
{
    const float rising[] = { 1, 2, 3, 10 }, falling[] = { 5, 4, -3, -30 }, tied[] = { 1, 2, 2, 3 };
    const float constant[] = { 7, 7, 7, 7 };
    double room[LIKENESS_ROOM * 4];

    (void)state;
    near(likeness_spearman(rising, rising, 4, room), 1);
    near(likeness_spearman(rising, falling, 4, room), -1);
    near(likeness_spearman(rising, tied, 4, room), 4.5 / sqrt(4.5 * 5));
    near(likeness_spearman(constant, rising, 4, room), 0);
    near(likeness_spearman(constant, constant, 4, room), 1); /* nothing has changed */
}

static void ssim_is_1_of_the_same_and_nearly_0_of_black_and_white(void **state)
{
    float black[PIXELS] = { 0 }, white[PIXELS];

    (void)state;
    new_picture();
    for (int i = 0; i < PIXELS; i++) {
        white[i] = 1;
        rig.map[i] = (float)(i * 37 % 100) / 100;
    }
    near(likeness_ssim(SIDE, SIDE, rig.map, rig.map), 1);
    near(likeness_ssim(SIDE, SIDE, black, white), 1e-4 / (1 + 1e-4));
    assert_true(likeness_ssim(SIDE, SIDE, rig.map, white) < 0.2);
}

static void a_map_that_does_not_change_is_likest_and_its_negative_is_so_in_size(void **state)
{
    const Metric *sanity = metric("sanity_randomisation");
    float other[PIXELS];
    double likeness[LIKENESSES];

    (void)state;
    new_picture();
    for (int i = 0; i < PIXELS; i++) {
        rig.signed_map[i] = (float)(i * 37 % 100) - 50;
        rig.map[i] = rig.signed_map[i] > 0 ? rig.signed_map[i] / 49 : 0;
        other[i] = -rig.signed_map[i];
    }
    sanity->compare(&rig.picture, &rig.picture.saliency, rig.room, likeness);
    for (int k = 0; k < LIKENESSES; k++)
        near(likeness[k], 1);
    sanity->compare(&rig.picture, &(Saliency){ rig.map, other }, rig.room, likeness);
    near(likeness[LIKENESS_SPEARMAN], -1);
    near(likeness[LIKENESS_ABSOLUTE], 1);
}

/* --- baselines --- */

static const float *drawn(const char *name)
{
    int row = table_find(baseline_table, name);

    assert_true(row >= 0);
    baseline_table[row]->draw(&rig.picture, SIDE, SIDE, rig.map);
    order_map();
    return rig.map;
}

static void baselines_are_a_point_in_the_middle_noise_and_edges(void **state)
{
    float noise[PIXELS];

    (void)state;
    new_picture();
    drawn("centre");
    assert_int_equal(rig.order[0], 4 * SIDE + 4); /* the first of the four in the middle */
    assert_true(rig.map[0] < rig.map[44] && rig.map[0] == rig.map[PIXELS - 1]);
    memcpy(noise, drawn("random"), sizeof noise);
    assert_memory_equal(noise, drawn("random"), sizeof noise);
    rig.picture.item = 5;
    assert_memory_not_equal(noise, drawn("random"), sizeof noise);
    for (int i = 0; i < NUMBERS; i++) /* a step between the columns 5 and 6 */
        rig.pixels[i] = i / CHANNELS % SIDE > 5;
    drawn("edges");
    for (int i = 0; i < PIXELS; i++)
        near((double)rig.map[i], i % SIDE == 5 || i % SIDE == 6 ? 4 * CHANNELS : 0);
}

/* --- the table, samples, blocks --- */

static void every_metric_says_how_it_is_made(void **state)
{
    (void)state;
    for (uint32_t i = 0; metric_table[i] != NULL; i++) {
        const Metric *m = metric_table[i];

        assert_int_equal(table_find(metric_table, m->described.name), i);
        assert_true(m->described.summary != NULL);
        assert_true((m->value != NULL) != (m->compare != NULL));
        assert_true((m->passes != NULL) == (m->alter != NULL));
        assert_true((metric_all() & 1U << i) != 0);
        assert_true(((metric_maskless() & 1U << i) != 0) == !m->needs_mask);
    }
}

static void an_interval_is_two_standard_errors_each_way(void **state)
{
    Samples samples;
    Interval i;

    (void)state;
    assert_int_equal(samples_new(2, 5, &samples, NULL), STATUS_OK);
    memcpy(samples.value + 5, (float[]){ 1, -2, 3, 4, 1000 }, 5 * sizeof(float));
    samples.done = 4;
    i = samples_absolute(&samples, 1);
    assert_int_equal(i.n, 4);
    near(i.mean, 2.5);
    near(i.high - i.mean, 1.96 * sqrt(5.0 / 3) / 2);
    near(i.mean - i.low, i.high - i.mean);
    near(samples_interval(&samples, 1).mean, 1.5);
    samples.value[6] = NAN; /* does not count */
    near(samples_interval(&samples, 1).mean, 8.0 / 3);
    assert_int_equal(samples_interval(&samples, 1).n, 3);
    samples.done = 1;
    i = samples_interval(&samples, 1);
    assert_true(i.mean == 1 && isnan(i.low) && isnan(i.high));
    samples.done = 0;
    assert_true(isnan(samples_interval(&samples, 1).mean));
    samples_clear(&samples);
}

static void samples_come_back_and_those_of_others_do_not(void **state)
{
    Scratch scratch = scratch_new();
    const char *path = scratch_path(&scratch, "samples");
    Samples a, b;

    (void)state;
    assert_int_equal(samples_new(2, 3, &a, NULL), STATUS_OK);
    assert_int_equal(samples_new(2, 3, &b, NULL), STATUS_OK);
    for (int i = 0; i < 6; i++)
        a.value[i] = 0.1f * (float)i;
    a.done = 2;
    assert_int_equal(samples_restore(&b, "mine", path, NULL), STATUS_NOT_FOUND);
    assert_int_equal(samples_save(&a, "mine", path, NULL), STATUS_OK);
    assert_int_equal(samples_restore(&b, "another's", path, NULL), STATUS_INVALID);
    assert_int_equal(b.done, 0);
    assert_int_equal(samples_restore(&b, "mine", path, NULL), STATUS_OK);
    assert_int_equal(b.done, 2);
    assert_memory_equal(a.value, b.value, 6 * sizeof *a.value);
    b.images = 4;
    assert_int_equal(samples_restore(&b, "mine", path, NULL), STATUS_INVALID);
    a.done = 9;
    assert_int_equal(samples_save(&a, "mine", path, NULL), STATUS_OK);
    b.images = 3;
    assert_int_equal(samples_restore(&b, "mine", path, NULL), STATUS_CORRUPT);
    scratch_write(path, "no tensors");
    assert_int_equal(samples_restore(&b, "mine", path, NULL), STATUS_CORRUPT);
    samples_clear(&a);
    samples_clear(&b);
    scratch_remove(&scratch);
}

static void blocks(const char *model, const Set *set, const char *want)
{
    Network n = network_of(model, set, (ModelInput){ 16, 16, 3, 4 });
    char got[512] = "";
    Cascade c;

    assert_int_equal(cascade_init(&c, &n.graph, NULL), STATUS_OK);
    for (uint32_t i = 0; i < c.levels; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s ", (int)c.length[i], c.name[i]);
    assert_string_equal(got, want);
    cascade_clear(&c);
    network_clear(&n);
}

static void blocks_are_told_by_the_names_of_weights_from_the_top(void **state)
{
    (void)state;
    blocks("resnet18", SETS({ "width", 4 }), "fc layer4 layer3 layer2 layer1 bn1 conv1 ");
    blocks("genotype", SETS({ "channels", 4 }, { "cells", 3 }, { "auxiliary", 0 }),
           "classifier cells.2 cells.1 cells.0 stem.1 stem.0 ");
}

static void a_level_is_replaced_and_nothing_else(void **state)
{
    Network n = network_of("resnet18", SETS({ "width", 4 }), (ModelInput){ 16, 16, 3, 4 });
    real *random = calloc(n.graph.weight_numbers, sizeof *random);
    Cascade c;

    (void)state;
    assert_non_null(random);
    for (size_t i = 0; i < n.graph.weight_numbers; i++)
        random[i] = 7;
    assert_int_equal(cascade_init(&c, &n.graph, NULL), STATUS_OK);
    for (uint32_t level = 0; level < c.levels; level++) {
        cascade_apply(&c, level, random, n.weights);
        for (uint32_t i = 0; i < n.graph.weights; i++)
            for (size_t k = 0; k < n.graph.weight[i].count; k++)
                assert_true((n.weights[n.graph.weight[i].offset + k] == 7) ==
                            (c.level_of[i] <= level));
    }
    cascade_clear(&c);
    free(random);
    network_clear(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_becomes_0_to_1_at_the_images_size),
        cmocka_unit_test(a_constant_map_becomes_nothing),
        cmocka_unit_test(pixels_stand_by_falling_saliency_and_equal_ones_by_index),
        cmocka_unit_test(deletion_takes_32_pixels_more_each_time),
        cmocka_unit_test(insertion_puts_pixels_into_a_blurred_image),
        cmocka_unit_test(a_blurred_point_is_a_gaussian_of_7_pixels_and_sigma_2),
        cmocka_unit_test(a_blur_keeps_what_is_constant_up_to_the_border),
        cmocka_unit_test(an_area_is_that_of_trapezoids),
        cmocka_unit_test(a_map_that_is_the_mask_points_at_it_and_lies_in_it),
        cmocka_unit_test(two_pixels_beside_is_a_hit_and_a_knights_move_is_none),
        cmocka_unit_test(a_map_without_contrast_points_nowhere_and_has_no_energy),
        cmocka_unit_test(off_centre_only_images_count_whose_object_the_middle_misses),
        cmocka_unit_test(energy_is_the_share_of_the_sum),
        cmocka_unit_test(a_drop_is_the_share_that_is_lost_and_a_rise_is_an_increase),
        cmocka_unit_test(what_is_scored_is_the_image_times_its_map),
        cmocka_unit_test(one_missing_pixel_is_the_weighted_mean_of_its_neighbours),
        cmocka_unit_test(at_a_corner_the_weights_of_what_is_missing_are_dropped),
        cmocka_unit_test(what_is_filled_in_satisfies_its_equations),
        cmocka_unit_test(road_takes_exact_shares_out_from_either_end),
        cmocka_unit_test(what_road_fills_in_has_a_little_noise_that_the_seed_says),
        cmocka_unit_test(road_is_half_the_mean_difference),
        cmocka_unit_test(spearman_is_the_correlation_of_ranks),
        cmocka_unit_test(ssim_is_1_of_the_same_and_nearly_0_of_black_and_white),
        cmocka_unit_test(a_map_that_does_not_change_is_likest_and_its_negative_is_so_in_size),
        cmocka_unit_test(baselines_are_a_point_in_the_middle_noise_and_edges),
        cmocka_unit_test(every_metric_says_how_it_is_made),
        cmocka_unit_test(an_interval_is_two_standard_errors_each_way),
        cmocka_unit_test(samples_come_back_and_those_of_others_do_not),
        cmocka_unit_test(blocks_are_told_by_the_names_of_weights_from_the_top),
        cmocka_unit_test(a_level_is_replaced_and_nothing_else),
    };

    return cmocka_run_group_tests_name("quality", tests, NULL, NULL);
}
