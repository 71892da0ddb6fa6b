/*
 * genotypes -- what searches found: every distinct one once, with where it came from and what it
 * scored.
 *
 * A genotype is its text, exactly as genotype_print() writes it: whoever has another spelling
 * parses and prints it first. The store does not look into it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/store/store.h"

enum { GENOTYPE_LIST_MAX = 200, GENOTYPE_SOURCES_MAX = 100, GENOTYPE_SCORES_MAX = 100 };

/* Who found it: a search, at the end of an epoch. */
typedef struct GenotypeSource {
    int64_t job;
    uint32_t epoch; /* 1-based; 0: before the first */
} GenotypeSource;

/* What a job that trained its network came to. */
typedef struct GenotypeScore {
    int64_t job;
    double accuracy;     /* of the test images, after the last epoch; NaN: there are none */
    double val_accuracy; /* the best of the validation images; NaN: there are none */
    uint64_t parameters; /* of the network, without the auxiliary head */
    uint32_t epochs;
    int64_t created_ms; /* written by the store */
} GenotypeScore;

typedef struct GenotypeRow {
    int64_t id;
    char *text; /* owned */
    int64_t created_ms;
    int64_t imported_ms;      /* when somebody sent it first; 0: nobody has */
    uint64_t sources, scores; /* how many there are */
    double accuracy;          /* the highest of its scores; NaN: none */
    GenotypeSource *source;   /* the newest first, at most GENOTYPE_SOURCES_MAX; owned; NULL in
                                 lists */
    size_t source_count;      /* of `source` */
    GenotypeScore *score;     /* the newest first, at most GENOTYPE_SCORES_MAX; owned; NULL in
                                 lists */
    size_t score_count;       /* of `score` */
} GenotypeRow;

/* Frees what it owns; a zeroed or cleared row is fine. */
void genotype_row_clear(GenotypeRow *row);

/*
 * Writes: the genotype, if it is new, and that the job's epoch found it (what that epoch had found
 * before, an attempt ago, is forgotten); job 0: somebody sent it. Saying the same twice changes
 * nothing. `ret_new` may be NULL. STATUS_NOT_FOUND: there is no such job.
 */
CHECKED Status store_genotype_put(Store *store, const char *text, int64_t job, uint32_t epoch,
                                  int64_t *ret_id, bool *ret_new, Error *err);
/* Writes: what score->job, which trained it, came to; an older score of that job is replaced.
 * STATUS_NOT_FOUND: there is no such genotype or job. */
CHECKED Status store_genotype_score(Store *store, int64_t id, const GenotypeScore *score,
                                    Error *err);

/* Reads: with its sources and scores. STATUS_NOT_FOUND. */
CHECKED Status store_genotype_get(Store *store, int64_t id, GenotypeRow *ret, Error *err);
/* Reads: the id of a text. STATUS_NOT_FOUND. */
CHECKED Status store_genotype_find(Store *store, const char *text, int64_t *ret_id, Error *err);
/* Reads: what a job's epoch found. STATUS_NOT_FOUND. */
CHECKED Status store_genotype_of(Store *store, int64_t job, uint32_t epoch, int64_t *ret_id,
                                 Error *err);

typedef struct GenotypeFilter {
    int64_t job;    /* only what this job found or scored; 0: any */
    int64_t before; /* only ids below; 0: from the newest */
    uint32_t limit; /* 1..GENOTYPE_LIST_MAX */
} GenotypeFilter;

typedef struct GenotypeList {
    GenotypeRow *items; /* newest first, without sources and scores */
    size_t count;
    int64_t next; /* `before` of the next page; 0: this is the last */
} GenotypeList;

void genotype_list_clear(GenotypeList *list);
/* Reads. */
CHECKED Status store_genotype_list(Store *store, const GenotypeFilter *filter, GenotypeList *ret,
                                   Error *err);
