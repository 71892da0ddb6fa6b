/*
 * attacks: budgets and pixel bounds hold in every channel, nothing of the network changes, a start
 * belongs to its image, and the bits do not depend on threads.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/explain/attack.h"
#include "tests/unit/allocations.h"
#include "tests/unit/networks.h"

enum { SIDE = 8, CLASSES = 4, IMAGES = 18, IMAGE = SIDE * SIDE * 3 };

static const float mean[3] = { 0.5f, 0.45f, 0.4f }, deviation[3] = { 0.25f, 0.2f, 0.1f };

typedef struct Rig {
    Network network;
    Pool *pool;
    RunContext context;
    Attacker attacker;
    Arena arena; /* the attacker's */
    real *images, *targets;
    uint32_t items[IMAGES];
} Rig;

/* Pixels of whole bytes, black and white ones among them, blocked and normalised. */
static void draw_images(real *ret)
{
    Rng rng = rng_at(3, RNG_TEST, 0, 0);

    for (size_t i = 0; i < (size_t)IMAGES * IMAGE; i++) {
        uint32_t value = rng_below(&rng, 320);
        real x = (real)(value > 255 ? value % 2 * 255 : value) / 255;

        ret[i] = (x - (real)mean[i % 3]) / (real)deviation[i % 3];
    }
}

static void rig_init(Rig *rig, unsigned threads)
{
    *rig = (Rig){ .network = network_of("resnet18", SETS({ "width", 4 }),
                                        (ModelInput){ SIDE, SIDE, 3, CLASSES }) };
    network_randomise(&rig->network, 8);
    memcpy(rig->network.mean, mean, sizeof mean);
    memcpy(rig->network.std, deviation, sizeof deviation);
    assert_int_equal(pool_new(threads, &rig->pool, NULL), STATUS_OK);
    rig->context = (RunContext){ .pool = rig->pool, .weights = rig->network.weights };
    assert_int_equal(kernels_select(NULL, &rig->context.kernels, NULL), STATUS_OK);
    rig->images = calloc((size_t)IMAGES * IMAGE, sizeof *rig->images);
    rig->targets = calloc(IMAGES * CLASSES, sizeof *rig->targets);
    assert_true(rig->images != NULL && rig->targets != NULL);
    draw_images(rig->images);
    for (uint32_t i = 0; i < IMAGES; i++) {
        rig->targets[i * CLASSES + i % CLASSES] = 1;
        rig->items[i] = 100 + i;
    }
}

static void near(double got, double want, double slack)
{
    if (!(fabs(got - want) <= slack))
        fail_msg("%.9g is not %.9g", got, want);
}

static Choice attack_of(const char *name, double eps)
{
    int row = table_find(attack_table, name);
    Choice choice;

    assert_true(row >= 0);
    choice_init(attack_table, (uint32_t)row, &choice);
    choice.value[ATTACK_EPS] = eps;
    return choice;
}

static void rig_attack(Rig *rig, const Choice *choice, uint32_t images, bool keep)
{
    Error err = { 0 };
    char *memory;

    attacker_clear(&rig->attacker);
    arena_clear(&rig->arena);
    ok(attacker_init(&rig->attacker, &rig->network, choice, images, keep, &err), &err);
    ok(arena_init(&rig->arena,
                  arena_round(rig->attacker.plan.bytes) + arena_round(rig->attacker.state_bytes),
                  &err),
       &err);
    memory = arena_take(&rig->arena, rig->attacker.plan.bytes);
    attacker_bind(&rig->attacker, memory, arena_take(&rig->arena, rig->attacker.state_bytes));
}

static void rig_clear(Rig *rig)
{
    attacker_clear(&rig->attacker);
    arena_clear(&rig->arena);
    network_clear(&rig->network);
    pool_free(rig->pool);
    free(rig->images);
    free(rig->targets);
}

static AttackBatch labelled(const Rig *rig)
{
    return (AttackBatch){
        .images = rig->images, .targets = rig->targets, .items = rig->items, .seed = 5
    };
}

/* Both start the rig and a row, end with the deltas of `batch`. */
static const real *run(Rig *rig, const Choice *choice, const AttackBatch *batch)
{
    rig_attack(rig, choice, IMAGES, false);
    attack_run(&rig->attacker, &rig->context, batch);
    return rig->attacker.delta;
}

static int setup(void **state)
{
    static Rig rig;

    rig_init(&rig, 2);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_clear(*state);
    return 0;
}

/* Number k of image i, of those of a batch of IMAGES: [pixel][channel] in order. */
static real number_of(const real *blocked, uint32_t i, uint32_t k)
{
    uint32_t block = i / BLOCK_IMAGES, lanes = block_images(IMAGES, block);

    return blocked[(size_t)block * BLOCK_IMAGES * IMAGE + k / 3 * lanes * 3 + i % BLOCK_IMAGES * 3 +
                   k % 3];
}

static const char *const rows[] = { "fgsm", "pgd_linf", "pgd_l2" };
enum { ROWS = sizeof rows / sizeof *rows };

/* ---- Budgets ---- */

static void no_budget_leaves_the_image_as_it_is(void **state)
{
    Rig *rig = *state;
    AttackBatch batch = labelled(rig);

    for (int r = 0; r < ROWS; r++) {
        Choice choice = attack_of(rows[r], 0);
        const real *delta = run(rig, &choice, &batch);
        real seen[IMAGES * IMAGE];

        for (size_t i = 0; i < (size_t)IMAGES * IMAGE; i++)
            assert_true(delta[i] == 0);
        attack_place(&rig->attacker, rig->pool, delta, seen);
        assert_memory_equal(seen, rig->images, sizeof seen);
    }
}

static void check_budget(const Rig *rig, const char *row, double eps)
{
    bool l2 = strcmp(row, "pgd_l2") == 0;
    double largest = 0;

    for (uint32_t i = 0; i < IMAGES; i++) {
        double norm = 0;

        for (uint32_t k = 0; k < IMAGE; k++) {
            double d = (double)number_of(rig->attacker.delta, i, k);
            double u = (double)number_of(rig->images, i, k);
            double x = u * (double)deviation[k % 3] + (double)mean[k % 3];

            norm = l2 ? norm + d * d : fmax(norm, fabs(d));
            if (!(x + d >= -1e-6 && x + d <= 1 + 1e-6))
                fail_msg("%s with %g: a pixel of %g becomes %g", row, eps, x, x + d);
        }
        norm = l2 ? sqrt(norm) : norm;
        if (!(norm <= eps * (1 + 1e-5)))
            fail_msg("%s with %g: image %u is changed by %g", row, eps, i, norm);
        largest = fmax(largest, norm);
    }
    assert_true(largest > eps / 2); /* the budget is used */
}

static void budgets_and_pixels_hold(void **state)
{
    static const double budgets[] = { 1e-4, 8.0 / 255, 0.5, 3 };
    Rig *rig = *state;
    AttackBatch batch = labelled(rig);

    for (int r = 0; r < ROWS; r++)
        for (size_t b = 0; b < sizeof budgets / sizeof *budgets; b++)
            for (int start = 0; start < 2; start++) {
                Choice choice = attack_of(rows[r], budgets[b]);

                choice.value[ATTACK_START] = start;
                (void)run(rig, &choice, &batch);
                if (budgets[b] < 1 || strcmp(rows[r], "pgd_l2") == 0)
                    check_budget(rig, rows[r], budgets[b]);
                else
                    check_budget(rig, rows[r], 1); /* no pixel moves further */
            }
}

/* Fault 7 of the public code: images were clamped to 0..1 after normalisation. */
static void fault_7_bounds_are_those_of_the_pixel_in_every_channel(void **state)
{
    Rig *rig = *state;
    AttackBatch batch = labelled(rig);
    Choice choice = attack_of("fgsm", 0.1);
    const real *delta = run(rig, &choice, &batch);
    real *seen = calloc((size_t)IMAGES * IMAGE, sizeof *seen), lowest[3], highest[3], moved[3];

    for (int c = 0; c < 3; c++)
        lowest[c] = highest[c] = moved[c] = 0;
    assert_non_null(seen);
    attack_place(&rig->attacker, rig->pool, delta, seen);
    for (size_t i = 0; i < (size_t)IMAGES * IMAGE; i++) {
        real change = real_abs(seen[i] - rig->images[i]);

        lowest[i % 3] = seen[i] < lowest[i % 3] ? seen[i] : lowest[i % 3];
        highest[i % 3] = seen[i] > highest[i % 3] ? seen[i] : highest[i % 3];
        moved[i % 3] = change > moved[i % 3] ? change : moved[i % 3];
    }
    free(seen);
    for (int c = 0; c < 3; c++) {
        near((double)moved[c], 0.1 / (double)deviation[c], 1e-5);
        near((double)lowest[c], (0 - (double)mean[c]) / (double)deviation[c], 1e-5);
        near((double)highest[c], (1 - (double)mean[c]) / (double)deviation[c], 1e-5);
    }
}

/* ---- Strength ---- */

static double mean_loss(Rig *rig)
{
    real losses[IMAGES];
    double sum = 0;

    attack_losses(&rig->attacker, &rig->context, losses);
    for (int i = 0; i < IMAGES; i++)
        sum += (double)losses[i];
    return sum / IMAGES;
}

static double loss_after(Rig *rig, const char *row, double eps)
{
    Choice choice = attack_of(row, eps);
    AttackBatch batch = labelled(rig);

    (void)run(rig, &choice, &batch);
    return mean_loss(rig);
}

static void ten_steps_are_worth_more_than_one(void **state)
{
    double clean = loss_after(*state, "fgsm", 0), once = loss_after(*state, "fgsm", 8.0 / 255),
           ten = loss_after(*state, "pgd_linf", 8.0 / 255);

    assert_true(once > clean);
    assert_true(ten >= once);
    assert_true(loss_after(*state, "pgd_l2", 0.5) > clean);
}

static void steps_are_as_long_as_the_formula_or_as_asked(void **state)
{
    Rig *rig = *state;
    Choice choice = attack_of("pgd_linf", 8.0 / 255);

    rig_attack(rig, &choice, IMAGES, false);
    near((double)rig->attacker.step_size, 2.0 / 255, 1e-9);
    assert_int_equal(rig->attacker.steps, 10);
    choice.value[ATTACK_STEP_SIZE] = 0.25;
    rig_attack(rig, &choice, IMAGES, false);
    assert_true(rig->attacker.step_size == (real)0.25);
    choice = attack_of("fgsm", 0.125);
    rig_attack(rig, &choice, IMAGES, false);
    assert_int_equal(rig->attacker.steps, 1);
    assert_true(rig->attacker.step_size == (real)0.125);
}

/* ---- What it leaves alone ---- */

/* Fault 12: the attack was run in train mode and polluted batch norm's statistics. */
static void fault_12_no_weight_and_no_statistic_changes(void **state)
{
    Rig *rig = *state;
    size_t bytes = rig->network.graph.weight_numbers * sizeof(real);
    real *before = malloc(bytes);

    assert_non_null(before);
    memcpy(before, rig->network.weights, bytes);
    for (int r = 0; r < ROWS; r++)
        for (int soft = 0; soft < 2; soft++) {
            Choice choice = attack_of(rows[r], 0.1);
            AttackBatch batch = labelled(rig);

            choice.value[ATTACK_START] = ATTACK_START_RANDOM;
            batch.targets = soft ? NULL : batch.targets;
            (void)run(rig, &choice, &batch);
            assert_memory_equal(before, rig->network.weights, bytes);
            assert_int_equal(rig->network.batches, 0);
        }
    free(before);
}

static void an_attack_allocates_nothing(void **state)
{
    Rig *rig = *state;
    Choice choice = attack_of("pgd_l2", 0.5);
    AttackBatch batch = labelled(rig);
    unsigned before;

    (void)run(rig, &choice, &batch);
    batch.targets = NULL;
    before = atomic_load(&allocations);
    attack_run(&rig->attacker, &rig->context, &batch);
    attack_losses(&rig->attacker, &rig->context, rig->targets);
    assert_int_equal(atomic_load(&allocations), before);
}

static void weights_gone_wild_bring_no_nan_out(void **state)
{
    static const real values[] = { (real)NAN, (real)INFINITY, (real)3e38, 0 };
    Rig *rig = *state;
    AttackBatch batch = labelled(rig);
    size_t count = rig->network.graph.weight_numbers;
    real *kept = malloc(count * sizeof *kept);

    assert_non_null(kept);
    memcpy(kept, rig->network.weights, count * sizeof *kept);
    for (int r = 0; r < ROWS; r++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            Choice choice = attack_of(rows[r], 0.5);
            const real *delta;

            for (size_t i = 0; i < count; i += 7)
                rig->network.weights[i] = values[v];
            batch.targets = v % 2 == 0 ? NULL : rig->targets;
            delta = run(rig, &choice, &batch);
            for (size_t i = 0; i < (size_t)IMAGES * IMAGE; i++)
                assert_true(isfinite(delta[i]));
            memcpy(rig->network.weights, kept, count * sizeof *kept);
        }
    free(kept);
}

/* ---- Where it starts ---- */

static void a_start_belongs_to_its_image_however_images_are_grouped(void **state)
{
    enum { FEW = 3 };
    Rig *rig = *state;
    AttackBatch batch = labelled(rig);
    real together[IMAGES * IMAGE], few[FEW * IMAGE];

    for (int r = 0; r < ROWS; r++) {
        Choice choice = attack_of(rows[r], 0.5);

        choice.value[ATTACK_START] = ATTACK_START_RANDOM;
        rig_attack(rig, &choice, IMAGES, false);
        attack_begin(&rig->attacker, &rig->context, &batch);
        memcpy(together, rig->attacker.delta, sizeof together);
        for (uint32_t i = 0; i < FEW; i++) /* images 15, 16 and 17: of two blocks */
            for (uint32_t k = 0; k < IMAGE; k++)
                few[k / 3 * FEW * 3 + i * 3 + k % 3] = number_of(rig->images, 15 + i, k);
        rig_attack(rig, &choice, FEW, false);
        batch.images = few;
        batch.items = rig->items + 15;
        attack_begin(&rig->attacker, &rig->context, &batch);
        for (uint32_t i = 0; i < FEW; i++)
            for (uint32_t k = 0; k < IMAGE; k++)
                assert_true(rig->attacker.delta[k / 3 * FEW * 3 + i * 3 + k % 3] ==
                            number_of(together, 15 + i, k));
        batch = labelled(rig);
    }
}

static void seed_stream_and_item_each_choose_another_start(void **state)
{
    Rig *rig = *state;
    Choice choice = attack_of("pgd_l2", 0.5);
    AttackBatch batch = labelled(rig);
    real first[IMAGES * IMAGE];

    rig_attack(rig, &choice, IMAGES, false);
    attack_begin(&rig->attacker, &rig->context, &batch);
    memcpy(first, rig->attacker.delta, sizeof first);
    for (int what = 0; what < 4; what++) {
        batch = labelled(rig);
        batch.seed += what == 1;
        batch.stream += what == 2;
        batch.items = rig->items;
        rig->items[4] += what == 3 ? 500 : 0;
        attack_begin(&rig->attacker, &rig->context, &batch);
        assert_int_equal(memcmp(first, rig->attacker.delta, sizeof first) == 0, what == 0);
    }
}

static void the_own_prediction_is_the_target_unless_one_is_given(void **state)
{
    Rig *rig = *state;
    Choice choice = attack_of("pgd_l2", 0.5);
    AttackBatch batch = labelled(rig);
    const real *logits;

    batch.targets = NULL;
    rig_attack(rig, &choice, IMAGES, false);
    attack_begin(&rig->attacker, &rig->context, &batch);
    logits = plan_tensor(&rig->attacker.plan, rig->network.logits).data;
    for (uint32_t i = 0; i < IMAGES; i++) {
        double sum = 0;

        for (uint32_t k = 0; k < CLASSES; k++)
            sum += exp((double)logits[i * CLASSES + k]);
        for (uint32_t k = 0; k < CLASSES; k++)
            near((double)rig->attacker.target[i * CLASSES + k],
                 exp((double)logits[i * CLASSES + k]) / sum, 1e-6);
    }
    batch.targets = rig->targets;
    attack_begin(&rig->attacker, &rig->context, &batch);
    assert_memory_equal(rig->attacker.target, rig->targets, sizeof(real) * IMAGES * CLASSES);
}

/* ---- Bits and steps ---- */

static void any_number_of_threads_makes_the_same_bits(void **state)
{
    Rig *rig = *state;

    for (int r = 0; r < ROWS; r++) {
        Choice choice = attack_of(rows[r], 0.1);
        AttackBatch batch = labelled(rig);
        real first[IMAGES * IMAGE];

        batch.targets = NULL;
        choice.value[ATTACK_START] = ATTACK_START_RANDOM;
        memcpy(first, run(rig, &choice, &batch), sizeof first);
        for (unsigned threads = 1; threads < 5; threads += 2) {
            Rig other;

            rig_init(&other, threads);
            batch.images = other.images;
            assert_memory_equal(first, run(&other, &choice, &batch), sizeof first);
            rig_clear(&other);
        }
    }
}

static void every_step_kept_is_where_the_next_one_begins(void **state)
{
    Rig *rig = *state;
    Choice choice = attack_of("pgd_l2", 0.5);
    AttackBatch batch = labelled(rig);
    real whole[IMAGES * IMAGE];

    memcpy(whole, run(rig, &choice, &batch), sizeof whole);
    rig_attack(rig, &choice, IMAGES, true);
    attack_begin(&rig->attacker, &rig->context, &batch);
    for (uint32_t step = 0; step < rig->attacker.steps; step++) {
        real before[IMAGES * IMAGE];

        memcpy(before, rig->attacker.delta, sizeof before);
        memset(rig->attacker.plan.memory, 0x55, rig->attacker.plan.bytes); /* anybody's meanwhile */
        attack_step(&rig->attacker, &rig->context);
        assert_memory_equal(attacker_frame(&rig->attacker, step).before, before, sizeof before);
    }
    assert_memory_equal(rig->attacker.delta, whole, sizeof whole);
    for (uint32_t step = 0; step < rig->attacker.steps; step++) {
        AttackFrame frame = attacker_frame(&rig->attacker, step);

        for (size_t i = 0; i < (size_t)16 * IMAGE; i++) { /* the first block */
            real norm = frame.norm[i / 3 % 16];
            double want = (double)frame.before[i] +
                          (double)(rig->attacker.step_size / norm * frame.gradient[i]);

            near((double)frame.moved[i], want, 1e-6);
        }
    }
}

static void a_network_of_composed_inputs_is_not_attacked(void **state)
{
    Network grouped = network_of("resnet18", SETS({ "width", 2 }), (ModelInput){ 8, 8, 12, 4 });
    Choice choice = attack_of("fgsm", 0.1);
    Attacker none;
    Error err = { 0 };

    (void)state;
    assert_int_equal(attacker_init(&none, &grouped, &choice, 2, false, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/eps");
    network_clear(&grouped);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        RIG_TEST(no_budget_leaves_the_image_as_it_is),
        RIG_TEST(budgets_and_pixels_hold),
        RIG_TEST(fault_7_bounds_are_those_of_the_pixel_in_every_channel),
        RIG_TEST(ten_steps_are_worth_more_than_one),
        RIG_TEST(steps_are_as_long_as_the_formula_or_as_asked),
        RIG_TEST(fault_12_no_weight_and_no_statistic_changes),
        RIG_TEST(an_attack_allocates_nothing),
        RIG_TEST(weights_gone_wild_bring_no_nan_out),
        RIG_TEST(a_start_belongs_to_its_image_however_images_are_grouped),
        RIG_TEST(seed_stream_and_item_each_choose_another_start),
        RIG_TEST(the_own_prediction_is_the_target_unless_one_is_given),
        RIG_TEST(any_number_of_threads_makes_the_same_bits),
        RIG_TEST(every_step_kept_is_where_the_next_one_begins),
        cmocka_unit_test(a_network_of_composed_inputs_is_not_attacked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
