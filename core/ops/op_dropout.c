/*
 * dropout -- in training each number is zeroed with a probability, and what is left is scaled up:
 * y = x mask/keep.   x, y: [N,H,W,C] or [N,C].   Srivastava et al., 2014.
 *
 * One draw a number, from the stream of its image in the order [H,W,C]; backward draws again, which
 * needs no memory for the mask. In eval mode y = x.
 */
#include "core/ops/elementwise.h"
#include "core/ops/pixels.h"

enum { VALUE_PROBABILITY };
enum { TILE = 64 };

static const Param dropout_params[] = {
    { "probability", PARAM_REAL, 0.5, 0, 0.99, NULL, "share of the numbers zeroed" },
};

static Status dropout_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                            Error *err)
{
    if (in[0].rank != 4 && in[0].rank != 2)
        return error_set(err, STATUS_BAD_SHAPE, "dropout wants [N,H,W,C] or [N,C], got rank %u",
                         in[0].rank);
    *ret = (OpShapes){ .out = in[0] };
    return STATUS_OK;
}

static void draw_mask(Rng *rng, double keep, size_t count, real *ret)
{
    real scale = (real)(1 / keep);

    for (size_t j = 0; j < count; j++)
        ret[j] = (double)rng_uniform(rng) < keep ? scale : 0;
}

/* to (+)= from times the mask, in unit u. */
static void mask_unit(const OpCall *c, size_t u, const real *from, real *to, bool accumulate)
{
    PixelUnit p = pixel_unit(&c->out.shape, u);
    size_t channels = p.nc / p.images, at = p.at;
    double keep = 1 - c->value[VALUE_PROBABILITY];
    Rng rng[BLOCK_IMAGES];

    for (uint32_t i = 0; i < p.images; i++)
        rng[i] = pixel_rng(c, p.image + i, p.first * channels);
    for (size_t row = 0; row < p.pixels * p.images; row++)
        for (size_t j = 0; j < channels; j += TILE) {
            size_t count = channels - j < TILE ? channels - j : TILE;
            real mask[TILE];

            draw_mask(&rng[row % p.images], keep, count, mask);
            c->kernels->gate_backward(1, count, NULL, mask, from + at, to + at, accumulate, NULL,
                                      false);
            at += count;
        }
}

static void forward_unit(void *context, size_t u)
{
    const OpCall *c = context;

    mask_unit(c, u, c->in[0].data, c->out.data, false);
}

static void backward_unit(void *context, size_t u)
{
    const OpCall *c = context;

    mask_unit(c, u, c->out_gradient, c->in_gradient[0], c->accumulate[0]);
}

static void copy_unit(const OpCall *c, size_t at, size_t count)
{
    c->kernels->axpy(count, 1, c->in[0].data + at, c->out.data + at, false);
}

static void copy_back_unit(const OpCall *c, size_t at, size_t count)
{
    c->kernels->axpy(count, 1, c->out_gradient + at, c->in_gradient[0] + at, c->accumulate[0]);
}

static void dropout_forward(const OpCall *call)
{
    if (call->training)
        pool_run(call->pool, pixel_units(&call->out.shape), forward_unit, (void *)call);
    else
        elementwise_run(call, copy_unit);
}

static void dropout_backward(const OpCall *call)
{
    if (call->in_gradient[0] == NULL)
        return;
    if (call->training)
        pool_run(call->pool, pixel_units(&call->out.shape), backward_unit, (void *)call);
    else
        elementwise_run(call, copy_back_unit);
}

const Op op_dropout = {
    .described = { "dropout", "zeroes numbers at random in training", dropout_params, 1 },
    .inputs = 1,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE,
    .shape = dropout_shape,
    .forward = dropout_forward,
    .backward = dropout_backward,
};
