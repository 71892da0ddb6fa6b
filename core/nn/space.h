/*
 * space -- a search space: which candidates each edge of a cell may carry.
 *
 * A cell has two inputs (states 0 and 1) and four nodes (states 2 to 5). A node takes an edge from
 * every state before it: 14 edges in all, those of node i from cell_first_edge(i) on, in the order
 * of their states. Cells of one kind, normal or reduction, share their lists.
 *
 * Text form, for spaces that have no name: candidates of an edge separated by ",", edges by "|"
 * (one list stands for all 14), the two kinds by ";" (what comes first stands for both). Blanks
 * around a name are ignored.
 *
 *     none,skip_connect,sep_conv_3x3                         s3
 *     skip_connect,sep_conv_3x3;skip_connect,max_pool_3x3    one list a kind
 *
 * The order of a list is the order of the columns of alpha, and decides ties.
 */
#pragma once

#include "core/nn/candidate.h"

typedef enum CellKind { CELL_NORMAL, CELL_REDUCE, CELL_KINDS } CellKind;

enum { CELL_INPUTS = 2, CELL_NODES = 4, CELL_STATES = 6, CELL_EDGES = 14, SPACE_COLUMNS_MAX = 12 };

/* The edge from state 0 to node `node` (0 to 3): 0, 2, 5, 9. */
static inline uint32_t cell_first_edge(uint32_t node)
{
    return node * (node + 3) / 2;
}

typedef struct SpaceEdge {
    uint32_t candidate[SPACE_COLUMNS_MAX]; /* rows of candidate_table, all different */
    uint32_t count;                        /* at least one of them is not `none` */
} SpaceEdge;

typedef struct Space {
    SpaceEdge edge[CELL_KINDS][CELL_EDGES];
} Space;

/* Spaces by name: s1 to s5, s3_se, s3_se_eca. NULL-terminated. */
extern const char *const space_names[];

/* A name or the text form. STATUS_INVALID says what is allowed. */
CHECKED Status space_parse(const char *text, Space *ret, Error *err);
/* Takes attention (SE, ECA) out of the reduction cells. STATUS_INVALID where an edge has nothing
 * else. */
CHECKED Status space_without_attention(Space *space, Error *err);
/* The most candidates on an edge of `kind`: the columns of its alphas. */
uint32_t space_columns(const Space *space, CellKind kind);
