/* base: errors, arenas, random numbers, the thread pool, parameter tables, durable files. */
#include "tests/unit/test.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/durable.h"
#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/base/param.h"
#include "core/base/rng.h"

static void the_first_error_wins(void **state)
{
    Error err = { 0 };

    (void)state;
    assert_int_equal(error_at(&err, STATUS_INVALID, "/a", "first"), STATUS_INVALID);
    assert_int_equal(error_set(&err, STATUS_IO, "second"), STATUS_IO);
    assert_int_equal(err.status, STATUS_INVALID);
    assert_string_equal(error_message(&err), "first");
    assert_string_equal(err.detail[0].pointer, "/a");
}

static void validation_collects_every_detail_up_to_a_limit(void **state)
{
    Error err = { 0 };

    (void)state;
    for (int i = 0; i < ERROR_DETAILS_MAX + 3; i++)
        error_add(&err, STATUS_INVALID, "/x", "problem %d", i);
    assert_int_equal(err.details, ERROR_DETAILS_MAX);
    assert_int_equal(err.dropped, 3);
    error_prefix_pointers(&err, "/params");
    assert_string_equal(err.detail[1].pointer, "/params/x");
}

static void philox_gives_the_known_answers(void **state)
{
    /* Random123's kat_vectors: philox4x32 10 rounds. */
    const uint32_t zero[4] = { 0 }, ones[4] = { ~0u, ~0u, ~0u, ~0u };
    const uint32_t pi[4] = { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 };
    const uint32_t pi_key[2] = { 0xa4093822, 0x299f31d0 };
    const uint32_t want[3][4] = {
        { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
        { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd },
        { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 },
    };
    uint32_t got[4];

    (void)state;
    philox4x32_10(zero, zero, got);
    assert_memory_equal(got, want[0], sizeof got);
    philox4x32_10(ones, ones, got);
    assert_memory_equal(got, want[1], sizeof got);
    philox4x32_10(pi, pi_key, got);
    assert_memory_equal(got, want[2], sizeof got);
}

static void streams_are_addressed_not_shared(void **state)
{
    Rng a = rng_at(7, RNG_AUGMENT, 3, 41), b = rng_at(7, RNG_AUGMENT, 3, 41),
        c = rng_at(7, RNG_AUGMENT, 4, 41);
    uint32_t order[100];
    int seen[100] = { 0 }, same = 0;

    (void)state;
    for (int i = 0; i < 50; i++) {
        uint32_t x = rng_u32(&a);

        assert_int_equal(x, rng_u32(&b));
        same += x == rng_u32(&c);
    }
    assert_true(same < 2);
    rng_permutation(&a, 100, order);
    for (int i = 0; i < 100; i++)
        seen[order[i]]++;
    for (int i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
}

static void draws_have_the_right_moments(void **state)
{
    Rng rng = rng_at(1, RNG_TEST, 0, 0);
    double uniform = 0, normal = 0, square = 0;
    int below[3] = { 0 };
    const int draws = 30000;

    (void)state;
    for (int i = 0; i < draws; i++) {
        double z = rng_normal(&rng), u = rng_uniform(&rng);

        assert_true(u >= 0 && u < 1);
        uniform += u;
        normal += z;
        square += z * z;
        below[rng_below(&rng, 3)]++;
    }
    assert_true(uniform / draws > 0.49 && uniform / draws < 0.51);
    assert_true(normal / draws > -0.03 && normal / draws < 0.03);
    assert_true(square / draws > 0.96 && square / draws < 1.04);
    for (int i = 0; i < 3; i++)
        assert_true(below[i] > draws / 3 - 400 && below[i] < draws / 3 + 400);
}

typedef struct Tally {
    atomic_uint hits[1000];
} Tally;

static void hit(void *context, size_t unit)
{
    Tally *tally = context;

    atomic_fetch_add(&tally->hits[unit], 1);
}

static void every_unit_runs_exactly_once_for_any_number_of_threads(void **state)
{
    (void)state;
    for (unsigned threads = 1; threads <= 5; threads++) {
        Tally *tally = calloc(1, sizeof *tally);
        Pool *pool = NULL;

        assert_non_null(tally);
        assert_int_equal(pool_new(threads, &pool, NULL), STATUS_OK);
        for (int round = 0; round < 100; round++)
            pool_run(pool, 1000, hit, tally);
        pool_run(pool, 0, hit, tally);
        pool_run(pool, 1, hit, tally);
        for (int i = 0; i < 1000; i++)
            assert_int_equal(tally->hits[i], i == 0 ? 101 : 100);
        pool_free(pool);
        free(tally);
    }
}

static void an_arena_hands_out_aligned_zeroed_memory(void **state)
{
    Arena arena = { 0 };
    Error err = { 0 };
    char *a, *b;

    (void)state;
    assert_int_equal(arena_init(&arena, arena_round(100) + arena_round(1), NULL), STATUS_OK);
    a = arena_take(&arena, 100);
    b = arena_take(&arena, 1);
    assert_int_equal((uintptr_t)a % ARENA_ALIGN, 0);
    assert_int_equal(b - a, 128);
    assert_int_equal(a[99], 0);
    arena_clear(&arena);
    assert_int_equal(arena_init(&arena, (size_t)1 << 60, &err), STATUS_NO_MEMORY);
    assert_non_null(strstr(error_message(&err), "1152921504606846976"));
}

static void a_parameter_out_of_range_is_told_what_is_allowed(void **state)
{
    static const char *const names[] = { "none", "se", NULL };
    const Param width = { "width", PARAM_INT, 64, 1, 1024, NULL, "" };
    const Param attention = { "attention", PARAM_ENUM, 0, 0, 0, names, "" };
    Error err = { 0 };

    (void)state;
    assert_int_equal(param_check(&width, 1024, NULL), STATUS_OK);
    assert_int_equal(param_check(&width, 2.5, NULL), STATUS_INVALID);
    assert_int_equal(param_check(&width, NAN, NULL), STATUS_INVALID);
    assert_int_equal(param_check(&width, 0, &err), STATUS_INVALID);
    assert_string_equal(error_message(&err), "must be an integer from 1 to 1024");
    assert_int_equal(param_check(&attention, 2, NULL), STATUS_INVALID);
    assert_int_equal(param_choice(&attention, "se"), 1);
    assert_int_equal(param_choice(&attention, "eca"), -1);
}

static void a_durable_file_appears_whole_or_not_at_all(void **state)
{
    char folder[] = "/tmp/leased-test-XXXXXX", path[64], temporary[72];
    DurableFile file = { 0 };

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x", folder);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    assert_int_equal(durable_open(&file, path, NULL), STATUS_OK);
    fputs("hello", file.stream);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(durable_commit(&file, NULL), STATUS_OK);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(access(temporary, F_OK), -1);
    assert_int_equal(durable_open(&file, path, NULL), STATUS_OK);
    durable_abort(&file);
    assert_int_equal(access(temporary, F_OK), -1);
    durable_abort(&file);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(durable_open(&file, path, NULL), STATUS_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_error_wins),
        cmocka_unit_test(validation_collects_every_detail_up_to_a_limit),
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(streams_are_addressed_not_shared),
        cmocka_unit_test(draws_have_the_right_moments),
        cmocka_unit_test(every_unit_runs_exactly_once_for_any_number_of_threads),
        cmocka_unit_test(an_arena_hands_out_aligned_zeroed_memory),
        cmocka_unit_test(a_parameter_out_of_range_is_told_what_is_allowed),
        cmocka_unit_test(a_durable_file_appears_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
