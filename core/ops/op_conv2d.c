/*
 * conv2d -- square convolution without bias.   x: [N,H,W,I], weight: [O,I,k,k] (in memory
 * [k,k,I,O]), y: [N,OH,OW,O].
 *
 * Units: forward and input gradient, (block of images, group of rows). The weights' gradient sums
 * over images, so its units must not share a sum: where the weights are small beside the images,
 * each block of images has a partial gradient of its own in scratch, and the partials are added in
 * block order; else a unit is a (tap, half of the output channels) and walks the blocks in order.
 * The choice depends on shapes alone.
 */
#include <string.h>

#include "core/ops/op.h"

enum { VALUE_CHANNELS, VALUE_KERNEL, VALUE_STRIDE, VALUE_PADDING };

static const Param conv_params[] = {
    { "channels", PARAM_INT, 64, 1, 65536, NULL, "output channels" },
    { "kernel", PARAM_INT, 3, 1, 15, NULL, "side of the kernel" },
    { "stride", PARAM_INT, 1, 1, 8, NULL, "step between output pixels" },
    { "padding", PARAM_INT, 0, 0, 14, NULL, "zeros around the image" },
};

enum {
    UNIT_GEMM_ROWS = 512,          /* matrix rows a unit of forward should have at least */
    PARTIAL_WEIGHTS_MAX = 1 << 18, /* numbers; larger gradients are not kept once a block */
    PARTIAL_BLOCKS_MIN = 4,
};

static ConvShape conv_shape_of(const double *value, const Shape *in)
{
    ConvShape s = { .n = BLOCK_IMAGES, .h = in->dim[1], .w = in->dim[2], .in = in->dim[3] };

    s.kernel = (uint32_t)value[VALUE_KERNEL];
    s.stride = (uint32_t)value[VALUE_STRIDE];
    s.padding = (uint32_t)value[VALUE_PADDING];
    s.out = (uint32_t)value[VALUE_CHANNELS];
    s.oh = (s.h + 2 * s.padding - s.kernel) / s.stride + 1;
    s.ow = (s.w + 2 * s.padding - s.kernel) / s.stride + 1;
    return s;
}

static size_t weight_count(const ConvShape *s)
{
    return (size_t)s->kernel * s->kernel * s->in * s->out;
}

static bool keeps_partials(const ConvShape *s, uint32_t images)
{
    return weight_count(s) <= PARTIAL_WEIGHTS_MAX && block_count(images) >= PARTIAL_BLOCKS_MIN;
}

static Status conv_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret, Error *err)
{
    ConvShape s;
    uint32_t n = in[0].dim[0], side = (uint32_t)value[VALUE_KERNEL],
             pad = 2 * (uint32_t)value[VALUE_PADDING];

    if (in[0].rank != 4)
        return error_set(err, STATUS_BAD_SHAPE, "conv2d wants [N,H,W,C], got rank %u", in[0].rank);
    if (in[0].dim[1] + pad < side || in[0].dim[2] + pad < side)
        return error_set(err, STATUS_BAD_SHAPE,
                         "conv2d: a kernel of %u does not fit an image of %ux%u with padding %u",
                         side, in[0].dim[1], in[0].dim[2], pad / 2);
    if (pad / 2 >= side)
        return error_set(err, STATUS_BAD_SHAPE,
                         "conv2d: padding %u must be less than the kernel's %u", pad / 2, side);
    s = conv_shape_of(value, &in[0]);
    *ret = (OpShapes){
        .out = shape4(n, s.oh, s.ow, s.out),
        .weights = 1,
        .weight = { { "weight", shape4(s.out, s.in, s.kernel, s.kernel), WEIGHT_TRAINED,
                      WEIGHT_CONV, INIT_UNIFORM, s.in * s.kernel * s.kernel } },
        .scratch_bytes =
            keeps_partials(&s, n) ? block_count(n) * weight_count(&s) * sizeof(real) : 0,
        .flops = 2.0 * n * s.oh * s.ow * (double)weight_count(&s),
    };
    return STATUS_OK;
}

/* How one call is cut: blocks of images, and groups of `group` rows of an image `height` rows high.
 */
typedef struct Cut {
    const OpCall *call;
    ConvShape s; /* of a full block */
    uint32_t images, blocks, height, group, groups;
} Cut;

static Cut cut_rows(const OpCall *call, bool by_input)
{
    Cut cut = { .call = call, .s = conv_shape_of(call->value, &call->in[0].shape) };
    uint32_t n, width = by_input ? cut.s.w : cut.s.ow;

    cut.images = call->out.shape.dim[0];
    cut.blocks = block_count(cut.images);
    cut.height = by_input ? cut.s.h : cut.s.oh;
    n = cut.images < BLOCK_IMAGES ? cut.images : BLOCK_IMAGES;
    cut.group = (UNIT_GEMM_ROWS + n * width - 1) / (n * width);
    if (cut.group > cut.height)
        cut.group = cut.height;
    cut.groups = (cut.height + cut.group - 1) / cut.group;
    return cut;
}

/* Block b's shape and where it begins in input and output. */
static ConvShape block_at(const Cut *cut, size_t b, size_t *ret_in, size_t *ret_out)
{
    ConvShape s = cut->s;

    s.n = block_images(cut->images, (uint32_t)b);
    *ret_in = b * BLOCK_IMAGES * s.h * s.w * s.in;
    *ret_out = b * BLOCK_IMAGES * s.oh * s.ow * s.out;
    return s;
}

static void rows_of(const Cut *cut, size_t unit, uint32_t *ret_row0, uint32_t *ret_row1)
{
    uint32_t row = (uint32_t)(unit % cut->groups) * cut->group;

    *ret_row0 = row;
    *ret_row1 = row + cut->group < cut->height ? row + cut->group : cut->height;
}

static void forward_unit(void *context, size_t u)
{
    const Cut *cut = context;
    size_t in, out;
    uint32_t row0, row1;
    ConvShape s = block_at(cut, u / cut->groups, &in, &out);

    rows_of(cut, u, &row0, &row1);
    cut->call->kernels->conv_forward(&s, row0, row1, cut->call->in[0].data + in,
                                     cut->call->weight[0], cut->call->out.data + out);
}

static void conv_forward(const OpCall *call)
{
    Cut cut = cut_rows(call, false);

    pool_run(call->pool, (size_t)cut.blocks * cut.groups, forward_unit, &cut);
}

static void data_unit(void *context, size_t u)
{
    const Cut *cut = context;
    size_t in, out;
    uint32_t row0, row1;
    ConvShape s = block_at(cut, u / cut->groups, &in, &out);

    rows_of(cut, u, &row0, &row1);
    cut->call->kernels->conv_backward_data(&s, row0, row1, cut->call->out_gradient + out,
                                           cut->call->weight[0], cut->call->in_gradient[0] + in,
                                           cut->call->accumulate[0]);
}

/* Unit = block: all taps into the block's own partial gradient. */
static void partial_unit(void *context, size_t b)
{
    const Cut *cut = context;
    size_t in, out, tap_size = (size_t)cut->s.in * cut->s.out;
    ConvShape s = block_at(cut, b, &in, &out);
    real *partial = (real *)cut->call->scratch + b * weight_count(&s);

    memset(partial, 0, weight_count(&s) * sizeof *partial);
    for (uint32_t tap = 0; tap < s.kernel * s.kernel; tap++)
        cut->call->kernels->conv_backward_weights(&s, tap, 0, s.out, cut->call->in[0].data + in,
                                                  cut->call->out_gradient + out,
                                                  partial + tap * tap_size);
}

/* Unit = tap: adds the blocks' partial gradients in order. */
static void reduce_unit(void *context, size_t tap)
{
    const Cut *cut = context;
    size_t count = (size_t)cut->s.in * cut->s.out, all = weight_count(&cut->s);
    real *dw = cut->call->weight_gradient[0] + tap * count;

    for (uint32_t b = 0; b < cut->blocks; b++)
        cut->call->kernels->add(count, dw, (const real *)cut->call->scratch + b * all + tap * count,
                                dw);
}

/* Unit = (tap, half of the output channels): all blocks in order. */
static void tap_unit(void *context, size_t u)
{
    const Cut *cut = context;
    uint32_t tap = (uint32_t)(u / 2), half = (cut->s.out + 1) / 2, out0 = u % 2 == 0 ? 0 : half;
    real *dw = cut->call->weight_gradient[0] + (size_t)tap * cut->s.in * cut->s.out;

    for (uint32_t b = 0; b < cut->blocks; b++) {
        size_t in, out;
        ConvShape s = block_at(cut, b, &in, &out);

        if (out0 < s.out)
            cut->call->kernels->conv_backward_weights(&s, tap, out0, u % 2 == 0 ? half : s.out,
                                                      cut->call->in[0].data + in,
                                                      cut->call->out_gradient + out, dw);
    }
}

static void conv_backward(const OpCall *call)
{
    if (call->weight_gradient[0] != NULL) {
        Cut cut = cut_rows(call, false);
        size_t taps = (size_t)cut.s.kernel * cut.s.kernel;

        if (keeps_partials(&cut.s, cut.images)) {
            pool_run(call->pool, cut.blocks, partial_unit, &cut);
            pool_run(call->pool, taps, reduce_unit, &cut);
        } else {
            pool_run(call->pool, taps * 2, tap_unit, &cut);
        }
    }
    if (call->in_gradient[0] != NULL) {
        Cut cut = cut_rows(call, true);

        pool_run(call->pool, (size_t)cut.blocks * cut.groups, data_unit, &cut);
    }
}

const Op op_conv2d = {
    .described = { "conv2d", "convolution without bias", conv_params, 4 },
    .inputs = 1,
    .flags = OP_WEIGHTS_NEED_INPUT,
    .shape = conv_shape,
    .forward = conv_forward,
    .backward = conv_backward,
};
