/* The table of heat-map methods, and what the layers of a network offer them. */
#include "core/explain/cam.h"

#include <stdio.h>
#include <string.h>

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

Status cam_find_layer(const Network *network, const char *name, const Cam *cam, NodeId *ret,
                      Error *err)
{
    const Graph *g = &network->graph;
    bool by_name = name != NULL;
    NodeId node = by_name ? graph_find_layer(g, name) : network->map;

    if (by_name && (node == NODE_NONE || graph_shape(g, node, 1).rank != 4))
        return no_layer(g, name, err);
    if (cam != NULL && (cam->needs & CAM_HEAD) != 0) {
        NodeId head = cam_head(network).layer;

        if (!by_name && head != NODE_NONE)
            node = head; /* the only one it can use */
        if (head == NODE_NONE || node != head)
            return no_head(network, cam, head, err);
    }
    *ret = node;
    return STATUS_OK;
}

Status cam_check_gradient(const Plan *plan, Error *err)
{
    return plan->node[plan->spec.gradient_to].wants
               ? STATUS_OK
               : error_at(err, STATUS_INVALID, "/layer",
                          "the class scores do not depend on that layer: it has no heat map");
}
