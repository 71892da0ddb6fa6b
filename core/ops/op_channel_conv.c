/*
 * channel_conv -- 1-D convolution over the channels:  y_c = sum_t w_t x_(c + t - (k-1)/2), zeros
 * outside.   x, y: [N,C], weight: [1,1,k], no bias.   ECA's attention (Wang et al., 2020).
 *
 * A unit is a block of images; each leaves its part of dw in scratch, [blocks,k], and the parts are
 * added in order.
 */
#include <string.h>

#include "core/ops/op.h"

enum { VALUE_KERNEL };

static const Param conv_params[] = {
    { "kernel", PARAM_INT, 3, 1, 15, NULL, "channels that meet; odd" },
};

static Status conv_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                         Error *err)
{
    uint32_t k = (uint32_t)value[VALUE_KERNEL];

    if (in[0].rank != 2)
        return error_set(err, STATUS_BAD_SHAPE, "channel_conv wants [N,C], got rank %u",
                         in[0].rank);
    if (k % 2 == 0)
        return error_set(err, STATUS_BAD_SHAPE, "channel_conv: a kernel of %u is not odd", k);
    *ret = (OpShapes){
        .out = in[0],
        .weights = 1,
        .weight = { { "weight", shape3(1, 1, k), WEIGHT_TRAINED, WEIGHT_PLAIN, INIT_UNIFORM, k } },
        .scratch_bytes = (size_t)block_count(in[0].dim[0]) * k * sizeof(double),
        .flops = 2.0 * in[0].dim[0] * in[0].dim[1] * k,
    };
    return STATUS_OK;
}

/* Output channels [first, first + count) meet, through one tap, the inputs from `from` on. */
typedef struct Tap {
    size_t first, from, count;
} Tap;

static Tap tap_of(size_t t, size_t kernel, size_t c)
{
    size_t pad = (kernel - 1) / 2, off = t < pad ? pad - t : t - pad;

    if (off >= c)
        return (Tap){ 0 };
    return (Tap){ .first = t < pad ? off : 0, .from = t < pad ? 0 : off, .count = c - off };
}

static void forward_block(void *context, size_t b)
{
    const OpCall *call = context;
    size_t n = block_images(call->out.shape.dim[0], (uint32_t)b), c = call->out.shape.dim[1],
           k = (size_t)call->value[VALUE_KERNEL], at = b * BLOCK_IMAGES * c;

    memset(call->out.data + at, 0, n * c * sizeof(real));
    for (size_t r = 0; r < n; r++, at += c)
        for (size_t t = 0; t < k; t++) {
            Tap tap = tap_of(t, k, c);

            call->kernels->axpy(tap.count, call->weight[0][t], call->in[0].data + at + tap.from,
                                call->out.data + at + tap.first, true);
        }
}

static void backward_block(void *context, size_t b)
{
    const OpCall *call = context;
    size_t n = block_images(call->out.shape.dim[0], (uint32_t)b), c = call->out.shape.dim[1],
           k = (size_t)call->value[VALUE_KERNEL], at = b * BLOCK_IMAGES * c;
    double *part = (double *)call->scratch + b * k;
    real *dx = call->in_gradient[0];

    if (dx != NULL && !call->accumulate[0])
        memset(dx + at, 0, n * c * sizeof *dx);
    memset(part, 0, k * sizeof *part);
    for (size_t r = 0; r < n; r++, at += c)
        for (size_t t = 0; t < k; t++) {
            Tap tap = tap_of(t, k, c);
            const real *dy = call->out_gradient + at + tap.first;

            if (dx != NULL)
                call->kernels->axpy(tap.count, call->weight[0][t], dy, dx + at + tap.from, true);
            if (call->weight_gradient[0] != NULL)
                part[t] += call->kernels->dot(tap.count, dy, call->in[0].data + at + tap.from);
        }
}

static void conv_forward(const OpCall *call)
{
    pool_run(call->pool, block_count(call->out.shape.dim[0]), forward_block, (void *)call);
}

static void conv_backward(const OpCall *call)
{
    size_t k = (size_t)call->value[VALUE_KERNEL], blocks = block_count(call->out.shape.dim[0]);
    const double *part = call->scratch;
    real *dw = call->weight_gradient[0];

    pool_run(call->pool, blocks, backward_block, (void *)call);
    for (size_t t = 0; t < k && dw != NULL; t++) {
        double sum = (double)dw[t];

        for (size_t b = 0; b < blocks; b++)
            sum += part[b * k + t];
        dw[t] = (real)sum;
    }
}

const Op op_channel_conv = {
    .described = { "channel_conv", "1-D convolution over the channels", conv_params, 1 },
    .inputs = 1,
    .flags = OP_WEIGHTS_NEED_INPUT,
    .shape = conv_shape,
    .forward = conv_forward,
    .backward = conv_backward,
};
