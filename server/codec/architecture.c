/*
 * What is not of the right form is named where it stands, one level of the JSON a function. A space
 * becomes the text form, so that one thing goes to disk and one parser reads it back.
 */
#include "server/codec/architecture.h"

#include <stdio.h>
#include <string.h>

/* Where the reader stands: "/normal/3/1". */
typedef struct Place {
    char text[ERROR_POINTER_MAX];
} Place;

static Place below(Place at, const char *key)
{
    size_t used = strlen(at.text);

    snprintf(at.text + used, sizeof at.text - used, "/%s", key);
    return at;
}

static Place below_at(Place at, size_t index)
{
    char key[24];

    snprintf(key, sizeof key, "%zu", index);
    return below(at, key);
}

#define bad(err, at, ...) ((void)error_add(err, STATUS_INVALID, (at).text, __VA_ARGS__))

static void refuse_others(const json_t *object, const char *const *known, const char *list,
                          Error *err)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)object, key, value)
    {
        const char *const *name = known;

        while (*name != NULL && strcmp(*name, key) != 0)
            name++;
        if (*name == NULL)
            bad(err, below((Place){ "" }, key), "unknown key; known are: %s", list);
    }
}

/* The row of the candidate that is named; -1 where none is, and that is said. */
static int candidate_of(const json_t *json, Place at, Error *err)
{
    const char *name = json_string_value(json);
    int row = name == NULL ? -1 : table_find(candidate_table, name);
    char known[CANDIDATE_NAMES_MAX];

    candidate_names(known);
    if (row < 0)
        bad(err, at, "must be a candidate, one of: %s", known);
    return row;
}

/* ---- Spaces ---- */

typedef struct Text {
    char *text; /* [CHOICE_TEXT_MAX] */
    size_t used;
} Text;

static void put(Text *out, const char *separator, const char *name)
{
    int wrote =
        snprintf(out->text + out->used, CHOICE_TEXT_MAX - out->used, "%s%s", separator, name);

    out->used += (size_t)wrote;
    if (out->used >= CHOICE_TEXT_MAX)
        out->used = CHOICE_TEXT_MAX - 1;
}

/* The candidates of an edge. */
static void read_edge(const json_t *list, Place at, const char *separator, Text *out, Error *err)
{
    uint32_t seen[SPACE_COLUMNS_MAX], count = 0;
    bool connects = false;

    if (!json_is_array(list) || json_array_size(list) > SPACE_COLUMNS_MAX) {
        bad(err, at, "must be a list of at most %d candidates", SPACE_COLUMNS_MAX);
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        int row = candidate_of(json_array_get(list, i), below_at(at, i), err);

        connects |= row < 0 || candidate_table[row]->build != NULL;
        for (uint32_t j = 0; row >= 0 && j < count; j++)
            if (seen[j] == (uint32_t)row)
                bad(err, below_at(at, i), "is there already");
        if (row < 0)
            continue;
        seen[count++] = (uint32_t)row;
        put(out, i == 0 ? separator : ",", candidate_table[row]->described.name);
    }
    if (!connects)
        bad(err, at, "needs a candidate besides none");
}

static void read_kind(const json_t *lists, const char *name, const char *separator, Text *out,
                      Error *err)
{
    Place at = below((Place){ "" }, name);
    size_t count = json_array_size(lists);

    if (count != 1 && count != CELL_EDGES) {
        bad(err, at, "must be a list of %d lists, one for each edge, or of 1 for all of them",
            CELL_EDGES);
        return;
    }
    for (size_t i = 0; i < count; i++)
        read_edge(json_array_get(lists, i), below_at(at, i), i == 0 ? separator : "|", out, err);
}

/* A text that parses, as it is. */
static Status take_text(const json_t *json, char ret[CHOICE_TEXT_MAX], Error *err)
{
    if (json_string_length(json) >= CHOICE_TEXT_MAX)
        return error_add(err, STATUS_INVALID, "", "must have at most %d bytes",
                         CHOICE_TEXT_MAX - 1);
    snprintf(ret, CHOICE_TEXT_MAX, "%s", json_string_value(json));
    return STATUS_OK;
}

static Status space_text(const json_t *json, char ret[CHOICE_TEXT_MAX], Error *err)
{
    Space space;
    Error why = { 0 };
    Status s = space_parse(json_string_value(json), &space, &why);

    return s == STATUS_OK ? take_text(json, ret, err)
                          : error_add(err, s, "", "%s", error_message(&why));
}

Status space_from_json(const json_t *json, char ret[CHOICE_TEXT_MAX], Error *err)
{
    static const char *const keys[] = { "normal", "reduce", NULL };
    const json_t *reduce = json_object_get(json, "reduce");
    char made[CHOICE_TEXT_MAX] = "";
    Text out = { .text = made };
    Error own = { 0 };

    if (json_is_string(json))
        return space_text(json, ret, err);
    if (!json_is_object(json))
        return error_add(err, STATUS_INVALID, "",
                         "must be a space's name, its text, or an object with \"normal\" and "
                         "\"reduce\"");
    refuse_others(json, keys, "normal, reduce", &own);
    read_kind(json_object_get(json, "normal"), "normal", "", &out, &own);
    if (reduce != NULL)
        read_kind(reduce, "reduce", ";", &out, &own);
    for (uint32_t i = 0; i < own.details; i++)
        (void)error_add(err, own.status, own.detail[i].pointer, "%s", own.detail[i].message);
    if (own.status == STATUS_OK)
        memcpy(ret, made, sizeof made);
    return own.status;
}

/* ---- Genotypes ---- */

static bool read_state(const json_t *json, Place at, uint32_t low, uint32_t high, uint32_t *ret,
                       Error *err)
{
    json_int_t state = json_is_integer(json) ? json_integer_value(json) : -1;

    if (state < (json_int_t)low || state > (json_int_t)high) {
        bad(err, at, "must be a state from %u to %u", low, high);
        return false;
    }
    *ret = (uint32_t)state;
    return true;
}

/* Edge i: [candidate, state]. */
static void read_pair(const json_t *pair, Place at, uint32_t i, GenotypeCell *cell, Error *err)
{
    GenotypeEdge *edge = &cell->edge[i];
    int row;

    if (!json_is_array(pair) || json_array_size(pair) != 2) {
        bad(err, at, "must be [candidate, state]");
        return;
    }
    row = candidate_of(json_array_get(pair, 0), below_at(at, 0), err);
    if (row >= 0 && candidate_table[row]->build == NULL)
        bad(err, below_at(at, 0), "must not be %s", candidate_table[row]->described.name);
    edge->candidate = row < 0 ? 0 : (uint32_t)row;
    edge->input = CELL_STATES; /* none, where it is no state */
    if (read_state(json_array_get(pair, 1), below_at(at, 1), 0, i / 2 + 1, &edge->input, err) &&
        i % 2 == 1 && edge->input == cell->edge[i - 1].input)
        bad(err, below_at(at, 1), "must not be that of the node's other edge");
}

static void read_concat(const json_t *list, const char *name, GenotypeCell *cell, Error *err)
{
    Place at = below((Place){ "" }, name);
    uint32_t next = CELL_INPUTS;

    if (list == NULL) { /* all nodes */
        for (; next < CELL_STATES; next++)
            cell->concat[cell->concats++] = next;
        return;
    }
    if (!json_is_array(list) || json_array_size(list) < 1 || json_array_size(list) > CELL_NODES) {
        bad(err, at, "must be a list of 1 to %d states", CELL_NODES);
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (next == CELL_STATES)
            bad(err, below_at(at, i), "must be higher than the one before");
        else if (read_state(json_array_get(list, i), below_at(at, i), next, CELL_STATES - 1, &next,
                            err))
            cell->concat[cell->concats++] = next++;
    }
}

static void read_cell(const json_t *json, int kind, GenotypeCell *cell, Error *err)
{
    static const char *const concat_names[] = { "normal_concat", "reduce_concat" };
    const char *name = genotype_cell_names[kind];
    const json_t *pairs = json_object_get(json, name);
    Place at = below((Place){ "" }, name);

    if (!json_is_array(pairs) || json_array_size(pairs) != GENOTYPE_EDGES)
        bad(err, at, "must be a list of %d [candidate, state]", GENOTYPE_EDGES);
    else
        for (uint32_t i = 0; i < GENOTYPE_EDGES; i++)
            read_pair(json_array_get(pairs, i), below_at(at, i), i, cell, err);
    read_concat(json_object_get(json, concat_names[kind]), concat_names[kind], cell, err);
}

Status genotype_from_json(const json_t *json, Genotype *ret, Error *err)
{
    static const char *const keys[] = { "normal", "normal_concat", "reduce", "reduce_concat",
                                        NULL };
    Genotype made = { 0 };
    Error own = { 0 };

    if (json_is_string(json)) {
        if (genotype_parse(json_string_value(json), &made, &own) != STATUS_OK)
            return error_add(err, own.status, "", "%s", error_message(&own));
    } else if (!json_is_object(json)) {
        return error_add(err, STATUS_INVALID, "",
                         "must be a genotype's name, its text, or an object with \"normal\" and "
                         "\"reduce\"");
    } else {
        refuse_others(json, keys, "normal, normal_concat, reduce, reduce_concat", &own);
        for (int kind = 0; kind < CELL_KINDS; kind++)
            read_cell(json, kind, &made.cell[kind], &own);
    }
    for (uint32_t i = 0; i < own.details; i++)
        (void)error_add(err, own.status, own.detail[i].pointer, "%s", own.detail[i].message);
    if (own.status == STATUS_OK)
        *ret = made;
    return own.status;
}

static Status genotype_text(const json_t *json, char ret[CHOICE_TEXT_MAX], Error *err)
{
    Genotype genotype;
    Status s = genotype_from_json(json, &genotype, err);

    if (s == STATUS_OK && json_is_string(json))
        return take_text(json, ret, err);
    if (s == STATUS_OK)
        genotype_print(&genotype, ret);
    return s;
}

json_t *genotype_json(const Genotype *genotype)
{
    json_t *out = json_object();
    bool failed = false;

    for (int kind = 0; kind < CELL_KINDS; kind++) {
        const GenotypeCell *cell = &genotype->cell[kind];
        json_t *edges = json_array(), *concat = json_array();
        char key[32];

        for (uint32_t i = 0; i < GENOTYPE_EDGES; i++)
            failed |= json_array_append_new(
                          edges, json_pack("[si]",
                                           candidate_table[cell->edge[i].candidate]->described.name,
                                           (int)cell->edge[i].input)) != 0;
        for (uint32_t i = 0; i < cell->concats; i++)
            failed |= json_array_append_new(concat, json_integer(cell->concat[i])) != 0;
        failed |= json_object_set_new(out, genotype_cell_names[kind], edges) != 0;
        snprintf(key, sizeof key, "%s_concat", genotype_cell_names[kind]);
        failed |= json_object_set_new(out, key, concat) != 0;
    }
    if (!failed)
        return out;
    json_decref(out);
    return NULL;
}

/* ---- Which texts these are ---- */

TextReader text_reader(const char *const *names)
{
    const struct {
        const char *const *names;
        TextReader read;
    } rows[] = { { space_names, space_from_json }, { genotype_names, genotype_text } };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (names == rows[i].names)
            return rows[i].read;
    return NULL;
}
