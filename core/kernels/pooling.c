/*
 * Pooling of one family. In the blocked layout a pixel is n*C numbers in a row, and a window is a
 * few such rows: the loops over a row know nothing of channels or images. Backward, too, gathers:
 * an input row looks for the windows that hold it, so that no two rows of a unit, and no two units,
 * write to one place.
 */
#include <string.h>

#include "core/kernels/family.h"
#include "core/kernels/window.h"

static Axis rows_of(const PoolShape *s)
{
    return (Axis){ s->h, s->oh, s->stride, s->padding, 1 };
}

static Axis cols_of(const PoolShape *s)
{
    return (Axis){ s->w, s->ow, s->stride, s->padding, 1 };
}

/* y = max(y, x), and where x won, `index` into tap. !(x <= y) would let a number replace a NaN. */
static void max_row(size_t count, const real *x, real index, real *y, real *tap)
{
    for (size_t j = 0; j < count; j++) {
        bool wins = (x[j] > y[j]) | (x[j] != x[j]);

        y[j] = wins ? x[j] : y[j];
        tap[j] = wins ? index : tap[j];
    }
}

static void max_pixel(const PoolShape *s, uint32_t oh, uint32_t ow, const real *x, real *y,
                      real *tap)
{
    Axis rows = rows_of(s), cols = cols_of(s);
    size_t count = (size_t)s->n * s->c;
    bool first = true;

    for (uint32_t ky = 0; ky < s->kernel; ky++) {
        int64_t ih = axis_input(&rows, oh, ky);

        for (uint32_t kx = 0; kx < s->kernel && ih != AXIS_OUTSIDE; kx++) {
            int64_t iw = axis_input(&cols, ow, kx);
            real index = (real)(ky * s->kernel + kx);
            const real *from;

            if (iw == AXIS_OUTSIDE)
                continue;
            from = x + ((size_t)ih * s->w + (size_t)iw) * count;
            if (first) {
                memcpy(y, from, count * sizeof *y);
                for (size_t j = 0; j < count; j++)
                    tap[j] = index;
            } else {
                max_row(count, from, index, y, tap);
            }
            first = false;
        }
    }
}

void pooling_max_forward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *x, real *y,
                         real *tap)
{
    for (uint32_t oh = row0; oh < row1; oh++)
        for (uint32_t ow = 0; ow < s->ow; ow++) {
            size_t at = ((size_t)oh * s->ow + ow) * s->n * s->c;

            max_pixel(s, oh, ow, x, y + at, tap + at);
        }
}

/* How many inputs the window of an output meets along one axis. */
static uint32_t inside(const Axis *a, uint32_t kernel, uint32_t o)
{
    int64_t lo = (int64_t)o * a->stride - a->padding, hi = lo + kernel;

    return (uint32_t)((hi < a->in ? hi : a->in) - (lo > 0 ? lo : 0));
}

static void add_row(size_t count, const real *x, real *y)
{
    for (size_t j = 0; j < count; j++)
        y[j] += x[j];
}

static void add_scaled_row(size_t count, real factor, const real *x, real *y)
{
    for (size_t j = 0; j < count; j++)
        y[j] += x[j] * factor;
}

static void avg_pixel(const PoolShape *s, uint32_t oh, uint32_t ow, const real *x, real *y)
{
    Axis rows = rows_of(s), cols = cols_of(s);
    size_t count = (size_t)s->n * s->c;
    real share = 1 / (real)(inside(&rows, s->kernel, oh) * inside(&cols, s->kernel, ow));

    memset(y, 0, count * sizeof *y);
    for (uint32_t ky = 0; ky < s->kernel; ky++) {
        int64_t ih = axis_input(&rows, oh, ky);

        for (uint32_t kx = 0; kx < s->kernel && ih != AXIS_OUTSIDE; kx++) {
            int64_t iw = axis_input(&cols, ow, kx);

            if (iw != AXIS_OUTSIDE)
                add_row(count, x + ((size_t)ih * s->w + (size_t)iw) * count, y);
        }
    }
    for (size_t j = 0; j < count; j++)
        y[j] *= share;
}

void pooling_avg_forward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *x, real *y)
{
    for (uint32_t oh = row0; oh < row1; oh++)
        for (uint32_t ow = 0; ow < s->ow; ow++)
            avg_pixel(s, oh, ow, x, y + ((size_t)oh * s->ow + ow) * s->n * s->c);
}

/* dx += dy where the window chose this tap */
static void chosen_row(size_t count, const real *dy, const real *tap, real index, real *dx)
{
    for (size_t j = 0; j < count; j++)
        dx[j] += tap[j] == index ? dy[j] : 0;
}

/* Adds to pixel (ih,iw) of dx from each window that holds it; tap NULL: the mean's share. */
static void gather_pixel(const PoolShape *s, uint32_t ih, uint32_t iw, const real *dy,
                         const real *tap, real *dx)
{
    Axis rows = rows_of(s), cols = cols_of(s);
    size_t count = (size_t)s->n * s->c;

    for (uint32_t ky = 0; ky < s->kernel; ky++) {
        int64_t oh = axis_output(&rows, ih, ky);

        for (uint32_t kx = 0; kx < s->kernel && oh != AXIS_OUTSIDE; kx++) {
            int64_t ow = axis_output(&cols, iw, kx);
            size_t at = ((size_t)oh * s->ow + (size_t)ow) * count;

            if (ow == AXIS_OUTSIDE)
                continue;
            if (tap != NULL)
                chosen_row(count, dy + at, tap + at, (real)(ky * s->kernel + kx), dx);
            else
                add_scaled_row(count,
                               1 / (real)(inside(&rows, s->kernel, (uint32_t)oh) *
                                          inside(&cols, s->kernel, (uint32_t)ow)),
                               dy + at, dx);
        }
    }
}

static void gather_rows(const PoolShape *s, uint32_t row0, uint32_t row1, const real *dy,
                        const real *tap, real *dx, bool accumulate)
{
    size_t count = (size_t)s->n * s->c, row = s->w * count;

    if (!accumulate)
        memset(dx + row0 * row, 0, (row1 - row0) * row * sizeof *dx);
    for (uint32_t ih = row0; ih < row1; ih++)
        for (uint32_t iw = 0; iw < s->w; iw++)
            gather_pixel(s, ih, iw, dy, tap, dx + ih * row + iw * count);
}

void pooling_max_backward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *dy,
                          const real *tap, real *dx, bool accumulate)
{
    gather_rows(s, row0, row1, dy, tap, dx, accumulate);
}

void pooling_avg_backward(const PoolShape *s, uint32_t row0, uint32_t row1, const real *dy,
                          real *dx, bool accumulate)
{
    gather_rows(s, row0, row1, dy, NULL, dx, accumulate);
}
