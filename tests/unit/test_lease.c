/*
 * lease: each step moves its own and nothing else; the four steps alternate as said, and schedules
 * go on from round to round; explanations of validation images carry no label; it says no in time.
 * Bits and memory: test_lease_bits.c.
 */
#include "tests/unit/lease_rig.h"

/* ---- What moves ---- */

static void check_what_moved(Lease *lease, const LeaseStepReport *report)
{
    static const unsigned want[] = {
        [LEASE_PHASE_EXPLAINER] = EXPLAINER_WEIGHTS | EXPLAINER_STATISTICS,
        [LEASE_PHASE_AUDIENCE] = AUDIENCE_WEIGHTS | AUDIENCE_STATISTICS,
        [LEASE_PHASE_ARCHITECTURE] = ALPHAS,
        [LEASE_PHASE_JOINT] = EXPLAINER_WEIGHTS | EXPLAINER_STATISTICS | ALPHAS | AUDIENCE_WEIGHTS |
                              AUDIENCE_STATISTICS,
    };
    unsigned have = moved(lease);

    if (have != want[report->phase])
        fail_msg("step %llu, of the phase %s, has moved %#x, not %#x",
                 (unsigned long long)report->step, lease_phase_names[report->phase], have,
                 want[report->phase]);
}

/* Fault 4: in step 3 the audience moves and the explainer does not. Between the steps stand the
 * explanations of whole splits (step 2) and the evaluations, which move nothing. */
static void each_step_moves_its_own(void **state)
{
    (void)state;
    for (int hypergrad = 0; hypergrad < HYPERGRADS; hypergrad++)
        for (LeaseMode mode = 0; mode < LEASE_ALPHAS; mode++) {
            LeaseSpec *spec = small(mode);
            Job job;

            spec->hypergrad = (Hypergrad)hypergrad;
            spec->epochs = spec->rounds = 1;
            job = job_of(spec);
            (void)moved(job.lease);
            job.r->each = check_what_moved;
            run_well(job.lease, job.r);
            assert_int_equal(moved(job.lease), 0);
            job_end(&job);
        }
}

static void alphas_stand_still_until_they_may_move(void **state)
{
    LeaseSpec *spec = small(LEASE_JOINT);
    const Reports *r;
    Job job;

    (void)state;
    spec->alpha_start_epoch = 1;
    job = job_run(spec);
    r = job.r;
    assert_int_equal(r->steps, 4);
    for (unsigned i = 0; i < r->steps; i++)
        assert_true(isnan(r->step[i].val_loss) == (i < 2));
    assert_true(r->epoch[0].entropy[CELL_NORMAL] != r->epoch[1].entropy[CELL_NORMAL]);
    job_end(&job);
}

/* Fault 12: nor do BN statistics, in any explanation. */
static void explaining_moves_nothing(void **state)
{
    static const char *const sources[] = { "fgsm", "pgd_linf", "pgd_l2", "gradcam", "cam" };

    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        LeaseSpec *spec = small(LEASE_STAGED);
        Job job;

        spec->explanation = explanation_of(sources[i]);
        spec->hypergrad = HYPERGRAD_FIRST;
        job = job_of(spec);
        (void)moved(job.lease);
        for (Split split = 0; split < SPLIT_COUNT; split++) {
            assert_int_equal(lease_explain(job.lease, split, NULL, NULL), STATUS_OK);
            assert_true(job.lease->maps[split].max[0] > 0);
        }
        assert_int_equal(moved(job.lease), 0);
        job_end(&job);
    }
}

/* ---- The program ---- */

/* Fault 8: the explainer is trained before it explains. */
static void stages_follow_each_other_and_rates_go_on(void **state)
{
    static const LeasePhase want[] = { LEASE_PHASE_EXPLAINER,   LEASE_PHASE_EXPLAINER,
                                       LEASE_PHASE_EXPLAINER,   LEASE_PHASE_AUDIENCE,
                                       LEASE_PHASE_AUDIENCE,    LEASE_PHASE_ARCHITECTURE,
                                       LEASE_PHASE_ARCHITECTURE };
    enum { ROUND = sizeof want / sizeof *want };
    Job job = job_run(small(LEASE_STAGED));
    const Reports *r = job.r;
    double last[LEASE_NETWORKS] = { 1, 1 };

    (void)state;
    assert_int_equal(r->steps, 2 * ROUND);
    assert_int_equal(r->step[0].steps, 2 * ROUND);
    for (unsigned i = 0; i < r->steps; i++) {
        const LeaseStepReport *s = &r->step[i];

        assert_int_equal(s->step, i + 1);
        assert_int_equal(s->phase, want[i % ROUND]);
        for (int n = 0; n < LEASE_NETWORKS; n++) {
            const bool learned = (int)s->phase == n;

            assert_int_equal(s->train[n].images, learned ? 16 : 0);
            assert_true(learned ? s->learning_rate[n] < last[n] : s->learning_rate[n] == 0);
            last[n] = learned ? s->learning_rate[n] : last[n];
        }
        assert_true(isnan(s->val_loss) == (s->phase != LEASE_PHASE_ARCHITECTURE));
    }
    /* One whole and one partial epoch of the explainer, one each of the others. */
    assert_int_equal(r->epochs, 8);
    for (unsigned i = 0; i < r->epochs; i++) {
        static const uint32_t learned[] = { 32, 16, 0, 0 };
        static const LeasePhase of[] = { LEASE_PHASE_EXPLAINER, LEASE_PHASE_EXPLAINER,
                                         LEASE_PHASE_AUDIENCE, LEASE_PHASE_ARCHITECTURE };

        assert_int_equal(r->epoch[i].epoch, i + 1);
        assert_int_equal(r->epoch[i].round, i / 4);
        assert_int_equal(r->epoch[i].phase, of[i % 4]);
        assert_int_equal(r->epoch[i].train[LEASE_EXPLAINER].images, learned[i % 4]);
        assert_int_equal(r->epoch[i].train[LEASE_AUDIENCE].images, i % 4 == 2 ? 32 : 0);
    }
    job_end(&job);
}

/* Fault 5: on raw and on reweighted images, both networks. */
static void every_epoch_reports_both_networks(void **state)
{
    (void)state;
    for (LeaseMode mode = 0; mode < LEASE_ALPHAS; mode++) {
        Job job = job_run(small(mode));
        const Reports *r = job.r;

        assert_true(r->epochs > 0);
        for (unsigned i = 0; i < r->epochs; i++) {
            const LeaseEpochReport *e = &r->epoch[i];

            for (int n = 0; n < LEASE_NETWORKS; n++)
                for (int k = 0; k < LEASE_IMAGES; k++) {
                    assert_int_equal(e->score[n][SPLIT_VAL][k].images, 32);
                    assert_int_equal(e->score[n][SPLIT_TEST][k].images, TEST);
                    assert_true(e->score[n][SPLIT_VAL][k].loss > 0);
                }
            for (int n = 0; n < LEASE_NETWORKS; n++)
                assert_true(e->score[n][SPLIT_VAL][LEASE_RAW].loss !=
                            e->score[n][SPLIT_VAL][LEASE_REWEIGHTED].loss);
            assert_true(e->architecture);
            assert_true(e->entropy[CELL_NORMAL] > 0 && e->entropy[CELL_NORMAL] <= log(3) + 1e-6);
        }
        job_end(&job);
    }
}

static void both_networks_learn(void **state)
{
    (void)state;
    for (LeaseMode mode = 0; mode < LEASE_ALPHAS; mode++) {
        LeaseSpec *spec = small(mode);
        const Reports *r;
        Job job;

        spec->epochs = spec->explainer.epochs = spec->audience.epochs = 10;
        spec->rounds = 1;
        spec->explainer.augments = spec->audience.augments = 0; /* 32 images, learned by heart */
        set(&spec->audience.optimizer, optimizer_table, "lr", 0.01);
        spec->explanation = explanation_of("gradcam");
        spec->hypergrad = HYPERGRAD_FIRST;
        job = job_run(spec);
        r = job.r;
        for (int n = 0; n < LEASE_NETWORKS; n++) {
            double loss[20] = { 0 }, first, last;
            unsigned steps = 0;

            for (unsigned i = 0; i < r->steps; i++)
                if (r->step[i].train[n].images > 0)
                    loss[steps++] = r->step[i].train[n].loss;
            assert_int_equal(steps, 20);
            first = (loss[0] + loss[1]) / 2;
            last = (loss[16] + loss[17] + loss[18] + loss[19]) / 4;
            if (!(last < 0.8 * first))
                fail_msg("%s, %s: from %g to %g", lease_mode_names[mode], lease_network_names[n],
                         first, last);
        }
        job_end(&job);
    }
}

/* ---- Explanations ---- */

/* Validation and test images are explained for the prediction: other labels, same maps. */
static void validation_explanations_carry_no_label(void **state)
{
    Job job = job_of(small(LEASE_STAGED));
    Lease *lease = job.lease;
    MapSet was[SPLIT_COUNT];
    const size_t numbers = mapset_image_numbers(&lease->maps[SPLIT_VAL].shape);

    (void)state;
    assert_int_equal(job.spec->explanation.target, TARGET_LABEL);
    for (Split split = 0; split < SPLIT_COUNT; split++) {
        assert_int_equal(lease_explain(lease, split, NULL, NULL), STATUS_OK);
        assert_int_equal(mapset_new(&lease->maps[split].shape, &was[split], NULL), STATUS_OK);
        memcpy(was[split].storage, lease->maps[split].storage,
               mapset_bytes(&lease->maps[split].shape));
    }
    for (int i = 0; i < TRAIN; i++)
        rig_train_labels[i] = (uint16_t)((rig_train_labels[i] + 1) % CLASSES);
    for (int i = 0; i < TEST; i++)
        rig_test_labels[i] = (uint16_t)((rig_test_labels[i] + 1) % CLASSES);
    memset(lease->explained, 0, sizeof lease->explained);
    for (Split split = 0; split < SPLIT_COUNT; split++) {
        const bool differs = split == SPLIT_TRAIN;
        int difference;

        assert_int_equal(lease_explain(lease, split, NULL, NULL), STATUS_OK);
        difference = memcmp(was[split].values, lease->maps[split].values,
                            was[split].shape.images * numbers * sizeof *was[split].values);
        assert_true((difference != 0) == differs);
        mapset_clear(&was[split]);
    }
    rig_data(SIDE);
    job_end(&job);
}

static void a_grouped_audience_has_channels_for_every_class(void **state)
{
    (void)state;
    for (LeaseMode mode = 0; mode < LEASE_ALPHAS; mode++) {
        LeaseSpec *spec = small(mode);
        const Reports *r;
        const Lease *lease;
        Job job;

        spec->explanation = explanation_of("cam");
        spec->explanation.classes = CLASSES_ALL;
        spec->input = COMPOSE_IMAGE_MAPS;
        job = job_run(spec);
        lease = job.lease;
        r = job.r;
        assert_true(lease->full);
        assert_int_equal(lease->trainer[LEASE_AUDIENCE]->network.input.channels, 3 * CLASSES + 3);
        /* Fault 3: as many outputs as the data have classes. */
        assert_int_equal(lease->trainer[LEASE_AUDIENCE]->network.input.classes, CLASSES);
        for (int k = 0; k < LEASE_IMAGES; k++)
            assert_int_equal(r->epoch[0].score[LEASE_AUDIENCE][SPLIT_VAL][k].images, 32);
        assert_int_equal(r->epoch[0].score[LEASE_EXPLAINER][SPLIT_VAL][LEASE_REWEIGHTED].images, 0);
        job_end(&job);
    }
}

/* What a joint step composes is what a loader composes of the same maps, but for their halves. */
static void a_batch_at_hand_is_composed_as_a_stored_one(void **state)
{
    static const char *const sources[] = { "pgd_l2", "gradcam" };

    (void)state;
    for (int i = 0; i < 2; i++) {
        LeaseSpec *spec = small(LEASE_JOINT);
        Pool *pool = pool_of(1);
        Lease *lease;
        uint32_t items[16];
        uint16_t labels[16];
        float *stored, *images;
        Loader loader;
        Composer composer;
        MapSet maps;
        BatchSpec batch;
        ExplanationBatch explained;
        RunContext context;
        Group group;

        spec->explanation = explanation_of(sources[i]);
        spec->hypergrad = HYPERGRAD_FIRST;
        spec->input = COMPOSE_IMAGE_MAPS;
        lease = lease_of(spec, pool);
        loader = lease->trainer[LEASE_EXPLAINER]->loader;
        images = malloc(16 * SIDE * SIDE * 3 * sizeof *images);
        stored = malloc(16 * SIDE * SIDE * 6 * sizeof *stored);
        for (uint32_t k = 0; k < 16; k++)
            items[k] = k;
        batch = (BatchSpec){ .split = SPLIT_TRAIN, .items = items, .count = 16 };
        batch.scratch = aligned_alloc(64, arena_round(loader_scratch_bytes(&lease->loader, 16)));
        loader_batch(&loader, NULL, &batch, images, labels, NULL);
        context = lease_context(lease, LEASE_EXPLAINER);
        explained = (ExplanationBatch){
            .images = images, .labels = labels, .items = items, .split = SPLIT_TRAIN, .seed = 1
        };
        explanation_run(&lease->live, &context, &explained);
        assert_int_equal(mapset_new(&lease->maps[SPLIT_TRAIN].shape, &maps, NULL), STATUS_OK);
        for (uint32_t k = 0; k < 32; k++)
            explanation_put(&lease->live, k % 16, &maps, k, loader.index[SPLIT_TRAIN][k]);
        lease->compose[LEASE_AUDIENCE].maps[SPLIT_TRAIN] = &maps;
        assert_int_equal(composer_init(&composer, &loader, &lease->compose[LEASE_AUDIENCE], NULL),
                         STATUS_OK);
        loader_set_composer(&loader, &composer);
        free(batch.scratch);
        batch.scratch = aligned_alloc(64, arena_round(loader_scratch_bytes(&loader, 16)));
        loader_batch(&loader, NULL, &batch, stored, labels, NULL);

        group = (Group){ shape4(16, SIDE, SIDE, 3), i == 0 ? 0 : 1, COMPOSE_IMAGE_MAPS };
        if (i == 0) {
            reweight_batch(&spec->explanation.reweight, pool, &group.shape, images,
                           lease->live.delta, lease->reweighted_images);
            group_delta(&group, pool, images, lease->reweighted_images, lease->input);
        } else {
            ReweightLine line = reweight_line(&spec->explanation.reweight);

            group_factors(&group, pool, &line, lease->live.shape.height, lease->live.shape.width,
                          lease->live.maps, lease->room, lease->factors);
            group_maps(&group, pool, images, lease->factors, lease->input);
        }
        for (size_t k = 0; k < 16 * SIDE * SIDE * 6; k++)
            near((double)lease->input[k], (double)stored[k], 2e-3);
        free(batch.scratch);
        free(stored);
        free(images);
        composer_clear(&composer);
        mapset_clear(&maps);
        lease_free(lease);
        pool_free(pool);
        free(spec);
    }
}

static void is_refused(const LeaseSpec *spec, const char *pointer, const char *says)
{
    LeaseEstimate estimate;
    Error err = { 0 };

    assert_int_not_equal(lease_estimate(spec, &data, &estimate, &err), STATUS_OK);
    if (strcmp(err.detail[0].pointer, pointer) != 0 || strstr(error_message(&err), says) == NULL)
        fail_msg("\"%s\" at \"%s\", not \"%s\" at \"%s\"", error_message(&err),
                 err.detail[0].pointer, says, pointer);
}

/* ---- Other beginnings ---- */

static void an_explainer_without_architecture_is_fine(void **state)
{
    (void)state;
    for (LeaseMode mode = 0; mode < LEASE_ALPHAS; mode++) {
        LeaseSpec *spec = small(mode);
        const Reports *r;
        Job job;

        spec->explainer.model = spec->audience.model;
        job = job_run(spec);
        r = job.r;
        for (unsigned i = 0; i < r->steps; i++)
            assert_true(r->step[i].phase != LEASE_PHASE_ARCHITECTURE && isnan(r->step[i].val_loss));
        assert_false(r->epoch[0].architecture);
        job_end(&job);
    }
}

/* The paper's section 4.3; then step 4 alone, with both networks of files. */
static void networks_come_from_files(void **state)
{
    TrainSpec given = tiny();
    LeaseSpec *spec = small(LEASE_STAGED);
    Pool *pool = pool_of(1);
    Scratch scratch = scratch_new();
    Path explainer, audience;
    Reports *r = reports();
    Trainer *trainer;
    Lease *lease;
    uint64_t want;

    (void)state;
    path_in(&scratch, "explainer", explainer);
    path_in(&scratch, "audience", audience);
    given.seed = 77;
    trainer = trainer_of(&given, pool);
    assert_int_equal(trainer_save(trainer, audience, NULL), STATUS_OK);
    trainer_free(trainer);
    given.model = spec->explainer.model;
    trainer = trainer_of(&given, pool);
    want = digest(&trainer->network, WEIGHT_TRAINED);
    assert_int_equal(trainer_save(trainer, explainer, NULL), STATUS_OK);
    trainer_free(trainer);

    spec->explainer_checkpoint = explainer;
    spec->explainer.model = given.model;
    spec->explainer.epochs = 0;
    lease = lease_of(spec, pool);
    assert_true(digest(&lease->trainer[LEASE_EXPLAINER]->network, WEIGHT_TRAINED) == want);
    run_well(lease, r);
    assert_true(digest(&lease->trainer[LEASE_EXPLAINER]->network, WEIGHT_TRAINED) == want);
    assert_int_equal(r->step[0].phase, LEASE_PHASE_AUDIENCE);
    lease_free(lease);

    memset(r, 0, sizeof *r);
    spec->mode = LEASE_ALPHAS;
    spec->audience_checkpoint = audience;
    spec->input = COMPOSE_IMAGE_MAPS;
    is_refused(spec, "/audience/checkpoint", "3 channels, what the audience sees has 6");
    spec->input = COMPOSE_MAPS;
    lease = lease_of(spec, pool);
    (void)moved(lease);
    r->each = check_what_moved;
    run_well(lease, r);
    assert_int_equal(r->steps, 4);
    assert_int_equal(r->epochs, 2);
    lease_free(lease);
    scratch_remove(&scratch);
    pool_free(pool);
    free(spec);
    free(r);
}

/* ---- No ---- */

static void what_cannot_be_done_is_refused(void **state)
{
    LeaseSpec *spec = small(LEASE_STAGED);

    (void)state;
    spec->explanation = explanation_of("gradcam");
    is_refused(spec, "/hypergrad", "not through gradcam");
    free(spec);
    spec = small(LEASE_STAGED);
    spec->explanation.eps = -1;
    is_refused(spec, "/explanation/eps", "");
    free(spec);
    spec = small(LEASE_STAGED);
    spec->explainer.batch_size = 33;
    is_refused(spec, "/explainer/batch_size", "33");
    free(spec);
    spec = small(LEASE_STAGED);
    spec->audience.batch_size = 33;
    is_refused(spec, "/audience/batch_size", "33");
    free(spec);
    spec = small(LEASE_JOINT);
    spec->data.val_images = 10;
    is_refused(spec, "/explainer/batch_size", "10 images of the split val fill no batch of 16");
    free(spec);
    spec = small(LEASE_STAGED);
    spec->audience.augment[1] = choice(augmentation_table, "cutout");
    is_refused(spec, "/audience/augment/1", "crop and flip only");
    free(spec);
    spec = small(LEASE_STAGED);
    spec->data.val_images = 64;
    is_refused(spec, "/val_images", "");
    free(spec);
    spec = small(LEASE_STAGED);
    snprintf(spec->explainer.model.text, sizeof spec->explainer.model.text, "skip_connect,x");
    is_refused(spec, "/explainer/model/space", "");
    free(spec);
    spec = small(LEASE_ALPHAS);
    spec->explainer.model = spec->audience.model;
    is_refused(spec, "/explainer", "no architecture");
    free(spec);
    spec = small(LEASE_STAGED);
    spec->explainer_checkpoint = "/nowhere";
    is_refused(spec, "/explainer/checkpoint", "");
    free(spec);
    spec = small(LEASE_STAGED);
    spec->explainer.epochs = spec->audience.epochs = spec->architecture_epochs = 0;
    is_refused(spec, "/explainer/epochs", "nothing to do");
    free(spec);
}

static void a_weight_that_is_not_finite_ends_it(void **state)
{
    Job job = job_of(small(LEASE_STAGED));
    Error err = { 0 };

    (void)state;
    weight_of(job.lease->trainer[LEASE_AUDIENCE], "fc.weight")[0] = NAN;
    assert_int_equal(run(job.lease, job.r, &err), STATUS_DIVERGED);
    assert_non_null(strstr(error_message(&err), "audience"));
    job_end(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(each_step_moves_its_own),
        cmocka_unit_test(alphas_stand_still_until_they_may_move),
        ALONE(explaining_moves_nothing),
        cmocka_unit_test(stages_follow_each_other_and_rates_go_on),
        ALONE(every_epoch_reports_both_networks),
        ALONE(both_networks_learn),
        ALONE(validation_explanations_carry_no_label),
        ALONE(a_grouped_audience_has_channels_for_every_class),
        ALONE(a_batch_at_hand_is_composed_as_a_stored_one),
        ALONE(an_explainer_without_architecture_is_fine),
        ALONE(networks_come_from_files),
        cmocka_unit_test(what_cannot_be_done_is_refused),
        cmocka_unit_test(a_weight_that_is_not_finite_ends_it),
    };

    return cmocka_run_group_tests(tests, make_data, NULL);
}
