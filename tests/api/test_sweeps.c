/* Sweeps over HTTP: tables of jobs, what they come to, what is wrong with them; and requests that
 * are sent twice under one Idempotency-Key. */
#include "tests/unit/test.h"

#include <math.h>
#include <string.h>

#include "server/store/sweeps.h"
#include "tests/api/rig.h"

#define BASE                                                                            \
    "\"base\":{\"kind\":\"train\",\"params\":{\"dataset\":\"shapes\",\"train_images\":" \
    "64,\"test_images\":16,\"model\":{\"name\":\"resnet18\",\"width\":4}}}"

static uint64_t jobs_there(ApiRig *rig)
{
    uint64_t counts[JOB_STATE_COUNT], all = 0;

    assert_int_equal(queue_counts(rig->queue, counts, NULL), STATUS_OK);
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        all += counts[i];
    return all;
}

static Reply post(ApiRig *rig, const char *target, const char *key, const char *body)
{
    return api_rig_send(rig, (Request){ .method = METHOD_POST,
                                        .target = target,
                                        .body = body,
                                        .body_size = strlen(body),
                                        .content_type = "application/json",
                                        .idempotency_key = key });
}

static int64_t sweep_of(ApiRig *rig, const char *body)
{
    Reply r = api_rig_post(rig, "/api/v1/sweeps", body);
    int64_t id = json_integer_value(reply_at(&r, "/id"));

    if (r.code != 201)
        fail_msg("%d: %s", r.code, r.body);
    reply_end(&r);
    return id;
}

static Reply get_sweep(ApiRig *rig, int64_t id)
{
    char target[64];

    snprintf(target, sizeof target, "/api/v1/sweeps/%lld", (long long)id);
    return api_rig_get(rig, target);
}

static Reply cancel_sweep(ApiRig *rig, int64_t id)
{
    char target[64];

    snprintf(target, sizeof target, "/api/v1/sweeps/%lld/cancel", (long long)id);
    return api_rig_post(rig, target, NULL);
}

/* As a worker would: takes the next job, reports `value`, and ends it so. */
static void run_next(ApiRig *rig, JobState end, double value)
{
    JobChange change = { .state = JOB_RUNNING };
    MetricValue metric = { .key = "test/accuracy", .step = 1, .value = value };
    Job job = { 0 };
    int64_t version;

    assert_int_equal(store_job_take(rig->store, &job, NULL), STATUS_OK);
    assert_int_equal(store_job_change(rig->store, job.id, job.version, &change, &version, NULL),
                     STATUS_OK);
    store_metric_append(rig->store, job.id, &metric, 1);
    assert_int_equal(store_metric_flush(rig->store, NULL), STATUS_OK);
    change.state = end;
    assert_int_equal(store_job_change(rig->store, job.id, version, &change, NULL, NULL), STATUS_OK);
    job_clear(&job);
}

/* ---- the table ---- */

static void a_grid_and_a_list_and_seeds_are_multiplied(void **state)
{
    ApiRig *rig = *state;
    Reply r = api_rig_post(rig, "/api/v1/sweeps",
                           "{\"name\":\"small\"," BASE
                           ",\"grid\":{\"/params/epochs\":[1,2],\"/params/model/width\":[4,5]},"
                           "\"list\":[{\"label\":\"plain\"},{\"label\":\"se\",\"set\":{\"/params/"
                           "model/attention\":\"se\",\"/tags\":[\"t\"]}}],\"seeds\":[3,5]}"),
          job;
    char target[64];

    if (r.code != 201)
        fail_msg("%d: %s", r.code, r.body);
    assert_keys(rig, r.json, "Sweep");
    assert_keys(rig, reply_at(&r, "/rows/0"), "SweepRow");
    snprintf(target, sizeof target, "/api/v1/sweeps/%lld", json_integer_value(reply_at(&r, "/id")));
    assert_string_equal(reply_header(&r, "Location"), target);
    assert_string_equal(reply_text(&r, "/state"), "queued");
    assert_int_equal(json_array_size(reply_at(&r, "/rows")), 8);
    assert_int_equal(json_integer_value(reply_at(&r, "/cells/queued")), 16);
    assert_int_equal(jobs_there(rig), 16);
    assert_string_equal(reply_text(&r, "/rows/0/label"), "plain, epochs=1, width=4");
    assert_string_equal(reply_text(&r, "/rows/1/label"), "plain, epochs=1, width=5");
    assert_string_equal(reply_text(&r, "/rows/7/label"), "se, epochs=2, width=5");
    assert_int_equal(json_object_size(reply_at(&r, "/rows/7/settings")), 4);
    assert_int_equal(json_array_size(reply_at(&r, "/rows/7/jobs")), 2);
    assert_true(json_is_null(reply_at(&r, "/rows/7/values/1")));
    assert_true(json_is_null(reply_at(&r, "/rows/7/mean")));

    /* The last of all is the last row's of the last seed. */
    snprintf(target, sizeof target, "/api/v1/jobs/%lld",
             json_integer_value(reply_at(&r, "/rows/7/jobs/1")));
    job = api_rig_get(rig, target);
    assert_int_equal(json_integer_value(reply_at(&job, "/id")), 16);
    assert_int_equal(json_integer_value(reply_at(&job, "/sweep")),
                     json_integer_value(reply_at(&r, "/id")));
    assert_int_equal(json_integer_value(reply_at(&job, "/seed")), 5);
    assert_string_equal(reply_text(&job, "/name"), "se, epochs=2, width=5");
    assert_string_equal(reply_text(&job, "/tags/0"), "t");
    assert_string_equal(reply_text(&job, "/params/model/attention"), "se");
    assert_int_equal(json_integer_value(reply_at(&job, "/params/model/width")), 5);
    assert_true(json_number_value(reply_at(&job, "/params/epochs")) == 2);
    reply_end(&job);
    reply_end(&r);
}

static void a_sweep_of_nothing_but_seeds_has_one_row(void **state)
{
    ApiRig *rig = *state;
    Reply r = get_sweep(rig, sweep_of(rig, "{" BASE "}"));

    assert_int_equal(json_array_size(reply_at(&r, "/rows")), 1);
    assert_int_equal(json_array_size(reply_at(&r, "/rows/0/jobs")), 3);
    assert_int_equal(json_integer_value(reply_at(&r, "/seeds/2")), 2);
    reply_end(&r);
}

static void what_is_set_later_may_lie_inside_what_was_set_before(void **state)
{
    ApiRig *rig = *state;
    int64_t id =
        sweep_of(rig, "{" BASE ",\"seeds\":[0],\"list\":[{\"set\":{\"/params/augment\":"
                      "[{\"name\":\"crop\",\"padding\":4}],\"/params/augment/0/padding\":2}}"
                      "],\"grid\":{\"/params/augment/0/padding\":[1,3]}}");
    Reply r = get_sweep(rig, id), job = api_rig_get(rig, "/api/v1/jobs/1");

    assert_int_equal(json_integer_value(reply_at(&job, "/params/augment/0/padding")), 1);
    reply_end(&job);
    job = api_rig_get(rig, "/api/v1/jobs/2");
    assert_int_equal(json_integer_value(reply_at(&job, "/params/augment/0/padding")), 3);
    reply_end(&job);
    reply_end(&r);
}

static void values_have_a_mean_and_a_deviation_and_a_failed_cell_stops_nothing(void **state)
{
    ApiRig *rig = *state;
    int64_t id = sweep_of(rig, "{" BASE ",\"list\":[{\"label\":\"a\"},{\"label\":\"b\"}]}");
    Reply r;

    run_next(rig, JOB_SUCCEEDED, 0.5); /* a, seed 0 */
    r = get_sweep(rig, id);
    assert_string_equal(reply_text(&r, "/state"), "running");
    assert_true(json_real_value(reply_at(&r, "/rows/0/mean")) == 0.5);
    assert_true(json_is_null(reply_at(&r, "/rows/0/sd"))); /* of one there is none */
    assert_true(json_is_null(reply_at(&r, "/rows/1/mean")));
    reply_end(&r);

    run_next(rig, JOB_FAILED, 0.9);    /* b, 0: what it reported does not count */
    run_next(rig, JOB_SUCCEEDED, 0.7); /* a, 1 */
    run_next(rig, JOB_SUCCEEDED, 0.25);
    run_next(rig, JOB_EARLY_STOPPED, 0.9);
    run_next(rig, JOB_SUCCEEDED, 0.75);
    r = get_sweep(rig, id);
    assert_string_equal(reply_text(&r, "/state"), "failed");
    assert_true(fabs(json_real_value(reply_at(&r, "/rows/0/mean")) - 0.7) < 1e-12);
    assert_true(fabs(json_real_value(reply_at(&r, "/rows/0/sd")) - 0.2) < 1e-12);
    assert_int_equal(json_integer_value(reply_at(&r, "/rows/0/failed")), 0);
    assert_true(json_is_null(reply_at(&r, "/rows/1/values/0")));
    assert_true(json_real_value(reply_at(&r, "/rows/1/values/1")) == 0.25);
    assert_true(json_real_value(reply_at(&r, "/rows/1/mean")) == 0.5);
    assert_true(fabs(json_real_value(reply_at(&r, "/rows/1/sd")) - sqrt(0.125)) < 1e-12);
    assert_int_equal(json_integer_value(reply_at(&r, "/rows/1/failed")), 1);
    reply_end(&r);
}

static void at_best_is_the_value_at_the_best_checkpoint(void **state)
{
    ApiRig *rig = *state;
    int64_t id = sweep_of(rig, "{" BASE ",\"seeds\":[0],\"at\":\"best\"}");
    JobChange change = { .state = JOB_RUNNING };
    JobProgress progress = { .epochs = 3, .steps = 3 };
    Job job = { 0 };
    int64_t version;
    Reply r;

    assert_int_equal(store_job_take(rig->store, &job, NULL), STATUS_OK);
    assert_int_equal(store_job_change(rig->store, job.id, job.version, &change, &version, NULL),
                     STATUS_OK);
    for (uint32_t epoch = 1; epoch <= 3; epoch++) {
        MetricValue metric = { .key = "test/accuracy", .step = epoch, .value = 0.25 * epoch };
        Checkpoint c;
        char *path;
        FILE *out;

        assert_int_equal(store_checkpoint_prepare(rig->store, job.id, epoch, &c, NULL), STATUS_OK);
        c.epoch = epoch;
        c.score = epoch == 2 ? 0.9 : 0.1;
        path = store_checkpoint_file(rig->store, &c);
        out = fopen(path, "wb");
        assert_non_null(out);
        fclose(out);
        free(path);
        progress.epoch = epoch;
        assert_int_equal(store_checkpoint_add(rig->store, &c, &metric, 1, &progress, NULL),
                         STATUS_OK);
    }
    change.state = JOB_SUCCEEDED;
    assert_int_equal(store_job_change(rig->store, job.id, version, &change, NULL, NULL), STATUS_OK);
    job_clear(&job);
    r = get_sweep(rig, id);
    assert_true(json_real_value(reply_at(&r, "/rows/0/values/0")) == 0.5);
    assert_string_equal(reply_text(&r, "/state"), "succeeded");
    reply_end(&r);
}

static void sweeps_are_listed_newest_first(void **state)
{
    ApiRig *rig = *state;
    int64_t first = sweep_of(rig, "{\"name\":\"one\"," BASE "}"),
            second = sweep_of(rig, "{\"name\":\"two\"," BASE "}");
    char target[80];
    Reply r = api_rig_get(rig, "/api/v1/sweeps?limit=1");

    assert_int_equal(json_array_size(reply_at(&r, "/items")), 1);
    assert_int_equal(json_integer_value(reply_at(&r, "/items/0/id")), second);
    assert_keys(rig, reply_at(&r, "/items/0"), "SweepItem");
    snprintf(target, sizeof target, "/api/v1/sweeps?limit=1&cursor=%s", reply_text(&r, "/next"));
    assert_non_null(strstr(reply_header(&r, "Link"), target));
    reply_end(&r);
    r = api_rig_get(rig, target);
    assert_int_equal(json_integer_value(reply_at(&r, "/items/0/id")), first);
    assert_string_equal(reply_text(&r, "/items/0/name"), "one");
    assert_true(json_is_null(reply_at(&r, "/next")));
    reply_end(&r);
}

static void the_jobs_of_a_sweep_are_listed(void **state)
{
    ApiRig *rig = *state;
    int64_t id = sweep_of(rig, "{" BASE "}");
    char target[80];
    Reply r;

    (void)sweep_of(rig, "{" BASE "}");
    snprintf(target, sizeof target, "/api/v1/jobs?limit=2&sweep=%lld", (long long)id);
    r = api_rig_get(rig, target);
    assert_int_equal(json_array_size(reply_at(&r, "/items")), 2);
    assert_int_equal(json_integer_value(reply_at(&r, "/items/0/id")), 3);
    assert_int_equal(json_integer_value(reply_at(&r, "/items/0/sweep")), id);
    assert_non_null(strstr(reply_header(&r, "Link"), "&sweep=1"));
    snprintf(target, sizeof target, "/api/v1/jobs?sweep=%lld&cursor=%s", (long long)id,
             reply_text(&r, "/next"));
    reply_end(&r);
    r = api_rig_get(rig, target);
    assert_int_equal(json_array_size(reply_at(&r, "/items")), 1);
    assert_true(json_is_null(reply_at(&r, "/next")));
    reply_end(&r);
    r = api_rig_get(rig, "/api/v1/jobs?sweep=77");
    assert_int_equal(json_array_size(reply_at(&r, "/items")), 0);
    reply_end(&r);
}

/* ---- cancelling ---- */

static void cancelling_a_sweep_cancels_its_cells_and_no_others(void **state)
{
    ApiRig *rig = *state;
    int64_t id = sweep_of(rig, "{" BASE "}"), other = sweep_of(rig, "{" BASE "}");
    Job job = { 0 };
    Reply r;

    run_next(rig, JOB_SUCCEEDED, 0.5);
    assert_int_equal(store_job_take(rig->store, &job, NULL), STATUS_OK);
    r = cancel_sweep(rig, id);
    assert_int_equal(r.code, 202);
    assert_string_equal(reply_text(&r, "/state"), "stopping");
    assert_int_equal(json_integer_value(reply_at(&r, "/cells/succeeded")), 1);
    assert_int_equal(json_integer_value(reply_at(&r, "/cells/stopping")), 1);
    assert_int_equal(json_integer_value(reply_at(&r, "/cells/cancelled")), 1);
    reply_end(&r);
    job_clear(&job);
    assert_int_equal(store_job_get(rig->store, 2, &job, NULL), STATUS_OK);
    assert_int_equal(job.desired, JOB_CANCELLED);
    assert_int_equal(store_job_change(rig->store, 2, job.version,
                                      &(JobChange){ .state = JOB_CANCELLED }, NULL, NULL),
                     STATUS_OK);
    job_clear(&job);
    r = get_sweep(rig, id);
    assert_string_equal(reply_text(&r, "/state"), "cancelled");
    reply_end(&r);
    r = cancel_sweep(rig, id);
    assert_int_equal(r.code, 409);
    reply_end(&r);
    r = cancel_sweep(rig, 99);
    assert_int_equal(r.code, 404);
    reply_end(&r);
    r = get_sweep(rig, other);
    assert_int_equal(json_integer_value(reply_at(&r, "/cells/queued")), 3);
    reply_end(&r);
}

/* ---- what is wrong ---- */

static void one_bad_cell_queues_none_and_is_named_where_it_was_said(void **state)
{
    static const struct {
        const char *body, *pointer, *says;
    } rows[] = {
        { "{" BASE ",\"grid\":{\"/params/batch_size\":[4,0]}}", "/grid/~1params~1batch_size/1",
          "integer from 1" },
        { "{" BASE ",\"list\":[{\"label\":\"fine\"},{\"label\":\"bad\",\"set\":{\"/params/model\":"
          "{\"name\":\"resnet18\",\"width\":-1}}}]}",
          "/list/1/set/~1params~1model/width", "(row \\\"bad\\\", seed 0)" },
        { "{\"base\":{\"kind\":\"train\",\"params\":{\"dataset\":\"none\"}}}",
          "/base/params/dataset", "no data set" },
        { "{\"base\":{\"kind\":\"levitate\",\"params\":{}}}", "/base/kind", "no kind" },
        { "{" BASE ",\"grid\":{\"/params/x/y\":[1]}}", "/base/params/x", "unknown key" },
        { "{" BASE ",\"grid\":{\"/kind/x\":[1]}}", "/grid/~1kind~1x/0", "leads nowhere" },
        { "{" BASE ",\"grid\":{\"/tags/3\":[\"x\"]}}", "/base/tags", "list of strings" },
        { "{\"base\":{\"kind\":\"train\",\"tags\":[],\"params\":{\"dataset\":\"shapes\"}},"
          "\"grid\":{\"/tags/3\":[\"x\"]}}",
          "/grid/~1tags~13/0", "leads nowhere" },
    };
    ApiRig *rig = *state;
    Reply none;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Reply r = api_rig_post(rig, "/api/v1/sweeps", rows[i].body);

        if (r.code != 422 || !reply_names(&r, rows[i].pointer) ||
            strstr(r.body, rows[i].says) == NULL)
            fail_msg("row %zu: %d: %s", i, r.code, r.body);
        reply_end(&r);
    }
    assert_int_equal(jobs_there(rig), 0);
    none = get_sweep(rig, 1);
    assert_int_equal(none.code, 404);
    reply_end(&none);
}

static void a_bad_sweep_is_a_problem_that_names_the_field(void **state)
{
    static const struct {
        const char *body, *pointer;
    } rows[] = {
        { "[]", "" },
        { "{}", "/base" },
        { "{\"base\":3}", "/base" },
        { "{\"preset\":\"seed-table3\"}", "/preset" },
        { "{\"preset\":7," BASE "}", "/preset" },
        { "{" BASE ",\"seed\":[1]}", "/seed" },
        { "{" BASE ",\"name\":7}", "/name" },
        { "{" BASE ",\"metric\":7}", "/metric" },
        { "{" BASE ",\"at\":\"first\"}", "/at" },
        { "{" BASE ",\"seeds\":[]}", "/seeds" },
        { "{" BASE ",\"seeds\":3}", "/seeds" },
        { "{" BASE ",\"seeds\":[1,-1]}", "/seeds/1" },
        { "{" BASE ",\"seeds\":[1,2,1]}", "/seeds/2" },
        { "{" BASE ",\"grid\":[]}", "/grid" },
        { "{" BASE ",\"grid\":{\"epochs\":[1]}}", "/grid/epochs" },
        { "{" BASE ",\"grid\":{\"/params/epochs\":[]}}", "/grid/~1params~1epochs" },
        { "{" BASE ",\"grid\":{\"/params/epochs\":3}}", "/grid/~1params~1epochs" },
        { "{" BASE ",\"grid\":{\"/seed\":[3]}}", "/grid/~1seed" },
        { "{" BASE ",\"list\":{}}", "/list" },
        { "{" BASE ",\"list\":[{},3]}", "/list/1" },
        { "{" BASE ",\"list\":[{\"label\":3}]}", "/list/0/label" },
        { "{" BASE ",\"list\":[{\"set\":[]}]}", "/list/0/set" },
        { "{" BASE ",\"list\":[{\"sets\":{}}]}", "/list/0/sets" },
        { "{" BASE ",\"list\":[{\"set\":{\"x\":1}}]}", "/list/0/set/x" },
        { "{" BASE ",\"grid\":{\"/a\":[1,2,3,4,5,6,7],\"/b\":[1,2,3,4,5,6,7],\"/c\":[1,2]}}", "" },
    };
    ApiRig *rig = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Reply r = api_rig_post(rig, "/api/v1/sweeps", rows[i].body);

        if (r.code != 422 || !reply_names(&r, rows[i].pointer))
            fail_msg("row %zu: %d: %s", i, r.code, r.body);
        reply_end(&r);
    }
    assert_int_equal(jobs_there(rig), 0);
}

/* ---- presets ---- */

/* The job of a row's first cell. */
static Reply job_of_row(ApiRig *rig, const Reply *sweep, int row)
{
    char pointer[64], target[64];

    snprintf(pointer, sizeof pointer, "/rows/%d/jobs/0", row);
    snprintf(target, sizeof target, "/api/v1/jobs/%lld",
             json_integer_value(reply_at(sweep, pointer)));
    return api_rig_get(rig, target);
}

static void the_presets_are_the_tables_of_the_paper(void **state)
{
    static const struct {
        const char *body;
        int rows;
        double epochs, channels, cells;
        uint32_t train_images;
    } tables[] = {
        { "{\"preset\":\"seed-table1\",\"base\":{\"params\":{\"dataset\":\"shapes\"}}}", 3, 20, 16,
          8, 8000 },
        { "{\"preset\":\"seed-table2\",\"base\":{\"params\":{\"dataset\":\"shapes\"}}}", 8, 20, 16,
          8, 8000 },
        { "{\"preset\":\"seed-table1-tiny\"}", 3, 3, 8, 5, 1000 },
        { "{\"preset\":\"seed-table2-tiny\"}", 8, 3, 8, 5, 1000 },
    };
    ApiRig *rig = *state;
    Reply list = api_rig_get(rig, "/api/v1/presets");

    assert_int_equal(json_array_size(reply_at(&list, "/sweeps")), 4);
    assert_keys(rig, list.json, "PresetList");
    reply_end(&list);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        Reply r = api_rig_post(rig, "/api/v1/sweeps", tables[i].body), job;

        if (r.code != 201)
            fail_msg("table %zu: %d: %s", i, r.code, r.body);
        assert_int_equal(json_array_size(reply_at(&r, "/rows")), tables[i].rows);
        assert_int_equal(json_array_size(reply_at(&r, "/rows/0/jobs")), 3);
        assert_string_equal(reply_text(&r, "/metric"), "test/accuracy");
        job = job_of_row(rig, &r, 2);
        assert_string_equal(reply_text(&job, "/kind"), "train");
        assert_int_equal(json_integer_value(reply_at(&job, "/params/train_images")),
                         tables[i].train_images);
        assert_int_equal(json_integer_value(reply_at(&job, "/params/val_images")), 0);
        assert_true(json_number_value(reply_at(&job, "/params/epochs")) == tables[i].epochs);
        assert_int_equal(json_integer_value(reply_at(&job, "/params/batch_size")), 32);
        assert_string_equal(reply_text(&job, "/params/model/name"), "supernet");
        assert_string_equal(reply_text(&job, "/params/model/space"), "s3");
        assert_true(json_number_value(reply_at(&job, "/params/model/channels")) ==
                    tables[i].channels);
        assert_true(json_number_value(reply_at(&job, "/params/model/cells")) == tables[i].cells);
        assert_true(json_number_value(reply_at(&job, "/params/model/partial")) == 4);
        assert_true(json_number_value(reply_at(&job, "/params/optimizer/lr")) == 0.025);
        assert_true(json_number_value(reply_at(&job, "/params/optimizer/clip")) == 5);
        assert_true(json_number_value(reply_at(&job, "/params/optimizer/weight_decay")) == 3e-4);
        assert_true(json_number_value(reply_at(&job, "/params/schedule/final")) == 0.04);
        assert_string_equal(reply_text(&job, "/params/augment/2/name"),
                            tables[i].rows == 3 ? "cutmix" : "mixup");
        assert_true(json_number_value(reply_at(&job, "/params/augment/2/probability")) == 0.5);
        reply_end(&job);
        reply_end(&r);
    }
}

static void the_second_table_has_its_eight_rows(void **state)
{
    static const struct {
        const char *label, *model, *space, *mixing;
        double epochs;
    } rows[] = {
        { "ResNet-18", "resnet18", "", "", 3 },
        { "CutMix", "supernet", "s3", "cutmix", 3 },
        { "Mixup", "supernet", "s3", "mixup", 3 },
        { "CutMix + SE", "supernet", "s3_se", "cutmix", 3 },
        { "Mixup + SE", "supernet", "s3_se", "mixup", 3 },
        { "CutMix + SE + ECA", "supernet", "s3_se_eca", "cutmix", 3 },
        { "CutMix + SE + ECA, 4 epochs", "supernet", "s3_se_eca", "cutmix", 4 },
        { "Mixup + SE + ECA", "supernet", "s3_se_eca", "mixup", 3 },
    };
    ApiRig *rig = *state;
    Reply r =
        api_rig_post(rig, "/api/v1/sweeps", "{\"preset\":\"seed-table2-tiny\",\"seeds\":[7]}");

    assert_int_equal(r.code, 201);
    for (int i = 0; i < 8; i++) {
        Reply job = job_of_row(rig, &r, i);

        assert_string_equal(reply_text(&job, "/name"), rows[i].label);
        assert_string_equal(reply_text(&job, "/params/model/name"), rows[i].model);
        assert_string_equal(reply_text(&job, "/params/model/space"), rows[i].space);
        assert_string_equal(reply_text(&job, "/params/augment/0/name"), "crop");
        assert_string_equal(reply_text(&job, "/params/augment/1/name"), "flip");
        assert_string_equal(reply_text(&job, "/params/augment/2/name"), rows[i].mixing);
        assert_true(json_number_value(reply_at(&job, "/params/epochs")) == rows[i].epochs);
        assert_int_equal(json_integer_value(reply_at(&job, "/seed")), 7);
        if (i == 0)
            assert_int_equal(json_integer_value(reply_at(&job, "/params/model/width")), 8);
        reply_end(&job);
    }
    reply_end(&r);
}

/* ---- twice under one key ---- */

static const char small_job[] = "{\"kind\":\"train\",\"params\":{\"dataset\":\"shapes\","
                                "\"train_images\":64,\"test_images\":16,\"epochs\":1,"
                                "\"model\":{\"name\":\"resnet18\",\"width\":4}}}";

static void the_same_key_and_body_get_the_same_answer_and_start_nothing(void **state)
{
    static const char *const targets[] = { "/api/v1/jobs", "/api/v1/sweeps" };
    ApiRig *rig = *state;

    for (int i = 0; i < 2; i++) {
        const char *body = i == 0 ? small_job : "{" BASE "}";
        Reply first = post(rig, targets[i], "1", body), again;
        uint64_t jobs = jobs_there(rig);

        assert_int_equal(first.code, 201);
        run_next(rig, JOB_SUCCEEDED, 0.5); /* whatever becomes of it meanwhile */
        again = post(rig, targets[i], "1", body);
        assert_int_equal(again.code, 201);
        assert_string_equal(again.body, first.body);
        assert_string_equal(reply_header(&again, "Location"), reply_header(&first, "Location"));
        assert_int_equal(jobs_there(rig), jobs);
        reply_end(&again);
        again = post(rig, targets[i], "2", body);
        assert_int_equal(again.code, 201);
        assert_int_not_equal(json_integer_value(reply_at(&again, "/id")),
                             json_integer_value(reply_at(&first, "/id")));
        reply_end(&again);
        reply_end(&first);
    }
}

static void the_same_key_with_another_body_is_refused(void **state)
{
    ApiRig *rig = *state;
    Reply r = post(rig, "/api/v1/jobs", "key", small_job);

    assert_int_equal(r.code, 201);
    reply_end(&r);
    r = post(rig, "/api/v1/jobs", "key", "{\"kind\":\"train\"}");
    assert_int_equal(r.code, 422);
    assert_non_null(strstr(r.body, "another body"));
    reply_end(&r);
    r = post(rig, "/api/v1/sweeps", "key", "{" BASE "}"); /* keys of sweeps are others */
    assert_int_equal(r.code, 201);
    reply_end(&r);
    assert_int_equal(jobs_there(rig), 4);
}

static void what_was_refused_leaves_its_key_free(void **state)
{
    ApiRig *rig = *state;
    Reply r = post(rig, "/api/v1/sweeps", "key", "{}");

    assert_int_equal(r.code, 422);
    reply_end(&r);
    r = post(rig, "/api/v1/sweeps", "key", "{" BASE "}");
    assert_int_equal(r.code, 201);
    reply_end(&r);
}

static void a_bad_key_is_refused(void **state)
{
    static const char *const keys[] = { "", "a b", "\xc3\xa4", "tab\t" };
    char longest[200];
    ApiRig *rig = *state;
    Reply r;

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        r = post(rig, "/api/v1/jobs", keys[i], small_job);
        assert_int_equal(r.code, 422);
        assert_non_null(strstr(r.body, "Idempotency-Key"));
        reply_end(&r);
    }
    memset(longest, 'k', sizeof longest);
    longest[129] = '\0';
    r = post(rig, "/api/v1/jobs", longest, small_job);
    assert_int_equal(r.code, 422);
    reply_end(&r);
    longest[128] = '\0';
    r = post(rig, "/api/v1/jobs", longest, small_job);
    assert_int_equal(r.code, 201);
    reply_end(&r);
}

static void a_dry_run_remembers_nothing(void **state)
{
    ApiRig *rig = *state;
    Reply r = post(rig, "/api/v1/jobs?dry_run=1", "key", small_job);

    assert_int_equal(r.code, 200);
    reply_end(&r);
    r = post(rig, "/api/v1/jobs", "key", small_job);
    assert_int_equal(r.code, 201);
    reply_end(&r);
}

static void while_the_first_is_being_worked_on_the_second_is_a_conflict(void **state)
{
    ApiRig *rig = *state;
    Request req = { .method = METHOD_POST,
                    .target = "/api/v1/jobs",
                    .host = "127.0.0.1:8080",
                    .content_type = "application/json",
                    .idempotency_key = "key",
                    .body = small_job,
                    .body_size = sizeof small_job - 1 };
    Response response = { 0 };
    Reply r;

    router_dispatch(&rig->router, &req, &response);
    assert_non_null(response.deferral);
    r = post(rig, "/api/v1/jobs", "key", small_job);
    assert_int_equal(r.code, 409);
    reply_end(&r);
    assert_true(deferral_wait(response.deferral, 30000));
    router_finish(&rig->router, &req, &response, true);
    assert_int_equal(response.code, 201);
    r = post(rig, "/api/v1/jobs", "key", small_job);
    assert_int_equal(r.code, 201);
    assert_int_equal(r.size, response.bytes.size);
    assert_memory_equal(r.body, response.bytes.data, r.size);
    assert_int_equal(jobs_there(rig), 1);
    reply_end(&r);
    response_clear(&response);
    request_clear(&req);
}

static void a_sweep_whose_data_set_is_being_read_is_answered_later(void **state)
{
    ApiRig *rig = *state;
    Reply r = api_rig_post(rig, "/api/v1/sweeps", "{" BASE "}");

    assert_int_equal(r.code, 201);
    assert_int_equal(jobs_there(rig), 3);
    reply_end(&r);
}

#define with_rig(test) cmocka_unit_test_setup_teardown(test, api_rig_setup, api_rig_teardown)
#define with_unread(test) \
    cmocka_unit_test_setup_teardown(test, api_rig_setup_unread, api_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_rig(a_grid_and_a_list_and_seeds_are_multiplied),
        with_rig(a_sweep_of_nothing_but_seeds_has_one_row),
        with_rig(what_is_set_later_may_lie_inside_what_was_set_before),
        with_rig(values_have_a_mean_and_a_deviation_and_a_failed_cell_stops_nothing),
        with_rig(at_best_is_the_value_at_the_best_checkpoint),
        with_rig(sweeps_are_listed_newest_first),
        with_rig(the_jobs_of_a_sweep_are_listed),
        with_rig(cancelling_a_sweep_cancels_its_cells_and_no_others),
        with_rig(one_bad_cell_queues_none_and_is_named_where_it_was_said),
        with_rig(a_bad_sweep_is_a_problem_that_names_the_field),
        with_rig(the_presets_are_the_tables_of_the_paper),
        with_rig(the_second_table_has_its_eight_rows),
        with_rig(the_same_key_and_body_get_the_same_answer_and_start_nothing),
        with_rig(the_same_key_with_another_body_is_refused),
        with_rig(what_was_refused_leaves_its_key_free),
        with_rig(a_bad_key_is_refused),
        with_rig(a_dry_run_remembers_nothing),
        with_unread(while_the_first_is_being_worked_on_the_second_is_a_conflict),
        with_unread(a_sweep_whose_data_set_is_being_read_is_answered_later),
    };

    return cmocka_run_group_tests(tests, api_rig_open, api_rig_close);
}
