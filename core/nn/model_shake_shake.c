/*
 * shake_shake -- Shake-Shake 26 2 x width d (Gastaldi, 2017): conv3x3 to 16 channels, BN; three
 * stages of four blocks, widths w, 2w, 4w, first strides 1, 2, 2; ReLU, global average pooling, a
 * linear layer. A block adds a random mixture of two branches ReLU-conv3-BN-ReLU-conv3-BN to its
 * input. Where the width changes, the input goes through ReLU, two subsamplings (the second of the
 * image shifted by a pixel to the right and down), a 1x1 convolution each to half the channels, and
 * BN: there is always such a block in the first stage unless w = 16.
 */
#include <stdio.h>

#include "core/nn/model.h"
#include "core/nn/modules.h"
#include "core/nn/parts.h"

enum { VALUE_WIDTH, VALUE_BACKWARD };
enum { STEM_CHANNELS = 16, STAGES = 3, BLOCKS = 4 };

static const Param shake_shake_params[] = {
    { "width", PARAM_INT, 32, 2, 1024, NULL, "channels of the first stage" },
    { "backward", PARAM_ENUM, 0, 0, 0, (const char *const[]){ "shake", "keep", NULL },
      "mixture of the branches' gradients: drawn anew (shake), or that of the forward pass "
      "(keep)" },
};

typedef struct Block {
    char name[16]; /* "layer1.0" */
    uint32_t channels, stride;
} Block;

static NodeId branch(Graph *graph, const Block *block, int number, NodeId x)
{
    char module[GRAPH_NAME_MAX];

    snprintf(module, sizeof module, "%s.branch%d", block->name, number);
    x = part_plain(graph, "relu", x);
    x = part_conv(graph, module, "conv1", x, block->channels, 3, block->stride);
    x = part_plain(graph, "relu", module_norm(graph, module, "bn1", x, true));
    x = part_conv(graph, module, "conv2", x, block->channels, 3, 1);
    return module_norm(graph, module, "bn2", x, true);
}

static NodeId projection(Graph *graph, const Block *block, NodeId x)
{
    char module[GRAPH_NAME_MAX];
    NodeId shifted;
    Shape s;

    if (x == NODE_NONE)
        return NODE_NONE;
    snprintf(module, sizeof module, "%s.skip", block->name);
    s = graph_shape(graph, x, 1);
    x = part_plain(graph, "relu", x);
    shifted = graph_node(
        graph, "slice", "", x, NODE_NONE,
        GRAPH_PARAMS({ "top", -1 }, { "left", -1 }, { "height", s.dim[1] }, { "width", s.dim[2] }));
    x = part_conv(graph, module, "conv1", x, block->channels / 2, 1, block->stride);
    shifted = part_conv(graph, module, "conv2", shifted, block->channels - block->channels / 2, 1,
                        block->stride);
    x = graph_node(graph, "concat", "", x, shifted, NULL);
    return module_norm(graph, module, "bn", x, true);
}

static NodeId block_build(Graph *graph, const Block *block, double backward, NodeId x, bool project)
{
    char name[GRAPH_NAME_MAX];
    NodeId a = branch(graph, block, 1, x), b = branch(graph, block, 2, x);

    snprintf(name, sizeof name, "%s.shake", block->name);
    a = graph_node(graph, "shake", name, a, b, GRAPH_PARAMS({ "backward", backward }));
    if (project)
        x = projection(graph, block, x);
    x = graph_node(graph, "add", "", x, a, NULL);
    graph_layer(graph, block->name, x);
    return x;
}

static ModelEnds shake_shake_build(const Choice *choice, const ModelInput *in, NodeId image,
                                   Graph *graph)
{
    uint32_t channels = STEM_CHANNELS;
    ModelEnds ends = MODEL_ENDS_NONE;
    NodeId x = part_conv(graph, "stem", "conv", image, STEM_CHANNELS, 3, 1);

    x = module_norm(graph, "stem", "bn", x, true);
    graph_layer(graph, "stem", x);
    for (uint32_t stage = 1; stage <= STAGES; stage++) {
        char name[16];

        for (uint32_t i = 0; i < BLOCKS; i++) {
            Block block = { .channels = (uint32_t)choice->value[VALUE_WIDTH] << (stage - 1),
                            .stride = stage > 1 && i == 0 ? 2 : 1 };

            snprintf(block.name, sizeof block.name, "layer%u.%u", stage, i);
            x = block_build(graph, &block, choice->value[VALUE_BACKWARD], x,
                            channels != block.channels);
            channels = block.channels;
        }
        snprintf(name, sizeof name, "layer%u", stage);
        graph_layer(graph, name, x);
    }
    x = ends.map = graph_node(graph, "relu", "relu", x, NODE_NONE, NULL);
    x = graph_node(graph, "global_avg_pool", "avgpool", x, NODE_NONE, NULL);
    ends.logits =
        graph_node(graph, "linear", "fc", x, NODE_NONE, GRAPH_PARAMS({ "features", in->classes }));
    return ends;
}

const Model model_shake_shake = {
    .described = { "shake_shake", "Shake-Shake 26: two branches in every block, mixed at random",
                   shake_shake_params, 2 },
    .build = shake_shake_build,
};
