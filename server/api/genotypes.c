/*
 * Genotypes: what searches found and what people sent, each once. A genotype is stored as its text;
 * its other forms are made from that when they are asked for.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/graph/plan.h"
#include "core/nn/network.h"
#include "server/api/api.h"
#include "server/codec/architecture.h"
#include "server/codec/json.h"
#include "server/codec/limits.h"
#include "server/store/genotypes.h"

/* ---- one of them, as JSON ---- */

static json_t *links_json(int64_t id)
{
    static const char *const formats[] = { "darts", "svg", "dot" };
    char link[64];
    json_t *out;

    snprintf(link, sizeof link, "/api/v1/genotypes/%lld", (long long)id);
    out = json_pack("{ss}", "self", link);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        snprintf(link, sizeof link, "/api/v1/genotypes/%lld?format=%s", (long long)id, formats[i]);
        (void)json_object_set_new(out, formats[i], json_string(link));
    }
    return out;
}

/* As it stands in a list. */
static json_t *row_json(const GenotypeRow *row)
{
    return json_pack("{sI ss so so sI sI so so}", "id", (json_int_t)row->id, "text", row->text,
                     "created_at", json_time_ms(row->created_ms), "imported_at",
                     json_time_ms(row->imported_ms), "source_count", (json_int_t)row->sources,
                     "score_count", (json_int_t)row->scores, "accuracy",
                     isnan(row->accuracy) ? json_null() : json_number(row->accuracy), "links",
                     links_json(row->id));
}

static json_t *sources_json(const GenotypeRow *row)
{
    json_t *out = json_array();

    for (size_t i = 0; i < row->source_count; i++)
        (void)json_array_append_new(out, json_pack("{sI sI}", "job", (json_int_t)row->source[i].job,
                                                   "epoch", (json_int_t)row->source[i].epoch));
    return out;
}

static json_t *score_json(const GenotypeScore *score)
{
    return json_pack("{sI so so sI sI so}", "job", (json_int_t)score->job, "accuracy",
                     isnan(score->accuracy) ? json_null() : json_number(score->accuracy),
                     "val_accuracy",
                     isnan(score->val_accuracy) ? json_null() : json_number(score->val_accuracy),
                     "parameters", (json_int_t)score->parameters, "epochs",
                     (json_int_t)score->epochs, "created_at", json_time_ms(score->created_ms));
}

static json_t *scores_json(const GenotypeRow *row)
{
    json_t *out = json_array();

    for (size_t i = 0; i < row->score_count; i++)
        (void)json_array_append_new(out, score_json(&row->score[i]));
    return out;
}

/* Size of the network that papers compare: 36 channels, 20 cells, CIFAR-10, no auxiliary head. */
static Status network_json(const char *text, json_t **ret, Error *err)
{
    const ModelInput input = { .height = 32, .width = 32, .channels = 3, .classes = 10 };
    int row = table_find(model_table, "genotype");
    const Described *model = &model_table[row]->described;
    Network network = { 0 };
    Plan plan = { 0 };
    Choice choice;
    Status s;

    choice_init(model_table, (uint32_t)row, &choice);
    choice.value[param_find(model, "auxiliary")] = 0;
    snprintf(choice.text, sizeof choice.text, "%s", text);
    s = network_init(&network, &choice, &input, err);
    if (s != STATUS_OK)
        return s;
    s = plan_init(&plan, &network.graph,
                  &(PlanSpec){ .images = 1,
                               .output = network.logits,
                               .gradient_to = NODE_NONE,
                               .keep = { NODE_NONE } },
                  err);
    if (s == STATUS_OK)
        *ret =
            json_pack("{si si sI sI}", "channels", (int)choice.value[param_find(model, "channels")],
                      "cells", (int)choice.value[param_find(model, "cells")], "parameters",
                      (json_int_t)graph_parameters(&network.graph), "macs",
                      (json_int_t)llround(plan.forward_flops / 2));
    plan_clear(&plan);
    network_clear(&network);
    return s;
}

/* With its edges, where it came from, what it scored and how large it is. */
static Status whole_json(const GenotypeRow *row, const Genotype *genotype, json_t **ret, Error *err)
{
    json_t *out = row_json(row), *network = NULL;
    Status s = network_json(row->text, &network, err);

    if (s == STATUS_OK && (json_object_update_new(out, genotype_json(genotype)) != 0 ||
                           json_object_set_new(out, "sources", sources_json(row)) != 0 ||
                           json_object_set_new(out, "scores", scores_json(row)) != 0 ||
                           json_object_set(out, "network", network) != 0))
        s = error_set(err, STATUS_NO_MEMORY, "no memory for the genotype");
    json_decref(network);
    if (s == STATUS_OK)
        *ret = out;
    else
        json_decref(out);
    return s;
}

/* ---- looking ---- */

/* The row, which the caller ends, and what its text says. */
static Status load(Api *api, int64_t id, GenotypeRow *ret, Genotype *ret_genotype, Error *err)
{
    Error why = { 0 };
    Status s = store_genotype_get(queue_store(api->queue), id, ret, err);

    if (s != STATUS_OK)
        return s;
    if (genotype_parse(ret->text, ret_genotype, &why) != STATUS_OK) {
        genotype_row_clear(ret);
        return error_set(err, STATUS_CORRUPT, "genotype %lld cannot be read: %s", (long long)id,
                         error_message(&why));
    }
    return STATUS_OK;
}

typedef struct ListQuery {
    char cursor[32];
    uint64_t job;
    uint32_t limit;
} ListQuery;

static const Field list_fields[] = {
    FIELD_U64_ROW(ListQuery, job, "job", 0, 0, 9007199254740991.0,
                  "only what this job found or trained"),
    FIELD_STRING_ROW(ListQuery, cursor, "cursor", 0, "", "`next` of the page before"),
    FIELD_U32_ROW(ListQuery, limit, "limit", LIMIT_PAGE_DEFAULT, 1, LIMIT_PAGE_ITEMS,
                  "items of a page"),
};

/* GET /api/v1/genotypes -- newest first. */
Status api_genotype_list(Api *api, const Request *req, Response *ret, Error *err)
{
    GenotypeFilter filter = { 0 };
    GenotypeList list = { 0 };
    ListQuery query;
    char same[40] = "";
    json_t *items;
    Status s = api_query(req, list_fields, sizeof list_fields / sizeof *list_fields, &query, err);

    if (s == STATUS_OK)
        s = api_cursor(query.cursor, &filter.before, err);
    if (s != STATUS_OK)
        return s;
    filter.job = (int64_t)query.job;
    filter.limit = query.limit;
    s = store_genotype_list(queue_store(api->queue), &filter, &list, err);
    if (s != STATUS_OK)
        return s;
    items = json_array();
    for (size_t i = 0; i < list.count; i++)
        (void)json_array_append_new(items, row_json(&list.items[i]));
    if (filter.job != 0)
        snprintf(same, sizeof same, "&job=%lld", (long long)filter.job);
    s = api_page(ret, items, list.next, "/api/v1/genotypes", query.limit, same, err);
    genotype_list_clear(&list);
    return s;
}

typedef enum Format { FORMAT_JSON, FORMAT_DARTS, FORMAT_SVG, FORMAT_DOT } Format;

static const char *const format_names[] = { "json", "darts", "svg", "dot", NULL };

typedef struct GetQuery {
    uint32_t format;
} GetQuery;

static const Field get_fields[] = {
    FIELD_ENUM_ROW(GetQuery, format, "format", FORMAT_JSON, format_names,
                   "json, the DARTS text, a drawing, or text for Graphviz"),
};

/* Takes `text`. */
static Status text_response(Response *ret, const char *type, char *text, Error *err)
{
    Bytes bytes = { (unsigned char *)text, text == NULL ? 0 : strlen(text) };

    if (text == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the genotype");
    response_bytes(ret, type, &bytes);
    return STATUS_OK;
}

/* The DARTS text, a line. */
static char *line_of(const Genotype *genotype)
{
    char text[GENOTYPE_TEXT_MAX], *line;

    genotype_print(genotype, text);
    return asprintf(&line, "%s\n", text) < 0 ? NULL : line;
}

/* GET /api/v1/genotypes/{id} */
Status api_genotype_get(Api *api, const Request *req, Response *ret, Error *err)
{
    static const struct {
        const char *type;
        char *(*make)(const Genotype *genotype);
    } rows[] = { [FORMAT_DARTS] = { "text/plain; charset=utf-8", line_of },
                 [FORMAT_SVG] = { "image/svg+xml", genotype_svg },
                 [FORMAT_DOT] = { "text/vnd.graphviz", genotype_dot } };
    GenotypeRow row;
    Genotype genotype;
    GetQuery query;
    json_t *json = NULL;
    int64_t id;
    Status s = request_id_param(req, "id", "genotype", &id, err);

    if (s == STATUS_OK)
        s = api_query(req, get_fields, 1, &query, err);
    if (s == STATUS_OK)
        s = load(api, id, &row, &genotype, err);
    if (s != STATUS_OK)
        return s;
    if (rows[query.format].make != NULL)
        s = text_response(ret, rows[query.format].type, rows[query.format].make(&genotype), err);
    else
        s = whole_json(&row, &genotype, &json, err);
    genotype_row_clear(&row);
    return s == STATUS_OK && json != NULL ? response_json(ret, 200, json, err) : s;
}

/* ---- sending one ---- */

static bool is_plain_text(const Request *req)
{
    static const char type[] = "text/plain";
    const char *sent = req->content_type != NULL ? req->content_type : "";
    size_t length = strcspn(sent, "; \t");

    return length == sizeof type - 1 && strncasecmp(sent, type, length) == 0;
}

/* The body as a JSON string: what ?format=darts answered. */
static Status plain_body(const Request *req, json_t **ret, Error *err)
{
    if (req->body_size >= CHOICE_TEXT_MAX)
        return error_set(err, STATUS_INVALID, "a genotype has at most %d bytes",
                         CHOICE_TEXT_MAX - 1);
    *ret = json_stringn(req->body != NULL ? req->body : "", req->body_size);
    if (*ret == NULL || strlen(json_string_value(*ret)) != req->body_size) {
        json_decref(*ret);
        *ret = NULL;
        return error_set(err, STATUS_MALFORMED, "the body is not UTF-8 text");
    }
    return STATUS_OK;
}

/* {"text": "..."}, or the edges. */
static Status read_body(const json_t *body, Genotype *ret, Error *err)
{
    const json_t *text = json_object_get(body, "text");
    Status s;

    if (text == NULL)
        return genotype_from_json(body, ret, err);
    if (json_object_size(body) > 1)
        return error_at(err, STATUS_INVALID, "/text", "says it all: send nothing beside it");
    if (!json_is_string(text))
        return error_at(err, STATUS_INVALID, "/text", "must be a string");
    s = genotype_from_json(text, ret, err);
    if (s != STATUS_OK)
        error_prefix_pointers(err, "/text");
    return s;
}

/* POST /api/v1/genotypes -- 201, or 200 where it was there already. */
Status api_genotype_import(Api *api, const Request *req, Response *ret, Error *err)
{
    char text[GENOTYPE_TEXT_MAX];
    GenotypeRow row = { 0 };
    Genotype genotype;
    json_t *body = NULL, *json = NULL;
    int64_t id = 0;
    bool is_new = false;
    Status s = is_plain_text(req) ? plain_body(req, &body, err) : request_json(req, &body, err);

    if (s == STATUS_OK)
        s = read_body(body, &genotype, err);
    json_decref(body);
    if (s != STATUS_OK)
        return s;
    genotype_print(&genotype, text);
    s = store_genotype_put(queue_store(api->queue), text, 0, 0, &id, &is_new, err);
    if (s == STATUS_OK)
        s = load(api, id, &row, &genotype, err);
    if (s != STATUS_OK)
        return s;
    s = whole_json(&row, &genotype, &json, err);
    genotype_row_clear(&row);
    if (s != STATUS_OK)
        return s;
    response_header(ret, "Location", "/api/v1/genotypes/%lld", (long long)id);
    return response_json(ret, is_new ? 201 : 200, json, err);
}

/* ---- comparing two ---- */

typedef struct CompareQuery {
    uint64_t id[2];
} CompareQuery;

static const char *const side_names[] = { "a", "b" };
static const Field compare_fields[] = {
    FIELD_ID_ROW(CompareQuery, id[0], "a", "a genotype's id"),
    FIELD_ID_ROW(CompareQuery, id[1], "b", "another's"),
};

/* The edges of `cell` whose bits are in `mask`. */
static json_t *edges_json(const GenotypeCell *cell, uint32_t mask)
{
    json_t *out = json_array();

    for (uint32_t i = 0; i < GENOTYPE_EDGES; i++) {
        const GenotypeEdge *edge = &cell->edge[i];

        if ((mask & (1U << i)) != 0)
            (void)json_array_append_new(
                out, json_pack("{ss si si}", "candidate",
                               candidate_table[edge->candidate]->described.name, "from",
                               (int)edge->input, "to", (int)(CELL_INPUTS + i / 2)));
    }
    return out;
}

/* GET /api/v1/genotypes/compare?a=&b= */
Status api_genotype_compare(Api *api, const Request *req, Response *ret, Error *err)
{
    const uint32_t all = (1U << GENOTYPE_EDGES) - 1;
    Genotype genotype[2];
    CompareQuery query;
    uint32_t common = 0;
    json_t *out;
    Status s = api_query(req, compare_fields, 2, &query, err);

    for (int i = 0; i < 2 && s == STATUS_OK; i++) {
        GenotypeRow row = { 0 };

        s = load(api, (int64_t)query.id[i], &row, &genotype[i], err);
        genotype_row_clear(&row);
    }
    if (s != STATUS_OK)
        return s;
    out = json_object();
    for (int i = 0; i < 2; i++)
        (void)json_object_set_new(out, side_names[i], json_integer((json_int_t)query.id[i]));
    for (int kind = 0; kind < CELL_KINDS; kind++) {
        const GenotypeCell *a = &genotype[0].cell[kind], *b = &genotype[1].cell[kind];
        uint32_t in_both = genotype_common(a, b);

        common += (uint32_t)__builtin_popcount(in_both);
        (void)json_object_set_new(out, genotype_cell_names[kind],
                                  json_pack("{so so so}", "common", edges_json(a, in_both),
                                            "only_a", edges_json(a, all & ~in_both), "only_b",
                                            edges_json(b, all & ~genotype_common(b, a))));
    }
    (void)json_object_set_new(out, "common", json_integer(common));
    (void)json_object_set_new(out, "edges", json_integer(CELL_KINDS * GENOTYPE_EDGES));
    return response_json(ret, 200, out, err);
}
