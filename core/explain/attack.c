/*
 * The parts that all attacks share: targets, memory, what the network sees, clipping. Work is cut
 * by images, each of which is a lane of its block; a row of the table only ever sees one lane.
 *
 * The clip's bounds are those of the pixel: x = u * std + mean of the normalised u, and delta stays
 * within [-x, 1 - x]. The plan's own memory is rewritten before every pass, so that it may be
 * anybody's between two.
 */
#include "core/explain/attack.h"

#include <assert.h>
#include <string.h>

#include "core/explain/attack_lanes.h"
#include "core/explain/attack_table.h"

#define X(name) extern const Attack attack_##name;
ATTACK_TABLE(X)
#undef X

const Attack *const attack_table[] = {
#define X(name) &attack_##name,
    ATTACK_TABLE(X)
#undef X
        NULL,
};

const char *const attack_starts[] = { "random", "zero", NULL };

enum { FRAME_ARRAYS = 3 }; /* of the images' size */

/* --- lanes --- */

/* Of image i of a batch: where its numbers begin, and how they lie. */
static size_t lane_of(const Attacker *a, uint32_t i, AttackLane *ret)
{
    const ModelInput *in = &a->network->input;
    uint32_t block = i / BLOCK_IMAGES, lanes = block_images(a->images, block);

    ret->pixels = (size_t)in->height * in->width;
    ret->channels = in->channels;
    ret->stride = (size_t)lanes * in->channels;
    return (size_t)block * BLOCK_IMAGES * ret->pixels * in->channels +
           (size_t)(i % BLOCK_IMAGES) * in->channels;
}

static size_t batch_numbers(const Attacker *a)
{
    const ModelInput *in = &a->network->input;

    return (size_t)a->images * in->height * in->width * in->channels;
}

/* --- planning --- */

static size_t frame_bytes(const Attacker *a)
{
    return FRAME_ARRAYS * arena_round(batch_numbers(a) * sizeof(real)) +
           arena_round(a->images * sizeof(real));
}

static size_t target_bytes(const Attacker *a)
{
    return arena_round((size_t)a->images * a->network->input.classes * sizeof(real));
}

static void set_budget(Attacker *a, const Choice *choice)
{
    const double *value = choice->value;
    bool stepwise = a->row->described.count > ATTACK_STEPS;
    double eps = value[ATTACK_EPS], size;

    a->steps = stepwise ? (uint32_t)value[ATTACK_STEPS] : 1;
    size = stepwise && value[ATTACK_STEP_SIZE] > 0 ? value[ATTACK_STEP_SIZE]
                                                   : a->row->reach * eps / a->steps;
    a->eps = (real)eps;
    a->step_size = (real)size;
    a->start = (AttackStart)value[ATTACK_START];
}

Status attacker_init(Attacker *attacker, const Network *network, const Choice *choice,
                     uint32_t images, bool keep_steps, Error *err)
{
    PlanSpec spec = { .images = images,
                      .output = network->loss,
                      .gradient_to = network->image,
                      .keep = { network->logits, NODE_NONE } };
    Attacker a = { .network = network, .row = attack_table[choice->row], .images = images };
    Status s;

    if (network->input.channels > sizeof network->std / sizeof *network->std)
        return error_at(err, STATUS_INVALID, "/eps",
                        "a network of %u channels does not see plain images: its pixels have no "
                        "scale to attack them on",
                        network->input.channels);
    set_budget(&a, choice);
    s = plan_init(&a.plan, &network->graph, &spec, err);
    if (s != STATUS_OK)
        return s;
    a.frames = keep_steps ? a.steps : 1;
    a.state_bytes = arena_round(batch_numbers(&a) * sizeof(real)) + target_bytes(&a) +
                    a.frames * frame_bytes(&a);
    *attacker = a;
    return STATUS_OK;
}

void attacker_clear(Attacker *attacker)
{
    plan_clear(&attacker->plan);
    *attacker = (Attacker){ 0 };
}

void attacker_bind(Attacker *a, void *work, void *state)
{
    char *at = state;

    plan_bind(&a->plan, work);
    a->delta = (real *)at;
    at += arena_round(batch_numbers(a) * sizeof(real));
    a->target = (real *)at;
    a->frame_memory = (real *)(at + target_bytes(a));
}

AttackFrame attacker_frame(const Attacker *a, uint32_t step)
{
    size_t array = arena_round(batch_numbers(a) * sizeof(real));
    char *at = (char *)a->frame_memory + step % a->frames * frame_bytes(a);

    assert(step < a->done && step + a->frames >= a->done);
    return (AttackFrame){ .before = (real *)at,
                          .gradient = (real *)(at + array),
                          .moved = (real *)(at + 2 * array),
                          .norm = (real *)(at + 3 * array) };
}

/* --- what the units do --- */

typedef struct Work {
    const Attacker *attacker;
    const AttackBatch *batch;
    AttackFrame frame;
    const real *in;
    real *out, *second;
} Work;

static void run_images(const Attacker *a, Pool *pool, PoolBody body, const Work *work)
{
    Work copy = *work;

    copy.attacker = a;
    pool_run(pool, a->images, body, &copy);
}

/* The channel's pixel bounds of delta: -x..1 - x. */
static real clip(const Attacker *a, real u, uint32_t c, real delta)
{
    real x = u * (real)a->network->std[c] + (real)a->network->mean[c];
    real low = -x, high = 1 - x;

    return delta < low ? low : delta > high ? high : delta;
}

static void clip_lane(const Attacker *a, const AttackLane *lane, const real *u, real *delta)
{
    EACH_NUMBER(lane, at, c, delta[at] = clip(a, u[at], c, delta[at]));
}

static void start_image(void *context, size_t i)
{
    const Work *w = context;
    const Attacker *a = w->attacker;
    AttackLane lane;
    size_t first = lane_of(a, (uint32_t)i, &lane);
    Rng rng = rng_at(w->batch->seed, RNG_ATTACK, w->batch->stream, w->batch->items[i]);

    a->row->start(&lane, &rng, a->eps, a->delta + first);
    clip_lane(a, &lane, a->images_at + first, a->delta + first);
}

static void place_image(void *context, size_t i)
{
    const Work *w = context;
    const Attacker *a = w->attacker;
    AttackLane lane;
    size_t first = lane_of(a, (uint32_t)i, &lane);
    const real *u = a->images_at + first, *delta = w->in + first;
    real *out = w->out + first;

    EACH_NUMBER(&lane, at, c, out[at] = u[at] + delta[at] / (real)a->network->std[c]);
}

static void scale_image(void *context, size_t i)
{
    const Work *w = context;
    AttackLane lane;
    real *g = w->out + lane_of(w->attacker, (uint32_t)i, &lane);

    EACH_NUMBER(&lane, at, c, g[at] /= (real)w->attacker->network->std[c]);
}

/* 0 where there is nothing to go by: division by less than this could overflow. */
static const double norm_min = 1e-30;

static real norm_of(const AttackLane *lane, const real *g)
{
    double sum = 0;

    EACH_NUMBER(lane, at, c, sum += (double)g[at] * (double)g[at]);
    sum = sqrt(sum);
    return isfinite((real)sum) && sum >= norm_min ? (real)sum : 0;
}

static void step_image(void *context, size_t i)
{
    const Work *w = context;
    const Attacker *a = w->attacker;
    AttackLane lane;
    size_t first = lane_of(a, (uint32_t)i, &lane);
    real *before = w->frame.before + first, *g = w->frame.gradient + first,
         *z = w->frame.moved + first, *delta = a->delta + first;
    const real *u = w->in + first;
    real norm;

    EACH_NUMBER(&lane, at, c, {
        before[at] = delta[at];
        z[at] = delta[at];
        g[at] = u[at] / (real)a->network->std[c];
    });
    norm = norm_of(&lane, g);
    w->frame.norm[i] = norm;
    if (norm > 0)
        a->row->move(&lane, a->step_size, before, g, norm, z);
    a->row->project(&lane, a->eps, z, delta);
    clip_lane(a, &lane, a->images_at + first, delta);
}

/* v passes the clip where what was projected lies strictly inside the pixel's bounds. */
static void pull_clip(const Attacker *a, const AttackLane *lane, size_t first, const real *z,
                      const real *v, real *projected, real *ret)
{
    a->row->project(lane, a->eps, z, projected);
    EACH_NUMBER(lane, at, c, {
        const real *u = a->images_at + first;
        real x = u[at] * (real)a->network->std[c] + (real)a->network->mean[c];
        bool inside = projected[at] > -x && projected[at] < 1 - x;

        ret[at] = inside ? v[at] : 0;
    });
}

static void pull_image(void *context, size_t i)
{
    const Work *w = context;
    const Attacker *a = w->attacker;
    AttackLane lane;
    size_t first = lane_of(a, (uint32_t)i, &lane);
    const real *z = w->frame.moved + first;
    real *p = w->out + first, *q = w->second + first;

    pull_clip(a, &lane, first, z, w->in + first, q, p); /* q: working memory until its turn */
    a->row->pull_project(&lane, a->eps, z, p, p);
    if (w->frame.norm[i] > 0 && a->row->pull_direction != NULL)
        a->row->pull_direction(&lane, w->frame.gradient + first, w->frame.norm[i], p, q);
    else
        EACH_NUMBER(&lane, at, c, q[at] = 0);
}

/* --- the calls --- */

void attack_place(const Attacker *a, Pool *pool, const real *delta, real *ret_image)
{
    run_images(a, pool, place_image, &(Work){ .in = delta, .out = ret_image });
}

void attack_to_pixels(const Attacker *a, Pool *pool, real *gradient)
{
    run_images(a, pool, scale_image, &(Work){ .out = gradient });
}

/* A pass in eval mode changes nothing of the network; what it draws (noise) is the same in all. */
static RunContext fixed(const RunContext *context)
{
    RunContext ret = *context;

    ret.seed = 0;
    ret.step = 0;
    ret.gradients = NULL;
    ret.keep_statistics = true;
    return ret;
}

/* softmax of the logits of the unchanged images, in double: what CE(f(x + delta), f(x)) is
 * measured against. */
static void predict(const Attacker *a, const RunContext *context)
{
    Tensor image = plan_tensor(&a->plan, a->network->image), logits;
    size_t classes = a->network->input.classes;

    memcpy(image.data, a->images_at, batch_numbers(a) * sizeof *image.data);
    /* The loss behind the logits is computed as well: of whatever, but of something. */
    memset(plan_tensor(&a->plan, a->network->target).data, 0, a->images * classes * sizeof(real));
    run_forward(&a->plan, context);
    logits = plan_tensor(&a->plan, a->network->logits);
    for (uint32_t i = 0; i < a->images; i++) {
        const real *x = logits.data + i * classes;
        real *t = a->target + i * classes;
        double top = (double)x[0], sum = 0;

        for (size_t k = 1; k < classes; k++)
            top = (double)x[k] > top ? (double)x[k] : top;
        for (size_t k = 0; k < classes; k++)
            sum += exp((double)x[k] - top);
        for (size_t k = 0; k < classes; k++)
            t[k] = (real)(exp((double)x[k] - top) / sum);
    }
}

void attack_begin(Attacker *a, const RunContext *context, const AttackBatch *batch)
{
    RunContext run = fixed(context);

    a->images_at = batch->images;
    a->done = 0;
    if (batch->targets == NULL)
        predict(a, &run);
    else
        memcpy(a->target, batch->targets,
               (size_t)a->images * a->network->input.classes * sizeof *a->target);
    if (a->start == ATTACK_START_ZERO || a->eps == 0)
        memset(a->delta, 0, batch_numbers(a) * sizeof *a->delta);
    else
        run_images(a, context->pool, start_image, &(Work){ .batch = batch });
}

static void load(const Attacker *a, Pool *pool)
{
    Tensor target = plan_tensor(&a->plan, a->network->target);

    attack_place(a, pool, a->delta, plan_tensor(&a->plan, a->network->image).data);
    memcpy(target.data, a->target, shape_count(&target.shape) * sizeof *target.data);
}

void attack_step(Attacker *a, const RunContext *context)
{
    RunContext run = fixed(context);
    real *seed = plan_gradient(&a->plan, a->network->loss).data;

    load(a, context->pool);
    run_forward(&a->plan, &run);
    for (uint32_t i = 0; i < a->images; i++)
        seed[i] = 1; /* L sums over the images */
    run_backward(&a->plan, &run);
    a->done++;
    run_images(a, context->pool, step_image,
               &(Work){ .frame = attacker_frame(a, a->done - 1),
                        .in = plan_gradient(&a->plan, a->network->image).data });
}

void attack_run(Attacker *a, const RunContext *context, const AttackBatch *batch)
{
    attack_begin(a, context, batch);
    while (a->done < a->steps && a->eps > 0)
        attack_step(a, context);
}

void attack_losses(Attacker *a, const RunContext *context, real *ret_losses)
{
    RunContext run = fixed(context);

    load(a, context->pool);
    run_forward(&a->plan, &run);
    memcpy(ret_losses, plan_tensor(&a->plan, a->network->loss).data, a->images * sizeof(real));
}

void attack_pull(const Attacker *a, Pool *pool, uint32_t step, const real *v, real *ret_p,
                 real *ret_q)
{
    run_images(a, pool, pull_image,
               &(Work){ .frame = attacker_frame(a, step), .in = v, .out = ret_p, .second = ret_q });
}
