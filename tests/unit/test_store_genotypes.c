/* Genotypes in the store: every distinct one once, where it came from and what it scored. */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/genotypes.h"
#include "server/store/jobs.h"
#include "tests/unit/store_rig.h"

static int64_t add_job(Rig *rig)
{
    JobInsert job = {
        .kind = "search", .name = "n", .tags = "[]", .params = "{}", .threads = 1, .steps = 10
    };
    int64_t id = 0;

    assert_int_equal(store_job_insert(rig->store, &job, &id, NULL), STATUS_OK);
    return id;
}

/* Whether it was new. */
static bool put(Rig *rig, const char *text, int64_t job, uint32_t epoch, int64_t *ret_id)
{
    bool is_new = false;
    Error err = { 0 };

    if (store_genotype_put(rig->store, text, job, epoch, ret_id, &is_new, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    return is_new;
}

static GenotypeRow get(Rig *rig, int64_t id)
{
    GenotypeRow row = { 0 };

    assert_int_equal(store_genotype_get(rig->store, id, &row, NULL), STATUS_OK);
    return row;
}

static void a_genotype_is_kept_once_with_all_who_found_it(void **state)
{
    Rig *rig = *state;
    int64_t first = add_job(rig), second = add_job(rig), a, b, found = 0;
    GenotypeRow row;

    assert_true(put(rig, "x", first, 1, &a));
    assert_false(put(rig, "x", first, 2, &b));
    assert_int_equal(a, b);
    assert_false(put(rig, "x", second, 1, &b));
    assert_false(put(rig, "x", second, 1, &b)); /* the same again changes nothing */
    assert_true(put(rig, "y", second, 2, &b));
    assert_int_not_equal(a, b);

    row = get(rig, a);
    assert_string_equal(row.text, "x");
    assert_int_equal(row.sources, 3);
    assert_int_equal(row.source_count, 3);
    assert_int_equal(row.source[0].job, second);
    assert_int_equal(row.source[0].epoch, 1);
    assert_int_equal(row.source[2].job, first);
    assert_int_equal(row.source[2].epoch, 1);
    assert_int_equal(row.imported_ms, 0);
    assert_true(row.created_ms > 0);
    genotype_row_clear(&row);

    assert_int_equal(store_genotype_of(rig->store, second, 2, &found, NULL), STATUS_OK);
    assert_int_equal(found, b);
    assert_int_equal(store_genotype_find(rig->store, "x", &found, NULL), STATUS_OK);
    assert_int_equal(found, a);
    assert_int_equal(store_genotype_of(rig->store, second, 3, &found, NULL), STATUS_NOT_FOUND);
    assert_int_equal(store_genotype_find(rig->store, "z", &found, NULL), STATUS_NOT_FOUND);
}

/* As after a crash between two checkpoints, were the numbers not the same. */
static void an_epoch_that_is_searched_again_has_its_new_genotype_only(void **state)
{
    Rig *rig = *state;
    int64_t job = add_job(rig), a, b, found = 0;
    GenotypeRow row;

    put(rig, "x", job, 1, &a);
    put(rig, "y", job, 1, &b);
    assert_int_equal(store_genotype_of(rig->store, job, 1, &found, NULL), STATUS_OK);
    assert_int_equal(found, b);
    row = get(rig, a);
    assert_int_equal(row.sources, 0);
    assert_int_equal(row.source_count, 0);
    genotype_row_clear(&row);
}

static void what_was_sent_is_marked_and_stays_so(void **state)
{
    Rig *rig = *state;
    int64_t job = add_job(rig), a, b;
    GenotypeRow row;

    put(rig, "x", job, 1, &a);
    assert_false(put(rig, "x", 0, 0, &b));
    assert_int_equal(a, b);
    row = get(rig, a);
    assert_true(row.imported_ms >= row.created_ms);
    assert_int_equal(row.sources, 1);
    genotype_row_clear(&row);
    assert_true(put(rig, "y", 0, 0, &b));
    put(rig, "y", job, 2, &b);
    row = get(rig, b);
    assert_true(row.imported_ms > 0);
    genotype_row_clear(&row);
}

static void scores_are_one_a_job_and_the_best_is_known(void **state)
{
    Rig *rig = *state;
    int64_t first = add_job(rig), second = add_job(rig), third = add_job(rig), id;
    GenotypeScore score = { .job = first,
                            .accuracy = 0.5,
                            .val_accuracy = (double)NAN,
                            .parameters = 3169414,
                            .epochs = 3 };
    GenotypeRow row;

    put(rig, "x", 0, 0, &id);
    row = get(rig, id);
    assert_true(isnan(row.accuracy));
    genotype_row_clear(&row);
    assert_int_equal(store_genotype_score(rig->store, id, &score, NULL), STATUS_OK);
    score.accuracy = 0.625; /* of the same job, which ran again */
    assert_int_equal(store_genotype_score(rig->store, id, &score, NULL), STATUS_OK);
    score = (GenotypeScore){ .job = second, .accuracy = (double)NAN, .val_accuracy = 0.25 };
    assert_int_equal(store_genotype_score(rig->store, id, &score, NULL), STATUS_OK);
    score = (GenotypeScore){ .job = third, .accuracy = 0.375, .val_accuracy = 0.25 };
    assert_int_equal(store_genotype_score(rig->store, id, &score, NULL), STATUS_OK);

    row = get(rig, id);
    assert_int_equal(row.scores, 3);
    assert_int_equal(row.score_count, 3);
    assert_true(row.accuracy == 0.625);
    assert_int_equal(row.score[2].job, first);
    assert_true(row.score[2].accuracy == 0.625);
    assert_true(isnan(row.score[2].val_accuracy));
    assert_int_equal(row.score[2].parameters, 3169414);
    assert_int_equal(row.score[2].epochs, 3);
    assert_true(isnan(row.score[1].accuracy));
    assert_true(row.score[0].val_accuracy == 0.25);
    genotype_row_clear(&row);
}

static void nobody_refers_to_what_is_not_there(void **state)
{
    Rig *rig = *state;
    GenotypeScore score = { .job = add_job(rig) };
    GenotypeRow row = { 0 };
    GenotypeList list = { 0 };
    int64_t id = 0;

    assert_int_equal(store_genotype_put(rig->store, "x", 99, 1, &id, NULL, NULL), STATUS_NOT_FOUND);
    assert_int_equal(id, 0);
    assert_int_equal(store_genotype_get(rig->store, 1, &row, NULL), STATUS_NOT_FOUND);
    assert_null(row.text);
    assert_int_equal(store_genotype_score(rig->store, 1, &score, NULL), STATUS_NOT_FOUND);
    put(rig, "x", 0, 0, &id);
    score.job = 99;
    assert_int_equal(store_genotype_score(rig->store, id, &score, NULL), STATUS_NOT_FOUND);
    assert_int_equal(
        store_genotype_list(rig->store, &(GenotypeFilter){ .job = 99, .limit = 5 }, &list, NULL),
        STATUS_OK);
    assert_int_equal(list.count, 0);
    genotype_list_clear(&list);
}

static void lists_are_newest_first_paged_and_by_job(void **state)
{
    Rig *rig = *state;
    int64_t search = add_job(rig), trained = add_job(rig), id[5];
    GenotypeScore score = { .job = trained, .accuracy = 0.75, .val_accuracy = (double)NAN };
    GenotypeFilter filter = { .limit = 2 };
    GenotypeList list = { 0 };

    for (int i = 0; i < 5; i++)
        put(rig, (const char *[]){ "a", "b", "c", "d", "e" }[i], i == 1 ? search : 0, 1, &id[i]);
    assert_int_equal(store_genotype_score(rig->store, id[3], &score, NULL), STATUS_OK);

    for (int page = 0; page < 3; page++) {
        assert_int_equal(store_genotype_list(rig->store, &filter, &list, NULL), STATUS_OK);
        assert_int_equal(list.count, page < 2 ? 2 : 1);
        assert_int_equal(list.items[0].id, id[4 - 2 * page]);
        assert_int_equal(list.next, page < 2 ? id[3 - 2 * page] : 0);
        if (page == 0)
            assert_true(list.items[1].accuracy == 0.75);
        filter.before = list.next;
        genotype_list_clear(&list);
    }
    for (int i = 0; i < 2; i++) {
        filter = (GenotypeFilter){ .limit = 9, .job = i == 0 ? search : trained };
        assert_int_equal(store_genotype_list(rig->store, &filter, &list, NULL), STATUS_OK);
        assert_int_equal(list.count, 1);
        assert_int_equal(list.items[0].id, i == 0 ? id[1] : id[3]);
        genotype_list_clear(&list);
    }
}

int main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_STORE(a_genotype_is_kept_once_with_all_who_found_it),
        WITH_STORE(an_epoch_that_is_searched_again_has_its_new_genotype_only),
        WITH_STORE(what_was_sent_is_marked_and_stays_so),
        WITH_STORE(scores_are_one_a_job_and_the_best_is_known),
        WITH_STORE(nobody_refers_to_what_is_not_there),
        WITH_STORE(lists_are_newest_first_paged_and_by_job),
    };

    return cmocka_run_group_tests_name("store genotypes", tests, NULL, NULL);
}
