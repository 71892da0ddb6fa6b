/*
 * Cells are queued column by column, so that the table has a number in every row before any row has
 * two.
 */
#include "server/jobs/sweeps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/codec/json.h"
#include "server/jobs/queue_private.h"
#include "server/jobs/sweep_spec.h"

/* A sweep's rows on their way to the store. */
typedef struct Draft {
    uint32_t rows;
    size_t cells;       /* filled */
    char **label;       /* [rows] */
    char **settings;    /* [rows] */
    JobRow *job;        /* [cells] */
    JobInsert *insert;  /* [cells] */
    uint32_t *cell_row; /* [cells] */
} Draft;

static void draft_clear(Draft *draft)
{
    for (uint32_t i = 0; i < draft->rows; i++) {
        free(draft->label != NULL ? draft->label[i] : NULL);
        free(draft->settings != NULL ? draft->settings[i] : NULL);
    }
    for (size_t i = 0; i < draft->cells; i++)
        job_row_clear(&draft->job[i]);
    free(draft->label);
    free(draft->settings);
    free(draft->job);
    free(draft->insert);
    free(draft->cell_row);
}

static Status draft_init(Draft *draft, const SweepSpec *spec, Error *err)
{
    size_t cells = (size_t)spec->rows * spec->seeds;
    bool ok;

    *draft = (Draft){ .rows = spec->rows,
                      .label = calloc(spec->rows, sizeof *draft->label),
                      .settings = calloc(spec->rows, sizeof *draft->settings),
                      .job = calloc(cells, sizeof *draft->job),
                      .insert = calloc(cells, sizeof *draft->insert),
                      .cell_row = calloc(cells, sizeof *draft->cell_row) };
    ok = draft->label != NULL && draft->settings != NULL && draft->job != NULL &&
         draft->insert != NULL && draft->cell_row != NULL;
    for (uint32_t i = 0; i < spec->rows && ok; i++) {
        json_t *settings = sweep_spec_settings(spec, i);
        char label[SWEEP_LABEL_BYTES];

        sweep_spec_label(spec, i, label);
        draft->label[i] = strdup(label);
        draft->settings[i] = json_dumps(settings, JSON_WRITE_FLAGS);
        json_decref(settings);
        ok = draft->label[i] != NULL && draft->settings[i] != NULL;
    }
    return ok ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "cannot allocate a sweep");
}

/* Says which cell it was, where that says more than the field. */
static void say_cell(const SweepSpec *spec, uint32_t row, uint32_t column, Error *err)
{
    char label[SWEEP_LABEL_BYTES];

    if (spec->rows == 1 || err == NULL || err->details == 0)
        return;
    sweep_spec_label(spec, row, label);
    for (uint32_t i = 0; i < err->details; i++) {
        char *message = err->detail[i].message;
        size_t used = strlen(message);

        snprintf(message + used, ERROR_MESSAGE_MAX - used, " (row \"%s\", seed %llu)", label,
                 (unsigned long long)sweep_spec_seed(spec, column));
    }
}

static Status add_cell(Queue *queue, const SweepSpec *spec, uint32_t row, uint32_t column,
                       Draft *draft, Error *err)
{
    JobSpec *job = NULL;
    JobEstimate estimate = { 0 };
    json_t *body = NULL;
    Status s = sweep_spec_job(spec, row, column, &body, err);

    if (s == STATUS_OK) {
        s = queue_examine(queue, body, &job, &estimate, err);
        if (s != STATUS_OK)
            sweep_spec_blame(spec, row, err);
    }
    if (s == STATUS_OK)
        s = job_row_make(job, &estimate, &draft->job[draft->cells], err);
    else
        say_cell(spec, row, column, err);
    if (s == STATUS_OK) {
        draft->insert[draft->cells] = draft->job[draft->cells].insert;
        draft->cell_row[draft->cells++] = row;
    }
    job_spec_free(job);
    json_decref(body);
    return s;
}

static Status insert(Queue *queue, const SweepSpec *spec, const Draft *draft,
                     const AnswerRequest *answer, int64_t *ret_id, Error *err)
{
    char *seeds = json_dumps(json_object_get(spec->whole, "seeds"), JSON_WRITE_FLAGS);
    const SweepInsert sweep = { .name = spec->name,
                                .preset = spec->preset[0] == '\0' ? NULL : spec->preset,
                                .metric = spec->metric,
                                .at = spec->at,
                                .seeds = seeds,
                                .rows = spec->rows,
                                .labels = (const char *const *)draft->label,
                                .settings = (const char *const *)draft->settings,
                                .cells = draft->cells,
                                .cell = draft->insert,
                                .cell_row = draft->cell_row,
                                .answer = answer };
    Status s = seeds == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a sweep")
                             : store_sweep_insert(queue->store, &sweep, ret_id, err);

    free(seeds);
    return s;
}

Status sweep_submit(Queue *queue, const json_t *body, const AnswerRequest *answer, int64_t *ret_id,
                    Error *err)
{
    SweepSpec spec = { 0 };
    Draft draft = { 0 };
    Status s = sweep_spec_parse(body, &spec, err);

    if (s == STATUS_OK)
        s = draft_init(&draft, &spec, err);
    for (uint32_t column = 0; column < spec.seeds && s == STATUS_OK; column++)
        for (uint32_t row = 0; row < spec.rows && s == STATUS_OK; row++)
            s = add_cell(queue, &spec, row, column, &draft, err);
    if (s == STATUS_OK)
        s = insert(queue, &spec, &draft, answer, ret_id, err);
    draft_clear(&draft);
    sweep_spec_clear(&spec);
    if (s == STATUS_OK)
        queue_wake(queue);
    return s;
}

static void stop_cell(void *queue, int64_t job)
{
    queue_stop_running(queue, job);
}

Status sweep_cancel(Queue *queue, int64_t id, Error *err)
{
    return store_sweep_cancel(queue->store, id, stop_cell, queue, err);
}
