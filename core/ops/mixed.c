/*
 * The normalised tensors are never written: x_k passes by once with its factors w r and shift
 * -w r mean, a tile of all tensors at a time, so that y stays in the first cache. With g = dy and M
 * rows, xhat = (x - mean) r, and per channel S = sum g, P_k = sum g (x_k - mean_k):
 *   dw_k = sum over channels r P_k  (not normed: sum g x_k)
 *   dx_k = w r (g - S/M - (x - mean) r^2 P_k/M) in training;  w r g  with running statistics.
 * Units are ranges of rows; each leaves its sums in scratch, which are added in order.
 */
#include "core/ops/mixed.h"

#include <string.h>

enum { VALUE_ROW, VALUE_COLUMNS, VALUE_NORMED };
enum { TILE = 4096, TENSORS_MAX = 15 };
static const NormMask everywhere = { NULL, NULL, NULL };

const Param mixed_params[MIXED_PARAMS] = {
    { "row", PARAM_INT, 0, 0, 65535, NULL, "row of the weights" },
    { "columns", PARAM_INT, 1, 1, (1 << TENSORS_MAX) - 1, NULL,
      "columns that have a tensor, one bit each" },
    { "normed", PARAM_INT, 0, 0, (1 << TENSORS_MAX) - 1, NULL,
      "tensors that are normalised, one bit each" },
};

/* Where everything of a call is. */
typedef struct Mixture {
    const OpCall *call;
    uint32_t first, tensors;
    size_t rows, c, units;
    real weight[TENSORS_MAX];
    size_t place[TENSORS_MAX];                            /* of the weight in its matrix */
    const real *x[TENSORS_MAX], *statistics[TENSORS_MAX]; /* NULL: not normed */
    const real *base;
    real *factor; /* [tensors,3,C] coefficients of one direction */
    real *zero;   /* [C] */
    double *sums; /* [units,tensors,2,C] */
} Mixture;

static size_t units_of(const Shape *y)
{
    return op_units(op_rows(y), y->dim[3]);
}

Status mixed_shape(const char *name, const double *value, const Shape *in, uint32_t inputs,
                   uint32_t first, OpShapes *ret, Error *err)
{
    uint32_t columns = (uint32_t)value[VALUE_COLUMNS], normed = (uint32_t)value[VALUE_NORMED],
             tensors = (uint32_t)__builtin_popcount(columns), at = first + 1 + tensors;
    const Shape *w = &in[first], *x = &in[first + 1];

    if (w->rank != 2 || w->dim[0] <= value[VALUE_ROW] ||
        (w->dim[1] < 32 && columns >> w->dim[1] != 0))
        return error_set(err, STATUS_BAD_SHAPE,
                         "%s wants weights [R,K] with a row %u and a column for each tensor", name,
                         (uint32_t)value[VALUE_ROW]);
    if (normed >> tensors != 0 || inputs != at + (uint32_t)__builtin_popcount(normed))
        return error_set(err, STATUS_BAD_SHAPE,
                         "%s: %u inputs for %u columns, of which %d are normed", name, inputs,
                         tensors, __builtin_popcount(normed));
    for (uint32_t k = 0; k < tensors; k++)
        if (x->rank != 4 || !shape_equal(x, &x[k]))
            return error_set(err, STATUS_BAD_SHAPE,
                             "%s wants tensors [N,H,W,C] of one shape; number %u differs", name,
                             k + 1);
    for (; at < inputs; at++)
        if (in[at].rank != 2 || in[at].dim[0] != 2 || in[at].dim[1] != x->dim[3])
            return error_set(err, STATUS_BAD_SHAPE, "%s wants statistics [2,%u]", name, x->dim[3]);
    *ret = (OpShapes){ .out = *x,
                       .scratch_bytes = units_of(x) * tensors * 2 * x->dim[3] * sizeof(double) +
                                        (3 * (size_t)tensors + 1) * x->dim[3] * sizeof(real) };
    return STATUS_OK;
}

static Mixture mixture_of(const OpCall *call, uint32_t first)
{
    uint32_t columns = (uint32_t)call->value[VALUE_COLUMNS],
             normed = (uint32_t)call->value[VALUE_NORMED];
    const Tensor *w = &call->in[first], *x = &call->in[first + 1], *statistics;
    Mixture m = { .call = call,
                  .first = first,
                  .tensors = (uint32_t)__builtin_popcount(columns),
                  .rows = op_rows(&call->out.shape),
                  .c = call->out.shape.dim[3],
                  .units = units_of(&call->out.shape) };
    uint32_t k = 0;

    statistics = x + m.tensors;
    for (uint32_t column = 0; columns >> column != 0; column++) {
        if ((columns >> column & 1) == 0)
            continue;
        m.place[k] = (size_t)call->value[VALUE_ROW] * w->shape.dim[1] + column;
        m.weight[k] = w->data[m.place[k]];
        m.x[k] = x[k].data;
        if ((normed >> k & 1) != 0)
            m.statistics[k] = (statistics++)->data;
        k++;
    }
    m.sums = call->scratch;
    m.factor = (real *)(m.sums + m.units * m.tensors * 2 * m.c);
    m.zero = m.factor + 3 * (size_t)m.tensors * m.c;
    memset(m.zero, 0, m.c * sizeof *m.zero);
    return m;
}

static real *factor_of(const Mixture *m, uint32_t k, int which)
{
    return m->factor + (3 * (size_t)k + (size_t)which) * m->c;
}

/* Rows [row, row + *ret_rows) of unit u from its row `done` on; false behind its end. */
static bool tile_of(const Mixture *m, size_t u, size_t done, size_t *ret_row, size_t *ret_rows)
{
    size_t size = op_unit_rows(m->c), end = (u + 1) * size < m->rows ? (u + 1) * size : m->rows,
           tile = TILE / m->c > 0 ? TILE / m->c : 1, row = u * size + done;

    if (row >= end)
        return false;
    *ret_row = row;
    *ret_rows = end - row < tile ? end - row : tile;
    return true;
}

static void forward_unit(void *context, size_t u)
{
    const Mixture *m = context;

    for (size_t done = 0, row, rows; tile_of(m, u, done, &row, &rows); done += rows) {
        size_t at = row * m->c;
        const real *base = m->base == NULL ? NULL : m->base + at;
        real *y = m->call->out.data + at;

        for (uint32_t k = 0; k < m->tensors; k++)
            m->call->kernels->norm_forward(rows, m->c, m->x[k] + at, factor_of(m, k, 0),
                                           k == 0 ? factor_of(m, 0, 1) : m->zero, k > 0 ? y : base,
                                           false, y);
    }
}

void mixed_forward(const OpCall *call, uint32_t first, const real *base)
{
    Mixture m = mixture_of(call, first);
    real *shift = factor_of(&m, 0, 1);

    m.base = base;
    memset(shift, 0, m.c * sizeof *shift);
    for (uint32_t k = 0; k < m.tensors; k++)
        for (size_t j = 0; j < m.c; j++) {
            const real *s = m.statistics[k];
            real factor = m.weight[k] * (s == NULL ? 1 : s[m.c + j]);

            factor_of(&m, k, 0)[j] = factor;
            shift[j] -= s == NULL ? 0 : factor * s[j];
        }
    pool_run(call->pool, m.units, forward_unit, &m);
}

/* Whether S and P of tensor k are wanted. */
static bool wants_sums(const Mixture *m, uint32_t k)
{
    return m->call->in_gradient[m->first] != NULL ||
           (m->call->training && m->statistics[k] != NULL &&
            m->call->in_gradient[m->first + 1 + k] != NULL);
}

static void sums_unit(void *context, size_t u)
{
    const Mixture *m = context;
    size_t size = op_unit_rows(m->c), row = u * size, at = row * m->c,
           rows = m->rows - row < size ? m->rows - row : size;

    for (uint32_t k = 0; k < m->tensors; k++) {
        double *sum = m->sums + (u * m->tensors + k) * 2 * m->c;

        if (wants_sums(m, k))
            m->call->kernels->norm_sums(
                rows, m->c, m->x[k] + at, m->call->out_gradient + at, &everywhere,
                m->statistics[k] == NULL ? m->zero : m->statistics[k], sum, sum + m->c);
    }
}

/* S and P of channel j, over the units. */
static void add_units(const Mixture *m, uint32_t k, size_t j, double *ret_sum, double *ret_product)
{
    double sum = 0, product = 0;

    for (size_t u = 0; u < m->units; u++) {
        const double *part = m->sums + (u * m->tensors + k) * 2 * m->c;

        sum += part[j];
        product += part[m->c + j];
    }
    *ret_sum = sum;
    *ret_product = product;
}

/* Coefficients of dy, of x - mean and of 1 in dx_k; answers what dw_k is. */
static double coefficients(const Mixture *m, uint32_t k)
{
    const real *s = m->statistics[k];
    bool sums = wants_sums(m, k), through = m->call->training && s != NULL;
    double dw = 0, rows = (double)m->rows;

    for (size_t j = 0; j < m->c; j++) {
        double sum = 0, product = 0, r = s == NULL ? 1 : (double)s[m->c + j],
               wr = (double)m->weight[k] * r;

        if (sums)
            add_units(m, k, j, &sum, &product);
        dw += product * r;
        factor_of(m, k, 0)[j] = (real)wr;
        factor_of(m, k, 1)[j] = through ? (real)(-wr * r * r * product / rows) : 0;
        factor_of(m, k, 2)[j] = through ? (real)(-wr * sum / rows) : 0;
    }
    return dw;
}

static void gradient_unit(void *context, size_t u)
{
    const Mixture *m = context;
    const OpCall *call = m->call;

    for (size_t done = 0, row, rows; tile_of(m, u, done, &row, &rows); done += rows) {
        size_t at = row * m->c;

        for (uint32_t k = 0; k < m->tensors; k++) {
            uint32_t input = m->first + 1 + k;
            const real *dy = call->out_gradient + at;
            real *dx = call->in_gradient[input] + at;

            if (call->in_gradient[input] == NULL)
                continue;
            if (m->statistics[k] != NULL && call->training)
                call->kernels->norm_backward(
                    rows, m->c, m->x[k] + at, dy, &everywhere, m->statistics[k], factor_of(m, k, 0),
                    factor_of(m, k, 1), factor_of(m, k, 2), dx, call->accumulate[input]);
            else
                call->kernels->norm_forward(rows, m->c, dy, factor_of(m, k, 0), m->zero,
                                            call->accumulate[input] ? dx : NULL, false, dx);
        }
    }
}

void mixed_backward(const OpCall *call, uint32_t first)
{
    Mixture m = mixture_of(call, first);
    real *dw = call->in_gradient[first];
    bool sums = false, gradients = false;

    for (uint32_t k = 0; k < m.tensors; k++) {
        sums = sums || wants_sums(&m, k);
        gradients = gradients || call->in_gradient[first + 1 + k] != NULL;
    }
    if (sums)
        pool_run(call->pool, m.units, sums_unit, &m);
    if (dw != NULL && !call->accumulate[first])
        memset(dw, 0, shape_count(&call->in[first].shape) * sizeof *dw);
    for (uint32_t k = 0; k < m.tensors; k++) {
        double one = coefficients(&m, k);

        if (dw != NULL)
            dw[m.place[k]] += (real)one;
    }
    if (gradients)
        pool_run(call->pool, m.units, gradient_unit, &m);
    for (uint32_t k = first + 1 + m.tensors; k < call->inputs; k++)
        if (call->in_gradient[k] != NULL && !call->accumulate[k])
            memset(call->in_gradient[k], 0, 2 * m.c * sizeof(real));
}
