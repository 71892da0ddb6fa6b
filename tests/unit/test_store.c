/* The store: folder, lock, migrations, the state machine, metrics, checkpoints and what a crash
 * leaves. */
#include "tests/unit/test.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "server/store/checkpoints.h"
#include "server/store/jobs.h"
#include "server/store/metrics.h"
#include "server/store/migrate.h"
#include "server/store/store_private.h"
#include "tests/unit/store_rig.h"

/* As after kill -9 and a new start: nothing is written down, the lock is free. */
static void restart(Rig *rig)
{
    store_close(rig->store);
    rig->store = NULL;
    assert_int_equal(store_open(rig->data, &rig->store, NULL), STATUS_OK);
}

static int64_t insert(Rig *rig, int32_t priority)
{
    JobInsert job = { .kind = "train",
                      .name = "n",
                      .tags = "[]",
                      .params = "{}",
                      .priority = priority,
                      .threads = 1,
                      .steps = 10 };
    int64_t id = 0;

    assert_int_equal(store_job_insert(rig->store, &job, &id, NULL), STATUS_OK);
    return id;
}

static Job get(Rig *rig, int64_t id)
{
    Job job = { 0 };

    assert_int_equal(store_job_get(rig->store, id, &job, NULL), STATUS_OK);
    return job;
}

static JobState state_of(Rig *rig, int64_t id)
{
    Job job = get(rig, id);
    JobState state = job.state;

    job_clear(&job);
    return state;
}

static void take(Rig *rig, int64_t id)
{
    Job job = { 0 };

    assert_int_equal(store_job_take(rig->store, &job, NULL), STATUS_OK);
    assert_int_equal(job.id, id);
    job_clear(&job);
}

static Status change_to(Rig *rig, int64_t id, JobState state)
{
    Job job = get(rig, id);
    JobChange change = { .state = state };
    Status s = store_job_change(rig->store, id, job.version, &change, NULL, NULL);

    job_clear(&job);
    return s;
}

/* --- folder and schema --- */

static void the_folder_is_closed_to_others(void **state)
{
    Rig *rig = *state;
    struct stat st;

    assert_int_equal(stat(rig->data, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void a_second_daemon_is_refused_by_name_and_pid(void **state)
{
    Rig *rig = *state;
    Store *second = NULL;
    Error err = { 0 };
    char pid[32];

    snprintf(pid, sizeof pid, "pid %ld", (long)getpid());
    assert_int_equal(store_open(rig->data, &second, &err), STATUS_CONFLICT);
    assert_non_null(strstr(error_message(&err), rig->data));
    assert_non_null(strstr(error_message(&err), pid));
    assert_null(second);
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
    Store *store = NULL;
    Error err = { 0 };

    (void)state;
    assert_int_equal(store_open("/dev/null/data", &store, &err), STATUS_IO);
    assert_non_null(strstr(error_message(&err), "/dev/null"));
}

static void foreign_files_are_left_alone(void **state)
{
    Rig *rig = *state;
    char path[128];

    snprintf(path, sizeof path, "%s/notes.txt", rig->data);
    scratch_write(path, "mine");
    restart(rig);
    assert_int_equal(access(path, F_OK), 0);
}

static void a_file_that_is_no_database_is_refused(void **state)
{
    Rig *rig = *state;
    char path[128];
    Store *store = NULL;

    snprintf(path, sizeof path, "%s/other", rig->scratch.path);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/other/leased.db", rig->scratch.path);
    scratch_write(path, "this is a letter to my aunt, and it is long enough to be read as a header "
                        "of something else");
    snprintf(path, sizeof path, "%s/other", rig->scratch.path);
    assert_int_equal(store_open(path, &store, NULL), STATUS_CORRUPT);
}

static void each_start_is_a_new_boot(void **state)
{
    Rig *rig = *state;
    int64_t boot = store_boot(rig->store);

    restart(rig);
    assert_int_equal(store_boot(rig->store), boot + 1);
}

static unsigned files_in(const char *folder)
{
    DIR *dir = opendir(folder);
    unsigned count = 0;

    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        count += e->d_name[0] != '.';
    if (dir != NULL)
        closedir(dir);
    return count;
}

/* The real migrations and one more. */
static void more_migrations(EmbeddedFile *ret, const char *sql)
{
    int n = 0;

    for (; store_migrations[n].name != NULL; n++)
        ret[n] = store_migrations[n];
    ret[n++] = (EmbeddedFile){ "9999_more.sql", (const unsigned char *)sql, strlen(sql) };
    ret[n] = (EmbeddedFile){ 0 };
}

static void a_migration_backs_the_database_up_first(void **state)
{
    Rig *rig = *state;
    EmbeddedFile migrations[32];
    char backup[128];
    int64_t id = insert(rig, 0);

    snprintf(backup, sizeof backup, "%s/backup", rig->data);
    more_migrations(migrations, "CREATE TABLE more (x INTEGER)");
    store_close(rig->store);
    assert_int_equal(files_in(backup), 0);
    assert_int_equal(store_open_with(rig->data, migrations, 16, &rig->store, NULL), STATUS_OK);
    assert_int_equal(files_in(backup), 1);
    assert_int_equal(state_of(rig, id), JOB_QUEUED);
}

static void a_newer_schema_is_refused(void **state)
{
    Rig *rig = *state;
    EmbeddedFile migrations[32];
    Error err = { 0 };

    more_migrations(migrations, "CREATE TABLE more (x INTEGER)");
    store_close(rig->store);
    rig->store = NULL;
    assert_int_equal(store_open_with(rig->data, migrations, 16, &rig->store, NULL), STATUS_OK);
    store_close(rig->store);
    rig->store = NULL;
    assert_int_equal(store_open(rig->data, &rig->store, &err), STATUS_CONFLICT);
    assert_non_null(strstr(error_message(&err), "newer"));
}

static void a_failed_migration_changes_nothing(void **state)
{
    Rig *rig = *state;
    EmbeddedFile migrations[32];
    int64_t id = insert(rig, 0);

    more_migrations(migrations, "DROP TABLE checkpoints; CREATE TABLE nonsense (");
    store_close(rig->store);
    rig->store = NULL;
    assert_int_not_equal(store_open_with(rig->data, migrations, 16, &rig->store, NULL), STATUS_OK);
    restart(rig);
    assert_int_equal(state_of(rig, id), JOB_QUEUED);
}

/* --- states --- */

static void the_highest_priority_then_the_oldest_is_taken(void **state)
{
    Rig *rig = *state;
    int64_t low = insert(rig, -1), first = insert(rig, 0), second = insert(rig, 0),
            high = insert(rig, 5);
    Job none = { 0 };

    take(rig, high);
    take(rig, first);
    take(rig, second);
    take(rig, low);
    assert_int_equal(store_job_take(rig->store, &none, NULL), STATUS_NOT_FOUND);
}

static void a_stale_version_is_a_conflict(void **state)
{
    Rig *rig = *state;
    int64_t id = insert(rig, 0), version = 0;
    JobChange cancel = { .state = JOB_CANCELLED };

    assert_int_equal(store_job_change(rig->store, id, 99, &cancel, &version, NULL),
                     STATUS_CONFLICT);
    assert_int_equal(version, 0);
    assert_int_equal(state_of(rig, id), JOB_QUEUED);
}

static void a_final_state_is_final(void **state)
{
    Rig *rig = *state;
    int64_t id = insert(rig, 0);

    assert_int_equal(change_to(rig, id, JOB_SUCCEEDED), STATUS_CONFLICT);
    assert_int_equal(change_to(rig, id, JOB_CANCELLED), STATUS_OK);
    for (int to = 0; to < JOB_STATE_COUNT; to++)
        assert_int_equal(change_to(rig, id, (JobState)to), STATUS_CONFLICT);
}

static void lists_are_newest_first_and_paged(void **state)
{
    Rig *rig = *state;
    int64_t a = insert(rig, 0), b = insert(rig, 0), c = insert(rig, 0);
    JobList list = { 0 };
    JobFilter filter = { .limit = 2, .states = 1u << JOB_QUEUED, .kind = "train" };

    assert_int_equal(store_job_list(rig->store, &filter, &list, NULL), STATUS_OK);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.items[0].id, c);
    assert_int_equal(list.next, b);
    filter.before = list.next;
    job_list_clear(&list);
    assert_int_equal(store_job_list(rig->store, &filter, &list, NULL), STATUS_OK);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.items[0].id, a);
    assert_int_equal(list.next, 0);
    job_list_clear(&list);
    filter = (JobFilter){ .limit = 10, .states = 1u << JOB_RUNNING };
    assert_int_equal(store_job_list(rig->store, &filter, &list, NULL), STATUS_OK);
    assert_int_equal(list.count, 0);
    job_list_clear(&list);
    filter = (JobFilter){ .limit = 10, .kind = "nope' OR 1=1 --" };
    assert_int_equal(store_job_list(rig->store, &filter, &list, NULL), STATUS_OK);
    assert_int_equal(list.count, 0);
    job_list_clear(&list);
}

static void reconcile(Rig *rig, uint32_t requeued, uint32_t failed)
{
    uint32_t r = 99, f = 99;

    assert_int_equal(store_job_reconcile(rig->store, &r, &f, NULL), STATUS_OK);
    assert_int_equal(r, requeued);
    assert_int_equal(f, failed);
}

static void a_job_keeps_the_name_of_its_preset(void **state)
{
    Rig *rig = *state;
    JobInsert insert_it = {
        .kind = "train", .name = "", .tags = "[]", .params = "{}", .preset = "tiny"
    };
    int64_t plain = insert(rig, 0), id = 0;
    Job job = { 0 };

    assert_int_equal(store_job_insert(rig->store, &insert_it, &id, NULL), STATUS_OK);
    assert_int_equal(store_job_get(rig->store, id, &job, NULL), STATUS_OK);
    assert_string_equal(job.preset, "tiny");
    job_clear(&job);
    assert_int_equal(store_job_get(rig->store, plain, &job, NULL), STATUS_OK);
    assert_null(job.preset);
    job_clear(&job);
}

static void a_crash_puts_a_job_back_into_the_queue(void **state)
{
    Rig *rig = *state;
    int64_t id = insert(rig, 0);
    Job job;

    take(rig, id);
    assert_int_equal(change_to(rig, id, JOB_RUNNING), STATUS_OK);
    reconcile(rig, 0, 0); /* it is this boot's */
    restart(rig);
    reconcile(rig, 1, 0);
    take(rig, id);
    job = get(rig, id);
    assert_int_equal(job.attempt, 2);
    job_clear(&job);
}

static void a_crash_while_cancelling_ends_cancelled(void **state)
{
    Rig *rig = *state;
    int64_t id = insert(rig, 0);
    JobChange change = { .state = JOB_STOPPING, .desire_cancel = true };

    take(rig, id);
    assert_int_equal(store_job_change(rig->store, id, 2, &change, NULL, NULL), STATUS_OK);
    restart(rig);
    reconcile(rig, 0, 0);
    assert_int_equal(state_of(rig, id), JOB_CANCELLED);
}

/* A checkpoint file of `step` with `text` in it, added as a trainer would. */
static Checkpoint add_checkpoint(Rig *rig, int64_t job, uint64_t step, double score, bool pinned)
{
    Checkpoint c;
    JobProgress progress = {
        .epoch = (uint32_t)step / 10, .epochs = 9, .step = step, .steps = 90, .eta_seconds = 1
    };
    char *path;

    assert_int_equal(store_checkpoint_prepare(rig->store, job, step, &c, NULL), STATUS_OK);
    path = store_checkpoint_file(rig->store, &c);
    scratch_write(path, "abc");
    free(path);
    c.epoch = (uint32_t)step / 10;
    c.score = score;
    c.pinned = pinned;
    assert_int_equal(store_checkpoint_add(rig->store, &c, NULL, 0, &progress, NULL), STATUS_OK);
    return c;
}

static void three_attempts_without_progress_are_enough(void **state)
{
    Rig *rig = *state;
    int64_t id = insert(rig, 0);
    Job job;

    take(rig, id);
    restart(rig);
    reconcile(rig, 1, 0);
    take(rig, id);
    add_checkpoint(rig, id, 10, NAN, false); /* progress: the count starts again */
    for (int i = 0; i < JOB_ATTEMPTS_MAX; i++) {
        restart(rig);
        reconcile(rig, 1, 0);
        take(rig, id);
    }
    restart(rig);
    reconcile(rig, 0, 1);
    job = get(rig, id);
    assert_int_equal(job.state, JOB_FAILED);
    assert_int_equal(job.attempt, 5);
    assert_non_null(strstr(job.reason, "without a new checkpoint"));
    job_clear(&job);
}

static void drains_do_not_count_as_crashes(void **state)
{
    Rig *rig = *state;
    int64_t id = insert(rig, 0);

    for (int i = 0; i < 2 * JOB_ATTEMPTS_MAX; i++) {
        take(rig, id);
        assert_int_equal(change_to(rig, id, JOB_RUNNING), STATUS_OK);
        assert_int_equal(change_to(rig, id, JOB_QUEUED), STATUS_OK);
    }
    take(rig, id);
    restart(rig);
    reconcile(rig, 1, 0);
}

/* --- metrics --- */

static void append(Rig *rig, int64_t job, const char *key, uint64_t step, double value)
{
    MetricValue v = { .step = step, .value = value };

    snprintf(v.key, sizeof v.key, "%s", key);
    store_metric_append(rig->store, job, &v, 1);
}

static void numbers_come_back_as_they_went_in(void **state)
{
    Rig *rig = *state;
    int64_t id = insert(rig, 0);
    MetricList list = { 0 };
    Job job;

    append(rig, id, "train/loss", 1, 0.1);
    append(rig, id, "train/loss", 2, NAN);
    append(rig, id, "train/loss", 3, INFINITY);
    append(rig, id, "train/loss", 4, -INFINITY);
    append(rig, id, "train/loss", 4, 7); /* one value a step: the last */
    append(rig, id, "other", 9, NAN);
    assert_int_equal(store_metric_flush(rig->store, NULL), STATUS_OK);
    assert_int_equal(store_metric_query(rig->store, id,
                                        (const char *const[]){ "train/loss", "nope", NULL }, 100,
                                        &list, NULL),
                     STATUS_OK);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.series[0].total, 4);
    assert_int_equal(list.series[0].count, 4);
    assert_true(list.series[0].points[0].value == 0.1);
    assert_true(isnan(list.series[0].points[1].value));
    assert_true(isinf(list.series[0].points[2].value));
    assert_true(list.series[0].points[3].value == 7);
    assert_true(list.series[0].points[0].unix_ms > 0);
    metric_list_clear(&list);
    job = get(rig, id);
    assert_int_equal(job.latest_count, 2);
    assert_string_equal(job.latest[0].key, "other");
    assert_true(isnan(job.latest[0].value));
    assert_int_equal(job.latest[1].step, 4);
    job_clear(&job);
}

static void points_arrive_without_being_asked_for(void **state)
{
    Rig *rig = *state;
    int64_t id = insert(rig, 0);
    MetricList list = { 0 };
    bool there = false;

    append(rig, id, "a", 1, 1);
    for (int i = 0; i < 300 && !there; i++) {
        usleep(10000);
        assert_int_equal(store_metric_query(rig->store, id, NULL, 100, &list, NULL), STATUS_OK);
        there = list.count == 1;
        metric_list_clear(&list);
    }
    assert_true(there);
}

static void a_resume_forgets_what_lies_past_it(void **state)
{
    Rig *rig = *state;
    int64_t id = insert(rig, 0);
    MetricList list = { 0 };
    Job job;

    for (uint64_t step = 1; step <= 20; step++)
        append(rig, id, "train/loss", step, (double)step);
    append(rig, id, "val/loss", 15, 1);
    assert_int_equal(store_metric_truncate(rig->store, id, 10, NULL), STATUS_OK);
    assert_int_equal(store_metric_query(rig->store, id, NULL, 100, &list, NULL), STATUS_OK);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.series[0].total, 10);
    metric_list_clear(&list);
    job = get(rig, id);
    assert_int_equal(job.latest_count, 1);
    assert_true(job.latest[0].value == 10);
    job_clear(&job);
}

static void a_full_queue_drops_and_counts(void **state)
{
    Rig *rig = *state;
    int64_t id = insert(rig, 0);
    MetricList list = { 0 };

    store_close(rig->store);
    assert_int_equal(store_open_with(rig->data, store_migrations, 8, &rig->store, NULL), STATUS_OK);
    store_hold_points(rig->store, true);
    for (uint64_t step = 1; step <= 20; step++)
        append(rig, id, "a", step, 1);
    assert_int_equal(store_dropped(rig->store), 12);
    store_hold_points(rig->store, false);
    assert_int_equal(store_metric_flush(rig->store, NULL), STATUS_OK);
    assert_int_equal(store_metric_query(rig->store, id, NULL, 100, &list, NULL), STATUS_OK);
    assert_int_equal(list.series[0].total, 8);
    metric_list_clear(&list);
}

static void thinning_keeps_ends_extremes_and_nans(void **state)
{
    enum { N = 10000, MAX = 100 };
    MetricPoint *points = calloc(N, sizeof *points);
    bool low = false, high = false, nan = false;
    size_t count;

    (void)state;
    for (size_t i = 0; i < N; i++)
        points[i] = (MetricPoint){ i + 1, sin((double)i / 100), (int64_t)i };
    points[4321].value = 50;
    points[4322].value = -50;
    points[777].value = NAN;
    count = metric_thin(points, N, MAX);
    assert_in_range(count, MAX / 2, MAX);
    assert_int_equal(points[0].step, 1);
    assert_int_equal(points[count - 1].step, N);
    for (size_t i = 0; i < count; i++) {
        low |= points[i].value == -50;
        high |= points[i].value == 50;
        nan |= isnan(points[i].value);
        assert_true(i == 0 || points[i].step > points[i - 1].step);
    }
    assert_true(low && high && nan);
    free(points);
}

static void thinning_bounds_any_series(void **state)
{
    (void)state;
    for (size_t n = 0; n < 60; n++)
        for (size_t max = METRIC_POINTS_MIN; max < 30; max++) {
            MetricPoint points[60];
            size_t count;

            for (size_t i = 0; i < n; i++)
                points[i] = (MetricPoint){ i, i % 3 == 0 ? NAN : (double)(i * 7 % 11), 0 };
            count = metric_thin(points, n, max);
            assert_true(count <= max && count <= n);
            assert_true(n > max || count == n);
            assert_true(n == 0 || (points[0].step == 0 && points[count - 1].step == n - 1));
        }
}

static void a_long_series_is_thinned_but_counted_whole(void **state)
{
    Rig *rig = *state;
    int64_t id = insert(rig, 0);
    MetricList list = { 0 };

    for (uint64_t step = 1; step <= 3000; step++)
        append(rig, id, "a", step, step == 1500 ? 99 : 1);
    assert_int_equal(store_metric_flush(rig->store, NULL), STATUS_OK);
    assert_int_equal(store_metric_query(rig->store, id, NULL, 50, &list, NULL), STATUS_OK);
    assert_int_equal(list.series[0].total, 3000);
    assert_in_range(list.series[0].count, 3, 50);
    assert_int_equal(list.series[0].points[list.series[0].count - 1].step, 3000);
    metric_list_clear(&list);
}

/* --- checkpoints --- */

static bool exists(Rig *rig, const Checkpoint *c)
{
    char *path = store_checkpoint_file(rig->store, c);
    bool there = access(path, F_OK) == 0;

    free(path);
    return there;
}

static Status find(Rig *rig, int64_t job, CheckpointKey key, uint32_t epoch, uint64_t *ret_step)
{
    Checkpoint c;
    Status s = store_checkpoint_find(rig->store, job, key, epoch, &c, NULL);

    if (s == STATUS_OK)
        *ret_step = c.step;
    return s;
}

static void retention_keeps_two_best_and_pinned(void **state)
{
    Rig *rig = *state;
    int64_t id = insert(rig, 0);
    Checkpoint c[7];
    uint64_t step = 0;
    Job job;

    c[1] = add_checkpoint(rig, id, 10, 0.5, false);
    c[2] = add_checkpoint(rig, id, 20, 0.9, false); /* best */
    c[3] = add_checkpoint(rig, id, 30, 0.9, false); /* a tie: the earliest stays */
    c[4] = add_checkpoint(rig, id, 40, 0.2, true);
    c[5] = add_checkpoint(rig, id, 50, 0.2, false);
    c[6] = add_checkpoint(rig, id, 60, 0.2, false);
    assert_false(exists(rig, &c[1]));
    assert_true(exists(rig, &c[2]));
    assert_false(exists(rig, &c[3]));
    assert_true(exists(rig, &c[4]));
    assert_true(exists(rig, &c[5]));
    assert_true(exists(rig, &c[6]));
    assert_int_equal(find(rig, id, CHECKPOINT_KEY_LATEST, 0, &step), STATUS_OK);
    assert_int_equal(step, 60);
    assert_int_equal(find(rig, id, CHECKPOINT_KEY_BEST, 0, &step), STATUS_OK);
    assert_int_equal(step, 20);
    assert_int_equal(find(rig, id, CHECKPOINT_KEY_EPOCH, 4, &step), STATUS_OK);
    assert_int_equal(find(rig, id, CHECKPOINT_KEY_EPOCH, 6, &step), STATUS_OK);
    assert_int_equal(find(rig, id, CHECKPOINT_KEY_EPOCH, 5, &step),
                     STATUS_NOT_FOUND); /* for recovery only */
    assert_int_equal(find(rig, id, CHECKPOINT_KEY_EPOCH, 1, &step), STATUS_NOT_FOUND);
    assert_int_equal(find(rig, id, CHECKPOINT_KEY_EPOCH, 0, &step), STATUS_NOT_FOUND);
    job = get(rig, id);
    assert_int_equal(job.progress.epoch, 6);
    assert_int_equal(job.progress.step, 60);
    job_clear(&job);
}

/* Fault 11 of the public code: "best" is overwritten every epoch. */
static void fault_11_best_is_the_best_epoch_and_not_the_newest(void **state)
{
    static const struct {
        double score;
        uint32_t best; /* the epoch, from then on */
    } epochs[] = { { 0.2, 1 }, { 0.9, 2 },  { 0.5, 2 }, { 0.9, 2 },
                   { 0.1, 2 }, { 0.95, 6 }, { 0.3, 6 } };
    Rig *rig = *state;
    int64_t id = insert(rig, 0);

    for (uint32_t i = 0; i < sizeof epochs / sizeof *epochs; i++) {
        Checkpoint c;

        add_checkpoint(rig, id, 10 * ((uint64_t)i + 1), epochs[i].score, false);
        assert_int_equal(store_checkpoint_find(rig->store, id, CHECKPOINT_KEY_BEST, 0, &c, NULL),
                         STATUS_OK);
        assert_int_equal(c.epoch, epochs[i].best);
        assert_true(c.score == epochs[c.epoch - 1].score);
        assert_int_equal(store_checkpoint_verify(rig->store, &c, NULL), STATUS_OK);
    }
}

static void without_validation_there_is_no_best(void **state)
{
    Rig *rig = *state;
    int64_t id = insert(rig, 0);
    uint64_t step = 0;

    add_checkpoint(rig, id, 10, NAN, false);
    assert_int_equal(find(rig, id, CHECKPOINT_KEY_BEST, 0, &step), STATUS_NOT_FOUND);
    assert_int_equal(find(rig, id, CHECKPOINT_KEY_LATEST, 0, &step), STATUS_OK);
}

static void a_changed_byte_is_found_and_set_aside(void **state)
{
    Rig *rig = *state;
    int64_t id = insert(rig, 0);
    Checkpoint c = add_checkpoint(rig, id, 10, NAN, false);
    char *path = store_checkpoint_file(rig->store, &c), aside[512];
    uint64_t step;

    assert_string_equal(
        c.sha256,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); /* of "abc" */
    assert_int_equal(c.bytes, 3);
    assert_int_equal(store_checkpoint_verify(rig->store, &c, NULL), STATUS_OK);
    scratch_write(path, "abd");
    assert_int_equal(store_checkpoint_verify(rig->store, &c, NULL), STATUS_CORRUPT);
    assert_int_equal(store_checkpoint_discard(rig->store, &c, NULL), STATUS_OK);
    snprintf(aside, sizeof aside, "%s.corrupt", path);
    assert_int_equal(access(aside, F_OK), 0);
    assert_int_equal(find(rig, id, CHECKPOINT_KEY_LATEST, 0, &step), STATUS_NOT_FOUND);
    free(path);
}

static void files_without_rows_are_swept(void **state)
{
    Rig *rig = *state;
    int64_t id = insert(rig, 0);
    Checkpoint kept = add_checkpoint(rig, id, 10, NAN, false), orphan, half;
    char *path;

    assert_int_equal(store_checkpoint_prepare(rig->store, id, 20, &orphan, NULL), STATUS_OK);
    path = store_checkpoint_file(rig->store, &orphan);
    scratch_write(path, "x");
    free(path);
    assert_int_equal(store_checkpoint_prepare(rig->store, id, 30, &half, NULL), STATUS_OK);
    strncat(half.path, ".tmp", sizeof half.path - strlen(half.path) - 1);
    path = store_checkpoint_file(rig->store, &half);
    scratch_write(path, "x");
    free(path);
    assert_int_equal(store_checkpoint_sweep(rig->store, id, NULL), STATUS_OK);
    assert_true(exists(rig, &kept));
    assert_false(exists(rig, &orphan));
    assert_false(exists(rig, &half));
}

/* --- many at once --- */

static void *write_many(void *argument)
{
    Rig *rig = argument;

    for (int i = 0; i < 20; i++) {
        int64_t id = insert(rig, 0);

        append(rig, id, "a", 1, 1);
        if (state_of(rig, id) != JOB_QUEUED)
            return rig;
    }
    return NULL;
}

static void many_threads_may_write_and_read(void **state)
{
    Rig *rig = *state;
    pthread_t threads[6];
    uint64_t counts[JOB_STATE_COUNT];
    void *failed;

    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, rig), 0);
    for (int i = 0; i < 6; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(store_job_counts(rig->store, counts, NULL), STATUS_OK);
    assert_int_equal(counts[JOB_QUEUED], 120);
    assert_int_equal(counts[JOB_RUNNING], 0);
}

int main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_STORE(the_folder_is_closed_to_others),
        WITH_STORE(a_second_daemon_is_refused_by_name_and_pid),
        cmocka_unit_test(a_folder_that_cannot_be_made_is_named),
        WITH_STORE(foreign_files_are_left_alone),
        WITH_STORE(a_file_that_is_no_database_is_refused),
        WITH_STORE(each_start_is_a_new_boot),
        WITH_STORE(a_migration_backs_the_database_up_first),
        WITH_STORE(a_newer_schema_is_refused),
        WITH_STORE(a_failed_migration_changes_nothing),
        WITH_STORE(the_highest_priority_then_the_oldest_is_taken),
        WITH_STORE(a_stale_version_is_a_conflict),
        WITH_STORE(a_final_state_is_final),
        WITH_STORE(lists_are_newest_first_and_paged),
        WITH_STORE(a_job_keeps_the_name_of_its_preset),
        WITH_STORE(a_crash_puts_a_job_back_into_the_queue),
        WITH_STORE(a_crash_while_cancelling_ends_cancelled),
        WITH_STORE(three_attempts_without_progress_are_enough),
        WITH_STORE(drains_do_not_count_as_crashes),
        WITH_STORE(numbers_come_back_as_they_went_in),
        WITH_STORE(points_arrive_without_being_asked_for),
        WITH_STORE(a_resume_forgets_what_lies_past_it),
        WITH_STORE(a_full_queue_drops_and_counts),
        cmocka_unit_test(thinning_keeps_ends_extremes_and_nans),
        cmocka_unit_test(thinning_bounds_any_series),
        WITH_STORE(a_long_series_is_thinned_but_counted_whole),
        WITH_STORE(retention_keeps_two_best_and_pinned),
        WITH_STORE(fault_11_best_is_the_best_epoch_and_not_the_newest),
        WITH_STORE(without_validation_there_is_no_best),
        WITH_STORE(a_changed_byte_is_found_and_set_aside),
        WITH_STORE(files_without_rows_are_swept),
        WITH_STORE(many_threads_may_write_and_read),
    };

    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
