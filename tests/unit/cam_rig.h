/* A small trained network and the maps that an engine makes of its images, for tests of methods. */
#pragma once

#include "tests/unit/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/explain/explanation.h"
#include "tests/unit/networks.h"

enum { SIDE = 16, CLASSES = 3, IMAGE = SIDE * SIDE * 3, SEED = 9 };

/* Numbers from -1 to 1. */
static inline void draw(real *ret, size_t count, uint32_t stream)
{
    Rng rng = rng_at(3, RNG_TEST, 3, stream);

    for (size_t i = 0; i < count; i++)
        ret[i] = 2 * rng_uniform(&rng) - 1;
}

static inline void near(const char *what, double got, double want, double slack)
{
    if (!(fabs(got - want) <= slack))
        fail_msg("%s: %.9g is not %.9g", what, got, want);
}

typedef struct Rig {
    Pool *pool;
    Network network;
    real image[IMAGE];
} Rig;

/* Class 1 scores against class 0: of the two at least one has a map with something positive. */
static inline void oppose(Network *n)
{
    NodeId linear = n->logits;
    real *w;

    while (strcmp(n->graph.node[linear].op->described.name, "linear") != 0)
        linear--;
    w = n->weights + n->graph.weight[n->graph.node[linear].first_weight].offset;
    for (size_t k = 0; k < n->graph.weight[n->graph.node[linear].first_weight].count; k += CLASSES)
        w[k + 1] = -w[k];
}

/* As after some training: no norm does nothing. */
static inline void train(Network *n)
{
    network_randomise(n, 7);
    for (uint32_t i = 0; i < n->graph.weights; i++) {
        const GraphWeight *w = &n->graph.weight[i];
        Rng rng = rng_at(4, RNG_TEST, 2, i);

        for (size_t k = 0; w->spec.init != INIT_UNIFORM && k < w->count; k++)
            n->weights[w->offset + k] += 0.3f * (2 * rng_uniform(&rng) - 1);
    }
    oppose(n);
    for (int c = 0; c < 3; c++) {
        n->mean[c] = 0.5f - 0.05f * (float)c;
        n->std[c] = 0.25f - 0.05f * (float)c;
    }
}

static inline int setup(void **state)
{
    static Rig rig;

    rig = (Rig){ .network = network_of("resnet18", SETS({ "width", 4 }),
                                       (ModelInput){ SIDE, SIDE, 3, CLASSES }) };
    train(&rig.network);
    draw(rig.image, IMAGE, 50);
    assert_int_equal(pool_new(2, &rig.pool, NULL), STATUS_OK);
    *state = &rig;
    return 0;
}

static inline int teardown(void **state)
{
    Rig *rig = *state;

    network_clear(&rig->network);
    pool_free(rig->pool);
    return 0;
}

static inline RunContext context_of(Pool *pool, const Network *n)
{
    return (RunContext){ .pool = pool, .kernels = kernels_available()[0], .weights = n->weights };
}

static inline ExplanationSpec spec_of(const char *method, const char *layer)
{
    int source = explanation_find(method);
    ExplanationSpec spec;

    assert_true(source >= 0);
    spec = explanation_default((uint32_t)source);
    spec.classes = CLASSES_ALL;
    snprintf(spec.layer, sizeof spec.layer, "%s", layer);
    return spec;
}

/* An engine with memory. */
typedef struct Engine {
    Explanation e;
    Arena memory;
} Engine;

static inline Engine engine_of(const Network *n, const ExplanationSpec *spec, uint32_t images)
{
    Engine g = { 0 };
    Error err = { 0 };

    ok(explanation_init(&g.e, n, spec, images, &err), &err);
    ok(arena_init(&g.memory, arena_round(g.e.work_bytes) + g.e.state_bytes, &err), &err);
    explanation_bind(&g.e, g.memory.base, g.memory.base + arena_round(g.e.work_bytes));
    return g;
}

static inline void engine_clear(Engine *g)
{
    explanation_clear(&g->e);
    arena_clear(&g->memory);
}

/* Plain [N,H,W,C] as the engine takes it. */
static inline void pack(const Network *n, uint32_t images, const real *plain, real *ret)
{
    const size_t pixels = (size_t)n->input.height * n->input.width, c = n->input.channels;

    for (uint32_t i = 0; i < images; i++) {
        const size_t lanes = block_images(images, i / BLOCK_IMAGES);
        real *to = ret + (i / BLOCK_IMAGES) * BLOCK_IMAGES * pixels * c + i % BLOCK_IMAGES * c;

        for (size_t p = 0; p < pixels; p++)
            memcpy(to + p * lanes * c, plain + (i * pixels + p) * c, c * sizeof *to);
    }
}

/* The maps of `images` images, items first.. of seed SEED: free() them. */
static inline float *maps_of(Pool *pool, const Network *n, const ExplanationSpec *spec,
                             uint32_t images, const real *plain, uint32_t first,
                             const uint32_t *classes)
{
    const RunContext context = context_of(pool, n);
    const size_t image = (size_t)n->input.height * n->input.width * n->input.channels;
    Engine g = engine_of(n, spec, images);
    const size_t count = images * mapset_image_numbers(&g.e.shape);
    float *ret = malloc(count * sizeof *ret);
    real *packed = malloc(images * image * sizeof *packed);
    uint32_t items[64];

    assert_true(ret != NULL && packed != NULL && images <= 64);
    for (uint32_t i = 0; i < images; i++)
        items[i] = first + i;
    pack(n, images, plain, packed);
    explanation_run(&g.e, &context,
                    &(ExplanationBatch){ .images = packed,
                                         .items = items,
                                         .classes = classes,
                                         .split = SPLIT_TEST,
                                         .seed = SEED });
    memcpy(ret, g.e.maps, count * sizeof *ret);
    engine_clear(&g);
    free(packed);
    return ret;
}

static inline float *maps_of_one(Rig *rig, const char *method, const char *layer)
{
    ExplanationSpec spec = spec_of(method, layer);

    return maps_of(rig->pool, &rig->network, &spec, 1, rig->image, 0, NULL);
}
