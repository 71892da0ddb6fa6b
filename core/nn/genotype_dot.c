/* For Graphviz: a cluster a cell. Greys that stand out from black and from white, no ground. */
#include <stdio.h>
#include <stdlib.h>

#include "core/nn/genotype.h"

static void put_cell(FILE *out, const char *name, const GenotypeCell *cell)
{
    fprintf(out, "  subgraph cluster_%s {\n    label=\"%s cell\";\n", name, name);
    for (int state = 0; state < CELL_STATES; state++)
        fprintf(out, "    %s_%d [label=\"%s\"];\n", name, state, genotype_state_names[state]);
    fprintf(out, "    %s_out [label=\"c(k)\"];\n", name);
    for (uint32_t i = 0; i < GENOTYPE_EDGES; i++)
        fprintf(out, "    %s_%u -> %s_%u [label=\"%s\"];\n", name, cell->edge[i].input, name,
                CELL_INPUTS + i / 2, candidate_table[cell->edge[i].candidate]->described.name);
    for (uint32_t i = 0; i < cell->concats; i++)
        fprintf(out, "    %s_%u -> %s_out [style=dashed];\n", name, cell->concat[i], name);
    fprintf(out, "  }\n");
}

char *genotype_dot(const Genotype *genotype)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    bool failed;

    if (out == NULL)
        return NULL;
    fprintf(out,
            "digraph genotype {\n"
            "  rankdir=LR;\n"
            "  graph [bgcolor=transparent, color=gray50, fontcolor=gray50, "
            "fontname=\"sans-serif\"];\n"
            "  node [shape=box, style=\"rounded,filled\", color=gray50, fillcolor=gray90, "
            "fontcolor=black, fontname=\"sans-serif\"];\n"
            "  edge [color=gray50, fontcolor=gray50, fontname=\"sans-serif\", fontsize=11];\n");
    for (int kind = 0; kind < CELL_KINDS; kind++)
        put_cell(out, genotype_cell_names[kind], &genotype->cell[kind]);
    fprintf(out, "}\n");
    failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed)
        return text;
    free(text);
    return NULL;
}
