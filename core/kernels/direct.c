/*
 * A convolution without OpenBLAS, of one family: for few images, where packing the weights for each
 * small product costs more than the product.
 *
 * An output row is the channels of one pixel of one image. Tap by tap, the rows that meet an input
 * are listed with the input row that they meet, wherever it lies: so strides, borders, dilation and
 * partial blocks cost nothing, and nothing is multiplied with zeros. The list is worked off in
 * tiles of ROWS rows and PANEL channels, whose sums stay in registers over a part of the tap's
 * input channels, TERMS at most; then they are added to y.
 *
 * A part's weights are read from memory once, in order, into panels of columns that stay in cache
 * while all the rows go by.
 *
 * The input's gradient is the same with x and y in each other's place: a row of dx meets the rows
 * of dy that it went into, and the weights are turned round on their way into the panels.
 */
#include <string.h>

#include "core/kernels/family.h"
#include "core/kernels/panels.h"

enum {
    ROWS_LEFT = ROWS == 6 ? 2 : 4, /* of the tiles for what is left over */
    LINE_BYTES = 64,               /* of the cache */
    LIST = 256,                    /* output rows that share a copy of the weights */
};

/* What a tap connects: `count` rows of x and of y, in numbers from their beginning. */
typedef struct Meetings {
    size_t count;
    size_t x[LIST], y[LIST];
} Meetings;

/* Output rows [first,end) through `tap`. */
static void list_meetings(const ConvShape *s, uint32_t tap, size_t first, size_t end, Meetings *ret)
{
    uint32_t down = tap / s->kernel_w * s->dilation, right = tap % s->kernel_w * s->dilation;
    size_t pixel = first / s->n;
    uint32_t image = (uint32_t)(first % s->n), row = (uint32_t)(pixel / s->ow),
             col = (uint32_t)(pixel % s->ow);

    ret->count = 0;
    while (first < end) {
        uint32_t ih = row * s->stride + down - s->padding_h,
                 iw = col * s->stride + right - s->padding_w; /* below 0: huge */
        size_t images = end - first < s->n - image ? end - first : s->n - image;

        if (ih < s->h && iw < s->w)
            for (size_t i = 0; i < images; i++, ret->count++) {
                ret->x[ret->count] = (((size_t)ih * s->w + iw) * s->n + image + i) * s->in;
                ret->y[ret->count] = (first + i) * s->out;
            }
        first += images;
        image = 0;
        if (++col == s->ow) {
            col = 0;
            row++;
        }
    }
}

/* The other way: rows [first,end) of dx, and the row of dy that each went into through `tap`. */
static void list_sources(const ConvShape *s, uint32_t tap, size_t first, size_t end, Meetings *ret)
{
    uint32_t down = tap / s->kernel_w * s->dilation, right = tap % s->kernel_w * s->dilation;

    ret->count = 0;
    while (first < end) {
        size_t pixel = first / s->n;
        uint32_t image = (uint32_t)(first % s->n);
        uint32_t row = (uint32_t)(pixel / s->w) + s->padding_h - down,
                 col = (uint32_t)(pixel % s->w) + s->padding_w - right, /* below 0: huge */
            oh = row / s->stride, ow = col / s->stride;
        size_t images = end - first < s->n - image ? end - first : s->n - image;

        if (row % s->stride == 0 && col % s->stride == 0 && oh < s->oh && ow < s->ow)
            for (size_t i = 0; i < images; i++, ret->count++) {
                ret->x[ret->count] = (((size_t)oh * s->ow + ow) * s->n + image + i) * s->out;
                ret->y[ret->count] = (first + i) * s->in;
            }
        first += images;
    }
}

/* Panels [outs/PANEL][depth][PANEL] of w [depth,out]. */
static void pack(size_t depth, size_t outs, size_t out, const real *w, real *ret)
{
    for (size_t k = 0; k < depth; k++, w += out)
        for (size_t o = 0; o < outs; o += PANEL)
            for (size_t v = 0; v < PANEL; v += LANES)
                lanes_store(ret + (o * depth + k * PANEL) + v, lanes_load(w + o + v));
}

/* The same of w [outs,depth], whose rows lie `step` numbers apart. */
static void pack_turned(size_t depth, size_t outs, size_t step, const real *w, real *ret)
{
    for (size_t o = 0; o < outs; o += LANES) {
        const real *from = w + o * step;
        real *to = ret + o / PANEL * PANEL * depth + o % PANEL;
        size_t k = 0;

        for (; k + LANES <= depth; k += LANES)
            lanes_transpose(from + k, step, to + k * PANEL, PANEL);
        for (; k < depth; k++)
            for (size_t v = 0; v < LANES; v++)
                to[k * PANEL + v] = from[v * step + k];
    }
}

/* y [rows of a tile][PANEL] += x b; b [depth,PANEL]. ahead: NULL, or weights that will be wanted
 * soon, of the same shape, a row every `step` numbers. */
INLINE void tile(int rows, size_t depth, const real *const *x, const real *b, const real *ahead,
                 size_t step, real *const *y)
{
    Lanes sum[ROWS][VECTORS];
    const real *a[ROWS];

#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        a[r] = x[r];
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            sum[r][v] = (Lanes){ 0 };
    }
    for (size_t k = 0; k < depth; k++, b += PANEL) {
        Lanes column[VECTORS];

        if (ahead != NULL) {
            for (size_t line = 0; line < sizeof column; line += LINE_BYTES)
                __builtin_prefetch((const char *)ahead + line, 0, 2);
            ahead += step;
        }
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            column[v] = lanes_load(b + v * LANES);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            real value = a[r][k];

#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++)
                sum[r][v] += value * column[v];
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            lanes_store(y[r] + v * LANES, lanes_load(y[r] + v * LANES) + sum[r][v]);
}

/* Tiles of `rows` rows from number `at` of the list on, while they are whole or, if `all`, to the
 * end: then rows that are not there repeat the last one's input and go nowhere. Answers where they
 * end. */
INLINE size_t tiles(int rows, bool all, size_t at, const Meetings *m, size_t depth, const real *x,
                    const real *b, const real *ahead, size_t step, real *y)
{
    real nowhere[PANEL] = { 0 };

    for (; all ? at < m->count : at + (size_t)rows <= m->count; at += (size_t)rows) {
        const real *from[ROWS];
        real *to[ROWS];

        for (size_t r = 0; r < (size_t)rows; r++) {
            bool there = at + r < m->count;

            from[r] = x + m->x[there ? at + r : m->count - 1];
            to[r] = there ? y + m->y[at + r] : nowhere;
        }
        if (at == 0)
            tile(rows, depth, from, b, ahead, step, to);
        else
            tile(rows, depth, from, b, NULL, 0, to);
    }
    return at;
}

/* One panel of the tap's part: y += x b. */
static void panel(const Meetings *m, size_t depth, const real *x, const real *b, const real *ahead,
                  size_t step, real *y)
{
    size_t at = tiles(ROWS, false, 0, m, depth, x, b, ahead, step, y);

    tiles(ROWS_LEFT, true, at, m, depth, x, b, ahead, step, y);
}

/* Output rows [first,end), channels [out0,out1). */
static void rows_of(const ConvShape *s, size_t first, size_t end, uint32_t out0, uint32_t out1,
                    const real *x, const real *w, real *y)
{
    _Alignas(VECTOR_BYTES) real b[TERMS * DIRECT_CHANNELS_MAX];
    Meetings m;

    for (uint32_t tap = 0; tap < s->kernel_h * s->kernel_w; tap++) {
        list_meetings(s, tap, first, end, &m);
        for (uint32_t in = 0; in < s->in && m.count > 0; in += TERMS) {
            size_t depth = s->in - in < TERMS ? s->in - in : TERMS;
            const real *part = w + ((size_t)tap * s->in + in) * s->out + out0;

            pack(depth, out1 - out0, s->out, part, b);
            for (uint32_t out = 0; out < out1 - out0; out += PANEL)
                panel(&m, depth, x + in, b + out * depth, part + depth * s->out + out, s->out,
                      y + out0 + out);
        }
    }
}

void direct_convolve(const ConvShape *s, uint32_t row0, uint32_t row1, uint32_t out0, uint32_t out1,
                     const real *x, const real *w, const real *bias, real *y)
{
    size_t row = (size_t)s->ow * s->n, end = row1 * row;

    for (size_t first = row0 * row; first < end; first += LIST) {
        size_t last = end - first < LIST ? end : first + LIST;

        for (size_t r = first; r < last; r++)
            if (bias == NULL)
                memset(y + r * s->out + out0, 0, (out1 - out0) * sizeof *y);
            else
                memcpy(y + r * s->out + out0, bias + out0, (out1 - out0) * sizeof *y);
        rows_of(s, first, last, out0, out1, x, w, y);
    }
}

/* Rows [first,end) of dx, channels [in0,in1). */
static void sources_of(const ConvShape *s, size_t first, size_t end, uint32_t in0, uint32_t in1,
                       const real *dy, const real *w, real *dx)
{
    _Alignas(VECTOR_BYTES) real b[TERMS * DIRECT_CHANNELS_MAX];
    Meetings m;

    for (uint32_t tap = 0; tap < s->kernel_h * s->kernel_w; tap++) {
        list_sources(s, tap, first, end, &m);
        for (uint32_t out = 0; out < s->out && m.count > 0; out += TERMS) {
            size_t depth = s->out - out < TERMS ? s->out - out : TERMS;

            pack_turned(depth, in1 - in0, s->out, w + ((size_t)tap * s->in + in0) * s->out + out,
                        b);
            for (uint32_t in = 0; in < in1 - in0; in += PANEL)
                panel(&m, depth, dy + out, b + in * depth, NULL, 0, dx + in0 + in);
        }
    }
}

void direct_differentiate(const ConvShape *s, uint32_t row0, uint32_t row1, uint32_t in0,
                          uint32_t in1, const real *dy, const real *w, real *dx, bool accumulate)
{
    size_t row = (size_t)s->w * s->n, end = row1 * row;

    for (size_t first = row0 * row; first < end; first += LIST) {
        size_t last = end - first < LIST ? end : first + LIST;

        for (size_t r = first; r < last && !accumulate; r++)
            memset(dx + r * s->in + in0, 0, (in1 - in0) * sizeof *dx);
        sources_of(s, first, last, in0, in1, dy, w, dx);
    }
}
