/*
 * weighted_sum -- the mixture of an edge's operations in an architecture search:
 *   y = sum_k w[row][k] x_k.   Liu et al., 2019 (DARTS), equation 2.
 *
 * w: [R,K]; then one tensor for each bit that is set in `columns`, in order, all of y's shape: what
 * a column without a tensor would add is zero. dx_k = w[row][k] dy; dw[row][k] = sum(dy x_k) and 0
 * elsewhere.
 *
 * A unit is a range of numbers, walked in tiles that stay in the first cache while every tensor
 * passes by: memory is read once. Each unit leaves its part of dw in scratch, [units,tensors], and
 * the parts are added in order, in double.
 */
#include <string.h>

#include "core/ops/elementwise.h"
#include "core/ops/op.h"

enum { VALUE_ROW, VALUE_COLUMNS };
enum { TILE = 2048, COLUMNS_MAX = OP_INPUTS_MAX - 1 };

static const Param sum_params[] = {
    { "row", PARAM_INT, 0, 0, 65535, NULL, "row of the weights" },
    { "columns", PARAM_INT, 1, 1, (1 << COLUMNS_MAX) - 1, NULL,
      "columns that have a tensor, one bit each" },
};

static size_t units_of(const Shape *y)
{
    return (shape_count(y) + ELEMENTWISE_UNIT - 1) / ELEMENTWISE_UNIT;
}

static Status sum_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                        Error *err)
{
    uint32_t columns = (uint32_t)value[VALUE_COLUMNS], tensors = inputs - 1;

    if (in[0].rank != 2 || in[0].dim[0] <= value[VALUE_ROW])
        return error_set(err, STATUS_BAD_SHAPE, "weighted_sum wants weights [R,K] with a row %u",
                         (uint32_t)value[VALUE_ROW]);
    if ((uint32_t)__builtin_popcount(columns) != tensors ||
        (in[0].dim[1] < 32 && columns >> in[0].dim[1] != 0))
        return error_set(err, STATUS_BAD_SHAPE,
                         "weighted_sum: %u tensors for %d of %u columns of weights", tensors,
                         __builtin_popcount(columns), in[0].dim[1]);
    for (uint32_t k = 2; k < inputs; k++)
        if (!shape_equal(&in[1], &in[k]))
            return error_set(err, STATUS_BAD_SHAPE,
                             "weighted_sum wants tensors of one shape; number %u differs", k);
    *ret = (OpShapes){
        .out = in[1],
        .scratch_bytes = units_of(&in[1]) * tensors * sizeof(double),
    };
    return STATUS_OK;
}

/* Where the weight of each tensor stands in w; answers their number. */
static uint32_t places(const OpCall *call, size_t ret[COLUMNS_MAX])
{
    uint32_t columns = (uint32_t)call->value[VALUE_COLUMNS], count = 0;
    size_t row = (size_t)call->value[VALUE_ROW] * call->in[0].shape.dim[1];

    for (uint32_t k = 0; columns >> k != 0; k++)
        if ((columns >> k & 1) != 0)
            ret[count++] = row + k;
    return count;
}

typedef void TileBody(const OpCall *call, uint32_t tensor, real weight, size_t at, size_t count,
                      double *part);

/* All tensors of a tile, tile by tile; part[tensor] is the unit's. */
static void walk(const OpCall *call, size_t at, size_t count, TileBody *body)
{
    size_t place[COLUMNS_MAX];
    uint32_t tensors = places(call, place);
    double *part = (double *)call->scratch + at / ELEMENTWISE_UNIT * tensors;

    for (size_t done = 0; done < count; done += TILE)
        for (uint32_t k = 0; k < tensors; k++)
            body(call, k, call->in[0].data[place[k]], at + done,
                 count - done < TILE ? count - done : TILE, &part[k]);
}

static void forward_tile(const OpCall *call, uint32_t tensor, real weight, size_t at, size_t count,
                         double *part)
{
    call->kernels->axpy(count, weight, call->in[1 + tensor].data + at, call->out.data + at,
                        tensor > 0);
}

static void backward_tile(const OpCall *call, uint32_t tensor, real weight, size_t at, size_t count,
                          double *part)
{
    const real *dy = call->out_gradient + at;
    real *dx = call->in_gradient[1 + tensor];

    if (call->in_gradient[0] != NULL)
        *part = (at % ELEMENTWISE_UNIT == 0 ? 0 : *part) +
                call->kernels->dot(count, dy, call->in[1 + tensor].data + at);
    if (dx != NULL)
        call->kernels->axpy(count, weight, dy, dx + at, call->accumulate[1 + tensor]);
}

static void forward_unit(const OpCall *call, size_t at, size_t count)
{
    walk(call, at, count, forward_tile);
}

static void backward_unit(const OpCall *call, size_t at, size_t count)
{
    walk(call, at, count, backward_tile);
}

static void sum_forward(const OpCall *call)
{
    elementwise_run(call, forward_unit);
}

static void sum_backward(const OpCall *call)
{
    size_t place[COLUMNS_MAX], units = units_of(&call->out.shape);
    uint32_t tensors = places(call, place);
    const double *part = call->scratch;
    real *dw = call->in_gradient[0];

    elementwise_run(call, backward_unit);
    if (dw == NULL)
        return;
    if (!call->accumulate[0])
        memset(dw, 0, shape_count(&call->in[0].shape) * sizeof *dw);
    for (uint32_t k = 0; k < tensors; k++) {
        double sum = (double)dw[place[k]];

        for (size_t u = 0; u < units; u++)
            sum += part[u * tensors + k];
        dw[place[k]] = (real)sum;
    }
}

const Op op_weighted_sum = {
    .described = { "weighted_sum", "sum of tensors, weighted by a row of a matrix", sum_params, 2 },
    .inputs = 2,
    .variadic = true,
    .flags = OP_PRODUCT,
    .shape = sum_shape,
    .forward = sum_forward,
    .backward = sum_backward,
};
