/*
 * resnet9 -- the network of David Page's "How to train your ResNet" (2018): convolutions 3x3, each
 * with BN and ReLU; a stage is one of them and a 2x2 max-pool, and in the first and the last stage
 * two more around a shortcut. Widths w, 2w, 4w, 8w; a max-pool of all that is left; a linear layer
 * without bias; the logits times 1/8.
 */
#include <stdio.h>

#include "core/nn/model.h"
#include "core/nn/modules.h"
#include "core/nn/parts.h"

enum { VALUE_WIDTH };
enum { SIDE_MIN = 8, SIDE_MAX = 135 }; /* what is left is pooled by a kernel of 1 to 16 */

static const Param resnet9_params[] = {
    { "width", PARAM_INT, 64, 1, 1024, NULL, "channels of the first layer" },
};

/* "<module>.conv", "<module>.bn", ReLU. */
static NodeId conv_norm_relu(Graph *graph, const char *module, NodeId x, uint32_t channels)
{
    x = part_conv(graph, module, "conv", x, channels, 3, 1);
    return part_plain(graph, "relu", module_norm(graph, module, "bn", x, true));
}

/* x + two layers of x, "<module>.res1" and "<module>.res2". */
static NodeId residual(Graph *graph, const char *module, NodeId x, uint32_t channels)
{
    NodeId y = x;

    for (int i = 1; i <= 2; i++) {
        char name[GRAPH_NAME_MAX];

        snprintf(name, sizeof name, "%s.res%d", module, i);
        y = conv_norm_relu(graph, name, y, channels);
        graph_layer(graph, name, y);
    }
    return graph_node(graph, "add", "", x, y, NULL);
}

static NodeId stage(Graph *graph, const char *module, NodeId x, uint32_t channels, bool shortcut)
{
    x = conv_norm_relu(graph, module, x, channels);
    x = module_node(graph, "max_pool", module, "pool", x, GRAPH_PARAMS({ "kernel", 2 }));
    if (shortcut)
        x = residual(graph, module, x, channels);
    graph_layer(graph, module, x);
    return x;
}

static ModelEnds resnet9_build(const Choice *choice, const ModelInput *in, NodeId image,
                               Graph *graph)
{
    uint32_t width = (uint32_t)choice->value[VALUE_WIDTH];
    ModelEnds ends = MODEL_ENDS_NONE;
    NodeId x;

    part_wants_square(graph, "resnet9", in, SIDE_MIN, SIDE_MAX);
    x = conv_norm_relu(graph, "prep", image, width);
    graph_layer(graph, "prep", x);
    x = stage(graph, "layer1", x, 2 * width, true);
    x = ends.map = stage(graph, "layer2", x, 4 * width, false);
    x = stage(graph, "layer3", x, 8 * width, true);
    x = part_max_pool_all(graph, "pool", x);
    x = graph_node(graph, "linear", "fc", x, NODE_NONE,
                   GRAPH_PARAMS({ "features", in->classes }, { "bias", 0 }));
    ends.logits = graph_node(graph, "scale", "", x, NODE_NONE, GRAPH_PARAMS({ "factor", 0.125 }));
    return ends;
}

const Model model_resnet9 = {
    .described = { "resnet9", "nine layers that train in minutes", resnet9_params, 1 },
    .build = resnet9_build,
};
