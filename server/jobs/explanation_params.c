/* The defaults of X depend on its source, which the core knows (explanation_default()). */
#include "server/jobs/explanation_params.h"

#include <stdio.h>

const Field explanation_fields[] = {
    FIELD_ENUM_ROW(ExplanationParams, source, "source", 0, explanation_sources,
                   "an attack, or a heat-map method"),
    FIELD_OPTIONAL_ROW(ExplanationParams, eps, "eps", PARAM_REAL, 0, 1000, NULL,
                       "the attack's budget, of pixels scaled to 0..1; null: what suits it"),
    FIELD_OPTIONAL_ROW(ExplanationParams, steps, "steps", PARAM_INT, 1, 1000, NULL,
                       "the attack's steps; null: what suits it"),
    FIELD_OPTIONAL_ROW(ExplanationParams, step_size, "step_size", PARAM_REAL, 0, 1000, NULL,
                       "of an attack's step; null: by eps and steps"),
    FIELD_ENUM_ROW(ExplanationParams, start, "start", ATTACK_START_RANDOM, attack_starts,
                   "where the attack starts"),
    FIELD_ENUM_ROW(ExplanationParams, target, "target", TARGET_LABEL, explanation_targets,
                   "what training images are explained for; others always for the prediction"),
    FIELD_STRING_ROW(ExplanationParams, layer, "layer", FIELD_NULLABLE, NULL,
                     "of a heat map; several, by \",\", are fused; null: the model's own"),
    FIELD_ENUM_ROW(ExplanationParams, classes, "classes", CLASSES_TARGET, explanation_classes,
                   "heat maps of the target's class, or of all"),
    FIELD_OPTIONAL_ROW(ExplanationParams, reweight, "reweight", PARAM_ENUM, 0, 0, reweight_names,
                       "what the explanation makes of its image; null: \"absolute\" of an attack, "
                       "\"mix\" of a heat map"),
    FIELD_OPTIONAL_ROW(ExplanationParams, f, "f", PARAM_REAL, 0, 1, NULL,
                       "of \"mix\": f + (1 - f) H; null: 0.3"),
};

static void fill(OptionalReal *value, double fallback)
{
    if (!value->set)
        *value = (OptionalReal){ true, fallback };
}

void explanation_params_resolve(ExplanationParams *p)
{
    const ExplanationSpec own = explanation_default(p->source);

    if (explanation_is_attack(p->source)) {
        fill(&p->eps, own.eps);
        fill(&p->steps, own.steps);
    }
    fill(&p->reweight, own.reweight.mode);
    fill(&p->f, own.reweight.f);
}

ExplanationSpec explanation_params_spec(const ExplanationParams *p)
{
    ExplanationSpec spec = { .source = p->source,
                             .eps = p->eps.value,
                             .step_size = p->step_size.value, /* 0: the formula */
                             .steps = (uint32_t)p->steps.value,
                             .start = p->start,
                             .target = p->target,
                             .classes = p->classes,
                             .reweight = { (uint32_t)p->reweight.value, p->f.value } };

    snprintf(spec.layer, sizeof spec.layer, "%s", p->layer);
    return spec;
}

Status explanation_params_of(const json_t *params, ExplanationParams *ret, Error *err)
{
    const uint32_t count = sizeof explanation_fields / sizeof *explanation_fields;
    Status s =
        fields_parse(explanation_fields, count, json_object_get(params, "explanation"), ret, err);

    if (s == STATUS_OK)
        explanation_params_resolve(ret);
    return s;
}
