/*
 * genotype -- what a search finds: for each kind of cell, four nodes of two edges each.
 *
 * Text form, that of DARTS' public code:
 *
 *     Genotype(normal=[('sep_conv_3x3', 1), ... 8 pairs], normal_concat=[2, 3, 4, 5],
 *              reduce=[...], reduce_concat=[2, 3, 4, 5])
 *
 * Pairs 2i and 2i+1 feed state i + 2, each (candidate, state it comes from).
 */
#pragma once

#include "core/nn/space.h"

enum { GENOTYPE_EDGES = 2 * CELL_NODES, GENOTYPE_TEXT_MAX = 640 };

typedef struct GenotypeEdge {
    uint32_t candidate; /* row of candidate_table, not `none` */
    uint32_t input;     /* state; below the node's own, and not that of its other edge */
} GenotypeEdge;

typedef struct GenotypeCell {
    GenotypeEdge edge[GENOTYPE_EDGES];
    uint32_t concat[CELL_NODES]; /* ascending states 2 to 5 that make the output */
    uint32_t concats;            /* at least 1 */
} GenotypeCell;

typedef struct Genotype {
    GenotypeCell cell[CELL_KINDS];
} Genotype;

/* Published ones: darts_v1, darts_v2, pc_darts, pdarts. NULL-terminated. */
extern const char *const genotype_names[];

/*
 * A name, or the text form, which is parsed and never evaluated; range(a, b) may stand for a list
 * of states, and either quote for the other. STATUS_INVALID tells where the text goes wrong,
 * counting characters from 1.
 */
CHECKED Status genotype_parse(const char *text, Genotype *ret, Error *err);
/* The text form, on one line; what genotype_parse() reads back as the same. */
void genotype_print(const Genotype *genotype, char ret[GENOTYPE_TEXT_MAX]);

/* Bit i: edge i of `a` is in `b`, too: the same candidate from the same state into the same node.
 */
uint32_t genotype_common(const GenotypeCell *a, const GenotypeCell *b);

/*
 * Drawings of both cells, as text to be freed: for Graphviz, and by itself. States are boxes, edges
 * are arrows with their candidate's name; what makes the output is dashed. Readable on dark and on
 * light ground. NULL: out of memory.
 */
char *genotype_dot(const Genotype *genotype);
char *genotype_svg(const Genotype *genotype);

/* "normal", "reduce": in the text form, in JSON, and in drawings. */
extern const char *const genotype_cell_names[CELL_KINDS];
/* "c(k-2)", "c(k-1)", "0" to "3": a state, as drawings call it. */
extern const char *const genotype_state_names[CELL_STATES];

/* What a supernet has learned, one pointer a kind of cell. */
typedef struct GenotypeWeights {
    const real *alpha[CELL_KINDS]; /* [14, space_columns()] after the softmax */
    const real *beta[CELL_KINDS];  /* [14] after the softmax over a node's edges; NULL: none */
} GenotypeWeights;

/*
 * DARTS' rule (Liu et al., 2019, section 2.4; with betas: Xu et al., "PC-DARTS", 2020, whose weight
 * is alpha times beta): a node keeps the two edges whose largest weight besides `none` is largest,
 * the stronger one first, and on each the candidate that has it. Ties go to the lower state, and to
 * the candidate that comes first.
 */
void genotype_derive(const GenotypeWeights *weights, const Space *space, Genotype *ret);
