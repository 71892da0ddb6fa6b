/*
 * Maps that take more than one plan's pass forward and back:
 *
 * - CAM_SCORES: behind the forward pass, one image after the other, passes of up to CAM_LANES_MAX
 *   changed inputs of that image; the logits of all classes are kept.
 * - Samples: forward and backward at each of a method's inputs, the gradients added up in order.
 * - CAM_DELTA: the attacker's run.
 */
#include "core/explain/heat.h"

#include <string.h>

/* --- by changed inputs: CAM_SCORES --- */

typedef struct Scores {
    const Heat *heat;
    const HeatStage *stage;
    uint32_t image, first; /* of the batch; the channel of the first lane */
    const real *plain;     /* A of the image */
} Scores;

/* What follows a layer may look past it, too: there the image stays as it is. */
static void place_picture(const Explanation *e, const Plan *plan, const Shape *picture,
                          uint32_t lane)
{
    const size_t pixels = heat_pixels(picture), channels = picture->dim[3];
    size_t stride, at = heat_lane(picture, plan->spec.images, lane, &stride);
    real *to = plan_tensor(plan, e->network->image).data + at;

    for (size_t p = 0; p < pixels; p++)
        memcpy(to + p * stride, e->picture + p * channels, channels * sizeof *to);
}

/* Each lane of a pass has its channel's change. */
static void change_lane(void *context, size_t lane)
{
    const Scores *w = context;
    const Explanation *e = w->heat->e;
    const HeatStage *stage = w->stage;
    const Plan *plan = &stage->passes;
    const bool from_layer = (e->cam->needs & CAM_FROM_LAYER) != 0;
    const NodeId image = e->network->image;
    const Shape picture = graph_shape(&e->network->graph, image, 1);
    const Shape *one = from_layer ? &stage->shape : &picture;
    size_t stride, at = heat_lane(one, plan->spec.images, (uint32_t)lane, &stride);

    e->cam->pass(&(CamPass){ .index = w->first + (uint32_t)lane,
                             .height = one->dim[1],
                             .width = one->dim[2],
                             .channels = one->dim[3],
                             .from = from_layer ? w->plain : e->picture,
                             .stride = stride,
                             .layer_height = stage->shape.dim[1],
                             .layer_width = stage->shape.dim[2],
                             .layer_channels = stage->shape.dim[3],
                             .planes = e->planes },
                 plan_tensor(plan, from_layer ? stage->layer : image).data + at);
    if (from_layer && plan->node[image].runs)
        place_picture(e, plan, &picture, (uint32_t)lane);
}

/* The logits of an image's changed inputs, [classes,c]. */
static void score_image(const Scores *work)
{
    Scores w = *work;
    const Explanation *e = w.heat->e;
    const Plan *plan = &w.stage->passes;
    const uint32_t channels = w.stage->shape.dim[3], classes = e->network->input.classes;

    for (w.first = 0; w.first < channels; w.first += plan->spec.images) {
        const uint32_t rest = channels - w.first,
                       count = rest < plan->spec.images ? rest : plan->spec.images;
        const real *logits;

        /* Lanes behind the last channel have what lies there: nobody looks at their logits. */
        pool_run(w.heat->context->pool, count, change_lane, &w);
        run_forward(plan, w.heat->context);
        logits = plan_tensor(plan, e->network->logits).data;
        for (uint32_t lane = 0; lane < count; lane++)
            for (uint32_t k = 0; k < classes; k++)
                e->scores[(size_t)k * channels + w.first + lane] = logits[lane * classes + k];
    }
}

/* The maps of image i, behind score_image(). */
static void compute_scored(const Scores *w, float *ret)
{
    const Explanation *e = w->heat->e;
    const Shape *s = &w->stage->shape;
    const real *logits = e->clean + (size_t)w->image * e->network->input.classes;

    for (uint32_t k = 0; k < e->shape.maps; k++, ret += heat_pixels(s)) {
        const uint32_t class_index = heat_class(e, w->image, k);

        e->cam->compute(&(CamInput){ .height = s->dim[1],
                                     .width = s->dim[2],
                                     .channels = s->dim[3],
                                     .activation = w->plain,
                                     .scores = e->scores + (size_t)class_index * s->dim[3],
                                     .score = logits[class_index] },
                        ret);
    }
}

void heat_score_maps(Heat *h, const HeatStage *stage, float *ret)
{
    const Explanation *e = h->e;
    const size_t pixels = heat_pixels(&stage->shape), channels = stage->shape.dim[3];
    const Shape picture = graph_shape(&e->network->graph, e->network->image, 1);

    heat_forward(h, &stage->plan);
    memcpy(e->clean, plan_tensor(&stage->plan, e->network->logits).data,
           (size_t)e->images * e->network->input.classes * sizeof *e->clean);
    for (uint32_t i = 0; i < e->images; i++)
        heat_gather(&stage->shape, e->images, i, plan_tensor(&stage->plan, stage->layer).data, 1,
                    e->plain + i * pixels * channels);
    for (uint32_t i = 0; i < e->images; i++) {
        const Scores w = {
            .heat = h, .stage = stage, .image = i, .plain = e->plain + i * pixels * channels
        };

        heat_gather(&picture, e->images, i, h->images, 1, e->picture);
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < channels; c++)
                e->planes[c * pixels + p] = w.plain[p * channels + c];
        score_image(&w);
        compute_scored(&w, ret + i * e->shape.maps * pixels);
    }
}

/* --- by samples, and by an attack --- */

typedef struct Samples {
    const Heat *heat;
    const Plan *plan;
    uint32_t index;
} Samples;

static void place_sample(void *context, size_t i)
{
    const Samples *w = context;
    const Explanation *e = w->heat->e;
    const ExplanationBatch *batch = w->heat->batch;
    const Shape picture = graph_shape(&e->network->graph, e->network->image, 1);
    size_t stride, at = heat_lane(&picture, e->images, (uint32_t)i, &stride);

    e->cam->pass(&(CamPass){ .index = w->index,
                             .height = picture.dim[1],
                             .width = picture.dim[2],
                             .channels = picture.dim[3],
                             .from = e->plain + i * shape_count(&picture),
                             .stride = stride,
                             .std = e->network->std,
                             .seed = batch->seed,
                             .item = batch->items[i] },
                 plan_tensor(w->plan, e->network->image).data + at);
}

enum { SUM_UNIT = 65536 };

static void add_unit(void *context, size_t unit)
{
    const Samples *w = context;
    const Tensor g = plan_gradient(w->plan, w->heat->e->network->image);
    const size_t count = shape_count(&g.shape), at = unit * SUM_UNIT,
                 end = count - at < SUM_UNIT ? count : at + SUM_UNIT;
    real *sums = w->heat->e->sums;

    for (size_t i = at; i < end; i++)
        sums[i] = w->index == 0 ? g.data[i] : sums[i] + g.data[i];
}

static Look look_at_pixels(const Heat *h, const HeatStage *stage, const real *gradient, real scale,
                           float *ret)
{
    return (Look){ .heat = h,
                   .cam = h->e->cam,
                   .stage = stage,
                   .shape = stage->shape,
                   .activation = h->images,
                   .gradient = gradient,
                   .scale = scale,
                   .ret = ret };
}

void heat_sample_maps(Heat *h, const HeatStage *stage, float *ret)
{
    const Explanation *e = h->e;
    const size_t numbers = shape_count(&stage->shape);
    Samples w = { .heat = h, .plan = &stage->plan };
    Look l = look_at_pixels(h, stage, e->sums, 1 / (real)e->cam->samples, ret);

    if (!h->chosen)
        heat_forward(h, &stage->plan);
    for (uint32_t i = 0; i < e->images; i++)
        heat_gather(&stage->shape, e->images, i, h->images, 1, e->plain + i * numbers);
    for (uint32_t k = 0; k < e->shape.maps; k++) {
        for (w.index = 0; w.index < e->cam->samples; w.index++) {
            pool_run(h->context->pool, e->images, place_sample, &w);
            run_forward(&stage->plan, h->context);
            heat_backward(h, &stage->plan, k);
            pool_run(h->context->pool, (e->images * numbers + SUM_UNIT - 1) / SUM_UNIT, add_unit,
                     &w);
        }
        heat_look(&l, k, 1);
    }
}

void heat_delta_maps(Heat *h, const HeatStage *stage, float *ret)
{
    Explanation *e = h->e;
    const size_t classes = e->network->input.classes;
    Look l = look_at_pixels(h, stage, e->delta, 1, ret);

    if (!h->chosen) { /* the loss at the plan's end is nobody's then */
        memset(plan_tensor(&e->attacker.plan, e->network->target).data, 0,
               e->images * classes * sizeof(real));
        heat_forward(h, &e->attacker.plan);
    }
    for (uint32_t k = 0; k < e->shape.maps; k++) {
        memset(e->targets, 0, e->images * classes * sizeof *e->targets);
        for (uint32_t i = 0; i < e->images; i++)
            e->targets[i * classes + heat_class(e, i, k)] = 1;
        attack_run(&e->attacker, h->context,
                   &(AttackBatch){ .images = h->images,
                                   .targets = e->targets,
                                   .items = h->batch->items,
                                   .seed = h->batch->seed,
                                   .stream = h->batch->round * SPLIT_COUNT + h->batch->split });
        heat_look(&l, k, 1);
    }
}
