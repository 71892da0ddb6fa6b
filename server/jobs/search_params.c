/*
 * Alphas go to the store as the JSON that GET /jobs/{id}/alphas answers: nine digits bring a float
 * back as it was.
 */
#include "server/jobs/search_params.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/candidate.h"
#include "core/nn/model.h"
#include "server/codec/json.h"
#include "server/store/artefacts.h"
#include "server/store/genotypes.h"

void search_params_spec(const SearchParams *p, SearchSpec *ret)
{
    Choice *model = &ret->train.model;

    choice_init(model_table, (uint32_t)table_find(model_table, "supernet"), model);
    snprintf(model->text, sizeof model->text, "%s", p->space);
    choice_set(model_table, model, "channels", p->channels);
    choice_set(model_table, model, "cells", p->cells);
    choice_set(model_table, model, "attention_in_reduction", p->attention_in_reduction);
    ret->searcher = p->searcher;
    ret->architecture_optimizer = p->alpha_optimizer;
    ret->alpha_start_epoch = p->alpha_start_epoch;
}

/* Where the parameter that the core calls `pointer` is among a job's. */
static const char *own_pointer(const char *pointer)
{
    static const char model[] = "/model";

    if (strcmp(pointer, "/model/partial") == 0)
        return "/searcher/k";
    if (strncmp(pointer, "/model/", sizeof model) == 0)
        return pointer + sizeof model - 1;
    return strcmp(pointer, model) == 0 ? "/space" : pointer;
}

Status search_params_blame(const Error *from, const char *prefix, Error *into)
{
    for (uint32_t i = 0; i < from->details; i++) {
        char pointer[ERROR_POINTER_MAX];

        snprintf(pointer, sizeof pointer, "%s%s", prefix, own_pointer(from->detail[i].pointer));
        (void)error_add(into, from->status, pointer, "%s", from->detail[i].message);
    }
    return from->status;
}

void entropy_values(uint64_t step, const double entropy[CELL_KINDS], MetricValue *values,
                    size_t *count)
{
    static const char *const kinds[CELL_KINDS] = { "normal", "reduce" };

    for (int k = 0; k < CELL_KINDS; k++)
        if (!isnan(entropy[k]))
            values[(*count)++] = run_value("search/entropy", kinds[k], step, entropy[k]);
}

Status run_genotype(JobRun *run, uint32_t epoch, const Genotype *genotype, int64_t *ret_id,
                    Error *err)
{
    char text[GENOTYPE_TEXT_MAX];
    int64_t id = 0;
    Status s;

    genotype_print(genotype, text);
    s = store_genotype_put(run->store, text, run->id, epoch, &id, NULL, err);
    if (s == STATUS_OK && ret_id != NULL)
        *ret_id = id;
    return s;
}

/* --- alphas as JSON --- */

static json_t *floats_json(const float *values, uint32_t count)
{
    json_t *out = json_array();

    for (uint32_t i = 0; i < count; i++)
        (void)json_array_append_new(out, json_number(values[i]));
    return out;
}

static json_t *edge_json(const SearchAlphas *a, int kind, uint32_t node, uint32_t input)
{
    const uint32_t e = cell_first_edge(node) + input;
    const SpaceEdge *edge = &a->space.edge[kind][e];
    json_t *names = json_array();

    for (uint32_t i = 0; i < edge->count; i++)
        (void)json_array_append_new(
            names, json_string(candidate_table[edge->candidate[i]]->described.name));
    return json_pack("{s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "node", (int)(node + CELL_INPUTS),
                     "input", (int)input, "candidates", names, "alpha",
                     floats_json(a->alpha[kind][e], edge->count), "weights",
                     floats_json(a->mixture[kind][e], edge->count), "beta",
                     a->has_betas ? json_number(a->beta[kind][e]) : json_null(), "share",
                     a->has_betas ? json_number(a->share[kind][e]) : json_null());
}

static json_t *cell_json(const SearchAlphas *a, int kind)
{
    json_t *edges = json_array();

    for (uint32_t node = 0; node < CELL_NODES; node++)
        for (uint32_t input = 0; input < node + CELL_INPUTS; input++)
            (void)json_array_append_new(edges, edge_json(a, kind, node, input));
    return json_pack("{s:o, s:o}", "entropy", json_number(search_entropy(a, (CellKind)kind)),
                     "edges", edges);
}

Status run_alphas(JobRun *run, uint32_t epoch, uint64_t step, const SearchAlphas *alphas,
                  Error *err)
{
    json_t *json = json_pack("{s:o, s:o}", "normal", cell_json(alphas, CELL_NORMAL), "reduce",
                             cell_json(alphas, CELL_REDUCE));
    char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9));
    Status s = text == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate the alphas")
                            : store_alphas_put(run->store, run->id, epoch, step, text, err);

    free(text);
    json_decref(json);
    return s;
}
