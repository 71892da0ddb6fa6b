/*
 * Forward, and the gradient of the input: the weights are transformed once into scratch; then each
 * worker takes chunks of tiles, transforms them, multiplies and transforms back, in working memory
 * of its own that stays in its cache from chunk to chunk. Which worker computes a chunk does not
 * matter for the numbers, so chunks are taken one by one; there is memory for some workers only.
 *
 * Where there are fewer rows than output channels, the input is smaller than the weights: then it
 * is the input that is transformed once, and a chunk is some output channels of all tiles, whose
 * weights are transformed where they are used and never leave the cache.
 *
 * The gradient of the weights: a unit is (group of tiles, part of the input channels, part of the
 * output channels), whose sums over the 36 positions stay in cache, and which alone writes its part
 * of the group's gradient. Groups are made where there are not parts enough for many threads; then
 * they are added in order.
 */
#include "core/ops/conv_winograd.h"

#include <stdatomic.h>

enum {
    WORKERS_MIN = 4, /* that there is memory for */
    WORKERS_MAX = 32,
    CHUNK_NUMBERS = 1 << 18, /* of working memory: what stays in a core's second cache */
    SLICE = 32,              /* output channels of a chunk, where it is of channels */
    CHUNK_TILES_MIN = 4,     /* so that reading the weights pays */
    /* Of the weights' gradient: a part's channels - wide parts transform less often, narrow ones
     * have sums that fit the cache -, rows that make up for clearing and transforming a unit's
     * sums, and units for the threads. */
    PART_MAX = 128,
    PART_MIN = 64,
    UNIT_ROWS = 256,
    UNITS_MIN = 8,
    /* See conv_winograd_pays(). */
    TRANSFORM = 500,
    ROWS_MIN = 8,
    WEIGHTS_ROWS_MIN = 32,
    TAPS = 9,
};

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static bool fits(const ConvShape *s)
{
    return s->kernel_h == 3 && s->kernel_w == 3 && s->stride == 1 && s->dilation == 1 &&
           s->groups == 1 && s->padding_h <= WINOGRAD_PADDING_MAX &&
           s->padding_w <= WINOGRAD_PADDING_MAX && s->in % WINOGRAD_CHANNELS == 0 &&
           s->out % WINOGRAD_CHANNELS == 0;
}

/* The input's gradient is the convolution of the output's with the weights turned round. */
static WinogradShape shape_of(const ConvShape *s, uint32_t images, ConvPass pass)
{
    if (pass == CONV_DATA)
        return (WinogradShape){ images,           s->oh,           s->ow, s->out, s->h, s->w, s->in,
                                2 - s->padding_h, 2 - s->padding_w };
    return (WinogradShape){ images, s->h,   s->w,         s->in,       s->oh,
                            s->ow,  s->out, s->padding_h, s->padding_w };
}

/* Along one side: the pairs of an output and a tap that meet an input. */
static size_t meetings(uint32_t size, uint32_t out, uint32_t padding)
{
    size_t count = 0;

    for (uint32_t tap = 0; tap < 3; tap++) {
        uint32_t first = padding > tap ? padding - tap : 0, end = least(out, size + padding - tap);

        count += end > first ? end - first : 0;
    }
    return count;
}

/*
 * Two things speak against it. Tiles that are cut or lie in the padding cost as much as others,
 * while tap by tap nothing is multiplied with zeros: so multiplies must fall by a third at least
 * (the transforms take a quarter of the time). And few rows (images of tiles) do not make up for
 * transforming the weights or their sums: forward, where the other way is a fast one (conv_direct),
 * what is saved beyond that third must be worth TRANSFORM multiplies for each weight. Measured at 1
 * to 128 images of 4x4 to 32x32 pixels with 32 to 512 channels.
 */
bool conv_winograd_pays(const ConvShape *s, uint32_t images, ConvPass pass)
{
    WinogradShape p;
    size_t tiles, tap_by_tap, least_saving;

    if (!fits(s))
        return false;
    p = shape_of(s, images, pass);
    tiles = winograd_block_tiles(&p);
    tap_by_tap = meetings(p.h, p.oh, p.padding_h) * meetings(p.w, p.ow, p.padding_w);
    least_saving = WINOGRAD_POSITIONS * tiles * 3 / 2;
    if (pass == CONV_FORWARD)
        return tap_by_tap > least_saving && images * (tap_by_tap - least_saving) >= TRANSFORM;
    return images * tiles >= (pass == CONV_WEIGHTS ? WEIGHTS_ROWS_MIN : ROWS_MIN) &&
           tap_by_tap >= least_saving;
}

double conv_winograd_spared(const ConvShape *s, uint32_t images, ConvPass pass)
{
    double products = 2.0 * images * s->in * s->out;
    WinogradShape p;

    if (!conv_winograd_pays(s, images, pass))
        return 0;
    p = shape_of(s, images, pass);
    return products * ((double)TAPS * s->oh * s->ow -
                       (double)WINOGRAD_POSITIONS * (double)winograd_block_tiles(&p));
}

/* Workers for so many parts of the work, each with so much memory: not more than input and output
 * take. */
static size_t worker_count(const WinogradShape *s, size_t parts, size_t numbers)
{
    size_t plane = s->images * ((size_t)s->h * s->w * s->in + (size_t)s->oh * s->ow * s->out),
           most = plane / numbers;

    most = most < WORKERS_MIN ? WORKERS_MIN : most > WORKERS_MAX ? WORKERS_MAX : most;
    return parts < most ? parts : most;
}

/* ---- Forward, and the gradient of the input ---- */

typedef struct Tiles {
    const OpCall *call;
    WinogradShape s;
    bool flipped, accumulate;
    const real *x, *w, *bias;
    const ConvFinish *finish;
    real *y, *u, *work;
    size_t tiles, chunk; /* all, and of a chunk */
    bool by_channels;    /* a chunk is SLICE output channels of all tiles, and u the input */
    size_t chunks, workers, worker_numbers;
    atomic_size_t next;
} Tiles;

static void cut_tiles(const WinogradShape *s, Tiles *ret)
{
    size_t numbers = winograd_tiles_numbers(s, 1);

    ret->s = *s;
    ret->tiles = winograd_all_tiles(s);
    ret->by_channels = winograd_rows(s, 0, ret->tiles) < s->out;
    if (ret->by_channels) {
        ret->chunks = (s->out + SLICE - 1) / SLICE;
        ret->worker_numbers = winograd_channels_numbers(s, least(SLICE, s->out));
    } else {
        ret->chunk =
            CHUNK_NUMBERS / numbers > CHUNK_TILES_MIN ? CHUNK_NUMBERS / numbers : CHUNK_TILES_MIN;
        if (ret->chunk > ret->tiles)
            ret->chunk = ret->tiles;
        ret->chunks = (ret->tiles + ret->chunk - 1) / ret->chunk;
        ret->worker_numbers = winograd_tiles_numbers(s, ret->chunk);
    }
    ret->workers = worker_count(s, ret->chunks, ret->worker_numbers);
}

/* Numbers that all workers read: the transformed weights, or the transformed input. */
static size_t shared_numbers(const Tiles *t)
{
    return t->by_channels ? winograd_input_numbers(&t->s) : winograd_weight_numbers(&t->s);
}

/* Unit: some input channels' weights. */
static void weights_unit(void *context, size_t unit)
{
    const Tiles *t = context;
    uint32_t in = (uint32_t)unit * WINOGRAD_CHANNELS;

    t->call->kernels->winograd_weights(&t->s, t->flipped, in, in + WINOGRAD_CHANNELS, t->w, t->u);
}

/* Unit: a tile's input. */
static void input_unit(void *context, size_t unit)
{
    const Tiles *t = context;

    t->call->kernels->winograd_inputs(&t->s, unit, unit + 1, t->x, t->u);
}

/* Output channels [out0,out1) of tiles [tile0,tile1), which are in cache. */
static void finish_tiles(const Tiles *t, size_t tile0, size_t tile1, uint32_t out0, uint32_t out1)
{
    const ConvFinish *f = t->finish;
    const WinogradShape *s = &t->s;

    for (size_t i = tile0; i < tile1 && f != NULL; i++) {
        WinogradTile tile = winograd_tile(s, i);
        uint32_t cols = least(WINOGRAD_TILE, s->ow - tile.col),
                 end = least(tile.row + WINOGRAD_TILE, s->oh);

        for (uint32_t row = tile.row; row < end; row++) {
            size_t pixel = tile.before * s->oh * s->ow + ((size_t)row * s->ow + tile.col) * tile.n,
                   at = pixel * s->out + out0;

            t->call->kernels->norm_slice((size_t)cols * tile.n, out1 - out0, s->out,
                                         f->scale + out0, f->shift + out0,
                                         f->z != NULL ? f->z + at : NULL, f->relu, t->y + at);
        }
    }
}

static void tiles_chunk(const Tiles *t, size_t chunk, real *work)
{
    size_t tile = chunk * t->chunk, end = tile + t->chunk;

    end = end < t->tiles ? end : t->tiles;
    t->call->kernels->winograd_tiles(&t->s, tile, end, t->x, t->u, t->bias, t->accumulate, t->y,
                                     work);
    finish_tiles(t, tile, end, 0, t->s.out);
}

static void channels_chunk(const Tiles *t, size_t chunk, real *work)
{
    uint32_t out = (uint32_t)chunk * SLICE, end = least(out + SLICE, t->s.out);

    t->call->kernels->winograd_channels(&t->s, t->flipped, out, end, t->u, t->w, t->bias,
                                        t->accumulate, t->y, work);
    finish_tiles(t, 0, t->tiles, out, end);
}

/* Unit: a worker, not a part of the work. */
static void worker_unit(void *context, size_t worker)
{
    Tiles *t = context;
    size_t chunk;

    while ((chunk = atomic_fetch_add(&t->next, 1)) < t->chunks)
        (t->by_channels ? channels_chunk : tiles_chunk)(t, chunk,
                                                        t->work + worker * t->worker_numbers);
}

static void run_tiles(Tiles *t)
{
    t->u = t->call->scratch;
    t->work = t->u + shared_numbers(t);
    atomic_init(&t->next, 0);
    if (t->by_channels)
        pool_run(t->call->pool, t->tiles, input_unit, t);
    else
        pool_run(t->call->pool, t->s.in / WINOGRAD_CHANNELS, weights_unit, t);
    pool_run(t->call->pool, t->workers, worker_unit, t);
}

void conv_winograd_forward(const OpCall *call, const ConvShape *s, const real *bias,
                           const ConvFinish *finish)
{
    WinogradShape shape = shape_of(s, call->out.shape.dim[0], CONV_FORWARD);
    Tiles tiles = { .call = call,
                    .x = call->in[0].data,
                    .w = call->weight[0],
                    .bias = bias,
                    .finish = finish,
                    .y = call->out.data };

    cut_tiles(&shape, &tiles);
    run_tiles(&tiles);
}

void conv_winograd_data(const OpCall *call, const ConvShape *s)
{
    WinogradShape shape = shape_of(s, call->out.shape.dim[0], CONV_DATA);
    Tiles tiles = { .call = call,
                    .flipped = true,
                    .accumulate = call->accumulate[0],
                    .x = call->out_gradient,
                    .w = call->weight[0],
                    .y = call->in_gradient[0] };

    cut_tiles(&shape, &tiles);
    run_tiles(&tiles);
}

/* ---- The gradient of the weights ---- */

typedef struct Gradient {
    const OpCall *call;
    WinogradShape s;
    uint32_t ins, outs; /* channels of a part */
    size_t in_parts, out_parts, parts;
    size_t tiles, group, groups; /* all, of a group, and how many groups */
    size_t dw_numbers, unit_numbers, units, workers;
    real *partial, *work;
    atomic_size_t next;
} Gradient;

/* `channels` in equal parts of at most `most`. */
static uint32_t part_of(uint32_t channels, uint32_t most)
{
    uint32_t parts = (channels + most - 1) / most,
             whole = (channels / WINOGRAD_CHANNELS + parts - 1) / parts;

    return whole * WINOGRAD_CHANNELS;
}

static void cut_parts(Gradient *g, uint32_t most)
{
    g->ins = part_of(g->s.in, most);
    g->outs = part_of(g->s.out, most);
    g->in_parts = (g->s.in + g->ins - 1) / g->ins;
    g->out_parts = (g->s.out + g->outs - 1) / g->outs;
    g->parts = g->in_parts * g->out_parts;
}

static void cut_gradient(const WinogradShape *s, Gradient *ret)
{
    size_t rows, units, groups;

    ret->s = *s;
    ret->tiles = winograd_all_tiles(s);
    rows = winograd_rows(s, 0, ret->tiles);
    cut_parts(ret, PART_MAX);
    if (rows * ret->parts < UNIT_ROWS * UNITS_MIN)
        cut_parts(ret, PART_MIN);
    units = rows * ret->parts / UNIT_ROWS;
    units = units < UNITS_MIN ? UNITS_MIN : units > WORKERS_MAX ? WORKERS_MAX : units;
    groups = (units + ret->parts - 1) / ret->parts;
    ret->group = (ret->tiles + groups - 1) / groups;
    ret->groups = (ret->tiles + ret->group - 1) / ret->group;
    ret->dw_numbers = (size_t)TAPS * s->in * s->out;
    ret->unit_numbers = winograd_gradient_numbers(ret->ins, ret->outs);
    ret->units = ret->groups * ret->parts;
    ret->workers = worker_count(s, ret->units, ret->unit_numbers);
}

static size_t partial_numbers(const Gradient *g)
{
    return g->groups > 1 ? g->groups * g->dw_numbers : 0;
}

static void gradient_part(const Gradient *g, size_t unit, real *work)
{
    size_t group = unit / g->parts, part = unit % g->parts;
    uint32_t in = (uint32_t)(part / g->out_parts) * g->ins,
             out = (uint32_t)(part % g->out_parts) * g->outs;
    size_t tile = group * g->group, end = tile + g->group;
    WinogradPart p = { .tile0 = tile,
                       .tile1 = end < g->tiles ? end : g->tiles,
                       .in0 = in,
                       .in1 = least(in + g->ins, g->s.in),
                       .out0 = out,
                       .out1 = least(out + g->outs, g->s.out) };
    bool alone = g->groups == 1;

    g->call->kernels->winograd_gradient(
        &g->s, &p, g->call->in[0].data, g->call->out_gradient, alone,
        alone ? g->call->weight_gradient[0] : g->partial + group * g->dw_numbers, work);
}

/* Unit: a worker, as above. */
static void gradient_unit(void *context, size_t worker)
{
    Gradient *g = context;
    size_t unit;

    while ((unit = atomic_fetch_add(&g->next, 1)) < g->units)
        gradient_part(g, unit, g->work + worker * g->unit_numbers);
}

/* Unit = tap: adds the groups' gradients in order. */
static void reduce_unit(void *context, size_t tap)
{
    const Gradient *g = context;
    size_t count = g->dw_numbers / TAPS;
    real *dw = g->call->weight_gradient[0] + tap * count;

    for (size_t group = 0; group < g->groups; group++)
        g->call->kernels->add(count, dw, g->partial + group * g->dw_numbers + tap * count, dw);
}

void conv_winograd_weights(const OpCall *call, const ConvShape *s)
{
    WinogradShape shape = shape_of(s, call->out.shape.dim[0], CONV_WEIGHTS);
    Gradient g = { .call = call };

    cut_gradient(&shape, &g);
    g.partial = call->scratch;
    g.work = g.partial + partial_numbers(&g);
    atomic_init(&g.next, 0);
    pool_run(call->pool, g.workers, gradient_unit, &g);
    if (g.groups > 1)
        pool_run(call->pool, TAPS, reduce_unit, &g);
}

size_t conv_winograd_scratch(const ConvShape *s, uint32_t images, ConvPass pass)
{
    WinogradShape shape = shape_of(s, images, pass);
    size_t numbers;

    if (pass == CONV_WEIGHTS) {
        Gradient g;

        cut_gradient(&shape, &g);
        numbers = partial_numbers(&g) + g.workers * g.unit_numbers;
    } else {
        Tiles t;

        cut_tiles(&shape, &t);
        numbers = shared_numbers(&t) + t.workers * t.worker_numbers;
    }
    return numbers * sizeof(real);
}
