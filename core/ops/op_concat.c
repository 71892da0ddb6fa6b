/*
 * concat -- tensors side by side along the last dimension.   x_k: [N,H,W,C_k] or [N,C_k],
 * y: [N,H,W,sum of C_k] or [N,sum of C_k].   A unit is a range of rows.
 */
#include <string.h>

#include "core/ops/op.h"

static Status concat_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                           Error *err)
{
    uint32_t last = in[0].rank - 1;
    Shape out = in[0];

    if (in[0].rank != 4 && in[0].rank != 2)
        return error_set(err, STATUS_BAD_SHAPE, "concat wants [N,H,W,C] or [N,C], got rank %u",
                         in[0].rank);
    for (uint32_t k = 1; k < inputs; k++) {
        Shape same = in[k];

        same.dim[last] = in[0].dim[last];
        if (!shape_equal(&same, &in[0]))
            return error_set(err, STATUS_BAD_SHAPE,
                             "concat: input %u differs from input 0 in more than its channels", k);
        if (__builtin_add_overflow(out.dim[last], in[k].dim[last], &out.dim[last]))
            return error_set(err, STATUS_BAD_SHAPE, "concat: too many channels");
    }
    *ret = (OpShapes){ .out = out };
    return STATUS_OK;
}

/* Rows [row,end) of input `input`, whose channels begin at channel `first` of the output's. */
typedef struct Part {
    size_t row, end, input, channels, first, all;
} Part;

typedef void PartBody(const OpCall *call, const Part *part);

typedef struct Context {
    const OpCall *call;
    PartBody *body;
} Context;

static void unit(void *context, size_t u)
{
    const Context *c = context;
    const Shape *out = &c->call->out.shape;
    size_t rows = op_rows(out), size = op_unit_rows(out->dim[out->rank - 1]);
    Part p = { .row = u * size, .all = out->dim[out->rank - 1] };

    p.end = rows - p.row < size ? rows : p.row + size;
    for (; p.input < c->call->inputs; p.input++) {
        p.channels = c->call->in[p.input].shape.dim[out->rank - 1];
        c->body(c->call, &p);
        p.first += p.channels;
    }
}

static void run(const OpCall *call, PartBody *body)
{
    const Shape *out = &call->out.shape;
    Context c = { call, body };

    pool_run(call->pool, op_units(op_rows(out), out->dim[out->rank - 1]), unit, &c);
}

static void forward_part(const OpCall *call, const Part *p)
{
    const real *x = call->in[p->input].data + p->row * p->channels;
    real *y = call->out.data + p->row * p->all + p->first;

    for (size_t r = p->row; r < p->end; r++, x += p->channels, y += p->all)
        memcpy(y, x, p->channels * sizeof *y);
}

static void backward_part(const OpCall *call, const Part *p)
{
    real *dx = call->in_gradient[p->input];
    const real *dy = call->out_gradient + p->row * p->all + p->first;

    if (dx == NULL)
        return;
    dx += p->row * p->channels;
    for (size_t r = p->row; r < p->end; r++, dx += p->channels, dy += p->all)
        if (call->accumulate[p->input])
            call->kernels->add(p->channels, dx, dy, dx);
        else
            memcpy(dx, dy, p->channels * sizeof *dx);
}

static void concat_forward(const OpCall *call)
{
    run(call, forward_part);
}

static void concat_backward(const OpCall *call)
{
    run(call, backward_part);
}

const Op op_concat = {
    .described = { .name = "concat", .summary = "tensors side by side, channel after channel" },
    .inputs = 1,
    .variadic = true,
    .shape = concat_shape,
    .forward = concat_forward,
    .backward = concat_backward,
};
