/*
 * A unit is (some output channels, block of images, group of rows). Weights are what few images
 * read most of, so channels go slowest: units that follow one another find the same weights in
 * cache; and they are cut finer where there are not parts enough for many threads, so that one
 * image of the last layers, too, uses every core.
 */
#include "core/ops/conv_direct.h"

enum {
    UNIT_ROWS = 128, /* pixels times images; enough to make up for copying the weights */
    UNITS_MIN = 16,
    IN_MIN = 32, /* fewer input channels do not make up for listing the rows of a tap */
};

bool conv_direct_pays(const ConvShape *s)
{
    return s->groups == 1 && s->in >= IN_MIN && s->out % DIRECT_CHANNELS == 0;
}

bool conv_direct_data_pays(const ConvShape *s)
{
    return s->groups == 1 && s->out >= IN_MIN && s->in % DIRECT_CHANNELS == 0;
}

/* How one pass is cut; rows and channels are those of what it writes. */
typedef struct Cut {
    const OpCall *call;
    const ConvShape *s; /* of a full block */
    const real *bias;
    const ConvFinish *finish;
    uint32_t images, blocks, height, group, groups; /* rows of a group, groups of a block */
    uint32_t channels, slice, slices;               /* channels of a slice */
} Cut;

static Cut cut_of(const OpCall *call, const ConvShape *s, bool data)
{
    Cut cut = { .call = call, .s = s, .images = call->out.shape.dim[0] };
    uint32_t n = cut.images < BLOCK_IMAGES ? cut.images : BLOCK_IMAGES, width = data ? s->w : s->ow;

    cut.height = data ? s->h : s->oh;
    cut.channels = data ? s->in : s->out;
    cut.blocks = block_count(cut.images);
    cut.group = (UNIT_ROWS + n * width - 1) / (n * width);
    cut.groups = (cut.height + cut.group - 1) / cut.group;
    cut.slice = DIRECT_CHANNELS_MAX;
    if ((size_t)cut.blocks * cut.groups * (cut.channels / cut.slice) < UNITS_MIN)
        cut.slice = DIRECT_CHANNELS;
    cut.slices = (cut.channels + cut.slice - 1) / cut.slice;
    return cut;
}

/* What unit number `unit` does, and its block's shape. */
typedef struct Unit {
    ConvShape s;
    uint32_t channel0, channel1, row0, row1;
    size_t before; /* images in the blocks before */
} Unit;

static Unit unit_of(const Cut *cut, size_t unit)
{
    size_t parts = (size_t)cut->blocks * cut->groups;
    uint32_t slice = (uint32_t)(unit / parts), block = (uint32_t)(unit % parts / cut->groups);
    Unit u = { .s = *cut->s,
               .channel0 = slice * cut->slice,
               .row0 = (uint32_t)(unit % cut->groups) * cut->group,
               .before = (size_t)block * BLOCK_IMAGES };

    u.s.n = block_images(cut->images, block);
    u.channel1 = cut->channels - u.channel0 < cut->slice ? cut->channels : u.channel0 + cut->slice;
    u.row1 = cut->height - u.row0 < cut->group ? cut->height : u.row0 + cut->group;
    return u;
}

static size_t unit_count(const Cut *cut)
{
    return (size_t)cut->slices * cut->blocks * cut->groups;
}

static void forward_unit(void *context, size_t unit)
{
    const Cut *cut = context;
    const ConvFinish *f = cut->finish;
    Unit u = unit_of(cut, unit);
    const ConvShape *s = &u.s;
    size_t at = u.before * s->oh * s->ow * s->out, row = (size_t)s->ow * s->n;

    cut->call->kernels->direct_forward(s, u.row0, u.row1, u.channel0, u.channel1,
                                       cut->call->in[0].data + u.before * s->h * s->w * s->in,
                                       cut->call->weight[0], cut->bias, cut->call->out.data + at);
    if (f == NULL)
        return;
    at += u.row0 * row * s->out + u.channel0;
    cut->call->kernels->norm_slice(
        (u.row1 - u.row0) * row, u.channel1 - u.channel0, s->out, f->scale + u.channel0,
        f->shift + u.channel0, f->z != NULL ? f->z + at : NULL, f->relu, cut->call->out.data + at);
}

void conv_direct_forward(const OpCall *call, const ConvShape *s, const real *bias,
                         const ConvFinish *finish)
{
    Cut cut = cut_of(call, s, false);

    cut.bias = bias;
    cut.finish = finish;
    pool_run(call->pool, unit_count(&cut), forward_unit, &cut);
}

static void data_unit(void *context, size_t unit)
{
    const Cut *cut = context;
    Unit u = unit_of(cut, unit);
    const ConvShape *s = &u.s;

    cut->call->kernels->direct_data(
        s, u.row0, u.row1, u.channel0, u.channel1,
        cut->call->out_gradient + u.before * s->oh * s->ow * s->out, cut->call->weight[0],
        cut->call->in_gradient[0] + u.before * s->h * s->w * s->in, cut->call->accumulate[0]);
}

void conv_direct_data(const OpCall *call, const ConvShape *s)
{
    Cut cut = cut_of(call, s, true);

    pool_run(call->pool, unit_count(&cut), data_unit, &cut);
}
