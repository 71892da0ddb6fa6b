/* maps_cache: what was kept comes back as it was, and no more is kept than allowed. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/jobs/maps_cache.h"

enum { CAPACITY = 200000 };

static MapsResult result_of(uint32_t number, size_t size)
{
    MapsResult result = { .class_index = number, .label = number + 1, .score = 0.25f };

    snprintf(result.key, sizeof result.key, "%08x", number * 2654435761u);
    result.bytes = (Bytes){ malloc(size > 0 ? size : 1), size };
    assert_non_null(result.bytes.data);
    memset(result.bytes.data, (int)(number & 0xff), size);
    return result;
}

static void put(MapsCache *cache, uint32_t number, size_t size)
{
    MapsResult result = result_of(number, size);

    maps_cache_put(cache, &result);
    bytes_clear(&result.bytes);
}

/* True where it is there; it is what was put then. */
static bool get(MapsCache *cache, uint32_t number, size_t size)
{
    MapsResult want = result_of(number, size), got = { .is_new = false };
    bool there = maps_cache_get(cache, want.key, &got);

    if (there) {
        assert_int_equal(got.class_index, number);
        assert_int_equal(got.label, number + 1);
        assert_int_equal(got.bytes.size, size);
        assert_memory_equal(got.bytes.data, want.bytes.data, size);
    }
    bytes_clear(&got.bytes);
    bytes_clear(&want.bytes);
    return there;
}

static int setup(void **state)
{
    *state = maps_cache_new(CAPACITY);
    return *state == NULL;
}

static int teardown(void **state)
{
    maps_cache_free(*state);
    return 0;
}

static void what_is_kept_comes_back_as_it_was(void **state)
{
    MapsCache *cache = *state;
    MapsCounts counts;

    assert_false(get(cache, 1, 100));
    put(cache, 1, 100);
    put(cache, 2, 0);
    assert_true(get(cache, 1, 100));
    assert_true(get(cache, 2, 0));
    assert_false(get(cache, 3, 100));
    counts = maps_cache_counts(cache);
    assert_int_equal(counts.entries, 2);
    assert_int_equal(counts.computed, 2);
    assert_int_equal(counts.cached, 2);
    assert_true(counts.bytes > 100);
}

static void the_one_longest_not_asked_for_goes_first(void **state)
{
    MapsCache *cache = *state;
    uint32_t number = 0;

    for (; number < 4; number++)
        put(cache, number, 40000);
    assert_true(get(cache, 0, 40000));
    put(cache, 4, 40000);
    assert_true(get(cache, 0, 40000));
    assert_false(get(cache, 1, 40000));
    for (number = 2; number < 5; number++)
        assert_true(get(cache, number, 40000));
}

static void no_more_is_kept_than_allowed_and_small_ones_count_too(void **state)
{
    MapsCache *cache = *state;

    for (uint32_t number = 0; number < 5000; number++) {
        put(cache, number, number % 7 == 0 ? number % 3000 : 1);
        assert_true(maps_cache_counts(cache).bytes <= CAPACITY);
    }
    assert_true(maps_cache_counts(cache).entries < 5000);
    assert_true(get(cache, 4999, 1));
}

static void there_may_be_more_small_ones_than_slots(void **state)
{
    MapsCache *cache = maps_cache_new(100 << 20);

    (void)state;
    assert_non_null(cache);
    for (uint32_t number = 0; number < 20000; number++)
        put(cache, number, 3);
    assert_false(get(cache, 10000, 3));
    for (uint32_t number = 12000; number < 20000; number++)
        assert_true(get(cache, number, 3));
    maps_cache_free(cache);
}

static void what_is_too_large_is_not_kept_and_drives_nothing_out(void **state)
{
    MapsCache *cache = *state;

    put(cache, 1, 1000);
    put(cache, 2, CAPACITY);
    assert_false(get(cache, 2, CAPACITY));
    assert_true(get(cache, 1, 1000));
    assert_int_equal(maps_cache_counts(cache).computed, 2);
}

static void a_key_is_kept_once(void **state)
{
    MapsCache *cache = *state;

    put(cache, 1, 1000);
    put(cache, 1, 1000);
    assert_int_equal(maps_cache_counts(cache).entries, 1);
    assert_true(get(cache, 1, 1000));
}

#define with_cache(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_cache(what_is_kept_comes_back_as_it_was),
        with_cache(the_one_longest_not_asked_for_goes_first),
        with_cache(no_more_is_kept_than_allowed_and_small_ones_count_too),
        cmocka_unit_test(there_may_be_more_small_ones_than_slots),
        with_cache(what_is_too_large_is_not_kept_and_drives_nothing_out),
        with_cache(a_key_is_kept_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
