/*
 * kinds_rig -- the real kinds on a store of their own, with a worker: what tests of kinds share. No
 * HTTP.
 */
#pragma once

#include "tests/unit/test.h"

#include <math.h>
#include <string.h>

#include "server/jobs/maps.h"
#include "server/jobs/queue.h"
#include "tests/unit/scratch.h"

typedef struct Rig {
    Scratch scratch;
    Store *store;
    Datasets *datasets;
    Queue *queue;
    Maps *maps;
    int64_t trained; /* a job that the test has finished */
} Rig;

static inline void open_queue(Rig *rig)
{
    QueueOptions options = { .workers = 1, .datasets = rig->datasets };

    assert_int_equal(store_open(rig->scratch.path, &rig->store, NULL), STATUS_OK);
    options.store = rig->store;
    assert_int_equal(queue_new(&options, &rig->queue, NULL), STATUS_OK);
    assert_int_equal(maps_new(rig->queue, &rig->maps, NULL), STATUS_OK);
}

static inline void close_queue(Rig *rig)
{
    maps_free(rig->maps);
    assert_int_equal(queue_drain(rig->queue, NULL), STATUS_OK);
    queue_free(rig->queue);
    store_close(rig->store);
}

static inline Status submit_error(Rig *rig, const char *text, int64_t *ret_id, Error *err)
{
    json_t *body = json_loads(text, 0, NULL);
    Job job = { 0 };
    Status s;

    assert_non_null(body);
    do { /* as HTTP does, while a data set is being read */
        datasets_wait(rig->datasets, datasets_generation(rig->datasets),
                      datasets_loading(rig->datasets) ? 1000 : 0);
        error_clear(err);
        s = queue_submit(rig->queue, body, NULL, &job, err);
    } while (s == STATUS_BUSY);
    if (s == STATUS_OK)
        *ret_id = job.id;
    job_clear(&job);
    json_decref(body);
    return s;
}

static inline int64_t submit(Rig *rig, const char *text)
{
    Error err = { 0 };
    int64_t id = 0;

    if (submit_error(rig, text, &id, &err) != STATUS_OK)
        fail_msg("%s: %s", err.detail[0].pointer, error_message(&err));
    return id;
}

static inline Job wait_for(Rig *rig, int64_t id, uint64_t step)
{
    for (int i = 0; i < 150000; i++) { /* five minutes: far more than any machine takes */
        Job job = { 0 };

        assert_int_equal(queue_get(rig->queue, id, &job, NULL), STATUS_OK);
        if (job_state_final(job.state) || job.progress.step >= step)
            return job;
        job_clear(&job);
        usleep(2000);
    }
    fail_msg("job %lld did not get there", (long long)id);
    return (Job){ 0 };
}

static inline Job ended(Rig *rig, int64_t id, JobState state)
{
    Job job = wait_for(rig, id, UINT64_MAX);

    if (job.state != state)
        fail_msg("job %lld is %s: %s", (long long)id, job_state_names[job.state],
                 job.reason == NULL ? "" : job.reason);
    return job;
}

static inline Job succeeded(Rig *rig, int64_t id)
{
    return ended(rig, id, JOB_SUCCEEDED);
}

static inline double latest(const Job *job, const char *key)
{
    for (uint32_t i = 0; i < job->latest_count; i++)
        if (strcmp(job->latest[i].key, key) == 0)
            return job->latest[i].value;
    return NAN;
}

static inline void refused(Rig *rig, const char *text, const char *pointer)
{
    Error err = { 0 };
    int64_t id;

    assert_int_equal(status_http(submit_error(rig, text, &id, &err)), 422);
    for (uint32_t i = 0; i < err.details; i++)
        if (strcmp(err.detail[i].pointer, pointer) == 0)
            return;
    fail_msg("expected %s, got %s: %s", pointer, err.detail[0].pointer, error_message(&err));
}

/* A store, the data sets (`specs` as of datasets_new()), a worker. */
static inline Rig *rig_open_with(const char *const *specs, size_t count)
{
    Rig *rig = calloc(1, sizeof *rig);

    assert_non_null(rig);
    rig->scratch = scratch_new();
    assert_int_equal(datasets_new(specs, count, &rig->datasets, NULL), STATUS_OK);
    datasets_open_all(rig->datasets, NULL);
    while (datasets_loading(rig->datasets))
        datasets_wait(rig->datasets, datasets_generation(rig->datasets), 100);
    open_queue(rig);
    return rig;
}

static inline Rig *rig_open(void)
{
    const char *const missing = "gone=/nonexistent/data";

    return rig_open_with(&missing, 1);
}

static inline int rig_teardown(void **state)
{
    Rig *rig = *state;

    close_queue(rig);
    datasets_free(rig->datasets);
    scratch_remove(&rig->scratch);
    free(rig);
    return 0;
}

static inline void the_digest(Rig *rig, int64_t id, char ret[SHA256_HEX])
{
    Checkpoint c;

    assert_int_equal(queue_checkpoint(rig->queue, id, "latest", &c, NULL), STATUS_OK);
    memcpy(ret, c.sha256, SHA256_HEX);
}

/* A job like rig->trained, stopped from `step` on and started again, leaves the same checkpoint. */
static inline void drained_ends_alike(Rig *rig, const char *text, uint64_t step)
{
    char whole[SHA256_HEX], resumed[SHA256_HEX];
    int64_t id = submit(rig, text);
    Job job = wait_for(rig, id, step);

    job_clear(&job);
    close_queue(rig);
    open_queue(rig);
    job = succeeded(rig, id);
    assert_true(job.attempt == 1 || job.resumed_step > 0);
    job_clear(&job);
    the_digest(rig, rig->trained, whole);
    the_digest(rig, id, resumed);
    assert_string_equal(whole, resumed);
}
