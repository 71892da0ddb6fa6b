/*
 * drop_path -- in training a whole image's branch is dropped with a probability, and what is left
 * is scaled up:  y_i = x_i Bernoulli(keep)/keep.   x, y: [N,H,W,C] or [N,C].
 * Larsson et al., 2017; with `ramp` the probability grows from 0 in step with the training, as
 * DARTS trains its genotypes. One draw an image; nothing in eval mode.
 */
#include "core/ops/pixels.h"

enum { VALUE_PROBABILITY, VALUE_RAMP };

static const Param path_params[] = {
    { "probability", PARAM_REAL, 0.2, 0, 0.99, NULL, "share of the images dropped" },
    { "ramp", PARAM_BOOL, 0, 0, 1, NULL, "grow from 0 with the progress of the training" },
};

static Status path_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                         Error *err)
{
    if (in[0].rank != 4 && in[0].rank != 2)
        return error_set(err, STATUS_BAD_SHAPE, "drop_path wants [N,H,W,C] or [N,C], got rank %u",
                         in[0].rank);
    *ret = (OpShapes){
        .out = in[0],
        .scratch_bytes =
            (size_t)in[0].dim[0] * in[0].dim[in[0].rank - 1] * sizeof(real), /* the factors */
    };
    return STATUS_OK;
}

static void draw_factors(const OpCall *call)
{
    double drop =
               call->value[VALUE_PROBABILITY] * (call->value[VALUE_RAMP] != 0 ? call->progress : 1),
           keep = call->training ? 1 - drop : 1;

    for (uint32_t i = 0; i < call->out.shape.dim[0]; i++) {
        Rng rng = op_rng(call, i);
        bool kept = (double)rng_uniform(&rng) < keep;

        pixel_factors(&call->out.shape, i, kept ? (real)(1 / keep) : 0, call->scratch);
    }
}

static void forward_unit(void *context, size_t u)
{
    const OpCall *c = context;
    PixelUnit p = pixel_unit(&c->out.shape, u);

    c->kernels->gate_forward(p.pixels, p.nc, c->in[0].data + p.at,
                             (const real *)c->scratch + p.factor, c->out.data + p.at);
}

static void backward_unit(void *context, size_t u)
{
    const OpCall *c = context;
    PixelUnit p = pixel_unit(&c->out.shape, u);

    c->kernels->gate_backward(p.pixels, p.nc, NULL, (const real *)c->scratch + p.factor,
                              c->out_gradient + p.at, c->in_gradient[0] + p.at, c->accumulate[0],
                              NULL, false);
}

static void path_forward(const OpCall *call)
{
    draw_factors(call);
    pool_run(call->pool, pixel_units(&call->out.shape), forward_unit, (void *)call);
}

static void path_backward(const OpCall *call)
{
    if (call->in_gradient[0] == NULL)
        return;
    draw_factors(call);
    pool_run(call->pool, pixel_units(&call->out.shape), backward_unit, (void *)call);
}

const Op op_drop_path = {
    .described = { "drop_path", "drops an image's whole branch in training", path_params, 2 },
    .inputs = 1,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE,
    .shape = path_shape,
    .forward = path_forward,
    .backward = path_backward,
};
