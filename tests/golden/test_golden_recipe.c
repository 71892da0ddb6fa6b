/*
 * A whole recipe against PyTorch: sixteen steps of airbench94, small, by the trainer itself on
 * batches made here. Label smoothing, groups, schedule and lookahead, and their order: the losses,
 * and what the weights are at the end.
 */
#include "tests/golden/rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/train/trainer_internal.h"
#include "tests/golden/closed_form.h"

static const double bound = 1e-4;

typedef struct Sizes {
    uint32_t seed, width, images, size, classes, steps, steps_per_epoch;
} Sizes;

/* As in make_recipe.py. */
static TrainSpec recipe(const Sizes *s)
{
    TrainSpec spec = { .model = rig_choose(model_table, "airbench94"),
                       .optimizer = rig_choose(optimizer_table, "sgd"),
                       .schedule = rig_choose(schedule_table, "one_cycle"),
                       .group = { { "group*.bn?.bias", 64, 1.0 / 64, 0 },
                                  { "whiten.bias", 1, 1, 1 } },
                       .groups = 2,
                       .lookahead = { .every = 2, .decay = 0.77, .ramp = 3, .start_epoch = 1 },
                       .label_smoothing = 0.2,
                       .epochs = (double)s->steps / s->steps_per_epoch,
                       .batch_size = s->images };

    rig_set(&spec.model, model_table, "width", s->width);
    rig_set(&spec.optimizer, optimizer_table, "lr", 0.1);
    rig_set(&spec.optimizer, optimizer_table, "momentum", 0.85);
    rig_set(&spec.optimizer, optimizer_table, "weight_decay", 1.3304e-3);
    rig_set(&spec.schedule, schedule_table, "start", 0.2);
    rig_set(&spec.schedule, schedule_table, "peak", 0.23);
    rig_set(&spec.schedule, schedule_table, "final", 0.07);
    return spec;
}

/* Batch `step` in PyTorch's order, then as the loader would hand it over. */
static void fill_batch(const Sizes *s, uint64_t step, float *plain, Batch *batch, float *images,
                       uint16_t *labels, float *targets)
{
    Shape shape = shape4(s->images, s->size, s->size, 3);
    int32_t *drawn = malloc(s->images * sizeof *drawn);
    char name[32];

    assert_non_null(drawn);
    snprintf(name, sizeof name, "images/%llu", (unsigned long long)step);
    closed_form(s->seed, name, shape_count(&shape), 0, 2, plain);
    golden_to_blocked(&shape, plain, images);
    snprintf(name, sizeof name, "labels/%llu", (unsigned long long)step);
    closed_form_labels(s->seed, name, s->images, s->classes, drawn);
    for (uint32_t i = 0; i < s->images; i++) {
        labels[i] = (uint16_t)drawn[i];
        for (uint32_t k = 0; k < s->classes; k++)
            targets[i * s->classes + k] = (k == labels[i] ? 0.8f : 0.0f) + 0.2f / (float)s->classes;
    }
    free(drawn);
    *batch = (Batch){ .step = step,
                      .epoch = step / s->steps_per_epoch,
                      .count = s->images,
                      .images = images,
                      .labels = labels,
                      .targets = targets };
}

static void train(Trainer *t, const Sizes *s, const float *losses)
{
    size_t numbers = (size_t)s->images * s->size * s->size * 3;
    float *plain = malloc(numbers * sizeof *plain), *images = malloc(numbers * sizeof *images);
    float *targets = malloc((size_t)s->images * s->classes * sizeof *targets);
    uint16_t *labels = malloc(s->images * sizeof *labels);

    for (uint32_t step = 0; step < s->steps; step++) {
        StepReport report;
        Error err = { 0 };
        Batch batch;

        fill_batch(s, step, plain, &batch, images, labels, targets);
        if (trainer_train(t, &batch, &report, &err) != STATUS_OK)
            fail_msg("%s", error_message(&err));
        if (fabs(report.loss - (double)losses[step]) > bound * fabs((double)losses[step]))
            fail_msg("step %u: loss %.9g, PyTorch's is %.9g", step, report.loss,
                     (double)losses[step]);
        if (report.step % s->steps_per_epoch == 0 || report.step == s->steps)
            lookahead_end_epoch(t);
    }
    free(labels);
    free(targets);
    free(images);
    free(plain);
}

static void airbench94_trains_as_in_pytorch(void **state)
{
    static const char *const classes[10];
    StFile *golden = golden_open("recipe_airbench94");
    Sizes s = { golden_number(golden, "seed"),           golden_number(golden, "width"),
                golden_number(golden, "images"),         golden_number(golden, "size"),
                golden_number(golden, "classes"),        golden_number(golden, "steps"),
                golden_number(golden, "steps_per_epoch") };
    uint32_t all = s.images * s.steps_per_epoch;
    uint8_t *pixels = calloc(all, (size_t)s.size * s.size * 3);
    uint16_t *labels = calloc(all, sizeof *labels);
    /* The batches do not come from it: only its sizes count. */
    Dataset data = { .name = "none",
                     .layout = "shapes",
                     .height = s.size,
                     .width = s.size,
                     .channels = 3,
                     .classes = s.classes,
                     .class_names = classes,
                     .std = { 1, 1, 1 },
                     .train = { all, pixels, labels, NULL },
                     .test = { 1, pixels, labels, NULL } };
    TrainSpec spec = recipe(&s);
    Trainer *t = NULL;
    Pool *pool = NULL;
    Error err = { 0 };

    (void)state;
    assert_int_equal(pool_new(2, &pool, NULL), STATUS_OK);
    if (trainer_new(&spec, &data, pool, &t, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    assert_int_equal(t->steps, s.steps);
    rig_fill_weights(&t->network, s.seed);
    train(t, &s, golden_array(golden, "losses", s.steps));
    for (uint32_t i = 0; i < t->network.graph.weights; i++) {
        const GraphWeight *w = &t->network.graph.weight[i];
        real *got = malloc(w->count * sizeof *got);
        char name[128];

        snprintf(name, sizeof name, "end/%s", w->name);
        weight_to_disk(w, t->network.weights + w->offset, got);
        golden_close(name, got, golden_array(golden, name, w->count), w->count, 1, bound);
        free(got);
    }
    trainer_free(t);
    pool_free(pool);
    free(labels);
    free(pixels);
    safetensors_close(golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(airbench94_trains_as_in_pytorch) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
