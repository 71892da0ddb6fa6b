/*
 * Alphas and betas by their names, in memory or in a file, and what they say. The softmax is taken
 * in double and rounded as the network's numbers are, so that equal alphas tie.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/search/searcher.h"

static const char *const alpha_names[CELL_KINDS] = { "alphas_normal", "alphas_reduce" };
static const char *const beta_names[CELL_KINDS] = { "betas_normal", "betas_reduce" };

Status supernet_space(const Choice *model, Space *ret, Error *err)
{
    Error why = { 0 };
    Status s;

    if (strcmp(model_table[model->row]->described.name, "supernet") != 0)
        return error_at(err, STATUS_INVALID, "/model",
                        "%s has no architecture to search: take a supernet",
                        model_table[model->row]->described.name);
    s = space_parse(model->text, ret, &why);
    if (s == STATUS_OK && choice_value(model_table, model, "attention_in_reduction") == 0)
        s = space_without_attention(ret, &why);
    return s == STATUS_OK ? s : error_at(err, s, "/model/space", "%s", error_message(&why));
}

static void softmax(uint32_t count, const float *x, float *ret)
{
    double top = (double)x[0], sum = 0;

    for (uint32_t i = 1; i < count; i++)
        top = fmax(top, (double)x[i]);
    for (uint32_t i = 0; i < count; i++)
        sum += exp((double)x[i] - top);
    for (uint32_t i = 0; i < count; i++)
        ret[i] = (float)(exp((double)x[i] - top) / sum);
}

/* What follows from alphas and betas. */
static void mix(SearchAlphas *a)
{
    for (int k = 0; k < CELL_KINDS; k++) {
        for (uint32_t e = 0; e < CELL_EDGES; e++) {
            softmax(a->space.edge[k][e].count, a->alpha[k][e], a->mixture[k][e]);
            a->share[k][e] = 1;
        }
        for (uint32_t node = 0; node < CELL_NODES && a->has_betas; node++)
            softmax(node + CELL_INPUTS, a->beta[k] + cell_first_edge(node),
                    a->share[k] + cell_first_edge(node));
    }
}

static SearchAlphas of_space(const Space *space)
{
    SearchAlphas a = { .space = *space };

    for (int k = 0; k < CELL_KINDS; k++)
        a.columns[k] = space_columns(space, (CellKind)k);
    return a;
}

/* [14, columns] numbers into the rows of kind k. */
static void put_alphas(SearchAlphas *a, int k, const float *from)
{
    for (uint32_t e = 0; e < CELL_EDGES; e++)
        memcpy(a->alpha[k][e], from + e * a->columns[k], a->columns[k] * sizeof *from);
}

/* ---- In memory ---- */

/* The weight's numbers in the order of a file; false where there is no such weight. */
static bool numbers_of(const Network *n, const real *numbers, const char *name,
                       float ret[CELL_EDGES * SPACE_COLUMNS_MAX])
{
    for (uint32_t i = 0; i < n->graph.weights; i++) {
        const GraphWeight *w = &n->graph.weight[i];

        if (strcmp(w->name, name) != 0)
            continue;
        weight_to_disk(w, numbers + w->offset, ret);
        return true;
    }
    return false;
}

void supernet_alphas(const Network *network, const Space *space, const real *numbers,
                     SearchAlphas *ret)
{
    float read[CELL_EDGES * SPACE_COLUMNS_MAX];
    SearchAlphas a = of_space(space);

    for (int k = 0; k < CELL_KINDS; k++) {
        if (numbers_of(network, numbers, alpha_names[k], read))
            put_alphas(&a, k, read);
        a.has_betas = numbers_of(network, numbers, beta_names[k], read);
        if (a.has_betas)
            memcpy(a.beta[k], read, sizeof a.beta[k]);
    }
    mix(&a);
    *ret = a;
}

/* ---- In a file ---- */

static Status find(const StFile *file, const char *name, uint64_t count, const float **ret,
                   Error *err)
{
    const StTensor *t = safetensors_find(file, name);

    if (t == NULL || t->dtype != ST_F32 || t->count != count)
        return error_set(err, STATUS_CORRUPT, "the checkpoint lacks \"%s\" with %llu numbers", name,
                         (unsigned long long)count);
    *ret = t->data;
    return STATUS_OK;
}

static Status read_kind(const StFile *file, int k, SearchAlphas *a, Error *err)
{
    const float *numbers = NULL;
    Status s = find(file, alpha_names[k], (uint64_t)CELL_EDGES * a->columns[k], &numbers, err);

    if (s != STATUS_OK)
        return s;
    put_alphas(a, k, numbers);
    if (!a->has_betas)
        return STATUS_OK;
    s = find(file, beta_names[k], CELL_EDGES, &numbers, err);
    if (s == STATUS_OK)
        memcpy(a->beta[k], numbers, sizeof a->beta[k]);
    return s;
}

static Status check_finite(const SearchAlphas *a, Error *err)
{
    for (int k = 0; k < CELL_KINDS; k++)
        for (uint32_t e = 0; e < CELL_EDGES; e++) {
            bool finite = isfinite(a->beta[k][e]);

            for (uint32_t c = 0; c < a->columns[k]; c++)
                finite = finite && isfinite(a->alpha[k][e][c]);
            if (!finite)
                return error_set(err, STATUS_CORRUPT,
                                 "the checkpoint's \"%s\" are not finite on edge %u",
                                 alpha_names[k], e);
        }
    return STATUS_OK;
}

static Status read_file(const StFile *file, SearchAlphas *ret, Error *err)
{
    Network network = { 0 };
    Space space;
    Status s = network_describe(&network, file, err);

    if (s != STATUS_OK)
        return s;
    s = supernet_space(&network.model, &space, err);
    if (s == STATUS_OK) {
        SearchAlphas a = of_space(&space);

        a.has_betas = choice_value(model_table, &network.model, "partial") > 1;
        for (int k = 0; k < CELL_KINDS && s == STATUS_OK; k++)
            s = read_kind(file, k, &a, err);
        if (s == STATUS_OK)
            s = check_finite(&a, err);
        if (s == STATUS_OK) {
            mix(&a);
            *ret = a;
        }
    }
    network_clear(&network);
    return s;
}

Status search_read_alphas(const char *path, SearchAlphas *ret, Error *err)
{
    StFile *file = NULL;
    Status s = safetensors_open(path, &file, err);

    if (s == STATUS_OK)
        s = read_file(file, ret, err);
    safetensors_close(file);
    return s;
}

/* ---- What they say ---- */

double search_entropy(const SearchAlphas *a, CellKind kind)
{
    double sum = 0;

    for (uint32_t e = 0; e < CELL_EDGES; e++)
        for (uint32_t c = 0; c < a->space.edge[kind][e].count; c++) {
            const double p = (double)a->mixture[kind][e][c];

            sum -= p > 0 ? p * log(p) : 0;
        }
    return sum / CELL_EDGES;
}

void search_derive(const SearchAlphas *a, Genotype *ret)
{
    real alpha[CELL_KINDS][CELL_EDGES * SPACE_COLUMNS_MAX], beta[CELL_KINDS][CELL_EDGES];
    GenotypeWeights weights;

    for (int k = 0; k < CELL_KINDS; k++) {
        for (uint32_t e = 0; e < CELL_EDGES; e++) {
            for (uint32_t c = 0; c < a->columns[k]; c++)
                alpha[k][e * a->columns[k] + c] = (real)a->mixture[k][e][c];
            beta[k][e] = (real)a->share[k][e];
        }
        weights.alpha[k] = alpha[k];
        weights.beta[k] = a->has_betas ? beta[k] : NULL;
    }
    genotype_derive(&weights, &a->space, ret);
}
