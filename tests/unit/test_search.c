/*
 * search: it learns; each side moves its own weights only; the same bits on any number of threads,
 * interrupted or not; it takes the memory it announced and then no more; it says no in time.
 *
 * malloc() and its like are counted (the linker wraps them, see meson.build).
 */
#include "tests/unit/search_rig.h"

#include <sys/mman.h>

#include "tests/unit/allocations.h"

static void both_losses_fall(void **state)
{
    static const char *const searchers[] = { "darts", "pcdarts" };

    (void)state;
    for (int i = 0; i < 2; i++) {
        SearchSpec spec = small("s2", searchers[i]);
        SearchLog *log = search_log();

        set(&spec.searcher, searcher_table, "order", i + 1);
        spec.train.epochs = 20;
        (void)search_to_end(&spec, 1, NULL, NULL, log);
        assert_int_equal(log->steps, 40);
        assert_int_equal(log->epochs, 20);
        assert_int_equal(log->step[39].step, 40);
        assert_int_equal(log->step[39].steps, 40);
        assert_int_equal(log->step[39].epoch, 19);
        assert_true(log->epoch[19].train.loss < 0.8 * log->epoch[0].train.loss);
        assert_true(log->step[39].val_loss < 0.9 * log->step[0].val_loss);
        assert_true(log->step[39].learning_rate < log->step[0].learning_rate);
        assert_true(log->epoch[19].val.accuracy > log->epoch[0].val.accuracy);
        free(log);
    }
}

/* ---- Who moves ---- */

/* Fails unless exactly the weights of `role` differ from `before`. */
static void only_these_moved(const Search *search, const real *before, unsigned role)
{
    const Network *n = &search->trainer->network;

    for (uint32_t i = 0; i < n->graph.weights; i++) {
        const GraphWeight *w = &n->graph.weight[i];
        bool moved =
            memcmp(n->weights + w->offset, before + w->offset, w->count * sizeof *before) != 0;

        if (moved != (w->spec.role == role))
            fail_msg("%s has %smoved", w->name, moved ? "" : "not ");
    }
}

static void an_architecture_step_moves(const char *searcher, int order)
{
    SearchSpec spec = small("s3_se_eca", searcher);
    Pool *pool = pool_of(2);
    Prefetch *prefetch[SIDES];
    Batch batch[SIDES];
    PassSums sums;
    Search *search;
    real *before;

    set(&spec.searcher, searcher_table, "order", order);
    search = search_of(&spec, pool);
    before = weights_of(search);
    for (SearchSide side = 0; side < SIDES; side++)
        prefetch[side] = first_batch(search, side, &batch[side]);
    assert_int_equal(search_move(search, batch, &sums, NULL), STATUS_OK);
    assert_int_equal(sums.images, 16);
    only_these_moved(search, before, WEIGHT_ARCHITECTURE);
    for (SearchSide side = 0; side < SIDES; side++)
        prefetch_free(prefetch[side]);
    search_free(search);
    pool_free(pool);
    free(before);
}

/* Neither weights nor running statistics: not of the virtual passes of the second order, either. */
static void the_alpha_step_moves_alphas_alone(void **state)
{
    (void)state;
    for (int order = 1; order <= 2; order++) {
        an_architecture_step_moves("darts", order);
        an_architecture_step_moves("pcdarts", order);
    }
}

static void alphas_stand_still_before_their_epoch(void **state)
{
    SearchSpec spec = small("s3", "darts");
    SearchLog *log = search_log();
    Pool *pool = pool_of(1);
    Search *search;
    real *start;
    size_t alphas;

    (void)state;
    spec.train.epochs = 3;
    spec.alpha_start_epoch = 3;
    search = search_of(&spec, pool);
    start = weights_of(search);
    alphas = search->architect.extent * sizeof *start;
    assert_int_equal(observe_search(search, log, NULL), STATUS_OK);
    assert_memory_equal(search->trainer->network.weights, start, alphas);
    assert_true(isnan(log->step[5].val_loss));
    search_free(search);

    spec.alpha_start_epoch = 2;
    log->steps = log->epochs = 0;
    search = search_of(&spec, pool);
    assert_int_equal(observe_search(search, log, NULL), STATUS_OK);
    assert_true(memcmp(search->trainer->network.weights, start, alphas) != 0);
    assert_true(isnan(log->step[3].val_loss) && isfinite(log->step[4].val_loss));
    search_free(search);
    pool_free(pool);
    free(start);
    free(log);
}

static void the_halves_do_not_meet(void **state)
{
    SearchSpec spec = small("s3", "darts");
    Pool *pool = pool_of(1);
    Search *search = search_of(&spec, pool);
    PrefetchSpec batches;
    bool used[TRAIN] = { false };

    (void)state;
    assert_true(search_batches(search, &batches));
    assert_int_equal(batches.split, SPLIT_VAL);
    assert_int_equal(trainer_batches(search->trainer).split, SPLIT_TRAIN);
    for (Split split = SPLIT_TRAIN; split <= SPLIT_VAL; split++) {
        assert_int_equal(batches.loader->images[split], 32);
        for (uint32_t i = 0; i < 32; i++) {
            assert_false(used[batches.loader->index[split][i]]);
            used[batches.loader->index[split][i]] = true;
        }
    }
    search_free(search);
    pool_free(pool);
}

/* ---- The same bits ---- */

static void bits_do_not_depend_on_the_number_of_threads(void **state)
{
    static const struct {
        const char *space, *searcher;
        int order;
    } cases[] = { { "s5", "darts", 1 }, { "s3_se_eca", "darts", 2 }, { "s4", "pcdarts", 1 } };
    Scratch scratch = scratch_new();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SearchSpec spec = small(cases[i].space, cases[i].searcher);
        SearchLog *one = search_log();

        set(&spec.searcher, searcher_table, "order", cases[i].order);
        spec.train.epochs = 1;
        spec.eigenvalue = i == 2;
        (void)search_to_end(&spec, 1, NULL, scratch_path(&scratch, "one"), one);
        for (unsigned threads = 2; threads <= (i == 0 ? 3 : 2); threads++) {
            SearchLog *more = search_log();

            (void)search_to_end(&spec, threads, NULL, scratch_path(&scratch, "more"), more);
            same_files(scratch_path(&scratch, "one"), scratch_path(&scratch, "more"));
            for (int k = 0; k < 2; k++)
                assert_true(one->step[k].train_loss == more->step[k].train_loss &&
                            one->step[k].val_loss == more->step[k].val_loss);
            assert_memory_equal(&one->epoch[0].eigenvalue, &more->epoch[0].eigenvalue,
                                sizeof(double));
            free(more);
        }
        free(one);
    }
    scratch_remove(&scratch);
}

static void same_epochs(const SearchEpoch *a, const SearchEpoch *b)
{
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->epoch, b->epoch);
    same_score(&a->train, &b->train);
    same_score(&a->val, &b->val);
    same_score(&a->test, &b->test);
    same_genotypes(&a->genotype, &b->genotype);
    assert_memory_equal(a->entropy, b->entropy, sizeof a->entropy);
    assert_memory_equal(&a->eigenvalue, &b->eigenvalue, sizeof a->eigenvalue);
    assert_int_equal(a->early_stopped, b->early_stopped);
}

/* Stopped after `at` steps, in the step or in the epoch that ends with it, and resumed from what
 * drain wrote: the same end, and the same reports of the epochs that were left. */
static void stop_and_resume(const SearchSpec *spec, const Scratch *scratch, const SearchLog *whole,
                            uint64_t at, bool in_epoch)
{
    SearchLog *log = search_log(), *rest = search_log();
    Pool *pool = pool_of(1);
    Search *search = search_of(spec, pool);
    Error err = { 0 };

    log->stop_at = at;
    log->stop_in_epoch = in_epoch;
    log->checkpoint = scratch_path(scratch, "stopped");
    assert_int_equal(observe_search(search, log, &err), STATUS_STOPPED);
    assert_int_equal(log->drains, 1);
    assert_int_equal(search_step(search), at);
    search_free(search);
    pool_free(pool);
    (void)search_to_end(spec, 1, scratch_path(scratch, "stopped"), scratch_path(scratch, "resumed"),
                        rest);
    same_files(scratch_path(scratch, "whole"), scratch_path(scratch, "resumed"));
    assert_int_equal(log->epochs + rest->epochs, whole->epochs);
    assert_int_equal(log->steps + rest->steps, whole->steps);
    for (unsigned i = 0; i < rest->epochs; i++)
        same_epochs(&rest->epoch[i], &whole->epoch[log->epochs + i]);
    free(log);
    free(rest);
}

static void a_search_stopped_anywhere_and_resumed_is_the_same_search(void **state)
{
    static const struct {
        const char *searcher;
        int order;
        bool eigenvalue, early_stop;
        uint32_t start;
    } cases[] = { { "darts", 1, true, true, 1 }, { "pcdarts", 2, false, false, 0 } };
    Scratch scratch = scratch_new();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SearchSpec spec = small("s2", cases[i].searcher);
        SearchLog *whole = search_log();

        set(&spec.searcher, searcher_table, "order", cases[i].order);
        spec.train.epochs = 1.5;
        spec.eigenvalue = cases[i].eigenvalue;
        spec.early_stop = cases[i].early_stop;
        spec.alpha_start_epoch = cases[i].start;
        (void)search_to_end(&spec, 1, NULL, scratch_path(&scratch, "whole"), whole);
        assert_int_equal(whole->steps, 3);
        assert_int_equal(whole->epochs, 2);
        for (uint64_t at = 1; at <= 3; at++)
            stop_and_resume(&spec, &scratch, whole, at, false);
        stop_and_resume(&spec, &scratch, whole, 2, true);
        free(whole);
    }
    scratch_remove(&scratch);
}

/* What an epoch's callback saves is where a crash after it goes on from. */
static void an_epochs_checkpoint_goes_on_as_if_nothing_had_been(void **state)
{
    Scratch scratch = scratch_new();
    SearchSpec spec = small("s2", "darts");
    SearchLog *whole = search_log(), *rest = search_log();
    Pool *pool = pool_of(1);
    SearchLog *log = search_log();
    Search *search;

    (void)state;
    spec.train.epochs = 3;
    spec.early_stop = true;
    (void)search_to_end(&spec, 1, NULL, scratch_path(&scratch, "whole"), whole);
    search = search_of(&spec, pool);
    log->epoch_checkpoint = scratch_path(&scratch, "epoch");
    log->stop_at = 4;
    log->stop_in_epoch = true;
    assert_int_equal(observe_search(search, log, NULL), STATUS_STOPPED);
    search_free(search);
    (void)search_to_end(&spec, 1, scratch_path(&scratch, "epoch"), scratch_path(&scratch, "end"),
                        rest);
    same_files(scratch_path(&scratch, "whole"), scratch_path(&scratch, "end"));
    assert_int_equal(rest->epochs, 1);
    same_epochs(&rest->epoch[0], &whole->epoch[2]);
    pool_free(pool);
    free(whole);
    free(rest);
    free(log);
    scratch_remove(&scratch);
}

/* ---- Memory ---- */

static unsigned steps_seen, allocations_after_first;

static void count_allocations(void)
{
    if (++steps_seen == 1)
        allocations_after_first = atomic_load(&allocations);
}

static void takes_what_it_announced(const char *searcher, int order, bool early_stop)
{
    SearchSpec spec = small(early_stop ? "s2" : "s5", searcher);
    SearchLog *log = search_log();
    SearchEstimate estimate;
    Pool *pool = pool_of(2);
    Search *search;
    size_t before;

    set(&spec.searcher, searcher_table, "order", order);
    spec.early_stop = early_stop;
    assert_int_equal(search_estimate(&spec, &data, &estimate, NULL), STATUS_OK);
    assert_int_equal(estimate.steps, 3);
    assert_int_equal(estimate.steps_per_epoch, 2);
    assert_int_equal(estimate.epochs, 2);
    before = atomic_load(&mapped);
    search = search_of(&spec, pool);
    steps_seen = 0;
    log->after_step = count_allocations;
    assert_int_equal(observe_search(search, log, NULL), STATUS_OK);
    assert_int_equal(atomic_load(&mapped) - before, estimate.memory_bytes);
    assert_int_equal(search->arena.used_bytes, search->arena.size_bytes);
    assert_int_equal(graph_parameters(&search->trainer->network.graph), estimate.parameters);
    assert_true(estimate.step_flops ==
                (order == 1 ? 5 : 13) * search->trainer->plan[0].forward_flops);
    assert_int_equal(steps_seen, 3);
    assert_int_equal(atomic_load(&allocations), allocations_after_first);
    search_free(search);
    pool_free(pool);
    free(log);
}

static void a_search_takes_what_it_announced_and_no_step_allocates(void **state)
{
    (void)state;
    takes_what_it_announced("darts", 1, false);
    takes_what_it_announced("darts", 2, true);
    takes_what_it_announced("pcdarts", 2, false);
}

/* ---- What is refused ---- */

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
    SearchSpec spec = small("s3", "darts");

    (void)state;
    spec.train.batch_size = 33;
    is_refused(&spec, "/batch_size", "32 images of the split train fill no batch of 33");
    spec.train.data.val_images = 20;
    spec.train.batch_size = 21;
    is_refused(&spec, "/batch_size", "20 images of the split val fill no batch of 21");
    spec = small("s3", "darts");
    spec.train.data.val_images = 0;
    is_refused(&spec, "/val_images", "needs validation images");
    spec = small("s3", "darts");
    spec.train.model = choice(model_table, "resnet18");
    is_refused(&spec, "/model", "resnet18 has no architecture to search");
    spec = small("s3", "darts"); /* a single image whose last maps are single pixels */
    spec.train.batch_size = 1;
    rig_data(4);
    is_refused(&spec, "/batch_size", "a single value to normalise");
    rig_data(SIDE);
    spec = small("skip_connect,nonsense", "darts");
    is_refused(&spec, "/model/space", "nonsense");
    spec = small("se", "darts");
    is_refused(&spec, "/model/space", "");
    spec = small("s3", "pcdarts");
    set(&spec.searcher, searcher_table, "k", 3);
    is_refused(&spec, "/searcher/k", "4 channels are no multiple of 3");
    spec = small("s3", "darts");
    spec.train.optimizer = choice(optimizer_table, "adam");
    set(&spec.searcher, searcher_table, "order", 2);
    is_refused(&spec, "/searcher/order", "the weights' optimizer is adam");
    spec = small("s3", "random");
    spec.train.data.val_images = 0;
    is_refused(&spec, "/val_images", "needs validation images");
}

static void a_cancelled_search_writes_nothing(void **state)
{
    SearchSpec spec = small("s3", "darts");
    SearchLog *log = search_log();
    Pool *pool = pool_of(1);
    Search *search = search_of(&spec, pool);
    Error err = { 0 };

    (void)state;
    atomic_store(&log->stop, STOP_CANCEL);
    assert_int_equal(observe_search(search, log, &err), STATUS_STOPPED);
    assert_string_equal(error_message(&err), "stopped after step 0");
    assert_int_equal(log->steps + log->epochs + log->drains, 0);
    search_free(search);
    pool_free(pool);
    free(log);
}

static void a_loss_that_is_not_finite_ends_it(void **state)
{
    (void)state;
    for (int order = 1; order <= 2; order++) {
        SearchSpec spec = small("s3", "darts");
        SearchLog *log = search_log();
        Pool *pool = pool_of(1);
        Search *search;
        Error err = { 0 };

        set(&spec.searcher, searcher_table, "order", order);
        search = search_of(&spec, pool);
        search->trainer->network.weights[search->trainer->chunk[0].offset] = NAN;
        assert_int_equal(observe_search(search, log, &err), STATUS_DIVERGED);
        assert_non_null(strstr(error_message(&err), "step 1"));
        assert_non_null(strstr(error_message(&err), "stem"));
        search_free(search);
        pool_free(pool);
        free(log);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(both_losses_fall),
        cmocka_unit_test(the_alpha_step_moves_alphas_alone),
        ALONE(alphas_stand_still_before_their_epoch),
        cmocka_unit_test(the_halves_do_not_meet),
        cmocka_unit_test(bits_do_not_depend_on_the_number_of_threads),
        ALONE(a_search_stopped_anywhere_and_resumed_is_the_same_search),
        ALONE(an_epochs_checkpoint_goes_on_as_if_nothing_had_been),
        ALONE(a_search_takes_what_it_announced_and_no_step_allocates),
        cmocka_unit_test(what_cannot_be_searched_is_refused),
        cmocka_unit_test(a_cancelled_search_writes_nothing),
        ALONE(a_loss_that_is_not_finite_ends_it),
    };

    return cmocka_run_group_tests(tests, make_data, NULL);
}
