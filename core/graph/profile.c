/* What a call costs is added as it is made: plans of one graph differ in images and gradients. */
#include "core/graph/profile.h"

#include <stdlib.h>
#include <time.h>

Status profile_new(const Graph *graph, uint32_t steps, Profile **ret, Error *err)
{
    Profile *p = calloc(1, sizeof *p + STEP_DIRECTIONS * (size_t)graph->nodes * sizeof *p->item);

    if (p == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a profile");
    p->graph = graph;
    p->wanted = steps;
    p->skip = PROFILE_SKIP;
    *ret = p;
    return STATUS_OK;
}

void profile_free(Profile *profile)
{
    free(profile);
}

double profile_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void profile_limit(Profile *p, uint64_t steps)
{
    uint64_t most;

    if (p == NULL)
        return;
    most = p->steps + (steps > p->skip ? steps - p->skip : 0);
    if (p->wanted > most)
        p->wanted = (uint32_t)most;
}

void profile_begin(Profile *p)
{
    if (p == NULL || p->steps == p->wanted)
        return;
    if (p->skip > 0)
        p->skip--;
    else
        p->began = profile_now();
}

void profile_end(Profile *p)
{
    if (p == NULL || p->began == 0)
        return;
    p->seconds += profile_now() - p->began;
    p->began = 0;
    p->steps++;
}

Profile *profile_running(Profile *p)
{
    return p != NULL && p->began != 0 ? p : NULL;
}

bool profile_is_done(const Profile *p)
{
    return p != NULL && p->wanted > 0 && p->steps == p->wanted;
}

void profile_add(Profile *p, const Plan *plan, NodeId step, StepDirection direction, double seconds)
{
    ProfileItem *item;
    StepCost cost;

    if (plan->graph != p->graph)
        return;
    item = &p->item[direction * (size_t)p->graph->nodes + step];
    cost = step_cost(plan, step, direction);
    item->plan = plan;
    item->calls++;
    item->seconds += seconds;
    item->cost.flops += cost.flops;
    item->cost.done_flops += cost.done_flops;
    item->cost.bytes += cost.bytes;
}
