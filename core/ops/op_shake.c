/*
 * shake -- Shake-Shake's mixture of two branches:  y_i = a_i x_i + (1 - a_i) z_i.   Gastaldi, 2017.
 *
 * x, z, y: [N,H,W,C] or [N,C]. In training a_i ~ U(0,1), drawn for each image; backward draws
 * another one, independent of the first, unless it is to keep it. In eval mode both are 1/2.
 */
#include "core/ops/pixels.h"

enum { VALUE_BACKWARD };
enum { BACKWARD_SHAKE, BACKWARD_KEEP };

static const Param shake_params[] = {
    { "backward", PARAM_ENUM, BACKWARD_SHAKE, 0, 0, (const char *const[]){ "shake", "keep", NULL },
      "coefficients of the backward pass: others, or the same" },
};

static Status shake_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                          Error *err)
{
    if ((in[0].rank != 4 && in[0].rank != 2) || !shape_equal(&in[0], &in[1]))
        return error_set(err, STATUS_BAD_SHAPE,
                         "shake wants two inputs of one shape, [N,H,W,C] or [N,C]");
    *ret = (OpShapes){
        .out = in[0],
        /* both branches' factors, [2,N,C] */
        .scratch_bytes = 2 * (size_t)in[0].dim[0] * in[0].dim[in[0].rank - 1] * sizeof(real),
    };
    return STATUS_OK;
}

static real *factors(const OpCall *call, int input)
{
    const Shape *s = &call->out.shape;

    return (real *)call->scratch + (input == 0 ? 0 : s->dim[0] * (size_t)s->dim[s->rank - 1]);
}

static void draw_factors(const OpCall *call, bool backward)
{
    for (uint32_t i = 0; i < call->out.shape.dim[0]; i++) {
        Rng rng = op_rng(call, i);
        real a = (real)rng_uniform(&rng);

        if (backward && call->value[VALUE_BACKWARD] == BACKWARD_SHAKE)
            a = (real)rng_uniform(&rng);
        if (!call->training)
            a = (real)0.5;
        pixel_factors(&call->out.shape, i, a, factors(call, 0));
        pixel_factors(&call->out.shape, i, 1 - a, factors(call, 1));
    }
}

/* to (+)= from, each image by its factor. */
static void multiply(const OpCall *c, const PixelUnit *p, int input, const real *from, real *to,
                     bool accumulate)
{
    c->kernels->gate_backward(p->pixels, p->nc, NULL, factors(c, input) + p->factor, from + p->at,
                              to + p->at, accumulate, NULL, false);
}

static void forward_unit(void *context, size_t u)
{
    const OpCall *c = context;
    PixelUnit p = pixel_unit(&c->out.shape, u);

    for (int i = 0; i < 2; i++)
        multiply(c, &p, i, c->in[i].data, c->out.data, i > 0);
}

/* Input 0's gradient may lie over dy, so it comes last. */
static void backward_unit(void *context, size_t u)
{
    const OpCall *c = context;
    PixelUnit p = pixel_unit(&c->out.shape, u);

    for (int i = 1; i >= 0; i--)
        if (c->in_gradient[i] != NULL)
            multiply(c, &p, i, c->out_gradient, c->in_gradient[i], c->accumulate[i]);
}

static void shake_forward(const OpCall *call)
{
    draw_factors(call, false);
    pool_run(call->pool, pixel_units(&call->out.shape), forward_unit, (void *)call);
}

static void shake_backward(const OpCall *call)
{
    if (call->in_gradient[0] == NULL && call->in_gradient[1] == NULL)
        return;
    draw_factors(call, true);
    pool_run(call->pool, pixel_units(&call->out.shape), backward_unit, (void *)call);
}

const Op op_shake = {
    .described = { "shake", "random mixture of two branches, image by image", shake_params, 1 },
    .inputs = 2,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE,
    .shape = shake_shape,
    .forward = shake_forward,
    .backward = shake_backward,
};
