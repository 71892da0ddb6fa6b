/*
 * Half floats are written as F16 bytes, as they stand in memory. What a reader trusts is checked
 * here: names, types and shapes of the tensors against each other, limits, that the maxima are
 * finite and not negative and no value above 1 (with which all that comes out of mapset_get() is
 * finite), and the metadata.
 */
#include "core/explain/map_file.h"

#include <math.h>
#include <string.h>

static const char *values_name(MapKind kind)
{
    return kind == MAP_HEAT ? "maps" : "delta";
}

/* --- writing --- */

Status map_file_write(FILE *file, const MapSet *set, Split split, const StMeta *metadata,
                      size_t count, Error *err)
{
    const MapShape *s = &set->shape;
    StMeta rows[MAP_FILE_META_MAX + 2];
    char format[32];
    StTensor tensors[] = {
        { .name = values_name(s->kind),
          .dtype = ST_F16,
          .rank = 4,
          .dim = { s->images, s->maps, s->height, s->width },
          .data = set->values,
          .count = s->images * (uint64_t)mapset_image_numbers(s) },
        { .name = "max",
          .dtype = ST_F32,
          .rank = s->kind == MAP_HEAT ? 2 : 1,
          .dim = { s->images, s->maps },
          .data = set->max,
          .count = s->images * (uint64_t)mapset_image_maxima(s) },
        { .name = "index",
          .dtype = ST_I64,
          .rank = 1,
          .dim = { s->images },
          .data = set->index,
          .count = s->images },
    };

    if (count > MAP_FILE_META_MAX)
        return error_set(err, STATUS_INVALID, "maps have at most %d rows of metadata",
                         MAP_FILE_META_MAX);
    snprintf(format, sizeof format, "leased-maps/%d", MAP_FILE_VERSION);
    rows[0] = (StMeta){ "format", format };
    rows[1] = (StMeta){ "split", split_names[split] };
    if (count > 0)
        memcpy(rows + 2, metadata, count * sizeof *metadata);
    return safetensors_write(file, tensors, sizeof tensors / sizeof *tensors, rows, count + 2, err);
}

/* --- reading --- */

static Status bad_tensor(const char *name, const char *what, Error *err)
{
    return error_set(err, STATUS_CORRUPT, "the maps' tensor \"%s\" %s", name, what);
}

/* The tensor, if it has this type and rank and `images` first. */
static Status find(const StFile *file, const char *name, StDtype dtype, uint32_t rank,
                   uint64_t images, const StTensor **ret, Error *err)
{
    const StTensor *t = safetensors_find(file, name);

    if (t == NULL)
        return bad_tensor(name, "is missing", err);
    if (t->dtype != dtype)
        return bad_tensor(name, "has another type", err);
    if (t->rank != rank || t->dim[0] != images)
        return bad_tensor(name, "has another shape than the others ask for", err);
    *ret = t;
    return STATUS_OK;
}

static Status read_shape(const StFile *file, MapShape *ret, const StTensor **ret_values, Error *err)
{
    const StTensor *t = safetensors_find(file, "maps");
    MapKind kind = t != NULL ? MAP_HEAT : MAP_DELTA;
    const char *name = values_name(kind);

    if (t == NULL)
        t = safetensors_find(file, name);
    if (t == NULL || safetensors_count(file) != 3)
        return error_set(err, STATUS_CORRUPT,
                         "a file of maps has the tensors \"maps\" or \"delta\", \"max\" and "
                         "\"index\", and no others");
    if (t->dtype != ST_F16 || t->rank != 4)
        return bad_tensor(name, "is not F16 [N,K,h,w]", err);
    if (t->dim[0] > UINT32_MAX || t->dim[1] < 1 || t->dim[1] > MAPS_MAX || t->dim[2] < 1 ||
        t->dim[2] > DATASET_IMAGE_SIZE_MAX || t->dim[3] < 1 || t->dim[3] > DATASET_IMAGE_SIZE_MAX)
        return bad_tensor(name, "has a size that no maps have", err);
    *ret = (MapShape){ kind, (uint32_t)t->dim[0], (uint32_t)t->dim[1], (uint32_t)t->dim[2],
                       (uint32_t)t->dim[3] };
    *ret_values = t;
    return STATUS_OK;
}

/* |value| <= 1: the bits above those of 1.0 are larger numbers, infinities and NaN. */
static Status check_values(const StTensor *t, Error *err)
{
    const uint16_t *v = t->data, one = 0x3c00;

    for (uint64_t i = 0; i < t->count; i++)
        if ((v[i] & 0x7fff) > one)
            return bad_tensor(t->name, "has a number that is not between -1 and 1", err);
    return STATUS_OK;
}

static Status check_maxima(const StTensor *t, Error *err)
{
    const float *max = t->data;

    for (uint64_t i = 0; i < t->count; i++)
        if (!isfinite(max[i]) || max[i] < 0)
            return bad_tensor(t->name, "has a number that is negative or not finite", err);
    return STATUS_OK;
}

static Status read_metadata(const StFile *file, Split *ret, Error *err)
{
    const char *format = safetensors_metadata(file, "format");
    const char *split = safetensors_metadata(file, "split");
    char known[32];

    snprintf(known, sizeof known, "leased-maps/%d", MAP_FILE_VERSION);
    if (format == NULL || strcmp(format, known) != 0)
        return error_set(err, STATUS_CORRUPT,
                         "the maps' metadata has \"format\" = \"%.40s\", known here is \"%s\"",
                         format == NULL ? "none" : format, known);
    for (Split s = 0; s < SPLIT_COUNT && split != NULL; s++)
        if (strcmp(split, split_names[s]) == 0) {
            *ret = s;
            return STATUS_OK;
        }
    return error_set(err, STATUS_CORRUPT, "the maps' metadata has no \"split\" that there is");
}

static Status read_set(const StFile *file, MapFile *ret, Error *err)
{
    const StTensor *values = NULL, *max = NULL, *index = NULL;
    MapShape shape = { 0 };
    Status s = read_metadata(file, &ret->split, err);

    if (s == STATUS_OK)
        s = read_shape(file, &shape, &values, err);
    if (s == STATUS_OK)
        s = find(file, "max", ST_F32, shape.kind == MAP_HEAT ? 2 : 1, shape.images, &max, err);
    if (s == STATUS_OK && shape.kind == MAP_HEAT && max->dim[1] != shape.maps)
        s = bad_tensor("max", "has another shape than the others ask for", err);
    if (s == STATUS_OK)
        s = find(file, "index", ST_I64, 1, shape.images, &index, err);
    if (s == STATUS_OK)
        s = check_values(values, err);
    if (s == STATUS_OK)
        s = check_maxima(max, err);
    if (s == STATUS_OK)
        ret->set = (MapSet){
            .shape = shape, .values = values->data, .max = max->data, .index = index->data
        };
    return s;
}

static Status opened(StFile *file, MapFile *ret, Error *err)
{
    MapFile made = { .file = file };
    Status s = read_set(file, &made, err);

    if (s != STATUS_OK)
        safetensors_close(file);
    else
        *ret = made;
    return s;
}

Status map_file_open(const char *path, MapFile *ret, Error *err)
{
    StFile *file = NULL;
    Status s = safetensors_open(path, &file, err);

    return s == STATUS_OK ? opened(file, ret, err) : s;
}

Status map_file_parse(const void *bytes, size_t size, MapFile *ret, Error *err)
{
    StFile *file = NULL;
    Status s = safetensors_parse(bytes, size, &file, err);

    return s == STATUS_OK ? opened(file, ret, err) : s;
}

void map_file_close(MapFile *file)
{
    safetensors_close(file->file);
    *file = (MapFile){ 0 };
}

const char *map_file_metadata(const MapFile *file, const char *key)
{
    return safetensors_metadata(file->file, key);
}
