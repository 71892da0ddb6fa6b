/*
 * explanations -- pictures that somebody sent, and the heat maps that networks answered with. Every
 * one once, by the digest of all that it was made from; only the newest are kept. The store does
 * not look into what is said about one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/store/store.h"

enum { EXPLANATION_KEY_BYTES = 65 };

typedef struct ExplanationRow {
    int64_t id;
    char key[EXPLANATION_KEY_BYTES];
    int64_t job;
    char *about;            /* JSON; owned */
    uint32_t height, width; /* of the picture as the network saw it */
    uint8_t *pixels;        /* [height,width,3]; owned; NULL in lists */
    uint32_t map_height, map_width;
    float *map; /* [map_height,map_width]; owned; NULL in lists */
    int64_t created_ms;
} ExplanationRow;

/* Frees what it owns; a zeroed or cleared row is fine. */
void explanation_row_clear(ExplanationRow *row);

/*
 * Writes: the row, unless its key is there already, and forgets all but the newest `keep` > 0. The
 * row's id and created_ms are not looked at. STATUS_NOT_FOUND: there is no such job.
 */
CHECKED Status store_explanation_put(Store *store, const ExplanationRow *row, uint32_t keep,
                                     int64_t *ret_id, bool *ret_new, Error *err);
/* Reads: the id of a key. STATUS_NOT_FOUND. */
CHECKED Status store_explanation_find(Store *store, const char *key, int64_t *ret_id, Error *err);
/* Reads: all of it; `light`: without pixels and map. STATUS_NOT_FOUND. */
CHECKED Status store_explanation_get(Store *store, int64_t id, bool light, ExplanationRow *ret,
                                     Error *err);

typedef struct ExplanationList {
    ExplanationRow *items; /* newest first, without pixels and maps */
    size_t count;
    int64_t next; /* `before` of the next page; 0: this is the last */
} ExplanationList;

void explanation_list_clear(ExplanationList *list);
/* Reads: ids below `before` (0: from the newest), at most `limit` > 0. */
CHECKED Status store_explanation_list(Store *store, int64_t before, uint32_t limit,
                                      ExplanationList *ret, Error *err);
