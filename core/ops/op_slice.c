/*
 * slice -- a window: rows, columns and channels of each image.   x: [N,H,W,C] -> [N,h,w,c];
 * x: [R,C] -> [h,c], whose rows are cut like an image's (a parameter has no batch).
 *
 * A window that begins above or left of the image takes zeros from there: top = left = -1 with the
 * image's height and width shifts it by one pixel. It must end inside the image.
 *
 * A unit is a row of pixels of one block (of the output, or, backward, of the input), which is one
 * run of numbers where all channels are taken.
 */
#include <string.h>

#include "core/ops/op.h"

enum { VALUE_TOP, VALUE_LEFT, VALUE_HEIGHT, VALUE_WIDTH, VALUE_CHANNEL, VALUE_CHANNELS };

static const Param slice_params[] = {
    { "top", PARAM_INT, 0, -1024, 65535, NULL, "first row; from above the image come zeros" },
    { "left", PARAM_INT, 0, -1024, 65535, NULL, "first column; from its left come zeros" },
    { "height", PARAM_INT, 0, 0, 65536, NULL, "rows; 0: to the end" },
    { "width", PARAM_INT, 0, 0, 65536, NULL, "columns; 0: to the end" },
    { "channel", PARAM_INT, 0, 0, 65535, NULL, "first channel" },
    { "channels", PARAM_INT, 0, 0, 65536, NULL, "channels; 0: to the end" },
};

/* One of the window's sides on an axis of `size`. */
static Status side(const char *what, int64_t from, int64_t count, uint32_t size, uint32_t *ret,
                   Error *err)
{
    int64_t length = count == 0 ? (int64_t)size - from : count;

    if (length < 1 || from + length > size)
        return error_set(err, STATUS_BAD_SHAPE,
                         "slice: %s %lld to %lld reach beyond the %u that there are", what,
                         (long long)from, (long long)(from + length - 1), size);
    *ret = (uint32_t)length;
    return STATUS_OK;
}

static int64_t whole(const double *value, int which)
{
    return (int64_t)value[which];
}

static Status slice_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                          Error *err)
{
    bool image = in[0].rank == 4;
    Shape out = in[0];
    Status s;

    if (!image && in[0].rank != 2)
        return error_set(err, STATUS_BAD_SHAPE, "slice wants [N,H,W,C] or [R,C], got rank %u",
                         in[0].rank);
    if (!image && (whole(value, VALUE_LEFT) != 0 || whole(value, VALUE_WIDTH) != 0))
        return error_set(err, STATUS_BAD_SHAPE, "slice: left and width are for [N,H,W,C]");
    s = side("rows", whole(value, VALUE_TOP), whole(value, VALUE_HEIGHT), in[0].dim[image ? 1 : 0],
             &out.dim[image ? 1 : 0], err);
    if (s == STATUS_OK && image)
        s = side("columns", whole(value, VALUE_LEFT), whole(value, VALUE_WIDTH), in[0].dim[2],
                 &out.dim[2], err);
    if (s == STATUS_OK)
        s = side("channels", whole(value, VALUE_CHANNEL), whole(value, VALUE_CHANNELS),
                 in[0].dim[in[0].rank - 1], &out.dim[in[0].rank - 1], err);
    if (s == STATUS_OK)
        *ret = (OpShapes){ .out = out };
    return s;
}

/* A matrix is one image, its rows the image's. */
static Shape as_images(const Shape *s)
{
    return s->rank == 4 ? *s : shape4(1, s->dim[0], 1, s->dim[1]);
}

/*
 * What one row of pixels of the input shares with the window. Rows of the input and of the output
 * stand `in` and `out` numbers into their tensors; columns [lead, lead + shared) of the output's
 * row are columns [skip, skip + shared) of the input's.
 */
typedef struct Row {
    bool inside; /* the other tensor has this row, too */
    size_t in, out, n, lead, skip, shared;
} Row;

/* What every unit needs to know. */
typedef struct Window {
    const OpCall *call;
    Shape in, out;
    int64_t top, left;
    size_t channel;
} Window;

static Window window_of(const OpCall *call)
{
    return (Window){ .call = call,
                     .in = as_images(&call->in[0].shape),
                     .out = as_images(&call->out.shape),
                     .top = whole(call->value, VALUE_TOP),
                     .left = whole(call->value, VALUE_LEFT),
                     .channel = (size_t)call->value[VALUE_CHANNEL] };
}

/* Row `y` of the output's in block `b`; y may lie outside the output for a row of the input. */
static Row row_at(const Window *w, uint32_t b, int64_t y)
{
    int64_t from = w->top + y, first = w->left < 0 ? -w->left : 0;
    Row r = { .n = block_images(w->in.dim[0], b) };
    size_t block = (size_t)b * BLOCK_IMAGES;

    r.inside = from >= 0 && y >= 0 && y < w->out.dim[1] && first < w->out.dim[2];
    r.lead = (size_t)(first < w->out.dim[2] ? first : w->out.dim[2]);
    r.skip = w->left > 0 ? (size_t)w->left : 0;
    r.shared = w->out.dim[2] - r.lead;
    if (from >= 0)
        r.in = (block * w->in.dim[1] + (size_t)from * r.n) * w->in.dim[2] * w->in.dim[3];
    if (y >= 0)
        r.out = (block * w->out.dim[1] + (size_t)y * r.n) * w->out.dim[2] * w->out.dim[3];
    return r;
}

static void forward_unit(void *context, size_t u)
{
    const Window *w = context;
    uint32_t height = w->out.dim[1];
    Row r = row_at(w, (uint32_t)(u / height), (int64_t)(u % height));
    size_t c = w->out.dim[3], all = w->in.dim[3], pixels = r.shared * r.n;
    real *y = w->call->out.data + r.out;
    const real *x;

    if (!r.inside) {
        memset(y, 0, w->out.dim[2] * r.n * c * sizeof *y);
        return;
    }
    x = w->call->in[0].data + r.in + r.skip * r.n * all + w->channel;
    memset(y, 0, r.lead * r.n * c * sizeof *y);
    y += r.lead * r.n * c;
    if (c == all)
        memcpy(y, x, pixels * c * sizeof *y);
    for (size_t p = 0; p < pixels && c < all; p++)
        memcpy(y + p * c, x + p * all, c * sizeof *y);
}

static void backward_unit(void *context, size_t u)
{
    const Window *w = context;
    uint32_t height = w->in.dim[1];
    Row r = row_at(w, (uint32_t)(u / height), (int64_t)(u % height) - w->top);
    size_t c = w->out.dim[3], all = w->in.dim[3], pixels = r.shared * r.n;
    real *dx = w->call->in_gradient[0] + r.in;
    const real *dy;

    if (!w->call->accumulate[0])
        memset(dx, 0, w->in.dim[2] * r.n * all * sizeof *dx);
    if (!r.inside)
        return;
    dx += r.skip * r.n * all + w->channel;
    dy = w->call->out_gradient + r.out + r.lead * r.n * c;
    if (c == all)
        w->call->kernels->add(pixels * c, dx, dy, dx);
    for (size_t p = 0; p < pixels && c < all; p++)
        w->call->kernels->add(c, dx + p * all, dy + p * c, dx + p * all);
}

static void slice_forward(const OpCall *call)
{
    Window w = window_of(call);

    pool_run(call->pool, (size_t)block_count(w.out.dim[0]) * w.out.dim[1], forward_unit, &w);
}

static void slice_backward(const OpCall *call)
{
    Window w = window_of(call);

    if (call->in_gradient[0] != NULL)
        pool_run(call->pool, (size_t)block_count(w.in.dim[0]) * w.in.dim[1], backward_unit, &w);
}

const Op op_slice = {
    .described = { "slice", "a window of rows, columns and channels", slice_params, 6 },
    .inputs = 1,
    .shape = slice_shape,
    .forward = slice_forward,
    .backward = slice_backward,
};
