/* A space with a name is a row that holds its text form: there is one way to write a space down. */
#include "core/nn/space.h"

#include <string.h>

/* clang-format off */
#define SPACES(X)                                                                                  \
    X(s1,                                                                                          \
      "skip_connect,dil_conv_3x3 | skip_connect,dil_conv_5x5 |"                                    \
      "skip_connect,dil_conv_5x5 | skip_connect,sep_conv_3x3 | skip_connect,dil_conv_3x3 |"        \
      "max_pool_3x3,skip_connect | skip_connect,sep_conv_3x3 | skip_connect,sep_conv_3x3 |"        \
      "skip_connect,dil_conv_3x3 |"                                                                \
      "skip_connect,sep_conv_3x3 | max_pool_3x3,skip_connect | skip_connect,dil_conv_3x3 |"        \
      "dil_conv_3x3,dil_conv_5x5 | dil_conv_3x3,dil_conv_5x5 ;"                                    \
      "max_pool_3x3,avg_pool_3x3 | max_pool_3x3,dil_conv_3x3 |"                                    \
      "max_pool_3x3,avg_pool_3x3 | max_pool_3x3,avg_pool_3x3 | skip_connect,dil_conv_5x5 |"        \
      "max_pool_3x3,avg_pool_3x3 | max_pool_3x3,sep_conv_3x3 | skip_connect,dil_conv_3x3 |"        \
      "skip_connect,dil_conv_5x5 |"                                                                \
      "max_pool_3x3,avg_pool_3x3 | max_pool_3x3,avg_pool_3x3 | skip_connect,dil_conv_5x5 |"        \
      "skip_connect,dil_conv_5x5 | skip_connect,dil_conv_5x5")                                     \
    X(s2, "skip_connect,sep_conv_3x3")                                                             \
    X(s3, "none,skip_connect,sep_conv_3x3")                                                        \
    X(s4, "noise,sep_conv_3x3")                                                                    \
    X(s5, "none,max_pool_3x3,avg_pool_3x3,skip_connect,sep_conv_3x3,sep_conv_5x5,dil_conv_3x3,"    \
          "dil_conv_5x5")                                                                          \
    X(s3_se, "none,skip_connect,sep_conv_3x3,se")                                                  \
    X(s3_se_eca, "none,skip_connect,sep_conv_3x3,se,eca")
/* clang-format on */

/* " s1 s2 ...": for messages. */
#define X(name, text) " " #name
static const char space_list[] = SPACES(X);
#undef X

const char *const space_names[] = {
#define X(name, text) #name,
    SPACES(X)
#undef X
        NULL,
};

static const char *const space_texts[] = {
#define X(name, text) text,
    SPACES(X)
#undef X
};

static const char *const kind_names[] = { "normal", "reduction" };

/* A piece of the text: what lies between two separators. */
typedef struct Piece {
    const char *start;
    size_t length;
} Piece;

/* Cuts the first piece off *rest; false where there is none left. Every separator has a piece on
 * either side. */
static bool cut(Piece *rest, char separator, Piece *ret)
{
    const char *end;

    if (rest->start == NULL)
        return false;
    end = memchr(rest->start, separator, rest->length);
    *ret = *rest;
    if (end == NULL) {
        rest->start = NULL;
    } else {
        ret->length = (size_t)(end - rest->start);
        *rest = (Piece){ end + 1, rest->length - ret->length - 1 };
    }
    return true;
}

static Piece trimmed(Piece p)
{
    while (p.length > 0 && *p.start == ' ')
        p = (Piece){ p.start + 1, p.length - 1 };
    while (p.length > 0 && p.start[p.length - 1] == ' ')
        p.length--;
    return p;
}

static int find_candidate(Piece name)
{
    for (int i = 0; candidate_table[i] != NULL; i++) {
        const char *known = candidate_table[i]->described.name;

        if (strlen(known) == name.length && memcmp(known, name.start, name.length) == 0)
            return i;
    }
    return -1;
}

static Status parse_name(Piece name, SpaceEdge *edge, Error *err)
{
    int row = find_candidate(name);
    char known[CANDIDATE_NAMES_MAX];

    candidate_names(known);
    if (row < 0)
        return error_set(err, STATUS_INVALID,
                         "space: \"%.*s\" is no candidate; there are %s; spaces with names:%s",
                         name.length > 20 ? 20 : (int)name.length, name.start, known, space_list);
    for (uint32_t i = 0; i < edge->count; i++)
        if (edge->candidate[i] == (uint32_t)row)
            return error_set(err, STATUS_INVALID, "space: an edge names %s twice",
                             candidate_table[row]->described.name);
    if (edge->count == SPACE_COLUMNS_MAX)
        return error_set(err, STATUS_INVALID, "space: an edge takes at most %d candidates",
                         SPACE_COLUMNS_MAX);
    edge->candidate[edge->count++] = (uint32_t)row;
    return STATUS_OK;
}

/* Whether there is something to choose besides `none`. */
static bool connects(const SpaceEdge *edge)
{
    for (uint32_t i = 0; i < edge->count; i++)
        if (candidate_table[edge->candidate[i]]->build != NULL)
            return true;
    return false;
}

static Status parse_edge(Piece list, SpaceEdge *ret, Error *err)
{
    Piece name;

    *ret = (SpaceEdge){ 0 };
    while (cut(&list, ',', &name)) {
        Status s = parse_name(trimmed(name), ret, err);

        if (s != STATUS_OK)
            return s;
    }
    if (!connects(ret))
        return error_set(err, STATUS_INVALID, "space: an edge needs a candidate besides none");
    return STATUS_OK;
}

static Status parse_kind(Piece lists, CellKind kind, SpaceEdge edge[CELL_EDGES], Error *err)
{
    uint32_t count = 0;
    Piece list;

    for (; cut(&lists, '|', &list); count++) {
        SpaceEdge parsed;
        Status s = parse_edge(list, &parsed, err);

        if (s != STATUS_OK)
            return s;
        if (count < CELL_EDGES)
            edge[count] = parsed;
    }
    if (count != 1 && count != CELL_EDGES)
        return error_set(err, STATUS_INVALID,
                         "space: a list for all %d edges, or one for each, separated by \"|\", is "
                         "wanted; there are %u for %s cells",
                         CELL_EDGES, count, kind_names[kind]);
    for (uint32_t e = count; e < CELL_EDGES; e++)
        edge[e] = edge[0];
    return STATUS_OK;
}

Status space_parse(const char *text, Space *ret, Error *err)
{
    Space made = { 0 };
    Piece rest, kind[CELL_KINDS], further;
    Status s;

    for (int i = 0; space_names[i] != NULL; i++)
        if (strcmp(text, space_names[i]) == 0)
            text = space_texts[i];
    rest = (Piece){ text, strlen(text) };
    (void)cut(&rest, ';', &kind[CELL_NORMAL]);
    if (!cut(&rest, ';', &kind[CELL_REDUCE]))
        kind[CELL_REDUCE] = kind[CELL_NORMAL];
    if (cut(&rest, ';', &further))
        return error_set(
            err, STATUS_INVALID,
            "space: \";\" separates normal and reduction cells; there is no third kind");
    for (int k = 0; k < CELL_KINDS; k++) {
        s = parse_kind(kind[k], (CellKind)k, made.edge[k], err);
        if (s != STATUS_OK)
            return s;
    }
    *ret = made;
    return STATUS_OK;
}

Status space_without_attention(Space *space, Error *err)
{
    for (uint32_t e = 0; e < CELL_EDGES; e++) {
        SpaceEdge *edge = &space->edge[CELL_REDUCE][e], kept = { 0 };

        for (uint32_t i = 0; i < edge->count; i++)
            if (!candidate_table[edge->candidate[i]]->attention)
                kept.candidate[kept.count++] = edge->candidate[i];
        if (!connects(&kept))
            return error_set(err, STATUS_INVALID,
                             "space: edge %u of the reduction cells has attention only; name "
                             "another candidate, or set attention_in_reduction",
                             e);
        *edge = kept;
    }
    return STATUS_OK;
}

uint32_t space_columns(const Space *space, CellKind kind)
{
    uint32_t most = 0;

    for (uint32_t e = 0; e < CELL_EDGES; e++)
        if (space->edge[kind][e].count > most)
            most = space->edge[kind][e].count;
    return most;
}
