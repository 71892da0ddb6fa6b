/*
 * Each cell's inputs go through "preprocess0" and "preprocess1", ReLUConvBN; what comes from before
 * a reduction cell goes through a FactorizedReduce, so that both have one size.
 */
#include "core/nn/cell.h"

#include <stdio.h>

#include "core/nn/modules.h"

uint32_t cell_second_reduction(uint32_t cells)
{
    return 2 * cells / 3;
}

static CellKind kind_of(uint32_t index, uint32_t cells)
{
    return index == cells / 3 || index == cell_second_reduction(cells) ? CELL_REDUCE : CELL_NORMAL;
}

uint32_t cell_stride(const Cell *cell, uint32_t state)
{
    return cell->kind == CELL_REDUCE && state < CELL_INPUTS ? 2 : 1;
}

CandidateSite cell_site(const Cell *cell, const char *name, uint32_t state, uint32_t channels,
                        uint32_t se_reduction)
{
    CandidateSite site = { .graph = cell->graph,
                           .channels = channels,
                           .stride = cell_stride(cell, state),
                           .search = cell->search,
                           .se_reduction = se_reduction };

    snprintf(site.name, sizeof site.name, "%.16s._ops.%.24s", cell->name, name);
    return site;
}

/* The outputs of the two cells before, as the cell's first states. */
static void add_inputs(Cell *cell, NodeId before_last, NodeId last, bool reduced)
{
    char name[GRAPH_NAME_MAX];

    snprintf(name, sizeof name, "%.16s.preprocess0", cell->name);
    cell->state[0] = reduced ? module_factorized_reduce(cell->graph, name, before_last,
                                                        cell->channels, !cell->search)
                             : module_relu_conv_norm(cell->graph, name, before_last, cell->channels,
                                                     !cell->search);
    snprintf(name, sizeof name, "%.16s.preprocess1", cell->name);
    cell->state[1] = module_relu_conv_norm(cell->graph, name, last, cell->channels, !cell->search);
}

/* The states of `mask` side by side, under the cell's name. */
static NodeId add_output(const Cell *cell, uint32_t mask)
{
    NodeId part[CELL_STATES];
    uint32_t parts = 0;

    for (uint32_t i = 0; i < CELL_STATES; i++)
        if ((mask >> i & 1) != 0)
            part[parts++] = cell->state[i];
    return graph_node_of(cell->graph, "concat", cell->name, part, parts, NULL);
}

ModelEnds cell_chain_build(const CellChain *chain, const ModelInput *in, NodeId image, Graph *graph)
{
    ModelEnds ends = MODEL_ENDS_NONE;
    uint32_t channels = chain->channels;
    NodeId before_last, last, x;
    bool reduced = false;

    x = module_node(graph, "conv2d", "stem", "0", image,
                    GRAPH_PARAMS({ "channels", 3 * channels }, { "kernel", 3 }, { "padding", 1 }));
    before_last = last = module_norm(graph, "stem", "1", x, true);
    graph_layer(graph, "stem", last);
    for (uint32_t i = 0; i < chain->cells; i++) {
        Cell cell = { .graph = graph, .kind = kind_of(i, chain->cells), .search = chain->search };

        snprintf(cell.name, sizeof cell.name, "cells.%u", i);
        if (cell.kind == CELL_REDUCE)
            channels *= 2;
        cell.channels = channels;
        add_inputs(&cell, before_last, last, reduced);
        before_last = last;
        last = add_output(&cell, chain->build(chain->context, &cell));
        reduced = cell.kind == CELL_REDUCE;
    }
    ends.map = last;
    x = graph_node(graph, "global_avg_pool", "global_pooling", last, NODE_NONE, NULL);
    ends.logits = graph_node(graph, "linear", "classifier", x, NODE_NONE,
                             GRAPH_PARAMS({ "features", in->classes }));
    return ends;
}
