/*
 * trainer: it learns; stopped and resumed anywhere, it is the same run; it takes the memory it
 * announced and then no more; it says no in time, and where a loss went wrong. That it computes the
 * same bits on any number of threads, whatever the model, is in test_determinism.c.
 *
 * malloc() and its like are counted, and loader_batch() is watched (the linker wraps them, see
 * meson.build).
 */
#include "tests/unit/train_rig.h"

#include <sys/mman.h>

#include "core/train/diverged.h"
#include "tests/unit/allocations.h"

/* ---- A run that is stopped while it evaluates ---- */

static Log *evaluated;      /* whose run is to be stopped while it evaluates */
static unsigned views_seen; /* of its images, from then on */

void __real_loader_batch(const Loader *loader, Pool *pool, const BatchSpec *batch,
                         float *ret_images, uint16_t *ret_labels, float *ret_targets);
void __wrap_loader_batch(const Loader *loader, Pool *pool, const BatchSpec *batch,
                         float *ret_images, uint16_t *ret_labels, float *ret_targets);

void __wrap_loader_batch(const Loader *loader, Pool *pool, const BatchSpec *batch,
                         float *ret_images, uint16_t *ret_labels, float *ret_targets)
{
    if (evaluated != NULL && batch->split == SPLIT_VAL && evaluated->steps == evaluated->stop_at) {
        atomic_store(&evaluated->stop, evaluated->request);
        views_seen++;
    }
    __real_loader_batch(loader, pool, batch, ret_images, ret_labels, ret_targets);
}

/* ---- It learns, the same everywhere ---- */

static void the_loss_falls(void **state)
{
    TrainSpec spec = tiny();
    Log *log = calloc(1, sizeof *log);

    (void)state;
    spec.epochs = 12;
    spec.augments = 0;
    set(&spec.optimizer, optimizer_table, "lr", 0.03);
    set(&spec.model, model_table, "width", 4);
    run_to_end(&spec, 1, NULL, NULL, log);
    assert_int_equal(log->epochs, 12);
    assert_true(log->epoch[11].train.loss < 0.6 * log->epoch[0].train.loss);
    assert_true(log->epoch[11].test.accuracy > 0.8); /* chance is 1/3 */
    free(log);
}

/* ---- Stopping and going on ---- */

static void stop_and_resume(const TrainSpec *spec, uint64_t at, int where, const Log *whole,
                            const Scratch *scratch)
{
    Log *first = calloc(1, sizeof *first), *second = calloc(1, sizeof *second);
    Pool *pool = pool_of(2);
    Trainer *trainer = trainer_of(spec, pool);
    Error err = { 0 };
    char checkpoint[128];

    snprintf(checkpoint, sizeof checkpoint, "%s/drained", scratch->path);
    first->stop_at = at;
    first->where = where;
    first->request = STOP_DRAIN;
    first->checkpoint = checkpoint;
    atomic_store(&first->stop, at == 0 ? STOP_DRAIN : STOP_NO);
    evaluated = where == STOP_IN_EVALUATION ? first : NULL;
    assert_int_equal(observe(trainer, first, &err), STATUS_STOPPED);
    evaluated = NULL;
    assert_int_equal(first->drains, 1);
    assert_int_equal(first->epochs, (at >= 4) - (at == 4 && where != STOP_IN_EPOCH));
    assert_int_equal(first->steps, at);
    trainer_free(trainer);
    pool_free(pool);

    run_to_end(spec, 1, checkpoint, scratch_path(scratch, "resumed"), second);
    same_files(scratch_path(scratch, "whole"), scratch_path(scratch, "resumed"));
    assert_int_equal(first->epochs + second->epochs, whole->epochs);
    for (unsigned i = 0; i < second->epochs; i++) { /* a resumed epoch reports as a whole one */
        const EpochReport *a = &whole->epoch[first->epochs + i], *b = &second->epoch[i];

        assert_int_equal(a->step, b->step);
        assert_int_equal(a->epoch, b->epoch);
        same_score(&a->train, &b->train);
        same_score(&a->val, &b->val);
        same_score(&a->test, &b->test);
    }
    for (unsigned i = 0; i < second->steps; i++) {
        assert_int_equal(second->step[i].step, whole->step[at + i].step);
        assert_true(second->step[i].loss == whole->step[at + i].loss);
    }
    free(first);
    free(second);
}

static void a_run_stopped_anywhere_and_resumed_is_the_same_run(void **state)
{
    Scratch scratch = scratch_new();
    TrainSpec spec = tiny();
    Log *whole = calloc(1, sizeof *whole);

    (void)state;
    spec.lookahead = (LookaheadSpec){ .every = 2, .decay = 0.8, .ramp = 1, .start_epoch = 1 };
    run_to_end(&spec, 1, NULL, scratch_path(&scratch, "whole"), whole);
    assert_int_equal(whole->steps, 6); /* 54 images, batches of 16, 16, 16 and 6; 1.5 epochs */
    assert_int_equal(whole->epochs, 2);
    for (uint64_t at = 0; at <= 6; at++) /* 4 and 6: in front of an evaluation */
        stop_and_resume(&spec, at, STOP_IN_STEP, whole, &scratch);
    stop_and_resume(&spec, 4, STOP_IN_EVALUATION, whole, &scratch);
    stop_and_resume(&spec, 6, STOP_IN_EVALUATION, whole, &scratch);
    stop_and_resume(&spec, 4, STOP_IN_EPOCH, whole, &scratch); /* behind an evaluation */
    free(whole);
    scratch_remove(&scratch);
}

static void an_evaluation_stops_before_its_next_view(void **state)
{
    TrainSpec spec = tiny();
    Pool *pool = pool_of(1);
    Trainer *trainer;
    Log *log = calloc(1, sizeof *log);

    (void)state;
    spec.test_views = TEST_VIEWS_FLIP_SHIFT;
    trainer = trainer_of(&spec, pool);
    log->stop_at = 4;
    log->where = STOP_IN_EVALUATION;
    log->request = STOP_CANCEL;
    evaluated = log;
    views_seen = 0;
    assert_int_equal(observe(trainer, log, NULL), STATUS_STOPPED);
    evaluated = NULL;
    assert_int_equal(views_seen, 1);
    free(log);
    trainer_free(trainer);
    pool_free(pool);
}

static void a_cancelled_run_writes_nothing(void **state)
{
    TrainSpec spec = tiny();
    Pool *pool = pool_of(1);
    Trainer *trainer = trainer_of(&spec, pool);
    Log *log = calloc(1, sizeof *log);
    Error err = { 0 };

    (void)state;
    log->stop_at = 2;
    log->request = STOP_CANCEL;
    assert_int_equal(observe(trainer, log, &err), STATUS_STOPPED);
    assert_int_equal(log->steps, 2);
    assert_int_equal(log->drains, 0);
    free(log);
    trainer_free(trainer);
    pool_free(pool);
}

static void an_observers_failure_ends_the_run(void **state)
{
    TrainSpec spec = tiny();
    Pool *pool = pool_of(1);

    (void)state;
    for (int drain = 0; drain < 2; drain++) {
        Trainer *trainer = trainer_of(&spec, pool);
        Log *log = calloc(1, sizeof *log);
        Error err = { 0 };

        log->answer = STATUS_NO_SPACE;
        log->request = STOP_DRAIN;
        log->stop_at = drain ? 1 : 0;
        assert_int_equal(observe(trainer, log, &err), STATUS_NO_SPACE);
        assert_string_equal(error_message(&err), drain ? "no drain" : "no epoch");
        free(log);
        trainer_free(trainer);
    }
    pool_free(pool);
}

/* ---- Steps, epochs, splits ---- */

static void steps_follow_from_images_batches_and_epochs(void **state)
{
    static const struct {
        double epochs;
        uint32_t batch, train, val;
        bool drop_last;
        uint64_t per_epoch, steps, epoch_reports;
    } rows[] = {
        { 1, 16, 0, 0, false, 4, 4, 1 },   { 2, 16, 0, 10, false, 4, 8, 2 },
        { 2, 16, 0, 10, true, 3, 6, 2 },   { 0.5, 16, 0, 0, false, 4, 2, 1 },
        { 1.1, 16, 0, 0, false, 4, 5, 2 }, { 0.01, 16, 0, 0, false, 4, 1, 1 },
        { 1, 100, 0, 0, false, 1, 1, 1 },  { 1, 64, 0, 0, true, 1, 1, 1 },
        { 2.5, 5, 12, 2, false, 2, 5, 3 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        TrainSpec spec = tiny();
        TrainEstimate estimate;
        Log *log = calloc(1, sizeof *log);
        uint32_t images = (rows[i].train > 0 ? rows[i].train : TRAIN) - rows[i].val;

        spec.epochs = rows[i].epochs;
        spec.batch_size = rows[i].batch;
        spec.data.train_images = rows[i].train;
        spec.data.val_images = rows[i].val;
        spec.drop_last = rows[i].drop_last;
        assert_int_equal(trainer_estimate(&spec, &data, &estimate, NULL), STATUS_OK);
        assert_int_equal(estimate.steps_per_epoch, rows[i].per_epoch);
        assert_int_equal(estimate.steps, rows[i].steps);
        run_to_end(&spec, 1, NULL, NULL, log);
        assert_int_equal(log->steps, rows[i].steps);
        assert_int_equal(log->epochs, rows[i].epoch_reports);
        for (unsigned k = 0; k < log->steps; k++) {
            assert_int_equal(log->step[k].step, k + 1);
            assert_int_equal(log->step[k].steps, rows[i].steps);
            assert_int_equal(log->step[k].epoch, k / rows[i].per_epoch);
        }
        assert_int_equal(log->epoch[log->epochs - 1].step, rows[i].steps);
        if (rows[i].epochs >= 1)
            assert_int_equal(log->epoch[0].train.images,
                             rows[i].drop_last ? rows[i].per_epoch * rows[i].batch : images);
        free(log);
    }
}

static void an_epoch_reports_what_it_measured(void **state)
{
    TrainSpec spec = tiny();
    Log *log = calloc(1, sizeof *log);
    double loss = 0;

    (void)state;
    spec.epochs = 1;
    spec.data.test_images = 20;
    run_to_end(&spec, 1, NULL, NULL, log);
    assert_int_equal(log->epochs, 1);
    assert_int_equal(log->epoch[0].train.images, 54);
    assert_int_equal(log->epoch[0].val.images, 10);
    assert_int_equal(log->epoch[0].test.images, 20);
    for (int i = 0; i < 4; i++)
        loss += log->step[i].loss * (i < 3 ? 16 : 6);
    near(log->epoch[0].train.loss, loss / 54, 1e-12);
    assert_true(log->epoch[0].images_per_second > 0);
    spec.data.val_images = 0;
    *log = (Log){ 0 };
    run_to_end(&spec, 1, NULL, NULL, log);
    assert_int_equal(log->epoch[0].train.images, 64);
    assert_int_equal(log->epoch[0].val.images, 0);
    free(log);
}

static void each_step_reports_its_learning_rate(void **state)
{
    TrainSpec spec = tiny();
    Log *log = calloc(1, sizeof *log);

    (void)state;
    set(&spec.optimizer, optimizer_table, "lr", 0.3);
    set(&spec.schedule, schedule_table, "warmup_epochs", 0.5);
    run_to_end(&spec, 1, NULL, NULL, log);
    for (unsigned i = 0; i < log->steps; i++)
        near(log->step[i].learning_rate, 0.3 * schedule_factor(&spec.schedule, i, 6, 4), 1e-12);
    near(log->step[0].learning_rate, 0.15, 1e-12);
    free(log);
}

/* ---- Training targets ---- */

static void smoothing_changes_the_training_loss_and_nothing_else(void **state)
{
    TrainSpec spec = tiny();
    Log *log = calloc(3, sizeof *log);

    (void)state;
    spec.epochs = 0.25; /* one step, with a rate of 0 */
    set(&spec.optimizer, optimizer_table, "lr", 0);
    for (int i = 0; i < 3; i++) {
        spec.label_smoothing = i * 0.5;
        run_to_end(&spec, 1, NULL, NULL, &log[i]);
        assert_true(log[i].step[0].accuracy == log[0].step[0].accuracy);
        same_score(&log[i].epoch[0].test, &log[0].epoch[0].test);
    }
    /* The loss is linear in the targets. */
    near(log[1].step[0].loss, (log[0].step[0].loss + log[2].step[0].loss) / 2, 1e-6);
    assert_true(fabs(log[2].step[0].loss - log[0].step[0].loss) > 1e-4);
    free(log);
}

static void a_folder_is_normalised_by_the_images_trained_on(void **state)
{
    TrainSpec spec = tiny();
    Dataset folder = data;
    Pool *pool = pool_of(1);

    (void)state;
    folder.layout = "folder";
    spec.data.val_images = 9;
    spec.data.train_images = 40;
    for (int i = 0; i < 2; i++) { /* a set of another kind keeps its own constants */
        const Dataset *used = i == 0 ? &folder : &data;
        Trainer *trainer = NULL;
        float mean[DATASET_CHANNELS_MAX], std[DATASET_CHANNELS_MAX];

        assert_int_equal(trainer_new(&spec, used, pool, &trainer, NULL), STATUS_OK);
        assert_int_equal(trainer->loader.images[SPLIT_TRAIN], 31);
        dataset_statistics(used, trainer->loader.index[SPLIT_TRAIN], 31, mean, std);
        for (int c = 0; c < 3; c++) {
            assert_true(trainer->network.mean[c] == (i == 0 ? mean[c] : 0.5f));
            assert_true(trainer->network.std[c] == (i == 0 ? std[c] : 0.25f));
            assert_true(trainer->loader.mean[c] == trainer->network.mean[c]);
        }
        trainer_free(trainer);
    }
    pool_free(pool);
}

static void accuracy_in_training_counts_the_images_own_labels(void **state)
{
    TrainSpec spec = tiny();
    Pool *pool = pool_of(1);
    Trainer *trainer;
    StepReport report;
    PrefetchSpec batches;
    Prefetch *prefetch = NULL;
    Batch batch = { 0 };
    uint32_t zeros = 0;

    (void)state;
    spec.augment[0] = choice(augmentation_table, "mixup");
    set(&spec.augment[0], augmentation_table, "probability", 1);
    spec.augments = 1;
    trainer = trainer_of(&spec, pool);
    *weight_of(trainer, "fc.bias") = 1e6; /* whatever it sees, the answer is class 0 */
    batches = trainer_batches(trainer);
    assert_int_equal(prefetch_new(&batches, &prefetch, NULL), STATUS_OK);
    assert_true(prefetch_next(prefetch, &batch));
    for (uint32_t i = 0; i < batch.count; i++)
        zeros += batch.labels[i] == 0;
    assert_int_equal(trainer_train(trainer, &batch, &report, NULL), STATUS_OK);
    near(report.accuracy, (double)zeros / batch.count, 1e-12);
    prefetch_free(prefetch);
    trainer_free(trainer);
    pool_free(pool);
}

/* ---- Where a loss goes wrong ---- */

/* A run that is to diverge; ret_says: its message. Answers the steps that it reported. */
static unsigned diverge(Trainer *trainer, char ret_says[ERROR_MESSAGE_MAX])
{
    Log *log = calloc(1, sizeof *log);
    Error err = { 0 };
    unsigned steps;

    assert_int_equal(observe(trainer, log, &err), STATUS_DIVERGED);
    for (unsigned i = 0; i < log->steps; i++)
        assert_true(isfinite(log->step[i].loss));
    for (unsigned i = 0; i < log->epochs; i++)
        assert_true(isfinite(log->epoch[i].val.loss) && isfinite(log->epoch[i].test.loss));
    snprintf(ret_says, ERROR_MESSAGE_MAX, "%s", error_message(&err));
    steps = log->steps;
    free(log);
    return steps;
}

static void a_diverged_run_names_its_step_and_a_layer(void **state)
{
    TrainSpec spec = tiny();
    Pool *pool = pool_of(1);
    Trainer *trainer;
    char says[ERROR_MESSAGE_MAX], step[64];

    (void)state;
    spec.epochs = 20;
    set(&spec.optimizer, optimizer_table, "lr", 1e9);
    trainer = trainer_of(&spec, pool);
    snprintf(step, sizeof step, "not finite at step %u: ", diverge(trainer, says) + 1);
    assert_non_null(strstr(says, step));
    assert_non_null(strstr(says, "layer \""));
    trainer_free(trainer);
    pool_free(pool);
}

static void a_poisoned_weight_is_found(void **state)
{
    static const struct {
        const char *weight, *layer;
    } rows[] = { { "conv1.weight", "conv1" },
                 { "layer2.0.conv1.weight", "layer2.0.conv1" },
                 { "layer3.0.downsample.1.bias", "layer3.0.downsample.1" },
                 { "layer4.1.bn2.weight", "layer4.1.bn2" },
                 { "fc.bias", "fc" } };
    TrainSpec spec = tiny();
    Pool *pool = pool_of(2);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Trainer *trainer = trainer_of(&spec, pool);
        char says[ERROR_MESSAGE_MAX], want[ERROR_MESSAGE_MAX];

        *weight_of(trainer, rows[i].weight) = i % 2 == 0 ? (real)NAN : (real)INFINITY;
        snprintf(want, sizeof want,
                 "the loss is not finite at step 1: layer \"%s\" is the first whose output is not",
                 rows[i].layer);
        assert_int_equal(diverge(trainer, says), 0);
        assert_string_equal(says, want);
        trainer_free(trainer);
    }
    pool_free(pool);
}

/* Training does not read running statistics, evaluation does. */
static void a_poisoned_statistic_is_found_in_evaluation(void **state)
{
    TrainSpec spec = tiny();
    Pool *pool = pool_of(1);
    Trainer *trainer = trainer_of(&spec, pool);
    char says[ERROR_MESSAGE_MAX];

    (void)state;
    *weight_of(trainer, "layer3.1.bn1.running_mean") = (real)NAN;
    assert_int_equal(diverge(trainer, says), 4);
    assert_string_equal(says, "after step 4: the loss on val images is not finite: layer "
                              "\"layer3.1.bn1\" is the first whose output is not");
    trainer_free(trainer);
    pool_free(pool);
}

static void a_run_that_diverges_in_its_last_step_does_not_finish(void **state)
{
    TrainSpec spec = tiny();
    Pool *pool = pool_of(1);
    Trainer *trainer;
    char says[ERROR_MESSAGE_MAX];

    (void)state;
    spec.epochs = 0.25; /* one step, whose own loss is that of the first weights */
    set(&spec.optimizer, optimizer_table, "lr", 1e9);
    trainer = trainer_of(&spec, pool);
    assert_int_equal(diverge(trainer, says), 1);
    assert_non_null(strstr(says, "after step 1: the loss on val images is not finite"));
    trainer_free(trainer);
    pool_free(pool);
}

/* Where nothing is evaluated, nobody has seen the weights before the checkpoint is written. */
static void weights_that_are_not_finite_reach_no_checkpoint(void **state)
{
    const uint32_t images = data.test.images;
    TrainSpec spec = tiny();
    Pool *pool = pool_of(1);

    (void)state;
    spec.epochs = 1;
    spec.data.val_images = 0;
    data.test.images = 0;
    for (int drained = 0; drained < 2; drained++) {
        Trainer *trainer = trainer_of(&spec, pool);
        Log *log = calloc(1, sizeof *log);
        char want[ERROR_MESSAGE_MAX];
        Error err = { 0 };

        atomic_store(&log->stop, drained ? STOP_DRAIN : STOP_NO);
        *weight_of(trainer, "layer4.1.bn1.running_var") = (real)NAN; /* no step reads it */
        snprintf(want, sizeof want,
                 "after step %d: the weight \"layer4.1.bn1.running_var\" is not finite",
                 drained ? 0 : TRAIN / 16);
        assert_int_equal(observe(trainer, log, &err), STATUS_DIVERGED);
        assert_string_equal(error_message(&err), want);
        assert_int_equal(log->epochs + log->drains, 0);
        free(log);
        trainer_free(trainer);
    }
    data.test.images = images;
    pool_free(pool);
}

static void an_operation_without_a_name_is_found_behind_its_layer(void **state)
{
    Graph g;
    Plan plan = { 0 };
    Pool *pool = pool_of(1);
    RunContext context = { .pool = pool, .kernels = kernels_available()[0] };
    PlanSpec spec = { .images = 2, .gradient_to = NODE_NONE, .keep = { NODE_NONE } };
    char says[DIVERGED_TEXT_MAX];
    real *memory;
    NodeId at;

    (void)state;
    graph_init(&g);
    at = graph_input(&g, "image", shape2(1, 3));
    at = graph_node(&g, "scale", "first", at, NODE_NONE, GRAPH_PARAMS({ "factor", 1e5 }));
    for (int i = 0; i < 9; i++) /* the eighth power of 1e5 is too much */
        at = graph_node(&g, "scale", "", at, NODE_NONE, GRAPH_PARAMS({ "factor", 1e5 }));
    spec.output = graph_node(&g, "scale", "last", at, NODE_NONE, GRAPH_PARAMS({ "factor", 0 }));
    assert_int_equal(graph_status(&g, NULL), STATUS_OK);
    assert_int_equal(plan_init(&plan, &g, &spec, NULL), STATUS_OK);
    memory = aligned_alloc(64, arena_round(plan.bytes));
    assert_non_null(memory);
    plan_bind(&plan, memory);
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 6; i++)
            plan_tensor(&plan, 0).data[i] = k == 0 && i == 4 ? 1 : 0;
        diverged_where(&plan, &context, says);
        assert_string_equal(
            says,
            k == 0 ? "the operation scale behind layer \"first\" is the first whose output is not"
                   : "each layer's output is");
    }
    free(memory);
    plan_clear(&plan);
    graph_clear(&g);
    pool_free(pool);
}

/* ---- What is refused ---- */

static void refused(const TrainSpec *spec, Status status, const char *pointer)
{
    TrainEstimate estimate;
    Trainer *trainer = NULL;
    Pool *pool = pool_of(1);
    Error err = { 0 }, again = { 0 };

    assert_int_equal(trainer_estimate(spec, &data, &estimate, &err), status);
    assert_string_equal(err.detail[0].pointer, pointer);
    assert_int_equal(trainer_new(spec, &data, pool, &trainer, &again), status);
    assert_null(trainer);
    assert_string_equal(again.detail[0].pointer, pointer);
    pool_free(pool);
}

static void a_model_that_cannot_be_built_names_its_parameter(void **state)
{
    TrainSpec spec = tiny();

    (void)state;
    spec.model = choice(model_table, "supernet");
    snprintf(spec.model.text, sizeof spec.model.text, "skip_connect,sep_conv_4x4");
    refused(&spec, STATUS_INVALID, "/model/space");
    snprintf(spec.model.text, sizeof spec.model.text, "s3");
    set(&spec.model, model_table, "partial", 5);
    refused(&spec, STATUS_INVALID, "/model/partial");
    spec.model = choice(model_table, "genotype");
    snprintf(spec.model.text, sizeof spec.model.text, "Genotype(normal=[");
    refused(&spec, STATUS_INVALID, "/model/genotype");
    spec.model = choice(model_table, "resnet9"); /* which has no parameter for what is wrong */
    data.width++;
    refused(&spec, STATUS_BAD_SHAPE, "/model");
    data.width--;
}

static void a_batch_of_one_image_gives_a_norm_one_value(void **state)
{
    TrainSpec spec = tiny();
    TrainEstimate estimate;

    (void)state;
    spec.batch_size = 1;
    refused(&spec, STATUS_INVALID, "/batch_size");
    spec.batch_size = 53; /* the epoch's last batch has one */
    refused(&spec, STATUS_INVALID, "/batch_size");
    spec.drop_last = true;
    assert_int_equal(trainer_estimate(&spec, &data, &estimate, NULL), STATUS_OK);
    spec.batch_size = 55;
    refused(&spec, STATUS_INVALID, "/batch_size"); /* no batch at all */
}

static void more_images_than_there_are_are_refused(void **state)
{
    TrainSpec spec = tiny();

    (void)state;
    spec.data.val_images = 64;
    refused(&spec, STATUS_INVALID, "/val_images");
    spec = tiny();
    spec.data.train_images = 65;
    refused(&spec, STATUS_INVALID, "/train_images");
    spec = tiny();
    spec.data.test_images = 33;
    refused(&spec, STATUS_INVALID, "/test_images");
}

static void a_group_that_fits_no_trained_weight_is_refused(void **state)
{
    TrainSpec spec = tiny();

    (void)state;
    spec.groups = 2;
    spec.group[0] = (ParamGroup){ .match = "*.bias", .lr_scale = 1, .decay_scale = 1 };
    spec.group[1] = (ParamGroup){ .match = "layer5.*", .lr_scale = 1, .decay_scale = 1 };
    refused(&spec, STATUS_INVALID, "/groups/1/match");
    snprintf(spec.group[1].match, GROUP_MATCH_MAX, "*.running_mean");
    refused(&spec, STATUS_INVALID, "/groups/1/match");
}

static void not_restored(Trainer *trainer, const char *path, Status status, const char *says,
                         const Scratch *scratch)
{
    Error err = { 0 };

    if (trainer_restore(trainer, path, &err) != status || strstr(error_message(&err), says) == NULL)
        fail_msg("%s: %s", status_name(err.status), error_message(&err));
    assert_int_equal(trainer_step(trainer), 0);
    assert_int_equal(trainer_save(trainer, scratch_path(scratch, "after"), NULL), STATUS_OK);
    same_files(scratch_path(scratch, "before"), scratch_path(scratch, "after"));
}

static void a_refused_checkpoint_leaves_the_trainer_as_it_was(void **state)
{
    Scratch scratch = scratch_new();
    TrainSpec spec = tiny(), wider = tiny(), longer = tiny(), reseeded = tiny();
    Pool *pool = pool_of(1);
    Trainer *trainer = trainer_of(&spec, pool);
    Log *log = calloc(1, sizeof *log);
    uint8_t *bytes;
    size_t size;

    (void)state;
    assert_int_equal(trainer_save(trainer, scratch_path(&scratch, "before"), NULL), STATUS_OK);
    not_restored(trainer, scratch_path(&scratch, "missing"), STATUS_NOT_FOUND, "", &scratch);
    scratch_write(scratch_path(&scratch, "garbage"), "this is no checkpoint, but long enough");
    not_restored(trainer, scratch_path(&scratch, "garbage"), STATUS_CORRUPT, "", &scratch);
    set(&wider.model, model_table, "width", 3);
    run_to_end(&wider, 1, NULL, scratch_path(&scratch, "wider"), log);
    not_restored(trainer, scratch_path(&scratch, "wider"), STATUS_INVALID, "model.width", &scratch);
    longer.epochs = 2;
    *log = (Log){ 0 };
    run_to_end(&longer, 1, NULL, scratch_path(&scratch, "longer"), log);
    not_restored(trainer, scratch_path(&scratch, "longer"), STATUS_INVALID, "step 8", &scratch);
    reseeded.seed = spec.seed + 1;
    *log = (Log){ 0 };
    run_to_end(&reseeded, 1, NULL, scratch_path(&scratch, "reseeded"), log);
    not_restored(trainer, scratch_path(&scratch, "reseeded"), STATUS_INVALID, "seed", &scratch);
    bytes = bytes_of(scratch_path(&scratch, "longer"), &size);
    for (size_t cut = 0; cut < 16; cut++) {
        write_cut(scratch_path(&scratch, "cut"), bytes, cut * size / 16);
        not_restored(trainer, scratch_path(&scratch, "cut"), STATUS_CORRUPT, "", &scratch);
    }
    free(bytes);
    free(log);
    trainer_free(trainer);
    pool_free(pool);
    scratch_remove(&scratch);
}

/* Takes a key out of a checkpoint's metadata by giving it a name that nobody asks for. */
static void forget(const char *path, const char *key)
{
    size_t size;
    uint8_t *bytes = bytes_of(path, &size), *at = memmem(bytes, size, key, strlen(key));

    assert_non_null(at);
    *at = 'x';
    write_cut(path, bytes, size);
    free(bytes);
}

static void a_parameter_younger_than_a_checkpoint_has_its_default_there(void **state)
{
    Scratch scratch = scratch_new();
    const char *path = scratch_path(&scratch, "old");
    TrainSpec spec = tiny(), other = tiny();
    Pool *pool = pool_of(1);
    Trainer *trainer = trainer_of(&spec, pool), *another;
    Error err = { 0 };

    (void)state;
    assert_int_equal(trainer_save(trainer, path, NULL), STATUS_OK);
    forget(path, "model.reduction");
    assert_int_equal(trainer_restore(trainer, path, NULL), STATUS_OK);
    set(&other.model, model_table, "reduction", 8);
    another = trainer_of(&other, pool);
    assert_int_equal(trainer_restore(another, path, &err), STATUS_INVALID);
    assert_non_null(strstr(error_message(&err), "model.reduction"));
    forget(path, "input.height");
    assert_int_equal(trainer_restore(trainer, path, NULL), STATUS_INVALID);
    trainer_free(another);
    trainer_free(trainer);
    pool_free(pool);
    scratch_remove(&scratch);
}

/* ---- Memory ---- */

static void the_estimate_is_what_is_taken(void **state)
{
    Pool *pool = pool_of(1);
    Log *log = calloc(1, sizeof *log);

    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        static const char *const optimizers[] = { "sgd", "adam", "adamw", "sgd" };
        TrainSpec spec = tiny();
        TrainEstimate estimate;
        Trainer *trainer;
        size_t before = atomic_load(&mapped);

        set(&spec.model, model_table, "width", i + 1);
        spec.optimizer = choice(optimizer_table, optimizers[i]);
        spec.lookahead = (LookaheadSpec){ .every = i % 2 };
        spec.test_views = i % 3;
        assert_int_equal(trainer_estimate(&spec, &data, &estimate, NULL), STATUS_OK);
        assert_int_equal(atomic_load(&mapped), before);
        trainer = trainer_of(&spec, pool);
        *log = (Log){ 0 };
        assert_int_equal(observe(trainer, log, NULL), STATUS_OK);
        assert_int_equal(atomic_load(&mapped) - before, estimate.memory_bytes);
        assert_int_equal(trainer->arena.used_bytes, trainer->arena.size_bytes);
        assert_int_equal(graph_parameters(&trainer->network.graph), estimate.parameters);
        assert_true(estimate.step_flops == 3 * trainer->plan[0].forward_flops);
        trainer_free(trainer);
    }
    free(log);
    pool_free(pool);
}

/* Observer.step of the test below: remembers how much was allocated before the first step ended. */
static void count_step(void *context, const StepReport *report)
{
    if (report->step == 1)
        *(unsigned *)context = atomic_load(&allocations);
}

/* With a profile or without. */
static void assert_no_step_allocates(uint32_t profile)
{
    TrainSpec spec = tiny();
    Pool *pool = pool_of(2);
    Trainer *trainer;
    unsigned before = 0, unused;
    Observer observer = { .context = &before, .step = count_step };

    spec.profile = profile;
    spec.optimizer = choice(optimizer_table, "adam");
    spec.augment[2] = choice(augmentation_table, "cutout");
    spec.augment[3] = choice(augmentation_table, "cutmix");
    spec.augments = 4;
    spec.lookahead = (LookaheadSpec){ .every = 1, .decay = 0.5 };
    spec.test_views = TEST_VIEWS_FLIP_SHIFT;
    unused = atomic_load(&allocations);
    trainer = trainer_of(&spec, pool);
    assert_true(atomic_load(&allocations) > unused); /* counting works */
    assert_int_equal(trainer_run(trainer, &observer, NULL), STATUS_OK);
    assert_true(before > 0);
    assert_int_equal(atomic_load(&allocations), before);
    assert_int_equal(profile_is_done(trainer_profile(trainer)), profile > 0);
    trainer_free(trainer);
    pool_free(pool);
}

static void no_step_and_no_evaluation_allocates(void **state)
{
    (void)state;
    assert_no_step_allocates(0);
    assert_no_step_allocates(2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_falls),
        cmocka_unit_test(a_run_stopped_anywhere_and_resumed_is_the_same_run),
        cmocka_unit_test(an_evaluation_stops_before_its_next_view),
        cmocka_unit_test(a_cancelled_run_writes_nothing),
        cmocka_unit_test(an_observers_failure_ends_the_run),
        cmocka_unit_test(steps_follow_from_images_batches_and_epochs),
        cmocka_unit_test(an_epoch_reports_what_it_measured),
        cmocka_unit_test(each_step_reports_its_learning_rate),
        cmocka_unit_test(smoothing_changes_the_training_loss_and_nothing_else),
        cmocka_unit_test(accuracy_in_training_counts_the_images_own_labels),
        cmocka_unit_test(a_folder_is_normalised_by_the_images_trained_on),
        cmocka_unit_test(a_model_that_cannot_be_built_names_its_parameter),
        cmocka_unit_test(a_diverged_run_names_its_step_and_a_layer),
        cmocka_unit_test(a_poisoned_weight_is_found),
        cmocka_unit_test(a_poisoned_statistic_is_found_in_evaluation),
        cmocka_unit_test(a_run_that_diverges_in_its_last_step_does_not_finish),
        cmocka_unit_test(weights_that_are_not_finite_reach_no_checkpoint),
        cmocka_unit_test(an_operation_without_a_name_is_found_behind_its_layer),
        cmocka_unit_test(a_batch_of_one_image_gives_a_norm_one_value),
        cmocka_unit_test(more_images_than_there_are_are_refused),
        cmocka_unit_test(a_group_that_fits_no_trained_weight_is_refused),
        cmocka_unit_test(a_refused_checkpoint_leaves_the_trainer_as_it_was),
        cmocka_unit_test(a_parameter_younger_than_a_checkpoint_has_its_default_there),
        cmocka_unit_test(the_estimate_is_what_is_taken),
        cmocka_unit_test(no_step_and_no_evaluation_allocates),
    };

    return cmocka_run_group_tests(tests, make_data, NULL);
}
