/*
 * gradients: every operation of the table, in double precision, against central finite differences
 * of f = sum(out * upstream); and what the planner relies on: overwriting and accumulating, what
 * may lie in place, what backward() does not read, and the same bits for any number of threads.
 * Operations that draw do so from one seed, step and node, so that they, too, are functions.
 *
 * An operation without a case here fails the first test.
 */
#include "tests/unit/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/ops/op.h"
#include "tests/unit/gradient_cases.h"

enum { SAMPLE_MAX = 150, LARGE = 20000, LARGE_SAMPLE = 12, THREADS_MAX = 3 };

enum { CASES = sizeof cases / sizeof *cases };

/* One operation with everything that a call may touch, each array of exactly its size. */
typedef struct Rig {
    const Case *c;
    const Op *op;
    double value[PARAMS_MAX];
    const Kernels *kernels;
    bool training;
    uint32_t inputs;
    OpShapes shapes;
    size_t in_count[OP_INPUTS_MAX], out_count, weight_count[OP_WEIGHTS_MAX];
    Tensor in[OP_INPUTS_MAX];
    real *out, *upstream, *saved, *weight[OP_WEIGHTS_MAX], *start[OP_WEIGHTS_MAX];
    char *scratch;
    real *in_gradient[OP_INPUTS_MAX], *weight_gradient[OP_WEIGHTS_MAX]; /* as first computed */
    Pool *pool[THREADS_MAX];
} Rig;

static uint32_t drawn;

static void draw(real *ret, size_t count, double mean, double spread)
{
    Rng rng = rng_at(2, RNG_TEST, 0, drawn++);

    for (size_t i = 0; i < count; i++)
        ret[i] = mean + spread * (2 * (double)rng_uniform(&rng) - 1);
}

/* All different, in an order by chance: a maximum stays one when a number moves by 1e-5. */
static void spread_out(real *ret, size_t count)
{
    uint32_t *order = malloc(count * sizeof *order);
    Rng rng = rng_at(2, RNG_TEST, 0, drawn++);

    assert_non_null(order);
    rng_permutation(&rng, (uint32_t)count, order);
    for (size_t i = 0; i < count; i++)
        ret[i] = 2 * (double)order[i] / (double)count - 1;
    free(order);
}

static real *room(size_t count)
{
    real *ret = malloc(count > 0 ? count * sizeof *ret : 1);

    assert_non_null(ret);
    return ret;
}

static real *copy(const real *from, size_t count)
{
    real *ret = room(count);

    memcpy(ret, from, count * sizeof *ret);
    return ret;
}

static void fill(real *ret, size_t count, double value)
{
    for (size_t i = 0; i < count; i++)
        ret[i] = value;
}

/* Whether weight w has a gradient. */
static bool learned(const Rig *rig, uint32_t w)
{
    WeightRole role = rig->shapes.weight[w].role;

    return role == WEIGHT_TRAINED || role == WEIGHT_ARCHITECTURE;
}

/* Whether the inputs have one. */
static bool constant(const Rig *rig)
{
    return (rig->op->flags & OP_CONSTANT) != 0;
}

static void name_of(const Rig *rig, const char *what, char ret[128])
{
    snprintf(ret, 128, "case %zu, %s on %s %s: %s", (size_t)(rig->c - cases), rig->c->op,
             rig->kernels->name, rig->training ? "in training" : "in eval mode", what);
}

static void rig_init(Rig *rig, const Case *c, const Kernels *kernels, bool training)
{
    Error err = { 0 };

    *rig = (Rig){ .c = c, .op = op_find(c->op), .kernels = kernels, .training = training };
    assert_non_null(rig->op);
    param_defaults(&rig->op->described, rig->value);
    for (const Value *v = c->value; v->name != NULL; v++)
        rig->value[param_find(&rig->op->described, v->name)] = v->value;
    while (rig->inputs < OP_INPUTS_MAX && c->in[rig->inputs].rank != 0)
        rig->inputs++;
    if (rig->op->shape(rig->value, c->in, rig->inputs, &rig->shapes, &err) != STATUS_OK)
        fail_msg("%s: %s", c->op, error_message(&err));
    for (uint32_t k = 0; k < rig->inputs; k++) {
        rig->in_count[k] = shape_count(&c->in[k]);
        rig->in[k] = (Tensor){ room(rig->in_count[k]), c->in[k] };
        draw(rig->in[k].data, rig->in_count[k], 0, c->spread > 0 ? c->spread : 1);
        for (size_t i = 0; i < rig->in_count[k] && c->kink; i++)
            if (fabs(rig->in[k].data[i]) < 0.01)
                rig->in[k].data[i] = 0.5;
        if (c->apart)
            spread_out(rig->in[k].data, rig->in_count[k]);
        rig->in_gradient[k] = room(rig->in_count[k]);
    }
    rig->out_count = shape_count(&rig->shapes.out);
    rig->out = room(rig->out_count);
    rig->upstream = room(rig->out_count);
    draw(rig->upstream, rig->out_count, 0, 1);
    rig->saved = room(rig->shapes.saved);
    rig->scratch = malloc(rig->shapes.scratch_bytes + 1);
    for (uint32_t w = 0; w < rig->shapes.weights; w++) {
        bool one = rig->shapes.weight[w].init == INIT_ONE; /* a variance stays above 0 */

        rig->weight_count[w] = shape_count(&rig->shapes.weight[w].shape);
        rig->start[w] = room(rig->weight_count[w]);
        draw(rig->start[w], rig->weight_count[w], one, one ? 0.5 : 1);
        rig->weight[w] = copy(rig->start[w], rig->weight_count[w]);
        rig->weight_gradient[w] = room(rig->weight_count[w]);
    }
    for (unsigned t = 0; t < THREADS_MAX; t++)
        assert_int_equal(pool_new(t + 1, &rig->pool[t], NULL), STATUS_OK);
}

static void rig_clear(Rig *rig)
{
    for (uint32_t k = 0; k < rig->inputs; k++) {
        free(rig->in[k].data);
        free(rig->in_gradient[k]);
    }
    for (uint32_t w = 0; w < rig->shapes.weights; w++) {
        free(rig->start[w]);
        free(rig->weight[w]);
        free(rig->weight_gradient[w]);
    }
    free(rig->out);
    free(rig->upstream);
    free(rig->saved);
    free(rig->scratch);
    for (unsigned t = 0; t < THREADS_MAX; t++)
        pool_free(rig->pool[t]);
}

static OpCall rig_call(Rig *rig, unsigned threads)
{
    memset(rig->scratch, 0xff, rig->shapes.scratch_bytes); /* nothing may rely on it: NaNs */
    return (OpCall){ .pool = rig->pool[threads - 1],
                     .kernels = rig->kernels,
                     .value = rig->value,
                     .training = rig->training,
                     .seed = 11,
                     .step = 3,
                     .node = 7,
                     .progress = 0.5,
                     .inputs = rig->inputs,
                     .in = rig->in,
                     .out = { rig->out, rig->shapes.out },
                     .weight = rig->weight,
                     .saved = rig->saved,
                     .scratch = rig->scratch };
}

/* Inputs that are statistics of others: in training the batch's, else some that stay. */
static void take_statistics(Rig *rig, unsigned threads)
{
    uint32_t first = rig->c->statistics;

    for (uint32_t k = first; first > 0 && k < rig->inputs; k++) {
        const Op *op = op_find("batch_statistics");
        OpCall call = rig_call(rig, threads);
        size_t c = rig->c->in[k].dim[1];
        real *running[] = { room(c), room(c) };
        double value[PARAMS_MAX];
        OpShapes shapes;

        param_defaults(&op->described, value);
        call.in = &rig->in[rig->c->of[k - first]];
        call.inputs = 1;
        assert_int_equal(op->shape(value, &call.in->shape, 1, &shapes, NULL), STATUS_OK);
        fill(running[0], c, 0.2);
        fill(running[1], c, 0.7);
        call.value = value;
        call.out = rig->in[k];
        call.weight = running;
        call.scratch = malloc(shapes.scratch_bytes);
        assert_non_null(call.scratch);
        op->forward(&call);
        free(call.scratch);
        free(running[0]);
        free(running[1]);
    }
}

/* Forward from the weights at the start: running statistics move in training. */
static void forward(Rig *rig, unsigned threads)
{
    OpCall call = rig_call(rig, threads);

    for (uint32_t w = 0; w < rig->shapes.weights; w++)
        if (!learned(rig, w))
            memcpy(rig->weight[w], rig->start[w], rig->weight_count[w] * sizeof(real));
    take_statistics(rig, threads);
    fill(rig->out, rig->out_count, NAN);
    fill(rig->saved, rig->shapes.saved, NAN);
    rig->op->forward(&call);
}

/* Where one backward() leaves its gradients, and from what it starts. */
typedef struct Gradients {
    real *in[OP_INPUTS_MAX], *weight[OP_WEIGHTS_MAX];
} Gradients;

static Gradients gradients_new(const Rig *rig, double in_start)
{
    Gradients g = { { NULL }, { NULL } };

    for (uint32_t k = 0; k < rig->inputs && !constant(rig); k++) {
        g.in[k] = room(rig->in_count[k]);
        fill(g.in[k], rig->in_count[k], in_start);
    }
    for (uint32_t w = 0; w < rig->shapes.weights; w++)
        if (learned(rig, w)) {
            g.weight[w] = room(rig->weight_count[w]);
            fill(g.weight[w], rig->weight_count[w], 0);
        }
    return g;
}

static void gradients_free(Gradients *g)
{
    for (int k = 0; k < OP_INPUTS_MAX; k++)
        free(g->in[k]);
    for (int w = 0; w < OP_WEIGHTS_MAX; w++)
        free(g->weight[w]);
}

static void backward(Rig *rig, unsigned threads, const Gradients *g, unsigned accumulate)
{
    OpCall call = rig_call(rig, threads);

    if (constant(rig)) /* is never called */
        return;
    call.out_gradient = rig->upstream;
    for (uint32_t k = 0; k < rig->inputs; k++) {
        call.in_gradient[k] = g->in[k];
        call.accumulate[k] = (accumulate >> k & 1) != 0;
    }
    memcpy(call.weight_gradient, g->weight, sizeof g->weight);
    rig->op->backward(&call);
}

/* Forward and backward once: what everything below is compared with. */
static void rig_reference(Rig *rig)
{
    Gradients g = gradients_new(rig, NAN);

    forward(rig, 1);
    backward(rig, 1, &g, 0);
    for (uint32_t k = 0; k < rig->inputs; k++)
        if (g.in[k] != NULL)
            memcpy(rig->in_gradient[k], g.in[k], rig->in_count[k] * sizeof(real));
        else
            fill(rig->in_gradient[k], rig->in_count[k], 0);
    for (uint32_t w = 0; w < rig->shapes.weights; w++)
        if (learned(rig, w))
            memcpy(rig->weight_gradient[w], g.weight[w], rig->weight_count[w] * sizeof(real));
    gradients_free(&g);
}

static void same_bits(const Rig *rig, const char *what, const real *got, const real *want,
                      size_t count)
{
    char name[128];

    name_of(rig, what, name);
    for (size_t i = 0; i < count; i++)
        if (memcmp(&got[i], &want[i], sizeof *got) != 0)
            fail_msg("%s: number %zu is %.17g, not %.17g", name, i, got[i], want[i]);
}

static void same_gradients(const Rig *rig, const char *what, const Gradients *g)
{
    for (uint32_t k = 0; k < rig->inputs; k++)
        if (g->in[k] != NULL)
            same_bits(rig, what, g->in[k], rig->in_gradient[k], rig->in_count[k]);
    for (uint32_t w = 0; w < rig->shapes.weights; w++)
        if (g->weight[w] != NULL)
            same_bits(rig, what, g->weight[w], rig->weight_gradient[w], rig->weight_count[w]);
}

/* Calls body for every case on every family of kernels, in training and in eval mode; the slow
 * reference is spared the large ones. */
static void each_case(void (*body)(Rig *rig))
{
    for (const Kernels *const *kernels = kernels_available(); *kernels != NULL; kernels++)
        for (size_t i = 0; i < 2 * CASES; i++) {
            Rig rig;

            rig_init(&rig, &cases[i / 2], *kernels, i % 2 == 1);
            if (rig.out_count <= LARGE || *kernels != &kernels_reference) {
                rig_reference(&rig);
                body(&rig);
            }
            rig_clear(&rig);
        }
}

/* ---- The tests ---- */

static void every_operation_has_a_case(void **state)
{
    (void)state;
    for (size_t i = 0; op_table[i] != NULL; i++) {
        bool found = false;

        for (size_t k = 0; k < CASES; k++)
            found = found || strcmp(cases[k].op, op_table[i]->described.name) == 0;
        if (!found)
            fail_msg("operation %s has no case in this file", op_table[i]->described.name);
    }
}

/* df/dp[at] by central differences; the difference is taken number by number, before it is summed.
 */
static double slope(Rig *rig, real *p, size_t at, real *plus)
{
    const real h = 1e-5, middle = p[at];
    double sum = 0;

    p[at] = middle + h;
    forward(rig, 2);
    memcpy(plus, rig->out, rig->out_count * sizeof *plus);
    p[at] = middle - h;
    forward(rig, 2);
    p[at] = middle;
    for (size_t i = 0; i < rig->out_count; i++)
        sum += (plus[i] - rig->out[i]) * rig->upstream[i];
    return sum / (2 * h);
}

static void check_slopes(Rig *rig, const char *what, real *p, const real *gradient, size_t count)
{
    size_t most = rig->out_count > LARGE ? LARGE_SAMPLE : SAMPLE_MAX,
           step = count > most ? count / most : 1;
    real *plus = room(rig->out_count);
    char name[128];

    name_of(rig, what, name);
    for (size_t i = 0; i < count; i += step) {
        double want = slope(rig, p, i, plus);

        if (!(fabs(gradient[i] - want) <= 1e-6 * (fabs(want) + 0.01)))
            fail_msg("%s: gradient %zu is %.12g, finite differences say %.12g", name, i,
                     gradient[i], want);
    }
    free(plus);
}

static void slopes_of(Rig *rig)
{
    if ((rig->training && rig->c->unlike) || (rig->op->flags & OP_STATISTICS) != 0)
        return;
    for (uint32_t k = 0; k < rig->inputs; k++) {
        char name[32];

        snprintf(name, sizeof name, "input %u", k);
        check_slopes(rig, name, rig->in[k].data, rig->in_gradient[k], rig->in_count[k]);
    }
    for (uint32_t w = 0; w < rig->shapes.weights; w++)
        if (learned(rig, w))
            check_slopes(rig, rig->shapes.weight[w].name, rig->weight[w], rig->weight_gradient[w],
                         rig->weight_count[w]);
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    each_case(slopes_of);
}

static void overwrite(Rig *rig)
{
    static const double garbage[] = { 1e30, -7, INFINITY };

    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        Gradients g = gradients_new(rig, garbage[i]);

        backward(rig, 1, &g, 0);
        same_gradients(rig, "overwritten gradient", &g);
        gradients_free(&g);
    }
}

static void an_overwritten_gradient_forgets_what_was_there(void **state)
{
    (void)state;
    each_case(overwrite);
}

/* got = start + gradient, up to the order of additions. */
static void added(const Rig *rig, const char *what, const real *got, const real *start,
                  const real *gradient, size_t count)
{
    char name[128];

    name_of(rig, what, name);
    for (size_t i = 0; i < count; i++) {
        double want = start[i] + gradient[i];

        if (!(fabs(got[i] - want) <= 1e-12 * (1 + fabs(gradient[i]))))
            fail_msg("%s: number %zu is %.17g, not %.17g", name, i, got[i], want);
    }
}

/* Every mixture of overwriting and accumulating inputs, or, of many, some; weights always
 * accumulate. */
static void accumulate(Rig *rig)
{
    bool many = rig->inputs > 5;

    for (unsigned i = 0; i < 1u << (many ? 5 : rig->inputs); i++) {
        unsigned mask = many ? i * 0x9E3779B9u >> 13 : i;
        Gradients g = gradients_new(rig, NAN), start = gradients_new(rig, 0);

        for (uint32_t k = 0; k < rig->inputs && !constant(rig); k++)
            if ((mask >> k & 1) != 0) {
                draw(start.in[k], rig->in_count[k], 0, 1);
                memcpy(g.in[k], start.in[k], rig->in_count[k] * sizeof(real));
            }
        for (uint32_t w = 0; w < rig->shapes.weights; w++)
            if (learned(rig, w)) {
                draw(start.weight[w], rig->weight_count[w], 0, 1);
                memcpy(g.weight[w], start.weight[w], rig->weight_count[w] * sizeof(real));
            }
        backward(rig, 1, &g, mask);
        for (uint32_t k = 0; k < rig->inputs && !constant(rig); k++)
            added(rig, "input's gradient", g.in[k], start.in[k], rig->in_gradient[k],
                  rig->in_count[k]);
        for (uint32_t w = 0; w < rig->shapes.weights; w++)
            if (learned(rig, w))
                added(rig, "weight's gradient", g.weight[w], start.weight[w],
                      rig->weight_gradient[w], rig->weight_count[w]);
        gradients_free(&start);
        gradients_free(&g);
    }
}

static void an_accumulated_gradient_is_added_to_what_was_there(void **state)
{
    (void)state;
    each_case(accumulate);
}

static void leave_out(Rig *rig)
{
    for (uint32_t i = 0; i < OP_INPUTS_MAX + OP_WEIGHTS_MAX + 2; i++) {
        Gradients g = gradients_new(rig, NAN);

        for (uint32_t k = 0; k < OP_INPUTS_MAX; k++) /* each input, and all */
            if (k == i || i == OP_INPUTS_MAX + OP_WEIGHTS_MAX) {
                free(g.in[k]);
                g.in[k] = NULL;
            }
        for (uint32_t w = 0; w < OP_WEIGHTS_MAX; w++) /* each weight, and all */
            if (OP_INPUTS_MAX + w == i || i == OP_INPUTS_MAX + OP_WEIGHTS_MAX + 1) {
                free(g.weight[w]);
                g.weight[w] = NULL;
            }
        backward(rig, 1, &g, 0);
        same_gradients(rig, "with a gradient left out", &g);
        gradients_free(&g);
    }
}

static void an_unwanted_gradient_changes_no_other(void **state)
{
    (void)state;
    each_case(leave_out);
}

/* What the row's flags promise to the planner. */
static void in_place(Rig *rig)
{
    real *input = rig->in[0].data, *out = rig->out, *upstream = rig->upstream;
    Gradients g;

    if ((rig->op->flags & OP_GRADIENT_INPLACE) != 0) {
        g = gradients_new(rig, NAN);
        memcpy(g.in[0], upstream, rig->in_count[0] * sizeof(real));
        rig->upstream = g.in[0];
        backward(rig, 2, &g, 0);
        rig->upstream = upstream;
        same_gradients(rig, "gradient in place", &g);
        gradients_free(&g);
    }
    if ((rig->op->flags & OP_INPLACE) != 0) {
        OpCall call = rig_call(rig, 2);
        real *both = copy(input, rig->in_count[0]);

        rig->in[0].data = call.out.data = both;
        rig->op->forward(&call);
        rig->in[0].data = input;
        same_bits(rig, "output in place", both, out, rig->out_count);
        free(both);
    }
}

static void what_may_lie_in_place_does(void **state)
{
    (void)state;
    each_case(in_place);
}

static void poison(Rig *rig)
{
    unsigned flags = rig->op->flags;
    bool weights_need = (flags & OP_WEIGHTS_NEED_INPUT) != 0;
    Gradients g = gradients_new(rig, NAN);

    for (uint32_t k = 0; k < rig->inputs && (flags & (OP_NEEDS_INPUT | OP_PRODUCT)) == 0; k++)
        if (k == 0 || (flags & OP_NEEDS_REST) == 0)
            fill(rig->in[k].data, rig->in_count[k], NAN);
    if (constant(rig) && (flags & OP_STATISTICS) == 0) {
        real *out = copy(rig->out, rig->out_count);

        forward(rig, 1);
        same_bits(rig, "output of what does not depend on its input", rig->out, out,
                  rig->out_count);
        free(out);
    }
    if ((flags & OP_NEEDS_OUTPUT) == 0)
        fill(rig->out, rig->out_count, NAN);
    for (uint32_t w = 0; w < OP_WEIGHTS_MAX && weights_need; w++) {
        free(g.weight[w]);
        g.weight[w] = NULL;
    }
    backward(rig, 1, &g, 0);
    same_gradients(rig, "without what it says it does not need", &g);
    gradients_free(&g);
}

/* Of a product, each side without the other one's gradients. */
static void poison_side(Rig *rig)
{
    for (uint32_t side = 0; side < 2 && (rig->op->flags & OP_PRODUCT) != 0; side++) {
        Gradients g = gradients_new(rig, NAN);
        real *kept[OP_INPUTS_MAX];

        for (uint32_t k = 0; k < rig->inputs; k++) {
            kept[k] = copy(rig->in[k].data, rig->in_count[k]);
            if ((k == 0) == (side == 0)) {
                fill(rig->in[k].data, rig->in_count[k], NAN);
            } else {
                free(g.in[k]);
                g.in[k] = NULL;
            }
        }
        backward(rig, 1, &g, 0);
        same_gradients(rig, "of one side of a product", &g);
        for (uint32_t k = 0; k < rig->inputs; k++) {
            memcpy(rig->in[k].data, kept[k], rig->in_count[k] * sizeof(real));
            free(kept[k]);
        }
        gradients_free(&g);
    }
}

static void backward_reads_no_more_than_its_row_says(void **state)
{
    (void)state;
    each_case(poison_side);
    each_case(poison);
}

static void thread_counts(Rig *rig)
{
    real *out = copy(rig->out, rig->out_count), *saved = copy(rig->saved, rig->shapes.saved),
         *moved[OP_WEIGHTS_MAX] = { NULL };

    for (uint32_t w = 0; w < rig->shapes.weights; w++)
        moved[w] = copy(rig->weight[w], rig->weight_count[w]);
    for (unsigned threads = 2; threads <= THREADS_MAX; threads++) {
        Gradients g = gradients_new(rig, NAN);

        forward(rig, threads);
        backward(rig, threads, &g, 0);
        same_bits(rig, "output on several threads", rig->out, out, rig->out_count);
        same_bits(rig, "saved on several threads", rig->saved, saved, rig->shapes.saved);
        for (uint32_t w = 0; w < rig->shapes.weights; w++)
            same_bits(rig, "weight on several threads", rig->weight[w], moved[w],
                      rig->weight_count[w]);
        same_gradients(rig, "gradient on several threads", &g);
        gradients_free(&g);
    }
    for (uint32_t w = 0; w < rig->shapes.weights; w++)
        free(moved[w]);
    free(saved);
    free(out);
}

static void bits_do_not_depend_on_the_number_of_threads(void **state)
{
    (void)state;
    each_case(thread_counts);
}

static void moves(Rig *rig)
{
    for (uint32_t w = 0; w < rig->shapes.weights; w++)
        if (rig->shapes.weight[w].role != WEIGHT_STATISTIC || !rig->training)
            same_bits(rig, rig->shapes.weight[w].name, rig->weight[w], rig->start[w],
                      rig->weight_count[w]);
        else
            assert_memory_not_equal(rig->weight[w], rig->start[w],
                                    rig->weight_count[w] * sizeof(real));
}

static void eval_mode_moves_no_weight_and_training_only_statistics(void **state)
{
    (void)state;
    each_case(moves);
}

static void keep(Rig *rig)
{
    OpCall call = rig_call(rig, 1);
    real *out = copy(rig->out, rig->out_count);

    for (uint32_t w = 0; w < rig->shapes.weights; w++)
        memcpy(rig->weight[w], rig->start[w], rig->weight_count[w] * sizeof(real));
    call.keep_statistics = true;
    rig->op->forward(&call);
    same_bits(rig, "output with statistics kept", rig->out, out, rig->out_count);
    for (uint32_t w = 0; w < rig->shapes.weights; w++)
        same_bits(rig, "kept statistics", rig->weight[w], rig->start[w], rig->weight_count[w]);
    free(out);
}

static void statistics_that_are_to_be_kept_are(void **state)
{
    (void)state;
    each_case(keep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_has_a_case),
        ALONE(gradients_are_those_of_finite_differences),
        ALONE(an_overwritten_gradient_forgets_what_was_there),
        ALONE(an_accumulated_gradient_is_added_to_what_was_there),
        ALONE(an_unwanted_gradient_changes_no_other),
        cmocka_unit_test(what_may_lie_in_place_does),
        ALONE(backward_reads_no_more_than_its_row_says),
        cmocka_unit_test(bits_do_not_depend_on_the_number_of_threads),
        ALONE(eval_mode_moves_no_weight_and_training_only_statistics),
        ALONE(statistics_that_are_to_be_kept_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
