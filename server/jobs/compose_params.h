/*
 * compose_params -- the keys that say what an audience sees: images, reweighted by the explanations
 * that an `explain` job has left.
 */
#pragma once

#include "server/codec/fields.h"
#include "server/jobs/map_artefacts.h"

typedef struct ComposeParams {
    struct {
        uint64_t job;
    } maps;
    uint32_t input, control;
    OptionalReal reweight, f; /* set once the kind's `check` has looked at the explain job */
} ComposeParams;

extern const Field compose_maps_fields[1];

/* Rows of a kind's field table whose params struct S has a member `ComposeParams m`. */
#define COMPOSE_FIELD_ROWS(S, m)                                                              \
    FIELD_OBJECT_ROW(S, m.maps, "maps", compose_maps_fields, "the explanations"),             \
        FIELD_ENUM_ROW(S, m.input, "input", COMPOSE_MAPS, compose_inputs,                     \
                       "images reweighted by their maps, plain images, or both"),             \
        FIELD_ENUM_ROW(S, m.control, "control", CONTROL_NONE, compose_controls,               \
                       "maps that explain nothing instead: another image's, or random ones"), \
        FIELD_OPTIONAL_ROW(S, m.reweight, "reweight", PARAM_ENUM, 0, 0, reweight_names,       \
                           "what a map makes of its image; null: as the `explain` job says"), \
        FIELD_OPTIONAL_ROW(S, m.f, "f", PARAM_REAL, 0, 1, NULL,                               \
                           "of \"mix\": f + (1 - f) H; null: as the `explain` job says")

/* Of completed params; `files` have to live as long as the spec. */
ComposeSpec compose_params_spec(const ComposeParams *params, uint64_t seed, const MapFiles *files);
/* What an audience job's params, as they are stored, say. */
CHECKED Status compose_params_of(const json_t *params, ComposeParams *ret, Error *err);
