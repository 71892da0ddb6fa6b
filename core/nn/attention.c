/* Both read the mean of each channel and end in a gate; the output bears the module's own name. */
#include "core/nn/attention.h"

#include "core/nn/modules.h"
#include "core/nn/parts.h"

NodeId attention_se_gate(Graph *graph, const char *name, NodeId x, uint32_t reduction, bool bias)
{
    NodeId g = module_once(graph, "global_avg_pool", x, NULL);
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
    return part_plain(graph, "sigmoid", g);
}

NodeId attention_se(Graph *graph, const char *name, NodeId x, uint32_t reduction, bool bias)
{
    return graph_node(graph, "gate", name, x, attention_se_gate(graph, name, x, reduction, bias),
                      NULL);
}

uint32_t attention_eca_kernel(uint32_t channels)
{
    /* int((log2 C + 1)/2) is half the number of C's binary digits, rounded down */
    uint32_t digits = channels == 0 ? 0 : 32 - (uint32_t)__builtin_clz(channels);

    return digits / 2 | 1;
}

NodeId attention_eca_gate(Graph *graph, const char *name, NodeId x)
{
    NodeId g = module_once(graph, "global_avg_pool", x, NULL);
    uint32_t kernel;

    if (g == NODE_NONE)
        return NODE_NONE;
    kernel = attention_eca_kernel(graph_shape(graph, x, 1).dim[3]);
    g = module_node(graph, "channel_conv", name, "conv", g, GRAPH_PARAMS({ "kernel", kernel }));
    return part_plain(graph, "sigmoid", g);
}

NodeId attention_eca(Graph *graph, const char *name, NodeId x)
{
    return graph_node(graph, "gate", name, x, attention_eca_gate(graph, name, x), NULL);
}
