/*
 * search_faults: the faults that the public code of the method is known for, by their numbers, as
 * far as they concern the search: it is held to the opposite of each.
 */
#include "tests/unit/search_rig.h"

/* 1: a diagnostic crashes the run. It changes nothing, and what is not finite does not end it. */
static void fault_1_a_diagnostic_changes_nothing(void **state)
{
    SearchSpec spec = small("s3", "darts");
    SearchLog *with = search_log(), *without = search_log();
    real *end[2];
    size_t bytes = 0;

    (void)state;
    for (int i = 0; i < 2; i++) {
        Pool *pool = pool_of(1);
        Search *search;

        spec.eigenvalue = i == 1;
        search = search_of(&spec, pool);
        bytes = search->trainer->network.graph.weight_numbers * sizeof(real);
        assert_int_equal(observe_search(search, i == 1 ? with : without, NULL), STATUS_OK);
        end[i] = weights_of(search);
        search_free(search);
        pool_free(pool);
    }
    assert_memory_equal(end[0], end[1], bytes);
    assert_true(isfinite(with->epoch[1].eigenvalue) && isnan(without->epoch[1].eigenvalue));
    free(end[0]);
    free(end[1]);
    free(with);
    free(without);
}

static void not_restored(Search *search, const char *path, const char *says)
{
    Error err = { 0 };
    real *before = weights_of(search);

    assert_int_equal(search_restore(search, path, &err), STATUS_INVALID);
    if (strstr(error_message(&err), says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error_message(&err), says);
    assert_memory_equal(search->trainer->network.weights, before,
                        search->trainer->network.graph.weight_numbers * sizeof *before);
    free(before);
}

/* 2: search and training disagree on layers and channels. */
static void fault_2_a_checkpoint_of_another_search_is_refused(void **state)
{
    static const struct {
        const char *param, *says;
        double value;
    } models[] = { { "channels", "\"model.channels\" is \"4\"", 8 },
                   { "cells", "\"model.cells\" is \"3\"", 4 } };
    Scratch scratch = scratch_new();
    const char *path = scratch_path(&scratch, "checkpoint");
    SearchSpec spec = small("s3", "pcdarts"), other;
    SearchLog *log = search_log();
    Pool *pool = pool_of(1);
    Search *search;

    (void)state;
    (void)search_to_end(&spec, 1, NULL, path, log);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        other = spec;
        set(&other.train.model, model_table, models[i].param, models[i].value);
        search = search_of(&other, pool);
        not_restored(search, path, models[i].says);
        search_free(search);
    }
    other = spec;
    set(&other.searcher, searcher_table, "order", 2);
    search = search_of(&other, pool);
    not_restored(search, path, "\"search.searcher.order\" is \"1\"");
    search_free(search);
    other = small("s3", "darts");
    search = search_of(&other, pool);
    not_restored(search, path, "\"search.searcher\" is \"pcdarts\"");
    search_free(search);
    pool_free(pool);
    free(log);
    scratch_remove(&scratch);
}

/* 3: the network has 1000 outputs. */
static void fault_3_the_classes_come_from_the_data(void **state)
{
    static const char *const searchers[] = { "pcdarts", "random" };

    (void)state;
    for (int i = 0; i < 2; i++) {
        SearchSpec spec = small("s3", searchers[i]);
        Pool *pool = pool_of(1);
        Search *search = search_of(&spec, pool);
        const Network *n = &search->trainer->network;

        assert_int_equal(n->input.classes, CLASSES);
        assert_int_equal(graph_shape(&n->graph, n->logits, 1).dim[1], CLASSES);
        search_free(search);
        pool_free(pool);
    }
}

static double loss_on(Search *search, const Batch *batch)
{
    RunContext context = search_context(search, SIDE_WEIGHTS);
    PassSums sums;

    assert_int_equal(pass_forward(&search->trainer->network, &search->trainer->plan[0], &context,
                                  batch, 1, &sums, NULL),
                     STATUS_OK);
    return sums.loss / (double)sums.images;
}

/* 10: weights are trained with raw alphas, the softmax commented out. What the softmax does not see
 * does not count: the same number added to all alphas of an edge. */
static void fault_10_weights_are_trained_under_the_softmax_of_alphas(void **state)
{
    SearchSpec spec = small("s3", "darts");
    Pool *pool = pool_of(1);
    Search *search = search_of(&spec, pool);
    const Network *n = &search->trainer->network;
    Prefetch *prefetch;
    Batch batch;
    double start, shifted, sharper;

    (void)state;
    prefetch = first_batch(search, SIDE_WEIGHTS, &batch);
    start = loss_on(search, &batch);
    for (size_t i = 0; i < search->architect.chunks; i++)
        for (size_t k = 0; k < search->architect.chunk[i].count; k++)
            n->weights[search->architect.chunk[i].offset + k] += 3;
    shifted = loss_on(search, &batch);
    near(shifted, start, 1e-5);
    for (size_t i = 0; i < search->architect.chunks; i++)
        n->weights[search->architect.chunk[i].offset] += 3; /* of one candidate alone */
    sharper = loss_on(search, &batch);
    assert_true(fabs(sharper - start) > 1e-4);
    prefetch_free(prefetch);
    search_free(search);
    pool_free(pool);
}

/* 12: passes that only look pollute batch norm's statistics; here those of the architecture's side
 * and of the eigenvalue, which leave the weights' side alone to move them. */
static void fault_12_running_statistics_follow_training_images_alone(void **state)
{
    SearchSpec spec = small("s3", "darts");
    Scratch scratch = scratch_new();
    SearchLog *log = search_log();
    TrainSpec train;
    Log *trained = calloc(1, sizeof *trained);
    real *searched = NULL;
    Pool *pool = pool_of(1);
    Search *search;
    Trainer *trainer;

    (void)state;
    spec.eigenvalue = true;
    set(&spec.architecture_optimizer, optimizer_table, "lr", 0); /* so that alphas stay */
    set(&spec.searcher, searcher_table, "order", 2);
    search = search_of(&spec, pool);
    assert_int_equal(observe_search(search, log, NULL), STATUS_OK);
    searched = weights_of(search);
    train = spec.train;
    train.drop_last = true;
    trainer = trainer_of(&train, pool);
    assert_int_equal(observe(trainer, trained, NULL), STATUS_OK);
    assert_memory_equal(trainer->network.weights, searched,
                        trainer->network.graph.weight_numbers * sizeof *searched);
    assert_int_equal(trainer->network.batches, search->trainer->network.batches);
    search_free(search);
    trainer_free(trainer);
    pool_free(pool);
    free(searched);
    free(trained);
    free(log);
    scratch_remove(&scratch);
}

/* 14: the best epoch is chosen on the test set. Whatever its labels are, the answer is the same. */
static void fault_14_the_test_set_chooses_nothing(void **state)
{
    static const char *const searchers[] = { "darts", "random" };

    (void)state;
    for (int i = 0; i < 2; i++) {
        SearchSpec spec = small("s3", searchers[i]);
        SearchLog *log = search_log(), *other = search_log();
        SearchResult result, changed;

        spec.train.epochs = 4;
        spec.early_stop = i == 0;
        if (i == 1)
            set(&spec.searcher, searcher_table, "samples", 4);
        result = search_to_end(&spec, 1, NULL, NULL, log);
        for (int k = 0; k < TEST; k++)
            rig_test_labels[k] = (uint16_t)((rig_test_labels[k] + 1) % CLASSES);
        changed = search_to_end(&spec, 1, NULL, NULL, other);
        rig_data(SIDE);
        assert_true(log->epoch[3].test.loss != other->epoch[3].test.loss);
        same_genotypes(&result.genotype, &changed.genotype);
        assert_int_equal(result.epoch, changed.epoch);
        free(log);
        free(other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(fault_1_a_diagnostic_changes_nothing),
        ALONE(fault_2_a_checkpoint_of_another_search_is_refused),
        cmocka_unit_test(fault_3_the_classes_come_from_the_data),
        ALONE(fault_10_weights_are_trained_under_the_softmax_of_alphas),
        ALONE(fault_12_running_statistics_follow_training_images_alone),
        ALONE(fault_14_the_test_set_chooses_nothing),
    };

    return cmocka_run_group_tests(tests, make_data, NULL);
}
