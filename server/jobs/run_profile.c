/*
 * The limits are measured when the profile is complete: between two steps, by the job's own
 * threads, beside whatever ran beside the steps.
 */
#include <stdlib.h>

#include "core/graph/profile.h"
#include "server/codec/json.h"
#include "server/config/log.h"
#include "server/jobs/run.h"
#include "server/store/profiles.h"

/* An item, and where it lies in the profile. */
typedef struct Row {
    const ProfileItem *item;
    NodeId step;
    StepDirection direction;
} Row;

/* The slowest first; the order of the plan where two are equal. */
static int compare_rows(const void *a, const void *b)
{
    const Row *x = a, *y = b;

    if (x->item->seconds != y->item->seconds)
        return x->item->seconds < y->item->seconds ? 1 : -1;
    return x->item < y->item ? -1 : 1;
}

/* The names of the nodes that a step computes. */
static json_t *nodes_json(const Plan *plan, NodeId step)
{
    json_t *out = json_array();

    for (NodeId i = 0; i <= step; i++)
        if (plan->node[i].step == step)
            (void)json_array_append_new(out, json_string(plan_node_name(plan, i)));
    return out;
}

/* json_number(), 0 for a ratio to nothing. */
static json_t *ratio(double value, double to)
{
    return json_number(to > 0 ? value / to : 0);
}

static json_t *row_json(const Row *row, double all_seconds, const Roofline *limits)
{
    const ProfileItem *item = row->item;
    double s = item->seconds;

    return json_pack("{sI ss so ss sI so so so so so}", "step", (json_int_t)row->step, "operation",
                     item->plan->node[row->step].op->described.name, "nodes",
                     nodes_json(item->plan, row->step), "direction",
                     step_direction_names[row->direction], "calls", (json_int_t)item->calls,
                     "seconds", json_number(s), "share", ratio(s, all_seconds), "gflops",
                     ratio(item->cost.flops / 1e9, s), "gbs", ratio(item->cost.bytes / 1e9, s),
                     "limit_share", ratio(roofline_seconds(limits, &item->cost), s));
}

/* NULL: out of memory. */
static json_t *items_json(const Profile *p, const Roofline *limits)
{
    Row *row = calloc(STEP_DIRECTIONS * (size_t)p->graph->nodes + 1, sizeof *row);
    json_t *items = row != NULL ? json_array() : NULL;
    size_t rows = 0;

    for (size_t i = 0; row != NULL && i < STEP_DIRECTIONS * (size_t)p->graph->nodes; i++)
        if (p->item[i].plan != NULL)
            row[rows++] = (Row){ &p->item[i], (NodeId)(i % p->graph->nodes),
                                 (StepDirection)(i / p->graph->nodes) };
    if (rows > 0)
        qsort(row, rows, sizeof *row, compare_rows);
    for (size_t i = 0; i < rows; i++)
        (void)json_array_append_new(items, row_json(&row[i], p->seconds, limits));
    free(row);
    return items;
}

static Status write_profile(JobRun *run, const Profile *profile, Error *err)
{
    const Kernels *kernels;
    Roofline limits;
    json_t *out;
    char *text = NULL;
    Status s = kernels_select(NULL, &kernels, err);

    if (s == STATUS_OK)
        s = roofline_measure(run->pool, kernels, &limits, err);
    if (s != STATUS_OK)
        return s;
    out = json_pack("{sI so si ss s{so so} so}", "steps", (json_int_t)profile->steps, "seconds",
                    json_number(profile->seconds), "threads", (int)pool_threads(run->pool),
                    "kernels", kernels->name, "limits", "gflops", json_number(limits.flops / 1e9),
                    "gbs", json_number(limits.bytes / 1e9), "items", items_json(profile, &limits));
    if (out != NULL)
        text = json_dumps(out, JSON_WRITE_FLAGS);
    json_decref(out);
    s = text != NULL ? store_profile_put(run->store, run->id, text, err)
                     : error_set(err, STATUS_NO_MEMORY, "cannot allocate a profile");
    free(text);
    return s;
}

uint64_t run_profile_bytes(uint32_t steps)
{
    return steps > 0 ? ROOFLINE_BYTES : 0;
}

void run_profile(JobRun *run, const Profile *profile)
{
    Error err = { 0 };

    if (run->profiled || !profile_is_done(profile))
        return;
    run->profiled = true;
    if (write_profile(run, profile, &err) != STATUS_OK)
        log_write(LOG_WARNING, "job %lld: its profile was not kept: %s", (long long)run->id,
                  error_message(&err));
}
