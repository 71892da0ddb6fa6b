/*
 * airbench94 -- the network of Keller Jordan's "94% on CIFAR-10 in 3.29 seconds on a single GPU"
 * (2024): a 2x2 whitening convolution to 8 channels for each channel of the image (its weight is
 * frozen, its bias trained), GELU; three groups of two 3x3 convolutions that start as the identity,
 * a 2x2 max-pool after the first, BN with weights frozen at 1 and GELU after both; widths w, 4w,
 * 4w; a max-pool of all that is left; a linear layer without bias; the logits over 9.
 */
#include "core/nn/model.h"
#include "core/nn/modules.h"
#include "core/nn/parts.h"

enum { VALUE_WIDTH };
enum { SIDE_MIN = 9, SIDE_MAX = 136 }; /* what is left is pooled by a kernel of 1 to 16 */

static const Param airbench94_params[] = {
    { "width", PARAM_INT, 64, 1, 2048, NULL,
      "channels of the first group; the others have 4 times" },
};

static NodeId conv(Graph *graph, const char *module, const char *part, NodeId x, uint32_t channels)
{
    return module_node(
        graph, "conv2d", module, part, x,
        GRAPH_PARAMS({ "channels", channels }, { "kernel", 3 }, { "padding", 1 }, { "dirac", 1 }));
}

static NodeId norm_gelu(Graph *graph, const char *module, const char *part, NodeId x)
{
    x = module_node(graph, "batch_norm", module, part, x,
                    GRAPH_PARAMS({ "eps", 1e-12 }, { "momentum", 0.4 }, { "frozen_weight", 1 }));
    return part_plain(graph, "gelu", x);
}

static NodeId group(Graph *graph, const char *module, NodeId x, uint32_t channels)
{
    x = conv(graph, module, "conv1", x, channels);
    x = module_node(graph, "max_pool", module, "pool", x, GRAPH_PARAMS({ "kernel", 2 }));
    x = norm_gelu(graph, module, "bn1", x);
    x = norm_gelu(graph, module, "bn2", conv(graph, module, "conv2", x, channels));
    graph_layer(graph, module, x);
    return x;
}

static ModelEnds airbench94_build(const Choice *choice, const ModelInput *in, NodeId image,
                                  Graph *graph)
{
    uint32_t width = (uint32_t)choice->value[VALUE_WIDTH];
    ModelEnds ends = MODEL_ENDS_NONE;
    NodeId x;

    part_wants_square(graph, "airbench94", in, SIDE_MIN, SIDE_MAX);
    x = graph_node(graph, "conv2d", "whiten", image, NODE_NONE,
                   GRAPH_PARAMS({ "channels", 8 * in->channels }, { "kernel", 2 }, { "bias", 1 },
                                { "frozen", 1 }));
    x = group(graph, "group1", part_plain(graph, "gelu", x), width);
    x = ends.map = group(graph, "group2", x, 4 * width);
    x = group(graph, "group3", x, 4 * width);
    x = part_max_pool_all(graph, "pool", x);
    x = graph_node(graph, "linear", "fc", x, NODE_NONE,
                   GRAPH_PARAMS({ "features", in->classes }, { "bias", 0 }));
    ends.logits = graph_node(graph, "scale", "", x, NODE_NONE, GRAPH_PARAMS({ "factor", 1.0 / 9 }));
    return ends;
}

const Model model_airbench94 = {
    .described = { "airbench94", "the network of a ten-epoch record on CIFAR-10", airbench94_params,
                   1 },
    .build = airbench94_build,
};
