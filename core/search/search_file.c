/*
 * A search's checkpoint is its trainer's, with the architecture's optimiser under "alpha.", and
 * these rows in the metadata: what searches, which network in turn this is, and what is found.
 * Numbers that go on being computed with are written in hexadecimal.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/search/searcher.h"

enum { READING_TEXT_MAX = 32, READINGS_TEXT_MAX = READINGS_MAX * READING_TEXT_MAX };

/* ---- Writing ---- */

static void describe_searcher(const Search *s, NetworkMeta *meta)
{
    const Described *d = &s->searcher->described;
    char key[64];

    network_meta_add(meta, "search.searcher", "%s", d->name);
    for (uint32_t i = 0; i < d->count; i++) {
        snprintf(key, sizeof key, "search.searcher.%.32s", d->params[i].name);
        network_meta_add(meta, key, "%.17g", s->spec.searcher.value[i]);
    }
    network_meta_add(meta, "search.optimizer", "%s",
                     optimizer_table[s->spec.architecture_optimizer.row]->described.name);
}

/* "nan" is one, too. */
static void print_readings(const Search *s, char ret[READINGS_TEXT_MAX])
{
    size_t used = 0;

    ret[0] = '\0';
    for (uint32_t i = 0; i < s->readings; i++)
        used += (size_t)snprintf(ret + used, READINGS_TEXT_MAX - used, i == 0 ? "%a" : " %a",
                                 s->reading[i]);
}

void search_describe(const void *search, NetworkMeta *meta)
{
    const Search *s = search;
    char text[GENOTYPE_TEXT_MAX], readings[READINGS_TEXT_MAX];

    genotype_print(&s->result.genotype, text);
    print_readings(s, readings);
    describe_searcher(s, meta);
    network_meta_add(meta, "search.round", "%u", s->round);
    network_meta_add(meta, "search.genotype", "%s", text);
    network_meta_add(meta, "search.epoch", "%u", s->result.epoch);
    network_meta_add(meta, "search.early_stopped", "%d", (int)s->result.early_stopped);
    network_meta_add(meta, "search.best", "%a", s->best);
    network_meta_add(meta, "search.eigenvalues", "%s", readings);
}

Status search_save(Search *s, const char *path, Error *err)
{
    return trainer_save(s->trainer, path, err);
}

/* ---- Reading ---- */

/* What the rows say. */
typedef struct Found {
    uint32_t round;
    SearchResult result;
    double best, reading[READINGS_MAX];
    uint32_t readings;
} Found;

static Status missing(const char *key, Error *err)
{
    return error_set(err, STATUS_CORRUPT, "the checkpoint's metadata has no \"%s\" of a search",
                     key);
}

static Status read_count(const StFile *file, const char *key, uint32_t most, uint32_t *ret,
                         Error *err)
{
    const char *text = safetensors_metadata(file, key);
    char *end = NULL;
    unsigned long long value;

    if (text == NULL || text[0] < '0' || text[0] > '9')
        return missing(key, err);
    value = strtoull(text, &end, 10);
    if (*end != '\0' || value > most)
        return missing(key, err);
    *ret = (uint32_t)value;
    return STATUS_OK;
}

static Status read_genotype(const StFile *file, Genotype *ret, Error *err)
{
    const char *text = safetensors_metadata(file, "search.genotype");
    Error why = { 0 };

    if (text == NULL)
        return missing("search.genotype", err);
    if (genotype_parse(text, ret, &why) != STATUS_OK)
        return error_set(err, STATUS_CORRUPT, "the checkpoint's \"search.genotype\": %.200s",
                         error_message(&why));
    return STATUS_OK;
}

static Status read_result(const StFile *file, SearchResult *ret, Error *err)
{
    uint32_t early = 0;
    Status s = read_genotype(file, &ret->genotype, err);

    if (s == STATUS_OK)
        s = read_count(file, "search.epoch", UINT32_MAX, &ret->epoch, err);
    if (s == STATUS_OK)
        s = read_count(file, "search.early_stopped", 1, &early, err);
    ret->early_stopped = early != 0;
    return s;
}

static Status read_numbers(const StFile *file, Found *ret, Error *err)
{
    const char *best = safetensors_metadata(file, "search.best"),
               *at = safetensors_metadata(file, "search.eigenvalues");
    char *end = NULL;

    if (best == NULL || at == NULL)
        return missing(best == NULL ? "search.best" : "search.eigenvalues", err);
    ret->best = strtod(best, &end);
    if (end == best || *end != '\0')
        return missing("search.best", err);
    for (; *at != '\0'; at = end) {
        if (ret->readings == READINGS_MAX)
            return missing("search.eigenvalues", err);
        ret->reading[ret->readings++] = strtod(at, &end);
        if (end == at)
            return missing("search.eigenvalues", err);
    }
    return STATUS_OK;
}

/* The searcher's rows, which must be those of this search. */
static Status same_searcher(const Search *s, const StFile *file, Error *err)
{
    NetworkMeta *meta = calloc(1, sizeof *meta);
    Status status = STATUS_OK;

    if (meta == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a checkpoint's index");
    describe_searcher(s, meta);
    for (uint32_t i = 0; i < meta->count && status == STATUS_OK; i++) {
        const char *have = safetensors_metadata(file, meta->row[i].key);

        if (have == NULL || strcmp(have, meta->row[i].value) != 0)
            status = error_set(
                err, STATUS_INVALID, "the checkpoint's \"%s\" is \"%.40s\", this job's is \"%s\"",
                meta->row[i].key, have == NULL ? "missing" : have, meta->row[i].value);
    }
    free(meta);
    return status;
}

static Status read_found(const Search *s, const char *path, Found *ret, Error *err)
{
    StFile *file = NULL;
    Status status = safetensors_open(path, &file, err);

    if (status == STATUS_OK)
        status = same_searcher(s, file, err);
    if (status == STATUS_OK)
        status = read_count(file, "search.round", s->rounds - 1, &ret->round, err);
    if (status == STATUS_OK)
        status = read_result(file, &ret->result, err);
    if (status == STATUS_OK)
        status = read_numbers(file, ret, err);
    safetensors_close(file);
    return status;
}

/* A network later in turn has a trainer of its own, which takes the place of the first one when it
 * has been restored. */
static Status restore_round(Search *s, uint32_t round, const char *path, Error *err)
{
    Trainer *fresh = NULL;
    Status status;

    if (round == s->round)
        return trainer_restore(s->trainer, path, err);
    status = search_make_round(s, round, &fresh, err);
    if (status == STATUS_OK)
        status = trainer_begin(fresh, s->pool, err);
    if (status == STATUS_OK)
        status = trainer_restore(fresh, path, err);
    if (status != STATUS_OK) {
        trainer_free(fresh);
        return status;
    }
    trainer_free(s->trainer);
    s->trainer = fresh;
    return STATUS_OK;
}

Status search_restore(Search *s, const char *path, Error *err)
{
    Found found = { 0 };
    Status status = read_found(s, path, &found, err);

    if (status == STATUS_OK)
        status = restore_round(s, found.round, path, err);
    if (status != STATUS_OK)
        return status;
    s->round = found.round;
    s->result = found.result;
    s->best = found.best;
    s->readings = found.readings;
    memcpy(s->reading, found.reading, sizeof s->reading);
    return STATUS_OK;
}

Status search_derive_file(const char *path, SearchResult *ret, Error *err)
{
    StFile *file = NULL;
    SearchResult result = { 0 };
    SearchAlphas alphas;
    Status s = safetensors_open(path, &file, err);
    bool searched = s == STATUS_OK && safetensors_metadata(file, "search.searcher") != NULL;

    if (searched)
        s = read_result(file, &result, err);
    safetensors_close(file);
    if (s == STATUS_OK && !searched) {
        s = search_read_alphas(path, &alphas, err);
        if (s == STATUS_OK)
            search_derive(&alphas, &result.genotype);
    }
    if (s == STATUS_OK)
        *ret = result;
    return s;
}
