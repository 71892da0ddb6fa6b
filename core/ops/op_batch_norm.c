/*
 * batch_norm -- per channel:  y = weight (x - mean)/sqrt(var + eps) + bias.   Ioffe and Szegedy,
 * 2015.
 *
 * x, y: [N,H,W,C] (or [N,C]).  weight, bias, running_mean, running_var: [C]. Without `affine`
 * there are neither weight nor bias (1 and 0); a frozen weight stays at 1 but is a parameter.
 * In training mean and (biased) variance are the batch's, over N, H and W; the running ones move by
 * `momentum`, the variance unbiased, as in PyTorch. Otherwise the running ones are used. saved:
 * [2,C], mean and 1/sqrt(var + eps) as used.
 *
 * The batch's statistics are merged from units (count, mean, M2) in their order, in double: a plain
 * sum of squares in float cancels.
 */
#include <string.h>

#include "core/ops/op.h"

enum { VALUE_EPS, VALUE_MOMENTUM, VALUE_AFFINE, VALUE_FROZEN_WEIGHT };
enum { WEIGHT, BIAS, AFFINE_WEIGHTS };
enum { MEAN, VAR }; /* the running ones follow what is affine */

static const Param norm_params[] = {
    { "eps", PARAM_REAL, 1e-5, 0, 1, NULL, "added to the variance" },
    { "momentum", PARAM_REAL, 0.1, 0, 1, NULL, "weight of this batch in the running statistics" },
    { "affine", PARAM_BOOL, 1, 0, 1, NULL, "learn a weight and a bias for each channel" },
    { "frozen_weight", PARAM_BOOL, 0, 0, 1, NULL, "the weight stays at 1" },
};

static Status norm_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                         Error *err)
{
    uint32_t c = in[0].rank == 0 ? 0 : in[0].dim[in[0].rank - 1];
    uint32_t running = value[VALUE_AFFINE] != 0 ? AFFINE_WEIGHTS : 0;

    if (in[0].rank != 4 && in[0].rank != 2)
        return error_set(err, STATUS_BAD_SHAPE, "batch_norm wants [N,H,W,C] or [N,C], got rank %u",
                         in[0].rank);
    *ret = (OpShapes){
        .out = in[0],
        .weights = running + 2,
        .weight = { [WEIGHT] = { "weight", shape1(c),
                                 value[VALUE_FROZEN_WEIGHT] != 0 ? WEIGHT_FROZEN : WEIGHT_TRAINED,
                                 WEIGHT_PLAIN, INIT_ONE, 0 },
                    [BIAS] = { "bias", shape1(c), WEIGHT_TRAINED, WEIGHT_PLAIN, INIT_ZERO, 0 } },
        .saved = 2 * (size_t)c,
        /* a pair of doubles a channel for each unit, then three rows of coefficients */
        .scratch_bytes =
            op_units(op_rows(&in[0]), c) * 2 * c * sizeof(double) + 3 * c * sizeof(real),
    };
    ret->weight[running] =
        (OpWeight){ "running_mean", shape1(c), WEIGHT_STATISTIC, WEIGHT_PLAIN, INIT_ZERO, 0 };
    ret->weight[running + 1] =
        (OpWeight){ "running_var", shape1(c), WEIGHT_STATISTIC, WEIGHT_PLAIN, INIT_ONE, 0 };
    return STATUS_OK;
}

/* How the rows are cut, and where a unit's sums stand. */
typedef struct Cut {
    const OpCall *call;
    size_t rows, c, units;
    double *sums;              /* [units,2,C] */
    real *coefficient;         /* [3,C] */
    const real *weight, *bias; /* NULL: not affine */
    real *const *running;      /* [2][C] */
} Cut;

static Cut cut_of(const OpCall *call)
{
    Cut cut = { .call = call, .rows = op_rows(&call->out.shape) };

    cut.c = call->out.shape.dim[call->out.shape.rank - 1];
    cut.units = op_units(cut.rows, cut.c);
    cut.sums = call->scratch;
    cut.coefficient = (real *)(cut.sums + cut.units * 2 * cut.c);
    if (call->value[VALUE_AFFINE] != 0) {
        cut.weight = call->weight[WEIGHT];
        cut.bias = call->weight[BIAS];
    }
    cut.running = call->weight + (call->value[VALUE_AFFINE] != 0 ? AFFINE_WEIGHTS : 0);
    return cut;
}

static size_t unit_rows(const Cut *cut, size_t u, size_t *ret_at)
{
    size_t size = op_unit_rows(cut->c), row = u * size;

    *ret_at = row * cut->c;
    return cut->rows - row < size ? cut->rows - row : size;
}

static void moments_unit(void *context, size_t u)
{
    Cut *cut = context;
    size_t at, rows = unit_rows(cut, u, &at);
    double *mean = cut->sums + u * 2 * cut->c;

    cut->call->kernels->moments(rows, cut->c, cut->call->in[0].data + at, mean, mean + cut->c);
}

/* The batch's mean and 1/std into saved; moves the running statistics. */
static void batch_statistics(const Cut *cut)
{
    const OpCall *call = cut->call;
    real momentum = (real)call->value[VALUE_MOMENTUM];

    pool_run(call->pool, cut->units, moments_unit, (void *)cut);
    for (size_t j = 0; j < cut->c; j++) {
        double count = 0, mean = 0, m2 = 0, var, unbiased;

        for (size_t u = 0; u < cut->units; u++) {
            size_t at;
            double part = (double)unit_rows(cut, u, &at),
                   delta = cut->sums[u * 2 * cut->c + j] - mean;

            m2 +=
                cut->sums[(u * 2 + 1) * cut->c + j] + delta * delta * count * part / (count + part);
            mean += delta * part / (count + part);
            count += part;
        }
        var = m2 / count;
        unbiased = count > 1 ? m2 / (count - 1) : var;
        call->saved[j] = (real)mean;
        call->saved[cut->c + j] = (real)(1 / sqrt(var + call->value[VALUE_EPS]));
        if (call->keep_statistics)
            continue;
        cut->running[MEAN][j] += momentum * ((real)mean - cut->running[MEAN][j]);
        cut->running[VAR][j] += momentum * ((real)unbiased - cut->running[VAR][j]);
    }
}

static void scale_shift_unit(void *context, size_t u)
{
    Cut *cut = context;
    size_t at, rows = unit_rows(cut, u, &at);

    cut->call->kernels->scale_shift(rows, cut->c, cut->call->in[0].data + at, cut->coefficient,
                                    cut->coefficient + cut->c, cut->call->out.data + at);
}

static void norm_forward(const OpCall *call)
{
    Cut cut = cut_of(call);

    if (call->training) {
        batch_statistics(&cut);
    } else {
        for (size_t j = 0; j < cut.c; j++) {
            call->saved[j] = cut.running[MEAN][j];
            call->saved[cut.c + j] =
                (real)(1 / sqrt((double)cut.running[VAR][j] + call->value[VALUE_EPS]));
        }
    }
    for (size_t j = 0; j < cut.c; j++) {
        real scale = (cut.weight != NULL ? cut.weight[j] : 1) * call->saved[cut.c + j];

        cut.coefficient[j] = scale;
        cut.coefficient[cut.c + j] = (cut.bias != NULL ? cut.bias[j] : 0) - call->saved[j] * scale;
    }
    pool_run(call->pool, cut.units, scale_shift_unit, &cut);
}

static void sums_unit(void *context, size_t u)
{
    Cut *cut = context;
    size_t at, rows = unit_rows(cut, u, &at);
    double *sum = cut->sums + u * 2 * cut->c;

    cut->call->kernels->norm_sums(rows, cut->c, cut->call->in[0].data + at,
                                  cut->call->out_gradient + at, cut->call->saved, sum,
                                  sum + cut->c);
}

static void backward_unit(void *context, size_t u)
{
    Cut *cut = context;
    const OpCall *call = cut->call;
    size_t at, rows = unit_rows(cut, u, &at);

    call->kernels->norm_backward(rows, cut->c, call->in[0].data + at, call->out_gradient + at,
                                 call->saved, cut->coefficient, cut->coefficient + cut->c,
                                 cut->coefficient + 2 * cut->c, call->in_gradient[0] + at,
                                 call->accumulate[0]);
}

/*
 * With xhat = (x - mean) r and M rows:
 *   dx = w r (dy - sum(dy)/M - xhat sum(dy xhat)/M)  in training;   dx = w r dy  with running
 * statistics.
 */
static void norm_backward(const OpCall *call)
{
    Cut cut = cut_of(call);
    real *dw = cut.weight != NULL ? call->weight_gradient[WEIGHT] : NULL,
         *db = cut.weight != NULL ? call->weight_gradient[BIAS] : NULL;
    bool sums = call->training || dw != NULL || db != NULL;

    if (sums)
        pool_run(call->pool, cut.units, sums_unit, &cut);
    for (size_t j = 0; j < cut.c; j++) {
        double dy = 0, dyx = 0, r = (double)call->saved[cut.c + j],
               wr = cut.weight != NULL ? (double)cut.weight[j] * r : r;
        double rows = (double)cut.rows;

        for (size_t u = 0; u < cut.units && sums; u++) {
            dy += cut.sums[u * 2 * cut.c + j];
            dyx += cut.sums[(u * 2 + 1) * cut.c + j];
        }
        if (dw != NULL)
            dw[j] += (real)(dyx * r);
        if (db != NULL)
            db[j] += (real)dy;
        cut.coefficient[j] = (real)wr;
        cut.coefficient[cut.c + j] = call->training ? (real)(-wr * r * r * dyx / rows) : 0;
        cut.coefficient[2 * cut.c + j] = call->training ? (real)(-wr * dy / rows) : 0;
    }
    if (call->in_gradient[0] != NULL)
        pool_run(call->pool, cut.units, backward_unit, &cut);
}

const Op op_batch_norm = {
    .described = { "batch_norm", "batch normalisation with running statistics", norm_params, 4 },
    .inputs = 1,
    .flags = OP_GRADIENT_INPLACE | OP_NEEDS_INPUT | OP_COUNTS_BATCHES,
    .shape = norm_shape,
    .forward = norm_forward,
    .backward = norm_backward,
};
