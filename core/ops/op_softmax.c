/*
 * softmax -- y_j = exp(x_j)/sum_k exp(x_k) over the last dimension.   x, y: [.., K].
 *
 * dx_j = y_j (dy_j - sum_k dy_k y_k). The largest of a row is taken off first, so that nothing
 * overflows; sums run in double. A unit is a range of rows.
 */
#include "core/ops/op.h"

static Status softmax_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                            Error *err)
{
    if (in[0].rank == 0)
        return error_set(err, STATUS_BAD_SHAPE, "softmax wants an input");
    *ret = (OpShapes){ .out = in[0] };
    return STATUS_OK;
}

static size_t columns(const OpCall *call)
{
    return call->out.shape.dim[call->out.shape.rank - 1];
}

/* The rows of unit u: from the one answered up to *ret_end. */
static size_t unit_rows(const OpCall *call, size_t u, size_t *ret_end)
{
    size_t rows = op_rows(&call->out.shape), size = op_unit_rows(columns(call)), row = u * size;

    *ret_end = rows - row < size ? rows : row + size;
    return row;
}

static void forward_unit(void *context, size_t u)
{
    const OpCall *call = context;
    size_t end, k = columns(call);

    for (size_t r = unit_rows(call, u, &end); r < end; r++) {
        const real *x = call->in[0].data + r * k;
        real *y = call->out.data + r * k, top = x[0], share;
        double sum = 0;

        for (size_t j = 1; j < k; j++)
            top = x[j] > top ? x[j] : top;
        for (size_t j = 0; j < k; j++) {
            y[j] = real_exp(x[j] - top);
            sum += (double)y[j];
        }
        share = (real)(1 / sum);
        for (size_t j = 0; j < k; j++)
            y[j] *= share;
    }
}

static void backward_unit(void *context, size_t u)
{
    const OpCall *call = context;
    size_t end, k = columns(call);
    bool accumulate = call->accumulate[0];

    for (size_t r = unit_rows(call, u, &end); r < end; r++) {
        const real *y = call->out.data + r * k, *dy = call->out_gradient + r * k;
        real *dx = call->in_gradient[0] + r * k, mean;
        double sum = 0;

        for (size_t j = 0; j < k; j++)
            sum += (double)dy[j] * (double)y[j];
        mean = (real)sum;
        for (size_t j = 0; j < k; j++) {
            real g = y[j] * (dy[j] - mean);

            dx[j] = accumulate ? dx[j] + g : g;
        }
    }
}

static void softmax_forward(const OpCall *call)
{
    pool_run(call->pool, op_units(op_rows(&call->out.shape), columns(call)), forward_unit,
             (void *)call);
}

static void softmax_backward(const OpCall *call)
{
    if (call->in_gradient[0] != NULL)
        pool_run(call->pool, op_units(op_rows(&call->out.shape), columns(call)), backward_unit,
                 (void *)call);
}

const Op op_softmax = {
    .described = { .name = "softmax", .summary = "softmax over the last dimension" },
    .inputs = 1,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE | OP_NEEDS_OUTPUT,
    .shape = softmax_shape,
    .forward = softmax_forward,
    .backward = softmax_backward,
};
