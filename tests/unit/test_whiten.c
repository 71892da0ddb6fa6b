/*
 * whiten: eigenvalues of small symmetric matrices, and the first convolution that is made of them.
 * The whitening of an image set is held to PyTorch's in tests/golden/test_golden_optimizers.c.
 */
#include "tests/unit/train_rig.h"

#include "core/kernels/eigen.h"

enum { N_MAX = 24 };

static void known_matrices_are_decomposed(void **state)
{
    double two[] = { 2, 1, 1, 2 }, values[N_MAX], vectors[N_MAX * N_MAX];
    double diagonal[] = { -3, 0, 0, 0, 5, 0, 0, 0, 5 }, one[] = { -4 }, zero[16] = { 0 };
    /* -1 where neighbours, 2 on the diagonal: eigenvalues 2 - 2 cos(k pi/(n+1)) */
    double chain[N_MAX * N_MAX] = { 0 };

    (void)state;
    eigen_symmetric(2, two, values, vectors);
    near(values[0], 3, 1e-15);
    near(values[1], 1, 1e-15);
    for (int i = 0; i < 4; i++)
        near(vectors[i], i == 3 ? -sqrt(0.5) : sqrt(0.5), 1e-15);
    eigen_symmetric(3, diagonal, values, vectors);
    assert_true(values[0] == 5 && values[1] == 5 && values[2] == -3);
    assert_true(vectors[1] == 1 && vectors[5] == 1 && vectors[6] == 1);
    eigen_symmetric(1, one, values, vectors);
    assert_true(values[0] == -4 && vectors[0] == 1);
    eigen_symmetric(4, zero, values, vectors);
    assert_true(values[0] == 0 && vectors[0] == 1 && vectors[15] == 1);
    for (int i = 0; i < N_MAX; i++)
        for (int k = 0; k < N_MAX; k++)
            chain[i * N_MAX + k] = i == k ? 2 : abs(i - k) == 1 ? -1 : 0;
    eigen_symmetric(N_MAX, chain, values, vectors);
    for (int i = 0; i < N_MAX; i++)
        near(values[i], 2 - 2 * cos((N_MAX - i) * 3.14159265358979323846 / (N_MAX + 1)), 1e-13);
}

static void a_decomposition_multiplies_out(void **state)
{
    (void)state;
    for (size_t n = 1; n <= N_MAX; n++) {
        double a[N_MAX * N_MAX], kept[N_MAX * N_MAX], values[N_MAX], vectors[N_MAX * N_MAX];
        Rng rng = rng_at(3, RNG_TEST, (uint32_t)n, 0);

        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k <= i; k++)
                a[i * n + k] = a[k * n + i] = (double)rng_normal(&rng);
        memcpy(kept, a, sizeof a);
        eigen_symmetric(n, a, values, vectors);
        for (size_t i = 0; i < n; i++) {
            double top = 0;

            assert_true(i == 0 || values[i - 1] >= values[i]);
            for (size_t k = 0; k < n; k++) {
                double back = 0, product = 0;

                for (size_t m = 0; m < n; m++) {
                    back += values[m] * vectors[m * n + i] * vectors[m * n + k];
                    product += vectors[i * n + m] * vectors[k * n + m];
                }
                near(back, kept[i * n + k], 1e-13 * (double)n);
                near(product, i == k, 1e-14 * (double)n);
                if (fabs(vectors[i * n + k]) > fabs(top))
                    top = vectors[i * n + k];
            }
            assert_true(top > 0);
        }
    }
}

/* ---- In a trainer ---- */

static const GraphWeight *whitened(const Trainer *trainer)
{
    const GraphWeight *found = NULL;

    for (uint32_t i = 0; i < trainer->network.graph.weights; i++)
        if (trainer->network.graph.weight[i].spec.init == INIT_WHITEN)
            found = &trainer->network.graph.weight[i];
    assert_non_null(found);
    return found;
}

/* The outputs over all patches of the training images have a mean product of 1 with themselves, of
 * 0 with each other (but their negatives), less what the floor under the eigenvalues takes. */
static void whitened_outputs_are_white(void **state)
{
    enum { D = 12 };
    TrainSpec spec = tiny();
    Pool *pool = pool_of(2);
    double product[D][D] = { { 0 } }, count = 0;
    float disk[2 * D * D];
    Trainer *trainer;

    (void)state;
    spec.model = choice(model_table, "airbench94");
    set(&spec.model, model_table, "width", 2);
    trainer = trainer_of(&spec, pool);
    assert_int_equal(whitened(trainer)->count, 2 * D * D);
    weight_to_disk(whitened(trainer), trainer->network.weights + whitened(trainer)->offset, disk);
    for (uint32_t image = 0; image < trainer->loader.images[SPLIT_TRAIN]; image++) {
        static float pixels[SIDE_MAX * SIDE_MAX * 3];

        loader_normalise(&trainer->loader, loader_pixels(&trainer->loader, SPLIT_TRAIN, image),
                         pixels);
        for (uint32_t at = 0; at < (SIDE_MAX - 1) * (SIDE_MAX - 1); at++) {
            uint32_t y = at / (SIDE_MAX - 1), x = at % (SIDE_MAX - 1);
            double out[D] = { 0 };

            for (uint32_t o = 0; o < D; o++)
                for (uint32_t i = 0; i < D; i++) /* [C,2,2] */
                    out[o] += (double)disk[o * D + i] *
                              (double)pixels[((y + i / 2 % 2) * SIDE_MAX + x + i % 2) * 3 + i / 4];
            for (uint32_t o = 0; o < D * D; o++)
                product[o / D][o % D] += out[o / D] * out[o % D];
            count++;
        }
    }
    for (uint32_t o = 0; o < D * D; o++)
        near(product[o / D][o % D] / count, o / D == o % D, 0.005);
    trainer_free(trainer);
    pool_free(pool);
}

static void whitening_is_the_same_on_any_number_of_threads_and_stays(void **state)
{
    TrainSpec spec = tiny();
    real first[1000];

    (void)state;
    spec.model = choice(model_table, "airbench94");
    set(&spec.model, model_table, "width", 2);
    spec.epochs = 0.5;
    for (unsigned threads = 1; threads <= 3; threads++) {
        Pool *pool = pool_of(threads);
        Trainer *trainer = trainer_of(&spec, pool);
        const GraphWeight *w = whitened(trainer);
        const real *numbers = trainer->network.weights + w->offset;

        if (threads == 1)
            memcpy(first, numbers, w->count * sizeof *numbers);
        assert_memory_equal(first, numbers, w->count * sizeof *numbers);
        assert_int_equal(trainer_run(trainer, &(Observer){ 0 }, NULL), STATUS_OK);
        assert_memory_equal(first, numbers, w->count * sizeof *numbers);
        trainer_free(trainer);
        pool_free(pool);
    }
}

static void a_layer_that_cannot_be_whitened_is_refused(void **state)
{
    static const struct {
        double channels, kernel;
        bool behind; /* another layer */
    } rows[] = { { 23, 2, false }, { 24, 2, true }, { 150, 5, false }, { 24, 2, false } };
    Loader loader = { 0 };

    (void)state;
    assert_int_equal(loader_init(&loader, &data, &(DataSpec){ 0 }, NULL), STATUS_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Network n = { .input = { SIDE_MAX, SIDE_MAX, 3, CLASSES } };
        Error err = { 0 };
        size_t bytes = 0;
        NodeId x;

        graph_init(&n.graph);
        x = n.image = graph_input(&n.graph, "image", shape4(1, SIDE_MAX, SIDE_MAX, 3));
        if (rows[i].behind)
            x = graph_node(&n.graph, "relu", "", x, NODE_NONE, NULL);
        (void)graph_node(&n.graph, "conv2d", "white", x, NODE_NONE,
                         GRAPH_PARAMS({ "channels", rows[i].channels },
                                      { "kernel", rows[i].kernel }, { "frozen", 1 }));
        assert_int_equal(graph_status(&n.graph, NULL), STATUS_OK);
        assert_int_equal(whiten_plan(&n, &loader, &bytes, &err),
                         i == 3 ? STATUS_OK : STATUS_INVALID);
        assert_int_equal(bytes > 0, i == 3);
        if (i < 3) {
            assert_string_equal(err.detail[0].pointer, "/model");
            assert_non_null(strstr(error_message(&err), "white.weight"));
        }
        graph_clear(&n.graph);
    }
    loader_clear(&loader);
}

static int make_large(void **state)
{
    (void)state;
    rig_data(SIDE_MAX);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_matrices_are_decomposed),
        cmocka_unit_test(a_decomposition_multiplies_out),
        cmocka_unit_test(whitened_outputs_are_white),
        cmocka_unit_test(whitening_is_the_same_on_any_number_of_threads_and_stays),
        cmocka_unit_test(a_layer_that_cannot_be_whitened_is_refused),
    };

    return cmocka_run_group_tests(tests, make_large, NULL);
}
