/*
 * The way of class maps at the last stage (CAM): M_c = sum_k w_k^c A_k, with the head's weights w
 * and the activation A in front of global average pooling; relu(M) makes the factors. Their
 * gradient s_c(p) with respect to M goes to A_k(p), as sum_c s_c(p) w_k^c, from where one backward
 * pass takes it to weights and architecture, and to w_k^c, as sum_p s_c(p) A_k(p). No finite
 * difference is needed.
 */
#include <string.h>

#include "core/lease/hyper_way.h"

/* [N,h,w,C]: what maps are made of, in the plan that is behind its forward pass. */
static Tensor activation_of(const Hyper *h)
{
    return plan_tensor(&h->plan[HYPER_MAPS], h->head.layer);
}

static Status maps_init(Hyper *h, Error *err)
{
    const Network *e = h->spec.network[LEASE_EXPLAINER];
    Shape shape;

    h->head = cam_head(e);
    if (h->head.layer == NODE_NONE)
        return error_at(err, STATUS_INVALID, "/hypergrad",
                        "\"full\" leads back through class maps (cam) where the explainer ends in "
                        "global average pooling and a linear layer");
    h->maps = h->spec.all_classes ? e->input.classes : 1;
    shape = graph_shape(&e->graph, h->head.layer, 1);
    h->map_numbers = (size_t)shape.dim[1] * shape.dim[2];
    hyper_want(h, HYPER_MAPS, LEASE_EXPLAINER, false, HYPER_BOTH, h->head.layer, NODE_NONE,
               NODE_NONE);
    if (h->maps == 1 && h->spec.predicted)
        hyper_want(h, HYPER_LOGITS, LEASE_EXPLAINER, false, 0, e->logits, NODE_NONE, NODE_NONE);
    return STATUS_OK;
}

static void copy_images(const Hyper *h, int which, const HyperBatch *batch)
{
    const Shape shape = hyper_images(h);

    memcpy(hyper_input(h, which), batch->seen, shape_count(&shape) * sizeof(real));
}

/* The class of each image's map, where it has one. */
static void choose_classes(Hyper *h, const RunContext *context, const HyperBatch *batch)
{
    const Network *e = h->spec.network[LEASE_EXPLAINER];
    const uint32_t k = e->input.classes;
    const real *logits;

    if (!h->spec.predicted) {
        for (uint32_t i = 0; i < h->spec.images; i++)
            h->classes[i] = batch->labels[i];
        return;
    }
    copy_images(h, HYPER_LOGITS, batch);
    hyper_forward(h, HYPER_LOGITS, context, h->moved[LEASE_EXPLAINER], NULL);
    logits = plan_tensor(&h->plan[HYPER_LOGITS], e->logits).data;
    for (uint32_t i = 0; i < h->spec.images; i++) {
        h->classes[i] = 0;
        for (uint32_t j = 1; j < k; j++)
            if (logits[i * k + j] > logits[i * k + h->classes[i]])
                h->classes[i] = j;
    }
}

static uint32_t class_of(const Hyper *h, uint32_t image, uint32_t map)
{
    return h->maps == 1 ? h->classes[image] : map;
}

/* Where pixel p of an image begins in an activation [N,h,w,C]. */
static size_t row_at(const Shape *s, uint32_t image, size_t p)
{
    const uint32_t block = image / BLOCK_IMAGES, lane = image % BLOCK_IMAGES;
    const size_t pixels = (size_t)s->dim[1] * s->dim[2];

    return (block * BLOCK_IMAGES * pixels + p * block_images(s->dim[0], block) + lane) * s->dim[3];
}

static void make_map(void *context, size_t unit)
{
    const Hyper *h = context;
    const uint32_t image = (uint32_t)(unit / h->maps), map = (uint32_t)(unit % h->maps);
    const Tensor a = activation_of(h);
    const uint32_t channels = a.shape.dim[3], classes = h->spec.network[0]->input.classes;
    const real *weight = h->moved[LEASE_EXPLAINER] + h->head.weight->offset; /* [C,classes] */
    const uint32_t c = class_of(h, image, map);

    for (size_t p = 0; p < h->map_numbers; p++) {
        const real *row = a.data + row_at(&a.shape, image, p);
        real sum = 0;

        for (uint32_t k = 0; k < channels; k++)
            sum += weight[(size_t)k * classes + c] * row[k];
        h->map[unit * h->map_numbers + p] = sum > 0 ? sum : 0;
    }
}

static void maps_explain(Hyper *h, const RunContext *context, const HyperBatch *batch)
{
    const Group group = hyper_group(h);
    const ReweightLine line = reweight_line(&h->spec.reweight);
    Shape layer;

    if (h->maps == 1)
        choose_classes(h, context, batch);
    copy_images(h, HYPER_MAPS, batch);
    hyper_forward(h, HYPER_MAPS, context, h->moved[LEASE_EXPLAINER], NULL);
    pool_run(h->pool, (size_t)h->spec.images * h->maps, make_map, h);
    layer = activation_of(h).shape;
    group_factors(&group, h->pool, &line, layer.dim[1], layer.dim[2], h->map, h->map_slope,
                  h->factor);
}

static void maps_look(const Hyper *h, const HyperBatch *batch, real *ret_input)
{
    const Group group = hyper_group(h);

    group_maps(&group, h->pool, batch->seen, h->factor, ret_input);
}

/* The seeds of the backward pass: an image's rows of dA. */
static void seed_image(void *context, size_t image)
{
    const Hyper *h = context;
    const Tensor seed = plan_gradient(&h->plan[HYPER_MAPS], h->head.layer);
    const uint32_t channels = seed.shape.dim[3], classes = h->spec.network[0]->input.classes;
    const real *weight = h->moved[LEASE_EXPLAINER] + h->head.weight->offset;

    for (size_t p = 0; p < h->map_numbers; p++) {
        real *row = seed.data + row_at(&seed.shape, (uint32_t)image, p);

        for (uint32_t k = 0; k < channels; k++)
            row[k] = 0;
        for (uint32_t m = 0; m < h->maps; m++) {
            const real s = h->map_slope[(image * h->maps + m) * h->map_numbers + p];
            const uint32_t c = class_of(h, (uint32_t)image, m);

            for (uint32_t k = 0; k < channels; k++)
                row[k] += s * weight[(size_t)k * classes + c];
        }
    }
}

/* The head's share: channel k of its gradient, over all images and pixels in their order. */
static void head_channel(void *context, size_t k)
{
    const Hyper *h = context;
    const Tensor a = activation_of(h);
    const uint32_t classes = h->spec.network[0]->input.classes;
    real *ret = h->gradient[LEASE_EXPLAINER] + h->head.weight->offset + k * classes;

    for (size_t unit = 0; unit < (size_t)h->spec.images * h->maps; unit++) {
        const uint32_t image = (uint32_t)(unit / h->maps);
        const real *slope = h->map_slope + unit * h->map_numbers;
        double sum = 0;

        for (size_t p = 0; p < h->map_numbers; p++)
            sum += (double)slope[p] * (double)a.data[row_at(&a.shape, image, p) + k];
        ret[class_of(h, image, (uint32_t)(unit % h->maps))] += (real)sum;
    }
}

static void maps_back(Hyper *h, const RunContext *context, const HyperBatch *batch, double factor)
{
    const Group group = hyper_group(h);
    const ReweightLine line = reweight_line(&h->spec.reweight);
    real *moved = h->moved[LEASE_EXPLAINER];
    Shape layer;

    copy_images(h, HYPER_MAPS, batch); /* the audience has used the plan's memory since */
    hyper_forward(h, HYPER_MAPS, context, moved, NULL);
    layer = activation_of(h).shape;
    group_maps_back(&group, h->pool, batch->seen, h->input, h->factor);
    group_factors_back(&group, h->pool, &line, layer.dim[1], layer.dim[2], h->map, h->factor,
                       h->map_slope);
    for (size_t i = 0; i < h->spec.images * h->maps * h->map_numbers; i++)
        h->map_slope[i] = h->map[i] > 0 ? h->map_slope[i] : 0;
    pool_run(h->pool, h->spec.images, seed_image, h);
    hyper_backward(h, HYPER_MAPS, context, moved, h->gradient[LEASE_EXPLAINER]);
    pool_run(h->pool, layer.dim[3], head_channel, h); /* the plan's output is still there */
    hyper_add(h, factor, h->gradient[LEASE_EXPLAINER], NULL);
}

const HyperWay hyper_maps_way = { maps_init, maps_explain, maps_look, maps_back };
