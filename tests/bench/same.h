/*
 * same -- what both sides of a comparison compute from: ResNet-18 with weights, images and labels
 * by closed forms (tests/golden/closed_form.h), of which the peers have the same bits.
 */
#pragma once

#include "tests/bench/bench.h"

#include "core/nn/network.h"
#include "tests/golden/closed_form.h"

enum { SAME_SIDE = 32, SAME_CHANNELS = 3, SAME_CLASSES = 10, SAME_SEED = 1 };

/* The weights of a network that has memory for them. */
static inline Status same_weights(Network *network, Error *err)
{
    const Graph *g = &network->graph;

    for (uint32_t i = 0; i < g->weights; i++) {
        const GraphWeight *w = &g->weight[i];
        float *disk = calloc(w->count, sizeof *disk), offset, scale;
        uint64_t dim[SHAPE_RANK_MAX];

        if (disk == NULL)
            return error_set(err, STATUS_NO_MEMORY, "cannot allocate weights");
        for (int d = 0; d < SHAPE_RANK_MAX; d++)
            dim[d] = w->spec.shape.dim[d];
        closed_form_state(w->name, w->spec.shape.rank, dim, &offset, &scale);
        closed_form(SAME_SEED, w->name, w->count, offset, scale, disk);
        weight_from_disk(w, disk, network->weights + w->offset);
        free(disk);
    }
    return STATUS_OK;
}

/* ResNet-18 with those; network_clear() it, whatever comes back. */
static inline Status same_network(unsigned width, Network *network, Error *err)
{
    const ModelInput input = { SAME_SIDE, SAME_SIDE, SAME_CHANNELS, SAME_CLASSES };
    Choice model = bench_row(model_table, "resnet18");
    Status s;

    bench_set(&model, model_table, "width", width);
    s = network_init(network, &model, &input, err);
    if (s == STATUS_OK)
        s = network_take_weights(network, err);
    return s == STATUS_OK ? same_weights(network, err) : s;
}

/* [N,C,H,W] in the blocked layout; free() it. NULL where memory is out. */
static inline float *same_images(unsigned images)
{
    size_t pixels = (size_t)SAME_SIDE * SAME_SIDE, count = images * pixels * SAME_CHANNELS;
    uint32_t key = closed_form_key(SAME_SEED, "images/0");
    float *ret = calloc(count, sizeof *ret);

    for (size_t i = 0; ret != NULL && i < count; i++) {
        size_t image = i / (pixels * SAME_CHANNELS), c = i / pixels % SAME_CHANNELS,
               pixel = i % pixels, block = image / BLOCK_IMAGES,
               n = block_images(images, (uint32_t)block);
        size_t at = block * BLOCK_IMAGES * pixels * SAME_CHANNELS +
                    (pixel * n + image % BLOCK_IMAGES) * SAME_CHANNELS + c;

        ret[at] = closed_form_at(key, i, 0, 2);
    }
    return ret;
}
