/*
 * The parser walks the text once with a Scanner; the first thing that is not as expected fails it,
 * and everything after that does nothing, so that the grammar reads as a list. Published genotypes
 * are kept in the text form.
 */
#include "core/nn/genotype.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
#define GENOTYPES(X)                                                                               \
    X(darts_v1,                                                                                    \
      "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), "           \
      "('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "       \
      "('skip_connect', 2)], normal_concat=[2, 3, 4, 5], "                                         \
      "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "                    \
      "('max_pool_3x3', 0), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), "       \
      "('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])")                                         \
    X(darts_v2,                                                                                    \
      "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "           \
      "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "       \
      "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "                                         \
      "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "                    \
      "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), "       \
      "('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])")                                         \
    X(pc_darts,                                                                                    \
      "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), "           \
      "('dil_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), "       \
      "('dil_conv_3x3', 1)], normal_concat=[2, 3, 4, 5], "                                         \
      "reduce=[('sep_conv_5x5', 1), ('max_pool_3x3', 0), ('sep_conv_5x5', 1), "                    \
      "('sep_conv_5x5', 2), ('sep_conv_3x3', 0), ('sep_conv_3x3', 3), ('sep_conv_3x3', 1), "       \
      "('sep_conv_3x3', 2)], reduce_concat=[2, 3, 4, 5])")                                         \
    X(pdarts,                                                                                      \
      "Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0), "           \
      "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3', 0), "       \
      "('dil_conv_5x5', 4)], normal_concat=[2, 3, 4, 5], "                                         \
      "reduce=[('avg_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), "                    \
      "('dil_conv_5x5', 2), ('max_pool_3x3', 0), ('dil_conv_3x3', 1), ('dil_conv_3x3', 1), "       \
      "('dil_conv_5x5', 3)], reduce_concat=[2, 3, 4, 5])")
/* clang-format on */

const char *const genotype_names[] = {
#define X(name, text) #name,
    GENOTYPES(X)
#undef X
        NULL,
};

static const char *const genotype_texts[] = {
#define X(name, text) text,
    GENOTYPES(X)
#undef X
};

const char *const genotype_cell_names[CELL_KINDS] = { "normal", "reduce" };
const char *const genotype_state_names[CELL_STATES] = { "c(k-2)", "c(k-1)", "0", "1", "2", "3" };
static const char *const concat_names[] = { "normal_concat", "reduce_concat" };

/* ---- Reading ---- */

typedef struct Scanner {
    const char *text, *at;
    bool failed;
    Error *err;
} Scanner;

__attribute__((format(printf, 3, 4))) static void fail(Scanner *s, const char *at,
                                                       const char *format, ...)
{
    char what[CANDIDATE_NAMES_MAX];
    va_list args;

    if (s->failed)
        return;
    s->failed = true;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    error_set(s->err, STATUS_INVALID, "genotype: at character %zu%s: %s",
              (size_t)(at - s->text) + 1, *at == '\0' ? ", the end" : "", what);
}

static void skip_blanks(Scanner *s)
{
    s->at += strspn(s->at, " \t\r\n");
}

/* Whether `token` comes next; takes it if so. */
static bool accept(Scanner *s, const char *token)
{
    size_t length = strlen(token);

    skip_blanks(s);
    if (s->failed || strncmp(s->at, token, length) != 0)
        return false;
    s->at += length;
    return true;
}

static void expect(Scanner *s, const char *token)
{
    if (!accept(s, token))
        fail(s, s->at, "%s is wanted here", token);
}

/* One digit, in lo..hi; `what` is what it numbers. */
static uint32_t digit(Scanner *s, const char *what, uint32_t lo, uint32_t hi)
{
    const char *at;

    skip_blanks(s);
    at = s->at;
    if (s->failed)
        return lo;
    if (*at < '0' || *at > '9' || (at[1] >= '0' && at[1] <= '9') || (uint32_t)(*at - '0') < lo ||
        (uint32_t)(*at - '0') > hi) {
        fail(s, at, "%s from %u to %u is wanted here", what, lo, hi);
        return lo;
    }
    s->at++;
    return (uint32_t)(*at - '0');
}

static uint32_t candidate_name(Scanner *s)
{
    char quote[2] = "'", known[CANDIDATE_NAMES_MAX];
    const char *at;

    if (accept(s, "\""))
        quote[0] = '"';
    else
        expect(s, quote);
    at = s->at;
    for (uint32_t i = 0; candidate_table[i] != NULL && !s->failed; i++) {
        const char *name = candidate_table[i]->described.name;
        size_t length = strlen(name);

        if (candidate_table[i]->build == NULL || strncmp(at, name, length) != 0 ||
            at[length] != quote[0])
            continue;
        s->at += length + 1;
        return i;
    }
    candidate_names(known);
    fail(s, at, "a candidate is wanted here: %s (but not none)", known);
    return 0;
}

static void pair(Scanner *s, GenotypeCell *cell, uint32_t i)
{
    GenotypeEdge *edge = &cell->edge[i];
    const char *at;

    expect(s, "(");
    edge->candidate = candidate_name(s);
    expect(s, ",");
    skip_blanks(s);
    at = s->at;
    edge->input = digit(s, "a state", 0, i / 2 + 1);
    if (i % 2 == 1 && edge->input == cell->edge[i - 1].input)
        fail(s, at, "both edges of a node come from state %u; they must differ", edge->input);
    expect(s, ")");
}

/* [2, 3, 4, 5] or range(2, 6). */
static void concat(Scanner *s, GenotypeCell *cell)
{
    uint32_t next = CELL_INPUTS, end;

    if (accept(s, "range(")) {
        next = digit(s, "a state", CELL_INPUTS, CELL_STATES - 1);
        expect(s, ",");
        end = digit(s, "a range's end", next + 1, CELL_STATES);
        expect(s, ")");
        for (; next < end; next++)
            cell->concat[cell->concats++] = next;
        return;
    }
    expect(s, "[");
    do {
        if (next == CELL_STATES)
            fail(s, s->at, "] is wanted here");
        next = digit(s, "a state", next, CELL_STATES - 1);
        if (s->failed)
            return;
        cell->concat[cell->concats++] = next++;
    } while (accept(s, ","));
    expect(s, "]");
}

Status genotype_parse(const char *text, Genotype *ret, Error *err)
{
    Genotype made = { 0 };
    Scanner s = { .err = err };

    for (int i = 0; genotype_names[i] != NULL; i++)
        if (strcmp(text, genotype_names[i]) == 0)
            text = genotype_texts[i];
    s.text = s.at = text;
    if (!accept(&s, "Genotype"))
        fail(&s, s.at,
             "darts_v1, darts_v2, pc_darts, pdarts or a text that begins with Genotype( is wanted");
    expect(&s, "(");
    for (int k = 0; k < CELL_KINDS; k++) {
        if (k > 0)
            expect(&s, ",");
        expect(&s, genotype_cell_names[k]);
        expect(&s, "=");
        expect(&s, "[");
        for (uint32_t i = 0; i < GENOTYPE_EDGES; i++) {
            if (i > 0)
                expect(&s, ",");
            pair(&s, &made.cell[k], i);
        }
        expect(&s, "]");
        expect(&s, ",");
        expect(&s, concat_names[k]);
        expect(&s, "=");
        concat(&s, &made.cell[k]);
    }
    expect(&s, ")");
    skip_blanks(&s);
    if (*s.at != '\0')
        fail(&s, s.at, "the text should end here");
    if (s.failed)
        return STATUS_INVALID;
    *ret = made;
    return STATUS_OK;
}

/* ---- Writing ---- */

typedef struct Writer {
    char *text;
    size_t used;
} Writer;

__attribute__((format(printf, 2, 3))) static void put(Writer *w, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    w->used += (size_t)vsnprintf(w->text + w->used, GENOTYPE_TEXT_MAX - w->used, format, args);
    va_end(args);
    if (w->used >= GENOTYPE_TEXT_MAX)
        w->used = GENOTYPE_TEXT_MAX - 1;
}

void genotype_print(const Genotype *genotype, char ret[GENOTYPE_TEXT_MAX])
{
    Writer w = { ret, 0 };

    for (int k = 0; k < CELL_KINDS; k++) {
        const GenotypeCell *cell = &genotype->cell[k];

        put(&w, "%s%s=[", k == 0 ? "Genotype(" : ", ", genotype_cell_names[k]);
        for (uint32_t i = 0; i < GENOTYPE_EDGES; i++)
            put(&w, "%s('%s', %u)", i > 0 ? ", " : "",
                candidate_table[cell->edge[i].candidate]->described.name, cell->edge[i].input);
        put(&w, "], %s=[", concat_names[k]);
        for (uint32_t i = 0; i < cell->concats; i++)
            put(&w, "%s%u", i > 0 ? ", " : "", cell->concat[i]);
        put(&w, "]");
    }
    put(&w, ")");
}

/* ---- Comparing ---- */

uint32_t genotype_common(const GenotypeCell *a, const GenotypeCell *b)
{
    uint32_t mask = 0;

    for (uint32_t i = 0; i < GENOTYPE_EDGES; i++) {
        const GenotypeEdge *edge = &a->edge[i], *pair = &b->edge[i - i % 2];

        for (uint32_t j = 0; j < 2; j++)
            if (pair[j].candidate == edge->candidate && pair[j].input == edge->input)
                mask |= 1U << i;
    }
    return mask;
}

/* ---- Deriving ---- */

/* The strongest candidate of one edge that connects, and its weight. */
static GenotypeEdge strongest(const SpaceEdge *edge, const real *alpha, real beta, uint32_t input,
                              real *ret_weight)
{
    GenotypeEdge best = { .input = input };
    bool found = false;

    for (uint32_t i = 0; i < edge->count; i++) {
        real weight = alpha[i] * beta;

        if (candidate_table[edge->candidate[i]]->build == NULL ||
            (found && !(weight > *ret_weight)))
            continue;
        found = true;
        best.candidate = edge->candidate[i];
        *ret_weight = weight;
    }
    return best;
}

/* The two strongest edges of a node, the stronger one first; a later one must be truly stronger. */
static void derive_node(const SpaceEdge *edge, const real *alpha, const real *beta,
                        uint32_t columns, uint32_t states, GenotypeEdge kept[2])
{
    real most[2] = { 0, 0 };

    for (uint32_t state = 0; state < states; state++) {
        real weight = 0;
        GenotypeEdge best = strongest(&edge[state], alpha + state * columns,
                                      beta == NULL ? 1 : beta[state], state, &weight);

        if (state == 0 || weight > most[0]) {
            kept[1] = kept[0];
            most[1] = most[0];
            kept[0] = best;
            most[0] = weight;
        } else if (state == 1 || weight > most[1]) {
            kept[1] = best;
            most[1] = weight;
        }
    }
}

void genotype_derive(const GenotypeWeights *weights, const Space *space, Genotype *ret)
{
    *ret = (Genotype){ 0 };
    for (int k = 0; k < CELL_KINDS; k++) {
        const uint32_t columns = space_columns(space, (CellKind)k);
        const real *beta = weights->beta[k];

        for (uint32_t node = 0; node < CELL_NODES; node++) {
            const uint32_t first = cell_first_edge(node);

            derive_node(&space->edge[k][first], weights->alpha[k] + first * columns,
                        beta == NULL ? NULL : beta + first, columns, node + CELL_INPUTS,
                        &ret->cell[k].edge[2 * node]);
            ret->cell[k].concat[node] = node + CELL_INPUTS;
        }
        ret->cell[k].concats = CELL_NODES;
    }
}
