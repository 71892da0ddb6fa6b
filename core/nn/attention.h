/*
 * attention -- channel attention: y = x * gate(x), one gate a channel, from its mean over the
 * pixels.
 *
 * SE: Hu et al., 2018: GAP -> FC C -> max(1, C/reduction) -> ReLU -> FC -> sigmoid. ECA: Wang et
 * al., 2020: GAP -> 1-D convolution over the channels -> sigmoid. Both append to a graph; errors
 * stick to it.
 */
#pragma once

#include "core/graph/graph.h"

/* Modules "<name>.fc1" and "<name>.fc2"; `bias`: whether they have one. */
NodeId attention_se(Graph *graph, const char *name, NodeId x, uint32_t reduction, bool bias);
/* Module "<name>.conv". The kernel follows from the channels: attention_eca_kernel(). */
NodeId attention_eca(Graph *graph, const char *name, NodeId x);
/* Their gates alone, [N,C]. */
NodeId attention_se_gate(Graph *graph, const char *name, NodeId x, uint32_t reduction, bool bias);
NodeId attention_eca_gate(Graph *graph, const char *name, NodeId x);
/* t = int(|(log2 C + 1)/2|), and t + 1 where that is even: 3 for 16 channels, 5 for 128. */
uint32_t attention_eca_kernel(uint32_t channels);
