/* Explanations in the store: every distinct one once, whole or not at all, and only the newest. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/explanations.h"
#include "server/store/jobs.h"
#include "tests/unit/store_rig.h"

static int64_t add_job(Rig *rig)
{
    JobInsert job = {
        .kind = "train", .name = "n", .tags = "[]", .params = "{}", .threads = 1, .steps = 10
    };
    int64_t id = 0;

    assert_int_equal(store_job_insert(rig->store, &job, &id, NULL), STATUS_OK);
    return id;
}

static uint8_t pixels[4 * 5 * 3];
static float map[2 * 3] = { 0, 1, 2, -3, 4.5f, 1e-30f };

static Status put_error(Rig *rig, int64_t job, uint32_t number, uint32_t keep, int64_t *ret_id,
                        bool *ret_new)
{
    ExplanationRow row = { .job = job,
                           .about = (char[]){ "{\"a\":1}" },
                           .height = 4,
                           .width = 5,
                           .pixels = pixels,
                           .map_height = 2,
                           .map_width = 3,
                           .map = map };

    snprintf(row.key, sizeof row.key, "key-%u", number);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(number + i);
    return store_explanation_put(rig->store, &row, keep, ret_id, ret_new, NULL);
}

static int64_t put(Rig *rig, int64_t job, uint32_t number, uint32_t keep)
{
    int64_t id = 0;
    bool is_new = false;

    assert_int_equal(put_error(rig, job, number, keep, &id, &is_new), STATUS_OK);
    assert_true(is_new);
    return id;
}

static void an_explanation_comes_back_whole(void **state)
{
    Rig *rig = *state;
    int64_t job = add_job(rig), id = put(rig, job, 7, 10), found = 0;
    ExplanationRow row = { 0 };

    assert_int_equal(store_explanation_get(rig->store, id, false, &row, NULL), STATUS_OK);
    assert_int_equal(row.id, id);
    assert_int_equal(row.job, job);
    assert_string_equal(row.key, "key-7");
    assert_string_equal(row.about, "{\"a\":1}");
    assert_true(row.height == 4 && row.width == 5 && row.map_height == 2 && row.map_width == 3);
    assert_memory_equal(row.pixels, pixels, sizeof pixels);
    assert_memory_equal(row.map, map, sizeof map);
    assert_true(row.created_ms > 0);
    explanation_row_clear(&row);
    assert_int_equal(store_explanation_get(rig->store, id, true, &row, NULL), STATUS_OK);
    assert_true(row.pixels == NULL && row.map == NULL && row.about != NULL);
    explanation_row_clear(&row);
    assert_int_equal(store_explanation_find(rig->store, "key-7", &found, NULL), STATUS_OK);
    assert_int_equal(found, id);
}

static void the_same_is_kept_once(void **state)
{
    Rig *rig = *state;
    int64_t job = add_job(rig), id = put(rig, job, 1, 10), again = 0;
    bool is_new = true;

    assert_int_equal(put_error(rig, job, 1, 10, &again, &is_new), STATUS_OK);
    assert_false(is_new);
    assert_int_equal(again, id);
}

static void only_the_newest_are_kept(void **state)
{
    Rig *rig = *state;
    ExplanationList list = { 0 };
    int64_t job = add_job(rig), ids[6], found;
    ExplanationRow row;

    for (uint32_t i = 0; i < 6; i++)
        ids[i] = put(rig, job, i, 4);
    assert_int_equal(store_explanation_list(rig->store, 0, 3, &list, NULL), STATUS_OK);
    assert_int_equal(list.count, 3);
    assert_int_equal(list.items[0].id, ids[5]);
    assert_null(list.items[0].pixels);
    assert_int_equal(list.next, ids[3]);
    explanation_list_clear(&list);
    assert_int_equal(store_explanation_list(rig->store, ids[3], 3, &list, NULL), STATUS_OK);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.items[0].id, ids[2]);
    assert_int_equal(list.next, 0);
    explanation_list_clear(&list);
    assert_int_equal(store_explanation_get(rig->store, ids[1], true, &row, NULL), STATUS_NOT_FOUND);
    assert_int_equal(store_explanation_find(rig->store, "key-1", &found, NULL), STATUS_NOT_FOUND);
    assert_true(put(rig, job, 1, 4) > ids[5]); /* an id is never used again */
}

static void there_is_none_of_a_job_that_is_not_there(void **state)
{
    Rig *rig = *state;
    int64_t id;
    bool is_new;

    assert_int_equal(put_error(rig, 99, 1, 10, &id, &is_new), STATUS_NOT_FOUND);
}

#define with_rig(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_rig(an_explanation_comes_back_whole),
        with_rig(the_same_is_kept_once),
        with_rig(only_the_newest_are_kept),
        with_rig(there_is_none_of_a_job_that_is_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
