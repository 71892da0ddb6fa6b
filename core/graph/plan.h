/*
 * plan -- where every number of a graph's run will lie: one block of memory, its size known before
 * it is taken.
 *
 * A plan is for a fixed number of images and a purpose (PlanSpec). Activations, gradients and what
 * operations save share memory when their lifetimes do not meet; an operation runs in place where
 * its row and its neighbours allow it; and nodes that nobody looks between become one step. A plan
 * depends on shapes alone. Making one takes no tensor memory; plan_bind() gives it some, which
 * several plans may share, one at a time. Owned by one thread at a time; the graph is borrowed.
 */
#pragma once

#include <stdio.h>

#include "core/graph/graph.h"

enum { PLAN_KEEP_MAX = 4 };

typedef struct PlanSpec {
    uint32_t images;
    bool training;      /* batch statistics; running ones move */
    unsigned gradients; /* GRADIENT_...: whose weights' gradients backward computes */
    NodeId output;      /* what is run for; the gradient starts here */
    NodeId gradient_to; /* backward stops at this node's gradient; NODE_NONE: only weights */
    NodeId from;        /* a node whose value the caller writes, as an input's: forward computes
                           what follows it, and what else that needs. 0 (nothing comes before the
                           first node): none */
    bool guided;        /* backward, every ReLU passes positive gradients only (guided
                           backpropagation: Springenberg et al., ICLR 2015, figure 1) */
    NodeId keep[PLAN_KEEP_MAX]; /* further nodes whose values stay readable, NODE_NONE-terminated if
                                   fewer */
} PlanSpec;

typedef struct NodePlan {
    /* What is executed at this node's place: its own operation, or one that does several nodes'
     * work and stands at the last of them. NULL: an input, or a later step computes this node. */
    const Op *op;
    double value[PARAMS_MAX]; /* its parameters; of several nodes' where it does their work */
    uint32_t inputs;
    NodeId input[OP_INPUTS_MAX];
    uint32_t first_weight;
    NodeId step; /* the node at whose place this one is computed: itself, or a later one */

    bool runs;                      /* forward is needed */
    bool backward;                  /* backward is needed */
    bool wants;                     /* its output's gradient is computed */
    bool accumulate[OP_INPUTS_MAX]; /* for each input's gradient */
    OpShapes shapes;
    size_t out, gradient, saved; /* byte offsets */
} NodePlan;

typedef struct Plan {
    const Graph *graph;
    PlanSpec spec;
    NodePlan *node; /* [graph->nodes] */
    size_t scratch; /* byte offset */
    size_t bytes;   /* all of it */
    double forward_flops;
    char *memory; /* bound; NULL before */
} Plan;

/* STATUS_BAD_SHAPE: the images do not fit the graph. */
CHECKED Status plan_init(Plan *plan, const Graph *graph, const PlanSpec *spec, Error *err);
void plan_clear(Plan *plan);
/* `memory`: plan->bytes, 64-byte aligned; borrowed. */
void plan_bind(Plan *plan, void *memory);

/* Values of an input, of `from`, the output or a kept node. */
Tensor plan_tensor(const Plan *plan, NodeId node);
/* Whether the backward pass of a step reads its input k. */
bool plan_reads_again(const Plan *plan, NodeId step, uint32_t k);
/* A node's name, or else its operation's. */
const char *plan_node_name(const Plan *plan, NodeId node);

typedef struct Roofline Roofline;

/*
 * A table for people: each step's operation, output, the megabytes (10^6) that it reads and writes
 * and its millions of FLOPs (but those that Winograd's method spares), forward and backward
 * (roofline.h), and the nodes that it stands for; with `limits` also the milliseconds to expect:
 * the least time divided by PLAN_SHARE, NULL: none. The plan need not be bound.
 */
void plan_print(const Plan *plan, const Roofline *limits, FILE *out);

/* Gradient of the output (to be written before run_backward()) or of gradient_to (to be read
 * after). */
Tensor plan_gradient(const Plan *plan, NodeId node);
