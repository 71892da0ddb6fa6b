/*
 * supernet -- every candidate of a search space on every edge, weighted by a softmax of alpha (Liu
 * et al., "DARTS", 2019). With partial channels (Xu et al., "PC-DARTS", 2020) the candidates see
 * the first 1/K of the channels, the rest passes by (a 2x2 max-pool where the stride is 2), the
 * channels are shuffled with K groups, and each edge is weighted by a softmax of beta over its
 * node's edges.
 *
 * Concatenation and shuffle are the same linear map on every edge, so they happen once a node,
 * after the sum over its edges:  shuffle(concat(sum b_e mixed_e, sum b_e rest_e)).
 */
#include <stdio.h>

#include "core/nn/cell.h"
#include "core/nn/modules.h"

enum {
    VALUE_SPACE,
    VALUE_PARTIAL,
    VALUE_CHANNELS,
    VALUE_CELLS,
    VALUE_ATTENTION_IN_REDUCTION,
    VALUE_REDUCTION
};

static const Param supernet_params[] = {
    { "space", PARAM_TEXT, 2, 0, 0, space_names,
      "a name, or candidates by \",\", the 14 edges by \"|\", normal and reduction cells by "
      "\";\"" },
    { "partial", PARAM_INT, 1, 1, 8, NULL,
      "candidates see 1/K of the channels (PC-DARTS: 4); 1: all of them" },
    { "channels", PARAM_INT, 16, 1, 512, NULL, "channels of the first cell's nodes" },
    { "cells", PARAM_INT, 8, CELLS_MIN, CELLS_MAX, NULL, "cells; two of them halve the image" },
    { "attention_in_reduction", PARAM_BOOL, 0, 0, 1, NULL,
      "reduction cells have the space's se and eca, too" },
    { "reduction", PARAM_INT, 16, 1, 1024, NULL, "squeeze and excitation: channels / hidden" },
};

typedef struct Context {
    Space space;
    uint32_t partial, reduction;
    uint32_t columns[CELL_KINDS];
    NodeId alpha[CELL_KINDS], mixture[CELL_KINDS]; /* [14, columns] before and after the softmax */
    NodeId share[CELL_KINDS][CELL_NODES];          /* [1, edges of the node], after the softmax */
} Context;

/* Alphas, betas and their softmaxes, which all cells of a kind use. */
static void add_architecture(Context *c, Graph *graph)
{
    static const char *const alphas[] = { "alphas_normal", "alphas_reduce" };
    static const char *const betas[] = { "betas_normal", "betas_reduce" };

    for (int k = 0; k < CELL_KINDS; k++) {
        NodeId beta;

        c->columns[k] = space_columns(&c->space, (CellKind)k);
        c->alpha[k] =
            graph_node(graph, "parameter", alphas[k], NODE_NONE, NODE_NONE,
                       GRAPH_PARAMS({ "rows", CELL_EDGES }, { "columns", c->columns[k] }));
        c->mixture[k] = graph_node(graph, "softmax", "", c->alpha[k], NODE_NONE, NULL);
        if (c->partial == 1)
            continue;
        beta = graph_node(graph, "parameter", betas[k], NODE_NONE, NODE_NONE,
                          GRAPH_PARAMS({ "rows", 1 }, { "columns", CELL_EDGES }));
        for (uint32_t node = 0; node < CELL_NODES; node++)
            c->share[k][node] =
                graph_node(graph, "softmax", "",
                           graph_node(graph, "slice", "", beta, NODE_NONE,
                                      GRAPH_PARAMS({ "channel", cell_first_edge(node) },
                                                   { "channels", node + CELL_INPUTS })),
                           NODE_NONE, NULL);
    }
}

/* The weights of edge e: a row of the common softmax, or one of its own where the edge has fewer
 * candidates than others. */
static NodeId edge_weights(const Context *c, const Cell *cell, uint32_t e, uint32_t *ret_row)
{
    const uint32_t count = c->space.edge[cell->kind][e].count;
    NodeId x;

    *ret_row = e;
    if (count == c->columns[cell->kind])
        return c->mixture[cell->kind];
    *ret_row = 0;
    x = module_once(cell->graph, "slice", c->alpha[cell->kind],
                    GRAPH_PARAMS({ "top", e }, { "height", 1 }, { "channels", count }));
    return module_once(cell->graph, "softmax", x, NULL);
}

/* A candidate that gives a tensor, and what the mixture does with it in passing. */
typedef struct Part {
    NodeId node, statistics, gate; /* node NODE_NONE: it is in the mixture */
    uint32_t column;
} Part;

/* All that is `parts[0]` itself or that times factors, in one operation. */
static void mix_gates(const Cell *cell, CandidateMix *mix, Part *parts, uint32_t count)
{
    NodeId input[3 + SPACE_COLUMNS_MAX], x = parts->node;
    uint32_t inputs = 0, plain = 0, gated = 0;

    if (mix->sum != NODE_NONE)
        input[inputs++] = mix->sum;
    input[inputs++] = x;
    input[inputs++] = mix->weights;
    for (Part *part = parts; part < parts + count; part++) {
        if (part->node != x)
            continue;
        part->node = NODE_NONE;
        if (part->gate != NODE_NONE)
            input[inputs++] = part->gate;
        *(part->gate == NODE_NONE ? &plain : &gated) |= 1U << part->column;
    }
    mix->sum = graph_node_of(
        cell->graph, mix->sum == NODE_NONE ? "mixed_gates" : "mixed_gates_add", "", input, inputs,
        GRAPH_PARAMS({ "row", mix->row }, { "plain", plain }, { "gated", gated }));
}

/* All others. */
static void mix_tensors(const Cell *cell, CandidateMix *mix, const Part *parts, uint32_t count)
{
    NodeId input[2 + 2 * SPACE_COLUMNS_MAX];
    uint32_t inputs = 0, columns = 0, tensors = 0, normed = 0;

    if (mix->sum != NODE_NONE)
        input[inputs++] = mix->sum;
    input[inputs++] = mix->weights;
    for (const Part *part = parts; part < parts + count; part++) {
        if (part->node == NODE_NONE)
            continue;
        input[inputs++] = part->node;
        normed |= (part->statistics != NODE_NONE ? 1U : 0U) << tensors++;
        columns |= 1U << part->column;
    }
    if (tensors == 0)
        return;
    for (const Part *part = parts; part < parts + count; part++)
        if (part->node != NODE_NONE && part->statistics != NODE_NONE)
            input[inputs++] = part->statistics;
    mix->sum = graph_node_of(
        cell->graph, mix->sum == NODE_NONE ? "mixed_sum" : "mixed_add", "", input, inputs,
        GRAPH_PARAMS({ "row", mix->row }, { "columns", columns }, { "normed", normed }));
}

/* MixedOp: all candidates of edge e on x, summed; `base` (NODE_NONE: nothing) is what other edges
 * have given. */
static NodeId build_edge(const Context *c, const Cell *cell, uint32_t e, uint32_t state, NodeId x,
                         NodeId base)
{
    const SpaceEdge *edge = &c->space.edge[cell->kind][e];
    CandidateMix mix = { .sum = base };
    Part part[SPACE_COLUMNS_MAX];
    uint32_t parts = 0;

    mix.weights = edge_weights(c, cell, e, &mix.row);
    for (uint32_t i = 0; i < edge->count; i++) {
        const Candidate *candidate = candidate_table[edge->candidate[i]];
        CandidateSite site;
        char name[32];
        NodeId y;

        if (candidate->build == NULL)
            continue;
        snprintf(name, sizeof name, "%u._ops.%u", e, i);
        site = cell_site(cell, name, state, module_channels(cell->graph, x), c->reduction);
        site.mix = &mix;
        mix.column = i;
        mix.statistics = mix.gate = NODE_NONE;
        y = candidate->build(&site, x);
        if (y != NODE_NONE)
            part[parts++] = (Part){ y, mix.statistics, mix.gate, i };
    }
    for (uint32_t i = 0; i < parts; i++)
        for (uint32_t k = i; k < parts && part[i].node != NODE_NONE; k++)
            if (part[k].node == part[i].node && part[k].gate != NODE_NONE)
                mix_gates(cell, &mix, part + i, parts - i);
    mix_tensors(cell, &mix, part, parts);
    return mix.sum;
}

/* All edges of a node on all channels, plainly added up. */
static NodeId build_node(const Context *c, const Cell *cell, uint32_t node)
{
    NodeId sum = NODE_NONE;

    for (uint32_t state = 0; state < node + CELL_INPUTS; state++)
        sum = build_edge(c, cell, cell_first_edge(node) + state, state, cell->state[state], sum);
    return sum;
}

/* The channels that no candidate sees. */
static NodeId passed_by(const Cell *cell, uint32_t state, uint32_t seen)
{
    NodeId x =
        module_once(cell->graph, "slice", cell->state[state], GRAPH_PARAMS({ "channel", seen }));

    if (cell_stride(cell, state) == 1)
        return x;
    return module_once(cell->graph, "max_pool", x,
                       GRAPH_PARAMS({ "kernel", 2 }, { "stride", 2 }, { "padding", 0 }));
}

/* The same with partial channels and betas. */
static NodeId build_partial_node(const Context *c, const Cell *cell, uint32_t node)
{
    const uint32_t states = node + CELL_INPUTS, seen = cell->channels / c->partial;
    NodeId mixed[1 + CELL_STATES], rest[1 + CELL_STATES];
    const GraphParam *all = GRAPH_PARAMS({ "columns", (1U << states) - 1 });
    NodeId x, y;

    mixed[0] = rest[0] = c->share[cell->kind][node];
    for (uint32_t state = 0; state < states; state++) {
        x = module_once(cell->graph, "slice", cell->state[state],
                        GRAPH_PARAMS({ "channels", seen }));
        mixed[1 + state] = build_edge(c, cell, cell_first_edge(node) + state, state, x, NODE_NONE);
        rest[1 + state] = passed_by(cell, state, seen);
    }
    x = graph_node_of(cell->graph, "weighted_sum", "", mixed, 1 + states, all);
    y = graph_node_of(cell->graph, "weighted_sum", "", rest, 1 + states, all);
    return graph_node(cell->graph, "channel_shuffle", "",
                      graph_node(cell->graph, "concat", "", x, y, NULL), NODE_NONE,
                      GRAPH_PARAMS({ "groups", c->partial }));
}

static uint32_t build_cell(const void *context, Cell *cell)
{
    const Context *c = context;

    for (uint32_t node = 0; node < CELL_NODES; node++)
        cell->state[CELL_INPUTS + node] =
            c->partial == 1 ? build_node(c, cell, node) : build_partial_node(c, cell, node);
    return (1U << CELL_STATES) - (1U << CELL_INPUTS);
}

static ModelEnds supernet_build(const Choice *choice, const ModelInput *in, NodeId image,
                                Graph *graph)
{
    const double *value = choice->value;
    Context context = { .partial = (uint32_t)value[VALUE_PARTIAL],
                        .reduction = (uint32_t)value[VALUE_REDUCTION] };
    CellChain chain = { .channels = (uint32_t)value[VALUE_CHANNELS],
                        .cells = (uint32_t)value[VALUE_CELLS],
                        .search = true,
                        .build = build_cell,
                        .context = &context };
    Error err = { 0 };
    Status s = space_parse(choice->text, &context.space, &err);

    if (s == STATUS_OK && value[VALUE_ATTENTION_IN_REDUCTION] == 0)
        s = space_without_attention(&context.space, &err);
    if (s != STATUS_OK)
        graph_fail(graph, s, "/space", "%s", error_message(&err));
    else if (chain.channels % context.partial != 0)
        graph_fail(
            graph, STATUS_INVALID, "/partial",
            "%u channels are no multiple of partial, %u: each candidate sees one part of them",
            chain.channels, context.partial);
    if (graph->error.status != STATUS_OK)
        return MODEL_ENDS_NONE;
    add_architecture(&context, graph);
    return cell_chain_build(&chain, in, image, graph);
}

const Model model_supernet = {
    .described = { "supernet", "all candidates of a search space at once", supernet_params, 6 },
    .build = supernet_build,
};
