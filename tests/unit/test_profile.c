/* What steps cost, what they should take, what they took: and that looking changes nothing. */
#include "tests/unit/train_rig.h"

#include "core/graph/roofline.h"

/* Of run.c: how often a step's time was taken. */
static unsigned added;

void __real_profile_add(Profile *profile, const Plan *plan, NodeId step, StepDirection direction,
                        double seconds);
void __wrap_profile_add(Profile *profile, const Plan *plan, NodeId step, StepDirection direction,
                        double seconds);

void __wrap_profile_add(Profile *profile, const Plan *plan, NodeId step, StepDirection direction,
                        double seconds)
{
    added++;
    __real_profile_add(profile, plan, step, direction, seconds);
}

/* ---- costs ---- */

/* 2 images of 8x8x3 -> a convolution to 4 channels -> a convolution to 5 -> their mean. */
static Graph convolutions(NodeId ret[4])
{
    Graph g;

    graph_init(&g);
    ret[0] = graph_input(&g, "x", shape4(1, 8, 8, 3));
    ret[1] = graph_node(&g, "conv2d", "first", ret[0], NODE_NONE,
                        GRAPH_PARAMS({ "channels", 4 }, { "padding", 1 }, { "bias", 1 }));
    ret[2] = graph_node(&g, "conv2d", "second", ret[1], NODE_NONE,
                        GRAPH_PARAMS({ "channels", 5 }, { "kernel", 1 }));
    ret[3] = graph_node(&g, "global_avg_pool", "mean", ret[2], NODE_NONE, NULL);
    assert_int_equal(graph_status(&g, NULL), STATUS_OK);
    return g;
}

static Plan plan_of(const Graph *g, NodeId output, unsigned gradients)
{
    PlanSpec spec = { .images = 2,
                      .training = true,
                      .gradients = gradients,
                      .output = output,
                      .gradient_to = NODE_NONE,
                      .keep = { NODE_NONE } };
    Plan plan = { 0 };

    assert_int_equal(plan_init(&plan, g, &spec, NULL), STATUS_OK);
    return plan;
}

static void a_step_costs_its_flops_and_each_array_once(void **state)
{
    const double x = 2 * 8 * 8 * 3 * sizeof(real), y = 2 * 8 * 8 * 4 * sizeof(real),
                 z = 2 * 8 * 8 * 5 * sizeof(real), w1 = (4 * 3 * 3 * 3 + 4) * sizeof(real),
                 w2 = 5 * 4 * sizeof(real), product1 = 2.0 * 2 * 8 * 8 * 4 * 27,
                 product2 = 2.0 * 2 * 8 * 8 * 5 * 4;
    NodeId node[4];
    Graph g = convolutions(node);
    Plan plan = plan_of(&g, node[3], GRADIENT_TRAINED);
    StepCost cost = step_cost(&plan, node[1], STEP_FORWARD);

    (void)state;
    assert_true(cost.flops == product1 && cost.bytes == x + y + w1);
    assert_true(cost.done_flops == cost.flops); /* too few channels for Winograd's method */
    cost = step_cost(&plan, node[2], STEP_FORWARD);
    assert_true(cost.flops == product2 && cost.bytes == y + z + w2);
    /* Nobody wants the image's gradient: weights only, which are read, added to and written. */
    cost = step_cost(&plan, node[1], STEP_BACKWARD);
    assert_true(cost.flops == product1 && cost.bytes == y + x + 3 * w1);
    /* Weights and data: the input is read for the one, and its gradient written for the other. */
    cost = step_cost(&plan, node[2], STEP_BACKWARD);
    assert_true(cost.flops == 2 * product2 && cost.bytes == z + y + y + 3 * w2);
    cost = step_cost(&plan, node[3], STEP_FORWARD);
    assert_true(cost.flops == 0);
    plan_clear(&plan);
    graph_clear(&g);
}

static void what_is_added_to_is_read_and_written(void **state)
{
    NodeId x, a, b, c, sum, end;
    Graph g;
    Plan plan;
    double one = 2 * 4 * 4 * 3 * sizeof(real), weights = 3 * 3 * sizeof(real), bytes[2];

    (void)state;
    graph_init(&g);
    x = graph_input(&g, "x", shape4(1, 4, 4, 3));
    a = graph_node(&g, "conv2d", "a", x, NODE_NONE,
                   GRAPH_PARAMS({ "channels", 3 }, { "kernel", 1 }));
    b = graph_node(&g, "conv2d", "b", a, NODE_NONE,
                   GRAPH_PARAMS({ "channels", 3 }, { "kernel", 1 }));
    c = graph_node(&g, "conv2d", "c", a, NODE_NONE,
                   GRAPH_PARAMS({ "channels", 3 }, { "kernel", 1 }));
    sum = graph_node(&g, "add", "sum", b, c, NULL);
    end = graph_node(&g, "global_avg_pool", "end", sum, NODE_NONE, NULL);
    plan = plan_of(&g, end, GRADIENT_TRAINED);
    bytes[0] = step_cost(&plan, c, STEP_BACKWARD).bytes; /* the first to write a's gradient */
    bytes[1] = step_cost(&plan, b, STEP_BACKWARD).bytes; /* adds to it */
    assert_true(bytes[0] == 3 * one + 3 * weights);
    assert_true(bytes[1] == 4 * one + 3 * weights);
    plan_clear(&plan);
    graph_clear(&g);
}

/* 32x32 pixels are 64 tiles of 4x4, of 36 products each instead of 144. */
static void winograds_method_spares_three_quarters(void **state)
{
    Graph g;
    NodeId x, first, second;
    Plan plan;
    StepCost cost;

    (void)state;
    graph_init(&g);
    x = graph_input(&g, "x", shape4(1, 32, 32, 64));
    first = graph_node(&g, "conv2d", "first", x, NODE_NONE,
                       GRAPH_PARAMS({ "channels", 64 }, { "padding", 1 }));
    second = graph_node(&g, "conv2d", "second", first, NODE_NONE,
                        GRAPH_PARAMS({ "channels", 64 }, { "padding", 1 }));
    plan = plan_of(&g, second, GRADIENT_TRAINED);
    for (StepDirection d = STEP_FORWARD; d < STEP_DIRECTIONS; d++) {
        cost = step_cost(&plan, second, d);
        assert_true(cost.flops == (1 + d) * 2.0 * 2 * 32 * 32 * 64 * 64 * 9);
        assert_true(cost.done_flops == cost.flops / 4);
    }
    plan_clear(&plan);
    graph_clear(&g);
}

/* ---- limits ---- */

static void the_least_time_is_that_of_the_slower_limit(void **state)
{
    const Roofline limits = { .flops = 100, .bytes = 10 };

    (void)state;
    assert_true(roofline_seconds(&limits, &(StepCost){ .done_flops = 1000, .bytes = 10 }) == 10);
    assert_true(roofline_seconds(&limits, &(StepCost){ .done_flops = 1000, .bytes = 200 }) == 20);
    assert_true(roofline_seconds(&limits, &(StepCost){ .flops = 1000 }) == 0);
}

/* sgemm's rate is what a family's multiply-adds have to bear; memory is slower than the registers
 * of any machine. */
static void the_limits_of_every_family_are_measured(void **state)
{
    const Kernels *const *families = kernels_available();
    Pool *pool = NULL;

    (void)state;
    assert_int_equal(pool_new(2, &pool, NULL), STATUS_OK);
    for (; *families != NULL; families++) {
        Roofline limits;
        real sum = 0;

        assert_int_equal(roofline_measure(pool, *families, &limits, NULL), STATUS_OK);
        assert_true(isfinite(limits.flops) && isfinite(limits.bytes));
        assert_true(limits.flops > 1e7 && limits.bytes > 1e7);
        assert_true((*families)->peak(1000, &sum) >= 2000);
        assert_true(sum > 1); /* that it was computed */
    }
    pool_free(pool);
}

/* ---- a trainer's profile ---- */

typedef struct Run {
    Trainer *trainer;
    Pool *pool;
} Run;

static Run run_profiled(uint32_t steps, unsigned threads, double epochs)
{
    TrainSpec spec = tiny();
    Observer observer = { 0 };
    Run run = { 0 };

    spec.profile = steps;
    spec.epochs = epochs;
    added = 0;
    assert_int_equal(pool_new(threads, &run.pool, NULL), STATUS_OK);
    assert_int_equal(trainer_new(&spec, &data, run.pool, &run.trainer, NULL), STATUS_OK);
    assert_int_equal(trainer_run(run.trainer, &observer, NULL), STATUS_OK);
    return run;
}

static void run_end(Run *run)
{
    trainer_free(run->trainer);
    pool_free(run->pool);
}

static void without_a_profile_no_time_is_taken(void **state)
{
    Run run = run_profiled(0, 1, 2);

    (void)state;
    assert_int_equal(added, 0);
    assert_false(profile_is_done(trainer_profile(run.trainer)));
    assert_null(trainer_profile(run.trainer));
    run_end(&run);
}

static void each_step_of_a_plan_is_timed_in_the_directions_it_runs_in(void **state)
{
    Run run = run_profiled(2, 1, 2); /* of 8 steps */
    const Profile *p = trainer_profile(run.trainer);
    const Plan *plan = &run.trainer->plan[0];
    unsigned items = 0;
    double seconds = 0;

    (void)state;
    assert_true(profile_is_done(p));
    assert_int_equal(p->steps, 2);
    for (NodeId i = 0; i < p->graph->nodes; i++)
        for (StepDirection d = STEP_FORWARD; d < STEP_DIRECTIONS; d++) {
            const ProfileItem *item = &p->item[d * p->graph->nodes + i];
            bool runs = plan->node[i].op != NULL &&
                        (d == STEP_FORWARD ? plan->node[i].runs : plan->node[i].backward);

            assert_int_equal(item->plan != NULL, runs);
            assert_int_equal(item->calls, runs ? 2 : 0);
            assert_true(!runs || (item->cost.bytes > 0 && item->seconds > 0));
            items += runs;
            seconds += item->seconds;
        }
    assert_int_equal(added, 2 * items);
    assert_true(items > 70);
    assert_true(seconds > 0 && seconds <= p->seconds);
    run_end(&run);
}

/* The first steps are never measured; of a short run, what is left is. */
static void a_short_run_measures_what_it_has(void **state)
{
    static const struct {
        double epochs;
        uint32_t wanted, steps;
    } rows[] = {
        { 2, 100, 8 - PROFILE_SKIP },
        { 1, 100, 4 - PROFILE_SKIP },
        { 0.75, 100, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Run run = run_profiled(rows[i].wanted, 1, rows[i].epochs);
        const Profile *p = trainer_profile(run.trainer);

        assert_int_equal(p->steps, rows[i].steps);
        assert_int_equal(profile_is_done(p), rows[i].steps > 0);
        run_end(&run);
    }
}

static void the_numbers_are_the_same_with_a_profile(void **state)
{
    Run plain = run_profiled(0, 2, 2), profiled = run_profiled(100, 2, 2);
    size_t bytes = plain.trainer->network.graph.weight_numbers * sizeof(real);

    (void)state;
    assert_true(added > 0);
    assert_memory_equal(plain.trainer->network.weights, profiled.trainer->network.weights, bytes);
    run_end(&profiled);
    run_end(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_costs_its_flops_and_each_array_once),
        cmocka_unit_test(what_is_added_to_is_read_and_written),
        cmocka_unit_test(winograds_method_spares_three_quarters),
        cmocka_unit_test(the_least_time_is_that_of_the_slower_limit),
        cmocka_unit_test(the_limits_of_every_family_are_measured),
        cmocka_unit_test(without_a_profile_no_time_is_taken),
        cmocka_unit_test(each_step_of_a_plan_is_timed_in_the_directions_it_runs_in),
        cmocka_unit_test(a_short_run_measures_what_it_has),
        cmocka_unit_test(the_numbers_are_the_same_with_a_profile),
    };

    return cmocka_run_group_tests(tests, make_data, NULL);
}
