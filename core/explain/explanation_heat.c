/*
 * A batch's heat maps, stage by stage (explanation.c has planned them): the method's maps, then the
 * ReLU and what else becomes of them; and all of it once more for the mirror images.
 */
#include <math.h>
#include <string.h>

#include "core/data/heatmap.h"
#include "core/explain/heat.h"

/* --- afterwards --- */

static void stage_maps(Heat *h, const HeatStage *stage, float *ret)
{
    const Cam *cam = h->e->cam;

    if ((cam->needs & CAM_SCORES) != 0)
        heat_score_maps(h, stage, ret);
    else if ((cam->needs & CAM_GUIDED) != 0)
        heat_guided_maps(h, stage, ret);
    else if ((cam->needs & CAM_DELTA) != 0)
        heat_delta_maps(h, stage, ret);
    else if (cam->samples > 0)
        heat_sample_maps(h, stage, ret);
    else
        heat_plan_maps(h, stage, ret);
}

/* A stage's maps into those of the batch; of several, `stage` of `stages`. */
typedef struct Finish {
    const Heat *heat;
    uint32_t stage, h, w;
    float *raw; /* [N,K,h,w] */
} Finish;

/* ReLU unless signed; whatever is not finite becomes 0. */
static void rectify(bool with_sign, size_t count, float *map)
{
    for (size_t i = 0; i < count; i++)
        map[i] = isfinite(map[i]) && (with_sign || map[i] > 0) ? map[i] : 0;
}

static void normalise(bool with_sign, size_t count, float *map)
{
    float most = 1e-7f;

    if (!with_sign) {
        heatmap_normalise(count, map);
        return;
    }
    for (size_t i = 0; i < count; i++)
        most = fmaxf(most, 1e-7f + fabsf(map[i]));
    for (size_t i = 0; i < count; i++)
        map[i] /= most;
}

/* One map of several stages: their mean so far, and normalised at the end. */
static void fuse_map(const Finish *f, float *raw, float *room, float *ret)
{
    const Explanation *e = f->heat->e;
    const size_t pixels = (size_t)e->shape.height * e->shape.width;

    normalise(e->spec.signed_maps, (size_t)f->h * f->w, raw);
    heatmap_resize(f->h, f->w, raw, e->shape.height, e->shape.width, 1, room);
    for (size_t p = 0; p < pixels; p++)
        ret[p] = (f->stage > 0 ? ret[p] : 0) + room[p] / (float)e->stages;
    if (f->stage + 1 == e->stages && !e->spec.signed_maps)
        heatmap_normalise(pixels, ret);
}

static void finish_block(void *context, size_t b)
{
    const Finish *f = context;
    const Explanation *e = f->heat->e;
    const size_t raw = (size_t)f->h * f->w, pixels = (size_t)e->shape.height * e->shape.width,
                 first = b * BLOCK_IMAGES * e->shape.maps,
                 maps = (size_t)block_images(e->images, (uint32_t)b) * e->shape.maps;
    const HeatRoom room = explanation_room(e, b);

    for (size_t m = first; m < first + maps; m++) {
        rectify(e->spec.signed_maps, raw, f->raw + m * raw);
        if (e->stages > 1)
            fuse_map(f, f->raw + m * raw, room.map, f->heat->maps + m * pixels);
    }
}

static void run_heat(Heat *h)
{
    const Explanation *e = h->e;
    const bool pixels = (e->cam->needs & CAM_PIXELS) != 0;

    for (uint32_t i = 0; i < e->stages; i++) {
        const HeatStage *stage = &e->stage[i];
        Finish f = { .heat = h,
                     .stage = i,
                     .h = pixels ? e->shape.height : stage->shape.dim[1],
                     .w = pixels ? e->shape.width : stage->shape.dim[2],
                     .raw = e->stages > 1 ? e->raw : h->maps };

        stage_maps(h, stage, f.raw);
        pool_run(h->context->pool, block_count(e->images), finish_block, &f);
    }
}

/* --- flips --- */

/* Rows of a block's pixels, each of all its images, the other way round. */
static void mirror_block(void *context, size_t b)
{
    const Heat *h = context;
    const ModelInput *in = &h->e->network->input;
    const size_t pixel = (size_t)block_images(h->e->images, (uint32_t)b) * in->channels,
                 at = b * BLOCK_IMAGES * in->height * in->width * in->channels;
    const real *from = h->batch->images + at;
    real *to = h->e->mirrored + at;

    for (size_t y = 0; y < in->height; y++)
        for (size_t x = 0; x < in->width; x++)
            memcpy(to + (y * in->width + in->width - 1 - x) * pixel,
                   from + (y * in->width + x) * pixel, pixel * sizeof *to);
}

static void merge_block(void *context, size_t b)
{
    const Explanation *e = ((const Heat *)context)->e;
    const size_t width = e->shape.width, image = mapset_image_numbers(&e->shape),
                 first = b * BLOCK_IMAGES * image,
                 end = first + block_images(e->images, (uint32_t)b) * image;

    for (size_t row = first; row < end; row += width)
        for (size_t x = 0; x < width; x++)
            e->maps[row + x] = e->maps[row + x] / 2 + e->other[row + width - 1 - x] / 2;
}

void explanation_heat(Explanation *e, const RunContext *context, const ExplanationBatch *batch)
{
    Heat heat = {
        .e = e, .context = context, .batch = batch, .images = batch->images, .maps = e->maps
    };

    run_heat(&heat);
    if (!e->spec.flips)
        return;
    pool_run(context->pool, block_count(e->images), mirror_block, &heat);
    heat.images = e->mirrored;
    heat.maps = e->other;
    run_heat(&heat);
    pool_run(context->pool, block_count(e->images), merge_block, &heat);
}
