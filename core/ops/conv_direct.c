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

typedef struct Cut {
    const OpCall *call;
    const ConvShape *s; /* of a full block */
    const real *bias;
    const ConvFinish *finish;
    uint32_t images, blocks, group, groups; /* rows of a group, groups of a block */
    uint32_t slice, slices;                 /* channels of a slice */
} Cut;

static Cut cut_of(const OpCall *call, const ConvShape *s)
{
    Cut cut = { .call = call, .s = s, .images = call->out.shape.dim[0] };
    uint32_t n = cut.images < BLOCK_IMAGES ? cut.images : BLOCK_IMAGES;

    cut.blocks = block_count(cut.images);
    cut.group = (UNIT_ROWS + n * s->ow - 1) / (n * s->ow);
    cut.groups = (s->oh + cut.group - 1) / cut.group;
    cut.slice = DIRECT_CHANNELS_MAX;
    if ((size_t)cut.blocks * cut.groups * (s->out / cut.slice) < UNITS_MIN)
        cut.slice = DIRECT_CHANNELS;
    cut.slices = (s->out + cut.slice - 1) / cut.slice;
    return cut;
}

static void forward_unit(void *context, size_t unit)
{
    const Cut *cut = context;
    const ConvFinish *f = cut->finish;
    size_t parts = (size_t)cut->blocks * cut->groups;
    uint32_t out0 = (uint32_t)(unit / parts) * cut->slice,
             out1 = cut->s->out - out0 < cut->slice ? cut->s->out : out0 + cut->slice,
             block = (uint32_t)(unit % parts / cut->groups),
             row0 = (uint32_t)(unit % cut->groups) * cut->group,
             row1 = cut->s->oh - row0 < cut->group ? cut->s->oh : row0 + cut->group;
    ConvShape s = *cut->s;
    size_t before = (size_t)block * BLOCK_IMAGES, at = before * s.oh * s.ow * s.out, row;

    s.n = block_images(cut->images, block);
    cut->call->kernels->direct_forward(&s, row0, row1, out0, out1,
                                       cut->call->in[0].data + before * s.h * s.w * s.in,
                                       cut->call->weight[0], cut->bias, cut->call->out.data + at);
    if (f == NULL)
        return;
    row = (size_t)s.ow * s.n;
    at += row0 * row * s.out + out0;
    cut->call->kernels->norm_slice((row1 - row0) * row, out1 - out0, s.out, f->scale + out0,
                                   f->shift + out0, f->z != NULL ? f->z + at : NULL, f->relu,
                                   cut->call->out.data + at);
}

void conv_direct_forward(const OpCall *call, const ConvShape *s, const real *bias,
                         const ConvFinish *finish)
{
    Cut cut = cut_of(call, s);

    cut.bias = bias;
    cut.finish = finish;
    pool_run(call->pool, (size_t)cut.slices * cut.blocks * cut.groups, forward_unit, &cut);
}
