/*
 * X, before anything runs: its names, what is default for which source, and what is wrong with it.
 * Sources are the rows of attack_table, then those of cam_table.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/explain/attack_table.h"
#include "core/explain/cam_table.h"
#include "core/explain/explanation_internal.h"

const char *const explanation_targets[] = { "label", "prediction", NULL };
const char *const explanation_classes[] = { "target", "all", NULL };

const char *const explanation_sources[] = {
#define X(name) #name,
    ATTACK_TABLE(X) CAM_TABLE(X)
#undef X
        NULL,
};

enum {
#define X(name) +1
    ATTACKS = 0 ATTACK_TABLE(X),
    SOURCES = ATTACKS CAM_TABLE(X),
#undef X
};

int explanation_find(const char *source)
{
    for (int i = 0; i < SOURCES; i++)
        if (strcmp(explanation_sources[i], source) == 0)
            return i;
    return -1;
}

bool explanation_is_attack(uint32_t source)
{
    return source < ATTACKS;
}

Choice explanation_attack(const ExplanationSpec *spec)
{
    const double value[] = { [ATTACK_EPS] = spec->eps,
                             [ATTACK_START] = spec->start,
                             [ATTACK_STEPS] = spec->steps,
                             [ATTACK_STEP_SIZE] = spec->step_size };
    Choice choice;

    assert(explanation_is_attack(spec->source));
    choice_init(attack_table, spec->source, &choice);
    for (uint32_t i = 0; i < attack_table[spec->source]->described.count; i++)
        choice.value[i] = value[i];
    return choice;
}

ExplanationSpec explanation_default(uint32_t source)
{
    ExplanationSpec spec = { .source = source,
                             .reweight = { reweight_default(!explanation_is_attack(source)),
                                           REWEIGHT_F_DEFAULT } };
    Choice choice;

    if (!explanation_is_attack(source))
        return spec;
    choice_init(attack_table, source, &choice);
    spec.eps = choice.value[ATTACK_EPS];
    spec.start = ATTACK_START_RANDOM; /* FGSM's own would begin where there is no gradient */
    spec.steps = choice.value[ATTACK_STEPS] > 0 ? (uint32_t)choice.value[ATTACK_STEPS] : 1;
    return spec;
}

static Status check_attack(const ExplanationSpec *spec, const Network *network, Error *err)
{
    const Described *row = &attack_table[spec->source]->described;
    Choice choice = explanation_attack(spec);
    Status s = STATUS_OK;

    if (network->input.channels > DATASET_CHANNELS_MAX)
        return error_at(err, STATUS_INVALID, "/source",
                        "attacks change images, and this network sees %u channels",
                        network->input.channels);
    for (uint32_t i = 0; i < row->count && s == STATUS_OK; i++) {
        Error why = { 0 };
        char pointer[32];

        snprintf(pointer, sizeof pointer, "/%s", row->params[i].name);
        if (param_check(&row->params[i], choice.value[i], &why) != STATUS_OK)
            s = error_at(err, STATUS_INVALID, pointer, "%s", error_message(&why));
    }
    if (s == STATUS_OK && spec->start != ATTACK_START_RANDOM)
        s = error_at(err, STATUS_INVALID, "/start",
                     "must be \"random\" to explain: at the image itself the gradient towards the "
                     "own prediction is zero, and validation and test images have no other target");
    return s;
}

const Cam *explanation_cam(uint32_t source)
{
    assert(!explanation_is_attack(source) && source < SOURCES);
    return cam_table[source - ATTACKS];
}

uint32_t explanation_of_cam(uint32_t row)
{
    return ATTACKS + row;
}

Status explanation_check(const ExplanationSpec *spec, const Network *network, Error *err)
{
    NodeId layer[MAP_LAYERS_MAX];
    uint32_t layers;

    if (spec->source >= SOURCES)
        return error_at(err, STATUS_INVALID, "/source", "is no source of explanations");
    if (!(spec->reweight.f >= 0 && spec->reweight.f <= 1))
        return error_at(err, STATUS_INVALID, "/f", "must be a number from 0 to 1");
    if (explanation_is_attack(spec->source))
        return check_attack(spec, network, err);
    return cam_find_layers(network, spec->layer, explanation_cam(spec->source), layer, &layers,
                           err);
}

MapShape explanation_shape(const ExplanationSpec *spec, const Network *network, uint32_t images)
{
    const ModelInput *in = &network->input;
    MapShape ret = { MAP_HEAT, images, spec->classes == CLASSES_ALL ? in->classes : 1, 0, 0 };
    NodeId layer[MAP_LAYERS_MAX];
    uint32_t layers = 0;

    if (explanation_is_attack(spec->source))
        return (MapShape){ MAP_DELTA, images, in->channels, in->height, in->width };
    if (cam_find_layers(network, spec->layer, explanation_cam(spec->source), layer, &layers,
                        NULL) != STATUS_OK)
        assert(!"explanation_check() comes first");
    if ((explanation_cam(spec->source)->needs & CAM_PIXELS) != 0) { /* whatever leads to it */
        layer[0] = network->image;
        layers = 1;
    }
    for (uint32_t i = 0; i < layers; i++) {
        Shape shape = graph_shape(&network->graph, layer[i], 1);

        ret.height = shape.dim[1] > ret.height ? shape.dim[1] : ret.height;
        ret.width = shape.dim[2] > ret.width ? shape.dim[2] : ret.width;
    }
    return ret;
}
