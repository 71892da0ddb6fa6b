/*
 * parts -- what the plain networks (ResNet-9, airbench94, Shake-Shake) are made of, beside
 * modules.h. All append to a graph; errors stick to it.
 */
#pragma once

#include "core/nn/model.h"

/* The square convolution "<module>.<part>", without bias; its padding keeps the size at stride 1.
 */
NodeId part_conv(Graph *graph, const char *module, const char *part, NodeId x, uint32_t channels,
                 uint32_t kernel, uint32_t stride);
/* A node of one input, without name, weights or parameters. */
NodeId part_plain(Graph *graph, const char *op, NodeId x);
/* Fails unless the images are square and of side `min` to `max`. */
void part_wants_square(Graph *graph, const char *model, const ModelInput *in, uint32_t min,
                       uint32_t max);
/* Layer `name`: a max-pool of the whole image, which is square, to one pixel. */
NodeId part_max_pool_all(Graph *graph, const char *name, NodeId x);
