/*
 * noise -- N(0,1) in place of an image, in eval mode too: the operation of search space S4 that
 * carries nothing (Zela et al., 2020).   x: [N,H,W,C], y: [N,ceil(H/stride),ceil(W/stride),C].
 *
 * Two words a number, from the stream of its image in the order [H,W,C].
 */
#include "core/ops/pixels.h"

enum { VALUE_STRIDE };

static const Param noise_params[] = {
    { "stride", PARAM_INT, 1, 1, 8, NULL, "how many times fewer rows and columns" },
};

static Status noise_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                          Error *err)
{
    uint32_t stride = (uint32_t)value[VALUE_STRIDE];

    if (in[0].rank != 4)
        return error_set(err, STATUS_BAD_SHAPE, "noise wants [N,H,W,C], got rank %u", in[0].rank);
    *ret = (OpShapes){ .out = shape4(in[0].dim[0], (in[0].dim[1] - 1) / stride + 1,
                                     (in[0].dim[2] - 1) / stride + 1, in[0].dim[3]) };
    return STATUS_OK;
}

static void forward_unit(void *context, size_t u)
{
    const OpCall *c = context;
    PixelUnit p = pixel_unit(&c->out.shape, u);
    size_t channels = p.nc / p.images;
    real *y = c->out.data + p.at;
    Rng rng[BLOCK_IMAGES];

    for (uint32_t i = 0; i < p.images; i++)
        rng[i] = pixel_rng(c, p.image + i, 2 * p.first * channels);
    for (size_t row = 0; row < p.pixels * p.images; row++)
        for (size_t j = 0; j < channels; j++)
            *y++ = (real)rng_normal(&rng[row % p.images]);
}

static void noise_forward(const OpCall *call)
{
    pool_run(call->pool, pixel_units(&call->out.shape), forward_unit, (void *)call);
}

const Op op_noise = {
    .described = { "noise", "normal noise of the image's size", noise_params, 1 },
    .inputs = 1,
    .flags = OP_CONSTANT,
    .shape = noise_shape,
    .forward = noise_forward,
};
