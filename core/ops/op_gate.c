/*
 * gate -- every channel of every image times a factor: y = x g.   x, y: [N,H,W,C], g: [N,C].
 * The last step of squeeze-and-excitation (Hu et al., 2018) and of ECA (Wang et al., 2020).
 *
 * dx = dy g; dg = the sum over pixels of dy x: each unit leaves its part in scratch, [units of a
 * block,N,C], and the parts are added in order.
 */
#include "core/ops/pixels.h"

static Status gate_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                         Error *err)
{
    if (in[0].rank != 4 || in[1].rank != 2 || in[1].dim[0] != in[0].dim[0] ||
        in[1].dim[1] != in[0].dim[3])
        return error_set(err, STATUS_BAD_SHAPE,
                         "gate wants [N,H,W,C] and one factor for each image and channel, [N,C]");
    *ret = (OpShapes){
        .out = in[0],
        .scratch_bytes = pixel_units_of_block(&in[0]) * shape_count(&in[1]) * sizeof(real),
    };
    return STATUS_OK;
}

static void forward_unit(void *context, size_t u)
{
    const OpCall *c = context;
    PixelUnit p = pixel_unit(&c->out.shape, u);

    c->kernels->gate_forward(p.pixels, p.nc, c->in[0].data + p.at, c->in[1].data + p.factor,
                             c->out.data + p.at);
}

static void gate_forward(const OpCall *call)
{
    pool_run(call->pool, pixel_units(&call->out.shape), forward_unit, (void *)call);
}

static void backward_unit(void *context, size_t u)
{
    const OpCall *c = context;
    PixelUnit p = pixel_unit(&c->out.shape, u);
    size_t row = u % pixel_units_of_block(&c->out.shape);
    real *part = (real *)c->scratch + row * shape_count(&c->in[1].shape) + p.factor;

    c->kernels->gate_backward(p.pixels, p.nc, c->in[0].data + p.at, c->in[1].data + p.factor,
                              c->out_gradient + p.at,
                              c->in_gradient[0] == NULL ? NULL : c->in_gradient[0] + p.at,
                              c->accumulate[0], c->in_gradient[1] == NULL ? NULL : part, false);
}

static void gate_backward(const OpCall *call)
{
    size_t rows = pixel_units_of_block(&call->out.shape), count = shape_count(&call->in[1].shape);
    const real *part = call->scratch;
    real *dg = call->in_gradient[1];

    if (call->in_gradient[0] == NULL && dg == NULL)
        return;
    pool_run(call->pool, pixel_units(&call->out.shape), backward_unit, (void *)call);
    for (size_t r = 0; r < rows && dg != NULL; r++)
        call->kernels->axpy(count, 1, part + r * count, dg, r > 0 || call->accumulate[1]);
}

const Op op_gate = {
    .described = { .name = "gate", .summary = "each channel of each image times a factor" },
    .inputs = 2,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE | OP_PRODUCT,
    .shape = gate_shape,
    .forward = gate_forward,
    .backward = gate_backward,
};
