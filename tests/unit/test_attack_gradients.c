/*
 * What the hypergradient goes through, in double precision, by finite differences: one step of an
 * attack (by delta and by the gradient that it follows), R, and a heat map on its way to R.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/data/heatmap.h"
#include "core/data/reweight.h"
#include "core/explain/attack.h"
#include "tests/unit/networks.h"

enum { SIDE = 6, IMAGES = 3, IMAGE = SIDE * SIDE * 3, CLASSES = 3, ALL = IMAGES * IMAGE };

static void draw(real *ret, size_t count, double low, double high, uint32_t stream)
{
    Rng rng = rng_at(2, RNG_TEST, 0, stream);

    for (size_t i = 0; i < count; i++)
        ret[i] = low + (high - low) * (double)rng_uniform(&rng);
}

static double dot(const real *a, const real *b, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

static void agree(const char *what, double got, double want, double bound)
{
    if (!(fabs(got - want) <= bound * (1e-3 + fabs(want))))
        fail_msg("%s: %.9g, by differences %.9g", what, got, want);
}

/* ---- A step of an attack ---- */

typedef struct Step {
    Network network;
    Attacker attacker;
    Arena work, state;
    Pool *pool;
    RunContext context;
    real images[ALL], targets[IMAGES * CLASSES];
    uint32_t items[IMAGES];
} Step;

static void step_init(Step *s, const char *row, double eps, double size)
{
    Choice choice;
    Error err = { 0 };

    *s = (Step){ .network = network_of("resnet18", SETS({ "width", 2 }),
                                       (ModelInput){ SIDE, SIDE, 3, CLASSES }) };
    network_randomise(&s->network, 4);
    for (int c = 0; c < 3; c++) {
        s->network.mean[c] = 0.4f;
        s->network.std[c] = 0.25f;
    }
    ok(pool_new(1, &s->pool, &err), &err);
    s->context = (RunContext){ .pool = s->pool, .weights = s->network.weights };
    ok(kernels_select(NULL, &s->context.kernels, &err), &err);
    draw(s->images, ALL, -1.5, 2.3, 0); /* some pixels at their bounds once they move */
    for (uint32_t i = 0; i < IMAGES; i++)
        s->targets[i * CLASSES + i] = 1;
    choice_init(attack_table, (uint32_t)table_find(attack_table, row), &choice);
    choice.value[ATTACK_EPS] = eps;
    choice.value[ATTACK_STEPS] = 2;
    choice.value[ATTACK_STEP_SIZE] = size;
    ok(attacker_init(&s->attacker, &s->network, &choice, IMAGES, true, &err), &err);
    ok(arena_init(&s->work, s->attacker.plan.bytes, &err), &err);
    ok(arena_init(&s->state, s->attacker.state_bytes, &err), &err);
    attacker_bind(&s->attacker, s->work.base, s->state.base);
    attack_run(&s->attacker, &s->context,
               &(AttackBatch){ .images = s->images, .targets = s->targets, .items = s->items });
}

static void step_clear(Step *s)
{
    attacker_clear(&s->attacker);
    arena_clear(&s->work);
    arena_clear(&s->state);
    network_clear(&s->network);
    pool_free(s->pool);
}

/* <v, the step from `before` along `g`>, as method.md has it. */
static double after(const Step *s, const real *before, const real *g, const real *v)
{
    const Attacker *a = &s->attacker;
    AttackLane lane = { .pixels = SIDE * SIDE, .stride = IMAGES * 3, .channels = 3 };
    real z[ALL], projected[ALL];
    double sum = 0;

    for (uint32_t i = 0; i < IMAGES; i++) {
        double norm = 0;

        for (uint32_t k = i * 3; k < ALL; k += IMAGES * 3)
            for (uint32_t c = 0; c < 3; c++)
                norm += g[k + c] * g[k + c];
        a->row->move(&lane, a->step_size, before + (size_t)i * 3, g + (size_t)i * 3, sqrt(norm),
                     z + (size_t)i * 3);
        a->row->project(&lane, a->eps, z + (size_t)i * 3, projected + (size_t)i * 3);
    }
    for (uint32_t k = 0; k < ALL; k++) {
        double x = s->images[k] * (double)0.25f + (double)0.4f;

        sum += v[k] * fmin(fmax(projected[k], -x), 1 - x);
    }
    return sum;
}

static void check_pull(const char *row, double eps, double size)
{
    static Step s;
    real v[ALL], p[ALL], q[ALL], direction[ALL], moved[2][ALL];

    step_init(&s, row, eps, size);
    draw(v, ALL, -1, 1, 1);
    for (uint32_t step = 0; step < 2; step++) {
        AttackFrame frame = attacker_frame(&s.attacker, step);

        attack_pull(&s.attacker, s.pool, step, v, p, q);
        for (uint32_t trial = 0; trial < 4; trial++) {
            double h = 1e-7;

            draw(direction, ALL, -1, 1, 10 + trial);
            for (int side = 0; side < 2; side++)
                for (int i = 0; i < ALL; i++)
                    moved[side][i] = frame.before[i] + (side ? h : -h) * direction[i];
            agree(
                "by delta", dot(p, direction, ALL),
                (after(&s, moved[1], frame.gradient, v) - after(&s, moved[0], frame.gradient, v)) /
                    (2 * h),
                1e-5);
            h = 1e-6 * sqrt(dot(frame.gradient, frame.gradient, ALL) / ALL);
            for (int side = 0; side < 2; side++)
                for (int i = 0; i < ALL; i++)
                    moved[side][i] = frame.gradient[i] + (side ? h : -h) * direction[i];
            agree("by the gradient", s.attacker.step_size * dot(q, direction, ALL),
                  (after(&s, frame.before, moved[1], v) - after(&s, frame.before, moved[0], v)) /
                      (2 * h),
                  1e-5);
        }
    }
    step_clear(&s);
}

static void a_normalised_step_has_this_jacobian_inside_and_outside_its_ball(void **state)
{
    (void)state;
    check_pull("pgd_l2", 50, 0.2);
    check_pull("pgd_l2", 0.5, 0.4);
}

static void a_step_along_the_sign_does_not_change_with_its_gradient(void **state)
{
    static Step s;
    real v[ALL], p[ALL], q[ALL];

    (void)state;
    step_init(&s, "pgd_linf", 0.1, 0.05);
    draw(v, ALL, -1, 1, 1);
    attack_pull(&s.attacker, s.pool, 1, v, p, q);
    for (int i = 0; i < ALL; i++) {
        assert_true(q[i] == 0);
        assert_true(p[i] == v[i] || p[i] == 0);
    }
    assert_true(dot(p, p, ALL) > 0 && dot(p, p, ALL) < dot(v, v, ALL));
    step_clear(&s);
}

/* ---- R ---- */

static void reweighting_has_this_gradient_in_every_mode(void **state)
{
    enum { N = 18, H = 3, W = 2, C = 3, COUNT = N * H * W * C };
    static real images[COUNT], delta[COUNT], out[COUNT], v[COUNT], gradient[COUNT],
        direction[COUNT];
    const Shape shape = shape4(N, H, W, C);

    (void)state;
    draw(images, COUNT, -2, 2, 0);
    draw(delta, COUNT, -0.1, 0.1, 1);
    draw(v, COUNT, -1, 1, 2);
    for (uint32_t mode = 0; reweight_table[mode] != NULL; mode++) {
        ReweightSpec spec = { mode, 0.3 };

        reweight_backward(&spec, NULL, &shape, images, delta, v, gradient);
        for (uint32_t trial = 0; trial < 3; trial++) {
            double side[2], h = 1e-7;

            draw(direction, COUNT, -1, 1, 10 + trial);
            for (int s = 0; s < 2; s++) {
                real moved[COUNT];

                for (int i = 0; i < COUNT; i++)
                    moved[i] = delta[i] + (s ? h : -h) * direction[i];
                reweight_batch(&spec, NULL, &shape, images, moved, out);
                side[s] = dot(out, v, COUNT);
            }
            agree(reweight_names[mode], dot(gradient, direction, COUNT),
                  (side[1] - side[0]) / (2 * h), 1e-6);
        }
    }
}

static void reweighting_follows_its_formulas(void **state)
{
    static const real images[4] = { 2, -1, 0.5, 3 }, delta[4] = { 0.1, -0.4, 0, 0.2 };
    static const double want[][4] = { { 0.5, -1, 0, 1.5 },
                                      { 0.2, 0.4, 0, 0.6 },
                                      { 0.5, -1, 0, 1.5 },
                                      { 2.5, -2, 0.5, 4.5 },
                                      { 0.95, -1, 0.15, 1.95 } };
    const Shape shape = shape4(1, 2, 2, 1);

    (void)state;
    for (uint32_t mode = 0; reweight_table[mode] != NULL; mode++) {
        ReweightSpec spec = { mode, 0.3 };
        real got[4];

        assert_string_equal(reweight_names[mode], reweight_table[mode]->described.name);
        reweight_batch(&spec, NULL, &shape, images, delta, got);
        for (int i = 0; i < 4; i++)
            agree(reweight_names[mode], got[i], want[mode][i], 1e-10);
    }
    assert_null(reweight_names[5]);
}

/* ---- A heat map on its way ---- */

static double heated(const real *map, uint32_t h, uint32_t w, uint32_t height, uint32_t width,
                     const real *v)
{
    real normal[64], out[512] = { 0 };
    double sum = 0;

    memcpy(normal, map, (size_t)h * w * sizeof *map);
    heatmap_normalise((size_t)h * w, normal);
    heatmap_resize(h, w, normal, height, width, 2, out);
    for (uint32_t i = 0; i < height * width; i++)
        sum += out[2 * (size_t)i] * v[2 * (size_t)i];
    return sum;
}

static void a_map_has_this_gradient_through_scaling_and_resizing(void **state)
{
    static const uint32_t sizes[][4] = {
        { 3, 4, 8, 9 }, { 8, 8, 8, 8 }, { 1, 3, 5, 5 }, { 7, 5, 3, 2 }
    };

    (void)state;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        uint32_t h = sizes[k][0], w = sizes[k][1], height = sizes[k][2], width = sizes[k][3];
        real map[64], v[512], gradient[64], direction[64], moved[2][64];

        draw(map, (size_t)h * w, 0, 3, (uint32_t)k);
        draw(v, 512, -1, 1, 20);
        heatmap_backward(h, w, map, height, width, 2, v, gradient);
        for (uint32_t trial = 0; trial < 3; trial++) {
            double step = 1e-7;

            draw(direction, (size_t)h * w, -1, 1, 30 + trial);
            for (int s = 0; s < 2; s++)
                for (uint32_t i = 0; i < h * w; i++)
                    moved[s][i] = map[i] + (s ? step : -step) * direction[i];
            agree("a map", dot(gradient, direction, (size_t)h * w),
                  (heated(moved[1], h, w, height, width, v) -
                   heated(moved[0], h, w, height, width, v)) /
                      (2 * step),
                  1e-6);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_normalised_step_has_this_jacobian_inside_and_outside_its_ball),
        cmocka_unit_test(a_step_along_the_sign_does_not_change_with_its_gradient),
        cmocka_unit_test(reweighting_follows_its_formulas),
        cmocka_unit_test(reweighting_has_this_gradient_in_every_mode),
        cmocka_unit_test(a_map_has_this_gradient_through_scaling_and_resizing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
