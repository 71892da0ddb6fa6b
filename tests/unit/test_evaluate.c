/*
 * evaluate: a stored network scores what its trainer reported, with its own normalisation, over
 * views of the images; it takes the memory it announced; it says no in time.
 *
 * mmap() is watched: the linker wraps it, see meson.build.
 */
#include "tests/unit/train_rig.h"

#include <sys/mman.h>

/* ---- Memory that is taken ---- */

static atomic_size_t mapped; /* bytes of anonymous memory, ever */

/* Meson asks for 64-bit file offsets, which turns mmap() into mmap64(). */
void *__real_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset);

void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (fd == -1)
        atomic_fetch_add(&mapped, size);
    return __real_mmap64(at, size, protection, flags, fd, offset);
}

static EvaluateSpec spec_of(const char *path, const TrainSpec *train, Split split)
{
    return (EvaluateSpec){ .path = path,
                           .data = train->data,
                           .split = split,
                           .batch_size = EVALUATOR_BATCH,
                           .views = train->test_views };
}

/* ---- Scores ---- */

static void a_stored_network_scores_what_its_trainer_reported(void **state)
{
    static const uint32_t batches[] = { EVALUATOR_BATCH, 7, 1, 1000 };
    Scratch scratch = scratch_new();
    Log *log = calloc(1, sizeof *log);
    Pool *pool = pool_of(2);

    (void)state;
    for (TestViews views = TEST_VIEWS_NONE; views <= TEST_VIEWS_FLIP_SHIFT; views++) {
        TrainSpec spec = tiny();
        const Score *want[SPLIT_COUNT];

        spec.test_views = views;
        *log = (Log){ 0 };
        run_to_end(&spec, 1, NULL, scratch_path(&scratch, "net"), log);
        want[SPLIT_VAL] = &log->epoch[log->epochs - 1].val;
        want[SPLIT_TEST] = &log->epoch[log->epochs - 1].test;
        for (Split split = SPLIT_VAL; split <= SPLIT_TEST; split++)
            for (size_t i = 0; i < 4; i++) {
                EvaluateSpec e = spec_of(scratch_path(&scratch, "net"), &spec, split);
                Score got;

                e.batch_size = batches[i];
                assert_int_equal(evaluate_checkpoint(&e, &data, pool, NULL, &got, NULL), STATUS_OK);
                assert_int_equal(got.images, want[split]->images);
                assert_true(got.accuracy == want[split]->accuracy);
                near(got.loss, want[split]->loss, 1e-5);
            }
    }
    free(log);
    pool_free(pool);
    scratch_remove(&scratch);
}

/* A checkpoint of one epoch; the scores do not have to be good. */
static const char *stored(const Scratch *scratch, TrainSpec *spec)
{
    Log *log = calloc(1, sizeof *log);

    spec->epochs = 1;
    run_to_end(spec, 1, NULL, scratch_path(scratch, "net"), log);
    free(log);
    return scratch_path(scratch, "net");
}

static void images_are_normalised_as_the_checkpoint_says(void **state)
{
    Scratch scratch = scratch_new();
    TrainSpec spec = tiny();
    EvaluateSpec e = spec_of(stored(&scratch, &spec), &spec, SPLIT_TEST);
    Pool *pool = pool_of(1);
    Dataset other = data;
    Score score, again;

    (void)state;
    for (int c = 0; c < 3; c++) {
        other.mean[c] = 0.1f;
        other.std[c] = 0.9f;
    }
    assert_int_equal(evaluate_checkpoint(&e, &data, pool, NULL, &score, NULL), STATUS_OK);
    assert_int_equal(evaluate_checkpoint(&e, &other, pool, NULL, &again, NULL), STATUS_OK);
    same_score(&score, &again);
    pool_free(pool);
    scratch_remove(&scratch);
}

/* ---- Views ---- */

/* The byte of test image `i` at a place that may lie outside by a pixel: reflected at the border.
 */
static float pixel_at(uint32_t i, int y, int x, uint32_t c)
{
    const int last = SIDE - 1;

    y = y < 0 ? -y : y > last ? 2 * last - y : y;
    x = x < 0 ? -x : x > last ? 2 * last - x : x;
    return ((float)rig_test_pixels[((i * SIDE + (uint32_t)y) * SIDE + (uint32_t)x) * 3 + c] /
                255.0f -
            0.5f) /
           0.25f;
}

/* Adds the logits of one view of the first 16 test images (one block), times `weight`. */
static void add_view(Network *n, Pool *pool, int shift, bool flip, double weight,
                     double ret[16][CLASSES])
{
    PlanSpec spec = {
        .images = 16, .output = n->logits, .gradient_to = NODE_NONE, .keep = { NODE_NONE }
    };
    RunContext context = { .pool = pool, .kernels = kernels_available()[0], .weights = n->weights };
    Plan plan = { 0 };
    Arena arena = { 0 };
    real *image;

    assert_int_equal(plan_init(&plan, &n->graph, &spec, NULL), STATUS_OK);
    assert_int_equal(arena_init(&arena, plan.bytes, NULL), STATUS_OK);
    plan_bind(&plan, arena.base);
    image = plan_tensor(&plan, n->image).data;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            for (uint32_t i = 0; i < 16; i++)
                for (uint32_t c = 0; c < 3; c++) /* shifted, then mirrored */
                    *image++ = (real)pixel_at(i, y + shift, (flip ? SIDE - 1 - x : x) + shift, c);
    run_forward(&plan, &context);
    for (size_t k = 0; k < 16 * CLASSES; k++)
        ret[k / CLASSES][k % CLASSES] += weight * (double)plan_tensor(&plan, n->logits).data[k];
    arena_clear(&arena);
    plan_clear(&plan);
}

static Score score_by_hand(double logits[16][CLASSES])
{
    Score score = { .images = 16 };

    for (int i = 0; i < 16; i++) {
        const double *row = logits[i];
        double sum = 0;
        int top = 0;

        for (int k = 0; k < CLASSES; k++) {
            sum += exp(row[k]);
            top = row[k] > row[top] ? k : top;
        }
        score.loss += (log(sum) - row[rig_test_labels[i]]) / 16;
        score.accuracy += (top == rig_test_labels[i]) / 16.0;
    }
    return score;
}

static void views_are_averaged_as_airbench_does(void **state)
{
    static const struct {
        int shift;
        bool flip;
        double weight[3]; /* with views none, flip, flip_shift */
    } views[] = { { 0, false, { 1, 0.5, 0.25 } }, { 0, true, { 0, 0.5, 0.25 } },
                  { -1, false, { 0, 0, 0.125 } }, { -1, true, { 0, 0, 0.125 } },
                  { 1, false, { 0, 0, 0.125 } },  { 1, true, { 0, 0, 0.125 } } };
    Scratch scratch = scratch_new();
    TrainSpec spec = tiny();
    Pool *pool = pool_of(2);
    Network network = { 0 };
    StFile *file = NULL;
    EvaluateSpec e;
    Score last = { 0 };

    (void)state;
    set(&spec.model, model_table, "width", 4);
    spec.data.test_images = 16;
    e = spec_of(stored(&scratch, &spec), &spec, SPLIT_TEST);
    assert_int_equal(safetensors_open(e.path, &file, NULL), STATUS_OK);
    assert_int_equal(network_read(&network, file, NULL), STATUS_OK);
    for (e.views = TEST_VIEWS_NONE; e.views <= TEST_VIEWS_FLIP_SHIFT; e.views++) {
        double logits[16][CLASSES] = { { 0 } };
        Score want, got;

        for (size_t v = 0; v < sizeof views / sizeof *views; v++)
            if (views[v].weight[e.views] > 0)
                add_view(&network, pool, views[v].shift, views[v].flip, views[v].weight[e.views],
                         logits);
        want = score_by_hand(logits);
        assert_int_equal(evaluate_checkpoint(&e, &data, pool, NULL, &got, NULL), STATUS_OK);
        near(got.loss, want.loss, 1e-5);
        near(got.accuracy, want.accuracy, 1e-12);
        assert_true(fabs(got.loss - last.loss) > 1e-4); /* each set of views sees something else */
        last = got;
    }
    network_clear(&network);
    safetensors_close(file);
    pool_free(pool);
    scratch_remove(&scratch);
}

/* ---- Memory ---- */

static void the_estimate_is_what_an_evaluation_takes(void **state)
{
    Scratch scratch = scratch_new();
    TrainSpec spec = tiny();
    EvaluateSpec e = spec_of(stored(&scratch, &spec), &spec, SPLIT_TEST);
    Pool *pool = pool_of(1);
    uint64_t last = 0;

    (void)state;
    for (e.batch_size = 1; e.batch_size <= 64; e.batch_size *= 8) {
        size_t before = atomic_load(&mapped);
        uint64_t bytes = 0;
        Score score;

        assert_int_equal(evaluate_estimate(&e, &data, &bytes, NULL), STATUS_OK);
        assert_int_equal(atomic_load(&mapped), before);
        assert_int_equal(evaluate_checkpoint(&e, &data, pool, NULL, &score, NULL), STATUS_OK);
        assert_int_equal(atomic_load(&mapped) - before, bytes);
        assert_true(bytes > last);
        last = bytes;
    }
    pool_free(pool);
    scratch_remove(&scratch);
}

/* ---- What is refused ---- */

static void a_network_for_other_data_is_refused_naming_what_differs(void **state)
{
    Scratch scratch = scratch_new();
    TrainSpec spec = tiny();
    EvaluateSpec e = spec_of(stored(&scratch, &spec), &spec, SPLIT_TEST);
    Pool *pool = pool_of(1);
    Dataset other[4] = { data, data, data, data };
    static const char *const says[] = { "3 classes", "3 channels", "8 height", "8 width" };
    atomic_int stop = STOP_CANCEL;
    uint64_t bytes = 77;
    Score got = { .images = 77 };

    (void)state;
    other[0].classes = 4;
    other[1].channels = 1;
    other[2].height = 4;
    other[3].width = 4;
    for (int i = 0; i < 8; i++) {
        Error err = { 0 };
        Status s = i % 2 == 0 ? evaluate_checkpoint(&e, &other[i / 2], pool, NULL, &got, &err)
                              : evaluate_estimate(&e, &other[i / 2], &bytes, &err);

        assert_int_equal(s, STATUS_INVALID);
        assert_non_null(strstr(error_message(&err), says[i / 2]));
        assert_string_equal(err.detail[0].pointer, "/checkpoint");
    }
    assert_int_equal(evaluate_checkpoint(&e, &data, pool, &stop, &got, NULL), STATUS_STOPPED);
    assert_int_equal(got.images, 77);
    assert_int_equal(bytes, 77);
    pool_free(pool);
    scratch_remove(&scratch);
}

/* Writes a checkpoint of a trainer that nothing has trained. */
static const char *fresh(const Scratch *scratch, const TrainSpec *spec, const char *poisoned)
{
    Pool *pool = pool_of(1);
    Trainer *trainer = trainer_of(spec, pool);

    if (poisoned != NULL)
        *weight_of(trainer, poisoned) = (real)INFINITY;
    assert_int_equal(trainer_save(trainer, scratch_path(scratch, "fresh"), NULL), STATUS_OK);
    trainer_free(trainer);
    pool_free(pool);
    return scratch_path(scratch, "fresh");
}

static void a_poisoned_checkpoint_names_its_layer(void **state)
{
    Scratch scratch = scratch_new();
    TrainSpec spec = tiny();
    EvaluateSpec e = spec_of(fresh(&scratch, &spec, "layer2.1.conv2.weight"), &spec, SPLIT_TRAIN);
    Pool *pool = pool_of(1);
    Score score = { .images = 77 };
    Error err = { 0 };

    (void)state;
    assert_int_equal(evaluate_checkpoint(&e, &data, pool, NULL, &score, &err), STATUS_DIVERGED);
    assert_string_equal(error_message(&err),
                        "the loss on train images is not finite: layer \"layer2.1.conv2\" is the "
                        "first whose output is not");
    assert_int_equal(score.images, 77);
    pool_free(pool);
    scratch_remove(&scratch);
}

static void a_tensor_that_the_model_has_not_is_named(void **state)
{
    Scratch scratch = scratch_new();
    TrainSpec spec = tiny();
    Pool *pool = pool_of(1);
    EvaluateSpec e;
    Error err = { 0 };
    Score score;
    uint8_t *bytes, *name;
    size_t size;

    (void)state;
    bytes = bytes_of(fresh(&scratch, &spec, NULL), &size);
    name = memmem(bytes, size, "\"optimizer.", 11);
    assert_non_null(name);
    memcpy(name, "\"optimises.", 11);
    write_cut(scratch_path(&scratch, "strange"), bytes, size);
    e = spec_of(scratch_path(&scratch, "strange"), &spec, SPLIT_TEST);
    assert_int_equal(evaluate_checkpoint(&e, &data, pool, NULL, &score, &err), STATUS_CORRUPT);
    assert_non_null(strstr(error_message(&err), "optimises."));
    free(bytes);
    pool_free(pool);
    scratch_remove(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stored_network_scores_what_its_trainer_reported),
        cmocka_unit_test(images_are_normalised_as_the_checkpoint_says),
        cmocka_unit_test(views_are_averaged_as_airbench_does),
        cmocka_unit_test(the_estimate_is_what_an_evaluation_takes),
        cmocka_unit_test(a_network_for_other_data_is_refused_naming_what_differs),
        cmocka_unit_test(a_poisoned_checkpoint_names_its_layer),
        cmocka_unit_test(a_tensor_that_the_model_has_not_is_named),
    };

    return cmocka_run_group_tests(tests, make_data, NULL);
}
