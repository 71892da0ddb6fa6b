/*
 * Composing is done image by image, where the batch is made (batch.c): what a map holds is made
 * ready here, moved there as pixels of some bytes are, and joined with the image here again. Of a
 * map only its strength is kept: the number that R's line (or, signed, R itself) multiplies with.
 */
#include "core/data/compose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/heatmap.h"

const char *const compose_inputs[] = { "maps", "image", "image+maps", NULL };
const char *const compose_controls[] = { "none", "other", "random", NULL };

/* --- making one --- */

static Status check_split(const Composer *c, const Loader *loader, Split split, Error *err)
{
    const MapSet *set = c->spec.maps[split];
    Status s;

    if (set == NULL)
        return error_at(err, STATUS_INVALID, "/maps", "there are no maps of the split \"%s\"",
                        split_names[split]);
    s = mapset_check(set, loader, split, err);
    if (s != STATUS_OK)
        return s;
    if (set->shape.kind != c->shape.kind || set->shape.maps != c->shape.maps ||
        set->shape.height != c->shape.height || set->shape.width != c->shape.width)
        return error_at(err, STATUS_INVALID, "/maps",
                        "the maps of the split \"%s\" have another shape than those of \"%s\"",
                        split_names[split], split_names[SPLIT_TRAIN]);
    if (c->spec.control == CONTROL_OTHER && set->shape.images < 2)
        return error_at(err, STATUS_INVALID, "/control",
                        "the split \"%s\" has a single image: there is no other one's map",
                        split_names[split]);
    return STATUS_OK;
}

static Status check_size(const Composer *c, Error *err)
{
    size_t pixels = (size_t)c->image.height * c->image.width;
    size_t map = mapset_image_numbers(&c->shape), most = pixels * c->channels;

    most = composer_map_numbers(c) > most ? composer_map_numbers(c) : most;
    most = map > most ? map : most;
    return most * sizeof(float) <= COMPOSE_BYTES_MAX
               ? STATUS_OK
               : error_at(err, STATUS_INVALID, "/input",
                          "%u maps for an image of %ux%u are too much: at most %d bytes",
                          c->shape.maps, c->image.width, c->image.height, COMPOSE_BYTES_MAX);
}

/* Sattolo's shuffle: one cycle through all images, so that nobody keeps his own. */
static uint32_t *other_images(uint64_t seed, Split split, uint32_t images)
{
    Rng rng = rng_at(seed, RNG_CONTROL, UINT32_MAX - split, 0);
    uint32_t *other = malloc(images * sizeof *other);

    for (uint32_t i = 0; other != NULL && i < images; i++)
        other[i] = i;
    for (uint32_t i = images - 1; other != NULL && i > 0; i--) {
        uint32_t k = rng_below(&rng, i), kept = other[i];

        other[i] = other[k];
        other[k] = kept;
    }
    return other;
}

Status composer_init(Composer *composer, const Loader *loader, const ComposeSpec *spec, Error *err)
{
    const Dataset *d = loader->dataset;
    Composer c = { .spec = *spec,
                   .line = reweight_line(&spec->reweight),
                   .image = { d->height, d->width, d->channels } };
    uint32_t groups;
    Status s = STATUS_OK;

    if (spec->maps[SPLIT_TRAIN] != NULL)
        c.shape = spec->maps[SPLIT_TRAIN]->shape;
    groups = c.shape.kind == MAP_DELTA ? 1 : c.shape.maps;
    c.channels = d->channels * ((spec->input != COMPOSE_IMAGE ? groups : 0) +
                                (spec->input != COMPOSE_MAPS ? 1 : 0));
    for (Split split = 0; split < SPLIT_COUNT && s == STATUS_OK; split++)
        if (loader->images[split] > 0)
            s = check_split(&c, loader, split, err);
    if (s == STATUS_OK)
        s = check_size(&c, err);
    for (Split split = 0; split < SPLIT_COUNT && s == STATUS_OK; split++) {
        if (spec->control != CONTROL_OTHER || loader->images[split] == 0)
            continue;
        c.other[split] = other_images(spec->seed, split, loader->images[split]);
        if (c.other[split] == NULL)
            s = error_set(err, STATUS_NO_MEMORY, "cannot allocate a permutation of the maps");
    }
    if (s != STATUS_OK)
        composer_clear(&c);
    else
        *composer = c;
    return s;
}

void composer_clear(Composer *composer)
{
    for (int split = 0; split < SPLIT_COUNT; split++)
        free(composer->other[split]);
    *composer = (Composer){ 0 };
}

/* --- what it can do, and what it takes --- */

static uint32_t map_channels(const Composer *c)
{
    return c->shape.maps; /* of a delta: the image's channels */
}

/* Whether R has as many channels as the image. */
static bool is_single(const Composer *c)
{
    return c->shape.kind == MAP_DELTA || c->shape.maps == 1;
}

bool composer_can(const Composer *c, ComposeLook look)
{
    return look != LOOK_REWEIGHTED || c->spec.input != COMPOSE_IMAGE || is_single(c);
}

bool composer_needs_maps(const Composer *c, ComposeLook look)
{
    return look == LOOK_REWEIGHTED || (look == LOOK_TRAINED && c->spec.input != COMPOSE_IMAGE);
}

size_t composer_map_numbers(const Composer *c)
{
    return (size_t)c->image.height * c->image.width * map_channels(c);
}

size_t composer_scratch_bytes(const Composer *c)
{
    return mapset_image_numbers(&c->shape) * sizeof(float);
}

/* --- one image's maps --- */

/* The maps as they are kept, [maps,h,w]. */
static void read_maps(const Composer *c, Split split, uint32_t item, float *ret)
{
    size_t numbers = (size_t)c->shape.height * c->shape.width;

    if (c->spec.control == CONTROL_OTHER)
        item = c->other[split][item];
    if (c->spec.control != CONTROL_RANDOM) {
        mapset_get(c->spec.maps[split], item, ret);
        return;
    }
    for (uint32_t k = 0; k < c->shape.maps; k++) {
        Rng rng = rng_at(c->spec.seed, RNG_CONTROL, k * SPLIT_COUNT + split, item);

        for (size_t i = 0; i < numbers; i++)
            *ret++ = rng_uniform(&rng);
    }
}

static void heat_strength(const Composer *c, float *maps, float *ret)
{
    uint32_t h = c->shape.height, w = c->shape.width;

    for (uint32_t k = 0; k < c->shape.maps; k++) {
        float *map = maps + (size_t)k * h * w;

        heatmap_normalise((size_t)h * w, map);
        heatmap_resize(h, w, map, c->image.height, c->image.width, c->shape.maps, ret + k);
    }
}

/* [C,H,W] to [H,W,C]; |m|/(max|m| + 1e-12) unless the sign is wanted. */
static void delta_strength(const Composer *c, const float *delta, float *ret)
{
    size_t pixels = (size_t)c->shape.height * c->shape.width, channels = c->shape.maps;
    float max = 0, scale;

    for (size_t i = 0; i < pixels * channels; i++)
        max = fabsf(delta[i]) > max ? fabsf(delta[i]) : max;
    scale = (float)(1 / ((double)max + 1e-12));
    for (size_t p = 0; p < pixels; p++)
        for (size_t k = 0; k < channels; k++) {
            float m = delta[k * pixels + p];

            ret[p * channels + k] = c->line.is_signed ? m : fabsf(m) * scale;
        }
}

void composer_maps(const Composer *c, Split split, uint32_t item, void *scratch, float *ret)
{
    read_maps(c, split, item, scratch);
    if (c->shape.kind == MAP_DELTA)
        delta_strength(c, scratch, ret);
    else
        heat_strength(c, scratch, ret);
}

/* --- and the image --- */

static float weight_of(const Composer *c, float strength)
{
    return c->line.is_signed ? strength : c->line.base + c->line.gain * strength;
}

/* One pixel's channels: `groups` times the image's, each with its map's weight; NULL: with that of
 * a map of ones. */
static float *join_pixel(const Composer *c, uint32_t groups, const float *image, const float *map,
                         float *ret)
{
    uint32_t channels = c->image.channels;

    for (uint32_t k = 0; k < groups; k++)
        for (uint32_t i = 0; i < channels; i++) {
            size_t at = c->shape.kind == MAP_DELTA ? i : k;

            *ret++ = image[i] * weight_of(c, map == NULL ? 1 : map[at]);
        }
    return ret;
}

void composer_join(const Composer *c, ComposeLook look, const float *image, const float *maps,
                   float *ret)
{
    size_t pixels = (size_t)c->image.height * c->image.width;
    uint32_t channels = c->image.channels, groups = c->shape.kind == MAP_DELTA ? 1 : c->shape.maps;
    bool plain = look == LOOK_RAW ? c->channels == channels
                                  : look == LOOK_TRAINED && c->spec.input == COMPOSE_IMAGE;

    if (plain) {
        memcpy(ret, image, pixels * channels * sizeof *ret);
        return;
    }
    for (size_t p = 0; p < pixels; p++, image += channels) {
        if (c->spec.input == COMPOSE_IMAGE_MAPS) {
            memcpy(ret, image, channels * sizeof *ret);
            ret += channels;
        }
        ret =
            join_pixel(c, groups, image, look == LOOK_RAW ? NULL : maps + p * map_channels(c), ret);
    }
}
