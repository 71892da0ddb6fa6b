/*
 * Convolution and pooling straight from their formulas: every multiply of every window, in the
 * order of the outputs.
 */
#include "core/kernels/reference.h"

/* The input that output o meets `shift` behind its window's beginning, or SIZE_MAX. */
static size_t input_of(uint32_t o, uint32_t stride, uint32_t shift, uint32_t padding, uint32_t size)
{
    uint32_t at = o * stride + shift;

    return at >= padding && at - padding < size ? at - padding : SIZE_MAX;
}

/* x at (ih,iw,image,channel) of a block. */
static size_t at(size_t width, size_t n, size_t c, size_t row, size_t col, size_t image,
                 size_t channel)
{
    return ((row * width + col) * n + image) * c + channel;
}

typedef void TapBody(size_t in, size_t out, size_t weight, const void *context);

/* Every multiply of a convolution with output row in [row0,row1), tap in [tap0,tap1) and output
 * channel in [out0,out1). */
typedef struct Part {
    uint32_t row0, row1, tap0, tap1, out0, out1;
} Part;

static void each_multiply(const ConvShape *s, const Part *p, TapBody *body, const void *context)
{
    uint32_t group_in = s->in / s->groups, group_out = s->out / s->groups;

    for (uint32_t oh = p->row0; oh < p->row1; oh++)
        for (uint32_t ow = 0; ow < s->ow; ow++)
            for (uint32_t tap = p->tap0; tap < p->tap1; tap++) {
                uint32_t down = tap / s->kernel_w * s->dilation,
                         right = tap % s->kernel_w * s->dilation;
                size_t ih = input_of(oh, s->stride, down, s->padding_h, s->h);
                size_t iw = input_of(ow, s->stride, right, s->padding_w, s->w);

                if (ih == SIZE_MAX || iw == SIZE_MAX)
                    continue;
                for (uint32_t image = 0; image < s->n; image++)
                    for (uint32_t i = 0; i < group_in; i++)
                        for (uint32_t o = p->out0; o < p->out1; o++)
                            body(at(s->w, s->n, s->in, ih, iw, image, o / group_out * group_in + i),
                                 at(s->ow, s->n, s->out, oh, ow, image, o),
                                 ((size_t)tap * group_in + i) * s->out + o, context);
            }
}

typedef struct Pointers {
    const real *a, *b;
    real *ret;
    size_t lo, hi;                /* of ret */
    size_t channels, first, last; /* those of ret's channels */
} Pointers;

static void forward_multiply(size_t in, size_t out, size_t weight, const void *context)
{
    const Pointers *p = context;

    p->ret[out] += p->a[in] * p->b[weight];
}

void reference_conv_forward(const ConvShape *s, uint32_t row0, uint32_t row1, const real *x,
                            const real *w, const real *bias, real *y)
{
    Pointers p = { .a = x, .b = w, .ret = y };
    size_t row = (size_t)s->ow * s->n * s->out;

    for (size_t i = row0 * row; i < row1 * row; i++)
        y[i] = bias == NULL ? 0 : bias[i % s->out];
    each_multiply(s, &(Part){ row0, row1, 0, s->kernel_h * s->kernel_w, 0, s->out },
                  forward_multiply, &p);
}

void reference_direct_forward(const ConvShape *s, uint32_t row0, uint32_t row1, uint32_t out0,
                              uint32_t out1, const real *x, const real *w, const real *bias,
                              real *y)
{
    Pointers p = { .a = x, .b = w, .ret = y };
    size_t row = (size_t)s->ow * s->n;

    for (size_t i = row0 * row; i < row1 * row; i++)
        for (uint32_t o = out0; o < out1; o++)
            y[i * s->out + o] = bias == NULL ? 0 : bias[o];
    each_multiply(s, &(Part){ row0, row1, 0, s->kernel_h * s->kernel_w, out0, out1 },
                  forward_multiply, &p);
}

static void data_multiply(size_t in, size_t out, size_t weight, const void *context)
{
    const Pointers *p = context;

    if (in >= p->lo && in < p->hi && in % p->channels >= p->first && in % p->channels < p->last)
        p->ret[in] += p->a[out] * p->b[weight];
}

void reference_direct_data(const ConvShape *s, uint32_t row0, uint32_t row1, uint32_t in0,
                           uint32_t in1, const real *dy, const real *w, real *dx, bool accumulate)
{
    size_t row = (size_t)s->w * s->n * s->in;
    Pointers p = { .a = dy,
                   .b = w,
                   .ret = dx,
                   .lo = row0 * row,
                   .hi = row1 * row,
                   .channels = s->in,
                   .first = in0,
                   .last = in1 };

    for (size_t i = p.lo; i < p.hi && !accumulate; i++)
        if (i % s->in >= in0 && i % s->in < in1)
            dx[i] = 0;
    each_multiply(s, &(Part){ 0, s->oh, 0, s->kernel_h * s->kernel_w, 0, s->out }, data_multiply,
                  &p);
}

void reference_conv_backward_data(const ConvShape *s, uint32_t row0, uint32_t row1, const real *dy,
                                  const real *w, real *dx, bool accumulate)
{
    reference_direct_data(s, row0, row1, 0, s->in, dy, w, dx, accumulate);
}

static void weights_multiply(size_t in, size_t out, size_t weight, const void *context)
{
    const Pointers *p = context;

    p->ret[weight] += p->a[in] * p->b[out];
}

void reference_conv_backward_weights(const ConvShape *s, uint32_t tap0, uint32_t tap1,
                                     uint32_t out0, uint32_t out1, const real *x, const real *dy,
                                     real *dw)
{
    Pointers p = { .a = x, .b = dy, .ret = dw };

    each_multiply(s, &(Part){ 0, s->oh, tap0, tap1, out0, out1 }, weights_multiply, &p);
}

/* One window of a pool: the inputs that it meets, in row-major order, and their taps. */
enum { WINDOW_MAX = 16 * 16 };

typedef struct Window {
    uint32_t count;
    size_t in[WINDOW_MAX]; /* of image 0 and channel 0 */
    uint32_t tap[WINDOW_MAX];
} Window;

static void window_of(const PoolShape *s, uint32_t oh, uint32_t ow, Window *ret)
{
    ret->count = 0;
    for (uint32_t tap = 0; tap < s->kernel * s->kernel; tap++) {
        size_t ih = input_of(oh, s->stride, tap / s->kernel, s->padding, s->h);
        size_t iw = input_of(ow, s->stride, tap % s->kernel, s->padding, s->w);

        if (ih == SIZE_MAX || iw == SIZE_MAX)
            continue;
        ret->in[ret->count] = at(s->w, s->n, s->c, ih, iw, 0, 0);
        ret->tap[ret->count++] = tap;
    }
}

typedef void WindowBody(const Window *window, size_t out, size_t number, const void *context);

/* Every window with output row in [row0,row1), for every number (image and channel) of a pixel. */
static void each_window(const PoolShape *s, uint32_t row0, uint32_t row1, WindowBody *body,
                        const void *context)
{
    size_t numbers = (size_t)s->n * s->c;
    Window window;

    for (uint32_t oh = row0; oh < row1; oh++)
        for (uint32_t ow = 0; ow < s->ow; ow++) {
            window_of(s, oh, ow, &window);
            for (size_t j = 0; j < numbers; j++)
                body(&window, ((size_t)oh * s->ow + ow) * numbers + j, j, context);
        }
}

typedef struct PoolPointers {
    const real *x, *tap_of;
    real *y, *tap;
    size_t lo, hi; /* of y */
} PoolPointers;

static void max_window(const Window *window, size_t out, size_t number, const void *context)
{
    const PoolPointers *p = context;

    p->y[out] = (real)-INFINITY;
    p->tap[out] = (real)window->tap[0];
    for (uint32_t i = 0; i < window->count; i++) {
        real x = p->x[window->in[i] + number];

        if (x > p->y[out] || isnan(x)) {
            p->y[out] = x;
            p->tap[out] = (real)window->tap[i];
        }
    }
}

void reference_max_pool_forward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *x,
                                real *y, real *tap)
{
    each_window(s, row0, row1, max_window, &(PoolPointers){ .x = x, .y = y, .tap = tap });
}

static void max_gradient(const Window *window, size_t out, size_t number, const void *context)
{
    const PoolPointers *p = context;

    for (uint32_t i = 0; i < window->count; i++) {
        size_t in = window->in[i] + number;

        if ((real)window->tap[i] == p->tap_of[out] && in >= p->lo && in < p->hi)
            p->y[in] += p->x[out];
    }
}

static void pool_gradient(const PoolShape *s, uint32_t row0, uint32_t row1, PoolPointers p,
                          bool accumulate, WindowBody *body)
{
    size_t row = (size_t)s->w * s->n * s->c;

    p.lo = row0 * row;
    p.hi = row1 * row;
    for (size_t i = p.lo; i < p.hi && !accumulate; i++)
        p.y[i] = 0;
    each_window(s, 0, s->oh, body, &p);
}

void reference_max_pool_backward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *dy,
                                 const real *tap, real *dx, bool accumulate)
{
    pool_gradient(s, row0, row1, (PoolPointers){ .x = dy, .tap_of = tap, .y = dx }, accumulate,
                  max_gradient);
}

static void avg_window(const Window *window, size_t out, size_t number, const void *context)
{
    const PoolPointers *p = context;
    double sum = 0;

    for (uint32_t i = 0; i < window->count; i++)
        sum += (double)p->x[window->in[i] + number];
    p->y[out] = (real)(sum / window->count);
}

void reference_avg_pool_forward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *x,
                                real *y)
{
    each_window(s, row0, row1, avg_window, &(PoolPointers){ .x = x, .y = y });
}

static void avg_gradient(const Window *window, size_t out, size_t number, const void *context)
{
    const PoolPointers *p = context;

    for (uint32_t i = 0; i < window->count; i++) {
        size_t in = window->in[i] + number;

        if (in >= p->lo && in < p->hi)
            p->y[in] += (real)((double)p->x[out] / window->count);
    }
}

void reference_avg_pool_backward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *dy,
                                 real *dx, bool accumulate)
{
    pool_gradient(s, row0, row1, (PoolPointers){ .x = dy, .y = dx }, accumulate, avg_gradient);
}
