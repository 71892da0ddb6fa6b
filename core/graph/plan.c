/*
 * Time runs 0..nodes-1 through forward, then backward the other way: node i's backward happens at
 * 2*nodes-1-i. Every activation, gradient and saved array becomes a Buffer with a first and a last
 * moment of use. Buffers are placed largest first at the lowest offset that is free for their whole
 * life: simple, deterministic, and near the optimum for networks that are mostly chains.
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

typedef struct Buffer {
    size_t bytes, offset;
    uint32_t first, last;
} Buffer;

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
static bool weights_want(const Planner *p, const OpShapes *s)
{
    for (uint32_t i = 0; i < s->weights; i++)
        if ((p->plan->spec.gradients >> s->weight[i].role & 1) != 0)
            return true;
    return false;
}

/* Shapes for the plan's number of images, checked against overflow. */
static Status shapes(Planner *p, Error *err)
{
    Plan *plan = p->plan;

    for (NodeId i = 0; i < p->n; i++) {
        const Node *node = &p->graph->node[i];
        Shape in[OP_INPUTS_MAX];
        Status s;

        if (node->op == NULL) {
            plan->node[i].shapes.out = graph_shape(p->graph, i, plan->spec.images);
            continue;
        }
        for (uint32_t k = 0; k < node->inputs; k++)
            in[k] = plan->node[node->input[k]].shapes.out;
        s = node->op->shape(node->value, in, node->inputs, &plan->node[i].shapes, err);
        if (s != STATUS_OK)
            return s;
    }
    return STATUS_OK;
}

/* Which nodes run, which gradients are wanted, which backward passes happen. */
static void mark(Planner *p)
{
    Plan *plan = p->plan;
    const PlanSpec *spec = &plan->spec;

    for (NodeId i = p->n; i-- > 0;) {
        NodePlan *np = &plan->node[i];
        const Node *node = &p->graph->node[i];

        np->runs = np->runs || is_kept(spec, i);
        for (uint32_t k = 0; np->runs && k < node->inputs; k++)
            plan->node[node->input[k]].runs = true;
    }
    for (NodeId i = 0; i < p->n; i++) {
        NodePlan *np = &plan->node[i];
        const Node *node = &p->graph->node[i];

        np->wants = i == spec->gradient_to || weights_want(p, &np->shapes);
        for (uint32_t k = 0; k < node->inputs && (node->op->flags & OP_CONSTANT) == 0; k++)
            np->wants = np->wants || plan->node[node->input[k]].wants;
    }
    for (NodeId i = 0; i < p->n; i++) /* only what the output depends on has a gradient */
        if (i > spec->output)
            plan->node[i].wants = false;
    if (plan->node[spec->output].wants)
        p->writers[spec->output] = 1; /* the caller's seed */
    for (NodeId i = spec->output + 1; i-- > 0;) {
        NodePlan *np = &plan->node[i];
        const Node *node = &p->graph->node[i];

        np->wants = np->wants && p->writers[i] > 0;
        if (!np->wants || node->op == NULL || (node->op->flags & OP_CONSTANT) != 0)
            continue;
        np->backward = weights_want(p, &np->shapes);
        for (uint32_t k = 0; k < node->inputs; k++) {
            if (!plan->node[node->input[k]].wants)
                continue;
            np->backward = true;
            np->accumulate[k] = p->writers[node->input[k]]++ > 0;
        }
    }
}

/* The last moment that each activation is read, in either direction. */
static void uses(Planner *p)
{
    const Plan *plan = p->plan;

    for (NodeId i = 0; i < p->n; i++) {
        const Node *node = &p->graph->node[i];
        const NodePlan *np = &plan->node[i];
        unsigned flags;

        if (p->last_use[i] < i)
            p->last_use[i] = i;
        if (is_kept(&plan->spec, i))
            p->last_use[i] = 2 * p->n;
        if (node->op == NULL || !np->runs)
            continue;
        flags = node->op->flags;
        if (np->backward && (flags & OP_NEEDS_OUTPUT) != 0 && p->last_use[i] < backward_time(p, i))
            p->last_use[i] = backward_time(p, i);
        for (uint32_t k = 0; k < node->inputs; k++) {
            uint32_t *last = &p->last_use[node->input[k]];
            bool again = np->backward &&
                         ((flags & OP_NEEDS_INPUT) != 0 ||
                          ((flags & OP_WEIGHTS_NEED_INPUT) != 0 && weights_want(p, &np->shapes)));

            if (*last < i)
                *last = i;
            if (again && *last < backward_time(p, i))
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
        const Node *node = &p->graph->node[i];
        const NodePlan *np = &p->plan->node[i];
        NodeId from = node->input[0];

        p->owner[i] = i;
        if (!np->runs)
            continue;
        if (node->inputs > 0 && (node->op->flags & OP_INPLACE) != 0 && p->last_use[from] <= i &&
            p->graph->node[from].op != NULL) {
            p->owner[i] = p->owner[from];
            extend(&p->buffer[p->owner[i]], i, p->last_use[i]);
            continue;
        }
        /* Inputs are written before forward begins: they live from its first moment. */
        p->buffer[i] = (Buffer){ .bytes = shape_count(&np->shapes.out) * sizeof(real),
                                 .first = node->op == NULL ? 0 : i,
                                 .last = p->last_use[i] };
    }
}

/* Backward runs from the output down, so a gradient's first writer is met before its readers. */
static void place_gradients(Planner *p)
{
    const PlanSpec *spec = &p->plan->spec;

    for (NodeId i = spec->output + 1; i-- > 0;) {
        const Node *node = &p->graph->node[i];
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
        for (uint32_t k = 0; k < node->inputs; k++) {
            NodeId from = node->input[k];
            const NodePlan *to = &p->plan->node[from];

            if (!to->wants || np->accumulate[k])
                continue;
            if (k == 0 && (node->op->flags & OP_GRADIENT_INPLACE) != 0 && p->writers[from] == 1 &&
                i != spec->gradient_to) {
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

        if (!np->runs)
            continue;
        p->buffer[2 * p->n + i] = (Buffer){ .bytes = np->shapes.saved * sizeof(real),
                                            .first = i,
                                            .last = np->backward ? backward_time(p, i) : i };
        if (np->shapes.scratch_bytes > *ret_scratch)
            *ret_scratch = np->shapes.scratch_bytes;
    }
}

static int larger_first(const void *a, const void *b)
{
    const Buffer *x = *(Buffer *const *)a, *y = *(Buffer *const *)b;

    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* A placed buffer, with what placing others asks about it side by side in memory. */
typedef struct Placed {
    size_t offset, end;
    uint32_t first, last;
} Placed;

/* The lowest offset where `size` bytes are free while `b` lives. `placed` is sorted by offset. */
static size_t free_offset(const Buffer *b, size_t size, const Placed *placed, size_t count)
{
    size_t offset = 0;

    for (size_t k = 0; k < count && placed[k].offset < offset + size; k++)
        if (placed[k].end > offset && placed[k].first <= b->last && b->first <= placed[k].last)
            offset = placed[k].end;
    return offset;
}

static void insert(Placed *placed, size_t count, const Placed *one)
{
    size_t at = count;

    for (; at > 0 && placed[at - 1].offset > one->offset; at--)
        placed[at] = placed[at - 1];
    placed[at] = *one;
}

/* Gives every buffer its offset; returns the total. Room for 3n each in `order` and `placed`. */
static size_t pack(Planner *p, Buffer **order, Placed *placed)
{
    size_t total = 0, count = 0;

    for (uint32_t i = 0; i < 3 * p->n; i++)
        if (p->buffer[i].bytes > 0)
            order[count++] = &p->buffer[i];
    qsort(order, count, sizeof *order, larger_first);
    for (size_t i = 0; i < count; i++) {
        Buffer *b = order[i];
        size_t size = arena_round(b->bytes);

        b->offset = free_offset(b, size, placed, i);
        insert(placed, i, &(Placed){ b->offset, b->offset + size, b->first, b->last });
        if (b->offset + size > total)
            total = b->offset + size;
    }
    return total;
}

static Status planner_run(Planner *p, Buffer **order, Placed *placed, Error *err)
{
    Plan *plan = p->plan;
    size_t scratch = 0;
    Status s = shapes(p, err);

    if (s != STATUS_OK)
        return s;
    mark(p);
    uses(p);
    place_activations(p);
    place_gradients(p);
    place_saved(p, &scratch);
    plan->scratch = pack(p, order, placed);
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
    };
    Buffer **order = calloc(3 * (size_t)n, sizeof *order);
    Placed *placed = calloc(3 * (size_t)n, sizeof *placed);
    Status s;

    assert(spec->output < n && spec->images > 0);
    if (made.node == NULL || p.buffer == NULL || p.owner == NULL || p.last_use == NULL ||
        p.writers == NULL || order == NULL || placed == NULL)
        s = error_set(err, STATUS_NO_MEMORY, "cannot allocate a plan");
    else
        s = planner_run(&p, order, placed, err);
    free(placed);
    free(order);
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
