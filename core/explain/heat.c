/*
 * Methods see one image at a time, in plain order: lanes are gathered from their blocks before. A
 * unit of that work is a block, which has room for one image.
 *
 * A plan gives its forward pass and, once for each class that is wanted, its backward pass.
 * Backward writes over what forward left for it, so for further classes the plan's memory is kept
 * and put back: a copy costs a small part of a forward pass. The layer in front of a linear head
 * needs neither: its gradient for class c is w_c/(h w) everywhere, and one forward pass gives all
 * classes.
 */
#include "core/explain/heat.h"

#include <math.h>
#include <string.h>

#include "core/data/heatmap.h"

/* --- one image --- */

/* The gradient in front of a linear head: w_c/(h w) at each pixel. */
static void spread(size_t pixels, size_t channels, const real *head, real *ret)
{
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < channels; c++)
            *ret++ = head[c] / (real)pixels;
}

/* What depends on the class, into the room. */
static void prepare_class(const Look *l, uint32_t i, uint32_t map, const HeatRoom *room)
{
    const Explanation *e = l->heat->e;
    const size_t pixels = heat_pixels(&l->shape);
    const Shape *cams = &l->stage->shape;

    if (l->known)
        cam_head_weights(&e->head, l->heat->context->weights, heat_class(e, i, map), room->head);
    if (l->gradient != NULL)
        heat_gather(&l->shape, e->images, i, l->gradient, l->scale, room->gradient);
    else if (l->known && (l->cam->needs & CAM_GRADIENT) != 0)
        spread(pixels, l->shape.dim[3], room->head, room->gradient);
    if (l->cams != NULL)
        heatmap_resize(cams->dim[1], cams->dim[2],
                       l->cams + ((size_t)i * e->shape.maps + map) * heat_pixels(cams),
                       l->shape.dim[1], l->shape.dim[2], 1, room->map);
}

static void look_at_image(const Look *l, uint32_t i, const HeatRoom *room)
{
    const Explanation *e = l->heat->e;
    const size_t pixels = heat_pixels(&l->shape);
    float *ret = l->ret + ((size_t)i * e->shape.maps + l->first) * pixels;
    const CamInput in = { .height = l->shape.dim[1],
                          .width = l->shape.dim[2],
                          .channels = l->shape.dim[3],
                          .activation = room->activation,
                          .gradient = room->gradient,
                          .head = room->head,
                          .map = room->map,
                          .room = room->work };

    heat_gather(&l->shape, e->images, i, l->activation, 1, room->activation);
    for (uint32_t k = 0; k < l->maps; k++, ret += pixels) {
        if (k > 0 && (l->cam->needs & CAM_CLASSLESS) != 0) {
            memcpy(ret, ret - pixels, pixels * sizeof *ret);
            continue;
        }
        prepare_class(l, i, l->first + k, room);
        l->cam->compute(&in, ret);
    }
}

static void look_at_block(void *context, size_t b)
{
    const Look *l = context;
    const Explanation *e = l->heat->e;
    const HeatRoom room = explanation_room(e, b);

    for (uint32_t lane = 0; lane < block_images(e->images, (uint32_t)b); lane++)
        look_at_image(l, (uint32_t)b * BLOCK_IMAGES + lane, &room);
}

void heat_look(Look *l, uint32_t first, uint32_t maps)
{
    const Explanation *e = l->heat->e;

    l->first = first;
    l->maps = maps;
    pool_run(l->heat->context->pool, block_count(e->images), look_at_block, l);
}

/* --- which class --- */

static uint32_t top_of(const real *logits, uint32_t classes)
{
    uint32_t top = 0;

    for (uint32_t k = 1; k < classes; k++)
        if (logits[k] > logits[top])
            top = k;
    return top;
}

/* Behind a forward pass of the images: what they are taken for, and whose maps are wanted. */
static void choose(Heat *h, const Plan *plan)
{
    Explanation *e = h->e;
    const ExplanationBatch *batch = h->batch;
    const Tensor logits = plan_tensor(plan, e->network->logits);
    const uint32_t classes = e->network->input.classes;
    const bool labels = batch->split == SPLIT_TRAIN && e->spec.target == TARGET_LABEL;

    if (h->chosen)
        return;
    h->chosen = true;
    memcpy(e->logits, logits.data, (size_t)e->images * classes * sizeof *e->logits);
    for (uint32_t i = 0; i < e->images; i++) {
        e->predicted[i] = top_of(e->logits + (size_t)i * classes, classes);
        e->wanted[i] = batch->classes != NULL ? batch->classes[i]
                       : labels               ? batch->labels[i]
                                              : e->predicted[i];
    }
}

float explanation_score(const Explanation *e, uint32_t i, uint32_t class_index)
{
    const uint32_t classes = e->network->input.classes;
    const real *logits = e->logits + (size_t)i * classes;
    const double top = (double)logits[top_of(logits, classes)];
    double sum = 0, p;

    for (uint32_t k = 0; k < classes; k++)
        sum += exp((double)logits[k] - top);
    p = exp((double)logits[class_index] - top) / sum;
    return isfinite(p) ? (float)p : 0;
}

/* --- by one plan --- */

void heat_forward(Heat *h, const Plan *plan)
{
    Tensor image = plan_tensor(plan, h->e->network->image);

    memcpy(image.data, h->images, shape_count(&image.shape) * sizeof *image.data);
    run_forward(plan, h->context);
    choose(h, plan);
}

/* The gradient of the logits of one class an image. */
void heat_backward(const Heat *h, const Plan *plan, uint32_t map)
{
    const Explanation *e = h->e;
    Tensor seed = plan_gradient(plan, e->network->logits);
    uint32_t classes = seed.shape.dim[1];

    memset(seed.data, 0, shape_count(&seed.shape) * sizeof *seed.data);
    for (uint32_t i = 0; i < e->images; i++)
        seed.data[(size_t)i * classes + heat_class(e, i, map)] = 1;
    run_backward(plan, h->context);
}

/* Behind the forward pass of a plan that goes back to what `l` looks at. */
static void look_back(const Heat *h, const Plan *plan, Look *l)
{
    const Explanation *e = h->e;
    const bool keeps = e->shape.maps > 1;

    if (keeps)
        memcpy(e->forward, plan->memory, plan->bytes);
    for (uint32_t k = 0; k < e->shape.maps; k++) {
        if (k > 0)
            memcpy(plan->memory, e->forward, plan->bytes);
        heat_backward(h, plan, k);
        heat_look(l, k, 1);
    }
}

void heat_plan_maps(Heat *h, const HeatStage *stage, float *ret)
{
    const Explanation *e = h->e;
    Look l = { .heat = h,
               .cam = explanation_layer_cam(e),
               .stage = stage,
               .shape = stage->shape,
               .known = stage->known,
               .scale = 1,
               .ret = ret };

    heat_forward(h, &stage->plan);
    l.activation = plan_tensor(&stage->plan, stage->layer).data;
    if (!explanation_goes_back(e, stage)) {
        heat_look(&l, 0, e->shape.maps);
        return;
    }
    l.gradient = plan_gradient(&stage->plan, stage->layer).data;
    look_back(h, &stage->plan, &l);
}

/* CAM_GUIDED: Grad-CAM of the stage, then the pixels. */
void heat_guided_maps(Heat *h, const HeatStage *stage, float *ret)
{
    const Explanation *e = h->e;
    const size_t numbers = (size_t)e->images * e->shape.maps * heat_pixels(&stage->shape);
    Look l = { .heat = h,
               .cam = e->cam,
               .stage = stage,
               .shape = graph_shape(&e->network->graph, e->network->image, 1),
               .activation = h->images,
               .scale = 1,
               .cams = e->cams,
               .ret = ret };

    heat_plan_maps(h, stage, e->cams);
    for (size_t i = 0; i < numbers; i++)
        e->cams[i] = isfinite(e->cams[i]) && e->cams[i] > 0 ? e->cams[i] : 0;
    heat_forward(h, &e->pixels);
    l.gradient = plan_gradient(&e->pixels, e->network->image).data;
    look_back(h, &e->pixels, &l);
}
