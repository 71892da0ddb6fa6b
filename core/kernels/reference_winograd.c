/*
 * What Winograd's kernels answer, without Winograd: "transformed" weights are the weights, and each
 * output pixel of a tile is the sum over its taps, in double.
 */
#include "core/kernels/reference.h"

enum { TAPS = 9, SIDE = 3 };

void reference_winograd_weights(const WinogradShape *s, bool flipped, uint32_t in0, uint32_t in1,
                                const real *w, real *u)
{
    for (size_t tap = 0; tap < TAPS; tap++)
        for (size_t i = in0; i < in1; i++)
            for (size_t o = 0; o < s->out; o++)
                u[(tap * s->in + i) * s->out + o] =
                    flipped ? w[((TAPS - 1 - tap) * s->out + o) * s->in + i]
                            : w[(tap * s->in + i) * s->out + o];
}

/* One output pixel and the image of its block; where the block begins, in images before it. */
typedef struct Pixel {
    uint32_t row, col, image, n;
    size_t before;
} Pixel;

typedef void PixelBody(const WinogradShape *s, const Pixel *pixel, const void *context);

static void each_pixel(const WinogradShape *s, size_t tile0, size_t tile1, PixelBody *body,
                       const void *context)
{
    uint32_t wide = winograd_side(s->ow);

    for (size_t tile = tile0; tile < tile1; tile++) {
        size_t block = tile / winograd_block_tiles(s), at = tile % winograd_block_tiles(s);
        Pixel p = { .n = block_images(s->images, (uint32_t)block), .before = block * BLOCK_IMAGES };

        for (uint32_t k = 0; k < WINOGRAD_TILE * WINOGRAD_TILE; k++) {
            p.row = (uint32_t)(at / wide) * WINOGRAD_TILE + k / WINOGRAD_TILE;
            p.col = (uint32_t)(at % wide) * WINOGRAD_TILE + k % WINOGRAD_TILE;
            for (p.image = 0; p.image < p.n && p.row < s->oh && p.col < s->ow; p.image++)
                body(s, &p, context);
        }
    }
}

/* The input's numbers that meet the pixel through `tap`, or NULL. */
static const real *input_of(const WinogradShape *s, const Pixel *p, uint32_t tap, const real *x)
{
    uint32_t row = p->row + tap / SIDE, col = p->col + tap % SIDE;

    if (row < s->padding_h || row - s->padding_h >= s->h || col < s->padding_w ||
        col - s->padding_w >= s->w)
        return NULL;
    row -= s->padding_h;
    col -= s->padding_w;
    return x + (p->before * s->h * s->w + ((size_t)row * s->w + col) * p->n + p->image) * s->in;
}

static size_t output_at(const WinogradShape *s, const Pixel *p)
{
    return (p->before * s->oh * s->ow + ((size_t)p->row * s->ow + p->col) * p->n + p->image) *
           s->out;
}

typedef struct Sums {
    const real *x, *u, *bias;
    real *ret;
    bool accumulate;
} Sums;

static void sum_pixel(const WinogradShape *s, const Pixel *p, const void *context)
{
    const Sums *c = context;
    real *y = c->ret + output_at(s, p);

    for (size_t o = 0; o < s->out; o++) {
        double sum = c->bias != NULL ? (double)c->bias[o] : 0;

        for (uint32_t tap = 0; tap < TAPS; tap++) {
            const real *x = input_of(s, p, tap, c->x);

            for (size_t i = 0; i < s->in && x != NULL; i++)
                sum += (double)x[i] * (double)c->u[(tap * s->in + i) * s->out + o];
        }
        y[o] = reference_put(y[o], sum, c->accumulate);
    }
}

void reference_winograd_tiles(const WinogradShape *s, size_t tile0, size_t tile1, const real *x,
                              const real *u, const real *bias, bool accumulate, real *y, real *work)
{
    Sums sums = { .x = x, .u = u, .bias = bias, .ret = y, .accumulate = accumulate };

    (void)work;
    each_pixel(s, tile0, tile1, sum_pixel, &sums);
}

enum { IN = WINOGRAD_TILE + SIDE - 1 };

/* v [36,rows,in]: the 6x6 input pixels of each tile, zeros outside. */
void reference_winograd_inputs(const WinogradShape *s, size_t tile0, size_t tile1, const real *x,
                               real *v)
{
    size_t rows = winograd_rows(s, 0, winograd_all_tiles(s)), at = winograd_rows(s, 0, tile0);
    uint32_t wide = winograd_side(s->ow);

    for (size_t tile = tile0; tile < tile1; tile++) {
        size_t block = tile / winograd_block_tiles(s), number = tile % winograd_block_tiles(s);
        Pixel p = { .n = block_images(s->images, (uint32_t)block), .before = block * BLOCK_IMAGES };

        for (p.image = 0; p.image < p.n; p.image++, at++)
            for (uint32_t k = 0; k < IN * IN; k++) {
                const real *from;

                p.row = (uint32_t)(number / wide) * WINOGRAD_TILE + k / IN;
                p.col = (uint32_t)(number % wide) * WINOGRAD_TILE + k % IN;
                from = input_of(s, &p, 0, x);
                for (size_t i = 0; i < s->in; i++)
                    v[(k * rows + at) * s->in + i] = from != NULL ? from[i] : 0;
            }
    }
}

void reference_winograd_channels(const WinogradShape *s, bool flipped, uint32_t out0, uint32_t out1,
                                 const real *v, const real *w, const real *bias, bool accumulate,
                                 real *y, real *work)
{
    size_t rows = winograd_rows(s, 0, winograd_all_tiles(s)), at = 0;
    uint32_t wide = winograd_side(s->ow);

    (void)work;
    for (size_t tile = 0; tile < winograd_all_tiles(s); tile++) {
        size_t block = tile / winograd_block_tiles(s), number = tile % winograd_block_tiles(s);
        Pixel p = { .n = block_images(s->images, (uint32_t)block), .before = block * BLOCK_IMAGES };

        for (p.image = 0; p.image < p.n; p.image++, at++)
            for (uint32_t k = 0; k < WINOGRAD_TILE * WINOGRAD_TILE; k++) {
                uint32_t row = k / WINOGRAD_TILE, col = k % WINOGRAD_TILE;

                p.row = (uint32_t)(number / wide) * WINOGRAD_TILE + row;
                p.col = (uint32_t)(number % wide) * WINOGRAD_TILE + col;
                for (size_t o = out0; o < out1 && p.row < s->oh && p.col < s->ow; o++) {
                    double sum = bias != NULL ? (double)bias[o] : 0;

                    for (uint32_t tap = 0; tap < TAPS; tap++) {
                        size_t from = (row + tap / SIDE) * IN + col + tap % SIDE;

                        for (size_t i = 0; i < s->in; i++)
                            sum += (double)v[(from * rows + at) * s->in + i] *
                                   (double)(flipped ? w[((TAPS - 1 - tap) * s->out + o) * s->in + i]
                                                    : w[(tap * s->in + i) * s->out + o]);
                    }
                    y[output_at(s, &p) + o] =
                        reference_put(y[output_at(s, &p) + o], sum, accumulate);
                }
            }
    }
}

/* One weight's gradient. */
typedef struct WeightSum {
    const real *x, *dy;
    uint32_t tap, in, out;
    double *sum;
} WeightSum;

static void add_pixel(const WinogradShape *s, const Pixel *p, const void *context)
{
    const WeightSum *c = context;
    const real *x = input_of(s, p, c->tap, c->x);

    if (x != NULL)
        *c->sum += (double)x[c->in] * (double)c->dy[output_at(s, p) + c->out];
}

void reference_winograd_gradient(const WinogradShape *s, const WinogradPart *part, const real *x,
                                 const real *dy, bool accumulate, real *dw, real *work)
{
    (void)work;
    for (uint32_t tap = 0; tap < TAPS; tap++)
        for (uint32_t i = part->in0; i < part->in1; i++)
            for (uint32_t o = part->out0; o < part->out1; o++) {
                real *at = dw + ((size_t)tap * s->in + i) * s->out + o;
                double sum = 0;

                each_pixel(s, part->tile0, part->tile1, add_pixel,
                           &(WeightSum){ x, dy, tap, i, o, &sum });
                *at = reference_put(*at, sum, accumulate);
            }
}
