/*
 * A peephole of two nodes, again and again: nodes are met in their order, so that what a node reads
 * has merged with all it could before, and three become one by way of two.
 *
 * The step takes the place of its last node. That is late for the first one's forward and early for
 * its backward, and neither is seen: nobody else reads what lies between, no other share of the
 * gradient of what the first one reads comes between, and the fused operations compute the very
 * bits of the single ones.
 */
#include "core/graph/fuse.h"

#include <string.h>

/* `reader` reads what `absorbed` computes: `fused` does both. Its inputs are the reader's others,
 * then the absorbed one's; parameters and weights are the absorbed one's, then the reader's. */
static const struct Pattern {
    const char *reader, *absorbed, *fused;
    bool inference; /* batch statistics and gradients of weights need what lies between */
} patterns[] = {
    { "batch_norm", "conv2d", "conv_norm", true },
    { "relu", "conv_norm", "conv_norm_relu", true },
    { "add", "conv_norm", "conv_norm_add", true },
    { "relu", "conv_norm_add", "conv_norm_add_relu", true },
    { "relu", "batch_norm", "norm_relu", false },
    { "add", "batch_norm", "norm_add", false },
    { "relu", "norm_add", "norm_add_relu", false },
    { "relu", "add", "add_relu", false },
};

static bool is_inference(const PlanSpec *spec)
{
    return !spec->training && (spec->gradients & GRADIENT_TRAINED) == 0;
}

static const Op *fused_op(const PlanSpec *spec, const Op *reader, const Op *absorbed)
{
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (strcmp(reader->described.name, patterns[i].reader) == 0 &&
            strcmp(absorbed->described.name, patterns[i].absorbed) == 0 &&
            (is_inference(spec) || !patterns[i].inference))
            return op_find(patterns[i].fused);
    return NULL;
}

void fuse_none(const Graph *graph, NodePlan *node)
{
    for (NodeId i = 0; i < graph->nodes; i++) {
        const Node *from = &graph->node[i];

        node[i].op = from->op;
        memcpy(node[i].value, from->value, sizeof from->value);
        node[i].inputs = from->inputs;
        memcpy(node[i].input, from->input, sizeof from->input);
        node[i].first_weight = from->first_weight;
        node[i].step = i;
    }
}

/* The reader's inputs but number k, then those of `absorbed`, unless one would be there twice. */
static bool merge_inputs(const NodePlan *reader, uint32_t k, const NodePlan *absorbed,
                         NodePlan *ret)
{
    ret->inputs = 0;
    for (uint32_t i = 0; i < reader->inputs; i++)
        if (i != k)
            ret->input[ret->inputs++] = reader->input[i];
    for (uint32_t i = 0; i < absorbed->inputs; i++) {
        for (uint32_t j = 0; j < ret->inputs; j++)
            if (ret->input[j] == absorbed->input[i])
                return false;
        ret->input[ret->inputs++] = absorbed->input[i];
    }
    return true;
}

/* The absorbed step's parameters and weights, then the reader's, unless its weights do not follow.
 */
static bool merge_weights(const NodePlan *reader, const NodePlan *absorbed, NodePlan *ret)
{
    uint32_t own = absorbed->op->described.count;

    if (reader->shapes.weights > 0 &&
        absorbed->first_weight + absorbed->shapes.weights != reader->first_weight)
        return false;
    ret->first_weight = absorbed->first_weight;
    ret->shapes.weights = absorbed->shapes.weights + reader->shapes.weights;
    memcpy(ret->value, absorbed->value, own * sizeof *ret->value);
    memcpy(ret->value + own, reader->value, reader->op->described.count * sizeof *ret->value);
    return true;
}

/* Whether a step between the two reads what the absorbed one does. */
static bool read_between(const NodePlan *node, NodeId absorbed, NodeId reader)
{
    for (NodeId i = absorbed + 1; i < reader; i++)
        for (uint32_t k = 0; node[i].runs && k < node[i].inputs; k++)
            for (uint32_t j = 0; j < node[absorbed].inputs; j++)
                if (node[i].input[k] == node[absorbed].input[j])
                    return true;
    return false;
}

/* Whether node i took in what its input k computes. */
static bool absorb(const PlanSpec *spec, NodePlan *node, NodeId i, uint32_t k,
                   const uint32_t *readers)
{
    NodeId from = node[i].input[k];
    NodePlan merged = node[i];
    const Op *op;

    if (readers[from] != 1 || node[from].op == NULL)
        return false;
    op = fused_op(spec, node[i].op, node[from].op);
    if (op == NULL || read_between(node, from, i) ||
        !merge_inputs(&node[i], k, &node[from], &merged) ||
        !merge_weights(&node[i], &node[from], &merged))
        return false;
    merged.op = op;
    node[i] = merged;
    node[from].op = NULL;
    node[from].inputs = 0;
    node[from].runs = false;
    for (NodeId j = 0; j <= from; j++)
        if (node[j].step == from)
            node[j].step = i;
    return true;
}

void fuse_steps(const Graph *graph, const PlanSpec *spec, NodePlan *node, uint32_t *readers)
{
    for (NodeId i = 0; i < graph->nodes; i++)
        for (uint32_t k = 0; node[i].runs && k < node[i].inputs; k++)
            readers[node[i].input[k]]++;
    for (NodeId i = 0; i < graph->nodes; i++)
        for (uint32_t k = 0; node[i].runs && node[i].op != NULL && k < node[i].inputs; k++)
            if (absorb(spec, node, i, k, readers))
                break;
}
