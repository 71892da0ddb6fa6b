/*
 * The way of an attack: forwards by the attacker itself, at E' and with every step kept; backwards
 * from the last step to the first. The passes on either side of a step's delta give everything at
 * once: gradients of weights, architecture and image, and what the soft target is to receive.
 *
 * L_att = -sum_k t_k log p_k(x + delta), so dL/dt_k = -log p_k; with t = softmax(y) of the logits y
 * of x the logits receive t_j (dL/dt_j - sum_k t_k dL/dt_k). That is linear in dL/dt: one pass
 * takes back the difference of both sides.
 */
#include <math.h>
#include <string.h>

#include "core/lease/hyper_way.h"

static Status attack_init(Hyper *h, Error *err)
{
    const Network *e = h->spec.network[LEASE_EXPLAINER];
    Status s = attacker_init(&h->attacker, e, h->spec.attack, h->spec.images, true, err);

    if (s != STATUS_OK)
        return s;
    h->work_bytes = h->attacker.plan.bytes;
    hyper_want(h, HYPER_ATTACK, LEASE_EXPLAINER, false, HYPER_BOTH, e->loss, e->image, e->logits);
    if (h->spec.predicted)
        hyper_want(h, HYPER_LOGITS, LEASE_EXPLAINER, false, HYPER_BOTH, e->logits, NODE_NONE,
                   NODE_NONE);
    return STATUS_OK;
}

static void attack_explain(Hyper *h, const RunContext *context, const HyperBatch *batch)
{
    RunContext moved = context[LEASE_EXPLAINER];
    AttackBatch attack = {
        .images = batch->seen, .items = batch->items, .seed = batch->seed, .stream = batch->stream
    };

    moved.weights = h->moved[LEASE_EXPLAINER];
    if (!h->spec.predicted) {
        const uint32_t classes = h->spec.network[LEASE_EXPLAINER]->input.classes;

        memset(h->target_slope, 0, (size_t)h->spec.images * classes * sizeof(real));
        for (uint32_t i = 0; i < h->spec.images; i++)
            h->target_slope[(size_t)i * classes + batch->labels[i]] = 1;
        attack.targets = h->target_slope;
    }
    attack_run(&h->attacker, &moved, &attack);
}

static void attack_look(const Hyper *h, const HyperBatch *batch, real *ret_input)
{
    const Group group = hyper_group(h);

    reweight_batch(&h->spec.reweight, h->pool, &group.shape, batch->seen, h->attacker.delta,
                   h->near);
    group_delta(&group, h->pool, batch->seen, h->near, ret_input);
}

/* slope [N,K] += factor * dL/dt of the logits that the last pass left. */
static void add_target_slope(const Hyper *h, real factor)
{
    const Network *e = h->spec.network[LEASE_EXPLAINER];
    const size_t k = e->input.classes;
    const real *logits = plan_tensor(&h->plan[HYPER_ATTACK], e->logits).data;

    for (uint32_t i = 0; i < h->spec.images; i++, logits += k) {
        double top = (double)logits[0], sum = 0;

        for (size_t j = 1; j < k; j++)
            top = fmax(top, (double)logits[j]);
        for (size_t j = 0; j < k; j++)
            sum += exp((double)logits[j] - top);
        for (size_t j = 0; j < k; j++)
            h->target_slope[i * k + j] -= factor * (real)((double)logits[j] - top - log(sum));
    }
}

/* Takes target_slope back to weights and architecture, through the logits of the clean images. */
static void back_through_target(const Hyper *h, const RunContext *context, const HyperBatch *batch,
                                double factor)
{
    const Network *e = h->spec.network[LEASE_EXPLAINER];
    const size_t k = e->input.classes;
    const Shape shape = hyper_images(h);
    real *moved = h->moved[LEASE_EXPLAINER], *seeds;

    memcpy(hyper_input(h, HYPER_LOGITS), batch->seen, shape_count(&shape) * sizeof(real));
    hyper_forward(h, HYPER_LOGITS, context, moved, NULL);
    seeds = plan_gradient(&h->plan[HYPER_LOGITS], e->logits).data;
    for (uint32_t i = 0; i < h->spec.images; i++) {
        const real *t = h->attacker.target + i * k, *slope = h->target_slope + i * k;
        double mean = 0;

        for (size_t j = 0; j < k; j++)
            mean += (double)t[j] * (double)slope[j];
        for (size_t j = 0; j < k; j++)
            seeds[i * k + j] = t[j] * (real)((double)slope[j] - mean);
    }
    hyper_backward(h, HYPER_LOGITS, context, moved, h->gradient[LEASE_EXPLAINER]);
    hyper_add(h, factor, h->gradient[LEASE_EXPLAINER], NULL);
}

static double norm_of(const real *x, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* Gradients at delta + sign * a * q: of weights and architecture into ret; `slope` becomes, or
 * loses, that of delta. */
static void pass_beside(Hyper *h, const RunContext *context, const real *delta, double a, int sign,
                        real *ret)
{
    const Network *e = h->spec.network[LEASE_EXPLAINER];
    const Shape shape = hyper_images(h);
    const size_t numbers = shape_count(&shape);
    real *image = plan_gradient(&h->plan[HYPER_ATTACK], e->image).data;

    for (size_t i = 0; i < numbers; i++)
        h->near[i] = delta[i] + (real)(sign * a) * h->q[i];
    attack_place(&h->attacker, h->pool, h->near, hyper_input(h, HYPER_ATTACK));
    (void)hyper_pass(h, HYPER_ATTACK, context, h->moved[LEASE_EXPLAINER], h->attacker.target, 1,
                     ret);
    attack_to_pixels(&h->attacker, h->pool, image);
    for (size_t i = 0; i < numbers; i++)
        h->slope[i] = sign > 0 ? image[i] : h->slope[i] - image[i];
    if (h->spec.predicted)
        add_target_slope(h, (real)sign);
}

/* v behind a step becomes v in front of it. */
static void back_through_step(Hyper *h, const RunContext *context, const HyperBatch *batch,
                              uint32_t step, double factor)
{
    const AttackFrame frame = attacker_frame(&h->attacker, step);
    const double eta = (double)h->attacker.step_size;
    const Shape shape = hyper_images(h);
    const size_t numbers = shape_count(&shape);
    double a;

    attack_pull(&h->attacker, h->pool, step, h->v, h->v, h->q);
    a = hyper_difference(norm_of(h->q, numbers));
    if (a == 0)
        return;
    memset(h->target_slope, 0,
           (size_t)h->spec.images * h->spec.network[LEASE_EXPLAINER]->input.classes * sizeof(real));
    pass_beside(h, context, frame.before, a, 1, h->gradient[LEASE_EXPLAINER]);
    pass_beside(h, context, frame.before, a, -1, h->other);
    factor *= eta / (2 * a);
    hyper_add(h, factor, h->gradient[LEASE_EXPLAINER], h->other);
    if (h->spec.predicted)
        back_through_target(h, context, batch, factor);
    for (size_t i = 0; i < numbers; i++)
        h->v[i] += (real)(eta / (2 * a)) * h->slope[i];
}

static void attack_back(Hyper *h, const RunContext *context, const HyperBatch *batch, double factor)
{
    const Group group = hyper_group(h);

    group_delta_back(&group, h->pool, h->input, h->v);
    reweight_backward(&h->spec.reweight, h->pool, &group.shape, batch->seen, h->attacker.delta,
                      h->v, h->v);
    for (uint32_t step = h->attacker.done; step-- > 0;)
        back_through_step(h, context, batch, step, factor);
}

const HyperWay hyper_attack_way = { attack_init, attack_explain, attack_look, attack_back };
