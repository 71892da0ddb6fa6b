/*
 * searchers: what each of them finds, in a run and in a file: alphas back from a checkpoint, the
 * genotype that they say, their entropy; random genotypes, the best of which wins.
 */
#include "tests/unit/search_rig.h"

/* ---- Alphas ---- */

static SearchAlphas flat(const char *space)
{
    SearchAlphas a = { 0 };

    assert_int_equal(space_parse(space, &a.space, NULL), STATUS_OK);
    for (int k = 0; k < CELL_KINDS; k++)
        a.columns[k] = space_columns(&a.space, (CellKind)k);
    return a;
}

/* A trained supernet's checkpoint, and its weights of one name in the order of a file. */
static void search_file(const SearchSpec *spec, const char *path, const char *name, float *ret)
{
    SearchLog *log = search_log();
    Pool *pool = pool_of(1);
    Search *search = search_of(spec, pool);
    const Network *n = &search->trainer->network;

    assert_int_equal(observe_search(search, log, NULL), STATUS_OK);
    assert_int_equal(search_save(search, path, NULL), STATUS_OK);
    for (uint32_t i = 0; i < n->graph.weights; i++)
        if (strcmp(n->graph.weight[i].name, name) == 0)
            weight_to_disk(&n->graph.weight[i], n->weights + n->graph.weight[i].offset, ret);
    search_free(search);
    pool_free(pool);
    free(log);
}

static void alphas_come_back_from_a_checkpoint(void **state)
{
    Scratch scratch = scratch_new();
    const char *path = scratch_path(&scratch, "checkpoint");
    SearchSpec spec = small("s3_se_eca", "pcdarts");
    float alpha[CELL_EDGES * 5], beta[CELL_EDGES];
    SearchAlphas a;
    SearchResult result;
    Genotype genotype;

    (void)state;
    search_file(&spec, path, "alphas_normal", alpha);
    search_file(&spec, path, "betas_reduce", beta);
    assert_int_equal(search_read_alphas(path, &a, NULL), STATUS_OK);
    assert_int_equal(a.columns[CELL_NORMAL], 5);
    assert_int_equal(a.columns[CELL_REDUCE], 3); /* without attention */
    assert_true(a.has_betas);
    assert_memory_equal(a.beta[CELL_REDUCE], beta, sizeof beta);
    for (uint32_t e = 0; e < CELL_EDGES; e++) {
        float sum = 0;

        assert_memory_equal(a.alpha[CELL_NORMAL][e], alpha + e * 5, 5 * sizeof *alpha);
        for (int c = 0; c < 5; c++)
            sum += a.mixture[CELL_NORMAL][e][c];
        near((double)sum, 1, 1e-6);
    }
    near((double)(a.share[CELL_NORMAL][2] + a.share[CELL_NORMAL][3] + a.share[CELL_NORMAL][4]), 1,
         1e-6);
    search_derive(&a, &genotype);
    assert_int_equal(search_derive_file(path, &result, NULL), STATUS_OK);
    same_genotypes(&genotype, &result.genotype);
    assert_int_equal(result.epoch, 2);
    assert_false(result.early_stopped);
    scratch_remove(&scratch);
}

static void alphas_of_a_training_job_are_read_too(void **state)
{
    Scratch scratch = scratch_new();
    const char *path = scratch_path(&scratch, "checkpoint");
    TrainSpec spec = small("s1", "darts").train;
    Log *log = calloc(1, sizeof *log);
    SearchResult result;
    SearchAlphas a;
    Genotype genotype;
    Error err = { 0 };

    (void)state;
    run_to_end(&spec, 1, NULL, path, log);
    assert_int_equal(search_read_alphas(path, &a, NULL), STATUS_OK);
    assert_int_equal(search_derive_file(path, &result, NULL), STATUS_OK);
    search_derive(&a, &genotype);
    same_genotypes(&genotype, &result.genotype);
    assert_int_equal(result.epoch, 0);
    spec.model = choice(model_table, "resnet18");
    set(&spec.model, model_table, "width", 2);
    log->steps = log->epochs = 0;
    run_to_end(&spec, 1, NULL, path, log);
    assert_int_equal(search_derive_file(path, &result, &err), STATUS_INVALID);
    assert_non_null(strstr(error_message(&err), "resnet18 has no architecture"));
    assert_int_equal(search_derive_file("/nowhere/checkpoint", &result, NULL), STATUS_NOT_FOUND);
    free(log);
    scratch_remove(&scratch);
}

static void entropy_falls_from_that_of_a_choice_to_none(void **state)
{
    SearchSpec spec = small("s5", "darts");
    Pool *pool = pool_of(1);
    Search *search = search_of(&spec, pool);
    const Network *n = &search->trainer->network;
    SearchAlphas a;

    (void)state;
    supernet_alphas(n, &search->space, n->weights, &a);
    near(search_entropy(&a, CELL_NORMAL), log(8), 1e-5); /* alphas begin near 0 */
    for (uint32_t e = 0; e < CELL_EDGES; e++)
        n->weights[search->architect.chunk[0].offset + e * 8 + 3] = 1000;
    supernet_alphas(n, &search->space, n->weights, &a);
    near(search_entropy(&a, CELL_NORMAL), 0, 1e-12);
    near(search_entropy(&a, CELL_REDUCE), log(8), 1e-5);
    search_free(search);
    pool_free(pool);
}

static void shorter_edges_count_their_own_candidates_only(void **state)
{
    SearchSpec spec = small("sep_conv_3x3|sep_conv_3x3,skip_connect|sep_conv_3x3|sep_conv_3x3|"
                            "sep_conv_3x3|sep_conv_3x3|sep_conv_3x3|sep_conv_3x3|sep_conv_3x3|"
                            "sep_conv_3x3|sep_conv_3x3|sep_conv_3x3|sep_conv_3x3|sep_conv_3x3",
                            "darts");
    Pool *pool = pool_of(1);
    Search *search = search_of(&spec, pool);
    SearchAlphas a;

    (void)state;
    supernet_alphas(&search->trainer->network, &search->space, search->trainer->network.weights,
                    &a);
    assert_true(a.mixture[CELL_NORMAL][0][0] == 1 && a.mixture[CELL_NORMAL][0][1] == 0);
    near(search_entropy(&a, CELL_NORMAL), log(2) / CELL_EDGES, 1e-6);
    search_free(search);
    pool_free(pool);
}

/* ---- Deriving ---- */

/* The weights as they are in a network whose alphas are these. */
static void put_alphas(Search *search, const SearchAlphas *a)
{
    static const char *const names[] = { "alphas_normal", "alphas_reduce" };
    const Network *n = &search->trainer->network;

    for (uint32_t i = 0; i < n->graph.weights; i++) {
        const GraphWeight *w = &n->graph.weight[i];

        for (int k = 0; k < CELL_KINDS; k++) {
            float numbers[CELL_EDGES * SPACE_COLUMNS_MAX];

            if (strcmp(w->name, names[k]) != 0)
                continue;
            for (uint32_t e = 0; e < CELL_EDGES; e++)
                memcpy(numbers + e * a->columns[k], a->alpha[k][e],
                       a->columns[k] * sizeof *numbers);
            weight_from_disk(w, numbers, n->weights + w->offset);
        }
    }
}

/* The genotype of a supernet with these alphas, by way of a checkpoint. */
static Genotype derived(const char *space, const SearchAlphas *a)
{
    Scratch scratch = scratch_new();
    const char *path = scratch_path(&scratch, "checkpoint");
    SearchSpec spec = small(space, "darts");
    Pool *pool = pool_of(1);
    Search *search = search_of(&spec, pool);
    SearchAlphas read;
    Genotype genotype;

    put_alphas(search, a);
    assert_int_equal(search_save(search, path, NULL), STATUS_OK);
    assert_int_equal(search_read_alphas(path, &read, NULL), STATUS_OK);
    search_derive(&read, &genotype);
    search_free(search);
    pool_free(pool);
    scratch_remove(&scratch);
    return genotype;
}

/* Alphas of s5 in which each edge of the genotype prefers its candidate, the first of a node's two
 * most. */
static void prefer(const Genotype *genotype, SearchAlphas *a)
{
    for (int k = 0; k < CELL_KINDS; k++)
        for (uint32_t i = 0; i < GENOTYPE_EDGES; i++) {
            const GenotypeEdge *edge = &genotype->cell[k].edge[i];
            const uint32_t e = cell_first_edge(i / 2) + edge->input;

            for (uint32_t c = 0; c < a->space.edge[k][e].count; c++)
                if (a->space.edge[k][e].candidate[c] == edge->candidate)
                    a->alpha[k][e][c] = i % 2 == 0 ? 2 : 1;
        }
}

static void alphas_made_for_a_published_genotype_give_it(void **state)
{
    (void)state;
    for (int i = 0; genotype_names[i] != NULL; i++) {
        SearchAlphas a = flat("s5");
        Genotype want, got;

        assert_int_equal(genotype_parse(genotype_names[i], &want, NULL), STATUS_OK);
        prefer(&want, &a);
        for (int k = 0; k < CELL_KINDS; k++) /* `none` is the strongest, and does not count */
            for (uint32_t e = 0; e < CELL_EDGES; e++)
                a.alpha[k][e][0] = 1.5f;
        got = derived("s5", &a);
        same_genotypes(&got, &want);
    }
}

static void ties_go_to_the_lower_state_and_the_first_column(void **state)
{
    const SearchAlphas a = flat("s5"); /* all equal */
    Genotype got = derived("s5", &a);

    (void)state;
    for (int k = 0; k < CELL_KINDS; k++)
        for (uint32_t i = 0; i < GENOTYPE_EDGES; i++) {
            const GenotypeEdge *edge = &got.cell[k].edge[i];

            assert_int_equal(edge->input, i % 2);
            assert_string_equal(candidate_table[edge->candidate]->described.name, "max_pool_3x3");
        }
}

/* ---- random ---- */

static SearchSpec random_search(double samples, double epochs)
{
    SearchSpec spec = small("s3", "random");

    set(&spec.searcher, searcher_table, "samples", samples);
    spec.train.epochs = epochs;
    return spec;
}

static void random_trains_its_samples_in_turn_and_answers_the_best(void **state)
{
    SearchSpec spec = random_search(3, 6);
    SearchLog *log = search_log();
    SearchEstimate estimate;
    SearchResult result;
    unsigned best = 0;

    (void)state;
    assert_int_equal(search_estimate(&spec, &data, &estimate, NULL), STATUS_OK);
    assert_int_equal(estimate.steps, 12);
    assert_int_equal(estimate.epochs, 6);
    result = search_to_end(&spec, 1, NULL, NULL, log);
    assert_int_equal(log->steps, 12);
    assert_int_equal(log->epochs, 6);
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(log->step[i].step, i + 1);
        assert_int_equal(log->step[i].steps, 12);
        assert_int_equal(log->step[i].epoch, i / 2);
        assert_true(isnan(log->step[i].val_loss));
        /* each sample begins with the whole rate */
        assert_true((log->step[i].learning_rate == 0.05) == (i % 4 == 0));
    }
    for (unsigned i = 0; i < 6; i++) {
        if (log->epoch[i].val.accuracy > log->epoch[best].val.accuracy)
            best = i;
        assert_int_equal(log->epoch[i].epoch, i + 1);
        assert_true(isnan(log->epoch[i].entropy[0]) && isnan(log->epoch[i].eigenvalue));
        same_genotypes(&log->epoch[i].genotype, &log->epoch[best].genotype);
    }
    assert_int_equal(result.epoch, best + 1);
    same_genotypes(&result.genotype, &log->epoch[best].genotype);
    free(log);
}

static void random_genotypes_follow_from_the_seed(void **state)
{
    SearchSpec spec = random_search(1, 0.5);
    char text[16][GENOTYPE_TEXT_MAX];

    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        Pool *pool = pool_of(1);
        Search *search;
        SearchResult result;
        Genotype read;

        spec.train.seed = i / 2;
        search = search_of(&spec, pool);
        search_result(search, &result);
        genotype_print(&result.genotype, text[i]);
        assert_int_equal(genotype_parse(text[i], &read, NULL), STATUS_OK); /* a valid one */
        assert_string_equal(search->trainer->spec.model.text, text[i]);
        for (unsigned j = 0; j < i; j++)
            assert_true((strcmp(text[i], text[j]) == 0) == (i / 2 == j / 2));
        search_free(search);
        pool_free(pool);
    }
}

/* From the space's own lists, all of them, and each pair of states; never `none`. */
static void random_genotypes_are_drawn_from_the_whole_space(void **state)
{
    SearchSpec spec = random_search(64, 64);
    Space space;
    Choice model;
    uint32_t seen[2] = { 0 }, pairs = 0;

    (void)state;
    assert_int_equal(space_parse("s3", &space, NULL), STATUS_OK);
    for (uint32_t round = 0; round < 64; round++) {
        Genotype g;

        assert_int_equal(
            searcher_table[spec.searcher.row]->model(&spec, &space, round, &model, NULL),
            STATUS_OK);
        assert_int_equal(genotype_parse(model.text, &g, NULL), STATUS_OK);
        for (uint32_t i = 0; i < GENOTYPE_EDGES; i++) {
            const char *name =
                candidate_table[g.cell[CELL_NORMAL].edge[i].candidate]->described.name;

            assert_true(strcmp(name, "skip_connect") == 0 || strcmp(name, "sep_conv_3x3") == 0);
            seen[strcmp(name, "sep_conv_3x3") == 0]++;
        }
        pairs |= 1U << (g.cell[CELL_REDUCE].edge[2].input * 4 + g.cell[CELL_REDUCE].edge[3].input);
    }
    assert_true(seen[0] > 200 && seen[1] > 200); /* of 512, by a fair coin */
    assert_int_equal(pairs, 1U << 1 | 1U << 2 | 1U << 6);
}

static void a_random_search_resumes_in_any_sample(void **state)
{
    SearchSpec spec = random_search(3, 3);
    Scratch scratch = scratch_new();
    SearchLog *whole = search_log();
    SearchResult want = search_to_end(&spec, 1, NULL, scratch_path(&scratch, "whole"), whole);

    (void)state;
    assert_int_equal(whole->steps, 6);
    for (uint64_t at = 1; at <= 5; at += 2) {
        SearchLog *log = search_log(), *rest = search_log();
        Pool *pool = pool_of(1);
        Search *search = search_of(&spec, pool);
        SearchResult got;

        log->stop_at = at;
        log->checkpoint = scratch_path(&scratch, "stopped");
        assert_int_equal(observe_search(search, log, NULL), STATUS_STOPPED);
        assert_int_equal(search_step(search), at);
        search_free(search);
        pool_free(pool);
        got = search_to_end(&spec, 2, scratch_path(&scratch, "stopped"),
                            scratch_path(&scratch, "resumed"), rest);
        same_files(scratch_path(&scratch, "whole"), scratch_path(&scratch, "resumed"));
        same_genotypes(&got.genotype, &want.genotype);
        assert_int_equal(got.epoch, want.epoch);
        assert_int_equal(log->steps + rest->steps, 6);
        assert_int_equal(log->epochs + rest->epochs, 3);
        free(log);
        free(rest);
    }
    free(whole);
    scratch_remove(&scratch);
}

/* A checkpoint of a sample says which genotype is the best so far, not which one it is of. */
static void a_random_searchs_file_answers_the_best_so_far(void **state)
{
    SearchSpec spec = random_search(2, 4);
    Scratch scratch = scratch_new();
    const char *path = scratch_path(&scratch, "end");
    SearchLog *log = search_log();
    SearchResult want = search_to_end(&spec, 1, NULL, path, log), got;
    Error err = { 0 };
    SearchAlphas a;

    (void)state;
    assert_int_equal(search_derive_file(path, &got, NULL), STATUS_OK);
    same_genotypes(&got.genotype, &want.genotype);
    assert_int_equal(got.epoch, want.epoch);
    assert_int_equal(search_read_alphas(path, &a, &err), STATUS_INVALID);
    free(log);
    scratch_remove(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alphas_come_back_from_a_checkpoint),
        cmocka_unit_test(alphas_of_a_training_job_are_read_too),
        cmocka_unit_test(entropy_falls_from_that_of_a_choice_to_none),
        cmocka_unit_test(shorter_edges_count_their_own_candidates_only),
        cmocka_unit_test(alphas_made_for_a_published_genotype_give_it),
        cmocka_unit_test(ties_go_to_the_lower_state_and_the_first_column),
        cmocka_unit_test(random_trains_its_samples_in_turn_and_answers_the_best),
        cmocka_unit_test(random_genotypes_follow_from_the_seed),
        cmocka_unit_test(random_genotypes_are_drawn_from_the_whole_space),
        cmocka_unit_test(a_random_search_resumes_in_any_sample),
        cmocka_unit_test(a_random_searchs_file_answers_the_best_so_far),
    };

    return cmocka_run_group_tests(tests, make_data, NULL);
}
