/* The queue with a kind of job made for it: counting slowly, so that it can be watched, cancelled,
 * drained and resumed. */
#include "tests/unit/test.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/train/trainer.h"
#include "server/codec/png.h"
#include "server/jobs/queue.h"
#include "server/jobs/run.h"
#include "tests/unit/scratch.h"

/* --- a kind that counts --- */

enum { EPOCH = 5 }; /* steps */

typedef struct CountParams {
    uint32_t steps, ms, fail_at, stop_at, hold_at;
    double memory;
    char label[16];
} CountParams;

static const Field count_fields[] = {
    FIELD_U32_ROW(CountParams, steps, "steps", 10, 1, 100000, "how far"),
    FIELD_U32_ROW(CountParams, ms, "ms", 1, 0, 1000, "milliseconds a step"),
    FIELD_U32_ROW(CountParams, fail_at, "fail_at", 0, 0, 100000, "step that fails"),
    FIELD_U32_ROW(CountParams, stop_at, "stop_at", 0, 0, 100000, "step that is enough"),
    FIELD_U32_ROW(CountParams, hold_at, "hold_at", 0, 0, 100000,
                  "step at whose end it waits, once, until it is stopped"),
    FIELD_REAL_ROW(CountParams, memory, "memory", 0, 0, 1e18, "bytes it claims to need"),
    FIELD_STRING_ROW(CountParams, label, "label", 0, "", "goes to the order of starts"),
};

static pthread_mutex_t order_lock = PTHREAD_MUTEX_INITIALIZER;
static char order[256]; /* labels in the order they began; guarded by order_lock */

static Status count_check(Store *store, Datasets *datasets, JobSpec *spec, JobEstimate *ret,
                          Error *err)
{
    const CountParams *p = spec->params;

    (void)store, (void)datasets;
    if (p->fail_at > p->steps)
        return error_at(err, STATUS_INVALID, "/fail_at", "lies behind the last step");
    *ret = (JobEstimate){ .memory_bytes = (uint64_t)p->memory,
                          .flops = 1000.0 * p->steps,
                          .steps = p->steps,
                          .epochs = (p->steps + EPOCH - 1) / EPOCH };
    return STATUS_OK;
}

static Status count_load(void *context, const char *path, Error *err)
{
    uint64_t *step = context;
    FILE *file = fopen(path, "r");
    unsigned long long value = 0;
    int got = file == NULL ? 0 : fscanf(file, "%llu", &value);

    if (file != NULL)
        fclose(file);
    if (got != 1)
        return error_set(err, STATUS_CORRUPT, "%s holds no number", path);
    *step = value;
    return STATUS_OK;
}

static Status count_save(void *context, const char *path, Error *err)
{
    const uint64_t *step = context;
    char text[32];

    (void)err;
    snprintf(text, sizeof text, "%llu", (unsigned long long)*step);
    scratch_write(path, text);
    return STATUS_OK;
}

static Status count_epoch(JobRun *run, uint64_t step, Error *err)
{
    const MetricValue value = run_value("val", "accuracy", step, (double)step / 1000);
    const RunCheckpoint checkpoint = {
        .step = step, .epoch = (uint32_t)(step / EPOCH), .score = NAN, .values = &value, .count = 1
    };

    return run_checkpoint(run, &checkpoint, count_save, &step, err);
}

static Status count_stop(JobRun *run, uint64_t step, Error *err)
{
    const RunCheckpoint checkpoint = { .step = step, .partial = true, .score = NAN };
    Status s = atomic_load(run->stop) == STOP_DRAIN
                   ? run_checkpoint(run, &checkpoint, count_save, &step, err)
                   : STATUS_OK;

    return s == STATUS_OK ? error_set(err, STATUS_STOPPED, "as asked") : s;
}

static Status count_run(JobRun *run, Error *err)
{
    const CountParams *p = run->spec->params;
    const JobProgress at = { .epochs = (p->steps + EPOCH - 1) / EPOCH, .steps = p->steps };
    uint64_t loaded = 0, step = 0;
    Status s = run_begin(run, &at, count_load, &loaded, &step, err);

    if (s == STATUS_OK && loaded != step)
        return error_set(err, STATUS_INTERNAL, "the file says %llu", (unsigned long long)loaded);
    pthread_mutex_lock(&order_lock);
    strncat(order, p->label, sizeof order - strlen(order) - 1);
    pthread_mutex_unlock(&order_lock);
    if (s == STATUS_OK && step > 0 && step % EPOCH == 0) /* stopped in front of an epoch's end */
        s = count_epoch(run, step, err);
    while (s == STATUS_OK && step < p->steps && (p->stop_at == 0 || step < p->stop_at)) {
        MetricValue value = run_value("count", "step", step + 1, (double)step + 1);

        if (atomic_load(run->stop) != STOP_NO)
            return count_stop(run, step, err);
        if (++step == p->fail_at)
            return error_set(err, STATUS_DIVERGED, "the loss is not finite at step %llu",
                             (unsigned long long)step);
        run_report(run, step, &value, 1);
        usleep(p->ms * 1000);
        while (step == p->hold_at && atomic_load(run->stop) == STOP_NO)
            usleep(1000);
        if (step == p->hold_at)
            return count_stop(run, step, err);
        if (step % EPOCH == 0 || step == p->steps)
            s = count_epoch(run, step, err);
    }
    if (s == STATUS_OK && step == p->stop_at)
        run_stopped_early(run, "%u steps are enough", p->stop_at);
    if (s == STATUS_OK)
        run_result(run, json_pack("{s:i}", "counted", (int)step));
    return s;
}

static const JobKind count_kind = {
    .name = "count",
    .summary = "counts",
    .fields = count_fields,
    .field_count = sizeof count_fields / sizeof *count_fields,
    .params_size = sizeof(CountParams),
    .check = count_check,
    .run = count_run,
};
static const JobKind *const kinds[] = { &count_kind, NULL };

/* --- the rig --- */

typedef struct Rig {
    Scratch scratch;
    Store *store;
    Datasets *datasets;
    Queue *queue;
    uint64_t memory; /* the limit; 0: the machine's */
} Rig;

static void open_queue(Rig *rig, unsigned workers)
{
    QueueOptions options = {
        .kinds = kinds, .workers = workers, .memory = rig->memory, .build = "test"
    };

    assert_int_equal(store_open(rig->scratch.path, &rig->store, NULL), STATUS_OK);
    options.store = rig->store;
    options.datasets = rig->datasets;
    assert_int_equal(queue_new(&options, &rig->queue, NULL), STATUS_OK);
}

static void close_queue(Rig *rig)
{
    if (rig->queue != NULL)
        assert_int_equal(queue_drain(rig->queue, NULL), STATUS_OK);
    queue_free(rig->queue);
    store_close(rig->store);
    rig->queue = NULL;
    rig->store = NULL;
}

static int setup(void **state)
{
    Rig *rig = calloc(1, sizeof *rig);

    rig->scratch = scratch_new();
    order[0] = '\0';
    *state = rig;
    return datasets_new(NULL, 0, &rig->datasets, NULL) != STATUS_OK;
}

static int teardown(void **state)
{
    Rig *rig = *state;

    close_queue(rig);
    datasets_free(rig->datasets);
    scratch_remove(&rig->scratch);
    free(rig);
    return 0;
}

static Status submit_error(Rig *rig, const char *text, int64_t *ret_id, Error *err)
{
    json_t *body = json_loads(text, JSON_DECODE_ANY, NULL);
    Job job = { 0 };
    Status s;

    assert_non_null(body);
    s = queue_submit(rig->queue, body, NULL, &job, err);
    if (s == STATUS_OK)
        *ret_id = job.id;
    job_clear(&job);
    json_decref(body);
    return s;
}

static int64_t submit(Rig *rig, const char *text)
{
    int64_t id = 0;

    assert_int_equal(submit_error(rig, text, &id, NULL), STATUS_OK);
    return id;
}

static Job get(Rig *rig, int64_t id)
{
    Job job = { 0 };

    assert_int_equal(queue_get(rig->queue, id, &job, NULL), STATUS_OK);
    return job;
}

typedef bool (*Until)(const Job *job);

static bool is_over(const Job *job)
{
    return job_state_final(job->state);
}

static bool is_past_an_epoch(const Job *job)
{
    return job->progress.epoch >= 1 && job->progress.step > EPOCH;
}

static bool is_running(const Job *job)
{
    return job->state == JOB_RUNNING && job->progress.step > 0;
}

static Job wait_until(Rig *rig, int64_t id, Until until)
{
    for (int i = 0; i < 5000; i++) {
        Job job = get(rig, id);

        if (until(&job))
            return job;
        job_clear(&job);
        usleep(2000);
    }
    fail_msg("job %lld did not get there", (long long)id);
    return (Job){ 0 };
}

/* --- in --- */

static void assert_pointer(const Error *err, const char *pointer)
{
    for (uint32_t i = 0; i < err->details; i++)
        if (strcmp(err->detail[i].pointer, pointer) == 0)
            return;
    fail_msg("nothing is said about %s", pointer);
}

static void every_bad_field_is_named_at_once(void **state)
{
    Rig *rig = *state;
    Error err = { 0 };
    int64_t id;

    open_queue(rig, 0);
    assert_int_equal(
        submit_error(
            rig,
            "{\"kind\": \"count\", \"nmae\": 1, \"seed\": -1, \"threads\": 65, \"priority\": 0.5,"
            " \"params\": {\"steps\": \"ten\", \"ms\": 5000, \"extra\": null}}",
            &id, &err),
        STATUS_INVALID);
    assert_pointer(&err, "/nmae");
    assert_pointer(&err, "/seed");
    assert_pointer(&err, "/threads");
    assert_pointer(&err, "/priority");
    assert_pointer(&err, "/params/steps");
    assert_pointer(&err, "/params/ms");
    assert_pointer(&err, "/params/extra");
    assert_int_equal(err.details, 7);
}

static void an_unknown_kind_is_told_the_known_ones(void **state)
{
    Rig *rig = *state;
    Error err = { 0 };
    int64_t id;

    open_queue(rig, 0);
    assert_int_equal(submit_error(rig, "{\"kind\": \"nope\"}", &id, &err), STATUS_INVALID);
    assert_pointer(&err, "/kind");
    assert_non_null(strstr(error_message(&err), "count"));
    assert_int_equal(submit_error(rig, "{}", &id, NULL), STATUS_INVALID);
    assert_int_equal(submit_error(rig, "[]", &id, NULL), STATUS_INVALID);
    assert_int_equal(submit_error(rig, "{\"kind\": \"count\", \"params\": []}", &id, NULL),
                     STATUS_INVALID);
}

static void what_the_kind_refuses_lies_below_params(void **state)
{
    Rig *rig = *state;
    Error err = { 0 };
    int64_t id;

    open_queue(rig, 0);
    assert_int_equal(
        submit_error(rig, "{\"kind\": \"count\", \"params\": {\"steps\": 2, \"fail_at\": 3}}", &id,
                     &err),
        STATUS_INVALID);
    assert_pointer(&err, "/params/fail_at");
}

static void a_job_that_cannot_fit_is_refused_with_both_figures(void **state)
{
    Rig *rig = *state;
    Error err = { 0 };
    int64_t id;

    open_queue(rig, 0);
    assert_int_equal(queue_memory(rig->queue),
                     (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
    assert_int_equal(
        submit_error(rig, "{\"kind\": \"count\", \"params\": {\"memory\": 5e17}}", &id, &err),
        STATUS_INVALID);
    close_queue(rig);
    error_clear(&err);
    rig->memory = 1 << 30;
    open_queue(rig, 0);
    assert_int_equal(queue_memory(rig->queue), 1 << 30);
    assert_int_equal(
        submit_error(rig, "{\"kind\": \"count\", \"params\": {\"memory\": 3e9}}", &id, &err),
        STATUS_INVALID);
    assert_pointer(&err, "/params");
    assert_non_null(strstr(error_message(&err), "3000000000"));
    assert_non_null(strstr(error_message(&err), "1073741824"));
    assert_int_equal(
        submit_error(rig, "{\"kind\": \"count\", \"params\": {\"memory\": 1073741824}}", &id, NULL),
        STATUS_OK);
}

static void a_limit_lowered_since_fails_the_job_before_it_begins(void **state)
{
    Rig *rig = *state;
    int64_t id;
    Job job;

    open_queue(rig, 0);
    id = submit(rig, "{\"kind\": \"count\", \"params\": {\"memory\": 2000000}}");
    close_queue(rig);
    rig->memory = 1 << 20;
    open_queue(rig, 1);
    job = wait_until(rig, id, is_over);
    assert_int_equal(job.state, JOB_FAILED);
    assert_non_null(strstr(job.reason, "2000000"));
    assert_non_null(strstr(job.reason, "1048576"));
    assert_int_equal(job.progress.step, 0);
    job_clear(&job);
}

static void a_dry_run_says_what_a_job_would_need_and_queues_nothing(void **state)
{
    static const char text[] =
        "{\"kind\": \"count\", \"threads\": 2, \"params\": {\"steps\": 20, \"memory\": 77}}";
    Rig *rig = *state;
    json_t *body = json_loads(text, 0, NULL), *bad = json_loads("{\"kind\": \"no\"}", 0, NULL);
    JobFilter filter = { .limit = 10 };
    JobList list = { 0 };
    JobPlan plan;
    Job job;

    open_queue(rig, 1);
    assert_int_equal(queue_dry_run(rig->queue, body, &plan, NULL), STATUS_OK);
    assert_int_equal(plan.estimate.memory_bytes, 77);
    assert_int_equal(plan.estimate.steps, 20);
    assert_true(plan.seconds < 0); /* no job has shown how fast it goes */
    assert_int_equal(json_integer_value(json_object_get(plan.params, "ms")), 1);
    json_decref(plan.params);
    assert_int_equal(queue_dry_run(rig->queue, bad, &plan, NULL), STATUS_INVALID);
    assert_int_equal(queue_list(rig->queue, &filter, &list, NULL), STATUS_OK);
    assert_int_equal(list.count, 0);
    job_list_clear(&list);
    job = wait_until(rig, submit(rig, text), is_over);
    job_clear(&job);
    assert_int_equal(queue_dry_run(rig->queue, body, &plan, NULL), STATUS_OK);
    assert_true(plan.seconds >= 0.02 && plan.seconds < 60); /* 20 steps of a millisecond */
    json_decref(plan.params);
    json_decref(body);
    json_decref(bad);
}

static void a_job_comes_back_with_every_default(void **state)
{
    Rig *rig = *state;
    int64_t id;
    Job job;

    open_queue(rig, 0);
    id = submit(rig, "{\"kind\": \"count\", \"name\": \"n\", \"tags\": [\"a\", \"b\"], \"seed\": "
                     "9007199254740991}");
    job = get(rig, id);
    assert_string_equal(job.params, "{\"steps\":10,\"ms\":1,\"fail_at\":0,\"stop_at\":0,\"hold_"
                                    "at\":0,\"memory\":0.0,\"label\":\"\"}");
    assert_string_equal(job.tags, "[\"a\",\"b\"]");
    assert_int_equal(job.seed, 9007199254740991);
    assert_int_equal(job.state, JOB_QUEUED);
    assert_int_equal(job.attempt, 0);
    assert_int_equal(job.progress.steps, 10);
    assert_int_equal(job.progress.epochs, 2);
    assert_in_range(job.threads, 1, POOL_THREADS_MAX);
    job_clear(&job);
}

/* --- running --- */

static void a_job_that_stops_early_is_over_and_has_its_result(void **state)
{
    Rig *rig = *state;
    Job job;

    open_queue(rig, 1);
    job = wait_until(rig,
                     submit(rig, "{\"kind\": \"count\", \"params\": {\"steps\": 12, \"stop_at\": "
                                 "7}}"),
                     is_over);
    assert_int_equal(job.state, JOB_EARLY_STOPPED);
    assert_string_equal(job.reason, "7 steps are enough");
    assert_string_equal(job.result, "{\"counted\":7}");
    assert_int_equal(job.progress.step, 7);
    assert_true(job.finished_ms > 0);
    assert_true(job_state_final(job.state) && job_state_whole(job.state));
    job_clear(&job);
}

static void a_job_runs_to_its_end(void **state)
{
    Rig *rig = *state;
    Checkpoint c;
    Job job;
    int64_t id;

    open_queue(rig, 1);
    id = submit(rig, "{\"kind\": \"count\", \"threads\": 2, \"params\": {\"steps\": 12}}");
    job = wait_until(rig, id, is_over);
    assert_int_equal(job.state, JOB_SUCCEEDED);
    assert_int_equal(job.desired, JOB_RUNNING);
    assert_null(job.reason);
    assert_int_equal(job.attempt, 1);
    assert_int_equal(job.resumed_step, 0);
    assert_int_equal(job.progress.step, 12);
    assert_int_equal(job.progress.epoch, 2);
    assert_true(job.progress.eta_seconds == 0);
    assert_string_equal(job.result, "{\"counted\":12}");
    assert_non_null(strstr(job.record, "\"build\":\"test\""));
    assert_non_null(strstr(job.record, "\"threads\":2"));
    assert_true(job.finished_ms >= job.started_ms && job.started_ms >= job.created_ms);
    assert_int_equal(job.latest_count, 2);
    assert_string_equal(job.latest[0].key, "count/step");
    assert_true(job.latest[0].value == 12);
    assert_int_equal(job.latest[1].step, 12);
    job_clear(&job);
    assert_int_equal(queue_checkpoint(rig->queue, id, "latest", &c, NULL), STATUS_OK);
    assert_int_equal(c.step, 12);
    assert_int_equal(queue_checkpoint(rig->queue, id, "2", &c, NULL), STATUS_OK);
    assert_int_equal(queue_checkpoint(rig->queue, id, "best", &c, NULL), STATUS_NOT_FOUND);
    assert_int_equal(queue_checkpoint(rig->queue, id, "../../etc", &c, NULL), STATUS_INVALID);
    assert_int_equal(queue_checkpoint(rig->queue, id, "", &c, NULL), STATUS_INVALID);
    assert_int_equal(queue_checkpoint(rig->queue, 99, "latest", &c, NULL), STATUS_NOT_FOUND);
}

static void a_snapshot_shows_what_is_not_yet_on_disk(void **state)
{
    Rig *rig = *state;
    Job job;
    int64_t id;

    open_queue(rig, 1);
    id = submit(rig, "{\"kind\": \"count\", \"params\": {\"steps\": 1000, \"ms\": 20}}");
    job = wait_until(rig, id, is_running);
    assert_in_range(job.progress.step, 1, EPOCH - 1); /* before the first checkpoint */
    assert_int_equal(job.progress.epoch, 0);
    assert_int_equal(job.latest_count, 1);
    assert_true(job.progress.eta_seconds > 0);
    job_clear(&job);
}

static void a_failure_says_why(void **state)
{
    Rig *rig = *state;
    Job job;
    int64_t id;

    open_queue(rig, 1);
    id = submit(rig, "{\"kind\": \"count\", \"params\": {\"fail_at\": 7}}");
    job = wait_until(rig, id, is_over);
    assert_int_equal(job.state, JOB_FAILED);
    assert_string_equal(job.reason, "the loss is not finite at step 7");
    assert_int_equal(job.progress.step, 6);
    job_clear(&job);
}

static void the_highest_priority_runs_first(void **state)
{
    Rig *rig = *state;
    Job job;
    int64_t blocker, last;

    open_queue(rig, 1);
    blocker =
        submit(rig, "{\"kind\": \"count\", \"params\": {\"steps\": 10000, \"label\": \"x\"}}");
    job = wait_until(rig, blocker, is_running);
    job_clear(&job);
    last = submit(
        rig,
        "{\"kind\": \"count\", \"priority\": -1, \"params\": {\"steps\": 1, \"label\": \"d\"}}");
    submit(rig, "{\"kind\": \"count\", \"params\": {\"steps\": 1, \"label\": \"b\"}}");
    submit(rig, "{\"kind\": \"count\", \"params\": {\"steps\": 1, \"label\": \"c\"}}");
    submit(rig,
           "{\"kind\": \"count\", \"priority\": 9, \"params\": {\"steps\": 1, \"label\": \"a\"}}");
    assert_int_equal(queue_cancel(rig->queue, blocker, &job, NULL), STATUS_OK);
    job_clear(&job);
    job = wait_until(rig, last, is_over);
    job_clear(&job);
    pthread_mutex_lock(&order_lock);
    assert_string_equal(order, "xabcd");
    pthread_mutex_unlock(&order_lock);
}

static void several_workers_share_the_queue(void **state)
{
    Rig *rig = *state;
    int64_t id[12];

    open_queue(rig, 3);
    for (int i = 0; i < 12; i++)
        id[i] = submit(rig, "{\"kind\": \"count\", \"threads\": 1, \"params\": {\"steps\": 3}}");
    for (int i = 0; i < 12; i++) {
        Job job = wait_until(rig, id[i], is_over);

        assert_int_equal(job.state, JOB_SUCCEEDED);
        assert_int_equal(job.attempt, 1);
        job_clear(&job);
    }
}

/* --- cancelling --- */

static void a_queued_job_is_cancelled_at_once(void **state)
{
    Rig *rig = *state;
    Error err = { 0 };
    Job job = { 0 };
    int64_t id;

    open_queue(rig, 0);
    id = submit(rig, "{\"kind\": \"count\"}");
    assert_int_equal(queue_cancel(rig->queue, id, &job, NULL), STATUS_OK);
    assert_int_equal(job.state, JOB_CANCELLED);
    assert_int_equal(job.desired, JOB_CANCELLED);
    assert_true(job.finished_ms > 0);
    job_clear(&job);
    assert_int_equal(queue_cancel(rig->queue, id, &job, &err), STATUS_CONFLICT);
    assert_non_null(strstr(error_message(&err), "cancelled"));
    assert_int_equal(queue_cancel(rig->queue, 99, &job, NULL), STATUS_NOT_FOUND);
}

static void a_running_job_is_told_to_stop(void **state)
{
    Rig *rig = *state;
    Job job;
    int64_t id;

    open_queue(rig, 1);
    id = submit(rig, "{\"kind\": \"count\", \"params\": {\"steps\": 10000}}");
    job = wait_until(rig, id, is_running);
    job_clear(&job);
    assert_int_equal(queue_cancel(rig->queue, id, &job, NULL), STATUS_OK);
    assert_true(job.state == JOB_STOPPING || job.state == JOB_CANCELLED);
    job_clear(&job);
    job = wait_until(rig, id, is_over);
    assert_int_equal(job.state, JOB_CANCELLED);
    job_clear(&job);
}

static void a_cancel_at_any_moment_wins(void **state)
{
    Rig *rig = *state;

    open_queue(rig, 2);
    for (unsigned i = 0; i < 20; i++) {
        int64_t id = submit(
            rig,
            "{\"kind\": \"count\", \"threads\": 1, \"params\": {\"steps\": 100000, \"ms\": 1}}");
        Job job = { 0 };

        usleep(i * 400);
        assert_int_equal(queue_cancel(rig->queue, id, &job, NULL), STATUS_OK);
        job_clear(&job);
        job = wait_until(rig, id, is_over);
        assert_int_equal(job.state, JOB_CANCELLED);
        job_clear(&job);
    }
}

/* --- stopping and going on --- */

static int64_t drained_in_the_middle(Rig *rig)
{
    int64_t id;
    Job job;

    open_queue(rig, 1);
    id = submit(rig, "{\"kind\": \"count\", \"params\": {\"steps\": 60, \"ms\": 3}}");
    job = wait_until(rig, id, is_past_an_epoch);
    job_clear(&job);
    assert_int_equal(queue_drain(rig->queue, NULL), STATUS_OK);
    assert_true(queue_draining(rig->queue));
    job = get(rig, id);
    assert_int_equal(job.state, JOB_QUEUED);
    job_clear(&job);
    return id;
}

static void a_drained_job_goes_on_where_it_was(void **state)
{
    Rig *rig = *state;
    int64_t id = drained_in_the_middle(rig);
    Job before = get(rig, id), job;
    MetricList list = { 0 };

    assert_in_range(before.progress.step, EPOCH, 59);
    close_queue(rig);
    open_queue(rig, 1);
    job = wait_until(rig, id, is_over);
    assert_int_equal(job.state, JOB_SUCCEEDED);
    assert_int_equal(job.attempt, 2);
    assert_int_equal(job.resumed_step, before.progress.step);
    assert_null(job.reason);
    job_clear(&before);
    job_clear(&job);
    assert_int_equal(store_metric_query(rig->store, id, (const char *const[]){ "count/step", NULL },
                                        100, &list, NULL),
                     STATUS_OK);
    assert_int_equal(list.series[0].total, 60); /* each step once */
    metric_list_clear(&list);
}

static bool is_at_the_epochs_end(const Job *job)
{
    return job->progress.step == EPOCH;
}

/* Drained after an epoch's last step, before its checkpoint: that is not lost. */
static void a_job_drained_at_an_epochs_end_ends_that_epoch(void **state)
{
    Rig *rig = *state;
    MetricList list = { 0 };
    Checkpoint c;
    int64_t id;
    Job job;

    open_queue(rig, 1);
    id = submit(rig, "{\"kind\": \"count\", \"params\": {\"steps\": 5, \"hold_at\": 5}}");
    job = wait_until(rig, id, is_at_the_epochs_end);
    job_clear(&job);
    close_queue(rig);
    open_queue(rig, 1);
    job = wait_until(rig, id, is_over);
    assert_int_equal(job.state, JOB_SUCCEEDED);
    assert_int_equal(job.resumed_step, EPOCH);
    assert_int_equal(job.progress.epoch, 1);
    job_clear(&job);
    assert_int_equal(queue_checkpoint(rig->queue, id, "1", &c, NULL), STATUS_OK);
    assert_false(c.partial);
    assert_int_equal(store_metric_query(rig->store, id,
                                        (const char *const[]){ "val/accuracy", NULL }, 100, &list,
                                        NULL),
                     STATUS_OK);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.series[0].total, 1);
    metric_list_clear(&list);
}

static void a_job_still_queued_survives_a_drain(void **state)
{
    Rig *rig = *state;
    int64_t id;
    Job job;

    open_queue(rig, 0);
    id = submit(rig, "{\"kind\": \"count\"}");
    close_queue(rig);
    open_queue(rig, 1);
    job = wait_until(rig, id, is_over);
    assert_int_equal(job.attempt, 1);
    job_clear(&job);
}

static void a_corrupt_checkpoint_falls_back_one_and_says_so(void **state)
{
    Rig *rig = *state;
    int64_t id = drained_in_the_middle(rig);
    Checkpoint list[4];
    size_t count = 0;
    char *path;
    Job job;

    assert_int_equal(store_checkpoint_list(rig->store, id, list, 4, &count, NULL), STATUS_OK);
    assert_int_equal(count, 2);
    path = store_checkpoint_file(rig->store, &list[0]);
    scratch_write(path, "59 but not what was written");
    free(path);
    close_queue(rig);
    open_queue(rig, 1);
    job = wait_until(rig, id, is_over);
    assert_int_equal(job.state, JOB_SUCCEEDED);
    assert_int_equal(job.resumed_step, list[1].step);
    assert_non_null(strstr(job.reason, "left out"));
    assert_non_null(strstr(job.reason, "corrupt"));
    job_clear(&job);
}

static void without_any_whole_checkpoint_a_job_starts_over(void **state)
{
    Rig *rig = *state;
    int64_t id = drained_in_the_middle(rig);
    Checkpoint list[4];
    size_t count = 0;
    Job job;

    assert_int_equal(store_checkpoint_list(rig->store, id, list, 4, &count, NULL), STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        char *path = store_checkpoint_file(rig->store, &list[i]);

        assert_int_equal(unlink(path), 0);
        free(path);
    }
    close_queue(rig);
    open_queue(rig, 1);
    job = wait_until(rig, id, is_over);
    assert_int_equal(job.state, JOB_SUCCEEDED);
    assert_int_equal(job.resumed_step, 0);
    assert_int_equal(job.progress.step, 60);
    job_clear(&job);
}

static void a_crashed_job_is_taken_up_again(void **state)
{
    Rig *rig = *state;
    int64_t id;
    Job job = { 0 };
    JobChange running = { .state = JOB_RUNNING };

    open_queue(rig, 0);
    id = submit(rig, "{\"kind\": \"count\"}");
    assert_int_equal(store_job_take(rig->store, &job, NULL),
                     STATUS_OK); /* as a worker would, and then nothing more */
    assert_int_equal(store_job_change(rig->store, id, job.version, &running, NULL, NULL),
                     STATUS_OK);
    job_clear(&job);
    close_queue(rig);
    open_queue(rig, 1);
    job = wait_until(rig, id, is_over);
    assert_int_equal(job.state, JOB_SUCCEEDED);
    assert_int_equal(job.attempt, 2);
    job_clear(&job);
}

/* The daemon of another process, until it is killed. */
static void count_until_killed(Rig *rig)
{
    open_queue(rig, 1);
    submit(rig, "{\"kind\": \"count\", \"params\": {\"steps\": 60, \"ms\": 3}}");
    for (;;)
        pause();
}

static void a_killed_daemon_leaves_a_job_that_goes_on(void **state)
{
    Rig *rig = *state;
    pid_t child;
    Job job;

    datasets_free(rig->datasets); /* a process with threads is not one to fork */
    child = fork();
    assert_int_equal(datasets_new(NULL, 0, &rig->datasets, NULL), STATUS_OK);
    if (child == 0)
        count_until_killed(rig);
    /* The older of two files is there: the row of at least one checkpoint is durable. */
    for (int i = 0;
         i < 5000 &&
         access(scratch_path(&rig->scratch, "jobs/1/checkpoints/10.safetensors"), F_OK) != 0;
         i++)
        usleep(1000);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    open_queue(rig, 1);
    job = wait_until(rig, 1, is_over);
    assert_int_equal(job.state, JOB_SUCCEEDED);
    assert_int_equal(job.attempt, 2);
    assert_in_range(job.resumed_step, EPOCH, 59);
    assert_int_equal(job.progress.step, 60);
    job_clear(&job);
}

/* --- data sets --- */

/* Asks until it is read or refused. */
static Status read_set(Datasets *datasets, const char *name, uint32_t size, const Dataset **ret,
                       Error *err)
{
    for (;;) {
        uint64_t generation = datasets_generation(datasets);
        Error why = { 0 };
        Status s = datasets_find(datasets, name, size, ret, &why);

        if (s != STATUS_BUSY) {
            if (err != NULL)
                *err = why;
            return s;
        }
        assert_true(datasets_loading(datasets) || datasets_generation(datasets) > generation);
        datasets_wait(datasets, generation, 100);
    }
}

static void data_sets_are_named_and_checked(void **state)
{
    const char *const bad[] = { "", "x", "=p", "a b=p", "x=", "shapes=/tmp", "../x=/tmp" };
    const char *const good[] = { "cifar10=/nonexistent/somewhere", "B-2.x_=/tmp" };
    const char *const twice[] = { "a=/x", "a=/y" };
    Datasets *datasets = NULL;
    const Dataset *dataset = NULL;
    Error err = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(datasets_new(&bad[i], 1, &datasets, NULL), STATUS_INVALID);
    assert_int_equal(datasets_new(twice, 2, &datasets, NULL), STATUS_INVALID);
    assert_int_equal(datasets_new(good, 2, &datasets, NULL), STATUS_OK);
    assert_string_equal(datasets_name(datasets, 0), "shapes");
    assert_string_equal(datasets_name(datasets, 2), "B-2.x_");
    assert_null(datasets_name(datasets, 3));
    assert_int_equal(read_set(datasets, "cifar", 0, &dataset, &err), STATUS_INVALID);
    assert_non_null(strstr(error_message(&err), "shapes, cifar10, B-2.x_"));
    error_clear(&err);
    assert_int_equal(read_set(datasets, "cifar10", 0, &dataset, &err), STATUS_INVALID);
    assert_null(strstr(error_message(&err), "/nonexistent")); /* the path is the operator's */
    assert_non_null(strstr(error_message(&err), "\"cifar10\""));
    assert_null(dataset);
    datasets_free(datasets);
}

/* "late=SCRATCH/late" */
static Datasets *late_set(const Scratch *scratch, const char *name)
{
    char spec[160];
    const char *const specs[] = { spec };
    Datasets *datasets = NULL;

    snprintf(spec, sizeof spec, "%s=%s/%s", name, scratch->path, name);
    assert_int_equal(datasets_new(specs, 1, &datasets, NULL), STATUS_OK);
    return datasets;
}

static void write_cifar(const Scratch *scratch, const char *folder)
{
    static const char *const files[] = { "data_batch_1.bin", "test_batch.bin" };
    char path[192];

    snprintf(path, sizeof path, "%s/%s", scratch->path, folder);
    assert_int_equal(mkdir(path, 0700), 0);
    for (int i = 0; i < 2; i++) {
        FILE *out;

        snprintf(path, sizeof path, "%s/%s/%s", scratch->path, folder, files[i]);
        out = fopen(path, "wb");
        assert_non_null(out);
        for (int j = 0; j < 10 * 3073; j++)
            fputc(j % 3073 == 0 ? j / 3073 : j % 251, out);
        assert_int_equal(fclose(out), 0);
    }
}

static void a_failure_is_told_once_and_then_tried_again(void **state)
{
    Rig *rig = *state;
    Datasets *datasets = late_set(&rig->scratch, "late");
    const Dataset *dataset = NULL, *again = NULL;
    Error err = { 0 };
    DatasetLook look;

    datasets_open_all(datasets, NULL);
    while (datasets_loading(datasets))
        datasets_wait(datasets, datasets_generation(datasets), 100);
    look = datasets_look(datasets, 1);
    assert_true(look.dataset == NULL && !look.loading);
    assert_non_null(strstr(look.error, "late"));
    write_cifar(&rig->scratch, "late"); /* nobody asked yet: the first who does is not told */
    assert_int_equal(read_set(datasets, "late", 0, &dataset, NULL), STATUS_OK);
    assert_int_equal(dataset->train.images, 10);
    assert_int_equal(read_set(datasets, "late", 32, &again, NULL), STATUS_OK);
    assert_ptr_equal(again, dataset);
    assert_int_equal(read_set(datasets, "late", 64, &again, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/image_size");
    datasets_free(datasets);
}

static void each_failed_try_is_a_new_one(void **state)
{
    Rig *rig = *state;
    Datasets *datasets = late_set(&rig->scratch, "late");
    const Dataset *dataset = NULL;

    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(read_set(datasets, "late", 0, &dataset, NULL), STATUS_INVALID);
        assert_int_equal(datasets_generation(datasets), i);
    }
    datasets_free(datasets);
}

static void write_picture(const Scratch *scratch, const char *folder, int number)
{
    uint8_t pixels[6 * 6 * 3];
    char path[192];
    Bytes png = { 0 };
    FILE *out;

    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 37 + (size_t)number * 11);
    assert_int_equal(png_encode_rgb(pixels, 6, 6, &png, NULL), STATUS_OK);
    snprintf(path, sizeof path, "%s/%s/%d.png", scratch->path, folder, number);
    out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(png.data, 1, png.size, out), png.size);
    assert_int_equal(fclose(out), 0);
    bytes_clear(&png);
}

static void a_folder_comes_in_the_size_that_is_asked_for(void **state)
{
    static const char *const folders[] = { "pets", "pets/cat", "pets/dog" };
    Rig *rig = *state;
    Datasets *datasets = late_set(&rig->scratch, "pets");
    const Dataset *dataset = NULL, *again = NULL;
    char path[192];
    Error err = { 0 };

    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", rig->scratch.path, folders[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    for (int i = 0; i < 4; i++)
        write_picture(&rig->scratch, folders[1 + i % 2], i);
    snprintf(path, sizeof path, "%s/cache", rig->scratch.path);
    datasets_open_all(datasets, path);
    assert_int_equal(read_set(datasets, "pets", 0, &dataset, &err), STATUS_OK);
    assert_int_equal(dataset->height, 32);
    for (uint32_t i = 0; i < 2 * DATASET_FORMS_MAX; i++) /* what fails takes no place away */
        assert_int_equal(read_set(datasets, "pets", DATASET_IMAGE_SIZE_MAX + 1 + i, &again, NULL),
                         STATUS_INVALID);
    for (uint32_t i = 1; i <= DATASET_FORMS_MAX; i++) {
        assert_int_equal(read_set(datasets, "pets", 8 * i + 1, &dataset, NULL), STATUS_OK);
        assert_int_equal(dataset->height, 8 * i + 1);
    }
    assert_int_equal(read_set(datasets, "pets", 9, &again, NULL), STATUS_OK);
    assert_int_equal(again->width, 9);
    assert_int_equal(read_set(datasets, "pets", 99, &again, &err), STATUS_INVALID);
    assert_string_equal(err.detail[0].pointer, "/image_size");
    datasets_free(datasets);
}

static void count_call(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

static void whoever_leaves_word_is_called_once(void **state)
{
    atomic_int calls = 0;
    Datasets *datasets = NULL;
    const Dataset *dataset = NULL;
    uint64_t generation;

    (void)state;
    assert_int_equal(datasets_new(NULL, 0, &datasets, NULL), STATUS_OK);
    generation = datasets_generation(datasets);
    assert_false(datasets_watch(datasets, generation, count_call, &calls)); /* nothing to come */
    assert_int_equal(datasets_find(datasets, "shapes", 0, &dataset, NULL), STATUS_BUSY);
    assert_true(datasets_loading(datasets));
    assert_true(datasets_watch(datasets, generation, count_call, &calls));
    assert_int_equal(read_set(datasets, "shapes", 0, &dataset, NULL), STATUS_OK);
    for (int i = 0; i < 1000 && atomic_load(&calls) == 0; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&calls), 1);
    assert_false(datasets_watch(datasets, generation, count_call, &calls)); /* it has come */
    datasets_free(datasets);
    assert_int_equal(atomic_load(&calls), 1);
}

static void stopping_ends_all_waiting(void **state)
{
    Rig *rig = *state;
    Datasets *datasets = late_set(&rig->scratch, "late");
    const Dataset *dataset = NULL;
    atomic_int calls = 0;

    assert_int_equal(datasets_find(datasets, "shapes", 0, &dataset, NULL), STATUS_BUSY);
    assert_true(datasets_watch(datasets, datasets_generation(datasets), count_call, &calls));
    datasets_stop(datasets);
    assert_int_equal(atomic_load(&calls), 1);
    assert_int_equal(datasets_find(datasets, "late", 0, &dataset, NULL), STATUS_STOPPED);
    datasets_free(datasets);
}

int main(void)
{
#define WITH_QUEUE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_QUEUE(every_bad_field_is_named_at_once),
        WITH_QUEUE(an_unknown_kind_is_told_the_known_ones),
        WITH_QUEUE(what_the_kind_refuses_lies_below_params),
        WITH_QUEUE(a_job_that_cannot_fit_is_refused_with_both_figures),
        WITH_QUEUE(a_limit_lowered_since_fails_the_job_before_it_begins),
        WITH_QUEUE(a_dry_run_says_what_a_job_would_need_and_queues_nothing),
        WITH_QUEUE(a_job_comes_back_with_every_default),
        WITH_QUEUE(a_job_runs_to_its_end),
        WITH_QUEUE(a_job_that_stops_early_is_over_and_has_its_result),
        WITH_QUEUE(a_snapshot_shows_what_is_not_yet_on_disk),
        WITH_QUEUE(a_failure_says_why),
        WITH_QUEUE(the_highest_priority_runs_first),
        WITH_QUEUE(several_workers_share_the_queue),
        WITH_QUEUE(a_queued_job_is_cancelled_at_once),
        WITH_QUEUE(a_running_job_is_told_to_stop),
        WITH_QUEUE(a_cancel_at_any_moment_wins),
        WITH_QUEUE(a_drained_job_goes_on_where_it_was),
        WITH_QUEUE(a_job_drained_at_an_epochs_end_ends_that_epoch),
        WITH_QUEUE(a_job_still_queued_survives_a_drain),
        WITH_QUEUE(a_corrupt_checkpoint_falls_back_one_and_says_so),
        WITH_QUEUE(without_any_whole_checkpoint_a_job_starts_over),
        WITH_QUEUE(a_crashed_job_is_taken_up_again),
        WITH_QUEUE(a_killed_daemon_leaves_a_job_that_goes_on),
        cmocka_unit_test(data_sets_are_named_and_checked),
        WITH_QUEUE(a_failure_is_told_once_and_then_tried_again),
        WITH_QUEUE(each_failed_try_is_a_new_one),
        WITH_QUEUE(a_folder_comes_in_the_size_that_is_asked_for),
        WITH_QUEUE(whoever_leaves_word_is_called_once),
        WITH_QUEUE(stopping_ends_all_waiting),
    };

    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
