/*
 * A cell is drawn as an arc diagram: its states stand in a row, every edge is an arc above it, as
 * high as it is far, and what makes the output hangs below. Two edges differ in where they start or
 * where they end, so that their apexes, where the names are, never meet: of the same height they
 * lie a column apart, and otherwise they differ in height.
 *
 * Colours are attributes and not styles, which a strict content security policy would drop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/genotype.h"

enum {
    COLUMN = 128,    /* from state to state */
    MARGIN = 20,     /* around it all */
    BOX_WIDTH = 64,  /* of a state */
    BOX_HEIGHT = 32, /* of a state */
    RISE = 34,       /* of an arc, a column */
    DROP = 14,       /* of an arc to the output, a column */
    TITLE = 28,      /* above the highest arc */
    SPREAD = 6,      /* how far arcs that share a box stand apart, a column */
    LETTER = 7,      /* width of one, at most */
    OUTPUT = CELL_STATES,
    WIDTH = 2 * MARGIN + CELL_STATES * COLUMN + BOX_WIDTH,
    ABOVE = TITLE + (CELL_STATES - 1) * RISE + 16,
    CELL_HEIGHT = ABOVE + BOX_HEIGHT + (CELL_STATES - CELL_INPUTS) * DROP + 24,
    HEIGHT = 2 * MARGIN + CELL_KINDS * CELL_HEIGHT
};

static int centre_of(uint32_t state)
{
    return MARGIN + BOX_WIDTH / 2 + (int)state * COLUMN;
}

/* From the edge of one box to that of another, further right; `height` is how far its apex is away
 * from them, negative above. */
static void put_arc(FILE *out, uint32_t from, uint32_t to, int y, int height, const char *dash)
{
    int shift = SPREAD * (int)(to - from) - SPREAD, x0 = centre_of(from) + 2 * SPREAD - shift,
        x1 = centre_of(to) - 2 * SPREAD + shift;
    int pull = y + height * 4 / 3; /* a cubic rises to 3/4 of its control points */

    fprintf(out,
            "<path d=\"M%d %d C%d %d %d %d %d %d\" fill=\"none\" stroke=\"#808080\" "
            "stroke-width=\"1.5\"%s marker-end=\"url(#arrow)\"/>\n",
            x0, y, x0, pull, x1, pull, x1, y, dash);
}

/* A name on a ground of its own, in the middle of x, y. */
static void put_name(FILE *out, int x, int y, const char *name)
{
    int width = LETTER * (int)strlen(name) + 8;

    fprintf(out,
            "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"18\" rx=\"4\" fill=\"#e8e8e8\"/>"
            "<text x=\"%d\" y=\"%d\" font-size=\"12\" fill=\"#202020\">%s</text>\n",
            x - width / 2, y - 9, width, x, y + 4, name);
}

static void put_state(FILE *out, uint32_t state, int y, const char *fill, const char *name)
{
    fprintf(out,
            "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\" fill=\"%s\" "
            "stroke=\"#808080\"/><text x=\"%d\" y=\"%d\" font-size=\"13\" fill=\"#202020\">%s"
            "</text>\n",
            centre_of(state) - BOX_WIDTH / 2, y, BOX_WIDTH, BOX_HEIGHT, fill, centre_of(state),
            y + BOX_HEIGHT / 2 + 4, name);
}

static void put_cell(FILE *out, const char *name, const GenotypeCell *cell, int top)
{
    int y = top + ABOVE;

    fprintf(out,
            "<text x=\"%d\" y=\"%d\" font-size=\"15\" text-anchor=\"start\" fill=\"#808080\">%s "
            "cell</text>\n",
            MARGIN, top + 16, name);
    for (uint32_t i = 0; i < GENOTYPE_EDGES; i++)
        put_arc(out, cell->edge[i].input, CELL_INPUTS + i / 2, y,
                -RISE * (int)(CELL_INPUTS + i / 2 - cell->edge[i].input), "");
    for (uint32_t i = 0; i < cell->concats; i++)
        put_arc(out, cell->concat[i], OUTPUT, y + BOX_HEIGHT,
                DROP * (int)(OUTPUT - cell->concat[i]), " stroke-dasharray=\"4 3\"");
    for (uint32_t state = 0; state < CELL_STATES; state++)
        put_state(out, state, y, state < CELL_INPUTS ? "#d0dff5" : "#e8e8e8",
                  genotype_state_names[state]);
    put_state(out, OUTPUT, y, "#f5e3c8", "c(k)");
    for (uint32_t i = 0; i < GENOTYPE_EDGES; i++) {
        const GenotypeEdge *edge = &cell->edge[i];
        uint32_t to = CELL_INPUTS + i / 2;

        put_name(out, (centre_of(edge->input) + centre_of(to)) / 2,
                 y - RISE * (int)(to - edge->input),
                 candidate_table[edge->candidate]->described.name);
    }
}

char *genotype_svg(const Genotype *genotype)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    bool failed;

    if (out == NULL)
        return NULL;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\" font-family=\"sans-serif\" text-anchor=\"middle\">\n"
            "<title>genotype</title>\n"
            "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" "
            "markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">"
            "<path d=\"M0 0 L8 4 L0 8 z\" fill=\"#808080\"/></marker></defs>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    for (int kind = 0; kind < CELL_KINDS; kind++)
        put_cell(out, genotype_cell_names[kind], &genotype->cell[kind],
                 MARGIN + kind * CELL_HEIGHT);
    fprintf(out, "</svg>\n");
    failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed)
        return text;
    free(text);
    return NULL;
}
