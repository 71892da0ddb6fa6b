/*
 * modules -- what the cells of DARTS' networks are made of, under the names of its public code.
 *
 * Liu et al., "DARTS: Differentiable Architecture Search", ICLR 2019. Each appends to a graph;
 * errors stick to it. `affine`: whether batch norms learn a scale and a shift (not while
 * searching).
 */
#pragma once

#include "core/graph/graph.h"

/*
 * A node of an operation that has one input, no weights and no draws; the one that is there
 * already, if `x` has been given to the same operation with the same parameters before. Edges that
 * start at one state share their ReLUs and pools so.
 */
NodeId module_once(Graph *graph, const char *op, NodeId x, const GraphParam *params);
/* graph_node() of the module "<parent>.<child>". */
NodeId module_node(Graph *graph, const char *op, const char *parent, const char *child, NodeId x,
                   const GraphParam *params);
/* The batch norm "<parent>.<child>". */
NodeId module_norm(Graph *graph, const char *parent, const char *child, NodeId x, bool affine);
/* What that batch norm normalises by, for operations that do it in passing; without weights of its
 * own. */
NodeId module_statistics(Graph *graph, const char *parent, const char *child, NodeId x);
/* ReLUConvBN: ReLU, 1x1 convolution "<name>.op.1" to `channels`, batch norm "<name>.op.2". */
NodeId module_relu_conv_norm(Graph *graph, const char *name, NodeId x, uint32_t channels,
                             bool affine);
/*
 * FactorizedReduce: ReLU, two 1x1 convolutions of stride 2 to channels / 2 each, the second
 * ("<name>.conv_2") from the pixel (1,1) on, concatenated, batch norm "<name>.bn". STATUS_BAD_SHAPE
 * unless channels, height and width are even.
 */
NodeId module_factorized_reduce(Graph *graph, const char *name, NodeId x, uint32_t channels,
                                bool affine);
/* The same without its batch norm. */
NodeId module_factorized_convs(Graph *graph, const char *name, NodeId x, uint32_t channels);
/* The last dimension of x's shape; 0 once the graph has failed. */
uint32_t module_channels(const Graph *graph, NodeId x);
