/*
 * Opening finds out what everything takes: columns of samples, plans of both batch sizes, the room.
 * An estimate stops there; the rest takes the memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/quality/quality_internal.h"
#include "core/quality/quality_table.h"

const char *const quality_methods[] = {
#define X(name) #name,
    SOURCE_TABLE(X) BASELINE_TABLE(X)
#undef X
        NULL,
};

enum {
#define X(name) +1
    SOURCES = 0 SOURCE_TABLE(X),
    METHODS = SOURCES BASELINE_TABLE(X),
#undef X
};

static bool wants(const Quality *q, uint32_t metric)
{
    return (q->spec.metrics & 1U << metric) != 0;
}

/* --- what it takes --- */

/* The method, and the resolution of its maps. Its errors are named as this specification's. */
static Status find_method(Quality *q, ExplanationSpec *ret, Error *err)
{
    const Network *n = &q->subject.network;
    Error why = { 0 };
    MapShape shape;
    Status s;

    if (q->spec.method >= METHODS)
        return error_at(err, STATUS_INVALID, "/method", "is no method");
    if (q->spec.method >= SOURCES) {
        Shape map = graph_shape(&n->graph, n->map, 1);

        q->baseline = baseline_table[q->spec.method - SOURCES];
        q->map_height = q->baseline->coarse ? map.dim[1] : n->input.height;
        q->map_width = q->baseline->coarse ? map.dim[2] : n->input.width;
        return q->spec.layer[0] == '\0'
                   ? STATUS_OK
                   : error_at(err, STATUS_INVALID, "/layer", "\"%s\" takes no layer",
                              quality_methods[q->spec.method]);
    }
    *ret = explanation_default((uint32_t)explanation_find(quality_methods[q->spec.method]));
    snprintf(ret->layer, sizeof ret->layer, "%s", q->spec.layer);
    ret->target = TARGET_PREDICTION;
    /* Maps that are fused are fused without their sign. */
    ret->signed_maps = !explanation_is_attack(ret->source) && strchr(ret->layer, ',') == NULL;
    s = explanation_check(ret, n, &why);
    if (s != STATUS_OK)
        return error_at(err, s, strcmp(why.detail[0].pointer, "/layer") == 0 ? "/layer" : "/method",
                        "%s", error_message(&why));
    shape = explanation_shape(ret, n, 1);
    q->map_height = shape.height;
    q->map_width = shape.width;
    return STATUS_OK;
}

static uint32_t batch_of(const Quality *q, const ExplanationSpec *spec)
{
    const Cam *cam = q->baseline != NULL || explanation_is_attack(spec->source)
                         ? NULL
                         : explanation_cam(spec->source);

    if (cam != NULL && (cam->needs & CAM_SCORES) != 0)
        return QUALITY_BATCH_SCORES;
    return cam != NULL && cam->samples > 0 ? QUALITY_BATCH_SAMPLES : QUALITY_BATCH;
}

static Status plan_engines(Quality *q, const ExplanationSpec *spec, Error *err)
{
    uint32_t batch = batch_of(q, spec), sizes[2];
    PlanSpec to_logits = { .output = q->subject.network.logits,
                           .gradient_to = NODE_NONE,
                           .keep = { NODE_NONE } };

    q->batch = q->subject.images < batch ? q->subject.images : batch;
    sizes[0] = q->batch;
    sizes[1] = q->batch == 0 ? 0 : q->subject.images % q->batch;
    for (; q->engines < 2 && sizes[q->engines] > 0; q->engines++) {
        QualityEngine *e = &q->engine[q->engines];
        Status s;

        e->images = to_logits.images = sizes[q->engines];
        s = plan_init(&e->scorer, &q->subject.network.graph, &to_logits, err);
        if (s == STATUS_OK && q->baseline == NULL)
            s = explanation_init(&e->explanation, &q->subject.network, spec, e->images, err);
        if (s != STATUS_OK)
            return s;
    }
    return STATUS_OK;
}

/* Columns of samples, and the passes of the metrics. */
static Status plan_metrics(Quality *q, uint32_t *ret_columns, Error *err)
{
    bool masks = loader_mask(&q->subject.loader, q->subject.split, 0) != NULL;
    uint32_t columns = 0;

    for (uint32_t i = 0; metric_table[i] != NULL; i++) {
        const Metric *m = metric_table[i];
        uint32_t passes = m->passes == NULL ? 0 : m->passes(quality_pixels(q));

        if (!wants(q, i))
            continue;
        if (m->needs_mask && !masks)
            return error_at(err, STATUS_INVALID, "/metrics",
                            "\"%s\" needs images whose objects are known", m->described.name);
        if (m->compare != NULL)
            q->comparing |= 1U << i;
        q->column[i] = columns;
        q->passes = passes > q->passes ? passes : q->passes;
        columns += m->compare == NULL ? 1 : LIKENESSES * q->cascade.levels;
    }
    *ret_columns = columns;
    return STATUS_OK;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

enum {
    ROOM_WORK,
    ROOM_STATE,
    ROOM_SCRATCH,
    ROOM_IMAGES,
    ROOM_LABELS,
    ROOM_ITEMS,
    ROOM_CLASSES,
    ROOM_PLAIN,
    ROOM_ALTERED,
    ROOM_MAP,
    ROOM_SIGNED_MAP,
    ROOM_OTHER,
    ROOM_SIGNED_OTHER,
    ROOM_RAW,
    ROOM_ORDER,
    ROOM_METRIC,
    ROOM_SCORE,
    ROOM_SCORES,
    ROOM_WEIGHTS,
    ROOM_PARTS
};

/* Answers the bytes; `memory` and `ret` may be NULL. */
static size_t layout(const Quality *q, char *memory, QualityRoom *ret)
{
    const Network *network = &q->subject.network;
    size_t n = q->batch, pixels = quality_pixels(q), image = pixels * network->input.channels;
    size_t raw = larger((size_t)q->map_height * q->map_width, pixels);
    size_t work = 0, state = 0, bytes = 0;

    for (uint32_t i = 0; i < q->engines; i++) {
        work = larger(work, larger(q->engine[i].scorer.bytes, q->engine[i].explanation.work_bytes));
        state = larger(state, q->engine[i].explanation.state_bytes);
    }
    {
        const size_t sizes[ROOM_PARTS] = {
            [ROOM_WORK] = work,
            [ROOM_STATE] = state,
            [ROOM_SCRATCH] = loader_scratch_bytes(&q->subject.loader, q->batch),
            [ROOM_IMAGES] = n * image * sizeof(real),
            [ROOM_LABELS] = n * sizeof(uint16_t),
            [ROOM_ITEMS] = n * sizeof(uint32_t),
            [ROOM_CLASSES] = n * sizeof(uint32_t),
            [ROOM_PLAIN] = n * image * sizeof(float),
            [ROOM_ALTERED] = n * image * sizeof(float),
            [ROOM_MAP] = n * pixels * sizeof(float),
            [ROOM_SIGNED_MAP] = n * pixels * sizeof(float),
            [ROOM_OTHER] = n * pixels * sizeof(float),
            [ROOM_SIGNED_OTHER] = n * pixels * sizeof(float),
            [ROOM_RAW] = n * raw * sizeof(float),
            [ROOM_ORDER] = n * pixels * sizeof(uint32_t),
            [ROOM_METRIC] = n * METRIC_ROOM * pixels * sizeof(double),
            [ROOM_SCORE] = n * sizeof(double),
            [ROOM_SCORES] = n * q->passes * sizeof(double),
            [ROOM_WEIGHTS] = q->comparing == 0 ? 0 : network->graph.weight_numbers * sizeof(real),
        };
        char *at[ROOM_PARTS];

        for (int i = 0; i < ROOM_PARTS; i++) {
            at[i] = memory + bytes;
            bytes += arena_round(sizes[i]);
        }
        if (ret != NULL)
            *ret = (QualityRoom){ .work = at[ROOM_WORK],
                                  .state = at[ROOM_STATE],
                                  .scratch = at[ROOM_SCRATCH],
                                  .images = (real *)at[ROOM_IMAGES],
                                  .labels = (uint16_t *)at[ROOM_LABELS],
                                  .items = (uint32_t *)at[ROOM_ITEMS],
                                  .classes = (uint32_t *)at[ROOM_CLASSES],
                                  .plain = (float *)at[ROOM_PLAIN],
                                  .altered = (float *)at[ROOM_ALTERED],
                                  .map = (float *)at[ROOM_MAP],
                                  .signed_map = (float *)at[ROOM_SIGNED_MAP],
                                  .other = (float *)at[ROOM_OTHER],
                                  .signed_other = (float *)at[ROOM_SIGNED_OTHER],
                                  .raw = (float *)at[ROOM_RAW],
                                  .order = (uint32_t *)at[ROOM_ORDER],
                                  .metric = (double *)at[ROOM_METRIC],
                                  .score = (double *)at[ROOM_SCORE],
                                  .scores = (double *)at[ROOM_SCORES],
                                  .weights = (real *)at[ROOM_WEIGHTS] };
    }
    return bytes;
}

/* Everything but tensor memory. *q is to be closed, whatever has failed. */
static Status quality_open(Quality *q, const QualitySpec *spec, const Dataset *dataset,
                           uint32_t *ret_columns, Error *err)
{
    ExplanationSpec explanation = { 0 };
    Status s;

    q->spec = *spec;
    s = subject_open(&spec->subject, dataset, &q->subject, err);
    if (s == STATUS_OK)
        s = find_method(q, &explanation, err);
    for (uint32_t i = 0; s == STATUS_OK && metric_table[i] != NULL && q->cascade.levels == 0; i++)
        if (wants(q, i) && metric_table[i]->compare != NULL)
            s = cascade_init(&q->cascade, &q->subject.network.graph, err);
    if (s == STATUS_OK)
        s = plan_metrics(q, ret_columns, err);
    if (s == STATUS_OK)
        s = plan_engines(q, &explanation, err);
    if (s == STATUS_OK)
        q->bytes = layout(q, NULL, NULL);
    return s;
}

static void quality_close(Quality *q)
{
    for (uint32_t i = 0; i < 2; i++) {
        plan_clear(&q->engine[i].scorer);
        explanation_clear(&q->engine[i].explanation);
    }
    samples_clear(&q->samples);
    arena_clear(&q->arena);
    network_clear(&q->random);
    cascade_clear(&q->cascade);
    subject_close(&q->subject);
}

Status quality_estimate(const QualitySpec *spec, const Dataset *dataset, uint64_t *ret_bytes,
                        Error *err)
{
    Quality q = { 0 };
    uint32_t columns = 0;
    Status s = quality_open(&q, spec, dataset, &columns, err);

    if (s == STATUS_OK)
        *ret_bytes = q.bytes +
                     arena_round(q.subject.network.graph.weight_numbers * sizeof(real)) *
                         (q.comparing != 0 ? 2 : 1) +
                     samples_bytes(columns, q.subject.images);
    quality_close(&q);
    return s;
}

/* --- a measurement --- */

/* The network once more, as somebody might initialise it: not as its own training did. */
static Status take_random(Quality *q, Error *err)
{
    Rng rng = rng_at(q->spec.seed, RNG_QUALITY, DRAW_WEIGHTS, 0);
    uint64_t high = rng_u32(&rng), low = rng_u32(&rng);
    Status s = network_describe(&q->random, q->subject.file, err);

    if (s == STATUS_OK)
        s = network_take_weights(&q->random, err);
    if (s == STATUS_OK)
        network_randomise(&q->random, high << 32 | low);
    return s;
}

static Status take_memory(Quality *q, uint32_t columns, Error *err)
{
    Status s = subject_take_weights(&q->subject, err);

    if (s == STATUS_OK && q->comparing != 0)
        s = take_random(q, err);
    if (s == STATUS_OK)
        s = kernels_select(NULL, &q->kernels, err);
    if (s == STATUS_OK)
        s = samples_new(columns, q->subject.images, &q->samples, err);
    if (s == STATUS_OK)
        s = arena_init(&q->arena, q->bytes, err);
    if (s == STATUS_OK)
        (void)layout(q, q->arena.base, &q->room);
    return s;
}

Status quality_new(const QualitySpec *spec, const Dataset *dataset, Pool *pool, Quality **ret,
                   Error *err)
{
    Quality *q = calloc(1, sizeof *q);
    uint32_t columns = 0;
    Status s;

    if (q == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a measurement");
    q->pool = pool;
    s = quality_open(q, spec, dataset, &columns, err);
    if (s == STATUS_OK)
        s = take_memory(q, columns, err);
    if (s == STATUS_OK)
        *ret = q;
    else
        quality_free(q);
    return s;
}

void quality_free(Quality *q)
{
    if (q == NULL)
        return;
    quality_close(q);
    free(q);
}

Samples *quality_samples(Quality *q)
{
    return &q->samples;
}

Status quality_run(Quality *q, const atomic_int *stop,
                   Status (*batch)(void *context, uint32_t images, Error *err), void *context,
                   Error *err)
{
    Samples *samples = &q->samples;
    Status s = STATUS_OK;

    while (s == STATUS_OK && samples->done < samples->images) {
        uint32_t rest = samples->images - samples->done;
        uint32_t count = rest < q->batch ? rest : q->batch;

        s = quality_batch(q, samples->done, count, stop, err);
        if (s == STATUS_OK)
            samples->done += count;
        if (s == STATUS_OK && batch != NULL)
            s = batch(context, samples->done, err);
    }
    return s;
}

/* --- what came out --- */

Interval quality_result(const Quality *q, uint32_t metric)
{
    uint32_t last = (q->cascade.levels - 1) * LIKENESSES;

    if ((q->comparing & 1U << metric) == 0)
        return samples_interval(&q->samples, q->column[metric]);
    return samples_absolute(&q->samples, q->column[metric] + last + LIKENESS_SPEARMAN);
}

uint32_t quality_levels(const Quality *q)
{
    return q->cascade.levels;
}

const char *quality_level_name(const Quality *q, uint32_t level, size_t *ret_length)
{
    *ret_length = q->cascade.length[level];
    return q->cascade.name[level];
}

Interval quality_likeness(const Quality *q, uint32_t level, Likeness likeness)
{
    uint32_t metric = 0;

    while ((q->comparing & 1U << metric) == 0)
        metric++;
    return samples_interval(&q->samples, q->column[metric] + level * LIKENESSES + likeness);
}
