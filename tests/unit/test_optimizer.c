/*
 * optimizer: schedules, clipping, groups of weights, lookahead, against what one computes by hand.
 * The steps themselves are held to PyTorch's in tests/golden/test_golden_optimizers.c.
 */
#include "tests/unit/train_rig.h"

/* ---- Schedules ---- */

/* The factor of one step, with the parameters of `name` given by their place behind the warm-up. */
static double factor(const char *name, double warmup, double a, double b, double c, uint64_t step,
                     uint64_t steps)
{
    Choice schedule = choice(schedule_table, name);
    const double value[] = { warmup, a, b, c };

    memcpy(schedule.value, value, sizeof value);
    return schedule_factor(&schedule, step, steps, 10);
}

static void cosine_falls_to_its_final_factor(void **state)
{
    const double pi = 3.14159265358979323846;

    (void)state;
    for (uint64_t t = 0; t < 100; t++) {
        near(factor("cosine", 0, 0, 0, 0, t, 100), 0.5 * (1 + cos(pi * (double)t / 100)), 1e-15);
        /* 0.025 -> 0.001, as PyTorch's CosineAnnealingLR: eta_min + (lr - eta_min)(1 + cos)/2 */
        near(0.025 * factor("cosine", 0, 0.04, 0, 0, t, 100),
             0.001 + 0.024 * (1 + cos(pi * (double)t / 100)) / 2, 1e-15);
    }
}

static void one_cycle_goes_up_and_down_in_straight_lines(void **state)
{
    static const struct {
        double start, peak, final;
        uint64_t step, steps;
        double want;
    } rows[] = {
        /* ResNet-9: 0 -> 1 at epoch 5 of 24 -> 0 */
        { 0, 5.0 / 24, 0, 0, 240, 0 },
        { 0, 5.0 / 24, 0, 25, 240, 0.5 },
        { 0, 5.0 / 24, 0, 50, 240, 1 },
        { 0, 5.0 / 24, 0, 145, 240, 0.5 },
        { 0, 5.0 / 24, 0, 239, 240, 1.0 / 190 },
        /* airbench94: 0.2 -> 1 at 23 % -> 0.07 */
        { 0.2, 0.23, 0.07, 0, 1000, 0.2 },
        { 0.2, 0.23, 0.07, 115, 1000, 0.6 },
        { 0.2, 0.23, 0.07, 230, 1000, 1 },
        { 0.2, 0.23, 0.07, 615, 1000, 0.535 },
        { 0.2, 0.23, 0.07, 999, 1000, 0.07 + 0.93 / 770 },
        /* its ends */
        { 0.5, 0, 0, 0, 10, 1 },
        { 0.5, 0, 0, 5, 10, 0.5 },
        { 0.5, 1, 0, 5, 10, 0.75 },
        { 0.5, 1, 0, 9, 10, 0.95 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        near(factor("one_cycle", 0, rows[i].start, rows[i].peak, rows[i].final, rows[i].step,
                    rows[i].steps),
             rows[i].want, 1e-12);
}

static void steps_fall_every_so_many_epochs(void **state)
{
    (void)state;
    for (uint64_t t = 0; t < 100; t++) {
        near(factor("steps", 0, 3, 0.1, 0, t, 100), pow(0.1, (double)(t / 30)), 1e-15);
        near(factor("steps", 0, 0.5, 0.5, 0, t, 100), pow(0.5, (double)(t / 5)), 1e-15);
    }
}

static void linear_falls_and_constant_stays(void **state)
{
    (void)state;
    for (uint64_t t = 0; t < 100; t++) {
        near(factor("linear", 0, 0, 0, 0, t, 100), 1 - (double)t / 100, 1e-15);
        near(factor("linear", 0, 0.2, 0, 0, t, 100), 1 - 0.8 * (double)t / 100, 1e-15);
        assert_true(factor("constant", 0, 0, 0, 0, t, 100) == 1);
    }
}

static void every_schedule_warms_up_in_the_same_way(void **state)
{
    (void)state;
    for (uint32_t row = 0; schedule_table[row] != NULL; row++) {
        Choice plain, warm;

        choice_init(schedule_table, row, &plain);
        assert_string_equal(schedule_table[row]->described.params[0].name, "warmup_epochs");
        set(&plain, schedule_table, "warmup_epochs", 0);
        if (strcmp(schedule_table[row]->described.name, "one_cycle") == 0)
            set(&plain, schedule_table, "start", 0.5);
        warm = plain;
        set(&warm, schedule_table, "warmup_epochs", 2);
        for (uint64_t t = 0; t < 20; t++)
            near(schedule_factor(&warm, t, 100, 10),
                 (double)(t + 1) / 20 * schedule_factor(&plain, 0, 80, 10), 1e-15);
        for (uint64_t t = 20; t < 100; t++) /* then the schedule, over what is left */
            near(schedule_factor(&warm, t, 100, 10), schedule_factor(&plain, t - 20, 80, 10),
                 1e-15);
        for (uint64_t t = 0; t < 10; t++) { /* a run that ends while it warms up */
            double f = schedule_factor(&warm, t, 10, 10);

            assert_true(f > 0 && f <= 0.5);
        }
    }
}

/* ---- Steps ---- */

static void clipping_scales_the_joint_norm_to_the_limit(void **state)
{
    real g[40], kept[40];
    /* What lies between is no gradient, and the last one's group does not move. */
    const WeightChunk chunks[] = { { 0, 7, 0 }, { 16, 3, 0 }, { 32, 3, 1 } };
    const GroupStep groups[] = { { true, 0.1, 1 }, { false, 0.1, 1 } };
    double sums[3], norm = 0;
    Pool *pool = pool_of(2);
    OptimizerStep step = { .pool = pool,
                           .kernels = kernels_available()[0],
                           .chunk = chunks,
                           .chunks = 3,
                           .group = groups,
                           .chunk_sum = sums,
                           .gradients = g };

    (void)state;
    for (int i = 0; i < 40; i++)
        kept[i] = g[i] = (real)(i - 9);
    optimizer_clip(&step, 0);
    assert_memory_equal(g, kept, sizeof g);
    for (int i = 0; i < 40; i++)
        norm += i < 7 || (i >= 16 && i < 19) ? (double)(kept[i] * kept[i]) : 0;
    norm = sqrt(norm);
    optimizer_clip(&step, norm + 0.001);
    assert_memory_equal(g, kept, sizeof g);
    optimizer_clip(&step, 2);
    for (int i = 0; i < 40; i++)
        if (i < 7 || (i >= 16 && i < 19))
            near((double)g[i], (double)kept[i] * 2 / (norm + 1e-6), 1e-6);
        else
            assert_true(g[i] == kept[i]);
    pool_free(pool);
}

static void sgd_steps_as_its_parameters_say(void **state)
{
    Pool *pool = pool_of(1);

    (void)state;
    for (int nesterov = 0; nesterov < 2; nesterov++)
        for (int clip = 0; clip < 2; clip++) {
            Choice c = choice(optimizer_table, "sgd");
            real p = 2, g = 3, buffer = (real)0.5;
            double sum, step = (clip ? 1.0 : 3.0) + 0.25 * 2, next = 0.75 * 0.5 + step;
            const WeightChunk chunk = { 0, 1, 0 };
            const GroupStep group = { true, 0.125, 1 };
            OptimizerStep call = { .pool = pool,
                                   .kernels = kernels_available()[0],
                                   .chunk = &chunk,
                                   .chunks = 1,
                                   .chunk_sum = &sum,
                                   .group = &group,
                                   .number = 1,
                                   .weights = &p,
                                   .gradients = &g,
                                   .buffer = { &buffer } };

            set(&c, optimizer_table, "momentum", 0.75);
            set(&c, optimizer_table, "nesterov", nesterov);
            set(&c, optimizer_table, "weight_decay", 0.25);
            set(&c, optimizer_table, "clip", clip);
            optimizer_table[c.row]->step(c.value, &call);
            near((double)buffer, next, 2e-6);
            near((double)p, 2 - 0.125 * (nesterov ? step + 0.75 * next : next), 2e-6);
        }
    pool_free(pool);
}

/* ---- Groups ---- */

/* Whether the weights `now` differ from `start` in the first weight whose name begins so. */
static bool moved(Trainer *trainer, const real *start, const char *name)
{
    const real *now = weight_of(trainer, name);

    return memcmp(now, start + (now - trainer->network.weights), sizeof *now) != 0;
}

static void groups_move_as_they_say(void **state)
{
    static const struct {
        ParamGroup group[2];
        double epochs;
        bool stem, norm, head; /* which move: conv1.weight, bn1.bias, fc.bias */
    } rows[] = {
        { { { "*", 1, 1, 0 }, { "*", 1, 1, 0 } }, 2, true, true, true },
        { { { "*", 0, 1, 0 }, { "*", 0, 1, 0 } }, 2, false, false, false },
        { { { "*", 0, 1, 0 }, { "fc.*", 1, 1, 0 } }, 2, false, false, true }, /* the last holds */
        { { { "fc.*", 1, 1, 0 }, { "*", 0, 1, 0 } }, 2, false, false, false },
        { { { "*bn?.bias", 0, 1, 0 }, { "fc.bias", 0, 1, 0 } }, 2, true, false, false },
    };
    Pool *pool = pool_of(1);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        TrainSpec spec = tiny();
        Trainer *trainer;
        real *start;
        size_t bytes;

        memcpy(spec.group, rows[i].group, sizeof rows[i].group);
        spec.groups = 2;
        spec.epochs = rows[i].epochs;
        trainer = trainer_of(&spec, pool);
        bytes = trainer->network.graph.weight_numbers * sizeof *start;
        start = malloc(bytes);
        memcpy(start, trainer->network.weights, bytes);
        assert_int_equal(trainer_run(trainer, &(Observer){ 0 }, NULL), STATUS_OK);
        assert_int_equal(moved(trainer, start, "conv1.weight"), rows[i].stem);
        assert_int_equal(moved(trainer, start, "bn1.bias"), rows[i].norm);
        assert_int_equal(moved(trainer, start, "fc.bias"), rows[i].head);
        free(start);
        trainer_free(trainer);
    }
    pool_free(pool);
}

typedef struct BiasWatch {
    real *bias;
    real kept[8];
    unsigned moved; /* bit k: it moved in step k + 1 */
    Trainer *trainer;
} BiasWatch;

static void watch_bias(void *context, const StepReport *report)
{
    BiasWatch *watch = context;

    if (memcmp(watch->bias, watch->kept, CLASSES * sizeof *watch->bias) != 0)
        watch->moved |= 1u << (report->step - 1);
    memcpy(watch->kept, watch->bias, CLASSES * sizeof *watch->bias);
}

static void a_group_stops_after_its_epochs(void **state)
{
    static const struct {
        double epochs;
        unsigned moved; /* in which of 8 steps, 4 an epoch */
    } rows[] = { { 0, 0xff }, { 1, 0x0f }, { 1.5, 0x3f }, { 3, 0xff } };
    Pool *pool = pool_of(1);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        TrainSpec spec = tiny();
        BiasWatch watch = { 0 };
        Trainer *trainer;

        spec.epochs = 2;
        spec.groups = 1;
        spec.group[0] = (ParamGroup){ "fc.bias", 1, 1, rows[i].epochs };
        set(&spec.schedule, schedule_table, "final", 0.5);
        trainer = trainer_of(&spec, pool);
        watch.bias = weight_of(trainer, "fc.bias");
        memcpy(watch.kept, watch.bias, CLASSES * sizeof *watch.bias);
        assert_int_equal(
            trainer_run(trainer, &(Observer){ .context = &watch, .step = watch_bias }, NULL),
            STATUS_OK);
        assert_int_equal(watch.moved, rows[i].moved);
        trainer_free(trainer);
    }
    pool_free(pool);
}

static void a_groups_rate_and_decay_are_scaled(void **state)
{
    real g[2] = { 3, 3 }, buffer[2] = { 0 }, p[2] = { 2, 2 };
    const WeightChunk chunks[] = { { 0, 1, 0 }, { 1, 1, 1 } };
    const GroupStep groups[] = { { true, 0.5, 1 }, { true, 0.5 * 64, 0.125 } };
    Choice c = choice(optimizer_table, "sgd");
    double sums[2];
    Pool *pool = pool_of(1);
    OptimizerStep step = { .pool = pool,
                           .kernels = kernels_available()[0],
                           .chunk = chunks,
                           .chunks = 2,
                           .group = groups,
                           .number = 1,
                           .chunk_sum = sums,
                           .weights = p,
                           .gradients = g,
                           .buffer = { buffer } };

    (void)state;
    set(&c, optimizer_table, "nesterov", 0);
    set(&c, optimizer_table, "weight_decay", 0.5);
    optimizer_table[c.row]->step(c.value, &step);
    near((double)p[0], 2 - 0.5 * (3 + 0.5 * 2), 1e-6);
    near((double)p[1], 2 - 32 * (3 + 0.0625 * 2), 1e-5);
    pool_free(pool);
}

/* ---- Lookahead ---- */

static Trainer *lookahead_trainer(Pool *pool, uint32_t start_epoch)
{
    TrainSpec spec = tiny();

    spec.epochs = 5; /* 20 steps, 4 an epoch */
    spec.lookahead =
        (LookaheadSpec){ .every = 2, .decay = 0.8, .ramp = 3, .start_epoch = start_epoch };
    return trainer_of(&spec, pool);
}

static void fill_weights(Trainer *trainer, real value)
{
    for (size_t i = 0; i < trainer->network.graph.weight_numbers; i++)
        trainer->network.weights[i] = value;
}

static void lookahead_averages_weights_and_statistics(void **state)
{
    static const char *const names[] = { "conv1.weight", "fc.bias", "layer2.0.bn1.running_mean" };
    Pool *pool = pool_of(2);
    Trainer *trainer = lookahead_trainer(pool, 0);
    double slow = 1, d;

    (void)state;
    fill_weights(trainer, 1);
    lookahead_before(trainer); /* step 0: slow = 1 */
    for (uint64_t step = 1; step <= 20; step++) {
        double fast = (double)step * 10;

        trainer->step = step;
        fill_weights(trainer, (real)fast);
        lookahead_after(trainer);
        if (step % 2 == 0) {
            d = 0.8 * pow((double)step / 20, 3);
            slow = d * slow + (1 - d) * fast;
            fast = slow;
        }
        for (int i = 0; i < 3; i++)
            near((double)*weight_of(trainer, names[i]), fast, 1e-4);
    }
    trainer->step = 19;
    fill_weights(trainer, -7);
    for (int twice = 0; twice < 2; twice++) {
        lookahead_end_epoch(trainer);
        for (int i = 0; i < 3; i++)
            near((double)*weight_of(trainer, names[i]), slow, 1e-4);
    }
    trainer_free(trainer);
    pool_free(pool);
}

static void lookahead_begins_with_its_epoch(void **state)
{
    Pool *pool = pool_of(1);
    Trainer *trainer = lookahead_trainer(pool, 3); /* from step 12 on */

    (void)state;
    for (trainer->step = 0; trainer->step < 12;) {
        fill_weights(trainer, (real)trainer->step);
        lookahead_before(trainer);
        trainer->step++;
        lookahead_after(trainer);
        lookahead_end_epoch(trainer);
        assert_true(*weight_of(trainer, "fc.bias") == (real)(trainer->step - 1));
    }
    fill_weights(trainer, 100);
    lookahead_before(trainer);
    trainer->step++;
    fill_weights(trainer, 200);
    lookahead_after(trainer); /* an odd step */
    assert_true(*weight_of(trainer, "fc.bias") == 200);
    lookahead_end_epoch(trainer);
    assert_true(*weight_of(trainer, "fc.bias") == 100);
    trainer_free(trainer);
    pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cosine_falls_to_its_final_factor),
        cmocka_unit_test(one_cycle_goes_up_and_down_in_straight_lines),
        cmocka_unit_test(steps_fall_every_so_many_epochs),
        cmocka_unit_test(linear_falls_and_constant_stays),
        cmocka_unit_test(every_schedule_warms_up_in_the_same_way),
        cmocka_unit_test(clipping_scales_the_joint_norm_to_the_limit),
        cmocka_unit_test(sgd_steps_as_its_parameters_say),
        cmocka_unit_test(groups_move_as_they_say),
        cmocka_unit_test(a_group_stops_after_its_epochs),
        cmocka_unit_test(a_groups_rate_and_decay_are_scaled),
        cmocka_unit_test(lookahead_averages_weights_and_statistics),
        cmocka_unit_test(lookahead_begins_with_its_epoch),
    };

    return cmocka_run_group_tests(tests, make_data, NULL);
}
