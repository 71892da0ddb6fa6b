/* Genotypes and search spaces: their text forms, and what a search's weights say. */
#include "tests/unit/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/genotype.h"

#define DARTS_V2                                                                           \
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "     \
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), " \
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "      \
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), " \
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"

#define PAIRS                                                                            \
    "[('se', 0), ('eca', 1), ('noise', 2), ('se', 1), ('se', 3), ('se', 0), ('se', 4), " \
    "('sep_conv_5x5', 3)]"

static uint32_t candidate(const char *name)
{
    int row = table_find(candidate_table, name);

    assert_true(row >= 0);
    return (uint32_t)row;
}

static void reads_as(const char *text, const char *printed)
{
    char got[GENOTYPE_TEXT_MAX];
    Genotype genotype;
    Error err = { 0 };

    if (genotype_parse(text, &genotype, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    genotype_print(&genotype, got);
    assert_string_equal(got, printed);
}

static void a_genotype_is_printed_as_it_is_read(void **state)
{
    static const char *const same[] = {
        DARTS_V2,
        "Genotype(normal=" PAIRS ", normal_concat=[2, 3, 4, 5], reduce=" PAIRS
        ", reduce_concat=[3, 5])",
    };

    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        reads_as(same[i], same[i]);
    reads_as("darts_v2", DARTS_V2);
}

static void ranges_blanks_and_both_quotes_are_read(void **state)
{
    (void)state;
    reads_as("\tGenotype ( normal =[ (\"sep_conv_3x3\" ,0),('sep_conv_3x3',1),('sep_conv_3x3',0),"
             "('sep_conv_3x3',1),('sep_conv_3x3',1),('skip_connect',0),('skip_connect',0),\n"
             "('dil_conv_3x3',2)],normal_concat=range(2, 6),reduce=[('max_pool_3x3',0),"
             "('max_pool_3x3',1),('skip_connect',2),('max_pool_3x3',1),('max_pool_3x3',0),"
             "('skip_connect',2),('skip_connect',2),(\"max_pool_3x3\",1)],"
             "reduce_concat=range(2,6))  \n",
             DARTS_V2);
    reads_as("Genotype(normal=" PAIRS ", normal_concat=range(3, 5), reduce=" PAIRS
             ", reduce_concat=[2])",
             "Genotype(normal=" PAIRS ", normal_concat=[3, 4], reduce=" PAIRS
             ", reduce_concat=[2])");
}

/* A candidate in the shorthand of the papers' figures: operation and kernel. */
static const char *shorthand(uint32_t row)
{
    static const char *const names[][2] = {
        { "s3", "sep_conv_3x3" }, { "s5", "sep_conv_5x5" }, { "d3", "dil_conv_3x3" },
        { "d5", "dil_conv_5x5" }, { "sk", "skip_connect" }, { "mp", "max_pool_3x3" },
        { "ap", "avg_pool_3x3" },
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (candidate(names[i][1]) == row)
            return names[i][0];
    return "?";
}

/* In shorthand, each with its input. */
static void published_genotypes_are_those_of_the_papers(void **state)
{
    static const struct {
        const char *name, *pairs[CELL_KINDS];
    } rows[] = {
        { "darts_v1",
          { "s3,1 s3,0 sk,0 s3,1 sk,0 s3,1 s3,0 sk,2",
            "mp,0 mp,1 sk,2 mp,0 mp,0 sk,2 sk,2 ap,0" } },
        { "darts_v2",
          { "s3,0 s3,1 s3,0 s3,1 s3,1 sk,0 sk,0 d3,2",
            "mp,0 mp,1 sk,2 mp,1 mp,0 sk,2 sk,2 mp,1" } },
        { "pc_darts",
          { "s3,1 sk,0 s3,0 d3,1 s5,0 s3,1 ap,0 d3,1",
            "s5,1 mp,0 s5,1 s5,2 s3,0 s3,3 s3,1 s3,2" } },
        { "pdarts",
          { "sk,0 d3,1 sk,0 s3,1 s3,1 s3,3 s3,0 d5,4",
            "ap,0 s5,1 s3,0 d5,2 mp,0 d3,1 d3,1 d5,3" } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Genotype g;

        assert_string_equal(genotype_names[i], rows[i].name);
        assert_int_equal(genotype_parse(rows[i].name, &g, NULL), STATUS_OK);
        for (int k = 0; k < CELL_KINDS; k++) {
            char text[64] = "";

            for (uint32_t e = 0; e < GENOTYPE_EDGES; e++)
                snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s,%u",
                         e > 0 ? " " : "", shorthand(g.cell[k].edge[e].candidate),
                         g.cell[k].edge[e].input);
            assert_string_equal(text, rows[i].pairs[k]);
            assert_int_equal(g.cell[k].concats, CELL_NODES);
        }
    }
    assert_null(genotype_names[4]);
}

static void a_bad_genotype_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        { "", "at character 1, the end: darts_v1, darts_v2, pc_darts, pdarts" },
        { "darts_v3", "at character 1: darts_v1" },
        { "__import__('os')", "at character 1: " },
        { "Genotype", "at character 9, the end: ( is wanted" },
        { "Genotype(reduce=[])", "at character 10: normal is wanted" },
        { "Genotype(normal=[])", "at character 18: ( is wanted" },
        { "Genotype(normal=[(sep_conv_3x3, 0)", "at character 19: ' is wanted" },
        { "Genotype(normal=[('none', 0)",
          "at character 20: a candidate is wanted here: none, max_" },
        { "Genotype(normal=[('sep_conv_3x3x', 0)", "at character 20: a candidate" },
        { "Genotype(normal=[('sep_conv_3x3\", 0)", "at character 20: a candidate" },
        { "Genotype(normal=[('se'; 0)", "at character 23: , is wanted" },
        { "Genotype(normal=[('se', x)", "at character 25: a state from 0 to 1" },
        { "Genotype(normal=[('se', 2)", "at character 25: a state from 0 to 1" },
        { "Genotype(normal=[('se', 01)", "at character 25: a state from 0 to 1" },
        { "Genotype(normal=[('se', -1)", "at character 25: a state from 0 to 1" },
        { "Genotype(normal=[('se', 0), ('eca', 0)", "at character 37: both edges of a node come" },
        { "Genotype(normal=" PAIRS ", normal_concat=[])", "a state from 2 to 5" },
        { "Genotype(normal=" PAIRS ", normal_concat=[1, 2])", "a state from 2 to 5" },
        { "Genotype(normal=" PAIRS ", normal_concat=[2, 2])", "a state from 3 to 5" },
        { "Genotype(normal=" PAIRS ", normal_concat=[5, 6])", "] is wanted" },
        { "Genotype(normal=" PAIRS ", normal_concat=[2, 6])", "a state from 3 to 5" },
        { "Genotype(normal=" PAIRS ", normal_concat=range(3, 3),", "a range's end from 4 to 6" },
        { "Genotype(normal=" PAIRS ", normal_concat=range(2, 7),", "a range's end from 3 to 6" },
        { "Genotype(normal=[('se', 0), ('eca', 1)], normal_concat",
          "at character 39: , is wanted" },
        { DARTS_V2 " or 1", "the text should end here" },
        { DARTS_V2 ")", "the text should end here" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Genotype g;
        Error err = { 0 };

        if (genotype_parse(rows[i].text, &g, &err) != STATUS_INVALID ||
            strstr(error_message(&err), rows[i].says) == NULL)
            fail_msg("row %zu: %s: %s", i, status_name(err.status), error_message(&err));
    }
}

/* The text may be a client's: cut short or with any byte changed, it is refused or read, and no
 * more. */
static void a_damaged_genotype_is_no_crash(void **state)
{
    char text[] = DARTS_V2;
    Genotype g;

    (void)state;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        char kept = text[i];

        text[i] = '\0';
        assert_int_equal(genotype_parse(text, &g, NULL), STATUS_INVALID);
        for (int byte = 1; byte < 256; byte += 3) {
            text[i] = (char)byte;
            if (genotype_parse(text, &g, NULL) == STATUS_OK)
                genotype_print(&g, (char[GENOTYPE_TEXT_MAX]){ 0 });
        }
        text[i] = kept;
    }
}

/* ---- Deriving ---- */

/* Alphas of a space, after the softmax, all the same at first. */
typedef struct Weights {
    Space space;
    real alpha[CELL_KINDS][CELL_EDGES * SPACE_COLUMNS_MAX], beta[CELL_KINDS][CELL_EDGES];
} Weights;

static Weights weights_of(const char *space)
{
    Weights w;

    assert_int_equal(space_parse(space, &w.space, NULL), STATUS_OK);
    for (int k = 0; k < CELL_KINDS; k++)
        for (uint32_t i = 0; i < CELL_EDGES * SPACE_COLUMNS_MAX; i++)
            w.alpha[k][i] = (real)0.125;
    for (int k = 0; k < CELL_KINDS; k++)
        for (uint32_t i = 0; i < CELL_EDGES; i++)
            w.beta[k][i] = (real)0.25;
    return w;
}

static void set(Weights *w, CellKind kind, uint32_t edge, uint32_t column, double value)
{
    w->alpha[kind][edge * space_columns(&w->space, kind) + column] = (real)value;
}

static void derives(const Weights *w, bool betas, const char *want)
{
    GenotypeWeights weights = { { w->alpha[0], w->alpha[1] }, { NULL, NULL } };
    Genotype genotype;
    char text[GENOTYPE_TEXT_MAX];

    for (int k = 0; k < CELL_KINDS && betas; k++)
        weights.beta[k] = w->beta[k];
    genotype_derive(&weights, &w->space, &genotype);
    genotype_print(&genotype, text);
    assert_string_equal(text, want);
    assert_int_equal(genotype_parse(text, &genotype, NULL), STATUS_OK);
}

#define TIES(op)                                                                        \
    "[('" op "', 0), ('" op "', 1), ('" op "', 0), ('" op "', 1), ('" op "', 0), ('" op \
    "', 1), ('" op "', 0), ('" op "', 1)]"
#define WITH(normal, reduce)                                                 \
    "Genotype(normal=" normal ", normal_concat=[2, 3, 4, 5], reduce=" reduce \
    ", reduce_concat=[2, 3, 4, 5])"

static void ties_go_to_the_lower_state_and_the_first_candidate(void **state)
{
    Weights w = weights_of("s5");

    (void)state;
    derives(&w, false, WITH(TIES("max_pool_3x3"), TIES("max_pool_3x3")));
    derives(&w, true, WITH(TIES("max_pool_3x3"), TIES("max_pool_3x3")));
    w = weights_of("skip_connect,sep_conv_3x3;sep_conv_3x3,skip_connect");
    derives(&w, false, WITH(TIES("skip_connect"), TIES("sep_conv_3x3")));
    w = weights_of("s1");
    derives(&w, false,
            WITH("[('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 0), ('skip_connect', "
                 "1), ('max_pool_3x3', 0), ('skip_connect', 1), ('skip_connect', 0), "
                 "('max_pool_3x3', 1)]",
                 TIES("max_pool_3x3")));
}

static void the_strongest_edges_besides_none_are_kept_strongest_first(void **state)
{
    Weights w = weights_of("s5");

    (void)state;
    set(&w, CELL_NORMAL, 0, 0, 0.9); /* none: says nothing about its edge */
    set(&w, CELL_NORMAL, 1, 4, 0.3); /* node 2: state 1 before state 0 */
    set(&w, CELL_NORMAL, 4, 7, 0.2); /* node 3: state 2 before state 0 (tied with 1) */
    set(&w, CELL_NORMAL, 6, 5, 0.4); /* node 4: states 1 and 3, tied: 1 first */
    set(&w, CELL_NORMAL, 8, 6, 0.4); /* */
    set(&w, CELL_NORMAL, 8, 7, 0.4); /* the first maximum */
    set(&w, CELL_NORMAL, 9, 3, 0.2); /* node 5: three above the rest, the weakest goes */
    set(&w, CELL_NORMAL, 12, 2, 0.5);
    set(&w, CELL_NORMAL, 13, 3, 0.21);
    derives(&w, false,
            WITH("[('sep_conv_3x3', 1), ('max_pool_3x3', 0), ('dil_conv_5x5', 2), ('max_pool_3x3', "
                 "0), ('sep_conv_5x5', 1), ('dil_conv_3x3', 3), ('avg_pool_3x3', 3), "
                 "('skip_connect', 4)]",
                 TIES("max_pool_3x3")));
}

static void betas_weigh_edges_but_not_candidates(void **state)
{
    Weights w = weights_of("s3");

    (void)state;
    set(&w, CELL_REDUCE, 3, 2, 0.3); /* node 3, state 1: 0.3 x 0.1 */
    w.beta[CELL_REDUCE][3] = (real)0.1;
    w.beta[CELL_REDUCE][4] = (real)0.3;  /* state 2: 0.125 x 0.3 */
    w.beta[CELL_REDUCE][2] = (real)0.25; /* state 0: 0.125 x 0.25 */
    derives(&w, true,
            WITH(TIES("skip_connect"),
                 "[('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 2), ('skip_connect', "
                 "0), ('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 0), "
                 "('skip_connect', 1)]"));
    derives(&w, false,
            WITH(TIES("skip_connect"),
                 "[('skip_connect', 0), ('skip_connect', 1), ('sep_conv_3x3', 1), ('skip_connect', "
                 "0), ('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 0), "
                 "('skip_connect', 1)]"));
}

static void weights_that_are_no_numbers_still_give_a_legal_genotype(void **state)
{
    Weights w = weights_of("s5");

    (void)state;
    for (uint32_t i = 0; i < CELL_EDGES * SPACE_COLUMNS_MAX; i++)
        w.alpha[CELL_NORMAL][i] = (real)NAN;
    derives(&w, true, WITH(TIES("max_pool_3x3"), TIES("max_pool_3x3")));
}

/* ---- Comparing and drawing ---- */

static Genotype named(const char *name)
{
    Genotype ret;

    assert_int_equal(genotype_parse(name, &ret, NULL), STATUS_OK);
    return ret;
}

static void a_genotype_has_all_its_edges_in_common_with_itself(void **state)
{
    (void)state;
    for (int i = 0; genotype_names[i] != NULL; i++) {
        Genotype g = named(genotype_names[i]);

        for (int k = 0; k < CELL_KINDS; k++)
            assert_int_equal(genotype_common(&g.cell[k], &g.cell[k]), 0xff);
    }
}

/* darts_v1 and darts_v2, pair by pair: s3,1 s3,0 sk,0 s3,1 sk,0 s3,1 s3,0 sk,2 against s3,0 s3,1
 * s3,0 s3,1 s3,1 sk,0 sk,0 d3,2. */
static void common_edges_are_counted_by_node_whatever_their_order(void **state)
{
    Genotype a = named("darts_v1"), b = named("darts_v2");

    (void)state;
    assert_int_equal(genotype_common(&a.cell[CELL_NORMAL], &b.cell[CELL_NORMAL]), 0x3b);
    assert_int_equal(genotype_common(&b.cell[CELL_NORMAL], &a.cell[CELL_NORMAL]), 0x3b);
    assert_int_equal(genotype_common(&a.cell[CELL_REDUCE], &b.cell[CELL_REDUCE]), 0x77);
}

static uint32_t count_of(const char *text, const char *what)
{
    uint32_t count = 0;

    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what))
        count++;
    return count;
}

static void graphviz_gets_every_edge_and_every_output(void **state)
{
    Genotype g = named("pc_darts");
    char *text = genotype_dot(&g);

    (void)state;
    assert_non_null(text);
    assert_int_equal(strncmp(text, "digraph genotype {", 18), 0);
    assert_int_equal(text[strlen(text) - 2], '}');
    assert_int_equal(count_of(text, "{"), count_of(text, "}"));
    assert_int_equal(count_of(text, " -> "), CELL_KINDS * (GENOTYPE_EDGES + CELL_NODES));
    assert_non_null(strstr(text, "normal_3 [label=\"1\"];"));
    assert_non_null(strstr(text, "normal_1 -> normal_3 [label=\"dil_conv_3x3\"];"));
    assert_non_null(strstr(text, "reduce_3 -> reduce_4 [label=\"sep_conv_3x3\"];"));
    assert_non_null(strstr(text, "reduce_5 -> reduce_out [style=dashed];"));
    free(text);
}

/* Every candidate's name stands on its arc's apex; none lies on another. */
static void a_drawing_has_every_name_in_a_place_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; genotype_names[i] != NULL; i++) {
        Genotype g = named(genotype_names[i]);
        char *text = genotype_svg(&g);
        int x[64], y[64], count = 0;

        assert_non_null(text);
        assert_int_equal(strncmp(text, "<svg xmlns=", 11), 0);
        assert_non_null(strstr(text, "</svg>\n"));
        assert_int_equal(count_of(text, "<path"),
                         1 + CELL_KINDS * (GENOTYPE_EDGES + CELL_NODES)); /* an arrow's head */
        assert_int_equal(count_of(text, "stroke-dasharray"), CELL_KINDS * CELL_NODES);
        assert_null(strstr(text, "style="));
        for (const char *at = text; (at = strstr(at, "font-size=\"12\"")) != NULL; at++) {
            const char *tag = at;

            while (*tag != '<')
                tag--;
            assert_int_equal(sscanf(tag, "<text x=\"%d\" y=\"%d\"", &x[count], &y[count]), 2);
            for (int j = 0; j < count; j++)
                assert_true(abs(x[j] - x[count]) >= 96 || abs(y[j] - y[count]) >= 18);
            count++;
        }
        assert_int_equal(count, CELL_KINDS * GENOTYPE_EDGES);
        free(text);
    }
}

/* ---- Spaces ---- */

static void edge_is(const Space *s, CellKind kind, uint32_t edge, const char *names)
{
    char text[256] = "";

    for (uint32_t i = 0; i < s->edge[kind][edge].count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i > 0 ? "," : "",
                 candidate_table[s->edge[kind][edge].candidate[i]]->described.name);
    assert_string_equal(text, names);
}

static void spaces_have_their_lists(void **state)
{
    static const struct {
        const char *name, *normal, *reduce; /* edges 5 and 13 of the normal, 2 and 6 of the other */
        const char *normal_13, *reduce_6;
        uint32_t columns;
    } rows[] = {
        { "s1", "max_pool_3x3,skip_connect", "max_pool_3x3,avg_pool_3x3",
          "dil_conv_3x3,dil_conv_5x5", "max_pool_3x3,sep_conv_3x3", 2 },
        { "s2", "skip_connect,sep_conv_3x3", NULL, NULL, NULL, 2 },
        { "s3", "none,skip_connect,sep_conv_3x3", NULL, NULL, NULL, 3 },
        { "s4", "noise,sep_conv_3x3", NULL, NULL, NULL, 2 },
        { "s5",
          "none,max_pool_3x3,avg_pool_3x3,skip_connect,sep_conv_3x3,sep_conv_5x5,dil_conv_3x3,"
          "dil_conv_5x5",
          NULL, NULL, NULL, 8 },
        { "s3_se", "none,skip_connect,sep_conv_3x3,se", NULL, NULL, NULL, 4 },
        { "s3_se_eca", "none,skip_connect,sep_conv_3x3,se,eca", NULL, NULL, NULL, 5 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Space s;

        assert_string_equal(space_names[i], rows[i].name);
        assert_int_equal(space_parse(rows[i].name, &s, NULL), STATUS_OK);
        assert_int_equal(space_columns(&s, CELL_NORMAL), rows[i].columns);
        assert_int_equal(space_columns(&s, CELL_REDUCE), rows[i].columns);
        edge_is(&s, CELL_NORMAL, 5, rows[i].normal);
        edge_is(&s, CELL_REDUCE, 2, rows[i].reduce ? rows[i].reduce : rows[i].normal);
        edge_is(&s, CELL_NORMAL, 13, rows[i].normal_13 ? rows[i].normal_13 : rows[i].normal);
        edge_is(&s, CELL_REDUCE, 6, rows[i].reduce_6 ? rows[i].reduce_6 : rows[i].normal);
    }
    assert_null(space_names[7]);
}

/* In the papers' shorthand, the 14 edges in order. */
static void s1_has_its_candidates_edge_by_edge(void **state)
{
    static const char *const want[CELL_KINDS] = {
        "sk,d3|sk,d5|sk,d5|sk,s3|sk,d3|mp,sk|sk,s3|sk,s3|sk,d3|sk,s3|mp,sk|sk,d3|d3,d5|d3,d5|",
        "mp,ap|mp,d3|mp,ap|mp,ap|sk,d5|mp,ap|mp,s3|sk,d3|sk,d5|mp,ap|mp,ap|sk,d5|sk,d5|sk,d5|",
    };
    Space s;

    (void)state;
    assert_int_equal(space_parse("s1", &s, NULL), STATUS_OK);
    for (int k = 0; k < CELL_KINDS; k++) {
        char text[128] = "";

        for (uint32_t e = 0; e < CELL_EDGES; e++)
            for (uint32_t i = 0; i < s.edge[k][e].count; i++)
                snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s",
                         shorthand(s.edge[k][e].candidate[i]),
                         i + 1 < s.edge[k][e].count ? "," : "|");
        assert_string_equal(text, want[k]);
    }
}

static void a_space_of_ones_own_may_differ_from_edge_to_edge(void **state)
{
    Space s;

    (void)state;
    assert_int_equal(
        space_parse("se| skip_connect , none |se|se|se|se|se|se|se|se|se|se|se|none,se,eca;noise",
                    &s, NULL),
        STATUS_OK);
    edge_is(&s, CELL_NORMAL, 0, "se");
    edge_is(&s, CELL_NORMAL, 1, "skip_connect,none");
    edge_is(&s, CELL_NORMAL, 13, "none,se,eca");
    edge_is(&s, CELL_REDUCE, 13, "noise");
    assert_int_equal(space_columns(&s, CELL_NORMAL), 3);
    assert_int_equal(space_columns(&s, CELL_REDUCE), 1);
}

static void a_bad_space_is_refused(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        { "",
          "\"\" is no candidate; there are none, max_pool_3x3, avg_pool_3x3, skip_connect, sep_c" },
        { "s6", "\"s6\" is no candidate" },
        { "none,conv_3x3", "\"conv_3x3\" is no candidate" },
        { "none,", "\"\" is no candidate" },
        { "none,none", "names none twice" },
        { "none", "besides none" },
        { "se|eca", "there are 2 for normal cells" },
        { "se;eca|eca|eca", "there are 3 for reduction cells" },
        { "se|se|se|se|se|se|se|se|se|se|se|se|se|se|se", "there are 15 for normal cells" },
        { "se;", "\"\" is no candidate" },
        { "se;se;se", "no third kind" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Space s;
        Error err = { 0 };

        if (space_parse(rows[i].text, &s, &err) != STATUS_INVALID ||
            strstr(error_message(&err), rows[i].says) == NULL)
            fail_msg("row %zu: %s: %s", i, status_name(err.status), error_message(&err));
    }
}

static void a_damaged_space_is_no_crash(void **state)
{
    char text[] =
        "none,se|eca|se|se|se|se|se|se|se|se|se|se|se| skip_connect ,noise;max_pool_3x3,se";
    Space s;

    (void)state;
    assert_int_equal(space_parse(text, &s, NULL), STATUS_OK);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        static const char bytes[] = { '\0', ',', '|', ';', ' ', 's', '\xff' };
        char kept = text[i];

        for (size_t b = 0; b < sizeof bytes; b++) {
            text[i] = bytes[b];
            if (space_parse(text, &s, NULL) == STATUS_OK)
                assert_in_range(space_columns(&s, CELL_NORMAL), 1, SPACE_COLUMNS_MAX);
        }
        text[i] = kept;
    }
}

static void attention_can_be_kept_out_of_reduction_cells(void **state)
{
    Space s;
    Error err = { 0 };

    (void)state;
    assert_int_equal(space_parse("s3_se_eca", &s, NULL), STATUS_OK);
    assert_int_equal(space_without_attention(&s, NULL), STATUS_OK);
    edge_is(&s, CELL_NORMAL, 3, "none,skip_connect,sep_conv_3x3,se,eca");
    edge_is(&s, CELL_REDUCE, 3, "none,skip_connect,sep_conv_3x3");
    assert_int_equal(space_parse("se,eca,none", &s, NULL), STATUS_OK);
    assert_int_equal(space_without_attention(&s, &err), STATUS_INVALID);
    assert_non_null(strstr(error_message(&err), "attention_in_reduction"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_genotype_is_printed_as_it_is_read),
        cmocka_unit_test(ranges_blanks_and_both_quotes_are_read),
        cmocka_unit_test(published_genotypes_are_those_of_the_papers),
        cmocka_unit_test(a_bad_genotype_is_refused_with_its_place),
        cmocka_unit_test(a_damaged_genotype_is_no_crash),
        cmocka_unit_test(ties_go_to_the_lower_state_and_the_first_candidate),
        cmocka_unit_test(the_strongest_edges_besides_none_are_kept_strongest_first),
        cmocka_unit_test(betas_weigh_edges_but_not_candidates),
        cmocka_unit_test(weights_that_are_no_numbers_still_give_a_legal_genotype),
        cmocka_unit_test(a_genotype_has_all_its_edges_in_common_with_itself),
        cmocka_unit_test(common_edges_are_counted_by_node_whatever_their_order),
        cmocka_unit_test(graphviz_gets_every_edge_and_every_output),
        cmocka_unit_test(a_drawing_has_every_name_in_a_place_of_its_own),
        cmocka_unit_test(spaces_have_their_lists),
        cmocka_unit_test(s1_has_its_candidates_edge_by_edge),
        cmocka_unit_test(a_space_of_ones_own_may_differ_from_edge_to_edge),
        cmocka_unit_test(a_bad_space_is_refused),
        cmocka_unit_test(a_damaged_space_is_no_crash),
        cmocka_unit_test(attention_can_be_kept_out_of_reduction_cells),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
