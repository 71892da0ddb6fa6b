/*
 * trainer: it learns; it computes the same bits on any number of threads, stopped and resumed
 * anywhere; it takes the memory it announced and then no more; it says no in time.
 *
 * The data set is made here: 8x8 images, so that ResNet-18's last maps are single pixels. malloc()
 * and its like are counted, and loader_batch() is watched (the linker wraps them, see
 * meson.build).
 */
#include "tests/unit/test.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/rng.h"
#include "core/data/augment.h"
#include "core/train/trainer_internal.h"
#include "tests/unit/scratch.h"

enum { SIDE = 8, TRAIN = 64, TEST = 32, CLASSES = 3, IMAGE_BYTES = SIDE * SIDE * 3 };

/* ---- Counted allocations ---- */

static atomic_uint allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_realloc(old, size);
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    atomic_fetch_add(&allocations, 1);
    return __real_mmap(at, size, protection, flags, fd, offset);
}

/* ---- A data set ---- */

static uint8_t train_pixels[TRAIN * IMAGE_BYTES], test_pixels[TEST * IMAGE_BYTES];
static uint16_t train_labels[TRAIN], test_labels[TEST];
static const char *const class_names[] = { "red", "green", "blue", "other" };

static Dataset data = { .name = "dots",
                        .layout = "shapes",
                        .height = SIDE,
                        .width = SIDE,
                        .channels = 3,
                        .classes = CLASSES,
                        .class_names = class_names,
                        .mean = { 0.5f, 0.5f, 0.5f },
                        .std = { 0.25f, 0.25f, 0.25f },
                        .train = { TRAIN, train_pixels, train_labels, NULL },
                        .test = { TEST, test_pixels, test_labels, NULL } };

/* Noise, and more of the class's own colour. */
static void draw_images(uint32_t set, uint32_t images, uint8_t *pixels, uint16_t *labels)
{
    Rng rng = rng_at(4, RNG_TEST, set, 0);

    for (uint32_t i = 0; i < images; i++) {
        labels[i] = (uint16_t)rng_below(&rng, CLASSES);
        for (uint32_t k = 0; k < IMAGE_BYTES; k++)
            pixels[i * IMAGE_BYTES + k] =
                (uint8_t)(rng_below(&rng, 200) + (k % 3 == labels[i] ? 50 : 0));
    }
}

static int make_data(void **state)
{
    (void)state;
    draw_images(0, TRAIN, train_pixels, train_labels);
    draw_images(1, TEST, test_pixels, test_labels);
    return 0;
}

/* ---- A job and what it reports ---- */

static uint32_t value_index(const void *table, uint32_t row, const char *param)
{
    const Described *d = ((const Described *const *)table)[row];
    int i = param_find(d, param);

    assert_true(i >= 0);
    return (uint32_t)i;
}

static Choice choice(const void *table, const char *name)
{
    int row = table_find(table, name);
    Choice c = { .row = (uint32_t)row };

    assert_true(row >= 0);
    param_defaults(((const Described *const *)table)[row], c.value);
    return c;
}

static void set(Choice *c, const void *table, const char *param, double value)
{
    c->value[value_index(table, c->row, param)] = value;
}

static TrainSpec tiny(void)
{
    TrainSpec spec = { .model = choice(model_table, "resnet18"),
                       .optimizer = choice(optimizer_table, "sgd"),
                       .schedule = choice(schedule_table, "cosine"),
                       .augment = { choice(augmentation_table, "crop"),
                                    choice(augmentation_table, "flip") },
                       .augments = 2,
                       .data = { .val_images = 10, .split_seed = 1 },
                       .epochs = 1.5,
                       .batch_size = 16,
                       .seed = 9 };

    set(&spec.model, model_table, "width", 2);
    return spec;
}

enum { REPORTS_MAX = 512 };

/* Everything one run reports, and when it is to be stopped. */
typedef struct Log {
    StepReport step[REPORTS_MAX];
    EpochReport epoch[REPORTS_MAX];
    unsigned steps, epochs, drains;
    atomic_int stop;
    uint64_t stop_at; /* after this step; 0: never */
    enum { STOP_IN_STEP, STOP_IN_EVALUATION, STOP_IN_EPOCH } where;
    StopRequest request;
    const char *checkpoint; /* written by drain */
    Status answer;          /* of epoch and drain */
} Log;

static Log *evaluated; /* whose run is to be stopped while it evaluates */

void __real_loader_batch(const Loader *loader, Pool *pool, const BatchSpec *batch,
                         float *ret_images, uint16_t *ret_labels);
void __wrap_loader_batch(const Loader *loader, Pool *pool, const BatchSpec *batch,
                         float *ret_images, uint16_t *ret_labels);

void __wrap_loader_batch(const Loader *loader, Pool *pool, const BatchSpec *batch,
                         float *ret_images, uint16_t *ret_labels)
{
    if (evaluated != NULL && batch->split == SPLIT_VAL && evaluated->steps == evaluated->stop_at)
        atomic_store(&evaluated->stop, evaluated->request);
    __real_loader_batch(loader, pool, batch, ret_images, ret_labels);
}

static void log_step(void *context, const StepReport *report)
{
    Log *log = context;

    assert_true(log->steps < REPORTS_MAX);
    log->step[log->steps++] = *report;
    if (report->step == log->stop_at && log->where == STOP_IN_STEP)
        atomic_store(&log->stop, log->request);
}

static Status log_epoch(void *context, Trainer *trainer, const EpochReport *report, Error *err)
{
    Log *log = context;

    assert_int_equal(trainer_step(trainer), report->step);
    log->epoch[log->epochs++] = *report;
    if (report->step == log->stop_at && log->where == STOP_IN_EPOCH)
        atomic_store(&log->stop, log->request);
    return log->answer == STATUS_OK ? STATUS_OK : error_set(err, log->answer, "no epoch");
}

static Status log_drain(void *context, Trainer *trainer, uint64_t step, Error *err)
{
    Log *log = context;

    assert_int_equal(trainer_step(trainer), step);
    log->drains++;
    if (log->answer != STATUS_OK)
        return error_set(err, log->answer, "no drain");
    return log->checkpoint == NULL ? STATUS_OK : trainer_save(trainer, log->checkpoint, err);
}

static Status observe(Trainer *trainer, Log *log, Error *err)
{
    Observer observer = {
        .context = log, .stop = &log->stop, .step = log_step, .epoch = log_epoch, .drain = log_drain
    };

    return trainer_run(trainer, &observer, err);
}

static Trainer *trainer_of(const TrainSpec *spec, Pool *pool)
{
    Trainer *trainer = NULL;
    Error err = { 0 };

    if (trainer_new(spec, &data, pool, &trainer, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    return trainer;
}

static Pool *pool_of(unsigned threads)
{
    Pool *pool = NULL;

    assert_int_equal(pool_new(threads, &pool, NULL), STATUS_OK);
    return pool;
}

/* Runs `spec` to its end (from `resume`, if any) and writes the last state to `path` (if any). */
static void run_to_end(const TrainSpec *spec, unsigned threads, const char *resume,
                       const char *path, Log *log)
{
    Pool *pool = pool_of(threads);
    Trainer *trainer = trainer_of(spec, pool);
    Error err = { 0 };

    if (resume != NULL)
        assert_int_equal(trainer_restore(trainer, resume, NULL), STATUS_OK);
    if (observe(trainer, log, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    if (path != NULL)
        assert_int_equal(trainer_save(trainer, path, NULL), STATUS_OK);
    trainer_free(trainer);
    pool_free(pool);
}

static void near(double got, double want, double slack)
{
    if (!(fabs(got - want) <= slack))
        fail_msg("%.17g is not %.17g", got, want);
}

static uint8_t *bytes_of(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes;

    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *ret_size = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(*ret_size);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *ret_size, file), *ret_size);
    fclose(file);
    return bytes;
}

static void same_files(const char *a, const char *b)
{
    size_t a_size, b_size;
    uint8_t *x = bytes_of(a, &a_size), *y = bytes_of(b, &b_size);

    assert_int_equal(a_size, b_size);
    assert_memory_equal(x, y, a_size);
    free(x);
    free(y);
}

static void same_score(const Score *a, const Score *b)
{
    assert_int_equal(a->images, b->images);
    assert_true(a->loss == b->loss && a->accuracy == b->accuracy);
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

static void bits_do_not_depend_on_the_number_of_threads(void **state)
{
    Scratch scratch = scratch_new();
    TrainSpec spec = tiny();
    Log *one = calloc(1, sizeof *one), *many = calloc(1, sizeof *many);

    (void)state;
    set(&spec.optimizer, optimizer_table, "clip", 1);
    run_to_end(&spec, 1, NULL, scratch_path(&scratch, "one"), one);
    for (unsigned threads = 2; threads <= 3; threads++) {
        *many = (Log){ 0 };
        run_to_end(&spec, threads, NULL, scratch_path(&scratch, "many"), many);
        same_files(scratch_path(&scratch, "one"), scratch_path(&scratch, "many"));
        for (unsigned i = 0; i < one->epochs; i++)
            same_score(&one->epoch[i].test, &many->epoch[i].test);
    }
    spec.seed++;
    *many = (Log){ 0 };
    run_to_end(&spec, 1, NULL, scratch_path(&scratch, "other"), many);
    assert_true(many->step[0].loss != one->step[0].loss); /* another seed is another run */
    free(one);
    free(many);
    scratch_remove(&scratch);
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

/* ---- Schedule and optimiser ---- */

static void the_rate_warms_up_and_follows_a_cosine(void **state)
{
    const Schedule *s = schedule_table[table_find(schedule_table, "cosine")];
    const double none[1] = { 0 }, two[1] = { 2 }, pi = 3.14159265358979323846;

    (void)state;
    for (uint64_t t = 0; t < 100; t++)
        near(s->factor(none, t, 100, 10), 0.5 * (1 + cos(pi * (double)t / 100)), 1e-15);
    for (uint64_t t = 0; t < 20; t++)
        near(s->factor(two, t, 100, 10), (double)(t + 1) / 20, 1e-15);
    near(s->factor(two, 20, 100, 10), 1, 1e-15);
    near(s->factor(two, 60, 100, 10), 0.5, 1e-15);
    for (uint64_t t = 0; t < 10; t++) /* a run that ends while it warms up */
        assert_true(s->factor(two, t, 10, 10) <= 0.5 && s->factor(two, t, 10, 10) > 0);
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
        near(log->step[i].learning_rate,
             0.3 * schedule_table[0]->factor(spec.schedule.value, i, 6, 4), 1e-12);
    near(log->step[0].learning_rate, 0.15, 1e-12);
    free(log);
}

static void clipping_scales_the_joint_norm_to_the_limit(void **state)
{
    real g[20], kept[20];
    const WeightChunk chunks[] = { { 0, 7 }, { 16, 3 } }; /* what lies between is no gradient */
    double sums[2], norm = 0;
    Pool *pool = pool_of(2);
    OptimizerStep step = { .pool = pool,
                           .kernels = kernels_available()[0],
                           .chunk = chunks,
                           .chunks = 2,
                           .chunk_sum = sums,
                           .gradients = g };

    (void)state;
    for (int i = 0; i < 20; i++)
        kept[i] = g[i] = (real)(i - 9);
    optimizer_clip(&step, 0);
    assert_memory_equal(g, kept, sizeof g);
    for (int i = 0; i < 20; i++)
        norm += i < 7 || (i >= 16 && i < 19) ? (double)(kept[i] * kept[i]) : 0;
    norm = sqrt(norm);
    optimizer_clip(&step, norm + 0.001);
    assert_memory_equal(g, kept, sizeof g);
    optimizer_clip(&step, 2);
    for (int i = 0; i < 20; i++)
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
            const WeightChunk chunk = { 0, 1 };
            OptimizerStep call = { .pool = pool,
                                   .kernels = kernels_available()[0],
                                   .chunk = &chunk,
                                   .chunks = 1,
                                   .chunk_sum = &sum,
                                   .learning_rate = 0.125,
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

static void a_diverged_run_names_its_step(void **state)
{
    TrainSpec spec = tiny();
    Pool *pool = pool_of(1);
    Trainer *trainer;
    Log *log = calloc(1, sizeof *log);
    Error err = { 0 };
    char step[32];

    (void)state;
    spec.epochs = 20;
    set(&spec.optimizer, optimizer_table, "lr", 1e9);
    trainer = trainer_of(&spec, pool);
    assert_int_equal(observe(trainer, log, &err), STATUS_DIVERGED);
    snprintf(step, sizeof step, "step %u", log->steps + 1);
    assert_non_null(strstr(error_message(&err), step));
    for (unsigned i = 0; i < log->steps; i++)
        assert_true(isfinite(log->step[i].loss));
    free(log);
    trainer_free(trainer);
    pool_free(pool);
}

static void a_run_that_diverges_in_its_last_step_does_not_finish(void **state)
{
    TrainSpec spec = tiny();
    Pool *pool = pool_of(1);
    Trainer *trainer;
    Log *log = calloc(1, sizeof *log);
    Error err = { 0 };

    (void)state;
    spec.epochs = 0.25; /* one step, whose own loss is that of the first weights */
    set(&spec.optimizer, optimizer_table, "lr", 1e9);
    trainer = trainer_of(&spec, pool);
    assert_int_equal(observe(trainer, log, &err), STATUS_DIVERGED);
    assert_non_null(strstr(error_message(&err), "step 1"));
    assert_int_equal(log->epochs, 0);
    free(log);
    trainer_free(trainer);
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

static void write_cut(const char *path, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
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

static void a_tensor_that_the_model_has_not_is_named(void **state)
{
    Scratch scratch = scratch_new();
    TrainSpec spec = tiny();
    Pool *pool = pool_of(1);
    Trainer *trainer = trainer_of(&spec, pool);
    Error err = { 0 };
    Score score;
    uint8_t *bytes, *name;
    size_t size;

    (void)state;
    assert_int_equal(trainer_save(trainer, scratch_path(&scratch, "own"), NULL), STATUS_OK);
    bytes = bytes_of(scratch_path(&scratch, "own"), &size);
    name = memmem(bytes, size, "\"optimizer.", 11);
    assert_non_null(name);
    memcpy(name, "\"optimises.", 11);
    write_cut(scratch_path(&scratch, "strange"), bytes, size);
    assert_int_equal(evaluate_checkpoint(scratch_path(&scratch, "strange"), &data, &spec.data,
                                         SPLIT_TEST, 16, pool, NULL, &score, &err),
                     STATUS_CORRUPT);
    assert_non_null(strstr(error_message(&err), "optimises."));
    free(bytes);
    trainer_free(trainer);
    pool_free(pool);
    scratch_remove(&scratch);
}

/* ---- Memory ---- */

static void the_estimate_is_what_is_taken(void **state)
{
    Pool *pool = pool_of(1);

    (void)state;
    for (uint32_t width = 1; width <= 4; width++) {
        TrainSpec spec = tiny();
        TrainEstimate estimate;
        Trainer *trainer;

        set(&spec.model, model_table, "width", width);
        assert_int_equal(trainer_estimate(&spec, &data, &estimate, NULL), STATUS_OK);
        trainer = trainer_of(&spec, pool);
        assert_int_equal(trainer->arena.used_bytes + trainer->network.arena.used_bytes,
                         estimate.memory_bytes);
        assert_int_equal(trainer->arena.size_bytes + trainer->network.arena.size_bytes,
                         estimate.memory_bytes);
        assert_int_equal(graph_parameters(&trainer->network.graph), estimate.parameters);
        assert_true(estimate.step_flops == 3 * trainer->plan[0].forward_flops);
        trainer_free(trainer);
    }
    pool_free(pool);
}

static void no_step_and_no_evaluation_allocates(void **state)
{
    TrainSpec spec = tiny();
    Pool *pool = pool_of(2);
    Trainer *trainer;
    Log *log = calloc(1, sizeof *log);
    unsigned before = atomic_load(&allocations);
    Status s;

    (void)state;
    trainer = trainer_of(&spec, pool);
    assert_true(atomic_load(&allocations) > before); /* counting works */
    before = atomic_load(&allocations);
    s = observe(trainer, log, NULL);
    assert_int_equal(atomic_load(&allocations), before);
    assert_int_equal(s, STATUS_OK);
    free(log);
    trainer_free(trainer);
    pool_free(pool);
}

/* ---- Evaluation of what was stored ---- */

static void a_stored_network_scores_what_its_trainer_reported(void **state)
{
    static const uint32_t batches[] = { EVALUATOR_BATCH, 7, 1, 1000 };
    Scratch scratch = scratch_new();
    TrainSpec spec = tiny();
    Log *log = calloc(1, sizeof *log);
    Pool *pool = pool_of(2);
    const Score *want[SPLIT_COUNT];

    (void)state;
    run_to_end(&spec, 1, NULL, scratch_path(&scratch, "net"), log);
    want[SPLIT_VAL] = &log->epoch[log->epochs - 1].val;
    want[SPLIT_TEST] = &log->epoch[log->epochs - 1].test;
    for (Split split = SPLIT_VAL; split <= SPLIT_TEST; split++)
        for (size_t i = 0; i < 4; i++) {
            Score got;

            assert_int_equal(evaluate_checkpoint(scratch_path(&scratch, "net"), &data, &spec.data,
                                                 split, batches[i], pool, NULL, &got, NULL),
                             STATUS_OK);
            assert_int_equal(got.images, want[split]->images);
            assert_true(got.accuracy == want[split]->accuracy);
            near(got.loss, want[split]->loss, 1e-5);
        }
    free(log);
    pool_free(pool);
    scratch_remove(&scratch);
}

static void a_network_for_other_data_is_refused_naming_what_differs(void **state)
{
    Scratch scratch = scratch_new();
    TrainSpec spec = tiny();
    Log *log = calloc(1, sizeof *log);
    Pool *pool = pool_of(1);
    Dataset other[4] = { data, data, data, data };
    static const char *const says[] = { "3 classes", "3 channels", "8 height", "8 width" };
    atomic_int stop = STOP_CANCEL;
    Score got = { .images = 77 };

    (void)state;
    run_to_end(&spec, 1, NULL, scratch_path(&scratch, "net"), log);
    other[0].classes = 4;
    other[1].channels = 1;
    other[2].height = 4;
    other[3].width = 4;
    for (int i = 0; i < 4; i++) {
        Error err = { 0 };

        assert_int_equal(evaluate_checkpoint(scratch_path(&scratch, "net"), &other[i], &spec.data,
                                             SPLIT_TEST, 8, pool, NULL, &got, &err),
                         STATUS_INVALID);
        assert_non_null(strstr(error_message(&err), says[i]));
        assert_string_equal(err.detail[0].pointer, "/checkpoint");
    }
    assert_int_equal(evaluate_checkpoint(scratch_path(&scratch, "net"), &data, &spec.data,
                                         SPLIT_TEST, 8, pool, &stop, &got, NULL),
                     STATUS_STOPPED);
    assert_int_equal(got.images, 77);
    free(log);
    pool_free(pool);
    scratch_remove(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_falls),
        cmocka_unit_test(bits_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(a_run_stopped_anywhere_and_resumed_is_the_same_run),
        cmocka_unit_test(a_cancelled_run_writes_nothing),
        cmocka_unit_test(an_observers_failure_ends_the_run),
        cmocka_unit_test(steps_follow_from_images_batches_and_epochs),
        cmocka_unit_test(an_epoch_reports_what_it_measured),
        cmocka_unit_test(the_rate_warms_up_and_follows_a_cosine),
        cmocka_unit_test(each_step_reports_its_learning_rate),
        cmocka_unit_test(clipping_scales_the_joint_norm_to_the_limit),
        cmocka_unit_test(sgd_steps_as_its_parameters_say),
        cmocka_unit_test(a_diverged_run_names_its_step),
        cmocka_unit_test(a_run_that_diverges_in_its_last_step_does_not_finish),
        cmocka_unit_test(a_batch_of_one_image_gives_a_norm_one_value),
        cmocka_unit_test(more_images_than_there_are_are_refused),
        cmocka_unit_test(a_refused_checkpoint_leaves_the_trainer_as_it_was),
        cmocka_unit_test(a_tensor_that_the_model_has_not_is_named),
        cmocka_unit_test(the_estimate_is_what_is_taken),
        cmocka_unit_test(no_step_and_no_evaluation_allocates),
        cmocka_unit_test(a_stored_network_scores_what_its_trainer_reported),
        cmocka_unit_test(a_network_for_other_data_is_refused_naming_what_differs),
    };

    return cmocka_run_group_tests(tests, make_data, NULL);
}
