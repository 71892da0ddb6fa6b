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

typedef struct Model {
    Described described;
    const char *default_layer; /* where heat maps are taken unless said otherwise */
    /* `value`: the row's parameters. Answers the logits [N,classes]; errors stick to the graph. */
    NodeId (*build)(const double *value, const ModelInput *in, NodeId image, Graph *graph);
} Model;

extern const Model *const model_table[]; /* NULL-terminated */
