/* A unit is a group of rows of one block of images, so that one image, too, uses every core. */
#include "core/ops/pooling.h"

enum { VALUE_KERNEL, VALUE_STRIDE, VALUE_PADDING };
enum { UNIT_NUMBERS = 16384 };

const Param pooling_params[POOLING_VALUES] = {
    { "kernel", PARAM_INT, 2, 1, 16, NULL, "side of the window" },
    { "stride", PARAM_INT, 0, 0, 16, NULL, "step between windows; 0: as the kernel" },
    { "padding", PARAM_INT, 0, 0, 8, NULL,
      "pixels around the image that count for nothing; at most half the kernel" },
};

static PoolShape pool_shape_of(const double *value, const Shape *in)
{
    PoolShape s = { .n = BLOCK_IMAGES, .h = in->dim[1], .w = in->dim[2], .c = in->dim[3] };

    s.kernel = (uint32_t)value[VALUE_KERNEL];
    s.stride = value[VALUE_STRIDE] > 0 ? (uint32_t)value[VALUE_STRIDE] : s.kernel;
    s.padding = (uint32_t)value[VALUE_PADDING];
    s.oh = (s.h + 2 * s.padding - s.kernel) / s.stride + 1;
    s.ow = (s.w + 2 * s.padding - s.kernel) / s.stride + 1;
    return s;
}

Status pooling_shape(const char *name, const double *value, const Shape *in, OpShapes *ret,
                     Error *err)
{
    uint32_t kernel = (uint32_t)value[VALUE_KERNEL], padding = (uint32_t)value[VALUE_PADDING];
    PoolShape s;

    if (in->rank != 4)
        return error_set(err, STATUS_BAD_SHAPE, "%s wants [N,H,W,C], got rank %u", name, in->rank);
    if (padding > kernel / 2)
        return error_set(err, STATUS_BAD_SHAPE,
                         "%s: padding must be at most half the kernel's %u, not %u", name, kernel,
                         padding);
    if (in->dim[1] + 2 * padding < kernel || in->dim[2] + 2 * padding < kernel)
        return error_set(err, STATUS_BAD_SHAPE,
                         "%s: a kernel of %u does not fit an image of %ux%u with padding %u", name,
                         kernel, in->dim[1], in->dim[2], padding);
    s = pool_shape_of(value, in);
    *ret = (OpShapes){ .out = shape4(in->dim[0], s.oh, s.ow, s.c) };
    return STATUS_OK;
}

typedef struct Cut {
    const OpCall *call;
    PoolingBody *body;
    PoolShape s; /* of a full block */
    uint32_t height, group, groups;
} Cut;

static void run_unit(void *context, size_t u)
{
    const Cut *cut = context;
    size_t b = u / cut->groups, image = b * BLOCK_IMAGES * cut->s.c;
    PoolingUnit unit = { .s = cut->s, .row0 = (uint32_t)(u % cut->groups) * cut->group };

    unit.s.n = block_images(cut->call->out.shape.dim[0], (uint32_t)b);
    unit.row1 = unit.row0 + cut->group < cut->height ? unit.row0 + cut->group : cut->height;
    unit.in = image * cut->s.h * cut->s.w;
    unit.out = image * cut->s.oh * cut->s.ow;
    cut->body(cut->call, &unit);
}

void pooling_run(const OpCall *call, bool by_input, PoolingBody *body)
{
    Cut cut = { .call = call, .body = body, .s = pool_shape_of(call->value, &call->in[0].shape) };
    uint32_t images = call->out.shape.dim[0], n = images < BLOCK_IMAGES ? images : BLOCK_IMAGES;
    size_t row = (size_t)(by_input ? cut.s.w : cut.s.ow) * n * cut.s.c,
           group = (UNIT_NUMBERS + row - 1) / row;

    cut.height = by_input ? cut.s.h : cut.s.oh;
    cut.group = group < cut.height ? (uint32_t)group : cut.height;
    cut.groups = (cut.height + cut.group - 1) / cut.group;
    pool_run(call->pool, (size_t)block_count(images) * cut.groups, run_unit, &cut);
}
