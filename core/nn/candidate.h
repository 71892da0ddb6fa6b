/*
 * candidate -- the table of operations that an edge of a cell may carry: one file `candidate_x.c`
 * and one row in meson.build each.
 *
 * Spaces and genotypes name them. The table's order means nothing; a space's order decides ties.
 */
#pragma once

#include "core/graph/graph.h"

/*
 * While searching: the mixture of all of an edge's candidates, and how the one that is being built
 * joins it. Separable convolutions add themselves; others give a tensor, and what it is normalised
 * by or multiplied with in passing.
 */
typedef struct CandidateMix {
    NodeId weights; /* [R,K] */
    uint32_t row, column;
    NodeId sum;        /* what all have given so far; NODE_NONE: nothing */
    NodeId statistics; /* of the batch norm in which the candidate ends; else NODE_NONE */
    NodeId gate;       /* [N,C] factors of the tensor; else NODE_NONE */
} CandidateMix;

/* Where a candidate stands, and how it is built there. */
typedef struct CandidateSite {
    Graph *graph;
    char name[GRAPH_NAME_MAX]; /* of its module: "cells.0._ops.3" */
    uint32_t channels;         /* going in and coming out */
    uint32_t stride;           /* 1 or 2 */
    bool search;               /* in a supernet: batch norms do not scale, pools have one, too */
    CandidateMix *mix;         /* while searching */
    uint32_t se_reduction;     /* C / hidden of squeeze and excitation */
} CandidateSite;

typedef struct Candidate {
    Described described;
    bool attention; /* belongs to normal cells; reduction cells have it only where that is asked */
    /* Appends the candidate to the graph, on which errors stick; NODE_NONE where it has added
     * itself to the mixture. NULL: it contributes nothing, and has no node. */
    NodeId (*build)(const CandidateSite *site, NodeId x);
} Candidate;

extern const Candidate *const candidate_table[]; /* NULL-terminated */

/* "none, max_pool_3x3, ...": for messages. */
enum { CANDIDATE_NAMES_MAX = 200 };
void candidate_names(char ret[CANDIDATE_NAMES_MAX]);

/* What several of them share. */

/* The batch norm "<name>.<child>" in which a candidate ends; while searching: its statistics, for
 * the mixture. */
NodeId candidate_norm(const CandidateSite *site, const char *child, NodeId x);
/* `op` over 3x3 pixels, padding 1; while searching a batch norm "<name>.1" follows. */
NodeId candidate_pool(const CandidateSite *site, const char *op, NodeId x);
/* ReLU, depthwise kernel x kernel of the site's stride, 1x1, batch norm; the same again at
 * stride 1. */
NodeId candidate_sep_conv(const CandidateSite *site, NodeId x, uint32_t kernel);
/* ReLU, depthwise kernel x kernel of dilation 2, 1x1, batch norm. */
NodeId candidate_dil_conv(const CandidateSite *site, NodeId x, uint32_t kernel);
/* At stride 2 a FactorizedReduce "<name>.reduce", which attention follows; at stride 1 x itself. */
NodeId candidate_reduce(const CandidateSite *site, NodeId x);
/* x times the factors `gate` [N,C], named `name`; while searching: the mixture multiplies. */
NodeId candidate_gate(const CandidateSite *site, const char *name, NodeId x, NodeId gate);
