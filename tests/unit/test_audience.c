/*
 * An audience: a trainer whose network sees composed inputs. What it reports, that the data decide
 * its classes, and that its bits are as anybody's.
 */
#include "tests/unit/train_rig.h"

#include "tests/unit/allocations.h"

enum { MAP = 3 };

static MapSet sets[SPLIT_COUNT];

/* Maps of every class: bright where the class's own colour is, at MAP x MAP. */
static void make_maps(MapKind kind, uint32_t maps)
{
    const DataSpec split_as = tiny().data;
    Loader loader = { 0 };
    uint32_t side = kind == MAP_HEAT ? MAP : SIDE;

    assert_int_equal(loader_init(&loader, &data, &split_as, NULL), STATUS_OK);
    for (Split split = 0; split < SPLIT_COUNT; split++) {
        MapShape shape = { kind, loader.images[split], maps, side, side };

        mapset_clear(&sets[split]);
        assert_int_equal(mapset_new(&shape, &sets[split], NULL), STATUS_OK);
        for (uint32_t i = 0; i < shape.images; i++) {
            Rng rng = rng_at(1, RNG_TEST, split, i);
            float values[SIDE * SIDE * 3];

            for (size_t k = 0; k < mapset_image_numbers(&shape); k++)
                values[k] = rng_uniform(&rng);
            mapset_put(&sets[split], i, loader.index[split][i], values);
        }
    }
    loader_clear(&loader);
}

static ComposeSpec compose_of(ComposeInput input)
{
    ComposeSpec compose = { .input = input,
                            .reweight = { reweight_default(sets[0].shape.kind == MAP_HEAT), 0.3 },
                            .maps = { &sets[0], &sets[1], &sets[2] } };

    return compose;
}

static TrainSpec audience(const ComposeSpec *compose)
{
    TrainSpec spec = tiny();

    spec.compose = compose;
    return spec;
}

static int setup(void **state)
{
    rig_data(SIDE);
    make_maps(MAP_HEAT, CLASSES);
    (void)state;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int split = 0; split < SPLIT_COUNT; split++)
        mapset_clear(&sets[split]);
    return 0;
}

/* Fault 3: the audience had 1000 outputs. */
static void fault_3_the_data_decide_the_audiences_classes_and_its_input_the_channels(void **state)
{
    static const uint32_t want[] = {
        [COMPOSE_MAPS] = 3 * CLASSES, [COMPOSE_IMAGE] = 3, [COMPOSE_IMAGE_MAPS] = 3 * CLASSES + 3
    };
    Pool *pool = pool_of(1);

    (void)state;
    for (ComposeInput input = COMPOSE_MAPS; input <= COMPOSE_IMAGE_MAPS; input++) {
        ComposeSpec compose = compose_of(input);
        TrainSpec spec = audience(&compose);
        Trainer *trainer = trainer_of(&spec, pool);

        assert_int_equal(trainer->network.input.classes, CLASSES);
        assert_int_equal(trainer->network.input.channels, want[input]);
        assert_int_equal(graph_shape(&trainer->network.graph, trainer->network.logits, 1).dim[1],
                         CLASSES);
        trainer_free(trainer);
    }
    pool_free(pool);
}

/* Fault 5: the trained audience was not validated. */
static void fault_5_each_epoch_reports_raw_and_reweighted_validation_images(void **state)
{
    (void)state;
    for (int single = 0; single < 2; single++)
        for (ComposeInput input = COMPOSE_MAPS; input <= COMPOSE_IMAGE_MAPS; input++) {
            ComposeSpec compose;
            TrainSpec spec;
            Log log = { 0 };

            make_maps(MAP_HEAT, single ? 1 : CLASSES);
            compose = compose_of(input);
            spec = audience(&compose);
            run_to_end(&spec, 1, NULL, NULL, &log);
            assert_int_equal(log.epochs, 2);
            for (unsigned i = 0; i < log.epochs; i++) {
                const EpochReport *r = &log.epoch[i];

                assert_int_equal(r->val.images, 10);
                assert_int_equal(r->raw.images, 10);
                if (input == COMPOSE_IMAGE) {
                    same_score(&r->raw, &r->val);
                    assert_int_equal(r->reweighted.images, single ? 10 : 0);
                } else {
                    same_score(&r->reweighted, &r->val);
                    assert_true(r->raw.loss != r->val.loss);
                }
                assert_true(!single || input != COMPOSE_IMAGE || r->reweighted.loss != r->raw.loss);
            }
        }
}

static void nobody_elses_report_has_them(void **state)
{
    TrainSpec spec = tiny();
    Log log = { 0 };

    (void)state;
    run_to_end(&spec, 1, NULL, NULL, &log);
    for (unsigned i = 0; i < log.epochs; i++)
        assert_true(log.epoch[i].raw.images == 0 && log.epoch[i].reweighted.images == 0);
}

static void an_audience_of_images_is_a_network_like_any(void **state)
{
    Scratch scratch = scratch_new();
    ComposeSpec compose = compose_of(COMPOSE_IMAGE);
    TrainSpec spec = audience(&compose), plain = tiny();
    Log log = { 0 }, other = { 0 };

    (void)state;
    run_to_end(&spec, 1, NULL, scratch_path(&scratch, "audience"), &log);
    run_to_end(&plain, 1, NULL, scratch_path(&scratch, "plain"), &other);
    same_files(scratch_path(&scratch, "audience"), scratch_path(&scratch, "plain"));
    scratch_remove(&scratch);
}

static void threads_and_a_stop_in_the_middle_do_not_change_a_bit(void **state)
{
    static const struct {
        MapKind kind;
        ComposeControl control;
    } rows[] = { { MAP_HEAT, CONTROL_NONE },
                 { MAP_HEAT, CONTROL_RANDOM },
                 { MAP_DELTA, CONTROL_OTHER } };
    Scratch scratch = scratch_new();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ComposeSpec compose;
        TrainSpec spec;
        Log first = { 0 }, second = { 0 }, third = { 0 };
        Trainer *trainer;
        Pool *pool = pool_of(2);

        make_maps(rows[i].kind, 3);
        compose = compose_of(COMPOSE_IMAGE_MAPS);
        compose.control = rows[i].control;
        spec = audience(&compose);
        run_to_end(&spec, 1, NULL, scratch_path(&scratch, "one"), &first);
        second.stop_at = 3;
        second.request = STOP_DRAIN;
        second.checkpoint = scratch_path(&scratch, "half");
        trainer = trainer_of(&spec, pool);
        assert_int_equal(observe(trainer, &second, NULL), STATUS_STOPPED);
        trainer_free(trainer);
        run_to_end(&spec, 3, scratch_path(&scratch, "half"), scratch_path(&scratch, "two"), &third);
        same_files(scratch_path(&scratch, "one"), scratch_path(&scratch, "two"));
        same_score(&first.epoch[first.epochs - 1].raw, &third.epoch[third.epochs - 1].raw);
        pool_free(pool);
    }
    scratch_remove(&scratch);
}

static void its_checkpoint_describes_it(void **state)
{
    Scratch scratch = scratch_new();
    ComposeSpec compose = compose_of(COMPOSE_IMAGE_MAPS);
    TrainSpec spec = audience(&compose);
    Network network = { 0 };
    StFile *file = NULL;
    Log log = { 0 };
    Error err = { 0 };

    (void)state;
    spec.epochs = 0.25;
    run_to_end(&spec, 1, NULL, scratch_path(&scratch, "net"), &log);
    assert_int_equal(safetensors_open(scratch_path(&scratch, "net"), &file, NULL), STATUS_OK);
    if (network_read(&network, file, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    assert_int_equal(network.input.channels, 3 * CLASSES + 3);
    assert_true(network.std[0] == data.std[0] && network.std[3] == 1);
    network_clear(&network);
    safetensors_close(file);
    scratch_remove(&scratch);
}

/* ---- Memory ---- */

static unsigned steps_seen, allocations_before;

static void count_step(void *context, const StepReport *report)
{
    (void)context;
    if (report->step == 1)
        allocations_before = atomic_load(&allocations);
    steps_seen++;
}

static Status count_epoch(void *context, Trainer *trainer, const EpochReport *report, Error *err)
{
    (void)context;
    (void)trainer;
    (void)report;
    (void)err;
    return STATUS_OK;
}

static void no_step_and_no_evaluation_allocates(void **state)
{
    ComposeSpec compose = compose_of(COMPOSE_IMAGE_MAPS);
    TrainSpec spec = audience(&compose);
    Pool *pool = pool_of(2);
    Trainer *trainer = trainer_of(&spec, pool);
    Observer observer = { .step = count_step, .epoch = count_epoch };

    (void)state;
    steps_seen = 0;
    assert_int_equal(trainer_run(trainer, &observer, NULL), STATUS_OK);
    assert_true(steps_seen > 4);
    assert_int_equal(atomic_load(&allocations), allocations_before);
    trainer_free(trainer);
    pool_free(pool);
}

static void an_estimate_is_what_is_taken(void **state)
{
    ComposeSpec compose = compose_of(COMPOSE_IMAGE_MAPS);
    TrainSpec spec = audience(&compose);
    TrainEstimate estimate = { 0 };
    Log log = { 0 };
    size_t before;

    (void)state;
    assert_int_equal(trainer_estimate(&spec, &data, &estimate, NULL), STATUS_OK);
    before = atomic_load(&mapped);
    run_to_end(&spec, 1, NULL, NULL, &log);
    near((double)(atomic_load(&mapped) - before), (double)estimate.memory_bytes,
         0.05 * (double)estimate.memory_bytes);
}

static void maps_that_do_not_fit_are_refused_before_anything_is_taken(void **state)
{
    ComposeSpec compose = compose_of(COMPOSE_MAPS);
    TrainSpec spec = audience(&compose);
    TrainEstimate estimate;
    Error err = { 0 };

    (void)state;
    spec.data.split_seed++;
    assert_int_equal(trainer_estimate(&spec, &data, &estimate, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/maps");
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        RIG_TEST(fault_3_the_data_decide_the_audiences_classes_and_its_input_the_channels),
        RIG_TEST(fault_5_each_epoch_reports_raw_and_reweighted_validation_images),
        RIG_TEST(nobody_elses_report_has_them),
        RIG_TEST(an_audience_of_images_is_a_network_like_any),
        RIG_TEST(threads_and_a_stop_in_the_middle_do_not_change_a_bit),
        RIG_TEST(its_checkpoint_describes_it),
        RIG_TEST(no_step_and_no_evaluation_allocates),
        RIG_TEST(an_estimate_is_what_is_taken),
        RIG_TEST(maps_that_do_not_fit_are_refused_before_anything_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
