/*
 * An attack is the Attacker's work. Heat maps come from one plan, forward to the logits and back to
 * the layer, once for each class that is wanted. Backward writes over what forward left for it, so
 * for further classes the plan's memory is kept and put back: a copy costs a small part of a
 * forward pass. The layer in front of a linear head needs neither: its gradient for class c is
 * w_c/(h w) everywhere, and one forward pass gives all classes.
 *
 * Methods see one image at a time, in plain order: lanes are gathered from their blocks before. A
 * unit of that work is a block, which has room for one image.
 */
#include "core/explain/explanation_internal.h"

#include <math.h>
#include <string.h>

/* --- planning --- */

static size_t layer_numbers(const Explanation *e)
{
    Shape shape = graph_shape(&e->network->graph, e->layer, 1);

    return shape_count(&shape);
}

/* Whether the gradient has to be computed: it is known in front of a linear head. */
static bool goes_back(const Explanation *e)
{
    return (e->cam->needs & CAM_GRADIENT) != 0 && e->layer != e->head.layer;
}

/* Whether a plan's memory is wanted once more: for every class but the first. */
static bool keeps_forward(const Explanation *e)
{
    return goes_back(e) && e->spec.classes == CLASSES_ALL;
}

static Status plan_heat(Explanation *e, Error *err)
{
    PlanSpec spec = { .images = e->images, .output = e->network->logits, .gradient_to = NODE_NONE };
    Status s;

    e->cam = explanation_cam(&e->spec);
    e->head = cam_head(e->network);
    s = cam_find_layer(e->network, explanation_layer(&e->spec), e->cam, &e->layer, err);
    if (s != STATUS_OK)
        return s;
    spec.keep[0] = e->layer;
    spec.keep[1] = NODE_NONE;
    if (goes_back(e))
        spec.gradient_to = e->layer;
    s = plan_init(&e->plan, &e->network->graph, &spec, err);
    return s == STATUS_OK && goes_back(e) ? cam_check_gradient(&e->plan, err) : s;
}

/* Of a unit: one image's activation and gradient, and a class's weights. */
static size_t room_numbers(const Explanation *e)
{
    size_t numbers = layer_numbers(e);

    return 2 * numbers + graph_shape(&e->network->graph, e->layer, 1).dim[3];
}

enum { STATE_TARGETS, STATE_MAPS, STATE_PREDICTED, STATE_WANTED, STATE_ROOM, STATE_PARTS };

/* Answers the bytes; fills in where they lie if there is memory. */
static size_t layout(Explanation *e, char *memory)
{
    size_t image = mapset_image_numbers(&e->shape), bytes = 0;
    bool attack = explanation_is_attack(e->spec.source);
    const size_t sizes[STATE_PARTS] = {
        [STATE_TARGETS] = attack ? (size_t)e->images * e->network->input.classes * sizeof(real) : 0,
        [STATE_MAPS] = attack ? 0 : e->images * image * sizeof(float),
        [STATE_PREDICTED] = e->images * sizeof(uint32_t),
        [STATE_WANTED] = e->images * sizeof(uint32_t),
        [STATE_ROOM] = attack ? image * sizeof(float)
                              : block_count(e->images) * room_numbers(e) * sizeof(float),
    };
    char *at[STATE_PARTS];

    for (int i = 0; i < STATE_PARTS; i++) {
        at[i] = memory + bytes;
        bytes += arena_round(sizes[i]);
    }
    if (memory != NULL) {
        e->targets = (real *)at[STATE_TARGETS];
        e->maps = attack ? NULL : (float *)at[STATE_MAPS];
        e->predicted = (uint32_t *)at[STATE_PREDICTED];
        e->wanted = (uint32_t *)at[STATE_WANTED];
        e->room = (float *)at[STATE_ROOM];
    }
    return bytes;
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
        e.work_bytes = e.attacker.plan.bytes;
    } else {
        s = plan_heat(&e, err);
        e.work_bytes = arena_round(e.plan.bytes) * (keeps_forward(&e) ? 2 : 1);
    }
    if (s != STATUS_OK) {
        explanation_clear(&e);
        return s;
    }
    e.state_bytes = layout(&e, NULL) + e.attacker.state_bytes;
    *explanation = e;
    return STATUS_OK;
}

void explanation_clear(Explanation *explanation)
{
    attacker_clear(&explanation->attacker);
    plan_clear(&explanation->plan);
    *explanation = (Explanation){ 0 };
}

void explanation_bind(Explanation *e, void *work, void *state)
{
    size_t own = layout(e, state);

    if (explanation_is_attack(e->spec.source)) {
        attacker_bind(&e->attacker, work, (char *)state + own);
        e->delta = e->attacker.delta;
    } else {
        plan_bind(&e->plan, work);
        e->forward = (char *)work + arena_round(e->plan.bytes);
    }
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

/* --- heat maps --- */

typedef struct Work {
    const Explanation *e;
    const RunContext *context;
    uint32_t map;             /* which of the K */
    const uint32_t *class_of; /* [N], or */
    uint32_t class_index;     /* the class of all */
} Work;

/* Lane `lane` of a block of `lanes` images in plain order. */
static void gather(size_t pixels, size_t channels, size_t lanes, size_t lane, const real *block,
                   float *ret)
{
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < channels; c++)
            *ret++ = (float)block[(p * lanes + lane) * channels + c];
}

/* The gradient in front of a linear head: w_c/(h w) at each pixel. */
static void spread(size_t pixels, size_t channels, const float *head, float *ret)
{
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < channels; c++)
            *ret++ = head[c] / (float)pixels;
}

static void map_image(const Work *w, uint32_t i, const real *activation, const real *gradient,
                      float *room)
{
    const Explanation *e = w->e;
    Shape shape = graph_shape(&e->network->graph, e->layer, 1);
    size_t pixels = (size_t)shape.dim[1] * shape.dim[2], channels = shape.dim[3];
    size_t numbers = pixels * channels, lane = i % BLOCK_IMAGES;
    uint32_t lanes = block_images(e->images, i / BLOCK_IMAGES);
    uint32_t class_index = w->class_of != NULL ? w->class_of[i] : w->class_index;
    float *map = e->maps + ((size_t)i * e->shape.maps + w->map) * pixels;
    CamInput in = { .height = shape.dim[1],
                    .width = shape.dim[2],
                    .channels = shape.dim[3],
                    .activation = room,
                    .gradient = room + numbers,
                    .head = room + 2 * numbers };

    gather(pixels, channels, lanes, lane, activation, room);
    if (e->layer == e->head.layer)
        cam_head_weights(&e->head, w->context->weights, class_index, room + 2 * numbers);
    if (goes_back(e))
        gather(pixels, channels, lanes, lane, gradient, room + numbers);
    else if ((e->cam->needs & CAM_GRADIENT) != 0)
        spread(pixels, channels, in.head, room + numbers);
    e->cam->compute(&in, map);
    for (size_t p = 0; p < pixels; p++)
        map[p] = isfinite(map[p]) && map[p] > 0 ? map[p] : 0;
}

static void map_block(void *context, size_t b)
{
    const Work *w = context;
    const Explanation *e = w->e;
    size_t first = b * BLOCK_IMAGES * layer_numbers(e);
    const real *activation = plan_tensor(&e->plan, e->layer).data + first;
    const real *gradient = goes_back(e) ? plan_gradient(&e->plan, e->layer).data + first : NULL;
    uint32_t lanes = block_images(e->images, (uint32_t)b);

    for (uint32_t lane = 0; lane < lanes; lane++)
        map_image(w, (uint32_t)b * BLOCK_IMAGES + lane, activation, gradient,
                  e->room + b * room_numbers(e));
}

static void forward(const Explanation *e, const RunContext *context, const real *images)
{
    Tensor image = plan_tensor(&e->plan, e->network->image);

    memcpy(image.data, images, shape_count(&image.shape) * sizeof *image.data);
    run_forward(&e->plan, context);
}

static void predict(const Explanation *e)
{
    Tensor logits = plan_tensor(&e->plan, e->network->logits);
    uint32_t classes = logits.shape.dim[1];

    for (uint32_t i = 0; i < e->images; i++) {
        const real *x = logits.data + (size_t)i * classes;

        e->predicted[i] = 0;
        for (uint32_t k = 1; k < classes; k++)
            if (x[k] > x[e->predicted[i]])
                e->predicted[i] = k;
    }
}

/* After forward(): the maps of one class an image. */
static void make_maps(const Work *w)
{
    const Explanation *e = w->e;

    if (goes_back(e)) {
        Tensor seed = plan_gradient(&e->plan, e->network->logits);
        uint32_t classes = seed.shape.dim[1];

        memset(seed.data, 0, shape_count(&seed.shape) * sizeof *seed.data);
        for (uint32_t i = 0; i < e->images; i++)
            seed.data[(size_t)i * classes +
                      (w->class_of != NULL ? w->class_of[i] : w->class_index)] = 1;
        run_backward(&e->plan, w->context);
    }
    pool_run(w->context->pool, block_count(e->images), map_block, (void *)w);
}

static void run_heat(Explanation *e, const RunContext *context, const ExplanationBatch *batch)
{
    Work work = { .e = e, .context = context };
    bool labels = batch->split == SPLIT_TRAIN && e->spec.target == TARGET_LABEL;

    forward(e, context, batch->images);
    predict(e);
    if (e->spec.classes == CLASSES_ALL) {
        if (keeps_forward(e))
            memcpy(e->forward, e->plan.memory, e->plan.bytes);
        for (uint32_t k = 0; k < e->shape.maps; k++) {
            if (k > 0 && keeps_forward(e))
                memcpy(e->plan.memory, e->forward, e->plan.bytes);
            work.map = work.class_index = k;
            make_maps(&work);
        }
        return;
    }
    for (uint32_t i = 0; i < e->images; i++)
        e->wanted[i] = labels ? batch->labels[i] : e->predicted[i];
    work.class_of = e->wanted;
    make_maps(&work);
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
        run_heat(e, &fixed, batch);
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
    const float *maps = e->room;

    if (explanation_is_attack(e->spec.source))
        delta_of(e, i, e->room);
    else
        maps = e->maps + i * mapset_image_numbers(&e->shape);
    mapset_put(set, image, index, maps);
}
