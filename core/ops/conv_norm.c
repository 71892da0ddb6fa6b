/*
 * Forward normalises what the convolution has just written, while it is in cache (ConvFinish), with
 * the arithmetic of batch_norm: the same bits as two operations, and no folded copy of the weights.
 * Backward to the inputs: dy, rectified and scaled, goes to scratch in one pass; from there the
 * convolution's own backward takes it.
 */
#include "core/ops/conv_norm.h"

#include <string.h>

#include "core/base/arena.h"
#include "core/ops/statistics.h"

enum { VALUE_EPS = CONV_PARAMS, VALUE_AFFINE = CONV_PARAMS + 2 };
enum { SCALE, SHIFT, ZEROS, COEFFICIENTS };

const Param conv_norm_params[CONV_NORM_PARAMS] = { CONV_PARAM_ROWS, NORM_PARAM_ROWS };

static size_t coefficient_bytes(uint32_t channels)
{
    return arena_round(COEFFICIENTS * (size_t)channels * sizeof(real));
}

static size_t gradient_bytes(const Shape *out)
{
    return arena_round(shape_count(out) * sizeof(real));
}

/* Appends the norm's weights. Nothing moves here. */
static void join_weights(const OpShapes *norm, OpShapes *ret)
{
    ret->weight[0].name = "conv.weight";
    if (ret->weights > 1)
        ret->weight[1].name = "conv.bias";
    for (uint32_t i = 0; i < norm->weights; i++)
        ret->weight[ret->weights++] = norm->weight[i];
    for (uint32_t i = 0; i < ret->weights; i++)
        ret->weight[i].role = WEIGHT_FROZEN;
}

Status conv_norm_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                       Error *err)
{
    OpShapes shapes = { 0 }, norm = { 0 };
    Status s = conv_shape(value, &in[inputs - 1], CONV_INFERENCE, &shapes, err);

    if (s == STATUS_OK && inputs == 2 && !shape_equal(&in[0], &shapes.out))
        s = error_set(err, STATUS_BAD_SHAPE,
                      "conv_norm_add wants to add what has the shape of the convolution's output");
    if (s == STATUS_OK)
        s = norm_shape(value + CONV_PARAMS, &shapes.out, 1, &norm, err);
    if (s != STATUS_OK)
        return s;
    join_weights(&norm, &shapes);
    shapes.forward_scratch_bytes = shapes.scratch_bytes + coefficient_bytes(shapes.out.dim[3]);
    shapes.scratch_bytes = shapes.forward_scratch_bytes + gradient_bytes(&shapes.out);
    *ret = shapes;
    return STATUS_OK;
}

/* The parts of one call. */
typedef struct Parts {
    OpCall conv; /* of the convolution by itself */
    const OpCall *call;
    bool relu, add;
    size_t rows, c;
    real *coefficient[COEFFICIENTS]; /* [C] each */
    real *gradient;                  /* of the convolution's output */
} Parts;

/* As norm.c has them. */
static void set_coefficients(const Parts *p, real *const *weight)
{
    const double *value = p->call->value;
    bool affine = value[VALUE_AFFINE] != 0;
    const real *mean = weight[affine ? 2 : 0], *var = weight[affine ? 3 : 1];

    for (size_t j = 0; j < p->c; j++) {
        real scale = (affine ? weight[0][j] : 1) * statistics_r((double)var[j], value[VALUE_EPS]);

        p->coefficient[SCALE][j] = scale;
        p->coefficient[SHIFT][j] = (affine ? weight[1][j] : 0) - mean[j] * scale;
        p->coefficient[ZEROS][j] = 0;
    }
}

static Parts parts_of(const OpCall *call, bool relu)
{
    uint32_t x = call->inputs - 1;
    Parts p = { .conv = *call,
                .call = call,
                .relu = relu,
                .add = x > 0,
                .rows = op_rows(&call->out.shape),
                .c = call->out.shape.dim[3] };
    char *scratch = call->scratch;

    for (int i = 0; i < COEFFICIENTS; i++)
        p.coefficient[i] = (real *)scratch + (size_t)i * p.c;
    scratch += coefficient_bytes((uint32_t)p.c);
    p.gradient = (real *)scratch; /* in backward() only */
    p.conv.scratch = scratch + (call->out_gradient != NULL ? gradient_bytes(&call->out.shape) : 0);
    p.conv.inputs = 1;
    p.conv.in = &call->in[x];
    p.conv.in_gradient[0] = call->in_gradient[x];
    p.conv.accumulate[0] = call->accumulate[x];
    p.conv.out_gradient = p.gradient;
    memset(p.conv.weight_gradient, 0, sizeof p.conv.weight_gradient);
    set_coefficients(&p, call->weight + conv_weights(call->value));
    return p;
}

void conv_norm_forward(const OpCall *call, bool relu)
{
    Parts p = parts_of(call, relu);
    ConvFinish finish = { p.coefficient[SCALE], p.coefficient[SHIFT],
                          p.add ? call->in[0].data : NULL, relu };

    conv_forward(&p.conv, &finish);
}

/* The gradient of what is added: dy, rectified; it may lie over dy. */
static void send_unit(const Parts *p, size_t at, size_t count)
{
    const OpCall *call = p->call;
    const real *dy = call->out_gradient + at;
    real *dz = call->in_gradient[0] + at;

    if (p->relu)
        call->kernels->relu_backward(count, call->out.data + at, dy, dz, call->accumulate[0]);
    else if (call->accumulate[0])
        call->kernels->add(count, dz, dy, dz);
    else if (dz != dy)
        memcpy(dz, dy, count * sizeof *dz);
}

static void backward_unit(void *context, size_t unit)
{
    const Parts *p = context;
    size_t size = op_unit_rows(p->c), row = unit * size, at = row * p->c,
           rows = p->rows - row < size ? p->rows - row : size;
    const real *dy = p->call->out_gradient + at;
    NormMask mask = { .y = p->relu ? p->call->out.data + at : NULL };
    const real *zeros = p->coefficient[ZEROS];

    if (p->conv.in_gradient[0] != NULL)
        p->call->kernels->norm_backward(rows, p->c, dy, dy, &mask, zeros, p->coefficient[SCALE],
                                        zeros, zeros, p->gradient + at, false);
    if (p->add && p->call->in_gradient[0] != NULL)
        send_unit(p, at, rows * p->c);
}

void conv_norm_backward(const OpCall *call, bool relu)
{
    Parts p = parts_of(call, relu);

    pool_run(call->pool, op_units(p.rows, p.c), backward_unit, &p);
    conv_backward(&p.conv);
}
