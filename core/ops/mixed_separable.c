/*
 * Both convolutions are separable.h's; what stands between them and behind them costs no pass over
 * memory but two. Forward: one that adds w r (c - mean) to y. Backward: one for the two sums that
 * the last norm's gradient needs. With g = dy, M rows, xhat = (c - mean) r, per channel S = sum g
 * and P = sum g (c - mean):
 *   dw = sum over channels r P;  dc = w r (g - S/M - (c - mean) r^2 P/M) in training, else w r g,
 * and the convolution's backward makes dc of g and c where it reads them; that of the norm between
 * the two likewise, with sums that the second convolution's backward leaves.
 */
#include "core/ops/mixed_separable.h"

#include <string.h>

#include "core/ops/separable.h"

enum { VALUE_ROW, VALUE_COLUMN, VALUE_KERNEL, VALUE_STRIDE, VALUE_DILATION, VALUE_TWICE };
enum { DEPTHWISE, POINTWISE, RUNNING_MEAN, RUNNING_VAR, STAGE_WEIGHTS };
enum { STAGES = 2 };
enum { OF_DY, OF_Y, MEAN, OF_ONE, BLEND };
static const double eps = 1e-5, momentum = 0.1; /* PyTorch's */

const Param mixed_separable_params[MIXED_SEPARABLE_PARAMS] = {
    { "row", PARAM_INT, 0, 0, 65535, NULL, "row of the mixture's weights" },
    { "column", PARAM_INT, 0, 0, 65535, NULL, "their column" },
    { "kernel", PARAM_INT, 3, 1, SEPARABLE_KERNEL_MAX, NULL, "side of the depthwise kernel, odd" },
    { "stride", PARAM_INT, 1, 1, 8, NULL, "step between output pixels" },
    { "dilation", PARAM_INT, 1, 1, 8, NULL, "step between the kernel's input pixels" },
    { "twice", PARAM_BOOL, 0, 0, 1, NULL, "a second convolution, of stride and dilation 1" },
};

/* Sizes, and where scratch (in bytes) and saved (in numbers) are cut. */
typedef struct Cut {
    uint32_t stages, c;
    size_t numbers, units; /* of y */
    SeparableLayout l[STAGES];
    size_t sums, of_stage, moments, factors, g, bytes;
    size_t y[STAGES], statistics[STAGES], saved;
} Cut;

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Numbers, rounded to a cache line. */
static size_t line(size_t numbers)
{
    return (numbers + 15) / 16 * 16;
}

static Cut cut_of(const double *value, const Shape *x)
{
    uint32_t kernel = (uint32_t)value[VALUE_KERNEL];
    Cut cut = { .stages = value[VALUE_TWICE] > 0 ? 2 : 1, .c = x->dim[3] };
    Shape y;

    cut.l[0] =
        separable_layout(x, kernel, (uint32_t)value[VALUE_STRIDE], (uint32_t)value[VALUE_DILATION]);
    y = shape4(x->dim[0], cut.l[0].oh, cut.l[0].ow, cut.c);
    cut.l[1] = separable_layout(&y, kernel, 1, 1);
    cut.numbers = shape_count(&y);
    cut.units = op_units(op_rows(&y), cut.c);
    for (uint32_t i = 0; i < cut.stages; i++) {
        cut.y[i] = cut.saved;
        cut.statistics[i] = cut.y[i] + line(cut.numbers);
        cut.saved = cut.statistics[i] + line(2 * (size_t)cut.c);
    }
    cut.sums = larger(separable_bytes(&cut.l[0]), cut.stages > 1 ? separable_bytes(&cut.l[1]) : 0);
    cut.of_stage = cut.sums + cut.units * 2 * cut.c * sizeof(double);
    cut.moments = cut.of_stage + 2 * cut.c * sizeof(double);
    cut.factors = cut.moments + cut.c * sizeof(Moments);
    cut.g = cut.factors + line((BLEND + 2) * (size_t)cut.c) * sizeof(real);
    cut.bytes = cut.g + (cut.stages > 1 ? cut.numbers : 0) * sizeof(real);
    return cut;
}

Status mixed_separable_shape(const char *name, const double *value, const Shape *in, uint32_t first,
                             OpShapes *ret, Error *err)
{
    static const char *const names[STAGES][STAGE_WEIGHTS] = {
        { "op.1.weight", "op.2.weight", "op.3.running_mean", "op.3.running_var" },
        { "op.5.weight", "op.6.weight", "op.7.running_mean", "op.7.running_var" },
    };
    const Shape *x = &in[first], *w = &in[first + 1];
    uint32_t kernel = (uint32_t)value[VALUE_KERNEL], c = x->dim[3];
    Cut cut;

    if (x->rank != 4 || kernel % 2 == 0)
        return error_set(err, STATUS_BAD_SHAPE, "%s wants x [N,H,W,C] and an odd kernel", name);
    if (w->rank != 2 || w->dim[0] <= value[VALUE_ROW] || w->dim[1] <= value[VALUE_COLUMN])
        return error_set(err, STATUS_BAD_SHAPE, "%s wants weights [R,K] with a row %u, column %u",
                         name, (uint32_t)value[VALUE_ROW], (uint32_t)value[VALUE_COLUMN]);
    cut = cut_of(value, x);
    *ret =
        (OpShapes){ .out = shape4(x->dim[0], cut.l[0].oh, cut.l[0].ow, c),
                    .weights = cut.stages * STAGE_WEIGHTS,
                    .saved = cut.saved,
                    .scratch_bytes = cut.bytes,
                    .flops = 2.0 * (double)cut.numbers * cut.stages * (cut.l[0].taps + (double)c) };
    for (uint32_t i = 0; i < cut.stages; i++) {
        const char *const *of = names[i];
        OpWeight *weight = ret->weight + (size_t)i * STAGE_WEIGHTS;

        weight[DEPTHWISE] = (OpWeight){ of[DEPTHWISE],  shape4(c, 1, kernel, kernel),
                                        WEIGHT_TRAINED, WEIGHT_CONV,
                                        INIT_UNIFORM,   cut.l[0].taps };
        weight[POINTWISE] = (OpWeight){ of[POINTWISE], shape4(c, c, 1, 1), WEIGHT_TRAINED,
                                        WEIGHT_CONV,   INIT_UNIFORM,       c };
        weight[RUNNING_MEAN] =
            (OpWeight){ of[RUNNING_MEAN], shape1(c), WEIGHT_STATISTIC, WEIGHT_PLAIN, INIT_ZERO, 0 };
        weight[RUNNING_VAR] =
            (OpWeight){ of[RUNNING_VAR], shape1(c), WEIGHT_STATISTIC, WEIGHT_PLAIN, INIT_ONE, 0 };
    }
    return STATUS_OK;
}

/* Where everything of a call is. */
typedef struct Candidate {
    const OpCall *call;
    Cut cut;
    uint32_t first;
    size_t rows, place; /* of y; of the mixture's weight */
    real weight;
    const real *base;
    double *sums;     /* [units,2,C] */
    double *of_stage; /* [2,C] */
    Moments *moments; /* [C] */
    real *factors;    /* [BLEND,C], and [2,C] scale and shift */
    real *g;          /* gradient in front of the second ReLU */
} Candidate;

static Candidate candidate_of(const OpCall *call, uint32_t first)
{
    const Tensor *mixture = &call->in[first + 1];
    Candidate m = { .call = call,
                    .cut = cut_of(call->value, &call->in[first].shape),
                    .first = first,
                    .rows = op_rows(&call->out.shape),
                    .place = (size_t)call->value[VALUE_ROW] * mixture->shape.dim[1] +
                             (size_t)call->value[VALUE_COLUMN] };
    char *scratch = call->scratch;

    m.weight = mixture->data[m.place];
    m.sums = (double *)(scratch + m.cut.sums);
    m.of_stage = (double *)(scratch + m.cut.of_stage);
    m.moments = (Moments *)(scratch + m.cut.moments);
    m.factors = (real *)(scratch + m.cut.factors);
    m.g = (real *)(scratch + m.cut.g);
    return m;
}

static real *factor(const Candidate *m, int which)
{
    return m->factors + (size_t)which * m->cut.c;
}

/* [2,C] mean and 1/std of a convolution's output. */
static real *statistics(const Candidate *m, uint32_t stage)
{
    return m->call->saved + m->cut.statistics[stage];
}

static real *output(const Candidate *m, uint32_t stage)
{
    return m->call->saved + m->cut.y[stage];
}

/* The convolution's call, but for what only one direction has. */
static Separable stage_of(const Candidate *m, uint32_t stage)
{
    const OpCall *call = m->call;
    real *const *weight = call->weight + (size_t)stage * STAGE_WEIGHTS;
    Separable s = { .call = call,
                    .l = m->cut.l[stage],
                    .memory = call->scratch,
                    .x = stage > 0 ? output(m, stage - 1) : call->in[m->first].data,
                    .depthwise = weight[DEPTHWISE],
                    .pointwise = weight[POINTWISE],
                    .y = output(m, stage) };

    return s;
}

/* [2,C] what normalises the second convolution's input: scale and shift. */
static const real *lay_scale(const Candidate *m, real *ret)
{
    const real *mean = statistics(m, 0), *r = mean + m->cut.c;

    for (size_t j = 0; j < m->cut.c; j++) {
        ret[j] = r[j];
        ret[m->cut.c + j] = -mean[j] * r[j];
    }
    return ret;
}

/* ---- Forward ---- */

static void convolve(const Candidate *m, uint32_t stage)
{
    const OpCall *call = m->call;
    real *const *weight = call->weight + (size_t)stage * STAGE_WEIGHTS;
    Separable s = stage_of(m, stage);

    if (stage > 0)
        s.scale = lay_scale(m, factor(m, 0));
    separable_forward(&s, m->moments);
    for (size_t j = 0; j < m->cut.c; j++) {
        Statistics of = { weight[RUNNING_MEAN] + j, weight[RUNNING_VAR] + j,
                          statistics(m, stage) + j, statistics(m, stage) + m->cut.c + j };

        if (call->training)
            statistics_of_batch(call, &m->moments[j], eps, momentum, &of);
        else
            statistics_of_run(eps, &of);
    }
}

/* Rows of unit u, the first of which begins at *ret_at. */
static size_t unit_rows(const Candidate *m, size_t u, size_t *ret_at)
{
    size_t size = op_unit_rows(m->cut.c), row = u * size;

    *ret_at = row * m->cut.c;
    return m->rows - row < size ? m->rows - row : size;
}

static void mix_unit(void *context, size_t u)
{
    const Candidate *m = context;
    size_t at, rows = unit_rows(m, u, &at);

    m->call->kernels->norm_forward(rows, m->cut.c, output(m, m->cut.stages - 1) + at, factor(m, 0),
                                   factor(m, 1), m->base == NULL ? NULL : m->base + at, false,
                                   m->call->out.data + at);
}

void mixed_separable_forward(const OpCall *call, uint32_t first, const real *base)
{
    Candidate m = candidate_of(call, first);
    const real *mean = statistics(&m, m.cut.stages - 1);

    m.base = base;
    for (uint32_t i = 0; i < m.cut.stages; i++)
        convolve(&m, i);
    for (size_t j = 0; j < m.cut.c; j++) {
        factor(&m, 0)[j] = m.weight * mean[m.cut.c + j];
        factor(&m, 1)[j] = -factor(&m, 0)[j] * mean[j];
    }
    pool_run(call->pool, m.cut.units, mix_unit, &m);
}

/* ---- Backward ---- */

static void sums_unit(void *context, size_t u)
{
    static const NormMask all = { NULL, NULL, NULL };
    const Candidate *m = context;
    const uint32_t last = m->cut.stages - 1;
    double *sum = m->sums + u * 2 * m->cut.c;
    size_t at, rows = unit_rows(m, u, &at);

    m->call->kernels->norm_sums(rows, m->cut.c, output(m, last) + at, m->call->out_gradient + at,
                                &all, statistics(m, last), sum, sum + m->cut.c);
}

/* S and P over the units, into m->of_stage. */
static void sum_up(const Candidate *m)
{
    pool_run(m->call->pool, m->cut.units, sums_unit, (void *)m);
    memset(m->of_stage, 0, 2 * (size_t)m->cut.c * sizeof *m->of_stage);
    for (size_t u = 0; u < m->cut.units; u++)
        for (size_t j = 0; j < 2 * (size_t)m->cut.c; j++)
            m->of_stage[j] += m->sums[u * 2 * m->cut.c + j];
}

/* The weight's gradient: sum r P. */
static void add_mixture(const Candidate *m)
{
    const uint32_t input = m->first + 1;
    const real *r = statistics(m, m->cut.stages - 1) + m->cut.c;
    real *dw = m->call->in_gradient[input];
    double sum = 0;

    if (dw == NULL)
        return;
    if (!m->call->accumulate[input])
        memset(dw, 0, shape_count(&m->call->in[input].shape) * sizeof *dw);
    for (size_t j = 0; j < m->cut.c; j++)
        sum += (double)r[j] * m->of_stage[m->cut.c + j];
    dw[m->place] += (real)sum;
}

/*
 * How the gradient of a convolution's output is made of that behind its norm, which is dy times
 * `weight`: with of_stage = S and sum dy (c - mean).
 */
static void lay_blend(const Candidate *m, uint32_t stage, double weight)
{
    const real *mean = statistics(m, stage);
    double rows = (double)m->rows;

    for (size_t j = 0; j < m->cut.c; j++) {
        double r = (double)mean[m->cut.c + j], wr = weight * r;
        bool through = m->call->training;

        factor(m, OF_DY)[j] = (real)wr;
        factor(m, OF_Y)[j] = through ? (real)(-wr * r * r * m->of_stage[m->cut.c + j] / rows) : 0;
        factor(m, MEAN)[j] = mean[j];
        factor(m, OF_ONE)[j] = through ? (real)(-wr * m->of_stage[j] / rows) : 0;
    }
}

/* The convolution's call in backward(); false where nothing wants it. */
static bool backward_of(const Candidate *m, uint32_t stage, Separable *ret)
{
    const OpCall *call = m->call;
    real *const *dw = call->weight_gradient + (size_t)stage * STAGE_WEIGHTS;

    *ret = stage_of(m, stage);
    ret->blend = m->factors;
    ret->d_depthwise = dw[DEPTHWISE];
    ret->d_pointwise = dw[POINTWISE];
    if (stage == 0) {
        ret->dx = call->in_gradient[m->first];
        ret->accumulate = call->accumulate[m->first];
    }
    return ret->dx != NULL || ret->d_depthwise != NULL || ret->d_pointwise != NULL;
}

/* The second convolution, if there is one; leaves m->g and of_stage for the first one. */
static const real *backward_second(const Candidate *m, bool first)
{
    Separable s;
    real *scale;
    bool wanted = backward_of(m, 1, &s);

    if (!wanted && !first)
        return NULL;
    scale = m->factors + BLEND * (size_t)m->cut.c;
    s.scale = lay_scale(m, scale);
    s.dy = m->call->out_gradient;
    s.dx = first ? m->g : NULL;
    lay_blend(m, 1, (double)m->weight);
    separable_backward(&s, first ? m->of_stage : NULL);
    for (size_t j = 0; j < m->cut.c && first; j++) /* sum g xhat -> sum g (c - mean) */
        m->of_stage[m->cut.c + j] /= (double)statistics(m, 0)[m->cut.c + j];
    return m->g;
}

void mixed_separable_backward(const OpCall *call, uint32_t first)
{
    Candidate m = candidate_of(call, first);
    const real *dy = call->out_gradient;
    double weight = (double)m.weight;
    Separable s;
    bool wanted = backward_of(&m, 0, &s);

    if (call->training || call->in_gradient[first + 1] != NULL)
        sum_up(&m);
    add_mixture(&m);
    if (m.cut.stages > 1) {
        dy = backward_second(&m, wanted);
        weight = 1;
    }
    if (!wanted)
        return;
    s.dy = dy;
    lay_blend(&m, 0, weight);
    separable_backward(&s, NULL);
}
