/* The table of heat-map methods, and what the layers of a network offer them. */
#include "core/explain/cam.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/dataset.h"
#include "core/explain/cam_table.h"

#define X(name) extern const Cam cam_##name;
CAM_TABLE(X)
#undef X

const Cam *const cam_table[] = {
#define X(name) &cam_##name,
    CAM_TABLE(X)
#undef X
        NULL,
};

static bool is_op(const Graph *g, NodeId node, const char *name)
{
    return g->node[node].op != NULL && strcmp(g->node[node].op->described.name, name) == 0;
}

CamHead cam_head(const Network *network)
{
    const Graph *g = &network->graph;
    const Node *linear = &g->node[network->logits];
    NodeId pool = is_op(g, network->logits, "linear") ? linear->input[0] : NODE_NONE;

    if (pool == NODE_NONE || !is_op(g, pool, "global_avg_pool"))
        return (CamHead){ .layer = NODE_NONE };
    return (CamHead){ .layer = g->node[pool].input[0], .weight = &g->weight[linear->first_weight] };
}

void cam_head_weights(const CamHead *head, const real *weights, uint32_t class_index, real *ret)
{
    uint32_t classes = head->weight->spec.shape.dim[0], channels = head->weight->spec.shape.dim[1];

    for (uint32_t k = 0; k < channels; k++)
        ret[k] = weights[head->weight->offset + (size_t)k * classes + class_index];
}

/* The last, and so the outermost, name of a node. */
static const char *layer_name(const Graph *g, NodeId node)
{
    const char *name = "";

    for (uint32_t i = 0; i < g->layers; i++)
        if (g->layer[i].node == node)
            name = g->layer[i].name;
    return name;
}

static Status no_layer(const Graph *g, const char *name, Error *err)
{
    char names[ERROR_MESSAGE_MAX] = "";

    for (uint32_t i = 0; i < g->layers;
         i++) { /* the top-level ones: the message has room for those */
        size_t used = strlen(names);

        if (strchr(g->layer[i].name, '.') == NULL &&
            graph_shape(g, g->layer[i].node, 1).rank == 4 && used < sizeof names - GRAPH_NAME_MAX)
            snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "",
                     g->layer[i].name);
    }
    return error_at(err, STATUS_INVALID, "/layer",
                    "no layer \"%.40s\" with pixels; there are %.140s and modules inside them",
                    name, names);
}

static Status no_head(const Network *network, const Cam *cam, NodeId head, Error *err)
{
    if (head == NODE_NONE)
        return error_at(err, STATUS_INVALID, "/layer",
                        "\"%s\" needs a network that ends in global average pooling and a linear "
                        "layer; this one, %s, does not",
                        cam->described.name, model_table[network->model.row]->described.name);
    return error_at(err, STATUS_INVALID, "/layer",
                    "\"%s\" needs the layer that global average pooling and the linear layer "
                    "follow: of this model, \"%s\"",
                    cam->described.name, layer_name(&network->graph, head));
}

/* Not every layer leads to the logits: an auxiliary head's do not. */
static Status check_leads(const Network *network, NodeId layer, Error *err)
{
    const Graph *g = &network->graph;
    bool *leads = calloc(g->nodes, sizeof *leads);
    bool answer;

    if (leads == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a list of nodes");
    leads[layer] = true;
    for (NodeId i = layer + 1; i <= network->logits; i++)
        for (uint32_t k = 0; k < g->node[i].inputs && (g->node[i].op->flags & OP_CONSTANT) == 0;
             k++)
            leads[i] = leads[i] || leads[g->node[i].input[k]];
    answer = leads[network->logits];
    free(leads);
    return answer ? STATUS_OK
                  : error_at(err, STATUS_INVALID, "/layer",
                             "the class scores do not depend on that layer: it has no heat map");
}

Status cam_find_layer(const Network *network, const char *name, const Cam *cam, NodeId *ret,
                      Error *err)
{
    const Graph *g = &network->graph;
    bool by_name = name != NULL;
    NodeId node = by_name ? graph_find_layer(g, name) : network->map;
    Status s = STATUS_OK;

    if (by_name && (node == NODE_NONE || graph_shape(g, node, 1).rank != 4))
        return no_layer(g, name, err);
    if (cam != NULL && (cam->needs & CAM_HEAD) != 0) {
        NodeId head = cam_head(network).layer;

        if (!by_name && head != NODE_NONE)
            node = head; /* the only one it can use */
        if (head == NODE_NONE || node != head)
            return no_head(network, cam, head, err);
    }
    if (cam != NULL && (cam->needs & CAM_CLASSLESS) == 0)
        s = check_leads(network, node, err);
    if (s == STATUS_OK)
        *ret = node;
    return s;
}

static bool rectifies(const Network *network)
{
    for (NodeId i = 0; i <= network->logits; i++) {
        const Op *op = network->graph.node[i].op;

        if (op != NULL && (op->flags & (OP_RECTIFIES | OP_RECTIFIES_INSIDE)) != 0)
            return true;
    }
    return false;
}

static Status check_model(const Network *network, const Cam *cam, Error *err)
{
    if ((cam->needs & CAM_PIXEL_SCALE) != 0 && network->input.channels > DATASET_CHANNELS_MAX)
        return error_at(err, STATUS_INVALID, "/source",
                        "\"%s\" changes the pixels of images, and this network sees %u channels",
                        cam->described.name, network->input.channels);
    if ((cam->needs & CAM_GUIDED) != 0 && !rectifies(network))
        return error_at(err, STATUS_INVALID, "/source",
                        "\"%s\" guides the gradient through ReLUs, and this network, %s, has none",
                        cam->described.name, model_table[network->model.row]->described.name);
    return STATUS_OK;
}

static Status find_each(const Network *network, const char *names, const Cam *cam,
                        NodeId ret[MAP_LAYERS_MAX], uint32_t *ret_count, Error *err)
{
    uint32_t count = 0;
    Status s = STATUS_OK;

    for (const char *end; names != NULL && s == STATUS_OK; names = *end != '\0' ? end + 1 : NULL) {
        char name[LAYER_NAME_MAX + 1]; /* one that is too long is none */

        end = names + strcspn(names, ",");
        if (count == MAP_LAYERS_MAX)
            return error_at(err, STATUS_INVALID, "/layer", "at most %d layers can be fused",
                            MAP_LAYERS_MAX);
        snprintf(name, sizeof name, "%.*s", (int)(end - names), names);
        s = cam_find_layer(network, name, cam, &ret[count], err);
        count++;
    }
    if (s == STATUS_OK)
        *ret_count = count;
    return s;
}

Status cam_find_layers(const Network *network, const char *names, const Cam *cam,
                       NodeId ret[MAP_LAYERS_MAX], uint32_t *ret_count, Error *err)
{
    Status s = check_model(network, cam, err);

    if (s != STATUS_OK)
        return s;
    if (names[0] != '\0' && (cam->needs & (CAM_PIXELS | CAM_GUIDED)) == CAM_PIXELS)
        return error_at(err, STATUS_INVALID, "/layer",
                        "\"%s\" makes a map of pixels: it takes no layer", cam->described.name);
    if (names[0] != '\0')
        return find_each(network, names, cam, ret, ret_count, err);
    *ret_count = 1;
    if ((cam->needs & (CAM_PIXELS | CAM_GUIDED)) != CAM_PIXELS)
        return cam_find_layer(network, NULL, cam, ret, err);
    ret[0] = network->image;
    return STATUS_OK;
}
