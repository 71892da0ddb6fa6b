/* One loop over an image's pixels for each direction; image i lies in lane i % 16 of its block. */
#include "core/lease/group.h"

#include <string.h>

#include "core/data/heatmap.h"

/* One image of an array of `channels`: pixel p begins at data + at + p * stride. */
typedef struct Lane {
    size_t at, stride;
} Lane;

static Lane lane_of(const Group *g, uint32_t channels, size_t image)
{
    uint32_t block = (uint32_t)image / BLOCK_IMAGES, lane = (uint32_t)image % BLOCK_IMAGES;
    size_t pixels = (size_t)g->shape.dim[1] * g->shape.dim[2];

    return (Lane){ (block * BLOCK_IMAGES * pixels + lane) * channels,
                   (size_t)block_images(g->shape.dim[0], block) * channels };
}

typedef struct Work {
    const Group *group;
    const ReweightLine *line;
    uint32_t h, w;
    const real *images, *delta, *factors, *slope, *maps;
    real factor; /* where there are no `factors` */
    real *room, *to;
} Work;

static uint32_t maps_of(const Group *g)
{
    return g->maps == 0 ? 1 : g->maps;
}

uint32_t group_channels(const Group *g)
{
    uint32_t reweighted = g->input == COMPOSE_IMAGE ? 0 : maps_of(g);

    return g->shape.dim[3] * (reweighted + (g->input != COMPOSE_MAPS));
}

/* --- the input --- */

/* Appends c numbers; answers where to go on. */
static real *append(real *to, const real *from, real factor, uint32_t c)
{
    for (uint32_t i = 0; i < c; i++)
        to[i] = factor * from[i];
    return to + c;
}

static void join_image(void *context, size_t image)
{
    const Work *w = context;
    const Group *g = w->group;
    const uint32_t c = g->shape.dim[3];
    Lane from = lane_of(g, c, image), by = lane_of(g, maps_of(g), image),
         to = lane_of(g, group_channels(g), image);

    for (size_t p = 0; p < (size_t)g->shape.dim[1] * g->shape.dim[2]; p++) {
        const real *x = w->images + from.at + p * from.stride;
        real *out = w->to + to.at + p * to.stride;

        if (g->input != COMPOSE_MAPS)
            out = append(out, x, 1, c);
        for (uint32_t k = 0; k < maps_of(g) && g->input != COMPOSE_IMAGE; k++) {
            if (w->delta != NULL)
                out = append(out, w->delta + from.at + p * from.stride, 1, c);
            else
                out = append(out, x,
                             w->factors == NULL ? w->factor : w->factors[by.at + p * by.stride + k],
                             c);
        }
    }
}

void group_delta(const Group *group, Pool *pool, const real *images, const real *reweighted,
                 real *ret)
{
    Work work = { .group = group, .images = images, .delta = reweighted, .to = ret };

    pool_run(pool, group->shape.dim[0], join_image, &work);
}

void group_maps(const Group *group, Pool *pool, const real *images, const real *factors, real *ret)
{
    Work work = { .group = group, .images = images, .factors = factors, .to = ret };

    pool_run(pool, group->shape.dim[0], join_image, &work);
}

/* `signed` takes a map as it is: H, which has no signs. */
static real gain_of(const ReweightLine *line)
{
    return line->is_signed ? 1 : line->gain;
}

void group_raw(const Group *group, Pool *pool, const ReweightLine *line, const real *images,
               real *ret)
{
    const bool plain = group_channels(group) == group->shape.dim[3];
    Work work = { .group = group,
                  .images = images,
                  .factor = plain ? 1 : line->base + gain_of(line),
                  .to = ret };

    pool_run(pool, group->shape.dim[0], join_image, &work);
}

/* --- back --- */

/* To the reweighted image where `images` is NULL, else to the factors. */
static void split_image(void *context, size_t image)
{
    const Work *w = context;
    const Group *g = w->group;
    const uint32_t c = g->shape.dim[3], first = g->input == COMPOSE_MAPS ? 0 : c;
    Lane at = lane_of(g, c, image), by = lane_of(g, maps_of(g), image),
         in = lane_of(g, group_channels(g), image);

    for (size_t p = 0; p < (size_t)g->shape.dim[1] * g->shape.dim[2]; p++) {
        const real *d = w->slope + in.at + p * in.stride + first;

        if (w->images == NULL) {
            memcpy(w->to + at.at + p * at.stride, d, c * sizeof *d);
            continue;
        }
        for (uint32_t k = 0; k < maps_of(g); k++, d += c) {
            const real *x = w->images + at.at + p * at.stride;
            real sum = 0;

            for (uint32_t i = 0; i < c; i++)
                sum += x[i] * d[i];
            w->to[by.at + p * by.stride + k] = sum;
        }
    }
}

void group_delta_back(const Group *group, Pool *pool, const real *d_input, real *ret)
{
    Work work = { .group = group, .slope = d_input, .to = ret };

    pool_run(pool, group->shape.dim[0], split_image, &work);
}

void group_maps_back(const Group *group, Pool *pool, const real *images, const real *d_input,
                     real *ret)
{
    Work work = { .group = group, .images = images, .slope = d_input, .to = ret };

    pool_run(pool, group->shape.dim[0], split_image, &work);
}

/* --- class maps and their factors --- */

static void factors_image(void *context, size_t image)
{
    const Work *w = context;
    const Group *g = w->group;
    const uint32_t height = g->shape.dim[1], width = g->shape.dim[2];
    const size_t area = (size_t)w->h * w->w;
    Lane to = lane_of(g, g->maps, image);

    for (uint32_t k = 0; k < g->maps; k++) {
        real *room = w->room + (image * g->maps + k) * area, *ret = w->to + to.at + k;

        memcpy(room, w->maps + (image * g->maps + k) * area, area * sizeof *room);
        heatmap_normalise(area, room);
        heatmap_resize(w->h, w->w, room, height, width, to.stride, ret);
        for (size_t p = 0; p < (size_t)height * width; p++)
            ret[p * to.stride] = w->line->base + gain_of(w->line) * ret[p * to.stride];
    }
}

void group_factors(const Group *group, Pool *pool, const ReweightLine *line, uint32_t h, uint32_t w,
                   const real *maps, real *room, real *ret)
{
    Work work = {
        .group = group, .line = line, .h = h, .w = w, .maps = maps, .room = room, .to = ret
    };

    pool_run(pool, group->shape.dim[0], factors_image, &work);
}

static void factors_back_image(void *context, size_t image)
{
    const Work *w = context;
    const Group *g = w->group;
    const size_t area = (size_t)w->h * w->w;
    Lane from = lane_of(g, g->maps, image);

    for (uint32_t k = 0; k < g->maps; k++) {
        real *ret = w->to + (image * g->maps + k) * area;

        heatmap_backward(w->h, w->w, w->maps + (image * g->maps + k) * area, g->shape.dim[1],
                         g->shape.dim[2], from.stride, w->slope + from.at + k, ret);
        for (size_t p = 0; p < area; p++)
            ret[p] *= gain_of(w->line);
    }
}

void group_factors_back(const Group *group, Pool *pool, const ReweightLine *line, uint32_t h,
                        uint32_t w, const real *maps, const real *d_factors, real *ret)
{
    Work work = {
        .group = group, .line = line, .h = h, .w = w, .maps = maps, .slope = d_factors, .to = ret
    };

    pool_run(pool, group->shape.dim[0], factors_back_image, &work);
}
