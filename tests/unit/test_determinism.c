/*
 * determinism: every model trains to the same bits on 1, 2 and 3 threads, and stopped in the middle
 * of an epoch and resumed; with everything switched on that draws, mixes or averages. What is
 * frozen stays where it was.
 *
 * A model without a row below fails the test.
 */
#include "tests/unit/train_rig.h"

enum { STEPS = 4, STOP_AFTER = 2 }; /* 3 steps an epoch, of 18, 18 and 4 images */

/* The smallest that still has every part. */
static const struct {
    const char *model;
    uint32_t side;
    const char *text; /* of the model's PARAM_TEXT; NULL: its default */
    struct {
        const char *name;
        double value;
    } set[4];
} rows[] = {
    { "resnet18", 8, NULL, { { "width", 3 } } },
    { "resnet18", 8, NULL, { { "width", 4 }, { "attention", 1 } } },
    { "resnet18", 8, NULL, { { "width", 4 }, { "attention", 2 }, { "activation", 1 } } },
    { "resnet9", 32, NULL, { { "width", 2 } } },
    { "airbench94", 32, NULL, { { "width", 2 } } },
    { "shake_shake", 32, NULL, { { "width", 2 } } },
    { "shake_shake", 32, NULL, { { "width", 2 }, { "backward", 1 } } },
    { "genotype", 32, NULL, { { "channels", 2 }, { "cells", 3 }, { "drop_path", 0.5 } } },
    { "supernet", 8, "s4", { { "channels", 2 }, { "cells", 3 } } },
    { "supernet", 8, "s3", { { "channels", 4 }, { "cells", 3 }, { "partial", 2 } } },
};

enum { ROWS = sizeof rows / sizeof *rows };

static void every_model_has_a_row(void **state)
{
    (void)state;
    for (size_t m = 0; model_table[m] != NULL; m++) {
        bool there = false;

        for (size_t i = 0; i < ROWS; i++)
            there = there || strcmp(rows[i].model, model_table[m]->described.name) == 0;
        if (!there)
            fail_msg("no row for the model %s: add a tiny one", model_table[m]->described.name);
    }
}

static TrainSpec everything(size_t row)
{
    static const char *const augments[] = { "crop", "flip", "cutout", "mixup", "cutmix" };
    TrainSpec spec = tiny();

    spec.model = choice(model_table, rows[row].model);
    if (rows[row].text != NULL)
        snprintf(spec.model.text, sizeof spec.model.text, "%s", rows[row].text);
    for (int k = 0; k < 4 && rows[row].set[k].name != NULL; k++)
        set(&spec.model, model_table, rows[row].set[k].name, rows[row].set[k].value);
    /* Odd rows with Adam, even ones with SGD. */
    spec.optimizer = choice(optimizer_table, row % 2 == 0 ? "sgd" : "adam");
    set(&spec.optimizer, optimizer_table, "lr", row % 2 == 0 ? 0.05 : 0.002);
    set(&spec.optimizer, optimizer_table, "clip", 1);
    for (spec.augments = 0; spec.augments < 5; spec.augments++)
        spec.augment[spec.augments] = choice(augmentation_table, augments[spec.augments]);
    set(&spec.augment[3], augmentation_table, "probability", 0.5);
    spec.groups = 1;
    spec.group[0] = (ParamGroup){ "*bias", 2, 0, 1 };
    spec.lookahead = (LookaheadSpec){ .every = 2, .decay = 0.7, .ramp = 1 };
    spec.label_smoothing = 0.1;
    spec.test_views = TEST_VIEWS_FLIP_SHIFT;
    spec.data = (DataSpec){ .train_images = 42, .test_images = 2, .val_images = 2 };
    spec.batch_size = 18;
    spec.epochs = STEPS / 3.0;
    return spec;
}

static void stop_at_step(void *context, const StepReport *report)
{
    if (report->step == STOP_AFTER)
        atomic_store((atomic_int *)context, STOP_DRAIN);
}

/* Two threads; writes a checkpoint in mid-epoch, and goes on from there in another trainer. */
static void train_in_two_parts(const TrainSpec *spec, const Scratch *scratch)
{
    atomic_int stop = STOP_NO;
    Observer observer = { .context = &stop, .stop = &stop, .step = stop_at_step };
    Pool *pool = pool_of(2);
    Trainer *trainer = trainer_of(spec, pool);
    Log *log = calloc(1, sizeof *log);
    char checkpoint[128];

    snprintf(checkpoint, sizeof checkpoint, "%s/part", scratch->path);
    assert_int_equal(trainer_run(trainer, &observer, NULL), STATUS_STOPPED);
    assert_int_equal(trainer_step(trainer), STOP_AFTER);
    assert_int_equal(trainer_save(trainer, checkpoint, NULL), STATUS_OK);
    trainer_free(trainer);
    pool_free(pool);
    run_to_end(spec, 2, checkpoint, scratch_path(scratch, "parts"), log);
    assert_int_equal(log->steps, STEPS - STOP_AFTER);
    free(log);
}

static void train_row(size_t row, const Scratch *scratch, Log *one, Log *three)
{
    TrainSpec spec = everything(row);

    rig_data(rows[row].side);
    *one = *three = (Log){ 0 };
    run_to_end(&spec, 1, NULL, scratch_path(scratch, "one"), one);
    run_to_end(&spec, 3, NULL, scratch_path(scratch, "three"), three);
    assert_int_equal(one->steps, STEPS);
    if (!equal_files(scratch_path(scratch, "one"), scratch_path(scratch, "three")))
        fail_msg("row %zu, %s: three threads train otherwise than one", row, rows[row].model);
    for (unsigned i = 0; i < one->epochs; i++) {
        same_score(&one->epoch[i].val, &three->epoch[i].val);
        same_score(&one->epoch[i].test, &three->epoch[i].test);
    }
    if (RACES_ARE_SOUGHT) /* there are none to be found in doing the same again */
        return;
    train_in_two_parts(&spec, scratch);
    if (!equal_files(scratch_path(scratch, "one"), scratch_path(scratch, "parts")))
        fail_msg("row %zu, %s: in two parts it trains otherwise", row, rows[row].model);
}

static void every_model_trains_to_the_same_bits(void **state)
{
    Scratch scratch = scratch_new();
    Log *one = calloc(1, sizeof *one), *three = calloc(1, sizeof *three);

    (void)state;
    for (size_t row = 0; row < ROWS; row++)
        train_row(row, &scratch, one, three);
    free(one);
    free(three);
    scratch_remove(&scratch);
}

static void another_seed_is_another_run(void **state)
{
    TrainSpec spec = everything(0);
    Log *one = calloc(1, sizeof *one), *other = calloc(1, sizeof *other);

    (void)state;
    rig_data(rows[0].side);
    run_to_end(&spec, 1, NULL, NULL, one);
    spec.seed++;
    run_to_end(&spec, 1, NULL, NULL, other);
    assert_true(one->step[0].loss != other->step[0].loss);
    free(one);
    free(other);
}

static void training_moves_what_is_trained_and_nothing_else(void **state)
{
    Pool *pool = pool_of(1);
    unsigned kept = 0;

    (void)state;
    for (size_t row = 0; row < ROWS; row++) {
        TrainSpec spec = everything(row);
        Trainer *before, *after;
        const Graph *g;
        unsigned moved = 0;

        spec.epochs = 0.1; /* one step */
        spec.lookahead.every = 0;
        rig_data(rows[row].side);
        before = trainer_of(&spec, pool);
        after = trainer_of(&spec, pool);
        g = &before->network.graph;
        assert_int_equal(trainer_run(after, &(Observer){ 0 }, NULL), STATUS_OK);
        for (uint32_t i = 0; i < g->weights; i++) {
            const GraphWeight *w = &g->weight[i];
            bool same = memcmp(before->network.weights + w->offset,
                               after->network.weights + w->offset, w->count * sizeof(real)) == 0;

            if (w->spec.role == WEIGHT_FROZEN || w->spec.role == WEIGHT_ARCHITECTURE) {
                if (!same)
                    fail_msg("%s: %s has moved", rows[row].model, w->name);
                kept++;
            }
            moved += w->spec.role == WEIGHT_TRAINED && !same;
        }
        assert_true(moved > 0);
        trainer_free(before);
        trainer_free(after);
    }
    assert_true(kept > 0);
    pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model_has_a_row),
        cmocka_unit_test(every_model_trains_to_the_same_bits),
        ALONE(another_seed_is_another_run),
        ALONE(training_moves_what_is_trained_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, make_data, NULL);
}
