/*
 * Every attack has a plan of its own for each batch size; they share their memory. One batch goes
 * through all attacks before the next.
 */
#include "core/quality/robustness.h"

#include <stdlib.h>
#include <string.h>

/* Of one batch size. */
typedef struct AttackEngine {
    uint32_t images;
    Attacker *attacker; /* [attacks] */
} AttackEngine;

typedef struct AttackRoom {
    void *work, *state, *scratch;
    real *images, *targets, *losses; /* [N,H,W,C] blocked, [N,K], [N] */
    uint16_t *labels;                /* [N] */
    uint32_t *items;                 /* [N] */
} AttackRoom;

struct Robustness {
    Subject subject;
    uint32_t attacks, batch, engines;
    uint64_t seed;
    AttackEngine engine[2]; /* of full batches, and of the rest */
    size_t bytes;           /* of the room */
    Arena arena;
    AttackRoom room;
    Samples samples;
    Pool *pool; /* borrowed */
    const Kernels *kernels;
};

/* --- what it takes --- */

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Attacker 0 changes nothing: the images as they are. */
static Status plan_engine(Robustness *r, const RobustnessSpec *spec, uint32_t images,
                          AttackEngine *ret, Error *err)
{
    Status s = STATUS_OK;

    ret->images = images;
    ret->attacker = calloc(r->attacks, sizeof *ret->attacker);
    if (ret->attacker == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate %u attacks", r->attacks);
    for (uint32_t i = 0; i < r->attacks && s == STATUS_OK; i++) {
        Choice choice;

        if (i == 0) {
            choice_init(attack_table, 0, &choice);
            choice.value[ATTACK_EPS] = 0;
        } else {
            choice = spec->attack[i - 1];
        }
        s = attacker_init(&ret->attacker[i], &r->subject.network, &choice, images, false, err);
    }
    return s;
}

enum {
    ROOM_WORK,
    ROOM_STATE,
    ROOM_SCRATCH,
    ROOM_IMAGES,
    ROOM_TARGETS,
    ROOM_LOSSES,
    ROOM_LABELS,
    ROOM_ITEMS,
    ROOM_PARTS
};

/* Answers the bytes; `memory` and `ret` may be NULL. */
static size_t layout(const Robustness *r, char *memory, AttackRoom *ret)
{
    const ModelInput *in = &r->subject.network.input;
    size_t n = r->batch, image = (size_t)in->height * in->width * in->channels;
    size_t work = 0, state = 0, bytes = 0;

    for (uint32_t i = 0; i < r->engines; i++) {
        for (uint32_t k = 0; k < r->attacks; k++) {
            work = larger(work, r->engine[i].attacker[k].plan.bytes);
            state = larger(state, r->engine[i].attacker[k].state_bytes);
        }
    }
    {
        const size_t sizes[ROOM_PARTS] = {
            [ROOM_WORK] = work,
            [ROOM_STATE] = state,
            [ROOM_SCRATCH] = loader_scratch_bytes(&r->subject.loader, r->batch),
            [ROOM_IMAGES] = n * image * sizeof(real),
            [ROOM_TARGETS] = n * in->classes * sizeof(real),
            [ROOM_LOSSES] = n * sizeof(real),
            [ROOM_LABELS] = n * sizeof(uint16_t),
            [ROOM_ITEMS] = n * sizeof(uint32_t),
        };
        char *at[ROOM_PARTS];

        for (int i = 0; i < ROOM_PARTS; i++) {
            at[i] = memory + bytes;
            bytes += arena_round(sizes[i]);
        }
        if (ret != NULL)
            *ret = (AttackRoom){ .work = at[ROOM_WORK],
                                 .state = at[ROOM_STATE],
                                 .scratch = at[ROOM_SCRATCH],
                                 .images = (real *)at[ROOM_IMAGES],
                                 .targets = (real *)at[ROOM_TARGETS],
                                 .losses = (real *)at[ROOM_LOSSES],
                                 .labels = (uint16_t *)at[ROOM_LABELS],
                                 .items = (uint32_t *)at[ROOM_ITEMS] };
    }
    return bytes;
}

/* Everything but tensor memory. *r is to be closed, whatever has failed. */
static Status robustness_open(Robustness *r, const RobustnessSpec *spec, const Dataset *dataset,
                              Error *err)
{
    uint32_t sizes[2];
    Status s = subject_open(&spec->subject, dataset, &r->subject, err);

    r->attacks = spec->attacks + 1;
    r->seed = spec->seed;
    r->batch = r->subject.images < ROBUSTNESS_BATCH ? r->subject.images : ROBUSTNESS_BATCH;
    sizes[0] = r->batch;
    sizes[1] = r->batch == 0 ? 0 : r->subject.images % r->batch;
    while (s == STATUS_OK && r->engines < 2 && sizes[r->engines] > 0) {
        r->engines++;
        s = plan_engine(r, spec, sizes[r->engines - 1], &r->engine[r->engines - 1], err);
    }
    if (s == STATUS_OK)
        r->bytes = layout(r, NULL, NULL);
    return s;
}

static void robustness_close(Robustness *r)
{
    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t k = 0; r->engine[i].attacker != NULL && k < r->attacks; k++)
            attacker_clear(&r->engine[i].attacker[k]);
        free(r->engine[i].attacker);
    }
    samples_clear(&r->samples);
    arena_clear(&r->arena);
    subject_close(&r->subject);
}

/* A step forward and back costs about three times a forward pass; then one to look. */
static double flops_of(const Robustness *r)
{
    double passes = 0;

    for (uint32_t k = 0; k < r->attacks; k++)
        passes += 1 + (r->engine[0].attacker[k].eps > 0 ? 3.0 * r->engine[0].attacker[k].steps : 0);
    return passes * r->engine[0].attacker[0].plan.forward_flops / r->batch * r->subject.images;
}

Status robustness_estimate(const RobustnessSpec *spec, const Dataset *dataset,
                           RobustnessEstimate *ret, Error *err)
{
    Robustness r = { 0 };
    Status s = robustness_open(&r, spec, dataset, err);

    if (s == STATUS_OK)
        *ret = (RobustnessEstimate){
            .memory_bytes = r.bytes +
                            arena_round(r.subject.network.graph.weight_numbers * sizeof(real)) +
                            samples_bytes(r.attacks, r.subject.images),
            .flops = flops_of(&r),
        };
    robustness_close(&r);
    return s;
}

Status robustness_new(const RobustnessSpec *spec, const Dataset *dataset, Pool *pool,
                      Robustness **ret, Error *err)
{
    Robustness *r = calloc(1, sizeof *r);
    Status s;

    if (r == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a measurement");
    r->pool = pool;
    s = robustness_open(r, spec, dataset, err);
    if (s == STATUS_OK)
        s = subject_take_weights(&r->subject, err);
    if (s == STATUS_OK)
        s = kernels_select(NULL, &r->kernels, err);
    if (s == STATUS_OK)
        s = samples_new(r->attacks, r->subject.images, &r->samples, err);
    if (s == STATUS_OK)
        s = arena_init(&r->arena, r->bytes, err);
    if (s == STATUS_OK) {
        (void)layout(r, r->arena.base, &r->room);
        *ret = r;
    } else {
        robustness_free(r);
    }
    return s;
}

void robustness_free(Robustness *r)
{
    if (r == NULL)
        return;
    robustness_close(r);
    free(r);
}

Samples *robustness_samples(Robustness *r)
{
    return &r->samples;
}

/* --- the work --- */

static void load_batch(const Robustness *r, uint32_t at, uint32_t count)
{
    const AttackRoom *room = &r->room;
    const size_t classes = r->subject.network.input.classes;
    const BatchSpec batch = {
        .split = r->subject.split, .items = room->items, .count = count, .scratch = room->scratch
    };

    for (uint32_t i = 0; i < count; i++)
        room->items[i] = at + i;
    loader_batch(&r->subject.loader, r->pool, &batch, room->images, room->labels, NULL);
    memset(room->targets, 0, count * classes * sizeof *room->targets);
    for (uint32_t i = 0; i < count; i++)
        room->targets[i * classes + room->labels[i]] = 1;
}

/* Which of the images the network is right about where the attacker has left them. */
static void judge(const Robustness *r, Attacker *attacker, const RunContext *context, uint32_t at,
                  uint32_t count, uint32_t column)
{
    const uint32_t classes = r->subject.network.input.classes;
    float *value = r->samples.value + (size_t)column * r->samples.images + at;
    const real *logits;

    attack_losses(attacker, context, r->room.losses);
    logits = plan_tensor(&attacker->plan, r->subject.network.logits).data;
    for (uint32_t i = 0; i < count; i++)
        value[i] =
            largest_logit(logits + (size_t)i * classes, classes) == r->room.labels[i] ? 1 : 0;
}

static Status run_batch(Robustness *r, uint32_t at, uint32_t count, const atomic_int *stop,
                        Error *err)
{
    const AttackEngine *engine = &r->engine[count < r->batch];
    const RunContext context = { .pool = r->pool,
                                 .kernels = r->kernels,
                                 .weights = r->subject.network.weights,
                                 .keep_statistics = true };
    const AttackBatch batch = { .images = r->room.images,
                                .targets = r->room.targets,
                                .items = r->room.items,
                                .seed = r->seed,
                                .stream = r->subject.split };

    load_batch(r, at, count);
    for (uint32_t k = 0; k < r->attacks; k++) {
        Attacker *a = &engine->attacker[k];

        attacker_bind(a, r->room.work, r->room.state);
        attack_begin(a, &context, &batch);
        while (a->done < a->steps && a->eps > 0) {
            if (stop != NULL && atomic_load(stop) != 0)
                return error_set(err, STATUS_STOPPED, "stopped after %u images", at);
            attack_step(a, &context);
        }
        judge(r, a, &context, at, count, k);
    }
    return STATUS_OK;
}

Status robustness_run(Robustness *r, const atomic_int *stop,
                      Status (*batch)(void *context, uint32_t images, Error *err), void *context,
                      Error *err)
{
    Samples *samples = &r->samples;
    Status s = STATUS_OK;

    while (s == STATUS_OK && samples->done < samples->images) {
        uint32_t rest = samples->images - samples->done;
        uint32_t count = rest < r->batch ? rest : r->batch;

        if (stop != NULL && atomic_load(stop) != 0)
            return error_set(err, STATUS_STOPPED, "stopped after %u images", samples->done);
        s = run_batch(r, samples->done, count, stop, err);
        if (s == STATUS_OK)
            samples->done += count;
        if (s == STATUS_OK && batch != NULL)
            s = batch(context, samples->done, err);
    }
    return s;
}
