/*
 * Both limits are measured as the operations run: units of work handed to the pool. The best of
 * some tries counts, since whatever disturbs only makes it slower; there are enough of them for the
 * system to find a core for each thread.
 */
#include "core/graph/roofline.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/arena.h"

#define PROBE_SECONDS 0.025

enum {
    PEAK_ROUNDS = 1 << 16, /* a unit's: about 0.2 ms */
    PEAK_UNITS = 8,        /* a thread's */
    READ_UNIT_BYTES = 1 << 20,
    READ_UNITS = ROOFLINE_BYTES / READ_UNIT_BYTES,
    UNITS_MAX = PEAK_UNITS * POOL_THREADS_MAX,
};

const char *const step_direction_names[STEP_DIRECTIONS] = { "forward", "backward" };

static double bytes_of(const Plan *plan, NodeId i)
{
    return (double)shape_count(&plan->node[i].shapes.out) * sizeof(real);
}

static StepCost forward_cost(const Plan *plan, NodeId step)
{
    const NodePlan *np = &plan->node[step];
    StepCost cost = { .flops = np->shapes.flops,
                      .done_flops = np->shapes.flops - np->shapes.spared[OP_PASS_FORWARD],
                      .bytes = bytes_of(plan, step) };

    for (uint32_t k = 0; k < np->inputs; k++)
        cost.bytes += bytes_of(plan, np->input[k]);
    for (uint32_t k = 0; k < np->shapes.weights; k++)
        cost.bytes += (double)shape_count(&np->shapes.weight[k].shape) * sizeof(real);
    if (np->backward)
        cost.bytes += (double)np->shapes.saved * sizeof(real);
    return cost;
}

/* A product's gradient towards either factor takes as many FLOPs as the product. */
static StepCost backward_cost(const Plan *plan, NodeId step)
{
    const NodePlan *np = &plan->node[step];
    StepCost cost = { .bytes = bytes_of(plan, step) + (double)np->shapes.saved * sizeof(real) };
    bool data = false, weights = false;

    if ((np->op->flags & OP_NEEDS_OUTPUT) != 0)
        cost.bytes += bytes_of(plan, step);
    for (uint32_t k = 0; k < np->inputs; k++) {
        bool wants = plan->node[np->input[k]].wants;
        int times = (wants ? 1 + np->accumulate[k] : 0) + plan_reads_again(plan, step, k);

        data = data || wants;
        cost.bytes += times * bytes_of(plan, np->input[k]);
    }
    for (uint32_t k = 0; k < np->shapes.weights; k++) {
        const OpWeight *weight = &np->shapes.weight[k];
        bool wanted = (plan->spec.gradients >> weight->role & 1) != 0;

        weights = weights || wanted;
        cost.bytes += (1 + 2 * wanted) * (double)shape_count(&weight->shape) * sizeof(real);
    }
    cost.flops = (data + weights) * np->shapes.flops;
    cost.done_flops = cost.flops - data * np->shapes.spared[OP_PASS_DATA] -
                      weights * np->shapes.spared[OP_PASS_WEIGHTS];
    return cost;
}

StepCost step_cost(const Plan *plan, NodeId step, StepDirection direction)
{
    return (direction == STEP_FORWARD ? forward_cost : backward_cost)(plan, step);
}

double roofline_seconds(const Roofline *limits, const StepCost *cost)
{
    double compute = cost->done_flops / limits->flops, memory = cost->bytes / limits->bytes;

    return compute > memory ? compute : memory;
}

/* --- measuring --- */

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct Probe {
    const Kernels *kernels;
    const real *numbers;
    double unit[UNITS_MAX]; /* what each unit computed */
} Probe;

static void peak_unit(void *context, size_t u)
{
    Probe *probe = context;
    real sum;

    probe->unit[u] = probe->kernels->peak(PEAK_ROUNDS, &sum);
}

static void read_unit(void *context, size_t u)
{
    Probe *probe = context;
    const size_t half = READ_UNIT_BYTES / sizeof(real) / 2;
    const real *numbers = probe->numbers + 2 * half * u;

    probe->unit[u] = probe->kernels->dot(half, numbers, numbers + half);
}

/* The shortest try. */
static double time_units(Pool *pool, size_t units, PoolBody body, Probe *probe)
{
    const double start = seconds();
    double best = 0, now = start;

    while (now - start < PROBE_SECONDS) {
        double began = now, took;

        pool_run(pool, units, body, probe);
        now = seconds();
        took = now - began;
        if (best == 0 || took < best)
            best = took;
    }
    return best;
}

Status roofline_measure(Pool *pool, const Kernels *kernels, Roofline *ret, Error *err)
{
    const size_t bytes = ROOFLINE_BYTES, units = (size_t)PEAK_UNITS * pool_threads(pool);
    Probe probe = { .kernels = kernels };
    Arena arena = { 0 };
    double flops;
    Status s = arena_init(&arena, bytes, err);

    if (s != STATUS_OK)
        return s;
    probe.numbers = memset(arena_take(&arena, bytes), 0, bytes);
    ret->bytes = (double)bytes / time_units(pool, READ_UNITS, read_unit, &probe);
    flops = (double)units / time_units(pool, units, peak_unit, &probe);
    ret->flops = flops * probe.unit[0];
    arena_clear(&arena);
    return STATUS_OK;
}
