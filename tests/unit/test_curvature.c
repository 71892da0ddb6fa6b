/*
 * curvature: the dominant eigenvalue, of matrices that are known and of a supernet's Hessian; and
 * the search that stops early on it.
 */
#include "tests/unit/search_rig.h"

/* ---- Known matrices ---- */

enum { SIZE = 3 };

static Status multiply(void *context, const double *v, double *ret, Error *err)
{
    const double(*matrix)[SIZE] = context;

    (void)err;
    for (int i = 0; i < SIZE; i++) {
        ret[i] = 0;
        for (int k = 0; k < SIZE; k++)
            ret[i] += matrix[i][k] * v[k];
    }
    return STATUS_OK;
}

static double dominant(const double matrix[SIZE][SIZE], uint32_t iterations)
{
    double v[SIZE] = { 1, 2, -1 }, image[SIZE], ret = 0;

    assert_int_equal(
        eigenvalue_dominant(SIZE, iterations, multiply, (void *)matrix, v, image, &ret, NULL),
        STATUS_OK);
    return ret;
}

static void the_eigenvalue_of_largest_magnitude_keeps_its_sign(void **state)
{
    /* Q diag(x) Q' with the orthogonal Q = [2 -2 1; 1 2 2; 2 1 -2] / 3 */
    static const double values[][SIZE] = { { 5, 1, -2 }, { -5, 1, 2 }, { 1, 0.5, -0.25 } };
    static const double q[SIZE][SIZE] = { { 2, -2, 1 }, { 1, 2, 2 }, { 2, 1, -2 } };

    (void)state;
    for (int n = 0; n < 3; n++) {
        double matrix[SIZE][SIZE] = { { 0 } };

        for (int i = 0; i < SIZE; i++)
            for (int k = 0; k < SIZE; k++)
                for (int j = 0; j < SIZE; j++)
                    matrix[i][k] += q[i][j] * q[k][j] * values[n][j] / 9;
        near(dominant(matrix, 60), values[n][0], 1e-9);
    }
}

static void a_matrix_of_zeros_has_the_eigenvalue_zero(void **state)
{
    static const double zeros[SIZE][SIZE];

    (void)state;
    assert_true(dominant(zeros, 20) == 0);
}

static Status refuse(void *context, const double *v, double *ret, Error *err)
{
    (void)context, (void)v, (void)ret;
    return error_set(err, STATUS_STOPPED, "not now");
}

static void a_product_that_fails_ends_it(void **state)
{
    double v[1] = { 1 }, image[1], ret = 7;

    (void)state;
    assert_int_equal(eigenvalue_dominant(1, 20, refuse, NULL, v, image, &ret, NULL),
                     STATUS_STOPPED);
    assert_true(ret == 7);
}

/* ---- A known Hessian ---- */

enum { ALPHAS = 3, KINDS = 4, IMAGES = 5 };

/* L(A) = cross entropy of sum_i A_i x_i, x_i being a third of an image's 12 numbers: its Hessian is
 * the mean over the images of X' (diag p - p p') X. */
static Network mixture_network(void)
{
    Network n = { .input = { 1, 1, ALPHAS * KINDS, KINDS } };
    NodeId input[1 + ALPHAS];
    Error err = { 0 };

    graph_init(&n.graph);
    n.image = graph_input(&n.graph, "image", shape4(1, 1, 1, ALPHAS * KINDS));
    n.target = graph_input(&n.graph, "target", shape2(1, KINDS));
    input[0] = graph_node(&n.graph, "parameter", "alphas", NODE_NONE, NODE_NONE,
                          GRAPH_PARAMS({ "columns", ALPHAS }));
    for (uint32_t i = 0; i < ALPHAS; i++)
        input[1 + i] = graph_node(&n.graph, "slice", "", n.image, NODE_NONE,
                                  GRAPH_PARAMS({ "channel", i * KINDS }, { "channels", KINDS }));
    n.logits = graph_node_of(&n.graph, "weighted_sum", "", input, 1 + ALPHAS,
                             GRAPH_PARAMS({ "columns", (1 << ALPHAS) - 1 }));
    n.logits = graph_node(&n.graph, "global_avg_pool", "", n.logits, NODE_NONE, NULL);
    n.loss = n.training_loss = graph_node(&n.graph, "cross_entropy", "", n.logits, n.target, NULL);
    if (graph_status(&n.graph, &err) != STATUS_OK || network_take_weights(&n, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    return n;
}

/* The Hessian at `alpha`, from the formula. */
static void mixture_hessian(const float *alpha, const float *images, double ret[ALPHAS][ALPHAS])
{
    memset(ret, 0, ALPHAS * sizeof *ret);
    for (int n = 0; n < IMAGES; n++) {
        const float *x = images + n * ALPHAS * KINDS;
        double p[KINDS], sum = 0, mean[ALPHAS] = { 0 };

        for (int k = 0; k < KINDS; k++) {
            p[k] = 0;
            for (int i = 0; i < ALPHAS; i++)
                p[k] += (double)(alpha[i] * x[i * KINDS + k]);
            sum += p[k] = exp(p[k]);
        }
        for (int i = 0; i < ALPHAS; i++)
            for (int k = 0; k < KINDS; k++)
                mean[i] += p[k] / sum * (double)x[i * KINDS + k];
        for (int i = 0; i < ALPHAS; i++)
            for (int j = 0; j < ALPHAS; j++) {
                double square = 0;

                for (int k = 0; k < KINDS; k++)
                    square += p[k] / sum * (double)(x[i * KINDS + k] * x[j * KINDS + k]);
                ret[i][j] += (square - mean[i] * mean[j]) / IMAGES;
            }
    }
}

static void the_measured_eigenvalue_is_that_of_the_hessian(void **state)
{
    float images[IMAGES * ALPHAS * KINDS], targets[IMAGES * KINDS] = { 0 };
    uint16_t labels[IMAGES] = { 0, 1, 2, 3, 1 };
    const Batch batch = { .count = IMAGES, .images = images, .labels = labels, .targets = targets };
    double numbers[4][ALPHAS], hessian[ALPHAS][ALPHAS], measured = 0;
    const EigenvalueRoom room = { numbers[0], numbers[1], numbers[2], numbers[3] };
    const Choice adam = choice(optimizer_table, "adam");
    static const float alpha[ALPHAS] = { 0.5f, -0.25f, 1 };
    Network n = mixture_network();
    Rng rng = rng_at(5, RNG_TEST, 0, 0);
    RunContext context = { .pool = pool_of(1), .weights = n.weights };
    Architect a = { 0 };
    Arena arena = { 0 };
    real *gradients = calloc(n.graph.weight_numbers, sizeof *gradients);

    (void)state;
    for (size_t i = 0; i < sizeof images / sizeof *images; i++)
        images[i] = 2 * rng_normal(&rng);
    for (int i = 0; i < IMAGES; i++)
        targets[i * KINDS + labels[i]] = 1;
    context.gradients = gradients;
    assert_int_equal(kernels_select(NULL, &context.kernels, NULL), STATUS_OK);
    assert_int_equal(architect_plan(&a, &n, &adam, 1, IMAGES, NULL), STATUS_OK);
    assert_int_equal(a.count, ALPHAS);
    assert_int_equal(
        arena_init(&arena, architect_bytes(&a) + arena_round(architect_work_bytes(&a)), NULL),
        STATUS_OK);
    architect_take(&a, &arena, arena_take(&arena, architect_work_bytes(&a)));
    memcpy(n.weights + a.chunk[0].offset, alpha, sizeof alpha);

    assert_int_equal(
        eigenvalue_of_architecture(&a, &context, &batch, &room, 3, NULL, &measured, NULL),
        STATUS_OK);
    mixture_hessian(alpha, images, hessian);
    near(measured, dominant(hessian, 200), 1e-3 * measured);
    assert_true(measured > 0.5);
    assert_memory_equal(n.weights + a.chunk[0].offset, alpha, sizeof alpha);
    architect_clear(&a);
    arena_clear(&arena);
    network_clear(&n);
    pool_free(context.pool);
    free(gradients);
}

static void a_measurement_repeats_itself_and_moves_nothing(void **state)
{
    SearchSpec spec = small("s2", "darts");
    Pool *pool = pool_of(1);
    Search *search;
    double measured = 0, again = 1;
    real *before;

    (void)state;
    spec.eigenvalue = true;
    search = search_of(&spec, pool);
    before = weights_of(search);
    assert_int_equal(curvature_measure(search, NULL, &measured, NULL), STATUS_OK);
    assert_memory_equal(search->trainer->network.weights, before,
                        search->trainer->network.graph.weight_numbers * sizeof *before);
    assert_int_equal(curvature_measure(search, NULL, &again, NULL), STATUS_OK);
    assert_true(measured == again && measured != 0);
    free(before);
    search_free(search);
    pool_free(pool);
}

static void what_is_not_finite_is_no_reading(void **state)
{
    SearchSpec spec = small("s2", "darts");
    Pool *pool = pool_of(1);
    Search *search;
    double value = 0;

    (void)state;
    spec.eigenvalue = true;
    search = search_of(&spec, pool);
    search->trainer->network.weights[search->trainer->chunk[0].offset] = NAN;
    assert_int_equal(curvature_measure(search, NULL, &value, NULL), STATUS_OK);
    assert_true(isnan(value));
    search_free(search);
    pool_free(pool);
}

/* ---- Early stopping ---- */

/* Readings as a search might have them at the end of epoch 5, and the one it then makes itself is
 * small. */
typedef struct Plan5 {
    double before[EARLY_WINDOW], after[3];
    bool stops;
} Plan5;

static const Plan5 *planted;

static Status plant(void *context, Search *search, const SearchEpoch *report, Error *err)
{
    if (report->epoch == 5) {
        memcpy(search->reading, planted->before, sizeof planted->before);
        memcpy(search->reading + EARLY_WINDOW, planted->after, sizeof planted->after);
        search->readings = READINGS_MAX - 1;
    }
    return log_search_epoch(context, search, report, err);
}

/* An epoch is one step. */
static SearchSpec early_stopping(void)
{
    SearchSpec spec = small("s2", "darts");

    spec.train.data = (DataSpec){ .train_images = 16, .val_images = 8, .test_images = 1 };
    spec.train.batch_size = 8;
    spec.train.epochs = 7;
    spec.early_stop = true;
    set(&spec.architecture_optimizer, optimizer_table, "lr", 0.5); /* so that genotypes differ */
    return spec;
}

static void stops_early_as(const Plan5 *plan, const Scratch *scratch)
{
    SearchSpec spec = early_stopping();
    SearchLog *log = search_log();
    const SearchObserver observer = { .context = log, .step = log_search_step, .epoch = plant };
    Pool *pool = pool_of(1);
    Search *search;
    SearchResult result, read;

    planted = plan;
    log->epoch_checkpoint = scratch_path(scratch, "epoch");
    search = search_of(&spec, pool);
    assert_int_equal(search_run(search, &observer, NULL), STATUS_OK);
    search_result(search, &result);
    assert_int_equal(result.early_stopped, plan->stops);
    assert_int_equal(log->epochs, plan->stops ? 6 : 7);
    assert_int_equal(log->epoch[log->epochs - 1].early_stopped, plan->stops);
    assert_int_equal(result.epoch, plan->stops ? 2 : 7);
    same_genotypes(&result.genotype, &log->epoch[result.epoch - 1].genotype);
    if (plan->stops)
        assert_false(equal_genotypes(&result.genotype, &log->epoch[5].genotype));
    assert_int_equal(search_derive_file(log->epoch_checkpoint, &read, NULL), STATUS_OK);
    same_genotypes(&read.genotype, &result.genotype);
    assert_int_equal(read.epoch, result.epoch);
    assert_int_equal(read.early_stopped, result.early_stopped);
    search_free(search);
    pool_free(pool);
    free(log);
}

static void a_search_stops_where_the_eigenvalue_has_grown_by_a_third(void **state)
{
    static const Plan5 plans[] = {
        { { 1, 1, 1, 1, 1 }, { 2.5, 2.5, 2.5 }, true },      /* 1.7 of 1 at the least */
        { { 1, 1, 1, 1, 1 }, { 1.2, 1.2, 1.2 }, false },     /* 1.12 at the most */
        { { -1, -1, -1, -1, -1 }, { -1, -1, -1 }, false },   /* no curvature upwards */
        { { 1, 1, (double)NAN, 1, 1 }, { 9, 9, 9 }, false }, /* not measured */
    };
    Scratch scratch = scratch_new();

    (void)state;
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
        stops_early_as(&plans[i], &scratch);
    scratch_remove(&scratch);
}

static void a_search_that_stopped_early_has_nothing_left_to_do(void **state)
{
    static const Plan5 plan = { { 1, 1, 1, 1, 1 }, { 3, 3, 3 }, true };
    Scratch scratch = scratch_new();
    SearchSpec spec = early_stopping();
    SearchLog *log = search_log();
    SearchResult result;

    (void)state;
    stops_early_as(&plan, &scratch);
    result = search_to_end(&spec, 1, scratch_path(&scratch, "epoch"), NULL, log);
    assert_true(result.early_stopped);
    assert_int_equal(result.epoch, 2);
    assert_int_equal(log->steps + log->epochs, 0);
    free(log);
    scratch_remove(&scratch);
}

/* Stopped while it measures: the epoch ends anew after the resume. */
static void a_measurement_can_be_stopped(void **state)
{
    SearchSpec spec = small("s2", "darts");
    Pool *pool = pool_of(1);
    Search *search;
    atomic_int stop = STOP_DRAIN;
    double value = 7;

    (void)state;
    spec.eigenvalue = true;
    search = search_of(&spec, pool);
    assert_int_equal(curvature_measure(search, &stop, &value, NULL), STATUS_STOPPED);
    assert_true(value == 7);
    search_free(search);
    pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_eigenvalue_of_largest_magnitude_keeps_its_sign),
        cmocka_unit_test(a_matrix_of_zeros_has_the_eigenvalue_zero),
        cmocka_unit_test(a_product_that_fails_ends_it),
        cmocka_unit_test(the_measured_eigenvalue_is_that_of_the_hessian),
        ALONE(a_measurement_repeats_itself_and_moves_nothing),
        ALONE(what_is_not_finite_is_no_reading),
        ALONE(a_search_stops_where_the_eigenvalue_has_grown_by_a_third),
        ALONE(a_search_that_stopped_early_has_nothing_left_to_do),
        cmocka_unit_test(a_measurement_can_be_stopped),
    };

    return cmocka_run_group_tests(tests, make_data, NULL);
}
