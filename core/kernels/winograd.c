/*
 * Winograd's convolution F(4x4,3x3) of one family (Lavin and Gray, 2016): 4x4 output pixels from
 * 6x6 input pixels with 36 multiplies instead of 144. With the points 0, a, -a, b, -b and infinity,
 * y = A^T [ (G g G^T) * (B^T d B) ] A, where * is by position; summed over input channels, each of
 * the 36 positions is a matrix product.
 *
 * A pixel of the blocked layout is a row of n*C numbers, so transforms are linear combinations of
 * rows: V [36][rows,in] from the input, where the rows are the images of the tiles; the products
 * M [36][rows,out] with the transformed weights U; then y from M. The gradient of the input is the
 * same with the weights flipped and transposed; that of the weights is the adjoint in the weights,
 * g = G^T [ sum of (B^T d B) * (A dy A^T) ] G.
 *
 * The products have a kernel of their own, because U is transformed once and can lie in the order
 * in which it is read, panels of columns that stay in cache, and V and M never leave the cache.
 * Each position begins WINOGRAD_PAD numbers later than it would, so that the 36 do not fall on one
 * set of the cache.
 */
#include <string.h>

#include "core/kernels/family.h"
#include "core/kernels/panels.h"
#include "core/kernels/winograd_lines.h"

enum {
    OUT = WINOGRAD_TILE,
    POSITIONS = WINOGRAD_POSITIONS,
    LINE = 1024, /* numbers of a pixel that are transformed at a time */
    GATHER = 16, /* source channels whose weights are transposed at a time */
};

static const real zeros[LINE];

/* dst (36 positions `step` apart) [0,size) = the transform of side*side pixels. */
INLINE void spread(Line *line, int side, const real *const *pixel, size_t size, size_t step,
                   real *dst)
{
    for (size_t j = 0; j < size; j += LANES) {
        Lanes d[POSITIONS], done[POSITIONS];

#pragma GCC unroll 36
        for (int i = 0; i < side * side; i++)
            d[i] = lanes_load(pixel[i] + j);
        transform(line, side, IN, d, done);
#pragma GCC unroll 36
        for (int i = 0; i < POSITIONS; i++)
            lanes_store(dst + (size_t)i * step + j, done[i]);
    }
}

static void spread_input(const real *const *pixel, size_t size, size_t step, real *dst)
{
    spread(input_line, IN, pixel, size, step, dst);
}

static void spread_gradient(const real *const *pixel, size_t size, size_t step, real *dst)
{
    spread(gradient_line, OUT, pixel, size, step, dst);
}

/* One plane of pixels, [block][height][width][n][channels], of which [c0,c0+size) are wanted. */
typedef struct Plane {
    const real *data;
    uint32_t height, width, channels, c0, size;
} Plane;

/* The transform of side*side pixels from (row,col) on, zeros outside; into rows of p->size
 * numbers. A pixel is one line where all channels are wanted, else a line an image. */
static void spread_tile(const Plane *p, const WinogradTile *t, int64_t row, int64_t col, int side,
                        size_t step, real *dst)
{
    size_t pixel = (size_t)t->n * p->channels;
    const real *block = p->data + t->before * p->height * p->width * p->channels;
    bool whole = p->size == p->channels;
    size_t lines = whole ? 1 : t->n, line = whole ? pixel : p->size;

    for (size_t j = 0; j < line; j += LINE) {
        const real *from[POSITIONS];
        size_t next[POSITIONS], size = line - j < LINE ? line - j : LINE;

        for (int k = 0; k < side * side; k++) {
            int64_t y = row + k / side, x = col + k % side;
            bool there = y >= 0 && y < p->height && x >= 0 && x < p->width;

            from[k] =
                there ? block + ((size_t)y * p->width + (size_t)x) * pixel + p->c0 + j : zeros;
            next[k] = there ? p->channels : 0;
        }
        for (size_t i = 0; i < lines; i++) {
            (side == IN ? spread_input : spread_gradient)(from, size, step, dst + i * line + j);
            for (int k = 0; k < side * side && i + 1 < lines; k++)
                from[k] += next[k];
        }
    }
}

static void spread_inputs(const WinogradShape *s, const Plane *p, size_t tile0, size_t tile1,
                          size_t step, real *v)
{
    for (size_t tile = tile0; tile < tile1; tile++) {
        WinogradTile t = winograd_tile(s, tile);

        spread_tile(p, &t, (int64_t)t.row - s->padding_h, (int64_t)t.col - s->padding_w, IN, step,
                    v);
        v += (size_t)t.n * p->size;
    }
}

/* Rows of a follow one another. */
static void product_plain(const Product *p, size_t rows)
{
    product(p, rows, p->row_step);
}

/* a is transposed: its rows are neighbours. */
static void product_transposed(const Product *p, size_t rows)
{
    product(p, rows, 1);
}

/* ---- Weights ---- */

/* U of LANES columns at `at`, a position [panels][in][PANEL] wide. */
INLINE void spread_weights(const real *const *tap, size_t step, real *u)
{
    Lanes g[9], done[POSITIONS];

#pragma GCC unroll 9
    for (int t = 0; t < 9; t++)
        g[t] = lanes_load(tap[t]);
    transform(weights_line, 3, IN, g, done);
#pragma GCC unroll 36
    for (int i = 0; i < POSITIONS; i++)
        lanes_store(u + (size_t)i * step, done[i]);
}

/* Weights of `ins` input channels, each to `outs` output channels; in a position of u, panels of
 * output channels, and in a panel the input channels. */
typedef struct Weights {
    size_t ins, outs;
    real *u;
} Weights;

/* Where channel `in`'s weights to the channels from `out` on lie in a position. */
static size_t weight_at(const Weights *t, size_t in, size_t out)
{
    return (out / PANEL * t->ins + in) * PANEL + out % PANEL;
}

static void weights_straight(const WinogradShape *s, const WinogradPart *p, const real *w,
                             const Weights *to)
{
    size_t taps = (size_t)s->in * s->out, step = winograd_step(to->ins, to->outs);

    for (uint32_t out = p->out0; out < p->out1; out += LANES)
        for (uint32_t in = p->in0; in < p->in1; in++) {
            const real *tap[9];

            for (int t = 0; t < 9; t++)
                tap[t] = w + (size_t)t * taps + (size_t)in * s->out + out;
            spread_weights(tap, step, to->u + weight_at(to, in, out - p->out0));
        }
}

/* Of the convolution whose outputs are our inputs: w [3,3,out,in]. */
static void weights_flipped(const WinogradShape *s, const WinogradPart *p, const real *w,
                            const Weights *to)
{
    size_t taps = (size_t)s->in * s->out, step = winograd_step(to->ins, to->outs);
    real turned[9][GATHER][LANES];

    for (uint32_t out = p->out0; out < p->out1; out += LANES)
        for (uint32_t in = p->in0; in < p->in1; in += GATHER) {
            for (int t = 0; t < 9; t++)
                for (size_t o = 0; o < LANES; o++)
                    for (uint32_t i = 0; i < GATHER; i++)
                        turned[8 - t][i][o] = w[(size_t)t * taps + (out + o) * s->in + in + i];
            for (uint32_t i = 0; i < GATHER; i++) {
                const real *tap[9];

                for (int t = 0; t < 9; t++)
                    tap[t] = turned[t][i];
                spread_weights(tap, step, to->u + weight_at(to, in + i, out - p->out0));
            }
        }
}

void winograd_transform(const WinogradShape *s, bool flipped, uint32_t in0, uint32_t in1,
                        const real *w, real *u)
{
    const WinogradPart part = { .in0 = in0, .in1 = in1, .out1 = s->out };

    (flipped ? weights_flipped : weights_straight)(s, &part, w, &(Weights){ s->in, s->out, u });
}

/* ---- Forward, and the gradient of the input ---- */

/* What becomes of the sums of one tile. */
typedef struct Target {
    real *pixel[OUT * OUT]; /* NULL: outside */
    bool add;
} Target;

/* LANES numbers of every pixel, from m, at number `at` of a pixel. */
INLINE void gather_numbers(const Target *to, const real *m, size_t step, size_t at,
                           const real *bias)
{
    Lanes d[POSITIONS], done[OUT * OUT];

#pragma GCC unroll 36
    for (int i = 0; i < POSITIONS; i++)
        d[i] = lanes_load(m + (size_t)i * step);
    transform(output_line, IN, OUT, d, done);
#pragma GCC unroll 16
    for (int i = 0; i < OUT * OUT; i++) {
        if (to->pixel[i] == NULL)
            continue;
        if (bias != NULL)
            done[i] += lanes_load(bias);
        if (to->add)
            done[i] += lanes_load(to->pixel[i] + at);
        lanes_store(to->pixel[i] + at, done[i]);
    }
}

/* Output channels [out0,out0+outs) of one tile. */
static void gather_tile(const WinogradShape *s, const WinogradTile *t, size_t out0, size_t outs,
                        const real *m, size_t step, const real *bias, bool add, real *y)
{
    size_t pixel = (size_t)t->n * s->out;
    real *block = y + t->before * s->oh * s->ow * s->out;
    Target to = { .add = add };

    for (uint32_t k = 0; k < OUT * OUT; k++) {
        uint32_t row = t->row + k / OUT, col = t->col + k % OUT;

        if (row < s->oh && col < s->ow)
            to.pixel[k] = block + ((size_t)row * s->ow + col) * pixel + out0;
    }
    for (size_t i = 0; i < t->n; i++)
        for (size_t o = 0; o < outs; o += LANES)
            gather_numbers(&to, m + i * outs + o, step, i * s->out + o,
                           bias != NULL ? bias + out0 + o : NULL);
}

/* Output channels [out0,out0+outs) of tiles [tile0,tile1) from the transformed
 * input v; u: the weights between all input channels and those outputs; m: working memory. */
typedef struct Multiply {
    size_t tile0, tile1, out0, outs;
    const real *v, *u, *bias;
    size_t v_step;
    real *m;
    bool add;
} Multiply;

static void multiply_and_gather(const WinogradShape *s, const Multiply *c, real *y)
{
    size_t rows = winograd_rows(s, c->tile0, c->tile1), step = winograd_step(rows, c->outs);
    const Weights weights = { .ins = s->in };
    real *m = c->m;

    for (size_t i = 0; i < POSITIONS; i++)
        for (size_t out = 0; out < c->outs; out += PANEL) {
            Product p = { .depth = s->in,
                          .a = c->v + i * c->v_step,
                          .row_step = s->in,
                          .depth_step = 1,
                          .b = c->u + i * winograd_step(s->in, c->outs) +
                               weight_at(&weights, 0, out),
                          .b_step = PANEL,
                          .c = m + i * step + out,
                          .c_step = c->outs };

            product_plain(&p, rows);
        }
    for (size_t tile = c->tile0; tile < c->tile1; tile++) {
        WinogradTile t = winograd_tile(s, tile);

        gather_tile(s, &t, c->out0, c->outs, m, step, c->bias, c->add, y);
        m += (size_t)t.n * c->outs;
    }
}

void winograd_convolve(const WinogradShape *s, size_t tile0, size_t tile1, const real *x,
                       const real *u, const real *bias, bool add, real *y, real *work)
{
    size_t step = winograd_step(winograd_rows(s, tile0, tile1), s->in);
    Plane plane = { x, s->h, s->w, s->in, 0, s->in };
    Multiply c = { tile0, tile1, 0, s->out, work, u, bias, step, work + POSITIONS * step, add };

    spread_inputs(s, &plane, tile0, tile1, step, work);
    multiply_and_gather(s, &c, y);
}

void winograd_spread(const WinogradShape *s, size_t tile0, size_t tile1, const real *x, real *v)
{
    Plane plane = { x, s->h, s->w, s->in, 0, s->in };

    spread_inputs(s, &plane, tile0, tile1,
                  winograd_step(winograd_rows(s, 0, winograd_all_tiles(s)), s->in),
                  v + winograd_rows(s, 0, tile0) * s->in);
}

void winograd_outputs(const WinogradShape *s, bool flipped, uint32_t out0, uint32_t out1,
                      const real *v, const real *w, const real *bias, bool add, real *y, real *work)
{
    size_t tiles = winograd_all_tiles(s), outs = out1 - out0,
           v_step = winograd_step(winograd_rows(s, 0, tiles), s->in);
    const WinogradPart part = { .in1 = s->in, .out0 = out0, .out1 = out1 };
    Multiply c = { 0,    tiles,  out0,
                   outs, v,      work,
                   bias, v_step, work + POSITIONS * winograd_step(s->in, outs),
                   add };

    (flipped ? weights_flipped : weights_straight)(s, &part, w, &(Weights){ s->in, outs, work });
    multiply_and_gather(s, &c, y);
}

/* ---- The gradient of the weights ---- */

/* sums [36][ins,outs] += V^T Z of one chunk of `rows` rows. */
static void add_products(size_t rows, size_t ins, size_t outs, const real *v, const real *z,
                         real *sums)
{
    for (size_t i = 0; i < POSITIONS; i++)
        for (size_t out = 0; out < outs; out += PANEL) {
            Product p = { .depth = rows,
                          .a = v + i * winograd_step(rows, ins),
                          .depth_step = ins,
                          .b = z + i * winograd_step(rows, outs) + out,
                          .b_step = outs,
                          .c = sums + i * winograd_step(ins, outs) + out,
                          .c_step = outs,
                          .add = true };

            product_transposed(&p, ins);
        }
}

/* The part's numbers of dw from the sums. */
static void gather_taps(const WinogradShape *s, const WinogradPart *p, const real *sums, bool add,
                        real *dw)
{
    size_t ins = p->in1 - p->in0, outs = p->out1 - p->out0, step = winograd_step(ins, outs);

    for (size_t i = 0; i < ins; i++)
        for (size_t o = 0; o < outs; o += LANES) {
            Lanes d[POSITIONS], done[9];

#pragma GCC unroll 36
            for (int k = 0; k < POSITIONS; k++)
                d[k] = lanes_load(sums + (size_t)k * step + i * outs + o);
            transform(taps_line, IN, 3, d, done);
            for (size_t t = 0; t < 9; t++) {
                real *at = dw + (t * s->in + p->in0 + i) * s->out + p->out0 + o;

                if (add)
                    done[t] += lanes_load(at);
                lanes_store(at, done[t]);
            }
        }
}

void winograd_differentiate(const WinogradShape *s, const WinogradPart *p, const real *x,
                            const real *dy, bool add, real *dw, real *work)
{
    size_t ins = p->in1 - p->in0, outs = p->out1 - p->out0;
    Plane in = { x, s->h, s->w, s->in, p->in0, (uint32_t)ins },
          out = { dy, s->oh, s->ow, s->out, p->out0, (uint32_t)outs };
    real *sums = work, *v = sums + POSITIONS * winograd_step(ins, outs),
         *z = v + POSITIONS * winograd_step(WINOGRAD_GRADIENT_ROWS, ins);

    memset(sums, 0, POSITIONS * winograd_step(ins, outs) * sizeof *sums);
    for (size_t tile = p->tile0; tile < p->tile1; tile += WINOGRAD_GRADIENT_TILES) {
        size_t end =
            tile + WINOGRAD_GRADIENT_TILES < p->tile1 ? tile + WINOGRAD_GRADIENT_TILES : p->tile1;
        size_t rows = winograd_rows(s, tile, end), at = 0;

        spread_inputs(s, &in, tile, end, winograd_step(rows, ins), v);
        for (size_t k = tile; k < end; k++) {
            WinogradTile t = winograd_tile(s, k);

            spread_tile(&out, &t, t.row, t.col, OUT, winograd_step(rows, outs), z + at);
            at += (size_t)t.n * outs;
        }
        add_products(rows, ins, outs, v, z, sums);
    }
    gather_taps(s, p, sums, add, dw);
}
