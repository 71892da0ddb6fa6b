/*
 * Time runs 0..nodes-1 through forward, then backward the other way: node i's backward happens at
 * 2*nodes-1-i. Every activation, gradient and saved array becomes a Buffer with a first and a last
 * moment of use, and pack.c places them.
 *
 * Sharing is decided before placing: a node whose operation may run in place takes over its input's
 * buffer if nobody needs the input's value afterwards; the same for gradients.
 */
#include "core/graph/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/checked.h"
#include "core/graph/fuse.h"
#include "core/graph/pack.h"

/* Working state of plan_init(). Buffers: [0,n) activations, [n,2n) gradients, [2n,3n) saved. */
typedef struct Planner {
    Plan *plan;
    const Graph *graph;
    uint32_t n;
    Buffer *buffer; /* [3n]; bytes 0: none */
    uint32_t
        *owner; /* [2n] whose buffer an activation or gradient lies in; itself, or an earlier one */
    uint32_t *last_use; /* [n] last moment an activation's value is read */
    uint32_t *writers;  /* [n] edges that write a node's gradient */
    uint32_t *readers;  /* [n] of a node's value */
} Planner;

static uint32_t backward_time(const Planner *p, NodeId i)
{
    return 2 * p->n - 1 - i;
}

static bool is_kept(const PlanSpec *spec, NodeId i)
{
    if (i == spec->output || i == spec->gradient_to)
        return true;
    for (int k = 0; k < PLAN_KEEP_MAX && spec->keep[k] != NODE_NONE; k++)
        if (spec->keep[k] == i)
            return true;
    return false;
}

/* Whether one of its weights' gradients is wanted. */
static bool weights_want(const Plan *plan, const OpShapes *s)
{
    for (uint32_t i = 0; i < s->weights; i++)
        if ((plan->spec.gradients >> s->weight[i].role & 1) != 0)
            return true;
    return false;
}

/* The shapes of a step for the plan's number of images, checked against overflow. */
static Status shape_step(Planner *p, NodeId i, Error *err)
{
    NodePlan *np = &p->plan->node[i];
    Shape in[OP_INPUTS_MAX];

    for (uint32_t k = 0; k < np->inputs; k++)
        in[k] = p->plan->node[np->input[k]].shapes.out;
    return np->op->shape(np->value, in, np->inputs, &np->shapes, err);
}

/* Shapes of all nodes: also of those that a later step computes. */
static Status shapes(Planner *p, Error *err)
{
    for (NodeId i = 0; i < p->n; i++) {
        Status s = STATUS_OK;

        if (p->plan->node[i].op == NULL)
            p->plan->node[i].shapes.out = graph_shape(p->graph, i, p->plan->spec.images);
        else
            s = shape_step(p, i, err);
        if (s != STATUS_OK)
            return s;
    }
    return STATUS_OK;
}

/* Which nodes run. */
static void mark_runs(Planner *p)
{
    Plan *plan = p->plan;

    for (NodeId i = p->n; i-- > 0;) {
        NodePlan *np = &plan->node[i];

        np->runs = np->runs || is_kept(&plan->spec, i);
        for (uint32_t k = 0; np->runs && k < np->inputs; k++)
            plan->node[np->input[k]].runs = true;
    }
}

/* Steps of several nodes, and what they need. */
static Status fuse(Planner *p, Error *err)
{
    NodePlan *node = p->plan->node;
    Status s = STATUS_OK;

    for (NodeId i = 0; i < p->n; i++)
        p->readers[i] = is_kept(&p->plan->spec, i);
    fuse_steps(p->graph, &p->plan->spec, node, p->readers);
    for (NodeId i = 0; i < p->n && s == STATUS_OK; i++)
        if (node[i].op != p->graph->node[i].op && node[i].op != NULL)
            s = shape_step(p, i, err);
    return s;
}

/* Which gradients are wanted, which backward passes happen. */
static void mark_gradients(Planner *p)
{
    Plan *plan = p->plan;
    const PlanSpec *spec = &plan->spec;

    for (NodeId i = 0; i < p->n; i++) {
        NodePlan *np = &plan->node[i];

        np->wants = i == spec->gradient_to || weights_want(plan, &np->shapes);
        for (uint32_t k = 0; k < np->inputs && (np->op->flags & OP_CONSTANT) == 0; k++)
            np->wants = np->wants || plan->node[np->input[k]].wants;
    }
    for (NodeId i = 0; i < p->n; i++) /* only what the output depends on has a gradient */
        if (i > spec->output)
            plan->node[i].wants = false;
    if (plan->node[spec->output].wants)
        p->writers[spec->output] = 1; /* the caller's seed */
    for (NodeId i = spec->output + 1; i-- > 0;) {
        NodePlan *np = &plan->node[i];

        np->wants = np->wants && p->writers[i] > 0;
        if (!np->wants || np->op == NULL || (np->op->flags & OP_CONSTANT) != 0)
            continue;
        np->backward = weights_want(plan, &np->shapes);
        for (uint32_t k = 0; k < np->inputs; k++) {
            if (!plan->node[np->input[k]].wants)
                continue;
            np->backward = true;
            np->accumulate[k] = p->writers[np->input[k]]++ > 0;
        }
    }
}

bool plan_reads_again(const Plan *plan, NodeId step, uint32_t k)
{
    const NodePlan *np = &plan->node[step];
    unsigned flags = np->op->flags;

    if ((flags & OP_NEEDS_INPUT) != 0 || ((flags & OP_NEEDS_REST) != 0 && k > 0) ||
        ((flags & OP_WEIGHTS_NEED_INPUT) != 0 && weights_want(plan, &np->shapes)))
        return true;
    for (uint32_t other = 0; other < np->inputs && (flags & OP_PRODUCT) != 0; other++)
        if ((other == 0) != (k == 0) && plan->node[np->input[other]].wants)
            return true;
    return false;
}

/* The last moment that each activation is read, in either direction. */
static void uses(Planner *p)
{
    const Plan *plan = p->plan;

    for (NodeId i = 0; i < p->n; i++) {
        const NodePlan *np = &plan->node[i];
        unsigned flags;

        if (p->last_use[i] < i)
            p->last_use[i] = i;
        if (is_kept(&plan->spec, i))
            p->last_use[i] = 2 * p->n;
        if (np->op == NULL || !np->runs)
            continue;
        flags = np->op->flags;
        if (np->backward && (flags & OP_NEEDS_OUTPUT) != 0 && p->last_use[i] < backward_time(p, i))
            p->last_use[i] = backward_time(p, i);
        for (uint32_t k = 0; k < np->inputs; k++) {
            uint32_t *last = &p->last_use[np->input[k]];

            if (*last < i)
                *last = i;
            if (np->backward && plan_reads_again(plan, i, k) && *last < backward_time(p, i))
                *last = backward_time(p, i);
        }
    }
}

static void extend(Buffer *b, uint32_t first, uint32_t last)
{
    b->first = first < b->first ? first : b->first;
    b->last = last > b->last ? last : b->last;
}

static void place_activations(Planner *p)
{
    for (NodeId i = 0; i < p->n; i++) {
        const NodePlan *np = &p->plan->node[i];
        NodeId from = np->input[0];

        p->owner[i] = i;
        if (!np->runs)
            continue;
        if (np->inputs > 0 && (np->op->flags & OP_INPLACE) != 0 && p->last_use[from] <= i &&
            p->plan->node[from].op != NULL) {
            p->owner[i] = p->owner[from];
            extend(&p->buffer[p->owner[i]], i, p->last_use[i]);
            continue;
        }
        /* Inputs are written before forward begins: they live from its first moment. */
        p->buffer[i] = (Buffer){ .bytes = shape_count(&np->shapes.out) * sizeof(real),
                                 .first = np->op == NULL ? 0 : i,
                                 .last = p->last_use[i] };
    }
}

/* Backward runs from the output down, so a gradient's first writer is met before its readers. */
static void place_gradients(Planner *p)
{
    const PlanSpec *spec = &p->plan->spec;

    for (NodeId i = spec->output + 1; i-- > 0;) {
        const NodePlan *np = &p->plan->node[i];
        Buffer *mine;

        if (!np->wants)
            continue;
        if (i == spec->output) {
            p->owner[p->n + i] = p->n + i;
            p->buffer[p->n + i] = (Buffer){ shape_count(&np->shapes.out) * sizeof(real), 0, i, 0 };
        }
        mine = &p->buffer[p->owner[p->n + i]];
        extend(mine, mine->first, i == spec->gradient_to ? 2 * p->n : backward_time(p, i));
        if (!np->backward)
            continue;
        for (uint32_t k = 0; k < np->inputs; k++) {
            NodeId from = np->input[k];
            const NodePlan *to = &p->plan->node[from];

            if (!to->wants || np->accumulate[k])
                continue;
            if (k == 0 && (np->op->flags & OP_GRADIENT_INPLACE) != 0 && i != spec->gradient_to) {
                p->owner[p->n + from] = p->owner[p->n + i];
                continue;
            }
            p->owner[p->n + from] = p->n + from;
            p->buffer[p->n + from] = (Buffer){ shape_count(&to->shapes.out) * sizeof(real), 0,
                                               backward_time(p, i), backward_time(p, i) };
        }
    }
}

static void place_saved(Planner *p, size_t *ret_scratch)
{
    for (NodeId i = 0; i < p->n; i++) {
        const NodePlan *np = &p->plan->node[i];
        size_t scratch = op_scratch_bytes(&np->shapes, np->backward);

        if (!np->runs)
            continue;
        p->buffer[2 * p->n + i] = (Buffer){ .bytes = np->shapes.saved * sizeof(real),
                                            .first = i,
                                            .last = np->backward ? backward_time(p, i) : i };
        if (scratch > *ret_scratch)
            *ret_scratch = scratch;
    }
}

static Status planner_run(Planner *p, Error *err)
{
    Plan *plan = p->plan;
    size_t scratch = 0;
    Status s;

    fuse_none(p->graph, plan->node);
    if (plan->spec.from != 0) { /* an input from here on */
        plan->node[plan->spec.from].op = NULL;
        plan->node[plan->spec.from].inputs = 0;
    }
    s = shapes(p, err);
    if (s == STATUS_OK) {
        mark_runs(p);
        s = fuse(p, err);
    }
    if (s != STATUS_OK)
        return s;
    mark_gradients(p);
    uses(p);
    place_activations(p);
    place_gradients(p);
    place_saved(p, &scratch);
    s = pack_buffers(p->buffer, 3 * (size_t)p->n, &plan->scratch, err);
    if (s != STATUS_OK)
        return s;
    plan->bytes = plan->scratch + arena_round(scratch);
    for (NodeId i = 0; i < p->n; i++) {
        NodePlan *np = &plan->node[i];

        if (!np->runs)
            continue;
        np->out = p->buffer[p->owner[i]].offset;
        np->saved = p->buffer[2 * p->n + i].offset;
        if (np->wants)
            np->gradient = p->buffer[p->owner[p->n + i]].offset;
        plan->forward_flops += np->shapes.flops;
    }
    return STATUS_OK;
}

Status plan_init(Plan *plan, const Graph *graph, const PlanSpec *spec, Error *err)
{
    uint32_t n = graph->nodes;
    Plan made = { .graph = graph, .spec = *spec, .node = calloc(n, sizeof *made.node) };
    Planner p = {
        .plan = &made,
        .graph = graph,
        .n = n,
        .buffer = calloc(3 * (size_t)n, sizeof *p.buffer),
        .owner = calloc(2 * (size_t)n, sizeof *p.owner),
        .last_use = calloc(n, sizeof *p.last_use),
        .writers = calloc(n, sizeof *p.writers),
        .readers = calloc(n, sizeof *p.readers),
    };
    Status s;

    assert(spec->output < n && spec->images > 0);
    if (made.node == NULL || p.buffer == NULL || p.owner == NULL || p.last_use == NULL ||
        p.writers == NULL || p.readers == NULL)
        s = error_set(err, STATUS_NO_MEMORY, "cannot allocate a plan");
    else
        s = planner_run(&p, err);
    free(p.readers);
    free(p.writers);
    free(p.last_use);
    free(p.owner);
    free(p.buffer);
    if (s != STATUS_OK)
        plan_clear(&made);
    else
        *plan = made;
    return s;
}

void plan_clear(Plan *plan)
{
    free(plan->node);
    *plan = (Plan){ 0 };
}

void plan_bind(Plan *plan, void *memory)
{
    plan->memory = memory;
}

Tensor plan_tensor(const Plan *plan, NodeId node)
{
    return (Tensor){ (real *)(plan->memory + plan->node[node].out), plan->node[node].shapes.out };
}

Tensor plan_gradient(const Plan *plan, NodeId node)
{
    assert(plan->node[node].wants);
    return (Tensor){ (real *)(plan->memory + plan->node[node].gradient),
                     plan->node[node].shapes.out };
}
