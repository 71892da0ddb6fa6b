/*
 * Virtual weights are arrays of their own, so that nothing of the networks has to be put back. One
 * plan runs at a time; what has to outlive it is copied out of it.
 *
 * `total` collects gradients of weights and of the architecture together: the former make u, the
 * latter dA.
 */
#include "core/lease/hypergrad.h"

#include <math.h>
#include <string.h>

#include "core/lease/hyper_way.h"

/* The steps of the finite differences, over the norm of what they scale. */
static const double difference_step = 0.01;

static const HyperWay *way_of(const Hyper *h)
{
    return h->spec.attack != NULL ? &hyper_attack_way : &hyper_maps_way;
}

/* --- plans --- */

void hyper_want(Hyper *h, int which, LeaseNetwork network, bool training, unsigned gradients,
                NodeId output, NodeId gradient_to, NodeId keep)
{
    h->owner[which] = network;
    h->planned[which] = (PlanSpec){ .images = h->spec.images,
                                    .training = training,
                                    .gradients = gradients,
                                    .output = output,
                                    .gradient_to = gradient_to,
                                    .keep = { keep, NODE_NONE } };
}

static void want_losses(Hyper *h)
{
    const Network *e = h->spec.network[LEASE_EXPLAINER], *w = h->spec.network[LEASE_AUDIENCE];
    static const unsigned roles[] = { [HYPER_E_WEIGHTS] = GRADIENT_TRAINED,
                                      [HYPER_E_BOTH] = HYPER_BOTH,
                                      [HYPER_E_ALPHAS] = GRADIENT_ARCHITECTURE };

    for (int i = HYPER_E_WEIGHTS; i <= HYPER_E_ALPHAS; i++)
        hyper_want(h, i, LEASE_EXPLAINER, true, roles[i], e->training_loss, NODE_NONE, NODE_NONE);
    if (!h->through)
        return;
    hyper_want(h, HYPER_W_WEIGHTS, LEASE_AUDIENCE, true, GRADIENT_TRAINED, w->training_loss,
               NODE_NONE, NODE_NONE);
    hyper_want(h, HYPER_W_IMAGE, LEASE_AUDIENCE, true, 0, w->training_loss, w->image, NODE_NONE);
}

static Status make_plans(Hyper *h, Error *err)
{
    Status s = STATUS_OK;

    for (int i = 0; i < HYPER_PLANS && s == STATUS_OK; i++) {
        if (h->planned[i].images == 0)
            continue;
        s = plan_init(&h->plan[i], &h->spec.network[h->owner[i]]->graph, &h->planned[i], err);
        if (s == STATUS_OK && h->plan[i].bytes > h->work_bytes)
            h->work_bytes = h->plan[i].bytes;
    }
    return s;
}

static Status make_sets(Hyper *h, Error *err)
{
    const Graph *e = &h->spec.network[LEASE_EXPLAINER]->graph;
    Status s = weight_set_init(&h->architecture, e, WEIGHT_ARCHITECTURE, err);

    if (s == STATUS_OK)
        s = weight_set_init(&h->trained[LEASE_EXPLAINER], e, WEIGHT_TRAINED, err);
    if (s == STATUS_OK && h->through)
        s = weight_set_init(&h->trained[LEASE_AUDIENCE], &h->spec.network[LEASE_AUDIENCE]->graph,
                            WEIGHT_TRAINED, err);
    return s;
}

static size_t most_chunks(const Hyper *h)
{
    size_t most = h->architecture.chunks;

    for (int i = 0; i < LEASE_NETWORKS; i++)
        most = h->trained[i].chunks > most ? h->trained[i].chunks : most;
    return most;
}

/* Hands out the arrays; answers their bytes. `state` NULL: only counts. */
static size_t lay_out(Hyper *h, char *state)
{
    const Network *e = h->spec.network[LEASE_EXPLAINER], *w = h->spec.network[LEASE_AUDIENCE];
    const Shape shape = hyper_images(h);
    const size_t n = h->spec.images, pixels = n * shape.dim[1] * shape.dim[2];
    const size_t weights = e->graph.weight_numbers * sizeof(real);
    const size_t audience = h->through ? w->graph.weight_numbers * sizeof(real) : 0;
    const size_t maps = n * h->maps * h->map_numbers * sizeof(real);
    const bool attacks = h->through && h->maps == 0;
    const size_t images = attacks ? shape_count(&shape) * sizeof(real) : 0;
    const struct {
        void *array;
        size_t bytes;
    } rows[] = {
        { &h->moved[LEASE_EXPLAINER], weights },
        { &h->gradient[LEASE_EXPLAINER], weights },
        { &h->other, weights },
        { &h->total, weights },
        { &h->moved[LEASE_AUDIENCE], audience },
        { &h->gradient[LEASE_AUDIENCE], audience },
        { &h->input, h->through ? pixels * w->input.channels * sizeof(real) : 0 },
        { &h->v, images },
        { &h->q, images },
        { &h->slope, images },
        { &h->near, images },
        { &h->target_slope, attacks ? n * e->input.classes * sizeof(real) : 0 },
        { &h->attack_state, attacks ? h->attacker.state_bytes : 0 },
        { &h->factor, pixels * h->maps * sizeof(real) },
        { &h->map, maps },
        { &h->map_slope, maps },
        { &h->classes, h->maps > 0 ? n * sizeof(uint32_t) : 0 },
        { &h->sum, most_chunks(h) * sizeof(double) },
    };
    size_t bytes = 0;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (state != NULL)
            *(void **)rows[i].array = state + bytes;
        bytes += arena_round(rows[i].bytes);
    }
    return bytes;
}

/* Whether the audience's loss depends on E' as far as derivatives go. */
static bool leads_through(const HyperSpec *spec)
{
    const bool constant =
        spec->attack != NULL && attack_table[spec->attack->row]->pull_direction == NULL;

    return spec->network[LEASE_AUDIENCE] != NULL && spec->lambda > 0 &&
           spec->input != COMPOSE_IMAGE && !constant;
}

Status hyper_init(Hyper *h, const HyperSpec *spec, Error *err)
{
    Status s = STATUS_OK;

    *h = (Hyper){ .spec = *spec, .through = leads_through(spec) };
    want_losses(h);
    if (h->through)
        s = way_of(h)->init(h, err);
    if (s == STATUS_OK)
        s = make_sets(h, err);
    if (s == STATUS_OK)
        s = make_plans(h, err);
    if (s == STATUS_OK)
        h->state_bytes = lay_out(h, NULL);
    return s;
}

void hyper_clear(Hyper *h)
{
    for (int i = 0; i < HYPER_PLANS; i++)
        plan_clear(&h->plan[i]);
    for (int i = 0; i < LEASE_NETWORKS; i++)
        weight_set_clear(&h->trained[i]);
    weight_set_clear(&h->architecture);
    attacker_clear(&h->attacker);
    *h = (Hyper){ 0 };
}

void hyper_bind(Hyper *h, Pool *pool, void *work, void *state)
{
    h->pool = pool;
    (void)lay_out(h, state);
    for (int i = 0; i < HYPER_PLANS; i++)
        if (h->planned[i].images > 0)
            plan_bind(&h->plan[i], work);
    for (int i = 0; i < LEASE_NETWORKS; i++)
        h->trained[i].sum = h->sum;
    h->architecture.sum = h->sum;
    if (h->attack_state != NULL && h->attacker.images > 0)
        attacker_bind(&h->attacker, work, h->attack_state);
}

/* --- passes --- */

Shape hyper_images(const Hyper *h)
{
    const Network *e = h->spec.network[LEASE_EXPLAINER];

    return graph_shape(&e->graph, e->image, h->spec.images);
}

Group hyper_group(const Hyper *h)
{
    return (Group){ hyper_images(h), h->maps, h->spec.input };
}

real *hyper_input(const Hyper *h, int which)
{
    return plan_tensor(&h->plan[which], h->spec.network[h->owner[which]]->image).data;
}

static RunContext virtual_context(const Hyper *h, int which, const RunContext *context,
                                  real *weights, real *gradients)
{
    RunContext ret = context[h->owner[which]];

    ret.weights = weights;
    ret.gradients = gradients;
    ret.keep_statistics = true;
    if (!h->planned[which].training) /* the draws of evaluation, as the attacker has them */
        ret.seed = ret.step = 0;
    return ret;
}

void hyper_forward(const Hyper *h, int which, const RunContext *context, real *weights,
                   const real *targets)
{
    RunContext virtual = virtual_context(h, which, context, weights, NULL);

    if (targets != NULL) {
        Tensor target = plan_tensor(&h->plan[which], h->spec.network[h->owner[which]]->target);

        memcpy(target.data, targets, shape_count(&target.shape) * sizeof(real));
    }
    run_forward(&h->plan[which], &virtual);
}

void hyper_backward(const Hyper *h, int which, const RunContext *context, real *weights,
                    real *gradients)
{
    const Graph *g = &h->spec.network[h->owner[which]]->graph;
    RunContext virtual = virtual_context(h, which, context, weights, gradients);

    if (gradients != NULL)
        memset(gradients, 0, g->weight_numbers * sizeof(real));
    run_backward(&h->plan[which], &virtual);
}

double hyper_pass(const Hyper *h, int which, const RunContext *context, real *weights,
                  const real *targets, real seed, real *gradients)
{
    const Plan *plan = &h->plan[which];
    Tensor losses = plan_tensor(plan, plan->spec.output);
    double sum = 0;
    real *seeds;

    hyper_forward(h, which, context, weights, targets);
    for (uint32_t i = 0; i < h->spec.images; i++)
        sum += (double)losses.data[i];
    seeds = plan_gradient(plan, plan->spec.output).data;
    for (uint32_t i = 0; i < h->spec.images; i++)
        seeds[i] = seed;
    hyper_backward(h, which, context, weights, gradients);
    return sum;
}

void hyper_add(const Hyper *h, double factor, const real *plus, const real *minus)
{
    const WeightSet *sets[] = { &h->trained[LEASE_EXPLAINER], &h->architecture };

    for (int i = 0; i < 2; i++) {
        if (minus == NULL)
            vector_move(sets[i], h->pool, h->total, factor, plus, h->total);
        else
            vector_add_difference(sets[i], h->pool, factor, plus, minus, h->total);
    }
}

double hyper_difference(double norm)
{
    return norm > 0 && isfinite(norm) ? difference_step / norm : 0;
}

/* --- the gradient --- */

/* Of a mean over the batch. */
static real mean_seed(const Hyper *h)
{
    return 1 / (real)h->spec.images;
}

static void copy_images(const Hyper *h, int which, const real *images)
{
    const Shape shape = hyper_images(h);

    memcpy(hyper_input(h, which), images, shape_count(&shape) * sizeof(real));
}

/* moved = the network's weights + factor * step. */
static void move(const Hyper *h, LeaseNetwork network, const RunContext *context, double factor,
                 const real *step)
{
    const WeightSet *set = &h->trained[network];
    const Graph *g = &h->spec.network[network]->graph;

    memcpy(h->moved[network], context[network].weights, g->weight_numbers * sizeof(real));
    vector_move(set, h->pool, h->moved[network], factor, step, h->moved[network]);
}

/*
 * The audience's virtual step, g_W at its end, and the gradient with respect to the audience's
 * input of L_tr around W along g_W: hyper->input is the difference of the two, and the answer what
 * it is to be multiplied with.
 */
static double audience_slope(Hyper *h, const RunContext *context, const HyperBatch *batch)
{
    const HyperWay *way = way_of(h);
    const Group group = hyper_group(h);
    const ReweightLine line = reweight_line(&h->spec.reweight);
    const size_t numbers = shape_count(&group.shape) / group.shape.dim[3] * group_channels(&group);
    real *g = h->gradient[LEASE_AUDIENCE], *moved = h->moved[LEASE_AUDIENCE];
    const real *slope =
        plan_gradient(&h->plan[HYPER_W_IMAGE], h->spec.network[LEASE_AUDIENCE]->image).data;
    double a;

    way->look(h, batch, hyper_input(h, HYPER_W_WEIGHTS));
    (void)hyper_pass(h, HYPER_W_WEIGHTS, context, context[LEASE_AUDIENCE].weights,
                     batch->seen_targets, mean_seed(h), g);
    move(h, LEASE_AUDIENCE, context, -batch->rate[LEASE_AUDIENCE], g);
    group_raw(&group, h->pool, &line, batch->val, hyper_input(h, HYPER_W_WEIGHTS));
    (void)hyper_pass(h, HYPER_W_WEIGHTS, context, moved, batch->val_targets, mean_seed(h), g);

    a = hyper_difference(vector_norm(&h->trained[LEASE_AUDIENCE], h->pool, g));
    for (int sign = 1; sign >= -1; sign -= 2) {
        move(h, LEASE_AUDIENCE, context, sign * a, g);
        way->look(h, batch, hyper_input(h, HYPER_W_IMAGE));
        (void)hyper_pass(h, HYPER_W_IMAGE, context, moved, batch->seen_targets, mean_seed(h), NULL);
        for (size_t i = 0; i < numbers; i++)
            h->input[i] = sign > 0 ? slope[i] : h->input[i] - slope[i];
    }
    return a > 0 ? -batch->rate[LEASE_AUDIENCE] / (2 * a) : 0;
}

/* v_A, added to the architecture's part of `total`; the weights' part is u. */
static void add_virtual_step(Hyper *h, const RunContext *context, const HyperBatch *batch)
{
    const double rate = batch->rate[LEASE_EXPLAINER];
    const double a = hyper_difference(vector_norm(&h->trained[LEASE_EXPLAINER], h->pool, h->total));
    real *around[] = { h->gradient[LEASE_EXPLAINER], h->other };

    if (rate == 0 || a == 0)
        return;
    for (int i = 0; i < 2; i++) {
        move(h, LEASE_EXPLAINER, context, i == 0 ? a : -a, h->total);
        copy_images(h, HYPER_E_ALPHAS, batch->train);
        (void)hyper_pass(h, HYPER_E_ALPHAS, context, h->moved[LEASE_EXPLAINER],
                         batch->train_targets, mean_seed(h), around[i]);
    }
    vector_add_difference(&h->architecture, h->pool, -rate / (2 * a), around[0], around[1],
                          h->total);
}

static Status take_result(const Hyper *h, real *ret, Error *err)
{
    const Graph *g = &h->spec.network[LEASE_EXPLAINER]->graph;

    for (uint32_t i = 0; i < g->weights; i++)
        for (size_t k = g->weight[i].offset; k < g->weight[i].offset + g->weight[i].count &&
                                             g->weight[i].spec.role == WEIGHT_ARCHITECTURE;
             k++) {
            if (!isfinite(h->total[k]))
                return error_set(err, STATUS_DIVERGED, "the gradient of \"%s\" is not finite",
                                 g->weight[i].name);
            ret[k] = h->total[k];
        }
    return STATUS_OK;
}

Status hyper_gradient(Hyper *h, const RunContext context[LEASE_NETWORKS], const HyperBatch *batch,
                      real *ret_gradient, double *ret_loss, Error *err)
{
    real *moved = h->moved[LEASE_EXPLAINER];
    double factor = 0, loss;

    copy_images(h, HYPER_E_WEIGHTS, batch->train);
    (void)hyper_pass(h, HYPER_E_WEIGHTS, context, context[LEASE_EXPLAINER].weights,
                     batch->train_targets, mean_seed(h), h->gradient[LEASE_EXPLAINER]);
    move(h, LEASE_EXPLAINER, context, -batch->rate[LEASE_EXPLAINER], h->gradient[LEASE_EXPLAINER]);
    if (h->through) {
        way_of(h)->explain(h, context, batch);
        factor = audience_slope(h, context, batch);
    }
    copy_images(h, HYPER_E_BOTH, batch->val);
    loss = hyper_pass(h, HYPER_E_BOTH, context, moved, batch->val_targets, mean_seed(h), h->total);
    if (factor != 0)
        way_of(h)->back(h, context, batch, factor * h->spec.lambda);
    add_virtual_step(h, context, batch);
    *ret_loss = loss / h->spec.images;
    return take_result(h, ret_gradient, err);
}
