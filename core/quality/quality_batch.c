/*
 * A batch is scored as it is, which names the classes; explained for those; then each metric's
 * altered pictures, one of every image at a time, are scored; at last the maps are made once more
 * at every level of the cascade. A unit of the work between passes is an image.
 */
#include <string.h>

#include "core/data/heatmap.h"
#include "core/quality/quality_internal.h"
#include "core/quality/saliency.h"

/* What units of a batch look at. */
typedef struct Turn {
    Quality *q;
    QualityEngine *engine;
    uint32_t at, count;
    const Metric *metric;
    uint32_t pass, column;
    float *map, *signed_map; /* where maps go */
} Turn;

static size_t image_numbers(const Quality *q)
{
    return (size_t)quality_pixels(q) * q->subject.network.input.channels;
}

static Picture picture_of(const Turn *t, uint32_t i)
{
    const Quality *q = t->q;
    const ModelInput *in = &q->subject.network.input;
    size_t pixels = quality_pixels(q);
    const QualityRoom *r = &q->room;

    return (Picture){ .height = in->height,
                      .width = in->width,
                      .channels = in->channels,
                      .pixels = r->plain + i * image_numbers(q),
                      .saliency = { r->map + i * pixels, r->signed_map + i * pixels },
                      .order = r->order + i * pixels,
                      .mask = loader_mask(&q->subject.loader, q->subject.split, t->at + i),
                      .score = r->score[i],
                      .seed = q->spec.seed,
                      .item = t->at + i };
}

static double *room_of(const Turn *t, size_t i)
{
    return t->q->room.metric + i * METRIC_ROOM * quality_pixels(t->q);
}

/* --- the network --- */

static RunContext context_of(const Quality *q, real *weights)
{
    return (RunContext){
        .pool = q->pool, .kernels = q->kernels, .weights = weights, .keep_statistics = true
    };
}

/* Binds the scorer, whose image the caller then writes. */
static real *scorer_image(const Turn *t)
{
    plan_bind(&t->engine->scorer, t->q->room.work);
    return plan_tensor(&t->engine->scorer, t->q->subject.network.image).data;
}

/* Answers the logits [N,classes]. */
static const real *run_scorer(const Turn *t)
{
    RunContext context = context_of(t->q, t->q->subject.network.weights);

    run_forward(&t->engine->scorer, &context);
    return plan_tensor(&t->engine->scorer, t->q->subject.network.logits).data;
}

static void plain_image(void *context, size_t i)
{
    const Turn *t = context;
    const QualityRoom *r = &t->q->room;

    lane_read(quality_pixels(t->q), t->q->subject.network.input.channels, t->count, (uint32_t)i,
              r->images, r->plain + i * image_numbers(t->q));
}

/* The images, what the network makes of them, and the classes that maps are of. */
static void begin(const Turn *t)
{
    Quality *q = t->q;
    QualityRoom *r = &q->room;
    uint32_t classes = q->subject.network.input.classes;
    const BatchSpec batch = {
        .split = q->subject.split, .items = r->items, .count = t->count, .scratch = r->scratch
    };
    const real *logits;

    for (uint32_t i = 0; i < t->count; i++)
        r->items[i] = t->at + i;
    loader_batch(&q->subject.loader, q->pool, &batch, r->images, r->labels, NULL);
    pool_run(q->pool, t->count, plain_image, (void *)t);
    memcpy(scorer_image(t), r->images, t->count * image_numbers(q) * sizeof *r->images);
    logits = run_scorer(t);
    for (uint32_t i = 0; i < t->count; i++) {
        r->classes[i] = largest_logit(logits + (size_t)i * classes, classes);
        r->score[i] = probability_of(logits + (size_t)i * classes, classes, r->classes[i]);
    }
}

/* --- maps --- */

/* An attack's delta as a map of pixels: the sum of |delta| over the channels. */
static void delta_map(const Turn *t, size_t i, float *ret)
{
    const Quality *q = t->q;
    size_t pixels = quality_pixels(q), channels = q->subject.network.input.channels;
    float *delta = q->room.altered + i * image_numbers(q);

    lane_read(pixels, channels, t->count, (uint32_t)i, t->engine->explanation.delta, delta);
    for (size_t p = 0; p < pixels; p++) {
        ret[p] = 0;
        for (size_t c = 0; c < channels; c++)
            ret[p] +=
                delta[p * channels + c] < 0 ? -delta[p * channels + c] : delta[p * channels + c];
    }
}

static void map_image(void *context, size_t i)
{
    const Turn *t = context;
    const Quality *q = t->q;
    const ModelInput *in = &q->subject.network.input;
    size_t numbers = (size_t)q->map_height * q->map_width, pixels = quality_pixels(q);
    float *raw = q->room.raw + i * numbers;

    if (q->baseline != NULL) {
        Picture picture = picture_of(t, (uint32_t)i);

        q->baseline->draw(&picture, q->map_height, q->map_width, raw);
    } else if (t->engine->explanation.shape.kind == MAP_DELTA) {
        delta_map(t, i, raw);
    } else {
        memcpy(raw, t->engine->explanation.maps + i * numbers, numbers * sizeof *raw);
    }
    heatmap_resize(q->map_height, q->map_width, raw, in->height, in->width, 1,
                   t->signed_map + i * pixels);
    saliency_of(q->map_height, q->map_width, raw, in->height, in->width, t->map + i * pixels);
}

/* Maps of the batch by the network with these weights, to where the turn says. */
static void make_maps(const Turn *t, real *weights)
{
    Quality *q = t->q;
    QualityRoom *r = &q->room;

    if (q->baseline == NULL) {
        Explanation *e = &t->engine->explanation;
        RunContext context = context_of(q, weights);

        explanation_bind(e, r->work, r->state);
        explanation_run(e, &context,
                        &(ExplanationBatch){ .images = r->images,
                                             .labels = r->labels,
                                             .items = r->items,
                                             .classes = r->classes,
                                             .split = q->subject.split,
                                             .seed = q->spec.seed });
    }
    pool_run(q->pool, t->count, map_image, (void *)t);
}

static void order_image(void *context, size_t i)
{
    const Turn *t = context;
    size_t pixels = quality_pixels(t->q);

    saliency_order(t->q->room.map + i * pixels, pixels, (uint64_t *)(void *)room_of(t, i),
                   t->q->room.order + i * pixels);
}

/* --- metrics --- */

static void keep(const Turn *t, uint32_t column, uint32_t i, double value)
{
    t->q->samples.value[(size_t)column * t->q->samples.images + t->at + i] = (float)value;
}

static void alter_image(void *context, size_t i)
{
    const Turn *t = context;
    const Quality *q = t->q;
    Picture picture = picture_of(t, (uint32_t)i);
    float *altered = q->room.altered + i * image_numbers(q);

    t->metric->alter(&picture, t->pass, room_of(t, i), altered);
    lane_write(quality_pixels(q), q->subject.network.input.channels, t->count, (uint32_t)i, altered,
               plan_tensor(&t->engine->scorer, q->subject.network.image).data);
}

static void value_image(void *context, size_t i)
{
    const Turn *t = context;
    Picture picture = picture_of(t, (uint32_t)i);

    keep(t, t->column, (uint32_t)i,
         t->metric->value(&picture, t->q->room.scores + i * t->q->passes));
}

static void score_pass(const Turn *t)
{
    const Quality *q = t->q;
    uint32_t classes = q->subject.network.input.classes;
    const real *logits;

    (void)scorer_image(t);
    pool_run(q->pool, t->count, alter_image, (void *)t);
    logits = run_scorer(t);
    for (uint32_t i = 0; i < t->count; i++)
        q->room.scores[(size_t)i * q->passes + t->pass] =
            probability_of(logits + (size_t)i * classes, classes, q->room.classes[i]);
}

static Status stopped(const atomic_int *stop, uint32_t images, Error *err)
{
    if (stop == NULL || atomic_load(stop) == 0)
        return STATUS_OK;
    return error_set(err, STATUS_STOPPED, "stopped after %u images", images);
}

static Status measure(const Turn *turn, const atomic_int *stop, Error *err)
{
    Turn t = *turn;
    uint32_t passes = t.metric->passes == NULL ? 0 : t.metric->passes(quality_pixels(t.q));

    for (t.pass = 0; t.pass < passes; t.pass++) {
        Status s = stopped(stop, t.at, err);

        if (s != STATUS_OK)
            return s;
        score_pass(&t);
    }
    pool_run(t.q->pool, t.count, value_image, &t);
    return STATUS_OK;
}

static void compare_image(void *context, size_t i)
{
    const Turn *t = context;
    const QualityRoom *r = &t->q->room;
    size_t pixels = quality_pixels(t->q);
    Picture picture = picture_of(t, (uint32_t)i);
    const Saliency other = { r->other + i * pixels, r->signed_other + i * pixels };
    double likeness[LIKENESSES];

    t->metric->compare(&picture, &other, room_of(t, i), likeness);
    for (uint32_t k = 0; k < LIKENESSES; k++)
        keep(t, t->column + k, (uint32_t)i, likeness[k]);
}

/* From the top down, all metrics that compare at each level. */
static Status descend(const Turn *turn, const atomic_int *stop, Error *err)
{
    Turn t = *turn;
    Quality *q = t.q;
    const Graph *graph = &q->subject.network.graph;

    t.map = q->room.other;
    t.signed_map = q->room.signed_other;
    memcpy(q->room.weights, q->subject.network.weights, graph->weight_numbers * sizeof(real));
    for (uint32_t level = 0; level < q->cascade.levels; level++) {
        Status s = stopped(stop, t.at, err);

        if (s != STATUS_OK)
            return s;
        cascade_apply(&q->cascade, level, q->random.weights, q->room.weights);
        make_maps(&t, q->room.weights);
        for (uint32_t i = 0; metric_table[i] != NULL; i++) {
            if ((q->comparing & 1U << i) == 0)
                continue;
            t.metric = metric_table[i];
            t.column = q->column[i] + level * LIKENESSES;
            pool_run(q->pool, t.count, compare_image, &t);
        }
    }
    return STATUS_OK;
}

Status quality_batch(Quality *q, uint32_t at, uint32_t count, const atomic_int *stop, Error *err)
{
    Turn t = { .q = q,
               .engine = &q->engine[count < q->batch],
               .at = at,
               .count = count,
               .map = q->room.map,
               .signed_map = q->room.signed_map };
    Status s = stopped(stop, at, err);

    if (s != STATUS_OK)
        return s;
    begin(&t);
    make_maps(&t, q->subject.network.weights);
    pool_run(q->pool, count, order_image, &t);
    for (uint32_t i = 0; metric_table[i] != NULL && s == STATUS_OK; i++) {
        if ((q->spec.metrics & ~q->comparing & 1U << i) == 0)
            continue;
        t.metric = metric_table[i];
        t.column = q->column[i];
        s = measure(&t, stop, err);
    }
    return s == STATUS_OK && q->comparing != 0 ? descend(&t, stop, err) : s;
}
