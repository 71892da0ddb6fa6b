/* About 64 Ki numbers a unit: blocks are whole images, so a block has at least one unit. */
#include "core/ops/pixels.h"

enum { UNIT_NUMBERS = 65536 };

typedef struct Sizes {
    size_t pixels, c, group; /* pixels of an image, and of a unit */
} Sizes;

static Sizes sizes_of(const Shape *x)
{
    uint32_t images = x->dim[0] < BLOCK_IMAGES ? x->dim[0] : BLOCK_IMAGES;
    Sizes s = { .pixels = x->rank == 4 ? (size_t)x->dim[1] * x->dim[2] : 1,
                .c = x->dim[x->rank - 1] };

    s.group = UNIT_NUMBERS / (images * s.c);
    if (s.group == 0)
        s.group = 1;
    return s;
}

size_t pixel_units_of_block(const Shape *x)
{
    Sizes s = sizes_of(x);

    return (s.pixels + s.group - 1) / s.group;
}

size_t pixel_units(const Shape *x)
{
    return block_count(x->dim[0]) * pixel_units_of_block(x);
}

PixelUnit pixel_unit(const Shape *x, size_t u)
{
    Sizes s = sizes_of(x);
    size_t each = pixel_units_of_block(x), block = u / each, first = u % each * s.group;
    PixelUnit ret = { .image = (uint32_t)block * BLOCK_IMAGES,
                      .images = block_images(x->dim[0], (uint32_t)block),
                      .first = first,
                      .factor = block * BLOCK_IMAGES * s.c };

    ret.nc = ret.images * s.c;
    ret.pixels = s.pixels - first < s.group ? s.pixels - first : s.group;
    ret.at = ret.factor * s.pixels + first * ret.nc;
    return ret;
}

/* A block of Philox is four words, and the number of the block the lowest word of the counter. */
Rng pixel_rng(const OpCall *call, uint32_t image, size_t word)
{
    Rng rng = op_rng(call, image);

    rng.counter[0] = (uint32_t)(word / 4);
    for (size_t i = 0; i < word % 4; i++)
        (void)rng_u32(&rng);
    return rng;
}

void pixel_factors(const Shape *x, uint32_t image, real factor, real *ret)
{
    size_t c = x->dim[x->rank - 1];

    for (size_t j = 0; j < c; j++)
        ret[image * c + j] = factor;
}
