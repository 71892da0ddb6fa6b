/*
 * lease: a run can stop after any step and go on to the same bits, on any number of threads;
 * another job's checkpoint is refused; it takes the memory it announced and then no more.
 *
 * malloc() and its like are counted (the linker wraps them, see meson.build).
 */
#include "tests/unit/lease_rig.h"

/* ---- Bits ---- */

/* Runs to the end from `resume` (NULL: the beginning) and writes the last state. */
static void run_to(const LeaseSpec *spec, unsigned threads, const char *resume, const char *path,
                   Reports *r)
{
    Pool *pool = pool_of(threads);
    Lease *lease = lease_of(spec, pool);
    Error err = { 0 };

    if (resume != NULL && lease_restore(lease, resume, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    run_well(lease, r);
    assert_int_equal(lease_save(lease, path, NULL), STATUS_OK);
    lease_free(lease);
    pool_free(pool);
}

static void bits_do_not_depend_on_the_number_of_threads(void **state)
{
    (void)state;
    for (LeaseMode mode = 0; mode < LEASE_ALPHAS; mode++) {
        LeaseSpec *spec = small(mode);
        Scratch scratch = scratch_new();
        Path one, more;
        Reports *r = reports();

        spec->epochs = spec->explainer.epochs = spec->rounds = 1;
        path_in(&scratch, "one", one);
        path_in(&scratch, "more", more);
        run_to(spec, 1, NULL, one, r);
        memset(r, 0, sizeof *r);
        run_to(spec, 3, NULL, more, r);
        same_files(one, more);
        scratch_remove(&scratch);
        free(spec);
        free(r);
    }
}

/* From the checkpoint `from` (NULL: the beginning) until step `stop_at` is done, whose checkpoint
 * is `to`, or to the end. */
static void run_until(const LeaseSpec *spec, const char *from, uint64_t stop_at, const char *to,
                      Reports *r)
{
    Pool *pool = pool_of(1);
    Lease *lease = lease_of(spec, pool);
    Error err = { 0 };
    unsigned drains = r->drains;

    if (from != NULL && lease_restore(lease, from, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    r->stop_at = stop_at;
    r->checkpoint = to;
    atomic_store(&r->stop, STOP_NO);
    assert_int_equal(run(lease, r, NULL), STATUS_STOPPED);
    assert_int_equal(r->drains, drains + 1);
    lease_free(lease);
    pool_free(pool);
}

static void same_epochs(const Reports *want, const Reports *got)
{
    assert_int_equal(want->epochs, got->epochs);
    for (unsigned i = 0; i < want->epochs; i++)
        for (int n = 0; n < LEASE_NETWORKS; n++) {
            const LeaseEpochReport *a = &want->epoch[i], *b = &got->epoch[i];

            same_score(&a->train[n], &b->train[n]);
            for (int k = 0; k < LEASE_IMAGES; k++)
                same_score(&a->score[n][SPLIT_VAL][k], &b->score[n][SPLIT_VAL][k]);
        }
}

/* Stopped after each of them, and gone on from there by another lease. */
static void a_run_goes_on_from_any_step_to_the_same_bits(void **state)
{
    (void)state;
    for (LeaseMode mode = 0; mode < LEASE_ALPHAS; mode++) {
        LeaseSpec *spec = small(mode);
        Scratch scratch = scratch_new();
        Path whole, half[2], end;
        Reports *want = reports(), *r = reports();

        path_in(&scratch, "whole", whole);
        path_in(&scratch, "half_0", half[0]);
        path_in(&scratch, "half_1", half[1]);
        path_in(&scratch, "end", end);
        run_to(spec, 1, NULL, whole, want);
        for (uint64_t stop_at = 1; stop_at < want->steps; stop_at++)
            run_until(spec, stop_at == 1 ? NULL : half[stop_at % 2 == 0], stop_at,
                      half[stop_at % 2], r);
        r->stop_at = 0;
        atomic_store(&r->stop, STOP_NO);
        run_to(spec, 1, half[(want->steps - 1) % 2], end, r);
        assert_int_equal(r->steps, want->steps);
        same_epochs(want, r);
        same_files(whole, end);
        scratch_remove(&scratch);
        free(spec);
        free(want);
        free(r);
    }
}

/* ---- Memory ---- */

static void a_lease_takes_what_it_announced_and_no_step_allocates(void **state)
{
    (void)state;
    for (LeaseMode mode = 0; mode < LEASE_ALPHAS; mode++) {
        LeaseSpec *spec = small(mode);
        Pool *pool = pool_of(1);
        Reports *r = reports();
        LeaseEstimate estimate;
        size_t before;
        Lease *lease;

        spec->rounds = 1;
        assert_int_equal(lease_estimate(spec, &data, &estimate, NULL), STATUS_OK);
        before = atomic_load(&mapped);
        lease = lease_of(spec, pool);
        assert_int_equal(lease->arena.used_bytes, lease->arena.size_bytes);
        run_well(lease, r);
        assert_int_equal(r->steps, estimate.steps);
        assert_int_equal(r->epochs, estimate.epochs);
        for (int n = 0; n < LEASE_NETWORKS; n++) {
            const Trainer *t = lease->trainer[n];

            assert_int_equal(t->arena.used_bytes, t->arena.size_bytes);
            assert_int_equal(graph_parameters(&t->network.graph), estimate.parameters[n]);
        }
        assert_int_equal(r->first, r->second); /* both in the first epoch */
        if (mode == LEASE_JOINT) { /* its feeds are taken once; maps are not mapped by us */
            uint64_t maps = 0;

            for (Split split = SPLIT_VAL; split < SPLIT_COUNT; split++)
                maps += mapset_bytes(&lease->maps[split].shape);
            assert_int_equal(atomic_load(&mapped) - before + maps, estimate.memory_bytes);
        }
        lease_free(lease);
        pool_free(pool);
        free(spec);
        free(r);
    }
}

static void another_jobs_checkpoint_is_refused(void **state)
{
    LeaseSpec *spec = small(LEASE_JOINT);
    Pool *pool = pool_of(1);
    Scratch scratch = scratch_new();
    Path path;
    Lease *lease = lease_of(spec, pool);
    Error err = { 0 };

    (void)state;
    path_in(&scratch, "lease", path);
    assert_int_equal(lease_save(lease, path, NULL), STATUS_OK);
    assert_int_equal(lease_restore(lease, path, NULL), STATUS_OK);
    lease_free(lease);
    spec->seed++;
    lease = lease_of(spec, pool);
    (void)moved(lease);
    assert_int_equal(lease_restore(lease, path, &err), STATUS_INVALID);
    assert_non_null(strstr(error_message(&err), "lease.seed"));
    assert_int_equal(moved(lease), 0);
    lease_free(lease);
    scratch_remove(&scratch);
    pool_free(pool);
    free(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_do_not_depend_on_the_number_of_threads),
        ALONE(a_run_goes_on_from_any_step_to_the_same_bits),
        cmocka_unit_test(another_jobs_checkpoint_is_refused),
        ALONE(a_lease_takes_what_it_announced_and_no_step_allocates),
    };

    return cmocka_run_group_tests(tests, make_data, NULL);
}
