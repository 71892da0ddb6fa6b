/*
 * train_rig -- what the tests of training share: a small data set, a job, what it reports, and the
 * comparison of what it writes.
 */
#pragma once

#include "tests/unit/test.h"

#include <math.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/data/augment.h"
#include "core/train/trainer_internal.h"
#include "tests/unit/scratch.h"

/* The images are 8x8, so that ResNet-18's last maps are single pixels, unless rig_data() is told
 * otherwise. */
enum { SIDE = 8, SIDE_MAX = 32, TRAIN = 64, TEST = 32, CLASSES = 3 };

static uint8_t rig_train_pixels[TRAIN * SIDE_MAX * SIDE_MAX * 3],
    rig_test_pixels[TEST * SIDE_MAX * SIDE_MAX * 3];
static uint16_t rig_train_labels[TRAIN], rig_test_labels[TEST];
static const char *const rig_classes[] = { "red", "green", "blue", "other" };

static Dataset data = { .name = "dots",
                        .layout = "shapes",
                        .channels = 3,
                        .classes = CLASSES,
                        .class_names = rig_classes,
                        .mean = { 0.5f, 0.5f, 0.5f },
                        .std = { 0.25f, 0.25f, 0.25f },
                        .train = { TRAIN, rig_train_pixels, rig_train_labels, NULL },
                        .test = { TEST, rig_test_pixels, rig_test_labels, NULL } };

/* Noise, and more of the class's own colour. */
static inline void rig_draw(uint32_t set, uint32_t images, uint32_t side, uint8_t *pixels,
                            uint16_t *labels)
{
    Rng rng = rng_at(4, RNG_TEST, set, 0);
    uint32_t bytes = side * side * 3;

    for (uint32_t i = 0; i < images; i++) {
        labels[i] = (uint16_t)rng_below(&rng, CLASSES);
        for (uint32_t k = 0; k < bytes; k++)
            pixels[i * bytes + k] = (uint8_t)(rng_below(&rng, 200) + (k % 3 == labels[i] ? 50 : 0));
    }
}

/* `data`, of images of this side. */
static inline void rig_data(uint32_t side)
{
    data.height = data.width = side;
    rig_draw(0, TRAIN, side, rig_train_pixels, rig_train_labels);
    rig_draw(1, TEST, side, rig_test_pixels, rig_test_labels);
}

static inline int make_data(void **state)
{
    (void)state;
    rig_data(SIDE);
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

static inline Choice choice(const void *table, const char *name)
{
    int row = table_find(table, name);
    Choice c;

    assert_true(row >= 0);
    choice_init(table, (uint32_t)row, &c);
    return c;
}

static inline void set(Choice *c, const void *table, const char *param, double value)
{
    c->value[value_index(table, c->row, param)] = value;
}

static inline TrainSpec tiny(void)
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

static inline void log_step(void *context, const StepReport *report)
{
    Log *log = context;

    assert_true(log->steps < REPORTS_MAX);
    log->step[log->steps++] = *report;
    if (report->step == log->stop_at && log->where == STOP_IN_STEP)
        atomic_store(&log->stop, log->request);
}

static inline Status log_epoch(void *context, Trainer *trainer, const EpochReport *report,
                               Error *err)
{
    Log *log = context;

    assert_int_equal(trainer_step(trainer), report->step);
    log->epoch[log->epochs++] = *report;
    if (report->step == log->stop_at && log->where == STOP_IN_EPOCH)
        atomic_store(&log->stop, log->request);
    return log->answer == STATUS_OK ? STATUS_OK : error_set(err, log->answer, "no epoch");
}

static inline Status log_drain(void *context, Trainer *trainer, uint64_t step, Error *err)
{
    Log *log = context;

    assert_int_equal(trainer_step(trainer), step);
    log->drains++;
    if (log->answer != STATUS_OK)
        return error_set(err, log->answer, "no drain");
    return log->checkpoint == NULL ? STATUS_OK : trainer_save(trainer, log->checkpoint, err);
}

static inline Status observe(Trainer *trainer, Log *log, Error *err)
{
    Observer observer = {
        .context = log, .stop = &log->stop, .step = log_step, .epoch = log_epoch, .drain = log_drain
    };

    return trainer_run(trainer, &observer, err);
}

static inline Trainer *trainer_of(const TrainSpec *spec, Pool *pool)
{
    Trainer *trainer = NULL;
    Error err = { 0 };

    if (trainer_new(spec, &data, pool, &trainer, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    return trainer;
}

static inline Pool *pool_of(unsigned threads)
{
    Pool *pool = NULL;

    assert_int_equal(pool_new(threads, &pool, NULL), STATUS_OK);
    return pool;
}

/* Runs `spec` to its end (from `resume`, if any) and writes the last state to `path` (if any). */
static inline void run_to_end(const TrainSpec *spec, unsigned threads, const char *resume,
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

static inline void near(double got, double want, double slack)
{
    if (!(fabs(got - want) <= slack))
        fail_msg("%.17g is not %.17g", got, want);
}

static inline uint8_t *bytes_of(const char *path, size_t *ret_size)
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

static inline void write_cut(const char *path, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline bool equal_files(const char *a, const char *b)
{
    size_t a_size, b_size;
    uint8_t *x = bytes_of(a, &a_size), *y = bytes_of(b, &b_size);
    bool equal = a_size == b_size && memcmp(x, y, a_size) == 0;

    free(x);
    free(y);
    return equal;
}

static inline void same_files(const char *a, const char *b)
{
    assert_true(equal_files(a, b));
}

static inline void same_score(const Score *a, const Score *b)
{
    assert_int_equal(a->images, b->images);
    assert_true(a->loss == b->loss && a->accuracy == b->accuracy);
}

/* The numbers of a weight; fails where there is none. */
static inline real *weight_of(Trainer *trainer, const char *name)
{
    const Graph *g = &trainer->network.graph;

    for (uint32_t i = 0; i < g->weights; i++)
        if (strcmp(g->weight[i].name, name) == 0)
            return trainer->network.weights + g->weight[i].offset;
    fail_msg("there is no weight %s", name);
    return NULL;
}
