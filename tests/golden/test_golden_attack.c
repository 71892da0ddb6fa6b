/*
 * Attacks from a given start against PyTorch: what the first step saw and did, and where the last
 * one ended (make_explain.py). Towards labels in both precisions; towards the own prediction, whose
 * gradient single precision keeps three digits of, in double.
 */
#include "tests/golden/rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/explain/attack.h"
#include "tests/golden/closed_form.h"

#ifdef LEASED_REAL64
static const double bound = 1e-6;
enum { TARGETS = 2 };
#else
static const double bound = 1e-5;
enum { TARGETS = 1 };
#endif

static const char *const targets[] = { "label", "prediction" };

/* As in make_explain.py. */
static const float mean[3] = { 0.5f, 0.45f, 0.4f }, deviation[3] = { 0.25f, 0.2f, 0.15f };

typedef struct Case {
    const char *file, *row;
} Case;

static const Case cases[] = { { "attack_l2", "pgd_l2" }, { "attack_linf", "pgd_linf" } };

typedef struct Bench {
    Rig rig;
    Attacker attacker;
    Arena memory;
    Shape shape;
    real *images, *targets;
    uint32_t *items;
} Bench;

static void bench_init(Bench *b, const StFile *file, const Case *c, const Kernels *kernels)
{
    Choice model, choice;
    Tensor image, target;
    size_t classes;
    Error err = { 0 };

    rig_model(file, &model);
    rig_init(&b->rig, file, &model, golden_number(file, "seed"), kernels);
    memcpy(b->rig.network.mean, mean, sizeof mean);
    memcpy(b->rig.network.std, deviation, sizeof deviation);
    choice_init(attack_table, (uint32_t)table_find(attack_table, c->row), &choice);
    choice.value[ATTACK_EPS] = strtod(safetensors_metadata(file, "eps"), NULL);
    choice.value[ATTACK_STEPS] = golden_number(file, "steps");
    rig_ok(attacker_init(&b->attacker, &b->rig.network, &choice, b->rig.images, true, &err), &err);
    rig_ok(arena_init(&b->memory,
                      arena_round(b->attacker.plan.bytes) + arena_round(b->attacker.state_bytes),
                      &err),
           &err);
    attacker_bind(&b->attacker, b->memory.base,
                  b->memory.base + arena_round(b->attacker.plan.bytes));
    b->shape = graph_shape(&b->rig.network.graph, b->rig.network.image, b->rig.images);
    classes = (size_t)b->rig.images * b->rig.classes;
    b->images = malloc(shape_count(&b->shape) * sizeof *b->images);
    b->targets = malloc(classes * sizeof *b->targets);
    b->items = calloc(b->rig.images, sizeof *b->items);
    assert_true(b->images != NULL && b->targets != NULL && b->items != NULL);
    rig_fill_batch(&b->rig, &b->attacker.plan, 0);
    image = plan_tensor(&b->attacker.plan, b->rig.network.image);
    target = plan_tensor(&b->attacker.plan, b->rig.network.target);
    memcpy(b->images, image.data, shape_count(&b->shape) * sizeof *b->images);
    memcpy(b->targets, target.data, classes * sizeof *b->targets);
}

static void bench_clear(Bench *b)
{
    attacker_clear(&b->attacker);
    arena_clear(&b->memory);
    rig_clear(&b->rig);
    free(b->images);
    free(b->targets);
    free(b->items);
}

/* The start of make_explain.py in the place of the row's own: eps n (eps n/|n|), clipped. */
static void put_start(Bench *b, bool l2)
{
    size_t count = shape_count(&b->shape), image = count / b->shape.dim[0];
    float *n = malloc(count * sizeof *n);

    assert_non_null(n);
    closed_form(b->rig.seed, "start", count, 0, 1, n);
    for (size_t i = 0; i < count; i += image) {
        double norm = 0;

        for (size_t k = 0; k < image; k++)
            norm += (double)n[i + k] * (double)n[i + k];
        for (size_t k = 0; k < image; k++) /* [N,C,H,W] */
            n[i + k] = (float)((double)b->attacker.eps * (double)n[i + k] / (l2 ? sqrt(norm) : 1));
    }
    golden_to_blocked(&b->shape, n, b->attacker.delta);
    for (size_t i = 0; i < count; i++) {
        size_t c = i % 3;
        real x = b->images[i] * (real)deviation[c] + (real)mean[c];
        real *delta = &b->attacker.delta[i];

        *delta = *delta < -x ? -x : *delta > 1 - x ? 1 - x : *delta;
    }
    free(n);
}

static void blocked_close(const Bench *b, const StFile *file, const char *target, const char *what,
                          const real *blocked)
{
    uint32_t every = golden_number(file, "every");
    size_t count = shape_count(&b->shape), kept = (count + every - 1) / every;
    real *plain = malloc(count * sizeof *plain);
    char name[64];

    assert_non_null(plain);
    snprintf(name, sizeof name, "%s/%s", target, what);
    golden_from_blocked(&b->shape, blocked, plain);
    golden_close(name, plain, golden_array(file, name, kept), kept, every, bound);
    free(plain);
}

static void attack_agrees(Bench *b, const StFile *file, const char *target, bool soft, bool l2)
{
    Attacker *a = &b->attacker;
    char name[64];

    attack_begin(a, &b->rig.context,
                 &(AttackBatch){
                     .images = b->images, .targets = soft ? NULL : b->targets, .items = b->items });
    put_start(b, l2);
    attack_step(a, &b->rig.context);
    snprintf(name, sizeof name, "%s/first/norm", target);
    golden_close(name, attacker_frame(a, 0).norm, golden_array(file, name, b->rig.images),
                 b->rig.images, 1, bound);
    blocked_close(b, file, target, "first/moved", attacker_frame(a, 0).moved);
    blocked_close(b, file, target, "first/delta", a->delta);
    while (a->done < a->steps)
        attack_step(a, &b->rig.context);
    blocked_close(b, file, target, "delta", a->delta);
}

static void an_attack_is_pytorchs(void **state)
{
    const Case *c = *state;
    StFile *file = golden_open(c->file);

    for (const Kernels *const *family = kernels_available(); *family != NULL; family++) {
        Bench b = { 0 };

        bench_init(&b, file, c, *family);
        for (int t = 0; t < TARGETS; t++)
            attack_agrees(&b, file, targets[t], t == 1, strcmp(c->row, "pgd_l2") == 0);
        bench_clear(&b);
    }
    safetensors_close(file);
}

int main(void)
{
    enum { CASES = sizeof cases / sizeof *cases };
    struct CMUnitTest tests[CASES];

    for (int i = 0; i < CASES; i++)
        tests[i] = (struct CMUnitTest){ .name = cases[i].file,
                                        .test_func = an_attack_is_pytorchs,
                                        .initial_state = (void *)&cases[i] };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
