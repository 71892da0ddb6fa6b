/*
 * All factors of an image's channel are one, f = sum w + sum w_k g_k, [N,C]. With D = the sum over
 * pixels of dy x:  dx = dy f;  dg_k = w_k D;  dw_k = sum of g_k D, of a plain one sum of D. Each
 * unit leaves its part of D in scratch, [units of a block,N,C], and the parts are added in order.
 */
#include "core/ops/mixed_gates.h"

#include <string.h>

#include "core/ops/pixels.h"

enum { VALUE_ROW, VALUE_PLAIN, VALUE_GATED };
enum { COLUMNS_MAX = 15 };

const Param mixed_gates_params[MIXED_GATES_PARAMS] = {
    { "row", PARAM_INT, 0, 0, 65535, NULL, "row of the weights" },
    { "plain", PARAM_INT, 1, 0, (1 << COLUMNS_MAX) - 1, NULL,
      "columns whose candidate is x itself, one bit each" },
    { "gated", PARAM_INT, 0, 0, (1 << COLUMNS_MAX) - 1, NULL,
      "columns that have a gate, one bit each" },
};

Status mixed_gates_shape(const char *name, const double *value, const Shape *in, uint32_t inputs,
                         uint32_t first, OpShapes *ret, Error *err)
{
    uint32_t plain = (uint32_t)value[VALUE_PLAIN], gated = (uint32_t)value[VALUE_GATED],
             gates = first + 2;
    const Shape *x = &in[first], *w = &in[first + 1];

    if (x->rank != 4)
        return error_set(err, STATUS_BAD_SHAPE, "%s wants x [N,H,W,C]", name);
    if (w->rank != 2 || w->dim[0] <= value[VALUE_ROW] || (plain & gated) != 0 ||
        (plain | gated) == 0 || (w->dim[1] < 32 && (plain | gated) >> w->dim[1] != 0))
        return error_set(err, STATUS_BAD_SHAPE,
                         "%s wants weights [R,K] with a row %u and a column for each candidate",
                         name, (uint32_t)value[VALUE_ROW]);
    if (inputs != gates + (uint32_t)__builtin_popcount(gated))
        return error_set(err, STATUS_BAD_SHAPE, "%s: %u inputs for %d gates", name, inputs,
                         __builtin_popcount(gated));
    for (uint32_t k = gates; k < inputs; k++)
        if (in[k].rank != 2 || in[k].dim[0] != x->dim[0] || in[k].dim[1] != x->dim[3])
            return error_set(err, STATUS_BAD_SHAPE, "%s wants gates [%u,%u]", name, x->dim[0],
                             x->dim[3]);
    *ret = (OpShapes){ .out = *x };
    ret->scratch_bytes =
        (2 + pixel_units_of_block(x)) * (size_t)x->dim[0] * x->dim[3] * sizeof(real);
    return STATUS_OK;
}

/* Where everything of a call is. */
typedef struct Gates {
    const OpCall *call;
    uint32_t first, plain, gated;
    size_t count, row; /* N*C; of the weights */
    const real *weight;
    const real *x, *base;
    real *factor, *zero; /* [count] */
    real *part;          /* [units of a block,count] */
} Gates;

static Gates gates_of(const OpCall *call, uint32_t first)
{
    const Shape *x = &call->in[first].shape, *w = &call->in[first + 1].shape;
    Gates m = { .call = call,
                .first = first,
                .plain = (uint32_t)call->value[VALUE_PLAIN],
                .gated = (uint32_t)call->value[VALUE_GATED],
                .count = (size_t)x->dim[0] * x->dim[3],
                .row = (size_t)call->value[VALUE_ROW] * w->dim[1],
                .x = call->in[first].data };
    uint32_t input = first + 2;
    real sum = 0;

    m.weight = call->in[first + 1].data + m.row;
    m.factor = call->scratch;
    m.zero = m.factor + m.count;
    m.part = m.zero + m.count;
    for (uint32_t k = 0; k < COLUMNS_MAX; k++)
        sum += (m.plain >> k & 1) != 0 ? m.weight[k] : 0;
    for (size_t i = 0; i < m.count; i++) {
        m.factor[i] = sum;
        m.zero[i] = 0;
    }
    for (uint32_t k = 0; k < COLUMNS_MAX; k++)
        if ((m.gated >> k & 1) != 0)
            call->kernels->axpy(m.count, m.weight[k], call->in[input++].data, m.factor, true);
    return m;
}

static void forward_unit(void *context, size_t u)
{
    const Gates *m = context;
    PixelUnit p = pixel_unit(&m->call->out.shape, u);

    m->call->kernels->norm_forward(p.pixels, p.nc, m->x + p.at, m->factor + p.factor,
                                   m->zero + p.factor, m->base == NULL ? NULL : m->base + p.at,
                                   false, m->call->out.data + p.at);
}

void mixed_gates_forward(const OpCall *call, uint32_t first, const real *base)
{
    Gates m = gates_of(call, first);

    m.base = base;
    pool_run(call->pool, pixel_units(&call->out.shape), forward_unit, &m);
}

static void backward_unit(void *context, size_t u)
{
    const Gates *m = context;
    const OpCall *call = m->call;
    PixelUnit p = pixel_unit(&call->out.shape, u);
    size_t row = u % pixel_units_of_block(&call->out.shape);
    real *dx = call->in_gradient[m->first];

    call->kernels->gate_backward(p.pixels, p.nc, m->x + p.at, m->factor + p.factor,
                                 call->out_gradient + p.at, dx == NULL ? NULL : dx + p.at,
                                 call->accumulate[m->first], m->part + row * m->count + p.factor,
                                 false);
}

/* D, where the first part is. */
static void add_parts(const Gates *m)
{
    size_t parts = pixel_units_of_block(&m->call->out.shape);

    for (size_t i = 1; i < parts; i++)
        m->call->kernels->axpy(m->count, 1, m->part + i * m->count, m->part, true);
}

/* The gradients of weights and gates, from D. */
static void differentiate(const Gates *m)
{
    const OpCall *call = m->call;
    const uint32_t input = m->first + 1;
    real *dw = call->in_gradient[input];
    uint32_t gate = input + 1;
    double all = 0;

    if (dw != NULL && !call->accumulate[input])
        memset(dw, 0, shape_count(&call->in[input].shape) * sizeof *dw);
    for (size_t i = 0; i < m->count; i++)
        all += (double)m->part[i];
    for (uint32_t k = 0; k < COLUMNS_MAX; k++) {
        if (dw != NULL && (m->plain >> k & 1) != 0)
            dw[m->row + k] += (real)all;
        if ((m->gated >> k & 1) == 0)
            continue;
        if (dw != NULL)
            dw[m->row + k] += (real)call->kernels->dot(m->count, m->part, call->in[gate].data);
        if (call->in_gradient[gate] != NULL)
            call->kernels->axpy(m->count, m->weight[k], m->part, call->in_gradient[gate],
                                call->accumulate[gate]);
        gate++;
    }
}

void mixed_gates_backward(const OpCall *call, uint32_t first)
{
    Gates m = gates_of(call, first);

    pool_run(call->pool, pixel_units(&call->out.shape), backward_unit, &m);
    add_parts(&m);
    differentiate(&m);
}
