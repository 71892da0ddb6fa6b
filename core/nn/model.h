/*
 * model -- the table of networks: one file `model_x.c` and one row in meson.build each.
 *
 * build() appends a network to a graph, from the image input to the logits, naming every module as
 * torchvision does. The number of classes and channels always comes from the data.
 */
#pragma once

#include "core/graph/graph.h"

typedef struct ModelInput {
    uint32_t height, width, channels, classes;
} ModelInput;

/* What a builder leaves: where the network ends, and where one looks into it. */
typedef struct ModelEnds {
    NodeId logits; /* [N,classes] */
    NodeId
        auxiliary; /* logits of a second head that only training uses; NODE_NONE: there is none */
    double auxiliary_weight; /* of its loss */
    NodeId map;              /* where heat maps are taken unless said otherwise; has a name */
} ModelEnds;

#define MODEL_ENDS_NONE ((ModelEnds){ NODE_NONE, NODE_NONE, 0, NODE_NONE })

typedef struct Model {
    Described described;
    /* `choice`: the row's parameters. Errors stick to the graph (graph_fail()). */
    ModelEnds (*build)(const Choice *choice, const ModelInput *in, NodeId image, Graph *graph);
} Model;

extern const Model *const model_table[]; /* NULL-terminated */
