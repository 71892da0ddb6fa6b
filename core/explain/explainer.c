/*
 * One plan a layer: forward to the logits, backward from one logit down to the layer and no
 * further. The plan of the last layer asked for is kept, because people look at many images through
 * one layer. Running statistics are used throughout.
 */
#include "core/explain/explainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph/run.h"
#include "core/nn/network.h"

struct Explainer {
    Network network;
    Pool *pool; /* borrowed */
    const Kernels *kernels;
    LayerInfo *layer; /* [network.graph.layers] */
    CamHead head;
    real *head_weights; /* of one class */
    NodeId planned;     /* the layer that `plan` is for, or NODE_NONE */
    Plan plan;
    Arena arena; /* the plan's memory */
};

void heatmap_clear(HeatMap *map)
{
    free(map->values);
    *map = (HeatMap){ 0 };
}

Status explainer_open(const char *checkpoint_path, Pool *pool, Explainer **ret, Error *err)
{
    Explainer *e = calloc(1, sizeof *e);
    StFile *file = NULL;
    Status s;

    if (e == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate an explainer");
    e->pool = pool;
    e->planned = NODE_NONE;
    s = kernels_select(NULL, &e->kernels, err);
    if (s == STATUS_OK)
        s = safetensors_open(checkpoint_path, &file, err);
    if (s == STATUS_OK)
        s = network_read(&e->network, file, err);
    safetensors_close(file);
    if (s == STATUS_OK) {
        e->head = cam_head(&e->network);
        e->layer = calloc(e->network.graph.layers, sizeof *e->layer);
        if (e->head.layer != NODE_NONE)
            e->head_weights = calloc(e->head.weight->count, sizeof *e->head_weights);
        if (e->layer == NULL || (e->head.layer != NODE_NONE && e->head_weights == NULL))
            s = error_set(err, STATUS_NO_MEMORY, "cannot allocate an explainer");
    }
    for (uint32_t i = 0; s == STATUS_OK && i < e->network.graph.layers; i++) {
        const GraphLayer *l = &e->network.graph.layer[i];

        e->layer[i] = (LayerInfo){ l->name, graph_shape(&e->network.graph, l->node, 1) };
    }
    if (s != STATUS_OK)
        explainer_free(e);
    else
        *ret = e;
    return s;
}

void explainer_free(Explainer *e)
{
    if (e == NULL)
        return;
    plan_clear(&e->plan);
    arena_clear(&e->arena);
    free(e->head_weights);
    free(e->layer);
    network_clear(&e->network);
    free(e);
}

const LayerInfo *explainer_layers(const Explainer *e, uint32_t *ret_count)
{
    *ret_count = e->network.graph.layers;
    return e->layer;
}

Shape explainer_input(const Explainer *e)
{
    return graph_shape(&e->network.graph, e->network.image, 1);
}

uint32_t explainer_classes(const Explainer *e)
{
    return e->network.input.classes;
}

const float *explainer_mean(const Explainer *e)
{
    return e->network.mean;
}

const float *explainer_std(const Explainer *e)
{
    return e->network.std;
}

/* Plans for `layer` unless that is the plan at hand. Not every layer leads to the logits: an
 * auxiliary head's do not. */
static Status plan_layer(Explainer *e, NodeId layer, Error *err)
{
    PlanSpec spec = {
        .images = 1, .output = e->network.logits, .gradient_to = layer, .keep = { NODE_NONE }
    };
    Plan plan;
    Arena arena = { 0 };
    Status s;

    if (e->planned == layer)
        return STATUS_OK;
    s = plan_init(&plan, &e->network.graph, &spec, err);
    if (s != STATUS_OK)
        return s;
    s = cam_check_gradient(&plan, err);
    if (s == STATUS_OK)
        s = arena_init(&arena, plan.bytes, err);
    if (s != STATUS_OK) {
        plan_clear(&plan);
        return s;
    }
    plan_clear(&e->plan);
    arena_clear(&e->arena);
    e->plan = plan;
    e->arena = arena;
    e->planned = layer;
    plan_bind(&e->plan, e->arena.base);
    return STATUS_OK;
}

/* Softmax probability of class k, 0 where the logits do not give one; the largest logit's index. */
static float probability(const real *logits, uint32_t classes, uint32_t k, uint32_t *ret_top)
{
    double sum = 0, p;
    uint32_t top = 0;

    for (uint32_t i = 1; i < classes; i++)
        if (logits[i] > logits[top])
            top = i;
    for (uint32_t i = 0; i < classes; i++)
        sum += exp((double)(logits[i] - logits[top]));
    *ret_top = top;
    p = exp((double)(logits[k] - logits[top])) / sum;
    return isfinite(p) ? (float)p : 0;
}

/* ReLU unless signed; whatever is not finite becomes 0; says whether anything is left. */
static bool finish_map(const MapRequest *request, size_t count, float *values)
{
    bool empty = true;

    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i]) || (!request->signed_map && values[i] < 0))
            values[i] = 0;
        empty = empty && values[i] == 0;
    }
    return empty;
}

/* The class's gradient or its weights: what the method needs. */
static void prepare(Explainer *e, const RunContext *context, const Cam *cam, uint32_t class_index)
{
    Tensor seed;

    if ((cam->needs & CAM_HEAD) != 0)
        cam_head_weights(&e->head, e->network.weights, class_index, e->head_weights);
    if ((cam->needs & CAM_GRADIENT) == 0)
        return;
    seed = plan_gradient(&e->plan, e->network.logits);
    memset(seed.data, 0, shape_count(&seed.shape) * sizeof *seed.data);
    seed.data[class_index] = 1;
    run_backward(&e->plan, context);
}

Status explainer_map(Explainer *e, const MapRequest *request, HeatMap *ret, Error *err)
{
    uint32_t classes = explainer_classes(e);
    RunContext context = { .pool = e->pool, .kernels = e->kernels, .weights = e->network.weights };
    const Cam *cam = cam_table[request->cam];
    Tensor image, logits, layer;
    HeatMap map = { 0 };
    NodeId node;
    Status s = cam_find_layer(&e->network, request->layer, cam, &node, err);

    if (s == STATUS_OK && request->class_index >= (int64_t)classes)
        s = error_at(err, STATUS_INVALID, "/class", "must be below %u, the number of classes",
                     classes);
    if (s == STATUS_OK)
        s = plan_layer(e, node, err);
    if (s != STATUS_OK)
        return s;
    image = plan_tensor(&e->plan, e->network.image);
    memcpy(image.data, request->image, shape_count(&image.shape) * sizeof *image.data);
    run_forward(&e->plan, &context);
    logits = plan_tensor(&e->plan, e->network.logits);
    probability(logits.data, classes, 0, &map.predicted);
    map.class_index = request->class_index < 0 ? map.predicted : (uint32_t)request->class_index;
    map.score = probability(logits.data, classes, map.class_index, &map.predicted);
    prepare(e, &context, cam, map.class_index);

    layer = plan_tensor(&e->plan, node);
    map.height = layer.shape.dim[1];
    map.width = layer.shape.dim[2];
    map.values = calloc((size_t)map.height * map.width, sizeof *map.values);
    if (map.values == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a heat map");
    cam->compute(&(CamInput){ .height = map.height,
                              .width = map.width,
                              .channels = layer.shape.dim[3],
                              .activation = layer.data,
                              .gradient = plan_gradient(&e->plan, node).data,
                              .head = e->head_weights },
                 map.values);
    map.empty = finish_map(request, (size_t)map.height * map.width, map.values);
    *ret = map;
    return STATUS_OK;
}
