/*
 * search: it learns; each side moves its own weights only, by gradients of its own only; the same
 * bits on any number of threads; it takes the memory it announced and then no more; it says no in
 * time.
 *
 * malloc() and its like are counted (the linker wraps them, see meson.build).
 */
#include "tests/unit/train_rig.h"

#include <sys/mman.h>

#include "core/search/searcher.h"
#include "tests/unit/allocations.h"

/* ---- A job ---- */

/* 64 images: two steps of 16 an epoch. */
static SearchSpec small(const char *space)
{
    SearchSpec spec = { .model = choice(model_table, "supernet"),
                        .searcher = choice(searcher_table, "darts"),
                        .optimizer = choice(optimizer_table, "sgd"),
                        .schedule = choice(schedule_table, "cosine"),
                        .architecture_optimizer = choice(optimizer_table, "adam"),
                        .augment = { choice(augmentation_table, "flip") },
                        .augments = 1,
                        .data = { .val_images = 32, .split_seed = 1 },
                        .epochs = 1.5,
                        .batch_size = 16,
                        .seed = 9 };

    snprintf(spec.model.text, sizeof spec.model.text, "%s", space);
    set(&spec.model, model_table, "channels", 2);
    set(&spec.model, model_table, "cells", 3);
    set(&spec.optimizer, optimizer_table, "lr", 0.05);
    set(&spec.optimizer, optimizer_table, "clip", 5);
    set(&spec.architecture_optimizer, optimizer_table, "lr", 0.01);
    return spec;
}

static Search *search_of(const SearchSpec *spec, Pool *pool)
{
    Search *search = NULL;
    Error err = { 0 };

    if (search_new(spec, &data, pool, &search, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    return search;
}

typedef struct Reports {
    SearchReport report[REPORTS_MAX];
    unsigned steps, before; /* allocations when the first step had ended */
    atomic_int stop;
} Reports;

static void on_step(void *context, const SearchReport *report)
{
    Reports *r = context;

    assert_true(r->steps < REPORTS_MAX);
    r->report[r->steps++] = *report;
    if (r->steps == 1)
        r->before = atomic_load(&allocations);
}

static Status run(Search *search, Reports *reports, Error *err)
{
    return search_run(search, &(SearchObserver){ reports, &reports->stop, on_step }, err);
}

static real *weights_of(const Search *search)
{
    size_t bytes = search->network.graph.weight_numbers * sizeof(real);
    real *ret = malloc(bytes);

    assert_non_null(ret);
    memcpy(ret, search->network.weights, bytes);
    return ret;
}

/* ---- The tests ---- */

static void both_losses_fall(void **state)
{
    SearchSpec spec = small("s3");
    Pool *pool = pool_of(2);
    Search *search;
    Reports *r = calloc(1, sizeof *r);
    Error err = { 0 };

    (void)state;
    spec.epochs = 30;
    search = search_of(&spec, pool);
    if (run(search, r, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    assert_int_equal(r->steps, 60);
    assert_int_equal(r->report[59].step, 60);
    assert_true(r->report[59].train_loss < 0.7 * r->report[0].train_loss);
    assert_true(r->report[59].val_loss < 0.9 * r->report[0].val_loss);
    assert_true(r->report[59].learning_rate < r->report[0].learning_rate);
    search_free(search);
    pool_free(pool);
    free(r);
}

/* After one side's gradients and update: which roles have gradients, and which have moved. */
static void a_side_moves_its_own(SearchSide side, unsigned role)
{
    SearchSpec spec = small("s3_se_eca");
    Pool *pool = pool_of(1);
    Search *search = search_of(&spec, pool);
    PrefetchSpec batches = search_batches(search, side);
    Prefetch *prefetch = NULL;
    real *before;
    PassSums sums;
    Batch batch;

    assert_int_equal(prefetch_new(&batches, &prefetch, NULL), STATUS_OK);
    assert_true(prefetch_next(prefetch, &batch));
    assert_int_equal(search_gradients(search, side, &batch, &sums, NULL), STATUS_OK);
    before = weights_of(search);
    (void)search_update(search, side);
    for (uint32_t i = 0; i < search->network.graph.weights; i++) {
        const GraphWeight *w = &search->network.graph.weight[i];
        bool moved = false, gradient = false;

        for (size_t k = w->offset; k < w->offset + w->count; k++) {
            moved = moved || search->network.weights[k] != before[k];
            gradient = gradient || search->gradients[k] != 0;
        }
        if (moved != (w->spec.role == role))
            fail_msg("%s has %smoved", w->name, moved ? "" : "not ");
        if (gradient && w->spec.role != role)
            fail_msg("%s has a gradient", w->name);
    }
    prefetch_free(prefetch);
    search_free(search);
    pool_free(pool);
    free(before);
}

static void the_alpha_step_moves_alphas_alone(void **state)
{
    (void)state;
    a_side_moves_its_own(SIDE_ARCHITECTURE, WEIGHT_ARCHITECTURE);
}

static void the_weight_step_moves_weights_alone(void **state)
{
    (void)state;
    a_side_moves_its_own(SIDE_WEIGHTS, WEIGHT_TRAINED);
}

static void the_halves_do_not_meet(void **state)
{
    SearchSpec spec = small("s3");
    Pool *pool = pool_of(1);
    Search *search = search_of(&spec, pool);
    bool used[TRAIN] = { false };

    (void)state;
    for (SearchSide side = 0; side < SIDES; side++) {
        Split split = search->side[side].split;

        assert_int_equal(search->loader.images[split], 32);
        for (uint32_t i = 0; i < 32; i++) {
            assert_false(used[search->loader.index[split][i]]);
            used[search->loader.index[split][i]] = true;
        }
    }
    search_free(search);
    pool_free(pool);
}

static real *trained_by(unsigned threads, const char *space, Reports *r)
{
    SearchSpec spec = small(space);
    Pool *pool = pool_of(threads);
    Search *search = search_of(&spec, pool);
    real *ret;

    assert_int_equal(run(search, r, NULL), STATUS_OK);
    assert_int_equal(r->steps, 3);
    ret = weights_of(search);
    search_free(search);
    pool_free(pool);
    return ret;
}

static void bits_do_not_depend_on_the_number_of_threads(void **state)
{
    static const char *const spaces[] = { "s5", "s3_se_eca" };

    (void)state;
    for (int i = 0; i < 2; i++) {
        SearchSpec spec = small(spaces[i]);
        Pool *pool = pool_of(1);
        Search *search = search_of(&spec, pool);
        size_t bytes = search->network.graph.weight_numbers * sizeof(real);
        Reports *one = calloc(1, sizeof *one);
        real *want = trained_by(1, spaces[i], one);

        assert_true(memcmp(want, search->network.weights, bytes) != 0);
        for (unsigned threads = 2; threads <= 3; threads++) {
            Reports *more = calloc(1, sizeof *more);
            real *got = trained_by(threads, spaces[i], more);

            assert_memory_equal(got, want, bytes);
            for (int k = 0; k < 3; k++)
                assert_true(one->report[k].train_loss == more->report[k].train_loss &&
                            one->report[k].val_loss == more->report[k].val_loss);
            free(got);
            free(more);
        }
        free(want);
        free(one);
        search_free(search);
        pool_free(pool);
    }
}

static void a_search_takes_what_it_announced_and_no_step_allocates(void **state)
{
    SearchSpec spec = small("s5");
    Pool *pool = pool_of(2);
    Reports *r = calloc(1, sizeof *r);
    SearchEstimate estimate;
    Search *search;
    size_t before;

    (void)state;
    assert_int_equal(search_estimate(&spec, &data, &estimate, NULL), STATUS_OK);
    assert_int_equal(estimate.steps, 3);
    assert_int_equal(estimate.steps_per_epoch, 2);
    before = atomic_load(&mapped);
    search = search_of(&spec, pool);
    assert_int_equal(run(search, r, NULL), STATUS_OK);
    assert_int_equal(atomic_load(&mapped) - before, estimate.memory_bytes);
    assert_int_equal(search->arena.used_bytes, search->arena.size_bytes);
    assert_int_equal(graph_parameters(&search->network.graph), estimate.parameters);
    assert_true(estimate.step_flops == 5 * search->side[SIDE_WEIGHTS].plan.forward_flops);
    assert_true(r->before > 0);
    assert_int_equal(atomic_load(&allocations), r->before);
    search_free(search);
    pool_free(pool);
    free(r);
}

static void is_refused(const SearchSpec *spec, const char *pointer, const char *says)
{
    SearchEstimate estimate;
    Error err = { 0 };

    assert_int_equal(search_estimate(spec, &data, &estimate, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, pointer);
    if (strstr(error_message(&err), says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error_message(&err), says);
}

static void what_cannot_be_searched_is_refused(void **state)
{
    SearchSpec spec = small("s3");

    (void)state;
    spec.batch_size = 33;
    is_refused(&spec, "/batch_size", "32 images of the split val fill no batch of 33");
    spec = small("s3");
    spec.data.val_images = 0;
    is_refused(&spec, "/batch_size", "0 images of the split val");
    spec = small("s3");
    spec.model = choice(model_table, "resnet18");
    is_refused(&spec, "/model", "no architecture to search");
    spec = small("s3"); /* a single image whose last maps are single pixels */
    spec.batch_size = 1;
    rig_data(4);
    is_refused(&spec, "/batch_size", "a single value to normalise");
    rig_data(SIDE);
    spec = small("skip_connect,nonsense");
    is_refused(&spec, "/model", "nonsense");
}

static void a_search_stops_where_it_is_told_to(void **state)
{
    SearchSpec spec = small("s3");
    Pool *pool = pool_of(1);
    Search *search = search_of(&spec, pool);
    Reports *r = calloc(1, sizeof *r);
    Error err = { 0 };

    (void)state;
    atomic_store(&r->stop, STOP_CANCEL);
    assert_int_equal(run(search, r, &err), STATUS_STOPPED);
    assert_string_equal(error_message(&err), "stopped after step 0");
    assert_int_equal(r->steps, 0);
    search_free(search);
    pool_free(pool);
    free(r);
}

static void a_loss_that_is_not_finite_ends_it(void **state)
{
    SearchSpec spec = small("s3");
    Pool *pool = pool_of(1);
    Search *search = search_of(&spec, pool);
    Reports *r = calloc(1, sizeof *r);
    Error err = { 0 };

    (void)state;
    search->network.weights[search->side[SIDE_WEIGHTS].chunk[0].offset] = NAN;
    assert_int_equal(run(search, r, &err), STATUS_DIVERGED);
    assert_non_null(strstr(error_message(&err), "step 1"));
    assert_non_null(strstr(error_message(&err), "stem"));
    search_free(search);
    pool_free(pool);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_losses_fall),
        cmocka_unit_test(the_alpha_step_moves_alphas_alone),
        cmocka_unit_test(the_weight_step_moves_weights_alone),
        cmocka_unit_test(the_halves_do_not_meet),
        cmocka_unit_test(bits_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(a_search_takes_what_it_announced_and_no_step_allocates),
        cmocka_unit_test(what_cannot_be_searched_is_refused),
        cmocka_unit_test(a_search_stops_where_it_is_told_to),
        cmocka_unit_test(a_loss_that_is_not_finite_ends_it),
    };

    return cmocka_run_group_tests(tests, make_data, NULL);
}
