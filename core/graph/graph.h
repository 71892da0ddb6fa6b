/*
 * graph -- a network as a list of operations, in the order in which they run.
 *
 * Building computes nothing but shapes. A builder does not check every step: the first error
 * sticks, further calls do nothing, and graph_status() tells. Nodes, weights and names refer to
 * each other by index and keep their order for good. Immutable once built; then any thread may read
 * it.
 */
#pragma once

#include "core/ops/op.h"

enum { GRAPH_NAME_MAX = 64, GRAPH_WEIGHT_NAME_MAX = 96 };

typedef uint32_t NodeId;
#define NODE_NONE UINT32_MAX

typedef struct Node {
    const Op *op; /* NULL: an input, written by the caller */
    double value[PARAMS_MAX];
    uint32_t inputs;
    NodeId input[OP_INPUTS_MAX];
    char name[GRAPH_NAME_MAX]; /* module path, "" for anonymous ones */
    OpShapes one;              /* shapes for one image */
    uint32_t first_weight;     /* its weights are [first_weight, first_weight + one.weights) of the
                                  graph's */
} Node;

typedef struct GraphWeight {
    char name[GRAPH_WEIGHT_NAME_MAX]; /* "layer1.0.conv1.weight" */
    OpWeight spec;
    NodeId node;
    size_t offset; /* numbers from the start of the weights, 64-byte aligned */
    size_t count;
} GraphWeight;

/* A second name for a node: "layer3" is the output of its last block. */
typedef struct GraphLayer {
    char name[GRAPH_NAME_MAX];
    NodeId node;
} GraphLayer;

typedef struct Graph {
    Node *node;
    uint32_t nodes;
    GraphWeight *weight;
    uint32_t weights;
    size_t weight_numbers; /* of all weights, with alignment */
    GraphLayer *layer;     /* every name that a user may ask for, in network order */
    uint32_t layers;
    Error error;
} Graph;

typedef struct GraphParam {
    const char *name;
    double value;
} GraphParam;

#define GRAPH_PARAMS(...) ((const GraphParam[]){ __VA_ARGS__, { NULL, 0 } })

void graph_init(Graph *graph);
void graph_clear(Graph *graph);

/* An input of `one`'s shape, for one image. */
NodeId graph_input(Graph *graph, const char *name, Shape one);
/*
 * Appends a node; its parameters not named in `params` (NULL: all) have their defaults. A non-empty
 * name makes it a layer, if it has inputs. `b` is NODE_NONE for operations of one input, and so is
 * `a` for those of none.
 */
NodeId graph_node(Graph *graph, const char *op, const char *name, NodeId a, NodeId b,
                  const GraphParam *params);
/* The same with any number of inputs, all different. */
NodeId graph_node_of(Graph *graph, const char *op, const char *name, const NodeId *input,
                     uint32_t inputs, const GraphParam *params);
/* Records what a builder found wrong, at `pointer` ("/genotype": one of the model's parameters, or
 * ""); the first error sticks. */
void graph_fail(Graph *graph, Status status, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Gives `node` a further name. */
void graph_layer(Graph *graph, const char *name, NodeId node);

/* The first error since graph_init(). */
CHECKED Status graph_status(const Graph *graph, Error *err);

/* NODE_NONE where there is no such layer. */
NodeId graph_find_layer(const Graph *graph, const char *name);
/* Trained and frozen numbers, without alignment: what papers count as parameters. */
uint64_t graph_parameters(const Graph *graph);
/* The output shape of `node` for `images` images. */
Shape graph_shape(const Graph *graph, NodeId node, uint32_t images);
