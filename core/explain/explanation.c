/*
 * An attack is the Attacker's work. A heat map's stages, one for each of its layers, follow one
 * another: a stage has a plan, forward to the logits and, where that is needed, back to its layer.
 * All plans lie in the same memory, one at a time; what is wanted of one behind the next is copied
 * to the state. Here everything is planned and put in its place; explanation_heat.c runs it.
 */
#include "core/explain/explanation_internal.h"

#include <string.h>

/* --- planning --- */

const Cam *explanation_layer_cam(const Explanation *e)
{
    return (e->cam->needs & CAM_GUIDED) != 0 ? &cam_gradcam : e->cam;
}

bool explanation_goes_back(const Explanation *e, const HeatStage *stage)
{
    return (e->cam->needs & CAM_GRADIENT) != 0 && !stage->known;
}

static bool keeps(const Explanation *e)
{
    return e->spec.classes == CLASSES_ALL && e->cam->samples == 0;
}

bool explanation_keeps_forward(const Explanation *e, const HeatStage *stage)
{
    return explanation_goes_back(e, stage) && keeps(e);
}

static Status plan_passes(const Explanation *e, HeatStage *stage, Error *err)
{
    uint32_t channels = stage->shape.dim[3];
    PlanSpec spec = { .images = channels < CAM_LANES_MAX ? channels : CAM_LANES_MAX,
                      .output = e->network->logits,
                      .gradient_to = NODE_NONE,
                      .keep = { NODE_NONE } };

    if ((e->cam->needs & CAM_FROM_LAYER) != 0)
        spec.from = stage->layer;
    return plan_init(&stage->passes, &e->network->graph, &spec, err);
}

static Status plan_stage(const Explanation *e, NodeId layer, HeatStage *stage, Error *err)
{
    PlanSpec spec = { .images = e->images,
                      .output = e->network->logits,
                      .gradient_to = NODE_NONE,
                      .keep = { layer, NODE_NONE } };
    Status s;

    stage->layer = layer;
    stage->shape = graph_shape(&e->network->graph, layer, 1);
    stage->known = layer == e->head.layer;
    if ((e->cam->needs & CAM_DELTA) != 0)
        return STATUS_OK; /* the attacker plans */
    if (explanation_goes_back(e, stage))
        spec.gradient_to = layer;
    s = plan_init(&stage->plan, &e->network->graph, &spec, err);
    return s == STATUS_OK && (e->cam->needs & CAM_SCORES) != 0 ? plan_passes(e, stage, err) : s;
}

/* The attack of CAM_DELTA. */
static Status plan_delta(Explanation *e, Error *err)
{
    Choice choice;

    choice_init(attack_table, (uint32_t)table_find(attack_table, "pgd_l2"), &choice);
    return attacker_init(&e->attacker, e->network, &choice, e->images, false, err);
}

static Status plan_heat(Explanation *e, Error *err)
{
    NodeId layer[MAP_LAYERS_MAX];
    PlanSpec guided = { .images = e->images,
                        .output = e->network->logits,
                        .gradient_to = e->network->image,
                        .keep = { NODE_NONE },
                        .guided = true };
    Status s;

    e->cam = explanation_cam(e->spec.source);
    e->head = cam_head(e->network);
    s = cam_find_layers(e->network, e->spec.layer, e->cam, layer, &e->stages, err);
    for (uint32_t i = 0; s == STATUS_OK && i < e->stages; i++)
        s = plan_stage(e, layer[i], &e->stage[i], err);
    if (s == STATUS_OK && (e->cam->needs & CAM_GUIDED) != 0)
        s = plan_init(&e->pixels, &e->network->graph, &guided, err);
    if (s == STATUS_OK && (e->cam->needs & CAM_DELTA) != 0)
        s = plan_delta(e, err);
    return s;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Of the plans whose memory is wanted once more. */
static size_t kept_bytes(const Explanation *e)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < e->stages; i++)
        if (explanation_keeps_forward(e, &e->stage[i]))
            bytes = larger(bytes, arena_round(e->stage[i].plan.bytes));
    return e->stages > 0 && keeps(e) ? larger(bytes, arena_round(e->pixels.bytes)) : bytes;
}

static size_t work_bytes(const Explanation *e)
{
    size_t bytes = larger(2 * kept_bytes(e), e->attacker.plan.bytes);

    for (uint32_t i = 0; i < e->stages; i++)
        bytes = larger(bytes, larger(e->stage[i].plan.bytes, e->stage[i].passes.bytes));
    return larger(bytes, e->pixels.bytes);
}

/* --- memory --- */

/* What the stages need at most. */
typedef struct Most {
    size_t numbers, pixels, channels, doubles;
} Most;

static Most most_of(const Explanation *e)
{
    Most m = { 0 };
    const ModelInput *in = &e->network->input;

    for (uint32_t i = 0; i < e->stages; i++) {
        const Shape *s = &e->stage[i].shape;

        m.numbers = larger(m.numbers, shape_count(s));
        m.pixels = larger(m.pixels, (size_t)s->dim[1] * s->dim[2]);
        m.channels = larger(m.channels, s->dim[3]);
        if (e->cam->room != NULL)
            m.doubles = larger(m.doubles, e->cam->room(s->dim[1], s->dim[2], s->dim[3]));
    }
    if (e->pixels.node != NULL)
        m.numbers = larger(m.numbers, (size_t)in->height * in->width * in->channels);
    return m;
}

enum { ROOM_WORK, ROOM_ACTIVATION, ROOM_GRADIENT, ROOM_HEAD, ROOM_MAP, ROOM_PARTS };

static size_t room_layout(const Explanation *e, char *memory, HeatRoom *ret)
{
    const Most m = most_of(e);
    const bool maps = e->stages > 1 || e->pixels.node != NULL;
    const size_t sizes[ROOM_PARTS] = {
        [ROOM_WORK] = m.doubles * sizeof(double),
        [ROOM_ACTIVATION] = m.numbers * sizeof(real),
        [ROOM_GRADIENT] = m.numbers * sizeof(real),
        [ROOM_HEAD] = m.channels * sizeof(real),
        [ROOM_MAP] = maps ? (size_t)e->shape.height * e->shape.width * sizeof(float) : 0,
    };
    char *at[ROOM_PARTS];
    size_t bytes = 0;

    for (int i = 0; i < ROOM_PARTS; i++) {
        at[i] = memory + bytes;
        bytes += arena_round(sizes[i]);
    }
    if (memory != NULL)
        *ret = (HeatRoom){ .work = (double *)at[ROOM_WORK],
                           .activation = (real *)at[ROOM_ACTIVATION],
                           .gradient = (real *)at[ROOM_GRADIENT],
                           .head = (real *)at[ROOM_HEAD],
                           .map = (float *)at[ROOM_MAP] };
    return bytes;
}

HeatRoom explanation_room(const Explanation *e, size_t unit)
{
    HeatRoom room;

    (void)room_layout(e, e->room + unit * e->room_bytes, &room);
    return room;
}

/* Where an array of the state lies and how long it is. */
typedef struct Part {
    void *at; /* of the pointer to it */
    size_t bytes;
} Part;

/* Lays the parts one after the other, from `memory` (NULL: nowhere); answers the bytes. */
static size_t lay(const Part *part, size_t parts, char *memory)
{
    size_t bytes = 0;

    for (size_t i = 0; i < parts; i++) {
        char *at = memory != NULL && part[i].bytes > 0 ? memory + bytes : NULL;

        memcpy(part[i].at, &at, sizeof at);
        bytes += arena_round(part[i].bytes);
    }
    return bytes;
}

/* The state of an attack and the heat map that is one. */
static size_t lay_attack(Explanation *e, char *memory)
{
    const Part part[] = {
        { &e->targets, (size_t)e->images * e->network->input.classes * sizeof(real) },
        { &e->room, mapset_image_numbers(&e->shape) * sizeof(float) }, /* explanation_put()'s */
    };

    return lay(part, sizeof part / sizeof *part, memory);
}

static size_t lay_heat(Explanation *e, char *memory)
{
    const ModelInput *in = &e->network->input;
    const size_t n = e->images, image = (size_t)in->height * in->width * in->channels,
                 maps = n * mapset_image_numbers(&e->shape), number = sizeof(real);
    const unsigned needs = e->cam->needs;
    const bool scores = (needs & CAM_SCORES) != 0, sampled = e->cam->samples > 0;
    const Most m = most_of(e);
    const size_t stage_maps = n * e->shape.maps * m.pixels * sizeof(float);
    const Part part[] = {
        { &e->maps, maps * sizeof(float) },
        { &e->logits, n * in->classes * number },
        { &e->predicted, n * sizeof(uint32_t) },
        { &e->wanted, n * sizeof(uint32_t) },
        { &e->targets, (needs & CAM_DELTA) != 0 ? n * in->classes * number : 0 },
        { &e->mirrored, e->spec.flips ? n * image * number : 0 },
        { &e->other, e->spec.flips ? maps * sizeof(float) : 0 },
        { &e->sums, sampled ? n * image * number : 0 },
        { &e->plain, sampled || scores ? n * m.numbers * number : 0 },
        { &e->planes, scores ? m.numbers * number : 0 },
        { &e->picture, scores ? image * number : 0 },
        { &e->scores, scores ? in->classes * m.channels * number : 0 },
        { &e->clean, scores ? n * in->classes * number : 0 },
        { &e->raw, e->stages == 1           ? 0
                   : e->pixels.node != NULL ? maps * sizeof(float)
                                            : stage_maps },
        { &e->cams, e->pixels.node != NULL ? stage_maps : 0 },
        { &e->room, block_count(e->images) * e->room_bytes },
    };

    return lay(part, sizeof part / sizeof *part, memory);
}

static size_t layout(Explanation *e, char *memory)
{
    return explanation_is_attack(e->spec.source) ? lay_attack(e, memory) : lay_heat(e, memory);
}

Status explanation_init(Explanation *explanation, const Network *network,
                        const ExplanationSpec *spec, uint32_t images, Error *err)
{
    Explanation e = { .network = network, .spec = *spec, .images = images };
    Status s = explanation_check(spec, network, err);

    if (s != STATUS_OK)
        return s;
    e.shape = explanation_shape(spec, network, images);
    if (explanation_is_attack(spec->source)) {
        Choice choice = explanation_attack(spec);

        s = attacker_init(&e.attacker, network, &choice, images, false, err);
    } else {
        s = plan_heat(&e, err);
    }
    if (s != STATUS_OK) {
        explanation_clear(&e);
        return s;
    }
    e.room_bytes = room_layout(&e, NULL, NULL);
    e.work_bytes = work_bytes(&e);
    e.state_bytes = layout(&e, NULL) + e.attacker.state_bytes;
    *explanation = e;
    return STATUS_OK;
}

void explanation_clear(Explanation *explanation)
{
    attacker_clear(&explanation->attacker);
    for (uint32_t i = 0; i < MAP_LAYERS_MAX; i++) {
        plan_clear(&explanation->stage[i].plan);
        plan_clear(&explanation->stage[i].passes);
    }
    plan_clear(&explanation->pixels);
    *explanation = (Explanation){ 0 };
}

void explanation_bind(Explanation *e, void *work, void *state)
{
    size_t own = layout(e, state);

    for (uint32_t i = 0; i < e->stages; i++) {
        plan_bind(&e->stage[i].plan, work);
        plan_bind(&e->stage[i].passes, work);
    }
    plan_bind(&e->pixels, work);
    e->forward = (char *)work + kept_bytes(e);
    if (e->attacker.plan.node == NULL)
        return;
    attacker_bind(&e->attacker, work, (char *)state + own);
    e->delta = e->attacker.delta;
}

/* --- attacks --- */

/* One-hot labels, where they may be looked at; NULL: the network's own answer. */
static const real *targets_of(const Explanation *e, const ExplanationBatch *batch)
{
    size_t classes = e->network->input.classes;

    if (batch->split != SPLIT_TRAIN || e->spec.target != TARGET_LABEL)
        return NULL;
    memset(e->targets, 0, e->images * classes * sizeof *e->targets);
    for (uint32_t i = 0; i < e->images; i++)
        e->targets[i * classes + batch->labels[i]] = 1;
    return e->targets;
}

static void run_attack(Explanation *e, const RunContext *context, const ExplanationBatch *batch)
{
    attack_run(&e->attacker, context,
               &(AttackBatch){ .images = batch->images,
                               .targets = targets_of(e, batch),
                               .items = batch->items,
                               .seed = batch->seed,
                               .stream = batch->round * SPLIT_COUNT + batch->split });
}

void explanation_run(Explanation *e, const RunContext *context, const ExplanationBatch *batch)
{
    RunContext fixed = *context;

    fixed.seed = 0;
    fixed.step = 0;
    fixed.gradients = NULL;
    fixed.keep_statistics = true;
    if (explanation_is_attack(e->spec.source))
        run_attack(e, &fixed, batch);
    else
        explanation_heat(e, &fixed, batch);
}

/* Lane i of the deltas as [C,H,W]. */
static void delta_of(const Explanation *e, uint32_t i, float *ret)
{
    size_t pixels = (size_t)e->shape.height * e->shape.width, channels = e->shape.maps;
    size_t lanes = block_images(e->images, i / BLOCK_IMAGES), lane = i % BLOCK_IMAGES;
    const real *block = e->delta + (size_t)(i / BLOCK_IMAGES) * BLOCK_IMAGES * pixels * channels;

    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < channels; c++)
            ret[c * pixels + p] = (float)block[(p * lanes + lane) * channels + c];
}

void explanation_put(const Explanation *e, uint32_t i, MapSet *set, uint32_t image, int64_t index)
{
    const float *maps = (const float *)e->room;

    if (explanation_is_attack(e->spec.source))
        delta_of(e, i, (float *)e->room);
    else
        maps = e->maps + i * mapset_image_numbers(&e->shape);
    mapset_put(set, image, index, maps);
}
