/*
 * cell -- the frame that genotype networks and supernets share: a stem, a chain of cells, a head.
 *
 * Liu et al., "DARTS", ICLR 2019. The stem is a 3x3 convolution to three times the channels and a
 * batch norm. Cell i takes the outputs of the two cells before it, brought to its channels; cells
 * floor(L/3) and floor(2L/3) of L halve height and width and double the channels. Global average
 * pooling and a linear layer end the chain. Modules: "stem.0", "stem.1", "cells.<i>....",
 * "classifier"; layers: "stem", "cells.<i>".
 */
#pragma once

#include "core/nn/model.h"
#include "core/nn/space.h"

/* One cell being built. */
typedef struct Cell {
    Graph *graph;
    char name[GRAPH_NAME_MAX]; /* "cells.3" */
    CellKind kind;
    uint32_t channels;         /* of every state */
    bool search;               /* batch norms do not scale */
    NodeId state[CELL_STATES]; /* the inputs are there; the builder adds the nodes */
} Cell;

typedef struct CellChain {
    uint32_t channels; /* of the first cell */
    uint32_t cells;
    bool search;
    /* Fills cell->state[2..5] and answers the states that make the output, as a bit mask. */
    uint32_t (*build)(const void *context, Cell *cell);
    const void *context;
} CellChain;

enum {
    CELLS_MIN = 3,
    CELLS_MAX = 40
}; /* three: the fewest with a normal and two reduction cells */

/* Appends the network. `map` of the answer is the last cell's output. */
ModelEnds cell_chain_build(const CellChain *chain, const ModelInput *in, NodeId image,
                           Graph *graph);

/* The cell after which an auxiliary head stands: the second reduction cell. */
uint32_t cell_second_reduction(uint32_t cells);
/* The stride of the edges that start at `state`. */
uint32_t cell_stride(const Cell *cell, uint32_t state);
/* Where candidate `name` ("3" or "3._ops.1", below "<cell>._ops.") of an edge from `state` stands.
 */
CandidateSite cell_site(const Cell *cell, const char *name, uint32_t state, uint32_t channels,
                        uint32_t se_reduction);
