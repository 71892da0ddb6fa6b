/* Maps of all images in a file have one size: they are of one layer, or of the pixels. */
#include "server/jobs/timelapse_file.h"

#include <stdlib.h>
#include <string.h>

#include "core/data/loader.h"

enum { VALUE_BYTES = 24 };

void timelapse_artefact_name(const char *part, uint32_t epoch, char ret[ARTEFACT_NAME_MAX])
{
    snprintf(ret, ARTEFACT_NAME_MAX, "timelapse/%.9s%s%u", part, part[0] != '\0' ? "/" : "", epoch);
}

Status timelapse_file_write(FILE *file, const TimelapseEpoch *e, Error *err)
{
    const uint64_t n = e->images;
    char format[VALUE_BYTES], epoch[VALUE_BYTES], step[VALUE_BYTES];
    const StTensor tensors[] = {
        { .name = "maps",
          .dtype = ST_F32,
          .rank = 3,
          .dim = { n, e->height, e->width },
          .data = e->maps,
          .count = n * e->height * e->width },
        { .name = "index", .dtype = ST_I64, .rank = 1, .dim = { n }, .data = e->index, .count = n },
        { .name = "label", .dtype = ST_I64, .rank = 1, .dim = { n }, .data = e->label, .count = n },
        { .name = "predicted",
          .dtype = ST_I64,
          .rank = 1,
          .dim = { n },
          .data = e->predicted,
          .count = n },
        { .name = "score", .dtype = ST_F32, .rank = 1, .dim = { n }, .data = e->score, .count = n },
    };
    const StMeta metadata[] = {
        { "format", format },    { "split", split_names[SPLIT_TEST] },
        { "epoch", epoch },      { "step", step },
        { "method", e->method }, { "layer", e->layer },
    };

    snprintf(format, sizeof format, "leased-timelapse/%d", TIMELAPSE_VERSION);
    snprintf(epoch, sizeof epoch, "%u", e->epoch);
    snprintf(step, sizeof step, "%llu", (unsigned long long)e->step);
    return safetensors_write(file, tensors, sizeof tensors / sizeof *tensors, metadata,
                             sizeof metadata / sizeof *metadata, err);
}

/* --- reading --- */

static Status bad_tensor(const char *name, const char *what, Error *err)
{
    return error_set(err, STATUS_CORRUPT, "the time-lapse's tensor \"%s\" %s", name, what);
}

static Status read_maps(TimelapseEpoch *e, Error *err)
{
    const StTensor *t = safetensors_find(e->file, "maps");

    if (t == NULL || t->dtype != ST_F32 || t->rank != 3)
        return bad_tensor("maps", "is not F32 [N,h,w]", err);
    if (t->dim[0] < 1 || t->dim[0] > TIMELAPSE_IMAGES_MAX || t->dim[1] < 1 ||
        t->dim[1] > TIMELAPSE_SIZE_MAX || t->dim[2] < 1 || t->dim[2] > TIMELAPSE_SIZE_MAX)
        return bad_tensor("maps", "has a size that no maps have", err);
    e->images = (uint32_t)t->dim[0];
    e->height = (uint32_t)t->dim[1];
    e->width = (uint32_t)t->dim[2];
    e->maps = t->data;
    return STATUS_OK;
}

/* One value an image into `ret`. */
static Status read_row(const TimelapseEpoch *e, const char *name, StDtype dtype, size_t size,
                       void *ret, Error *err)
{
    const StTensor *t = safetensors_find(e->file, name);

    if (t == NULL || t->dtype != dtype || t->rank != 1 || t->dim[0] != e->images)
        return bad_tensor(name, "is not one number an image", err);
    memcpy(ret, t->data, e->images * size);
    return STATUS_OK;
}

/* A text that fits, a copy of it. */
static Status read_text(const TimelapseEpoch *e, const char *key, size_t size, char *ret,
                        Error *err)
{
    const char *value = safetensors_metadata(e->file, key);

    if (value == NULL || strlen(value) >= size)
        return error_set(err, STATUS_CORRUPT, "the time-lapse's metadata has no good \"%s\"", key);
    memcpy(ret, value, strlen(value) + 1);
    return STATUS_OK;
}

static Status read_metadata(TimelapseEpoch *e, Error *err)
{
    char known[VALUE_BYTES], format[VALUE_BYTES], epoch[VALUE_BYTES], step[VALUE_BYTES];
    Status s = read_text(e, "format", sizeof format, format, err);

    snprintf(known, sizeof known, "leased-timelapse/%d", TIMELAPSE_VERSION);
    if (s == STATUS_OK && strcmp(format, known) != 0)
        s = error_set(err, STATUS_CORRUPT,
                      "the time-lapse's format is \"%s\", known here is \"%s\"", format, known);
    if (s == STATUS_OK)
        s = read_text(e, "epoch", sizeof epoch, epoch, err);
    if (s == STATUS_OK)
        s = read_text(e, "step", sizeof step, step, err);
    if (s == STATUS_OK)
        s = read_text(e, "method", sizeof e->method, e->method, err);
    if (s == STATUS_OK)
        s = read_text(e, "layer", sizeof e->layer, e->layer, err);
    if (s == STATUS_OK) {
        e->epoch = (uint32_t)strtoul(epoch, NULL, 10);
        e->step = strtoull(step, NULL, 10);
    }
    return s;
}

Status timelapse_file_open(const char *path, TimelapseEpoch *ret, Error *err)
{
    TimelapseEpoch e = { 0 };
    Status s = safetensors_open(path, &e.file, err);

    if (s == STATUS_OK)
        s = read_metadata(&e, err);
    if (s == STATUS_OK)
        s = read_maps(&e, err);
    if (s == STATUS_OK)
        s = read_row(&e, "index", ST_I64, sizeof *e.index, e.index, err);
    if (s == STATUS_OK)
        s = read_row(&e, "label", ST_I64, sizeof *e.label, e.label, err);
    if (s == STATUS_OK)
        s = read_row(&e, "predicted", ST_I64, sizeof *e.predicted, e.predicted, err);
    if (s == STATUS_OK)
        s = read_row(&e, "score", ST_F32, sizeof *e.score, e.score, err);
    if (s != STATUS_OK)
        timelapse_file_close(&e);
    else
        *ret = e;
    return s;
}

void timelapse_file_close(TimelapseEpoch *epoch)
{
    safetensors_close(epoch->file);
    *epoch = (TimelapseEpoch){ 0 };
}
