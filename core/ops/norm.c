/*
 * The batch's statistics are merged from units (count, mean, M2) in their order, in double: a plain
 * sum of squares in float cancels.
 *
 * Memory is what this costs, so each pass does all it can with what it reads. Forward: one pass for
 * the moments, one that normalises, adds and rectifies. Backward: one pass for the sums, one for
 * the gradients. Where the ReLU let through is read off x again (x*scale + shift > 0, the same
 * numbers as in forward) unless something was added behind the norm: then it is read off y, and the
 * first pass leaves dy, rectified, where the other operand's gradient belongs; the second reads it
 * there instead of y and dy.
 */
#include "core/ops/norm.h"

#include <string.h>

#include "core/ops/statistics.h"

enum { VALUE_EPS, VALUE_MOMENTUM, VALUE_AFFINE, VALUE_FROZEN_WEIGHT };
enum { WEIGHT, BIAS, AFFINE_WEIGHTS };
enum { MEAN, VAR }; /* the running ones follow what is affine */
enum { SCALE, SHIFT, OF_X, OF_ONE, COEFFICIENTS };

const Param norm_params[NORM_PARAMS] = { NORM_PARAM_ROWS };

Status norm_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret, Error *err)
{
    uint32_t c = in[0].rank == 0 ? 0 : in[0].dim[in[0].rank - 1];
    uint32_t running = value[VALUE_AFFINE] != 0 ? AFFINE_WEIGHTS : 0;

    if (in[0].rank != 4 && in[0].rank != 2)
        return error_set(err, STATUS_BAD_SHAPE, "batch_norm wants [N,H,W,C] or [N,C], got rank %u",
                         in[0].rank);
    if (inputs == 2 && !shape_equal(&in[0], &in[1]))
        return error_set(err, STATUS_BAD_SHAPE, "norm_add wants two inputs of one shape");
    *ret = (OpShapes){
        .out = in[0],
        .weights = running + 2,
        .weight = { [WEIGHT] = { "weight", shape1(c),
                                 value[VALUE_FROZEN_WEIGHT] != 0 ? WEIGHT_FROZEN : WEIGHT_TRAINED,
                                 WEIGHT_PLAIN, INIT_ONE, 0 },
                    [BIAS] = { "bias", shape1(c), WEIGHT_TRAINED, WEIGHT_PLAIN, INIT_ZERO, 0 } },
        .saved = 2 * (size_t)c,
        /* a pair of doubles a channel for each unit, then the rows of coefficients */
        .scratch_bytes =
            op_units(op_rows(&in[0]), c) * 2 * c * sizeof(double) + COEFFICIENTS * c * sizeof(real),
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
    bool relu, add;
    const real *x;
    size_t rows, c, units;
    double *sums;                    /* [units,2,C] */
    real *coefficient[COEFFICIENTS]; /* [C] each */
    const real *weight, *bias;       /* NULL: not affine */
    real *const *running;            /* [2][C] */
    real *dx, *dz;                   /* backward(): of x and of what is added */
    bool split;                      /* the first pass leaves dy, rectified, in dz */
} Cut;

static Cut cut_of(const OpCall *call, bool relu)
{
    uint32_t x = call->inputs - 1;
    Cut cut = { .call = call,
                .relu = relu,
                .add = x > 0,
                .x = call->in[x].data,
                .rows = op_rows(&call->out.shape),
                .dx = call->in_gradient[x],
                .dz = x > 0 ? call->in_gradient[0] : NULL };

    cut.c = call->out.shape.dim[call->out.shape.rank - 1];
    cut.units = op_units(cut.rows, cut.c);
    cut.sums = call->scratch;
    for (int i = 0; i < COEFFICIENTS; i++)
        cut.coefficient[i] = (real *)(cut.sums + cut.units * 2 * cut.c) + i * cut.c;
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

    cut->call->kernels->moments(rows, cut->c, cut->x + at, mean, mean + cut->c);
}

/* Channel j, merged from the units in their order. */
static Moments merged(const Cut *cut, size_t j)
{
    Moments all = { 0, 0, 0 };

    for (size_t u = 0; u < cut->units; u++) {
        const double *sums = cut->sums + u * 2 * cut->c;
        size_t at;

        all = moments_merge(all,
                            (Moments){ (double)unit_rows(cut, u, &at), sums[j], sums[cut->c + j] });
    }
    return all;
}

/* Mean and 1/std into saved; in training the batch's, and the running ones move. */
static void set_statistics(const Cut *cut)
{
    const OpCall *call = cut->call;

    if (call->training)
        pool_run(call->pool, cut->units, moments_unit, (void *)cut);
    for (size_t j = 0; j < cut->c; j++) {
        Statistics of = { cut->running[MEAN] + j, cut->running[VAR] + j, call->saved + j,
                          call->saved + cut->c + j };

        if (call->training) {
            Moments all = merged(cut, j);

            statistics_of_batch(call, &all, call->value[VALUE_EPS], call->value[VALUE_MOMENTUM],
                                &of);
        } else {
            statistics_of_run(call->value[VALUE_EPS], &of);
        }
    }
}

/* What both directions multiply x by, and what forward() adds. */
static void set_scale(const Cut *cut)
{
    const real *mean = cut->call->saved, *r = mean + cut->c;

    for (size_t j = 0; j < cut->c; j++) {
        real scale = (cut->weight != NULL ? cut->weight[j] : 1) * r[j];

        cut->coefficient[SCALE][j] = scale;
        cut->coefficient[SHIFT][j] = (cut->bias != NULL ? cut->bias[j] : 0) - mean[j] * scale;
    }
}

static void forward_unit(void *context, size_t u)
{
    Cut *cut = context;
    const OpCall *call = cut->call;
    size_t at, rows = unit_rows(cut, u, &at);

    call->kernels->norm_forward(rows, cut->c, cut->x + at, cut->coefficient[SCALE],
                                cut->coefficient[SHIFT], cut->add ? call->in[0].data + at : NULL,
                                cut->relu, call->out.data + at);
}

void norm_forward(const OpCall *call, bool relu)
{
    Cut cut = cut_of(call, relu);

    set_statistics(&cut);
    set_scale(&cut);
    pool_run(call->pool, cut.units, forward_unit, &cut);
}

/* The gradient behind the norm at `at`, and where the ReLU lets it through. */
static const real *gradient_at(const Cut *cut, size_t at, NormMask *ret_mask)
{
    *ret_mask = (NormMask){ NULL, NULL, NULL };
    if (cut->split)
        return cut->dz + at;
    if (cut->relu && cut->add)
        ret_mask->y = cut->call->out.data + at;
    else if (cut->relu)
        *ret_mask = (NormMask){ NULL, cut->coefficient[SCALE], cut->coefficient[SHIFT] };
    return cut->call->out_gradient + at;
}

/* The gradient of what is added: dy, rectified. */
static void send_unit(const Cut *cut, size_t at, size_t count)
{
    const OpCall *call = cut->call;
    const real *dy = call->out_gradient + at;
    real *dz = cut->dz + at;

    if (cut->relu)
        call->kernels->relu_backward(count, call->out.data + at, dy, dz, call->accumulate[0]);
    else if (call->accumulate[0])
        call->kernels->add(count, dz, dy, dz);
    else if (dz != dy)
        memcpy(dz, dy, count * sizeof *dz);
}

static void sums_unit(void *context, size_t u)
{
    Cut *cut = context;
    size_t at, rows = unit_rows(cut, u, &at);
    double *sum = cut->sums + u * 2 * cut->c;
    NormMask mask;
    const real *dy;

    if (cut->split)
        send_unit(cut, at, rows * cut->c);
    dy = gradient_at(cut, at, &mask);
    cut->call->kernels->norm_sums(rows, cut->c, cut->x + at, dy, &mask, cut->call->saved, sum,
                                  sum + cut->c);
}

static void backward_unit(void *context, size_t u)
{
    Cut *cut = context;
    const OpCall *call = cut->call;
    size_t at, rows = unit_rows(cut, u, &at);
    NormMask mask;
    const real *dy = gradient_at(cut, at, &mask);

    if (cut->dx != NULL)
        call->kernels->norm_backward(rows, cut->c, cut->x + at, dy, &mask, call->saved,
                                     cut->coefficient[SCALE], cut->coefficient[OF_X],
                                     cut->coefficient[OF_ONE], cut->dx + at,
                                     call->accumulate[call->inputs - 1]);
    if (cut->dz != NULL && !cut->split) /* may lie over dy, which was read before */
        send_unit(cut, at, rows * cut->c);
}

/*
 * With xhat = (x - mean) r and M rows:
 *   dx = w r (dy - sum(dy)/M - xhat sum(dy xhat)/M)  in training;   dx = w r dy  with running
 * statistics.
 */
void norm_backward(const OpCall *call, bool relu)
{
    Cut cut = cut_of(call, relu);
    real *dw = cut.weight != NULL ? call->weight_gradient[WEIGHT] : NULL,
         *db = cut.weight != NULL ? call->weight_gradient[BIAS] : NULL;
    bool sums = (call->training && cut.dx != NULL) || dw != NULL || db != NULL;

    set_scale(&cut);
    cut.split = sums && relu && cut.dz != NULL && !call->accumulate[0];
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
        cut.coefficient[OF_X][j] = call->training ? (real)(-wr * r * r * dyx / rows) : 0;
        cut.coefficient[OF_ONE][j] = call->training ? (real)(-wr * dy / rows) : 0;
    }
    if (cut.dx != NULL || (cut.dz != NULL && !cut.split))
        pool_run(call->pool, cut.units, backward_unit, &cut);
}
