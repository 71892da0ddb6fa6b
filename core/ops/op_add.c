/*
 * add -- y = a + b.   a, b, y: one shape.   The shortcut of a residual block.
 */
#include <string.h>

#include "core/ops/elementwise.h"
#include "core/ops/op.h"

static Status add_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                        Error *err)
{
    if (!shape_equal(&in[0], &in[1]))
        return error_set(err, STATUS_BAD_SHAPE, "add wants two inputs of one shape");
    return elementwise_shape(value, in, inputs, ret, err);
}

static void forward_unit(const OpCall *c, size_t at, size_t count)
{
    c->kernels->add(count, c->in[0].data + at, c->in[1].data + at, c->out.data + at);
}

static void backward_unit(const OpCall *c, size_t at, size_t count)
{
    const real *dy = c->out_gradient + at;

    /* Input 0's gradient may lie over dy, and an accumulating one never does: dy is still whole
     * here. */
    for (int i = 1; i >= 0; i--) {
        real *dx = c->in_gradient[i] == NULL ? NULL : c->in_gradient[i] + at;

        if (dx == NULL || dx == dy)
            continue;
        if (c->accumulate[i])
            c->kernels->add(count, dx, dy, dx);
        else
            memcpy(dx, dy, count * sizeof *dx);
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

const Op op_add = {
    .described = { .name = "add", .summary = "sum of two tensors" },
    .inputs = 2,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE,
    .shape = add_shape,
    .forward = add_forward,
    .backward = add_backward,
};
