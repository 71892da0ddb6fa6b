/*
 * The engine of explanation.h for one image. It is planned anew, and takes its memory anew, when
 * something else is asked for than before.
 */
#include "core/explain/explainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/explain/explanation.h"

struct Explainer {
    Network network;
    RunContext context;
    LayerInfo *layer;   /* [network.graph.layers] */
    Explanation engine; /* images 0: none yet */
    Arena arena;        /* its memory */
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
    e->context.pool = pool;
    s = kernels_select(NULL, &e->context.kernels, err);
    if (s == STATUS_OK)
        s = safetensors_open(checkpoint_path, &file, err);
    if (s == STATUS_OK)
        s = network_read(&e->network, file, err);
    safetensors_close(file);
    if (s == STATUS_OK) {
        e->context.weights = e->network.weights;
        e->layer = calloc(e->network.graph.layers, sizeof *e->layer);
        if (e->layer == NULL)
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
    explanation_clear(&e->engine);
    arena_clear(&e->arena);
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

/* --- what is asked for --- */

/* The names with commas between them. Each is a layer's, and so none is too long or has one. */
static Status join_layers(const Explainer *e, const MapRequest *request,
                          char ret[EXPLANATION_LAYER_MAX], Error *err)
{
    size_t used = 0;

    if (request->layers > MAP_LAYERS_MAX)
        return error_at(err, STATUS_INVALID, "/layer", "at most %d layers can be fused",
                        MAP_LAYERS_MAX);
    ret[0] = '\0';
    for (uint32_t i = 0; i < request->layers; i++) {
        NodeId node;
        Status s = cam_find_layer(&e->network, request->layer[i], NULL, &node, err);

        if (s != STATUS_OK)
            return s;
        used += (size_t)snprintf(ret + used, EXPLANATION_LAYER_MAX - used, "%s%s", i > 0 ? "," : "",
                                 request->layer[i]);
    }
    return STATUS_OK;
}

static bool same_spec(const ExplanationSpec *a, const ExplanationSpec *b)
{
    return a->source == b->source && a->classes == b->classes && a->signed_maps == b->signed_maps &&
           a->flips == b->flips && strcmp(a->layer, b->layer) == 0;
}

/* What the engine calls its source is this interface's method. */
static Status to_request(Status s, const Error *why, Error *err)
{
    const char *pointer = why->detail[0].pointer;

    return error_at(err, s, strcmp(pointer, "/source") == 0 ? "/method" : pointer, "%s",
                    error_message(why));
}

/* Has the engine planned for the request. */
static Status plan_request(Explainer *e, const MapRequest *request, ExplanationClasses classes,
                           Error *err)
{
    ExplanationSpec spec = explanation_default(explanation_of_cam(request->method));
    Explanation engine;
    Error why = { 0 };
    Status s;

    spec.classes = classes;
    spec.target = TARGET_PREDICTION;
    spec.signed_maps = request->signed_map;
    spec.flips = request->flips;
    s = join_layers(e, request, spec.layer, err);
    if (s != STATUS_OK || (e->engine.images > 0 && same_spec(&spec, &e->engine.spec)))
        return s;
    s = explanation_init(&engine, &e->network, &spec, 1, &why);
    if (s != STATUS_OK)
        return to_request(s, &why, err);
    explanation_clear(&e->engine); /* before there is memory for the next */
    arena_clear(&e->arena);
    s = arena_init(&e->arena, arena_round(engine.work_bytes) + engine.state_bytes, err);
    if (s != STATUS_OK) {
        explanation_clear(&engine);
        return s;
    }
    e->engine = engine;
    explanation_bind(&e->engine, e->arena.base, e->arena.base + arena_round(engine.work_bytes));
    return STATUS_OK;
}

/* Class `class_index`'s map, number `k` of the engine's. */
static Status take_map(const Explainer *e, uint32_t k, uint32_t class_index, HeatMap *ret,
                       Error *err)
{
    const MapShape *shape = &e->engine.shape;
    const size_t pixels = (size_t)shape->height * shape->width;
    HeatMap map = { .height = shape->height,
                    .width = shape->width,
                    .values = malloc(pixels * sizeof *map.values),
                    .class_index = class_index,
                    .predicted = e->engine.predicted[0],
                    .score = explanation_score(&e->engine, 0, class_index),
                    .empty = true };

    if (map.values == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a heat map");
    memcpy(map.values, e->engine.maps + k * pixels, pixels * sizeof *map.values);
    for (size_t i = 0; i < pixels; i++)
        map.empty = map.empty && map.values[i] == 0;
    *ret = map;
    return STATUS_OK;
}

/* `wanted`: NULL for the predicted class, or for all. */
static void run(Explainer *e, const MapRequest *request, const uint32_t *wanted)
{
    explanation_run(&e->engine, &e->context,
                    &(ExplanationBatch){ .images = request->image,
                                         .items = &request->item,
                                         .classes = wanted,
                                         .split = SPLIT_TEST,
                                         .seed = request->seed });
}

Status explainer_map(Explainer *e, const MapRequest *request, HeatMap *ret, Error *err)
{
    const uint32_t classes = explainer_classes(e), wanted = (uint32_t)request->class_index;
    Status s;

    if (request->class_index >= (int64_t)classes)
        return error_at(err, STATUS_INVALID, "/class", "must be below %u, the number of classes",
                        classes);
    s = plan_request(e, request, CLASSES_TARGET, err);
    if (s != STATUS_OK)
        return s;
    run(e, request, request->class_index < 0 ? NULL : &wanted);
    return take_map(e, 0, e->engine.wanted[0], ret, err);
}

Status explainer_maps(Explainer *e, const MapRequest *request, HeatMap *ret, Error *err)
{
    const uint32_t classes = explainer_classes(e);
    HeatMap *map = calloc(classes, sizeof *map);
    Status s = map == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate the heat maps")
                           : plan_request(e, request, CLASSES_ALL, err);

    if (s == STATUS_OK)
        run(e, request, NULL);
    for (uint32_t k = 0; k < classes && s == STATUS_OK; k++)
        s = take_map(e, k, k, &map[k], err);
    if (s == STATUS_OK)
        memcpy(ret, map, classes * sizeof *ret);
    for (uint32_t k = 0; k < classes && s != STATUS_OK && map != NULL; k++)
        heatmap_clear(&map[k]);
    free(map);
    return s;
}

float explainer_score(const Explainer *e, uint32_t class_index)
{
    return e->engine.images > 0 ? explanation_score(&e->engine, 0, class_index) : 0;
}
