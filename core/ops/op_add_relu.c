/*
 * add_relu -- y = max(a + b, 0).   a, b, y: one shape.   add and relu in one. NaN stays NaN.
 *
 * Worked off in tiles that stay in the first cache, so that memory is walked once.
 */
#include "core/ops/elementwise.h"
#include "core/ops/op.h"

enum { TILE = 2048 };

static Status add_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                        Error *err)
{
    if (!shape_equal(&in[0], &in[1]))
        return error_set(err, STATUS_BAD_SHAPE, "add_relu wants two inputs of one shape");
    return elementwise_shape(value, in, inputs, ret, err);
}

static void forward_unit(const OpCall *c, size_t at, size_t count)
{
    for (size_t end = at + count; at < end; at += TILE) {
        size_t tile = end - at < TILE ? end - at : TILE;
        real *y = c->out.data + at;

        c->kernels->add(tile, c->in[0].data + at, c->in[1].data + at, y);
        c->kernels->relu_forward(tile, y, y);
    }
}

static void backward_unit(const OpCall *c, size_t at, size_t count)
{
    for (size_t end = at + count; at < end; at += TILE) {
        size_t tile = end - at < TILE ? end - at : TILE;

        for (int i = 1; i >= 0; i--) /* input 0's gradient may lie over dy */
            if (c->in_gradient[i] != NULL)
                c->kernels->relu_backward(tile, c->out.data + at, c->out_gradient + at,
                                          c->in_gradient[i] + at, c->accumulate[i]);
    }
}

static void add_forward(const OpCall *call)
{
    elementwise_run(call, forward_unit);
}

static void add_backward(const OpCall *call)
{
    elementwise_run(call, backward_unit);
}

const Op op_add_relu = {
    .described = { .name = "add_relu", .summary = "sum of two tensors, rectified" },
    .inputs = 2,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE | OP_NEEDS_OUTPUT | OP_RECTIFIES,
    .shape = add_shape,
    .forward = add_forward,
    .backward = add_backward,
};
