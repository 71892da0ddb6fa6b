/*
 * One allocation for a set: values, maxima, positions. A map is divided by its maximum before it
 * becomes half floats, so that gradients of 1e-9 keep their digits.
 */
#include "core/data/maps.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"

/* --- half floats --- */

uint16_t half_from_float(float x)
{
    uint32_t bits, sign, magnitude, rest, half;

    memcpy(&bits, &x, sizeof bits);
    sign = bits >> 16 & 0x8000;
    magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) /* NaN stays one */
        return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000) /* rounds beyond 65504 */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) { /* below 2^-14: in units of 2^-24 */
        float units = fabsf(x) * 0x1p24f;

        return (uint16_t)(sign | (uint32_t)lrintf(units));
    }
    half = (magnitude - 0x38000000) >> 13; /* the exponent's bias, 127 to 15 */
    rest = magnitude & 0x1fff;
    half += rest > 0x1000 || (rest == 0x1000 && (half & 1) == 1);
    return (uint16_t)(sign | half);
}

float float_from_half(uint16_t h)
{
    uint32_t exponent = h >> 10 & 31, fraction = h & 0x3ff;
    float x;

    if (exponent == 31)
        x = fraction == 0 ? INFINITY : NAN;
    else if (exponent == 0)
        x = (float)fraction * 0x1p-24f;
    else
        x = ldexpf((float)(fraction | 0x400), (int)exponent - 25);
    return (h & 0x8000) != 0 ? -x : x;
}

/* --- sets --- */

size_t mapset_image_numbers(const MapShape *s)
{
    return (size_t)s->maps * s->height * s->width;
}

size_t mapset_image_maxima(const MapShape *s)
{
    return s->kind == MAP_HEAT ? s->maps : 1;
}

static size_t values_bytes(const MapShape *s)
{
    return arena_round(s->images * mapset_image_numbers(s) * sizeof(uint16_t));
}

static size_t maxima_bytes(const MapShape *s)
{
    return arena_round(s->images * mapset_image_maxima(s) * sizeof(float));
}

uint64_t mapset_bytes(const MapShape *s)
{
    return values_bytes(s) + maxima_bytes(s) + arena_round(s->images * sizeof(int64_t));
}

Status mapset_new(const MapShape *shape, MapSet *ret, Error *err)
{
    char *storage = calloc(1, mapset_bytes(shape));

    if (storage == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate the maps of %u images",
                         shape->images);
    *ret =
        (MapSet){ .shape = *shape,
                  .values = (const uint16_t *)storage,
                  .max = (const float *)(storage + values_bytes(shape)),
                  .index = (const int64_t *)(storage + values_bytes(shape) + maxima_bytes(shape)),
                  .storage = storage };
    return STATUS_OK;
}

void mapset_clear(MapSet *set)
{
    free(set->storage);
    *set = (MapSet){ 0 };
}

/* `count` numbers with one maximum; answers it. */
static float put_run(size_t count, const float *from, uint16_t *to)
{
    float max = 0;

    for (size_t i = 0; i < count; i++)
        if (isfinite(from[i]) && fabsf(from[i]) > max)
            max = fabsf(from[i]);
    for (size_t i = 0; i < count; i++)
        to[i] = max > 0 && isfinite(from[i]) ? half_from_float(from[i] / max) : 0;
    return max;
}

void mapset_put(MapSet *set, uint32_t image, int64_t index, const float *maps)
{
    size_t numbers = mapset_image_numbers(&set->shape), maxima = mapset_image_maxima(&set->shape);
    size_t run = numbers / maxima;
    uint16_t *values = (uint16_t *)set->storage + image * numbers;
    float *max = (float *)((char *)set->storage + values_bytes(&set->shape)) + image * maxima;

    assert(set->storage != NULL && image < set->shape.images);
    for (size_t k = 0; k < maxima; k++)
        max[k] = put_run(run, maps + k * run, values + k * run);
    ((int64_t *)((char *)set->storage + values_bytes(&set->shape) +
                 maxima_bytes(&set->shape)))[image] = index;
}

void mapset_get(const MapSet *set, uint32_t image, float *ret_maps)
{
    size_t numbers = mapset_image_numbers(&set->shape), maxima = mapset_image_maxima(&set->shape);
    size_t run = numbers / maxima;
    const uint16_t *values = set->values + image * numbers;
    const float *max = set->max + image * maxima;

    for (size_t i = 0; i < numbers; i++)
        ret_maps[i] = float_from_half(values[i]) * max[i / run];
}

Status mapset_check(const MapSet *set, const Loader *loader, Split split, Error *err)
{
    const MapShape *s = &set->shape;
    const Dataset *d = loader->dataset;

    if (s->images != loader->images[split])
        return error_at(err, STATUS_INVALID, "/maps",
                        "the maps are of %u %s images, the data have %u: take the same "
                        "train_images, val_images and split_seed",
                        s->images, split_names[split], loader->images[split]);
    if (s->kind == MAP_DELTA &&
        (s->maps != d->channels || s->height != d->height || s->width != d->width))
        return error_at(err, STATUS_INVALID, "/maps",
                        "the deltas are of images of %ux%u with %u channels, the data set %s has "
                        "%ux%u with %u",
                        s->width, s->height, s->maps, d->name, d->width, d->height, d->channels);
    if (s->kind == MAP_HEAT && s->maps != 1 && s->maps != d->classes)
        return error_at(err, STATUS_INVALID, "/maps",
                        "there are maps of %u classes, the data set %s has %u", s->maps, d->name,
                        d->classes);
    for (uint32_t i = 0; i < s->images; i++)
        if (set->index[i] != loader->index[split][i])
            return error_at(err, STATUS_INVALID, "/maps",
                            "the maps are of other images: number %u of the split %s is image %lld "
                            "of the files there and image %u here",
                            i, split_names[split], (long long)set->index[i],
                            loader->index[split][i]);
    return STATUS_OK;
}
