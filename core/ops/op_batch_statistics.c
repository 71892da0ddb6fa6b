/*
 * batch_statistics -- what a batch norm without weight and bias computes before it normalises:
 *   y = [mean; 1/sqrt(var + eps)] of each channel of x.   Ioffe and Szegedy, 2015.
 *
 * x: [N,H,W,C].  y: [2,C].  running_mean, running_var: [C]. In training mean and (biased) variance
 * are the batch's, over N, H and W; the running ones move by `momentum`, the variance unbiased.
 * Otherwise the running ones are used.
 *
 * No gradient goes through: an operation that takes x and y (mixed_sum, mixed_add) normalises in
 * passing, and gives x the gradient of both.
 */
#include "core/ops/statistics.h"

enum { VALUE_EPS, VALUE_MOMENTUM };
enum { MEAN, VAR };

static const Param statistics_params[] = {
    { "eps", PARAM_REAL, 1e-5, 1e-12, 1, NULL, "added to the variance" },
    { "momentum", PARAM_REAL, 0.1, 0, 1, NULL, "weight of this batch in the running statistics" },
};

static Status statistics_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                               Error *err)
{
    uint32_t c = in[0].dim[3];

    (void)value;
    (void)inputs;
    if (in[0].rank != 4)
        return error_set(err, STATUS_BAD_SHAPE, "batch_statistics wants [N,H,W,C], got rank %u",
                         in[0].rank);
    *ret = (OpShapes){
        .out = shape2(2, c),
        .weights = 2,
        .weight = { [MEAN] = { "running_mean", shape1(c), WEIGHT_STATISTIC, WEIGHT_PLAIN, INIT_ZERO,
                               0 },
                    [VAR] = { "running_var", shape1(c), WEIGHT_STATISTIC, WEIGHT_PLAIN, INIT_ONE,
                              0 } },
        .scratch_bytes = op_units(op_rows(&in[0]), c) * 2 * c * sizeof(double),
    };
    return STATUS_OK;
}

typedef struct Cut {
    const OpCall *call;
    size_t rows, c, units;
    double *sums; /* [units,2,C] */
} Cut;

static size_t unit_rows(const Cut *cut, size_t u)
{
    size_t size = op_unit_rows(cut->c), row = u * size;

    return cut->rows - row < size ? cut->rows - row : size;
}

static void moments_unit(void *context, size_t u)
{
    const Cut *cut = context;
    double *mean = cut->sums + u * 2 * cut->c;

    cut->call->kernels->moments(unit_rows(cut, u), cut->c,
                                cut->call->in[0].data + u * op_unit_rows(cut->c) * cut->c, mean,
                                mean + cut->c);
}

/* Channel j, merged from the units in their order. */
static Moments merged(const Cut *cut, size_t j)
{
    Moments all = { 0, 0, 0 };

    for (size_t u = 0; u < cut->units; u++) {
        const double *sums = cut->sums + u * 2 * cut->c;

        all = moments_merge(all, (Moments){ (double)unit_rows(cut, u), sums[j], sums[cut->c + j] });
    }
    return all;
}

static void statistics_forward(const OpCall *call)
{
    Cut cut = { .call = call, .rows = op_rows(&call->in[0].shape), .c = call->out.shape.dim[1] };

    cut.units = op_units(cut.rows, cut.c);
    cut.sums = call->scratch;
    if (call->training)
        pool_run(call->pool, cut.units, moments_unit, &cut);
    for (size_t j = 0; j < cut.c; j++) {
        Statistics of = { call->weight[MEAN] + j, call->weight[VAR] + j, call->out.data + j,
                          call->out.data + cut.c + j };

        if (call->training) {
            Moments all = merged(&cut, j);

            statistics_of_batch(call, &all, call->value[VALUE_EPS], call->value[VALUE_MOMENTUM],
                                &of);
        } else {
            statistics_of_run(call->value[VALUE_EPS], &of);
        }
    }
}

const Op op_batch_statistics = {
    .described = { "batch_statistics", "mean and 1/std of each channel", statistics_params, 2 },
    .inputs = 1,
    .flags = OP_CONSTANT | OP_STATISTICS,
    .shape = statistics_shape,
    .forward = statistics_forward,
};
