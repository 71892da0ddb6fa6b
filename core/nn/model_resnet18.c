/*
 * resnet18 -- ResNet-18 for small images (He et al., 2016, in the CIFAR form): stem conv3x3-BN-ReLU
 * without pooling; four stages of two basic blocks, widths w, 2w, 4w, 8w, first strides 1, 2, 2, 2;
 * a 1x1 conv + BN shortcut wherever stride or width changes; global average pooling; a linear
 * layer. Names are torchvision's. Channel attention, where wanted, stands on the residual branch
 * after its last batch norm, as in Hu et al., 2018: "layer1.0.se" or "layer1.0.eca".
 */
#include <stdio.h>

#include "core/nn/attention.h"
#include "core/nn/model.h"

enum { VALUE_WIDTH, VALUE_ATTENTION, VALUE_REDUCTION, VALUE_ATTENTION_BIAS, VALUE_ACTIVATION };
enum { ATTENTION_NONE, ATTENTION_SE, ATTENTION_ECA };

static const char *const attention_names[] = { "none", "se", "eca", NULL };
static const char *const activation_names[] = { "relu", "gelu", NULL };

static const Param resnet_params[] = {
    { "width", PARAM_INT, 64, 1, 1024, NULL, "channels of the first stage" },
    { "attention", PARAM_ENUM, 0, 0, 0, attention_names,
      "channel attention in each block: squeeze-and-excitation (se) or a convolution over the "
      "channels (eca)" },
    { "reduction", PARAM_INT, 16, 1, 1024, NULL,
      "channels for each hidden unit of se; at least one unit" },
    { "attention_bias", PARAM_BOOL, 0, 0, 1, NULL, "whether the linear layers of se have a bias" },
    { "activation", PARAM_ENUM, 0, 0, 0, activation_names, "nonlinearity" },
};

/* What the helpers below share: the graph, and the name of the module being built. */
typedef struct Builder {
    Graph *graph;
    const double *value; /* the row's parameters */
    char module[32];     /* "" or "layer1.0." */
} Builder;

static NodeId conv_norm(Builder *b, NodeId x, const char *conv, const char *norm, uint32_t channels,
                        uint32_t kernel, uint32_t stride)
{
    char name[GRAPH_NAME_MAX];

    snprintf(name, sizeof name, "%s%s", b->module, conv);
    x = graph_node(b->graph, "conv2d", name, x, NODE_NONE,
                   GRAPH_PARAMS({ "channels", channels }, { "kernel", kernel },
                                { "stride", stride }, { "padding", kernel / 2 }));
    snprintf(name, sizeof name, "%s%s", b->module, norm);
    return graph_node(b->graph, "batch_norm", name, x, NODE_NONE, NULL);
}

static NodeId activation(Builder *b, NodeId x)
{
    const char *op = activation_names[(int)b->value[VALUE_ACTIVATION]];

    return graph_node(b->graph, op, "", x, NODE_NONE, NULL);
}

static NodeId attention(Builder *b, NodeId x)
{
    int kind = (int)b->value[VALUE_ATTENTION];
    char name[GRAPH_NAME_MAX];

    if (kind == ATTENTION_NONE)
        return x;
    snprintf(name, sizeof name, "%s%s", b->module, attention_names[kind]);
    return kind == ATTENTION_SE
               ? attention_se(b->graph, name, x, (uint32_t)b->value[VALUE_REDUCTION],
                              b->value[VALUE_ATTENTION_BIAS] != 0)
               : attention_eca(b->graph, name, x);
}

static NodeId basic_block(Builder *b, NodeId x, uint32_t channels, uint32_t stride, bool project)
{
    NodeId y = activation(b, conv_norm(b, x, "conv1", "bn1", channels, 3, stride));

    y = attention(b, conv_norm(b, y, "conv2", "bn2", channels, 3, 1));
    if (project)
        x = conv_norm(b, x, "downsample.0", "downsample.1", channels, 1, stride);
    return activation(b, graph_node(b->graph, "add", "", y, x, NULL));
}

static ModelEnds resnet18_build(const Choice *choice, const ModelInput *in, NodeId image,
                                Graph *graph)
{
    ModelEnds ends = MODEL_ENDS_NONE;
    uint32_t width = (uint32_t)choice->value[VALUE_WIDTH], channels = width;
    Builder b = { .graph = graph, .value = choice->value };
    NodeId x = activation(&b, conv_norm(&b, image, "conv1", "bn1", width, 3, 1));

    for (uint32_t stage = 1; stage <= 4; stage++) {
        char name[GRAPH_NAME_MAX];
        uint32_t out = width << (stage - 1);

        for (uint32_t block = 0; block < 2; block++) {
            uint32_t stride = stage > 1 && block == 0 ? 2 : 1;

            snprintf(b.module, sizeof b.module, "layer%u.%u.", stage, block);
            x = basic_block(&b, x, out, stride, stride != 1 || channels != out);
            channels = out;
            snprintf(name, sizeof name, "layer%u.%u", stage, block);
            graph_layer(graph, name, x);
        }
        snprintf(name, sizeof name, "layer%u", stage);
        graph_layer(graph, name, x);
        if (stage == 3)
            ends.map = x;
    }
    x = graph_node(graph, "global_avg_pool", "avgpool", x, NODE_NONE, NULL);
    ends.logits =
        graph_node(graph, "linear", "fc", x, NODE_NONE, GRAPH_PARAMS({ "features", in->classes }));
    return ends;
}

const Model model_resnet18 = {
    .described = { "resnet18", "ResNet-18 in its form for small images", resnet_params, 5 },
    .build = resnet18_build,
};
