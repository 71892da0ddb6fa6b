/*
 * genotype -- the network of a genotype, as DARTS trains and evaluates it: batch norms scale, whole
 * images drop out of an edge (not of an identity) with a probability that grows with the training,
 * and a second head looks at the second reduction cell's output while training.
 */
#include <stdio.h>

#include "core/nn/cell.h"
#include "core/nn/genotype.h"
#include "core/nn/modules.h"

enum {
    VALUE_GENOTYPE,
    VALUE_CHANNELS,
    VALUE_CELLS,
    VALUE_AUXILIARY,
    VALUE_DROP_PATH,
    VALUE_REDUCTION
};

static const Param genotype_params[] = {
    { "genotype", PARAM_TEXT, 1, 0, 0, genotype_names,
      "a published name, or Genotype(normal=[('sep_conv_3x3', 1), ...], ...)" },
    { "channels", PARAM_INT, 36, 1, 512, NULL, "channels of the first cell's nodes" },
    { "cells", PARAM_INT, 20, CELLS_MIN, CELLS_MAX, NULL, "cells; two of them halve the image" },
    { "auxiliary", PARAM_REAL, 0.4, 0, 1, NULL, "weight of the auxiliary head's loss; 0: no head" },
    { "drop_path", PARAM_REAL, 0.2, 0, 0.9, NULL,
      "share of images that an edge drops at the training's end" },
    { "reduction", PARAM_INT, 16, 1, 1024, NULL, "squeeze and excitation: channels / hidden" },
};

typedef struct Context {
    Genotype genotype;
    double drop_path;
    uint32_t reduction;
} Context;

static NodeId build_edge(const Context *c, const Cell *cell, const GenotypeEdge *edge,
                         uint32_t index)
{
    char name[16];
    CandidateSite site;
    NodeId x = cell->state[edge->input], y;

    snprintf(name, sizeof name, "%u", index);
    site = cell_site(cell, name, edge->input, cell->channels, c->reduction);
    y = candidate_table[edge->candidate]->build(&site, x);
    if (y == x || c->drop_path == 0)
        return y;
    return graph_node(cell->graph, "drop_path", "", y, NODE_NONE,
                      GRAPH_PARAMS({ "probability", c->drop_path }, { "ramp", 1 }));
}

static uint32_t build_cell(const void *context, Cell *cell)
{
    const Context *c = context;
    const GenotypeCell *genotype = &c->genotype.cell[cell->kind];
    uint32_t mask = 0;

    for (uint32_t node = 0; node < CELL_NODES; node++) {
        NodeId a = build_edge(c, cell, &genotype->edge[2 * node], 2 * node),
               b = build_edge(c, cell, &genotype->edge[2 * node + 1], 2 * node + 1);

        cell->state[CELL_INPUTS + node] = graph_node(cell->graph, "add", "", a, b, NULL);
    }
    for (uint32_t i = 0; i < genotype->concats; i++)
        mask |= 1U << genotype->concat[i];
    return mask;
}

/* ReLU, 5x5 average pool of stride 3, 1x1 to 128, BN, ReLU, 2x2 to 768, BN, ReLU, linear. */
static NodeId auxiliary_head(Graph *graph, NodeId x, const ModelInput *in)
{
    static const char features[] = "auxiliary_head.features";
    const Shape *s;

    if (graph->error.status != STATUS_OK)
        return NODE_NONE;
    s = &graph->node[x].one.out;
    if (s->dim[1] < 8 || s->dim[2] < 8)
        graph_fail(
            graph, STATUS_BAD_SHAPE, "/auxiliary",
            "the auxiliary head wants a map of 8x8 or larger and finds %ux%u: take images of "
            "32x32 or larger, or auxiliary 0",
            s->dim[1], s->dim[2]);
    x = module_once(graph, "relu", x, NULL);
    x = graph_node(graph, "avg_pool", "", x, NODE_NONE,
                   GRAPH_PARAMS({ "kernel", 5 }, { "stride", 3 }, { "padding", 0 }));
    x = module_node(graph, "conv2d", features, "2", x,
                    GRAPH_PARAMS({ "channels", 128 }, { "kernel", 1 }));
    x = module_norm(graph, features, "3", x, true);
    x = graph_node(graph, "relu", "", x, NODE_NONE, NULL);
    x = module_node(graph, "conv2d", features, "5", x,
                    GRAPH_PARAMS({ "channels", 768 }, { "kernel", 2 }));
    x = module_norm(graph, features, "6", x, true);
    x = graph_node(graph, "relu", "", x, NODE_NONE, NULL);
    x = graph_node(graph, "global_avg_pool", "", x, NODE_NONE, NULL); /* of one pixel, from 8x8 */
    return graph_node(graph, "linear", "auxiliary_head.classifier", x, NODE_NONE,
                      GRAPH_PARAMS({ "features", in->classes }));
}

static ModelEnds genotype_build(const Choice *choice, const ModelInput *in, NodeId image,
                                Graph *graph)
{
    const double *value = choice->value;
    Context context = { .drop_path = value[VALUE_DROP_PATH],
                        .reduction = (uint32_t)value[VALUE_REDUCTION] };
    CellChain chain = { .channels = (uint32_t)value[VALUE_CHANNELS],
                        .cells = (uint32_t)value[VALUE_CELLS],
                        .build = build_cell,
                        .context = &context };
    ModelEnds ends;
    char name[GRAPH_NAME_MAX];
    Error err = { 0 };

    if (genotype_parse(choice->text, &context.genotype, &err) != STATUS_OK) {
        graph_fail(graph, err.status, "/genotype", "%s", error_message(&err));
        return MODEL_ENDS_NONE;
    }
    ends = cell_chain_build(&chain, in, image, graph);
    ends.auxiliary_weight = value[VALUE_AUXILIARY];
    if (ends.auxiliary_weight > 0) {
        snprintf(name, sizeof name, "cells.%u", cell_second_reduction(chain.cells));
        ends.auxiliary = auxiliary_head(graph, graph_find_layer(graph, name), in);
    }
    return ends;
}

const Model model_genotype = {
    .described = { "genotype", "the network of a genotype", genotype_params, 6 },
    .build = genotype_build,
};
