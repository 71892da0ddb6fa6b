/*
 * One DARTS step of each order against PyTorch, by the search itself on batches made here: losses,
 * the gradients of the architecture, and what everything is at the end (make_search.py).
 */
#include "tests/golden/rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/search/searcher.h"
#include "tests/golden/closed_form.h"

static const double bound_value = 1e-5, bound_gradient[] = { 0, 1e-4, 1e-3 }; /* by order */
static const float momenta = 0.1f; /* their range, in the second order */

static const char *const cases[] = { "search_s5", "search_s3_se_eca", "search_second_s5",
                                     "search_second_pc_darts" };

typedef struct Sizes {
    uint32_t seed, images, size, classes, every, order;
} Sizes;

/* As in make_search.py. */
static SearchSpec recipe(const StFile *file, const Sizes *s)
{
    SearchSpec spec = { .train = { .optimizer = rig_choose(optimizer_table, "sgd"),
                                   .schedule = rig_choose(schedule_table, "constant"),
                                   .data = { .val_images = s->images },
                                   .epochs = 1,
                                   .batch_size = s->images },
                        .architecture_optimizer = rig_choose(optimizer_table, "adam") };
    TrainSpec *train = &spec.train;
    double partial;

    rig_model(file, &train->model);
    partial = choice_value(model_table, &train->model, "partial");
    spec.searcher = rig_choose(searcher_table, partial > 1 ? "pcdarts" : "darts");
    if (partial > 1)
        rig_set(&spec.searcher, searcher_table, "k", partial);
    rig_set(&spec.searcher, searcher_table, "order", s->order);
    rig_set(&train->optimizer, optimizer_table, "lr", 0.025);
    rig_set(&train->optimizer, optimizer_table, "nesterov", 0);
    rig_set(&train->optimizer, optimizer_table, "weight_decay", 3e-4);
    rig_set(&train->optimizer, optimizer_table, "clip",
            strtod(safetensors_metadata(file, "clip"), NULL));
    rig_set(&spec.architecture_optimizer, optimizer_table, "lr", 3e-4);
    rig_set(&spec.architecture_optimizer, optimizer_table, "beta1", 0.5);
    rig_set(&spec.architecture_optimizer, optimizer_table, "weight_decay", 1e-3);
    return spec;
}

/* The momenta of the second order are closed forms; otherwise optimisers are as they begin. */
static void fill_momenta(const Search *search, const Sizes *s)
{
    const Trainer *t = search->trainer;
    const Architect *a = &search->architect;

    memset(t->buffer[0], 0, t->network.graph.weight_numbers * sizeof *t->buffer[0]);
    for (uint32_t i = 0; i < a->optimizer->buffers; i++)
        memset(a->buffer[i], 0, a->extent * sizeof *a->buffer[i]);
    for (uint32_t i = 0; i < t->network.graph.weights && s->order == 2; i++) {
        const GraphWeight *w = &t->network.graph.weight[i];
        float *disk = malloc(w->count * sizeof *disk);
        char name[128];

        assert_non_null(disk);
        snprintf(name, sizeof name, "momentum/%s", w->name);
        closed_form(s->seed, name, w->count, 0, momenta, disk);
        if (w->spec.role == WEIGHT_TRAINED)
            weight_from_disk(w, disk, t->buffer[0] + w->offset);
        free(disk);
    }
}

/* The batch of a side as the loader would hand it over; batch_free() it. */
static Batch batch_of(const Sizes *s, SearchSide side)
{
    Shape shape = shape4(s->images, s->size, s->size, 3);
    size_t count = shape_count(&shape);
    float *plain = malloc(count * sizeof *plain), *images = malloc(count * sizeof *images),
          *targets = calloc((size_t)s->images * s->classes, sizeof *targets);
    uint16_t *labels = malloc(s->images * sizeof *labels);
    int32_t *drawn = malloc(s->images * sizeof *drawn);
    char name[32];

    assert_true(plain != NULL && images != NULL && targets != NULL && labels != NULL &&
                drawn != NULL);
    snprintf(name, sizeof name, "images/%d", (int)side);
    closed_form(s->seed, name, count, 0, 2, plain);
    golden_to_blocked(&shape, plain, images);
    snprintf(name, sizeof name, "labels/%d", (int)side);
    closed_form_labels(s->seed, name, s->images, s->classes, drawn);
    for (uint32_t i = 0; i < s->images; i++) {
        labels[i] = (uint16_t)drawn[i];
        targets[i * s->classes + labels[i]] = 1;
    }
    free(plain);
    free(drawn);
    return (Batch){ .count = s->images, .images = images, .labels = labels, .targets = targets };
}

static void batch_free(const Batch *batch)
{
    free((void *)batch->images);
    free((void *)batch->labels);
    free((void *)batch->targets);
}

/* All weights that `roles` names, against arrays PREFIX + name; their number. */
static uint32_t weights_close(const Search *search, const StFile *file, const real *numbers,
                              const char *prefix, unsigned roles, uint32_t every, double bound)
{
    const Graph *g = &search->trainer->network.graph;
    uint32_t seen = 0;

    for (uint32_t i = 0; i < g->weights; i++) {
        const GraphWeight *w = &g->weight[i];
        uint32_t step = w->count > 1000 ? every : 1;
        size_t count = (w->count + step - 1) / step;
        real *got = malloc(w->count * sizeof *got);
        char name[128];

        assert_non_null(got);
        snprintf(name, sizeof name, "%s%s", prefix, w->name);
        weight_to_disk(w, numbers + w->offset, got);
        if ((roles >> w->spec.role & 1) != 0) {
            golden_close(name, got, golden_array(file, name, count), count, step, bound);
            seen++;
        }
        free(got);
    }
    return seen;
}

static void step_agrees(Search *search, const StFile *file, const Sizes *s, const Kernels *kernels)
{
    const Batch batch[SIDES] = { batch_of(s, SIDE_ARCHITECTURE), batch_of(s, SIDE_WEIGHTS) };
    const Network *n = &search->trainer->network;
    StepReport report;
    PassSums val;
    Error err = { 0 };

    search->trainer->kernels = kernels;
    search->trainer->step = 0;
    fill_momenta(search, s);
    rig_fill_weights(&search->trainer->network, s->seed);
    rig_ok(search->searcher->step(search, batch, &val, &err), &err);
    assert_int_equal(weights_close(search, file, search->trainer->gradients, "val/",
                                   GRADIENT_ARCHITECTURE, s->every, bound_gradient[s->order]),
                     choice_value(model_table, &n->model, "partial") > 1 ? 4 : 2);
    rig_fill_weights(&search->trainer->network, s->seed);
    rig_ok(search_move(search, batch, &val, &err), &err);
    rig_ok(trainer_train(search->trainer, &batch[SIDE_WEIGHTS], &report, &err), &err);
    rig_loss_close("val/loss", val.loss / (double)val.images, *golden_array(file, "val/loss", 1),
                   bound_value);
    rig_loss_close("train/loss", report.loss, *golden_array(file, "train/loss", 1), bound_value);
    assert_true(report.learning_rate == 0.025);
    (void)weights_close(search, file, n->weights, "end/", GRADIENT_TRAINED | GRADIENT_ARCHITECTURE,
                        s->every, bound_value);
    for (int side = 0; side < SIDES; side++)
        batch_free(&batch[side]);
}

static void a_step_is_pytorchs(void **state)
{
    static const char *const classes[10];
    StFile *file = golden_open(*state);
    Sizes s = { golden_number(file, "seed"),  golden_number(file, "images"),
                golden_number(file, "size"),  golden_number(file, "classes"),
                golden_number(file, "every"), golden_number(file, "order") };
    uint8_t *pixels = calloc(2 * (size_t)s.images, (size_t)s.size * s.size * 3);
    uint16_t *labels = calloc(2 * (size_t)s.images, sizeof *labels);
    /* The batches do not come from it: only its sizes count. */
    Dataset data = { .name = "none",
                     .layout = "shapes",
                     .height = s.size,
                     .width = s.size,
                     .channels = 3,
                     .classes = s.classes,
                     .class_names = classes,
                     .std = { 1, 1, 1 },
                     .train = { 2 * s.images, pixels, labels, NULL },
                     .test = { 1, pixels, labels, NULL } };
    SearchSpec spec = recipe(file, &s);
    Search *search = NULL;
    Pool *pool = NULL;
    Error err = { 0 };

    rig_ok(pool_new(2, &pool, &err), &err);
    rig_ok(search_new(&spec, &data, pool, &search, &err), &err);
    for (const Kernels *const *family = kernels_available(); *family != NULL; family++)
        step_agrees(search, file, &s, *family);
    search_free(search);
    pool_free(pool);
    free(labels);
    free(pixels);
    safetensors_close(file);
}

int main(void)
{
    enum { CASES = sizeof cases / sizeof *cases };
    struct CMUnitTest tests[CASES];

    for (int i = 0; i < CASES; i++)
        tests[i] = (struct CMUnitTest){ .name = cases[i],
                                        .test_func = a_step_is_pytorchs,
                                        .initial_state = (void *)cases[i] };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
