/*
 * lease_faults: the faults that the public code of the method is known for, by their numbers, as
 * far as they concern the four steps: it is held to the opposite of each.
 */
#include "tests/unit/lease_rig.h"

/* Where the five parts (lease_rig.h) end. */
typedef struct Ends {
    uint64_t part[PARTS];
} Ends;

static Ends run_of(const LeaseSpec *spec)
{
    LeaseSpec *own = malloc(sizeof *own);
    Ends ret;
    Job job;

    assert_non_null(own);
    *own = *spec;
    job = job_run(own);
    (void)moved(job.lease);
    memcpy(ret.part, digests, sizeof ret.part);
    job_end(&job);
    return ret;
}

/* The parts in which the runs differ. */
static unsigned difference(const Ends *a, const Ends *b)
{
    unsigned ret = 0;

    for (int i = 0; i < PARTS; i++)
        ret |= (a->part[i] != b->part[i]) << i;
    return ret;
}

/* ---- 4: the audience has no optimiser of its own, and step 3 moves the explainer once more ----
 */

static uint64_t momentum;

/* In step 3 the explainer stands still, its optimiser's memory and place in the schedule, too. */
static void check_explainer_stands_still(Lease *lease, const LeaseStepReport *report)
{
    const Trainer *e = lease->trainer[LEASE_EXPLAINER];
    const uint64_t was = momentum;
    const unsigned have = moved(lease);

    momentum = digest_of(&e->network, e->buffer[0], WEIGHT_TRAINED);
    if (report->phase != LEASE_PHASE_AUDIENCE)
        return;
    assert_int_equal(have, AUDIENCE_WEIGHTS | AUDIENCE_STATISTICS);
    assert_true(momentum == was);
    assert_int_equal(e->step, 3); /* one epoch and a half of two steps each */
}

static void fault_4_step_3_moves_the_audience_and_nothing_of_the_explainer(void **state)
{
    LeaseSpec *spec = small(LEASE_STAGED);
    Pool *pool = pool_of(2);
    Reports *r = reports();
    Lease *lease;

    (void)state;
    spec->rounds = 1;
    spec->architecture_epochs = 0;
    lease = lease_of(spec, pool);
    r->each = check_explainer_stands_still;
    run_well(lease, r);
    assert_int_equal(lease->trainer[LEASE_AUDIENCE]->step, 2);
    lease_free(lease);
    pool_free(pool);
    free(spec);
    free(r);
}

/* Rate, momentum, clip and schedule of the audience are its own: who changes them finds another
 * audience, and the explainer and the architecture as they were. */
static void fault_4_the_audience_has_its_own_optimiser_schedule_and_clip(void **state)
{
    static const struct {
        const char *param;
        double value;
    } changes[] = { { "lr", 0.03 }, { "momentum", 0.5 }, { "clip", 0.1 } };
    LeaseSpec *spec = small(LEASE_STAGED);
    Ends first, other;

    (void)state;
    spec->rounds = 1;
    spec->hypergrad = HYPERGRAD_FIRST; /* in which the audience does not count */
    first = run_of(spec);
    for (size_t i = 0; i <= sizeof changes / sizeof *changes; i++) {
        LeaseSpec changed = *spec;

        if (i < sizeof changes / sizeof *changes)
            set(&changed.audience.optimizer, optimizer_table, changes[i].param, changes[i].value);
        else
            changed.audience.schedule = choice(schedule_table, "constant");
        other = run_of(&changed);
        assert_int_equal(difference(&first, &other) & ~AUDIENCE_STATISTICS, AUDIENCE_WEIGHTS);
    }
    free(spec);
}

/* ---- 8: one small step after a random start makes delta mostly noise ---- */

static void check_explained(Lease *lease, const LeaseStepReport *report)
{
    const Trainer *e = lease->trainer[LEASE_EXPLAINER];

    if (report->phase == LEASE_PHASE_EXPLAINER)
        assert_false(lease->explained[SPLIT_TRAIN]); /* it would be of an explainer that is gone */
    if (report->phase == LEASE_PHASE_AUDIENCE) {
        assert_true(lease->explained[SPLIT_TRAIN]);
        assert_int_equal(e->step, (report->step + 4) / 5 * 3); /* all steps of its round */
    }
}

static void fault_8_the_explainer_has_learned_before_it_explains(void **state)
{
    LeaseSpec *spec = small(LEASE_STAGED);
    Job job;

    (void)state;
    spec->architecture_epochs = 0; /* rounds of three and two steps */
    job = job_of(spec);
    job.r->each = check_explained;
    run_well(job.lease, job.r);
    assert_int_equal(job.r->steps, 10);
    job_end(&job);
}

/* From wherever it begins an attack can reach every place of its ball; FGSM is one step by name. */
static void fault_8_the_default_steps_reach_through_the_ball(void **state)
{
    TrainSpec train = tiny();
    Pool *pool = pool_of(1);
    Trainer *trainer = trainer_of(&train, pool);

    (void)state;
    for (uint32_t i = 0; attack_table[i] != NULL; i++) {
        ExplanationSpec spec = explanation_of(attack_table[i]->described.name);
        const Choice attack = explanation_attack(&spec);
        Attacker a;
        double way;

        assert_int_equal(attacker_init(&a, &trainer->network, &attack, 1, false, NULL), STATUS_OK);
        way = (double)a.step_size * a.steps / (double)a.eps;
        if (a.steps > 1 && way < 2)
            fail_msg("%s goes %g of eps", a.row->described.name, way);
        assert_true(a.steps > 1 || strcmp(a.row->described.name, "fgsm") == 0);
        attacker_clear(&a);
    }
    trainer_free(trainer);
    pool_free(pool);
}

/* Deltas of the training images, by so many steps of this size (0: the default). */
static void explain(LeaseSpec *spec, Pool *pool, uint32_t steps, double step_size, MapSet *ret)
{
    Lease *lease;

    spec->explanation.steps = steps;
    spec->explanation.step_size = step_size;
    lease = lease_of(spec, pool);
    assert_int_equal(lease_explain(lease, SPLIT_TRAIN, NULL, NULL), STATUS_OK);
    assert_int_equal(mapset_new(&lease->maps[SPLIT_TRAIN].shape, ret, NULL), STATUS_OK);
    memcpy(ret->storage, lease->maps[SPLIT_TRAIN].storage,
           mapset_bytes(&lease->maps[SPLIT_TRAIN].shape));
    lease_free(lease);
}

/* The cosine between two sets of deltas. */
static double alike(const MapSet *a, const MapSet *b)
{
    const size_t count = mapset_image_numbers(&a->shape);
    float *x = malloc(count * sizeof *x), *y = malloc(count * sizeof *y);
    double dot = 0, squares[2] = { 0 };

    assert_non_null(x);
    assert_non_null(y);
    for (uint32_t i = 0; i < a->shape.images; i++) {
        mapset_get(a, i, x);
        mapset_get(b, i, y);
        for (size_t k = 0; k < count; k++) {
            dot += (double)(x[k] * y[k]);
            squares[0] += (double)(x[k] * x[k]);
            squares[1] += (double)(y[k] * y[k]);
        }
    }
    free(x);
    free(y);
    return dot / sqrt(squares[0] * squares[1]);
}

static void fault_8_little_is_left_of_where_an_attack_began(void **state)
{
    LeaseSpec *spec = small(LEASE_STAGED);
    const ExplanationSpec defaults = explanation_of("pgd_l2");
    Pool *pool = pool_of(1);
    MapSet start, one, whole;

    (void)state;
    explain(spec, pool, 1, 1e-6, &start);
    explain(spec, pool, 1, defaults.eps / 4, &one); /* as the public code: 2/255 after 8/255 */
    explain(spec, pool, defaults.steps, 0, &whole);
    assert_true(alike(&one, &start) > 0.9);
    assert_true(alike(&whole, &start) < 0.6);
    mapset_clear(&start);
    mapset_clear(&one);
    mapset_clear(&whole);
    pool_free(pool);
    free(spec);
}

/* ---- 9: the audience's loss is missing from the architecture's objective ---- */

/* Step 4 is the last one here, so that nothing else can differ. By an attack along the sign of the
 * gradient the audience adds exactly nothing, as is said of it. */
static void fault_9_the_audiences_loss_moves_the_architecture(void **state)
{
    static const struct {
        const char *source;
        unsigned differs;
    } cases[] = { { "pgd_l2", ALPHAS }, { "cam", ALPHAS }, { "pgd_linf", 0 } };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        LeaseSpec *spec = small(LEASE_STAGED);
        Ends without, with;

        spec->rounds = 1;
        spec->explanation = explanation_of(cases[i].source);
        spec->lambda = 0;
        without = run_of(spec);
        spec->lambda = 1;
        with = run_of(spec);
        assert_int_equal(difference(&without, &with), cases[i].differs);
        free(spec);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fault_4_step_3_moves_the_audience_and_nothing_of_the_explainer),
        ALONE(fault_4_the_audience_has_its_own_optimiser_schedule_and_clip),
        ALONE(fault_8_the_explainer_has_learned_before_it_explains),
        ALONE(fault_8_the_default_steps_reach_through_the_ball),
        ALONE(fault_8_little_is_left_of_where_an_attack_began),
        ALONE(fault_9_the_audiences_loss_moves_the_architecture),
    };

    return cmocka_run_group_tests(tests, make_data, NULL);
}
