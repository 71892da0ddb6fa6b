/*
 * explanation_params -- the keys that say how a network explains (X in the contract). What is left
 * out is what suits the source: `explanation_params_resolve()` fills it in.
 */
#pragma once

#include "core/explain/explanation.h"
#include "server/codec/fields.h"

typedef struct ExplanationParams {
    uint32_t source, start, target, classes;
    OptionalReal eps, steps, step_size; /* of attacks; the first two set once resolved */
    OptionalReal reweight, f;           /* set once resolved */
    char layer[EXPLANATION_LAYER_MAX];
} ExplanationParams;

/* For FIELD_OBJECT_ROW. */
extern const Field explanation_fields[10];

/* Fills in the source's defaults. Doing it twice changes nothing. */
void explanation_params_resolve(ExplanationParams *params);
/* Of resolved params. */
ExplanationSpec explanation_params_spec(const ExplanationParams *params);
/* What an explain job's params, as they are stored, say. */
CHECKED Status explanation_params_of(const json_t *params, ExplanationParams *ret, Error *err);
