/* Both read the mean of each channel and end in a gate; the output bears the module's own name. */
#include "core/nn/attention.h"

#include "core/nn/modules.h"
#include "core/nn/parts.h"

/* y = x * sigmoid(g), named `name`. */
static NodeId gate(Graph *graph, const char *name, NodeId x, NodeId g)
{
    return graph_node(graph, "gate", name, x, part_plain(graph, "sigmoid", g), NULL);
}

NodeId attention_se(Graph *graph, const char *name, NodeId x, uint32_t reduction, bool bias)
{
    NodeId g = part_plain(graph, "global_avg_pool", x);
    uint32_t channels, hidden;

    if (g == NODE_NONE)
        return NODE_NONE;
    channels = graph_shape(graph, x, 1).dim[3];
    hidden = channels / reduction > 0 ? channels / reduction : 1;
    g = module_node(graph, "linear", name, "fc1", g,
                    GRAPH_PARAMS({ "features", hidden }, { "bias", bias }));
    g = part_plain(graph, "relu", g);
    g = module_node(graph, "linear", name, "fc2", g,
                    GRAPH_PARAMS({ "features", channels }, { "bias", bias }));
    return gate(graph, name, x, g);
}

uint32_t attention_eca_kernel(uint32_t channels)
{
    /* int((log2 C + 1)/2) is half the number of C's binary digits, rounded down */
    uint32_t digits = channels == 0 ? 0 : 32 - (uint32_t)__builtin_clz(channels);

    return digits / 2 | 1;
}

NodeId attention_eca(Graph *graph, const char *name, NodeId x)
{
    NodeId g = part_plain(graph, "global_avg_pool", x);
    uint32_t kernel;

    if (g == NODE_NONE)
        return NODE_NONE;
    kernel = attention_eca_kernel(graph_shape(graph, x, 1).dim[3]);
    g = module_node(graph, "channel_conv", name, "conv", g, GRAPH_PARAMS({ "kernel", kernel }));
    return gate(graph, name, x, g);
}
