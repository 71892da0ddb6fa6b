/*
 * sweep_spec -- a sweep as it was sent: a base job, what each row sets in it, and the seeds.
 *
 *     {"preset": null, "name": "", "base": JOB, "grid": {"/params/x": [1, 2]},
 *      "list": [{"label": "", "set": {"/params/y": 3}}], "seeds": [0, 1, 2],
 *      "metric": "test/accuracy", "at": "last"}
 *
 * A row sets what one item of `list` sets, and then one value of each of `grid`'s lists: every
 * combination is a row. Without either there is one row. Pointers (RFC 6901) are into JOB; what is
 * missing on their way is made. Pure functions: any thread.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "server/jobs/spec.h"
#include "server/store/sweeps.h"

enum { SWEEP_GRID_MAX = 8, SWEEP_SET_MAX = 24, SWEEP_LABEL_BYTES = 101 };

typedef struct SweepSpec {
    json_t *whole; /* as sent, laid over its preset; owned */
    char preset[PRESET_NAME_BYTES], name[JOB_NAME_BYTES];
    char metric[METRIC_KEY_MAX];
    SweepAt at;
    uint32_t rows, seeds; /* at least 1 of each; LIMIT_SWEEP_CELLS cells at most */
} SweepSpec;

/* Presets by name: schema/sweeps/NAME.json, as {"name", "summary", "sweep"}. NULL: out of memory.
 */
json_t *sweep_presets_json(void);

/* STATUS_INVALID names every bad field: "/grid/~1params~1x", "/list/3/label". The caller ends *ret.
 */
CHECKED Status sweep_spec_parse(const json_t *body, SweepSpec *ret, Error *err);
void sweep_spec_clear(SweepSpec *spec); /* a zeroed one is fine */

uint64_t sweep_spec_seed(const SweepSpec *spec, uint32_t column);
/* What a row is called. */
void sweep_spec_label(const SweepSpec *spec, uint32_t row, char ret[SWEEP_LABEL_BYTES]);
/* What a row sets: {pointer: value}; NULL: out of memory. */
json_t *sweep_spec_settings(const SweepSpec *spec, uint32_t row);
/* A cell's job, to be freed. STATUS_INVALID: a pointer leads nowhere. */
CHECKED Status sweep_spec_job(const SweepSpec *spec, uint32_t row, uint32_t column, json_t **ret,
                              Error *err);
/* Errors about a cell's job become errors about what set it, or about "/base". */
void sweep_spec_blame(const SweepSpec *spec, uint32_t row, Error *err);
