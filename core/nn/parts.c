/* Thin words over graph_node(). */
#include "core/nn/parts.h"

#include "core/nn/modules.h"

NodeId part_conv(Graph *graph, const char *module, const char *part, NodeId x, uint32_t channels,
                 uint32_t kernel, uint32_t stride)
{
    return module_node(graph, "conv2d", module, part, x,
                       GRAPH_PARAMS({ "channels", channels }, { "kernel", kernel },
                                    { "stride", stride }, { "padding", kernel / 2 }));
}

NodeId part_plain(Graph *graph, const char *op, NodeId x)
{
    return graph_node(graph, op, "", x, NODE_NONE, NULL);
}

void part_wants_square(Graph *graph, const char *model, const ModelInput *in, uint32_t min,
                       uint32_t max)
{
    if (in->height != in->width || in->height < min || in->height > max)
        graph_fail(graph, STATUS_BAD_SHAPE, "",
                   "%s wants square images of %ux%u to %ux%u, not %ux%u", model, min, min, max, max,
                   in->width, in->height);
}

NodeId part_max_pool_all(Graph *graph, const char *name, NodeId x)
{
    if (x == NODE_NONE)
        return NODE_NONE;
    return graph_node(graph, "max_pool", name, x, NODE_NONE,
                      GRAPH_PARAMS({ "kernel", graph_shape(graph, x, 1).dim[1] }));
}
