/*
 * Sharing (module_once()) looks at the nodes behind its input only, and compares all parameters:
 * the same operation on the same numbers gives the same numbers, and the planner adds up what the
 * users send back.
 */
#include "core/nn/modules.h"

#include <stdio.h>

/* Every parameter's value as graph_node() would set it; false where one is unknown. */
static bool values_of(const Op *op, const GraphParam *params, double ret[PARAMS_MAX])
{
    param_defaults(&op->described, ret);
    for (; params != NULL && params->name != NULL; params++) {
        int i = param_find(&op->described, params->name);

        if (i < 0)
            return false;
        ret[i] = params->value;
    }
    return true;
}

static bool same_values(const double *a, const double *b)
{
    for (int i = 0; i < PARAMS_MAX; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

NodeId module_once(Graph *graph, const char *op, NodeId x, const GraphParam *params)
{
    const Op *row = op_find(op);
    double value[PARAMS_MAX];

    if (graph->error.status == STATUS_OK && row != NULL && values_of(row, params, value))
        for (NodeId i = x + 1; i < graph->nodes; i++) {
            const Node *node = &graph->node[i];

            if (node->op == row && node->inputs == 1 && node->input[0] == x &&
                node->name[0] == '\0' && same_values(node->value, value))
                return i;
        }
    return graph_node(graph, op, "", x, NODE_NONE, params);
}

NodeId module_node(Graph *graph, const char *op, const char *parent, const char *child, NodeId x,
                   const GraphParam *params)
{
    char name[GRAPH_NAME_MAX];

    snprintf(name, sizeof name, "%s.%s", parent, child);
    return graph_node(graph, op, name, x, NODE_NONE, params);
}

NodeId module_norm(Graph *graph, const char *parent, const char *child, NodeId x, bool affine)
{
    return module_node(graph, "batch_norm", parent, child, x, GRAPH_PARAMS({ "affine", affine }));
}

NodeId module_statistics(Graph *graph, const char *parent, const char *child, NodeId x)
{
    return module_node(graph, "batch_statistics", parent, child, x, NULL);
}

NodeId module_relu_conv_norm(Graph *graph, const char *name, NodeId x, uint32_t channels,
                             bool affine)
{
    x = module_once(graph, "relu", x, NULL);
    x = module_node(graph, "conv2d", name, "op.1", x,
                    GRAPH_PARAMS({ "channels", channels }, { "kernel", 1 }));
    return module_norm(graph, name, "op.2", x, affine);
}

NodeId module_factorized_convs(Graph *graph, const char *name, NodeId x, uint32_t channels)
{
    const GraphParam *half =
        GRAPH_PARAMS({ "channels", channels / 2 }, { "kernel", 1 }, { "stride", 2 });
    const Shape *in;
    NodeId from_0, from_1;

    if (graph->error.status != STATUS_OK)
        return NODE_NONE;
    in = &graph->node[x].one.out;
    if (channels % 2 != 0 || in->dim[1] % 2 != 0 || in->dim[2] % 2 != 0)
        graph_fail(
            graph, STATUS_BAD_SHAPE, "",
            "%s halves a map of %ux%u to %u channels, all of which must be even: take images "
            "whose sides are multiples of 4",
            name, in->dim[1], in->dim[2], channels);
    x = module_once(graph, "relu", x, NULL);
    from_0 = module_node(graph, "conv2d", name, "conv_1", x, half);
    x = module_once(graph, "slice", x, GRAPH_PARAMS({ "top", 1 }, { "left", 1 }));
    from_1 = module_node(graph, "conv2d", name, "conv_2", x, half);
    return graph_node(graph, "concat", "", from_0, from_1, NULL);
}

NodeId module_factorized_reduce(Graph *graph, const char *name, NodeId x, uint32_t channels,
                                bool affine)
{
    return module_norm(graph, name, "bn", module_factorized_convs(graph, name, x, channels),
                       affine);
}

uint32_t module_channels(const Graph *graph, NodeId x)
{
    const Shape *s;

    if (graph->error.status != STATUS_OK)
        return 0;
    s = &graph->node[x].one.out;
    return s->dim[s->rank - 1];
}
