/*
 * Three growing lists. Names are copied; operations point into the static table. Sizes are checked
 * here, once, so that nothing behind can overflow: an activation of one image has fewer than 2^32
 * numbers.
 */
#include "core/graph/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"

void graph_init(Graph *graph)
{
    *graph = (Graph){ 0 };
}

void graph_clear(Graph *graph)
{
    free(graph->node);
    free(graph->weight);
    free(graph->layer);
    graph_init(graph);
}

/* Room for one more entry of `list` holding `count`; lists grow at powers of two. */
static bool grow(Graph *graph, void **list, uint32_t count, size_t size)
{
    void *larger;

    if (count != 0 && (count & (count - 1)) != 0)
        return true;
    larger = realloc(*list, (count == 0 ? 1 : 2 * (size_t)count) * size);
    if (larger == NULL) {
        error_set(&graph->error, STATUS_NO_MEMORY, "cannot allocate a graph");
        return false;
    }
    *list = larger;
    return true;
}

static bool fits(const Shape *s)
{
    size_t count = 1;

    for (uint32_t i = 0; i < s->rank; i++)
        if (s->dim[i] == 0 || __builtin_mul_overflow(count, (size_t)s->dim[i], &count) ||
            count >> 32 != 0)
            return false;
    return true;
}

void graph_layer(Graph *graph, const char *name, NodeId node)
{
    if (graph->error.status != STATUS_OK ||
        !grow(graph, (void **)&graph->layer, graph->layers, sizeof *graph->layer))
        return;
    graph->layer[graph->layers].node = node;
    snprintf(graph->layer[graph->layers++].name, GRAPH_NAME_MAX, "%s", name);
}

static NodeId append(Graph *graph, const Node *node)
{
    if (!fits(&node->one.out)) {
        error_set(&graph->error, STATUS_BAD_SHAPE, "layer \"%s\" is too large", node->name);
        return NODE_NONE;
    }
    if (!grow(graph, (void **)&graph->node, graph->nodes, sizeof *graph->node))
        return NODE_NONE;
    graph->node[graph->nodes] = *node;
    return graph->nodes++;
}

NodeId graph_input(Graph *graph, const char *name, Shape one)
{
    Node node = { .one = { .out = one } };

    if (graph->error.status != STATUS_OK)
        return NODE_NONE;
    snprintf(node.name, sizeof node.name, "%s", name);
    return append(graph, &node);
}

static void set_values(Graph *graph, Node *node, const GraphParam *params)
{
    const Described *row = &node->op->described;

    param_defaults(row, node->value);
    for (; params != NULL && params->name != NULL; params++) {
        Error err = { 0 };
        int i = param_find(row, params->name);

        if (i < 0) {
            error_set(&graph->error, STATUS_INTERNAL, "%s has no parameter \"%s\"", row->name,
                      params->name);
        } else if (param_check(&row->params[i], params->value, &err) != STATUS_OK) {
            error_set(&graph->error, STATUS_INVALID, "layer \"%s\": %s.%s %.100s", node->name,
                      row->name, params->name, error_message(&err));
        } else {
            node->value[i] = params->value;
        }
    }
}

static void add_weights(Graph *graph, NodeId id)
{
    const size_t align = ARENA_ALIGN / sizeof(real);

    for (uint32_t i = 0; i < graph->node[id].one.weights; i++) {
        GraphWeight w = { .spec = graph->node[id].one.weight[i],
                          .node = id,
                          .offset = graph->weight_numbers };

        if (!grow(graph, (void **)&graph->weight, graph->weights, sizeof *graph->weight))
            return;
        snprintf(w.name, sizeof w.name, "%s%s%s", graph->node[id].name,
                 w.spec.name[0] == '\0' ? "" : ".", w.spec.name);
        w.count = shape_count(&w.spec.shape);
        graph->weight_numbers += (w.count + align - 1) / align * align;
        graph->weight[graph->weights++] = w;
    }
}

/* Whether `op` takes these inputs: the right number of them, all there, all different. */
static bool takes(const Graph *graph, const Op *op, const NodeId *input, uint32_t inputs)
{
    if (inputs < op->inputs || inputs > (op->variadic ? (uint32_t)OP_INPUTS_MAX : op->inputs))
        return false;
    for (uint32_t i = 0; i < inputs; i++) {
        if (input[i] >= graph->nodes)
            return false;
        for (uint32_t k = 0; k < i; k++)
            if (input[k] == input[i])
                return false;
    }
    return true;
}

NodeId graph_node(Graph *graph, const char *op, const char *name, NodeId a, NodeId b,
                  const GraphParam *params)
{
    const NodeId input[] = { a, b };

    return graph_node_of(graph, op, name, input,
                         a == NODE_NONE   ? 0
                         : b == NODE_NONE ? 1
                                          : 2,
                         params);
}

NodeId graph_node_of(Graph *graph, const char *op, const char *name, const NodeId *input,
                     uint32_t inputs, const GraphParam *params)
{
    Node node = { .op = op_find(op), .inputs = inputs };
    Shape in[OP_INPUTS_MAX];
    NodeId id;

    if (graph->error.status != STATUS_OK)
        return NODE_NONE;
    if (node.op == NULL || !takes(graph, node.op, input, inputs)) {
        error_set(&graph->error, STATUS_INTERNAL,
                  "node \"%s\": no operation \"%s\" with such inputs", name, op);
        return NODE_NONE;
    }
    snprintf(node.name, sizeof node.name, "%s", name);
    memcpy(node.input, input, inputs * sizeof *input);
    set_values(graph, &node, params);
    for (uint32_t i = 0; i < inputs; i++)
        in[i] = graph->node[input[i]].one.out;
    if (graph->error.status != STATUS_OK ||
        node.op->shape(node.value, in, inputs, &node.one, &graph->error) != STATUS_OK)
        return NODE_NONE;
    node.first_weight = graph->weights;
    id = append(graph, &node);
    if (id == NODE_NONE)
        return id;
    add_weights(graph, id);
    /* A parameter is no place to look at, nor is what has no gradient. */
    if (name[0] != '\0' && inputs > 0 && (node.op->flags & OP_CONSTANT) == 0)
        graph_layer(graph, name, id);
    return id;
}

void graph_fail(Graph *graph, Status status, const char *pointer, const char *format, ...)
{
    char text[ERROR_MESSAGE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    error_at(&graph->error, status, pointer, "%s", text);
}

Status graph_status(const Graph *graph, Error *err)
{
    if (graph->error.status != STATUS_OK)
        return error_at(err, graph->error.status, graph->error.detail[0].pointer, "%s",
                        error_message(&graph->error));
    return STATUS_OK;
}

NodeId graph_find_layer(const Graph *graph, const char *name)
{
    for (uint32_t i = 0; i < graph->layers; i++)
        if (strcmp(graph->layer[i].name, name) == 0)
            return graph->layer[i].node;
    return NODE_NONE;
}

uint64_t graph_parameters(const Graph *graph)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < graph->weights; i++)
        if (graph->weight[i].spec.role == WEIGHT_TRAINED ||
            graph->weight[i].spec.role == WEIGHT_FROZEN)
            count += graph->weight[i].count;
    return count;
}

Shape graph_shape(const Graph *graph, NodeId node, uint32_t images)
{
    Shape s = graph->node[node].one.out;

    s.dim[0] = images;
    return s;
}
