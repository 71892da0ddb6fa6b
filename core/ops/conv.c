/*
 * Units: forward and input gradient, (block of images, group of rows), unless one of the two other
 * methods is faster (conv_winograd.c, conv_direct.c). The weights' gradient sums
 * over images, so its units must not share a sum: where the weights are small beside the images,
 * each block of images has a partial gradient of its own in scratch, and the partials are added in
 * block order; else a unit is a (tap, part of the output channels) and walks the blocks in order.
 * The bias sums a block a unit, then adds the blocks in order. The choice depends on shapes alone.
 */
#include <string.h>

#include "core/ops/conv_direct.h"
#include "core/ops/conv_winograd.h"

enum {
    VALUE_CHANNELS,
    VALUE_KERNEL,
    VALUE_KERNEL_WIDTH,
    VALUE_STRIDE,
    VALUE_PADDING,
    VALUE_PADDING_WIDTH,
    VALUE_DILATION,
    VALUE_GROUPS,
    VALUE_BIAS,
    VALUE_FROZEN,
    VALUE_DIRAC,
};
enum { WEIGHT, BIAS };

const Param conv_params[CONV_PARAMS] = { CONV_PARAM_ROWS };

enum {
    UNIT_GEMM_ROWS = 512,          /* matrix rows a unit of forward should have at least */
    PARTIAL_WEIGHTS_MAX = 1 << 18, /* numbers; larger gradients are not kept once a block */
    PARTIAL_BLOCKS_MIN = 4,
};

/* Everything but oh and ow. */
static ConvShape conv_params_of(const double *value, const Shape *in)
{
    ConvShape s = { .n = BLOCK_IMAGES, .h = in->dim[1], .w = in->dim[2], .in = in->dim[3] };

    s.out = (uint32_t)value[VALUE_CHANNELS];
    s.kernel_h = (uint32_t)value[VALUE_KERNEL];
    s.kernel_w = value[VALUE_KERNEL_WIDTH] > 0 ? (uint32_t)value[VALUE_KERNEL_WIDTH] : s.kernel_h;
    s.stride = (uint32_t)value[VALUE_STRIDE];
    s.padding_h = (uint32_t)value[VALUE_PADDING];
    s.padding_w =
        value[VALUE_PADDING_WIDTH] >= 0 ? (uint32_t)value[VALUE_PADDING_WIDTH] : s.padding_h;
    s.dilation = (uint32_t)value[VALUE_DILATION];
    s.groups = (uint32_t)value[VALUE_GROUPS];
    return s;
}

/* The pixels that a kernel of `taps` spans. */
static uint32_t span(uint32_t taps, uint32_t dilation)
{
    return (taps - 1) * dilation + 1;
}

static ConvShape conv_shape_of(const double *value, const Shape *in)
{
    ConvShape s = conv_params_of(value, in);

    s.oh = (s.h + 2 * s.padding_h - span(s.kernel_h, s.dilation)) / s.stride + 1;
    s.ow = (s.w + 2 * s.padding_w - span(s.kernel_w, s.dilation)) / s.stride + 1;
    return s;
}

static uint32_t tap_count(const ConvShape *s)
{
    return s->kernel_h * s->kernel_w;
}

static size_t weight_count(const ConvShape *s)
{
    return (size_t)tap_count(s) * (s->in / s->groups) * s->out;
}

static bool keeps_partials(const ConvShape *s, uint32_t images)
{
    return weight_count(s) <= PARTIAL_WEIGHTS_MAX && block_count(images) >= PARTIAL_BLOCKS_MIN;
}

/* One pass after the other. */
static size_t scratch_of(const ConvShape *s, const double *value, uint32_t images, ConvUse use)
{
    size_t blocks = block_count(images), most = 0;

    for (ConvPass pass = CONV_FORWARD; pass <= (use == CONV_TRAINED ? CONV_WEIGHTS : CONV_DATA);
         pass++) {
        size_t bytes = 0;

        if (conv_winograd_pays(s, images, pass))
            bytes = conv_winograd_scratch(s, images, pass);
        else if (pass == CONV_WEIGHTS && keeps_partials(s, images))
            bytes = blocks * weight_count(s) * sizeof(real);
        most = bytes > most ? bytes : most;
    }
    if (use == CONV_TRAINED && value[VALUE_BIAS] != 0 && blocks * s->out * sizeof(double) > most)
        most = blocks * s->out * sizeof(double);
    return most;
}

static Status conv_check(const double *value, const Shape *in, Error *err)
{
    ConvShape s;
    uint32_t high, wide;

    if (in->rank != 4)
        return error_set(err, STATUS_BAD_SHAPE, "conv2d wants [N,H,W,C], got rank %u", in->rank);
    s = conv_params_of(value, in);
    high = span(s.kernel_h, s.dilation);
    wide = span(s.kernel_w, s.dilation);
    if (s.h + 2 * s.padding_h < high || s.w + 2 * s.padding_w < wide)
        return error_set(err, STATUS_BAD_SHAPE,
                         "conv2d: a kernel that spans %ux%u pixels does not fit an image of %ux%u "
                         "with a padding of %ux%u",
                         high, wide, s.h, s.w, s.padding_h, s.padding_w);
    if (s.in % s.groups != 0 || s.out % s.groups != 0)
        return error_set(err, STATUS_BAD_SHAPE,
                         "conv2d: groups must divide the %u input channels and the %u output "
                         "channels, %u does not",
                         s.in, s.out, s.groups);
    if (value[VALUE_DIRAC] != 0 && s.groups > 1)
        return error_set(err, STATUS_BAD_SHAPE, "conv2d: dirac wants groups 1, not %u", s.groups);
    return STATUS_OK;
}

uint32_t conv_weights(const double *value)
{
    return value[VALUE_BIAS] != 0 ? 2 : 1;
}

Status conv_shape(const double *value, const Shape *in, ConvUse use, OpShapes *ret, Error *err)
{
    Status status = conv_check(value, &in[0], err);
    uint32_t n = in[0].dim[0], fan_in;
    ConvShape s;

    if (status != STATUS_OK)
        return status;
    s = conv_shape_of(value, &in[0]);
    fan_in = s.in / s.groups * tap_count(&s);
    *ret = (OpShapes){
        .out = shape4(n, s.oh, s.ow, s.out),
        .weights = conv_weights(value),
        .weight = { { "weight", shape4(s.out, s.in / s.groups, s.kernel_h, s.kernel_w),
                      value[VALUE_FROZEN] != 0 ? WEIGHT_FROZEN : WEIGHT_TRAINED, WEIGHT_CONV,
                      value[VALUE_DIRAC] != 0    ? INIT_DIRAC
                      : value[VALUE_FROZEN] != 0 ? INIT_WHITEN
                                                 : INIT_UNIFORM,
                      fan_in },
                    { "bias", shape1(s.out), WEIGHT_TRAINED, WEIGHT_PLAIN, INIT_UNIFORM, fan_in } },
        .scratch_bytes = scratch_of(&s, value, n, use),
        .flops = 2.0 * n * s.oh * s.ow * (double)weight_count(&s),
        .spared = { [OP_PASS_FORWARD] = conv_winograd_spared(&s, n, CONV_FORWARD),
                    [OP_PASS_DATA] = conv_winograd_spared(&s, n, CONV_DATA),
                    [OP_PASS_WEIGHTS] = conv_winograd_spared(&s, n, CONV_WEIGHTS) },
    };
    return STATUS_OK;
}

/* How one call is cut: blocks of images, and groups of `group` rows of an image `height` rows high.
 */
typedef struct Cut {
    const OpCall *call;
    const ConvFinish *finish;
    ConvShape s; /* of a full block */
    uint32_t images, blocks, height, group, groups;
} Cut;

static Cut cut_rows(const OpCall *call, bool by_input)
{
    Cut cut = { .call = call, .s = conv_shape_of(call->value, &call->in[0].shape) };
    uint32_t n, rows = UNIT_GEMM_ROWS, width = by_input ? cut.s.w : cut.s.ow;

    cut.images = call->out.shape.dim[0];
    cut.blocks = block_count(cut.images);
    cut.height = by_input ? cut.s.h : cut.s.oh;
    n = cut.images < BLOCK_IMAGES ? cut.images : BLOCK_IMAGES;
    if (by_input) /* a tap meets one row in `stride` only, and one pixel of it */
        rows *= cut.s.stride * cut.s.stride;
    cut.group = (rows + n * width - 1) / (n * width);
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

static const real *bias_of(const OpCall *call)
{
    return call->value[VALUE_BIAS] != 0 ? call->weight[BIAS] : NULL;
}

static void forward_unit(void *context, size_t u)
{
    const Cut *cut = context;
    const ConvFinish *f = cut->finish;
    size_t in, out, row;
    uint32_t row0, row1;
    ConvShape s = block_at(cut, u / cut->groups, &in, &out);
    real *y = cut->call->out.data;

    rows_of(cut, u, &row0, &row1);
    cut->call->kernels->conv_forward(&s, row0, row1, cut->call->in[0].data + in,
                                     cut->call->weight[WEIGHT], bias_of(cut->call), y + out);
    if (f == NULL)
        return;
    row = (size_t)s.ow * s.n;
    out += row0 * row * s.out;
    cut->call->kernels->norm_forward((row1 - row0) * row, s.out, y + out, f->scale, f->shift,
                                     f->z != NULL ? f->z + out : NULL, f->relu, y + out);
}

void conv_forward(const OpCall *call, const ConvFinish *finish)
{
    Cut cut = cut_rows(call, false);

    cut.finish = finish;
    if (conv_winograd_pays(&cut.s, cut.images, CONV_FORWARD))
        conv_winograd_forward(call, &cut.s, bias_of(call), finish);
    else if (conv_direct_pays(&cut.s))
        conv_direct_forward(call, &cut.s, bias_of(call), finish);
    else
        pool_run(call->pool, (size_t)cut.blocks * cut.groups, forward_unit, &cut);
}

static void data_unit(void *context, size_t u)
{
    const Cut *cut = context;
    size_t in, out;
    uint32_t row0, row1;
    ConvShape s = block_at(cut, u / cut->groups, &in, &out);

    rows_of(cut, u, &row0, &row1);
    cut->call->kernels->conv_backward_data(
        &s, row0, row1, cut->call->out_gradient + out, cut->call->weight[WEIGHT],
        cut->call->in_gradient[0] + in, cut->call->accumulate[0]);
}

/* Unit = block: all taps into the block's own partial gradient. */
static void partial_unit(void *context, size_t b)
{
    const Cut *cut = context;
    size_t in, out;
    ConvShape s = block_at(cut, b, &in, &out);
    real *partial = (real *)cut->call->scratch + b * weight_count(&s);

    memset(partial, 0, weight_count(&s) * sizeof *partial);
    cut->call->kernels->conv_backward_weights(&s, 0, tap_count(&s), 0, s.out,
                                              cut->call->in[0].data + in,
                                              cut->call->out_gradient + out, partial);
}

/* Unit = tap: adds the blocks' partial gradients in order. */
static void reduce_unit(void *context, size_t tap)
{
    const Cut *cut = context;
    size_t all = weight_count(&cut->s), count = all / tap_count(&cut->s);
    real *dw = cut->call->weight_gradient[WEIGHT] + tap * count;

    for (uint32_t b = 0; b < cut->blocks; b++)
        cut->call->kernels->add(count, dw, (const real *)cut->call->scratch + b * all + tap * count,
                                dw);
}

/* The parts of the output channels that units share out; what works channel by channel reads all
 * of them anyway. */
static uint32_t channel_parts(const ConvShape *s)
{
    return s->groups == s->out ? 1 : 2;
}

/* Unit = (tap, part of the output channels): all blocks in order. */
static void tap_unit(void *context, size_t u)
{
    const Cut *cut = context;
    uint32_t parts = channel_parts(&cut->s), size = (cut->s.out + parts - 1) / parts,
             tap = (uint32_t)(u / parts), out0 = (uint32_t)(u % parts) * size,
             out1 = out0 + size < cut->s.out ? out0 + size : cut->s.out;

    for (uint32_t b = 0; b < cut->blocks && out0 < out1; b++) {
        size_t in, out;
        ConvShape s = block_at(cut, b, &in, &out);

        cut->call->kernels->conv_backward_weights(
            &s, tap, tap + 1, out0, out1, cut->call->in[0].data + in, cut->call->out_gradient + out,
            cut->call->weight_gradient[WEIGHT]);
    }
}

static void backward_weight(const OpCall *call)
{
    Cut cut = cut_rows(call, false);

    if (conv_winograd_pays(&cut.s, cut.images, CONV_WEIGHTS)) {
        conv_winograd_weights(call, &cut.s);
    } else if (keeps_partials(&cut.s, cut.images)) {
        pool_run(call->pool, cut.blocks, partial_unit, &cut);
        pool_run(call->pool, tap_count(&cut.s), reduce_unit, &cut);
    } else {
        pool_run(call->pool, (size_t)tap_count(&cut.s) * channel_parts(&cut.s), tap_unit, &cut);
    }
}

/* Unit = block: its sums over images and pixels. */
static void bias_unit(void *context, size_t b)
{
    const Cut *cut = context;
    size_t in, out;
    ConvShape s = block_at(cut, b, &in, &out);

    cut->call->kernels->channel_sums((size_t)s.oh * s.ow * s.n, s.out,
                                     cut->call->out_gradient + out,
                                     (double *)cut->call->scratch + b * s.out);
}

static void backward_bias(const OpCall *call)
{
    Cut cut = cut_rows(call, false);
    const double *sums = call->scratch;

    pool_run(call->pool, cut.blocks, bias_unit, &cut);
    for (uint32_t o = 0; o < cut.s.out; o++) {
        double sum = 0;

        for (uint32_t b = 0; b < cut.blocks; b++)
            sum += sums[(size_t)b * cut.s.out + o];
        call->weight_gradient[BIAS][o] += (real)sum;
    }
}

void conv_backward(const OpCall *call)
{
    if (call->weight_gradient[WEIGHT] != NULL)
        backward_weight(call);
    if (call->weight_gradient[BIAS] != NULL)
        backward_bias(call);
    if (call->in_gradient[0] != NULL) {
        Cut cut = cut_rows(call, true);

        if (conv_winograd_pays(&cut.s, cut.images, CONV_DATA))
            conv_winograd_data(call, &cut.s);
        else if (conv_direct_data_pays(&cut.s))
            conv_direct_data(call, &cut.s);
        else
            pool_run(call->pool, (size_t)cut.blocks * cut.groups, data_unit, &cut);
    }
}
