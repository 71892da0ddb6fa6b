/*
 * cascade -- a network's weights made random block by block, from the top down to the image. A
 * block is what its weights' names begin with: "fc", "layer4", "cells.7", "conv1".
 */
#pragma once

#include "core/graph/graph.h"

typedef struct Cascade {
    const Graph *graph; /* borrowed */
    uint32_t levels;    /* blocks, at least 1 */
    uint32_t *level_of; /* [graph->weights] 0: the top */
    const char **name;  /* [levels] a weight's name, of which the first `length` bytes count */
    size_t *length;
} Cascade;

CHECKED Status cascade_init(Cascade *cascade, const Graph *graph, Error *err);
void cascade_clear(Cascade *cascade); /* zeroed is fine */
/* Level `level`'s numbers of `random` into `weights`; both as the graph's offsets say. */
void cascade_apply(const Cascade *cascade, uint32_t level, const real *random, real *weights);
